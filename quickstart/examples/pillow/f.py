# A web app without a framework: an image comes in, a smaller one goes out. The bytes are neither JSON nor base64.
#
#   curl --data-binary @photo.jpg 'localhost:8080/run/pillow?size=200' -o thumbnail.jpg
import io
from urllib.parse import parse_qs

from PIL import Image, ImageOps, UnidentifiedImageError

FORMATS = ("JPEG", "PNG", "WEBP", "GIF")
MOST_BYTES = 20_000_000
# A small file may hold a huge picture: three bytes of memory for each pixel, and some on top.
MOST_PIXELS = 24_000_000


class Refused(Exception):
    def __init__(self, status, reason):
        super().__init__(reason)
        self.status = status


def app(environ, start_response):
    try:
        picture, kind = thumbnail(environ["wsgi.input"].read(MOST_BYTES + 1), size_in(environ["QUERY_STRING"]))
    except Refused as refused:
        start_response(refused.status, [("Content-Type", "text/plain; charset=utf-8")])
        return [f"{refused}\n".encode()]
    start_response("200 OK", [("Content-Type", kind), ("Content-Length", str(len(picture)))])
    return [picture]


def size_in(query):
    text = parse_qs(query).get("size", ["128"])[0]
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 2000:
        raise Refused("400 Bad Request", "size must be a number of pixels from 1 to 2000")
    return int(text)


def thumbnail(data, size):
    if len(data) > MOST_BYTES:
        raise Refused("413 Content Too Large", f"the image has more than {MOST_BYTES} bytes")
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
        if image.width * image.height > MOST_PIXELS:
            raise Refused("413 Content Too Large", f"the image has more than {MOST_PIXELS} pixels")
        kind = image.format
        # Cameras write down which side is up instead of turning the picture.
        image = ImageOps.exif_transpose(image)
        image.thumbnail((size, size))
        small = io.BytesIO()
        image.save(small, format=kind)
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        raise Refused("400 Bad Request", f"not an image that can be read: {error}") from error
    return small.getvalue(), Image.MIME[kind]
