curl -sS "$OL_URL/run/matplotlib?title=Rain&values=3,1,4,1,5,9&labels=Mo,Tu,We,Th,Fr,Sa"
