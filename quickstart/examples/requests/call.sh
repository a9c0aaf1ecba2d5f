# The worker's own address: there is a page to fetch also where there is no internet.
curl -sS "$OL_URL/run/requests" -d "{\"url\": \"$OL_URL/status\"}"
