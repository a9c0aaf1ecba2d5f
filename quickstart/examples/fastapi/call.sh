curl -sS "$OL_URL/run/fastapi/orders" -H 'content-type: application/json' -d '{"item": 3, "count": 2}'
