"""Network `outbound`: the host's network, without this machine's own addresses.

A table of the packet filter (nftables) names the user ids that are refused (uids.py). It belongs to a child process,
`nft -i`, by the table's flag `owner`: nobody else can change it, and the kernel removes it when that process ends. The
child ends with the broker, however that ends, so nothing is ever left to sweep.

It is made when somebody needs it for the first time: it switches on connection tracking for the whole machine, which is
not for those to pay who never use this network.
"""

import contextlib
import os
import selectors
import shutil
import signal
import subprocess
import time
import typing

import ol_kernel as kernel

from ol_host import resolv
from ol_host.uids import REFUSED_UIDS
from ol_host.wire import Refused

_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
# It takes 10 ms; this bounds a machine that hangs.
_NFT_SEC = 5.0
# Where clouds answer, with credentials too, whoever asks from inside the machine: link-local addresses, and those of
# Alibaba, Azure, Amazon and Google that are not link-local.
_METADATA_V4 = ("169.254.0.0/16", "100.100.100.200", "168.63.129.16")
_METADATA_V6 = ("fe80::/10", "fd00:ec2::254", "fd20:ce::254")
_INSTEAD = "use network none or host for this lambda"


def rules(table: str, first_uid: int, nameservers: "typing.Sequence[str]") -> str:
    """The table, as the one line that nft takes it in as one transaction.

    Addresses are looked at twice: before others' rules translate them (Docker's published ports are translated from
    this machine's addresses to a container's) and after (others translate to this machine's own). Broadcast and
    multicast packets come back to this machine's own sockets, so they are refused too. A sandbox answers nobody:
    replies of connections that others began are dropped, and TCP's second step, for machines that do not track all
    connections.
    """
    v4, v6 = resolv.by_family(nameservers)
    to_dns = "meta l4proto { tcp, udp } th dport 53"
    body = [
        *(f"{to_dns} ip daddr {_set(v4)} accept" for _ in v4[:1]),
        *(f"{to_dns} ip6 daddr {_set(v6)} accept" for _ in v6[:1]),
        "fib daddr type { local, broadcast, anycast, multicast } goto no",
        f"ip daddr {_set(_METADATA_V4)} goto no",
        f"ip6 daddr {_set(_METADATA_V6)} goto no",
        "ct direction reply drop",
        "tcp flags & (syn | ack) == (syn | ack) drop",
    ]
    uids = f"meta skuid {first_uid + REFUSED_UIDS.start}-{first_uid + REFUSED_UIDS[-1]}"
    # A reset, because over IPv6 a refusal by ICMP takes a second to be heard.
    chains = ["chain no { meta l4proto tcp reject with tcp reset; reject with icmpx admin-prohibited; }"]
    chains.append(f"chain refused {{ {'; '.join(body)}; }}")
    for name, priority in (("early", -300), ("late", 10)):
        hook = f"type filter hook output priority {priority}; policy accept"
        chains.append(f"chain {name} {{ {hook}; {uids} jump refused; }}")
    return f"add table inet {table} {{ flags owner; {'; '.join(chains)}; }}"


def _set(addresses: "typing.Sequence[str]") -> str:
    return "{ " + ", ".join(addresses) + " }"


def is_complete(listing: str) -> bool:
    """Whether nft listed a table that is owned and has both chains' rules: some forms of the command above make a
    table without them and report no error."""
    return "\tflags owner\n" in listing and listing.count(" jump refused\n") == 2


