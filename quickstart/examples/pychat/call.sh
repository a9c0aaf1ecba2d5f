curl -sS "$OL_URL/run/pychat-init" -d '{}' >/dev/null
curl -sS "$OL_URL/run/pychat-msg" -d '{"user": "Alice", "text": "hello"}' >/dev/null
curl -sS "$OL_URL/run/pychat-updates" -d '{"ts": "0"}'
