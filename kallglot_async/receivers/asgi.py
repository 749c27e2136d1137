"""Webhooks as an ASGI application, for any server or framework that speaks ASGI."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from typing import TypeAlias

from kallglot_async.receivers._reception import (
    MAX_BODY,
    NOT_FOUND,
    Reception,
    Reply,
    SeenEvents,
    Target,
)
from kallglot_async.webhooks import SIGNATURE_HEADER, TOLERANCE, Body, Secrets

__all__ = ["WebhookApp"]

Message: TypeAlias = Mapping[str, object]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[dict[str, object]], Awaitable[None]]

_SIGNATURE = SIGNATURE_HEADER.lower().encode()


class WebhookApp:
    """An ASGI application that takes webhooks in; `kallglot_async.receivers` says what it answers when.

    Give it a route of its own, in Starlette and FastAPI with
    `app.routes.append(Route("/webhooks/kallglot", WebhookApp(...)))`. Their `app.mount` serves what is below a path and
    redirects the path itself, and a redirect is a failed delivery to Kallglot: with
    `app.mount("/webhooks", WebhookApp(..., path="/kallglot"))` there is none.

    It is for one event loop, as the inbox is.

    Args:
        target: An inbox, or a function that is called with each new event; what it returns is awaited if it can be.
        secrets: The endpoint's signing secret, or several while it is being changed.
        path: The only path, below that of a mount, which is served, with or without slashes around it; None: all.
        max_body: Bytes of a body at most.
        tolerance: Seconds that a signature may be old, or ahead of the clock.
        clock: Unix seconds.
        seen: Where processes share which events they have accepted, as `kallglot_async.receivers` shows it; None: each
            remembers its own.

    Raises:
        ConfigurationError: There is no secret, an empty one, a senseless figure, or a target that takes no events.
    """

    __slots__ = ("_path", "_reception")

    def __init__(
        self,
        target: Target,
        secrets: Secrets,
        *,
        path: str | None = None,
        max_body: int = MAX_BODY,
        tolerance: float = TOLERANCE,
        clock: Callable[[], float] = time.time,
        seen: SeenEvents | None = None,
    ) -> None:
        # Routers hand on one slash more or less.
        self._path = None if path is None else path.strip("/")
        self._reception = Reception(target, secrets, max_body=max_body, tolerance=tolerance, clock=clock, seen=seen)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one connection scope: a request, or the server's start and end."""
        kind = scope["type"]
        if kind == "lifespan":
            await _live(receive, send)
        elif kind == "websocket":
            # Before it is accepted, this is an answer of 403.
            await send({"type": "websocket.close", "code": 1000, "reason": ""})
        elif kind == "http":
            reply = await self._answer(scope, receive)
            if reply is not None:
                # OSError is what servers raise where the client has gone; then nobody is there to be told.
                with suppress(OSError):
                    await _send(reply, send)
        else:
            raise ValueError(f"this application serves http and lifespan, not {kind!r}")

    async def _answer(self, scope: Message, receive: Receive) -> Reply | None:
        """Return the answer, or None where the client has gone."""
        if self._path is not None and _path_below_mount(scope).strip("/") != self._path:
            return NOT_FOUND
        length, encoding = (_first(scope, name) for name in (b"content-length", b"content-encoding"))
        refusal = self._reception.refuse_head(str(scope["method"]), length, encoding)
        if refusal is not None:
            return refusal
        body = await self._reception.body(self._read(receive))
        if not isinstance(body, bytes):
            return body
        # Sent twice it makes one header with two `t`, which is refused.
        signatures = _values(scope, _SIGNATURE)
        return await self._reception.receive(body, b",".join(signatures) if signatures else None)

    async def _read(self, receive: Receive) -> bytes | Reply | None:
        """Return the whole body, the answer to one that is too large, or None where the client has gone."""
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            piece = message.get("body", b"")
            # Whatever a middleware has collected it in; of what is no bytes, the signature will not fit.
            body += piece if isinstance(piece, Body) else b""
            # With every piece: what the head says of the length may be missing, or less.
            if (refusal := self._reception.refuse_size(len(body))) is not None:
                return refusal
            if not message.get("more_body", False):
                return bytes(body)


def _path_below_mount(scope: Message) -> str:
    path, root, outer = (str(scope.get(name) or "") for name in ("path", "root_path", "app_root_path"))
    # Whether the path has that of the mount in it differs between frameworks, and their releases; and of a prefix that
    # a proxy has cut off, which Starlette calls the application's own, only the root path may tell.
    for mount in (root, root.removeprefix(outer)):
        # With a slash behind each, "/web" is no mount of "/webhooks".
        if mount and f"{path}/".startswith(f"{mount}/"):
            return path.removeprefix(mount)
    return path


def _values(scope: Message, name: bytes) -> list[bytes]:
    headers = scope.get("headers")
    # Pairs of bytes with lower-case names, says the specification.
    return [value for key, value in headers if key == name] if isinstance(headers, Iterable) else []


def _first(scope: Message, name: bytes) -> str | None:
    values = _values(scope, name)
    return values[0].decode("latin-1") if values else None


async def _send(reply: Reply, send: Send) -> None:
    body = reply.text.encode()
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(body))]
    if reply.header is not None:
        name, value = reply.header
        headers.append((name.lower().encode(), value.encode()))
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


async def _live(receive: Receive, send: Send) -> None:
    """Say at the server's start and end that there is nothing to wait for."""
    while True:
        kind = (await receive())["type"]
        await send({"type": f"{kind}.complete"})
        if kind == "lifespan.shutdown":
            return
