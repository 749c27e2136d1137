"""What a file is for: the kind of its batch and what is asked for, which stay what they were when it was made."""

from __future__ import annotations

import sqlite3
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from kallglot_async._checks import shown
from kallglot_async._core.api.analyses import check_request, create_analysis
from kallglot_async._version import __version__
from kallglot_async.errors import ConfigurationError
from kallglot_async.models.requests import Kind

__all__ = ["BatchIdentity", "Wish", "settle", "stored"]


class Wish(msgspec.Struct, frozen=True):
    """What a caller asks of a file.

    Attributes:
        kind: The kind, or None for that of the file, or that which the request means.
        request: The body of the request, or None for that of the file.
    """

    kind: Kind | None
    request: dict[str, Any] | None

    @classmethod
    def of(cls, kind: object, request: Mapping[str, Any]) -> Wish:
        """Return the wish of a call's arguments.

        Raises:
            ConfigurationError: There is no such kind, or it takes no request, or the request cannot be made.
            TypeError: The request has a keyword that there is not.
        """
        check_request("open_batch", request)
        if request and kind is None:
            kind = "analyze"
        match kind:
            case None | "wait" | "retrieve":
                if request:
                    named = ", ".join(name for name, value in request.items() if value is not None)
                    raise ConfigurationError(
                        f"a batch of kind {kind} requests nothing, so {named} cannot be used: "
                        "leave that out, or name the kind analyze"
                    )
                return cls(kind, None)
            case "analyze":
                # Kept as the API would get it, so that two ways to write one request are one.
                body = create_analysis("sess_any", idempotency_key="any", **request).body
                return cls("analyze", msgspec.json.decode(body or b"{}") if request else None)
            case _:
                raise ConfigurationError(f"kind is wait, retrieve or analyze, not {shown(kind)}")


class BatchIdentity(msgspec.Struct, frozen=True, kw_only=True):
    """What a file is for.

    Attributes:
        kind: What is done with its ids.
        request: What is asked for of each session, where analyses are requested.
        name: Unique to the file: its idempotency keys are made of it.
        version: The version of the library that made it.
        made_at: Unix seconds.
    """

    kind: Kind
    request: dict[str, Any]
    name: str
    version: str
    made_at: float

    def __str__(self) -> str:
        if self.kind != "analyze":
            return self.kind
        return f"{self.kind} with {msgspec.json.encode(self.request).decode()}"

    def check(self, wish: Wish, path: Path) -> None:
        """Refuse to use the file for something else.

        Raises:
            ConfigurationError: Another kind, or another request, than the file's was asked for.
        """
        kind = self.kind if wish.kind is None else wish.kind
        request = self.request if wish.request is None else wish.request
        if (kind, request) != (self.kind, self.request):
            other = msgspec.structs.replace(self, kind=kind, request=request)
            raise ConfigurationError(
                f"{path} is a batch of kind {self}, and cannot be one of kind {other}: name another file for that"
            )


def stored(connection: sqlite3.Connection) -> BatchIdentity | None:
    """Return what a file is for; None where that is not decided yet."""
    found = dict(connection.execute("SELECT key, value FROM batch"))
    if not found:
        return None
    return msgspec.convert({name: msgspec.json.decode(value) for name, value in found.items()}, BatchIdentity)


def settle(connection: sqlite3.Connection, wish: Wish, path: Path) -> BatchIdentity:
    """Return what a file is for, and decide it, in the caller's transaction, where it is new.

    Raises:
        ConfigurationError: It is for something else.
    """
    identity = stored(connection)
    if identity is None:
        identity = BatchIdentity(
            kind=wish.kind or "wait",
            request=wish.request or {},
            name=uuid.uuid4().hex,
            version=__version__,
            made_at=time.time(),
        )
        rows = [(name, msgspec.json.encode(value).decode()) for name, value in msgspec.structs.asdict(identity).items()]
        connection.executemany("INSERT INTO batch (key, value) VALUES (?, ?)", rows)
    identity.check(wish, path)
    return identity
