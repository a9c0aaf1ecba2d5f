# Makes the chat, unless it is there. Returns how many messages it has.
import os

import redis

store = redis.Redis.from_url(os.environ["REDIS_URL"], decode_responses=True)


def f(event):
    # Of several who come at once, one makes it.
    if store.set("begun", 1, nx=True):
        store.xadd("chat", {"user": "", "text": "The chat begins."})
    return {"messages": store.xlen("chat")}
