"""Whatever ended before the import did is no obstacle."""

import subprocess
import threading

THREAD = threading.Thread(target=str)
THREAD.start()
THREAD.join()
DONE = subprocess.Popen(["true"])
DONE.wait()
with open("/tmp/closed", "w") as file:
    file.write("x")
