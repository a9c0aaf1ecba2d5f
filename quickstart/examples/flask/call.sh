curl -sS "$OL_URL/run/flask/hello/Alice"
