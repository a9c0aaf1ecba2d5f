"""Whatever ended before the import did is no obstacle, nor is what is only added behind Python's own."""

import builtins
import subprocess
import sys
import threading

THREAD = threading.Thread(target=str)
THREAD.start()
THREAD.join()
DONE = subprocess.Popen(["true"])
DONE.wait()
with open("/tmp/closed", "w") as file:
    file.write("x")


class Finder:
    """As `six` has one."""

    @staticmethod
    def find_spec(_name, _path=None, _target=None):
        return None


sys.meta_path.append(Finder)
builtins._ = str
