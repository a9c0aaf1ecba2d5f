LEFT = open("/tmp/left-open", "w")
