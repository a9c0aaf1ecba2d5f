"""How a web app hears that its client went away."""

from __future__ import annotations

from typing import Optional


class ClientGone(ConnectionResetError):
    """Raised where an app reads from a client, or writes to one, that is gone."""

    def __init__(self) -> None:
        super().__init__("the client is gone")


def is_for_its_sake(error: BaseException) -> bool:
    """Whether this is a ClientGone, or what an app or its framework made of one: nothing that has to be explained."""
    return _leads_to_it(error, set())


def _leads_to_it(error: Optional[BaseException], done: set[int]) -> bool:
    if error is None or id(error) in done:
        return False
    if isinstance(error, ClientGone):
        return True
    done.add(id(error))
    others = (error.__cause__, error.__context__, *getattr(error, "exceptions", ()))
    return any(_leads_to_it(other, done) for other in others)
