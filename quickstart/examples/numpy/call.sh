curl -sS "$OL_URL/run/numpy" -d '{"A": [[3, 1], [1, 2]], "b": [9, 8]}'
