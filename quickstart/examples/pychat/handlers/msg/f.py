# Stores a message: {"user": "Alice", "text": "hello"}. Returns its `ts`, by which `updates` tells what is newer.
import os

import redis

LONGEST_NAME = 40
LONGEST_TEXT = 2000
# The oldest are forgotten.
MOST_MESSAGES = 1000

store = redis.Redis.from_url(os.environ["REDIS_URL"], decode_responses=True)


def f(event):
    user = text_of(event, "user", LONGEST_NAME)
    text = text_of(event, "text", LONGEST_TEXT)
    if user is None or text is None:
        return {"error": f"needed are user, up to {LONGEST_NAME} characters, and text, up to {LONGEST_TEXT}"}
    message = {"user": user, "text": text}
    ts = store.xadd("chat", message, nomkstream=True, maxlen=MOST_MESSAGES, approximate=True)
    return {"ts": ts} if ts is not None else {"error": "there is no chat yet; init makes it"}


def text_of(event, key, longest):
    value = event.get(key) if isinstance(event, dict) else None
    if not isinstance(value, str):
        return None
    value = value.strip()
    return value if 0 < len(value) <= longest else None
