"""Pid 1 of a sandbox tree: starts the zygote, reaps orphans, and is what the tree's life hangs on.

It is never a zygote itself: a zygote and its leaves would all be pid 1 of their namespaces, and every library
that tells a fork by its changed pid (OpenSSL's generator, for one) would give them the same random numbers.

Started by the broker with the control socket as descriptor 3 and a log pipe as standard error.
"""

import os
import socket
import sys

CONTROL_FD = 3
OOM_SCORE_ADJ = "500"


def main() -> None:
    import ol_kernel as kernel

    from ol_guest import seccomp, zygote
    from ol_guest.settings import Settings

    settings_text = sys.argv[1]
    settings = Settings.parse(settings_text)
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    if "seccomp" not in settings.weaken:
        kernel.SeccompFilter(seccomp.tree_filter()).install()
    # A root's broker has done so already, and better; an ordinary user's cannot.
    with open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
        file.write(OOM_SCORE_ADJ)
    pid = os.fork()
    if pid == 0:
        control = socket.socket(fileno=CONTROL_FD)
        zygote.Zygote(control, settings).run()
        os._exit(0)
    os.close(CONTROL_FD)
    kernel.set_capabilities(())
    _reap_until_alone()


def _reap_until_alone() -> None:
    """The zygote's leaves become ours when it dies; they live on, and the tree ends with the last of them."""
    while True:
        try:
            os.wait()
        except ChildProcessError:
            return


if __name__ == "__main__":
    main()
