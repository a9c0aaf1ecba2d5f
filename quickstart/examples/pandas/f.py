# A web app without a framework: takes a table as CSV, groups its rows and adds them up.
#
#   curl --data-binary @sales.csv 'localhost:8080/run/pandas?by=city&sum=amount'
import io
from urllib.parse import parse_qs

import pandas as pd


def app(environ, start_response):
    query = {name: values[0] for name, values in parse_qs(environ["QUERY_STRING"]).items()}
    try:
        reply = totals(environ["wsgi.input"].read(), query["by"], query["sum"])
    except KeyError as error:
        return answer(start_response, "400 Bad Request", f"there is no {error}; needed are ?by=COLUMN&sum=COLUMN\n")
    except ValueError as error:
        return answer(start_response, "400 Bad Request", f"{error}\n")
    return answer(start_response, "200 OK", reply, "text/csv")


def totals(csv, by, column):
    table = pd.read_csv(io.BytesIO(csv))
    numbers = pd.to_numeric(table[column])
    return numbers.groupby(table[by]).sum().to_csv()


def answer(start_response, status, text, kind="text/plain"):
    body = text.encode()
    start_response(status, [("Content-Type", f"{kind}; charset=utf-8"), ("Content-Length", str(len(body)))])
    return [body]