class Outbound:
    """The table, in force or not. `lost` is called if nft ends by itself; the table is gone then."""

    def __init__(
        self,
        table: str,
        first_uid: "int | None",
        nameservers: "typing.Sequence[str]",
        selector: selectors.BaseSelector,
        lost: "typing.Callable[[str], None]",
    ) -> None:
        # Of this process's own: that of a killed predecessor may still be on its way out.
        self._table = f"{table}-{os.getpid()}"
        # None: an ordinary user's sandboxes have no ids to tell them apart by.
        self._first_uid = first_uid
        self._nameservers = nameservers
        self._selector = selector
        self._lost = lost
        self._process: "subprocess.Popen[bytes] | None" = None
        self._pidfd = -1

    def ensure(self) -> None:
        """Puts the table in force if it is not; raises OL_SANDBOX_NETWORK_UNAVAILABLE if that cannot be."""
        if self._process is not None and self._process.poll() is not None:
            # Dead, and the news not heard yet: first what ran under the rules has to go.
            self._on_death()
        if self._process is not None:
            return
        if self._first_uid is None:
            raise _unavailable(
                "needs a worker that was started by root: the packet filter tells sandboxes apart by user id, and an "
                f"ordinary user has one only; {_INSTEAD}"
            )
        if shutil.which("nft", path=_PATH) is None:
            raise _unavailable(
                f"needs nftables, and there is no nft in {_PATH}; install it (Debian: apt-get install nftables), or "
                f"{_INSTEAD}"
            )
        try:
            self._start(rules(self._table, self._first_uid, self._nameservers))
        except OSError as error:
            raise _unavailable(
                f"could not set up its packet filter: {error}. It needs nftables 1.0 and a kernel with nf_tables, "
                f"fib and connection tracking; or {_INSTEAD}"
            ) from error

    def _start(self, table: str) -> None:
        with contextlib.ExitStack() as undo:
            process = subprocess.Popen(
                ["nft", "-i"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd="/",
                # It would write its history to the user's home.
                env={"PATH": _PATH, "HOME": "/dev/null", "LANG": "C"},
                preexec_fn=_die_with_broker,
            )
            undo.callback(_end, process)
            assert process.stdin is not None and process.stdout is not None and process.stderr is not None
            with process.stdout, process.stderr:
                # If it has ended already, what it said before tells more than this error.
                with contextlib.suppress(BrokenPipeError):
                    os.write(process.stdin.fileno(), f"{table}\nlist table inet {self._table}\n".encode())
                _await_table(process.stdout.fileno(), process.stderr.fileno())
            self._pidfd = os.pidfd_open(process.pid)
            undo.pop_all()
        self._process = process
        self._selector.register(self._pidfd, selectors.EVENT_READ, self._on_death)

    def _on_death(self) -> None:
        if self._process is None or self._process.poll() is None:
            # News of a predecessor, whose descriptor had the same number.
            return
        status = self._forget()
        if status is not None:
            self._lost(f"nft, which held the rules of network outbound, ended with status {status}")

    def close(self) -> None:
        """Removes the table."""
        self._forget()

    def _forget(self) -> "int | None":
        process, self._process = self._process, None
        if process is None:
            return None
        self._selector.unregister(self._pidfd)
        os.close(self._pidfd)
        return _end(process)


def _await_table(output: int, errors: int) -> None:
    """Waits until nft has listed the table, or has said why there is none."""
    deadline = time.monotonic() + _NFT_SEC
    texts = {output: "", errors: ""}
    with selectors.DefaultSelector() as selector:
        for descriptor in texts:
            selector.register(descriptor, selectors.EVENT_READ)
        while "\n}\n" not in texts[output]:
            ready = selector.select(max(0.0, deadline - time.monotonic()))
            if not ready:
                raise OSError(f"nft did not answer within {_NFT_SEC:.0f} s")
            for key, _events in ready:
                data = os.read(key.fd, 65_536)
                texts[key.fd] += data.decode(errors="replace")
                if not data:
                    selector.unregister(key.fd)
            if texts[errors] or not selector.get_map():
                reason = texts[errors].strip().split("\n")[0] or "it ended without a word"
                raise OSError(f"nft: {reason}")
    if not is_complete(texts[output]):
        raise OSError("nft made a table without the rules that it was given")


def _end(process: "subprocess.Popen[bytes]") -> int:
    process.kill()
    if process.stdin is not None:
        process.stdin.close()
    return process.wait()


def _unavailable(reason: str) -> Refused:
    return Refused("OL_SANDBOX_NETWORK_UNAVAILABLE", f"network outbound {reason}")


def _die_with_broker() -> None:
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
