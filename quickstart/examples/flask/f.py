# A Flask app: routes, uploads of any size, replies that come bit by bit, cookies.
#
#   curl -i localhost:8080/run/flask
#   curl localhost:8080/run/flask/hello/Alice
#   curl localhost:8080/run/flask/digest --data-binary @photo.jpg
#   curl -N localhost:8080/run/flask/count/5
import hashlib
import time

from flask import Flask, Response, make_response, request, url_for

app = Flask(__name__)


@app.get("/")
def teapot():
    return Response("hi\n", status=418, headers={"A": "B"})


@app.get("/hello/<name>")
def hello(name):
    return {"hello": name, "self": url_for("hello", name=name)}


@app.post("/digest")
def digest():
    """Reads the body as it comes: it is never in memory as a whole."""
    sha256 = hashlib.sha256()
    size = 0
    while True:
        piece = request.stream.read(65536)
        if not piece:
            break
        sha256.update(piece)
        size += len(piece)
    return {"bytes": size, "sha256": sha256.hexdigest()}


@app.get("/count/<int:last>")
def count(last):
    def lines():
        for number in range(1, min(last, 100) + 1):
            yield f"{number}\n"
            time.sleep(0.1)

    return Response(lines(), mimetype="text/plain")


@app.get("/visits")
def visits():
    """Counts in the visitor's cookie: another sandbox may serve the next visit."""
    seen = request.cookies.get("visits", "0")
    visit = int(seen) + 1 if seen.isascii() and seen.isdigit() and len(seen) < 10 else 1
    reply = make_response({"visit": visit})
    reply.set_cookie("visits", str(visit), path=url_for("visits"), httponly=True, samesite="Lax")
    return reply
