# Four ways to fail, and what the caller sees.
#
#   npx ol-admin invoke errors -d '{"way": "exception"}'     500 with the traceback; the sandbox lives on
#   npx ol-admin invoke errors -d '{"way": "not-json"}'      500: the result cannot be written as JSON
#   npx ol-admin invoke errors -d '{"way": "exit"}'          502: the process ended; the next call gets a new one
#   npx ol-admin invoke errors -d '{"way":'                  400: that is no JSON, so nothing is run
import os


def f(event):
    way = event.get("way")
    if way == "exception":
        raise ValueError("this is what an exception looks like")
    if way == "not-json":
        return {1, 2, 3}
    if way == "exit":
        os._exit(1)
    return 'name a way: "exception", "not-json" or "exit"'
