# Serves the files of an application's page, those in the directory `files` beside this. What `ol-admin app` puts into the
# registry as APP-static, so that a browser has the page from where it calls the handlers.
import mimetypes
import os

FILES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "files")
PIECE_BYTES = 65536
# Not of /etc/mime.types, which not every machine has.
TYPES = mimetypes.MimeTypes(filenames=())


def app(environ, start_response):
    asked = environ["PATH_INFO"]
    if asked == "":
        # What the page names is looked for beside it, so its address ends in '/'.
        query = environ["QUERY_STRING"]
        start_response("308 Permanent Redirect", [("Location", environ["SCRIPT_NAME"] + "/" + (query and f"?{query}"))])
        return []
    file = open_file(asked)
    if file is None:
        start_response("404 Not Found", [("Content-Type", "text/plain; charset=utf-8")])
        return [b"there is no such file\n"]
    size = os.fstat(file.fileno()).st_size
    # A browser asks again: the page may be a newer one.
    fields = [("Content-Type", type_of(file.name)), ("Content-Length", str(size)), ("Cache-Control", "no-cache")]
    start_response("200 OK", fields)
    return environ["wsgi.file_wrapper"](file, PIECE_BYTES)


def open_file(asked):
    """Undefined paths, directories and whatever leads out of the files are all not there."""
    # PEP 3333: the bytes of the path, each as a character.
    relative = os.fsdecode(asked.encode("latin-1")).lstrip("/")
    path = os.path.realpath(os.path.join(FILES, relative or "index.html")) if "\0" not in relative else FILES
    if not path.startswith(os.path.realpath(FILES) + os.sep) or not os.path.isfile(path):
        return None
    return open(path, "rb")


def type_of(path):
    kind, encoding = TYPES.guess_type(path)
    if kind is None or encoding is not None:
        return "application/octet-stream"
    text = kind.startswith("text/") or kind in ("application/javascript", "application/json", "image/svg+xml")
    return f"{kind}; charset=utf-8" if text else kind
