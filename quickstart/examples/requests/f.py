# Fetches a page, and says what came. Who may call this reaches whatever the machine reaches: a lambda of your own
# should know which hosts it is to ask.
#
#   npx ol-admin invoke requests -d '{"url": "http://localhost:8080/status"}'
import requests

# Keeps connections open between calls of the same sandbox.
session = requests.Session()


def f(event):
    try:
        reply = session.get(event["url"], timeout=10)
    except requests.RequestException as error:
        return {"error": f"{type(error).__name__}: {error}"}
    return {"status": reply.status_code, "type": reply.headers.get("Content-Type"), "text": reply.text[:1000]}
