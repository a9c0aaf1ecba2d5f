# Returns the messages that are newer than `ts` ("0": all), and if there are none waits for one, 20 seconds at most:
#
#   curl localhost:8080/run/pychat-updates -d '{"ts": "0"}'
#   {"messages": [{"ts": "1730000000000-0", "user": "Alice", "text": "hello"}], "ts": "1730000000000-0"}
#
# An ASGI app and not a function, so that many wait in one sandbox.
import asyncio
import json
import os
import re

import redis.asyncio
from redis.exceptions import RedisError

WAIT_MS = 20_000
MOST_MESSAGES = 200
LARGEST_BODY = 10_000
TS = re.compile(r"\d{1,20}(-\d{1,20})?", re.ASCII)

# Whoever waits has a connection: as many as `concurrency` in ol.yaml.
MOST_WAITING = 200

store = redis.asyncio.Redis.from_url(
    os.environ["REDIS_URL"], decode_responses=True, max_connections=MOST_WAITING, socket_timeout=WAIT_MS / 1000 + 5
)


async def app(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])
    try:
        ts = asked_for(await body_of(receive))
    except ValueError as error:
        return await answer(send, 400, {"error": str(error)})
    reading = asyncio.ensure_future(newer_than(ts))
    leaving = asyncio.ensure_future(client_gone(receive))
    try:
        await asyncio.wait({reading, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not reading.done():
            return None
        messages = reading.result()
    except RedisError as error:
        return await answer(send, 503, {"error": f"the chat's store does not answer: {error}"})
    finally:
        reading.cancel()
        leaving.cancel()
    return await answer(send, 200, {"messages": messages, "ts": messages[-1]["ts"] if messages else ts})


async def body_of(receive):
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > LARGEST_BODY:
            raise ValueError("that is too long")
        if not message.get("more_body", False):
            return body


async def client_gone(receive):
    while (await receive())["type"] != "http.disconnect":
        pass


def asked_for(body):
    event = json.loads(body or b"{}")
    ts = str(event.get("ts", "0")) if isinstance(event, dict) else ""
    if not TS.fullmatch(ts):
        raise ValueError('ts must be as it was returned by updates or msg, or "0"')
    return ts


async def newer_than(ts):
    found = await store.xread({"chat": ts}, count=MOST_MESSAGES, block=WAIT_MS)
    return [{"ts": ts, **message} for _stream, entries in found for ts, message in entries]


async def answer(send, status, value):
    body = json.dumps(value).encode()
    headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
