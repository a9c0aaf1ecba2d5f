curl -sS "$OL_URL/run/pandas?by=city&sum=amount" --data-binary @sales.csv
