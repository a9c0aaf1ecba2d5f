# A web app without a framework: draws columns of numbers as a PNG.
#
#   curl 'localhost:8080/run/matplotlib?title=Rain&values=3,1,4,1,5,9&labels=Mo,Tu,We,Th,Fr,Sa' -o plot.png
import io
from urllib.parse import parse_qs

# Without pyplot, which keeps every figure it ever made.
from matplotlib.figure import Figure

MOST_VALUES = 1000


def app(environ, start_response):
    query = {name: found[0] for name, found in parse_qs(environ["QUERY_STRING"]).items()}
    try:
        values = [float(text) for text in query["values"].split(",")][:MOST_VALUES]
    except (KeyError, ValueError):
        start_response("400 Bad Request", [("Content-Type", "text/plain; charset=utf-8")])
        return [b"needed are numbers: ?values=3,1,4\n"]
    picture = plot(values, query.get("labels", "").split(","), query.get("title", ""))
    start_response("200 OK", [("Content-Type", "image/png"), ("Content-Length", str(len(picture)))])
    return [picture]


def plot(values, labels, title):
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.add_subplot()
    axes.bar(range(len(values)), values)
    if len(labels) == len(values):
        axes.set_xticks(range(len(values)), labels)
    # What a stranger sends is text, and no formula between dollar signs.
    axes.set_title(title, parse_math=False)
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=100)
    return png.getvalue()
