# Each sandbox has a directory of its own, /host. Files in it last as long as the sandbox: call this a few times
# and the count grows; after some idle time, or in another sandbox, it begins again. Keep nothing there that matters.
#
#   npx ol-admin invoke scratch
import os

COUNT = "/host/count"


def f(event):
    count = 1
    if os.path.exists(COUNT):
        with open(COUNT, encoding="utf-8") as file:
            count = int(file.read()) + 1
    with open(COUNT, "w", encoding="utf-8") as file:
        file.write(str(count))
    return {"calls of this sandbox": count}
