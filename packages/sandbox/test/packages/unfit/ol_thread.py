import threading
import time

threading.Thread(target=time.sleep, args=(60,), name="a-thread-of-its-own", daemon=True).start()
