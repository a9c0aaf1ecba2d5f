curl -sS "$OL_URL/run/django/days?from=2024-02-01&to=2024-03-01"
