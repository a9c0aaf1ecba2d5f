curl -sS "$OL_URL/run/scikit-learn" -d '{"flowers": [[5.1, 3.5, 1.4, 0.2], [6.3, 3.3, 6.0, 2.5]]}'
