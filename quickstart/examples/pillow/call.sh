curl -sS "$OL_URL/run/pillow?size=64" --data-binary @photo.jpg
