"""Webhooks as a handler of aiohttp.web."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

from aiohttp import web

from kallglot_async.receivers._reception import (
    MAX_BODY,
    Reception,
    Reply,
    SeenEvents,
    Target,
)
from kallglot_async.webhooks import SIGNATURE_HEADER, TOLERANCE, Secrets

__all__ = ["aiohttp_handler"]


def aiohttp_handler(
    target: Target,
    secrets: Secrets,
    *,
    max_body: int = MAX_BODY,
    tolerance: float = TOLERANCE,
    clock: Callable[[], float] = time.time,
    seen: SeenEvents | None = None,
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """Return a handler for aiohttp.web that takes webhooks in, for `app.router.add_post(path, handler)`.

    `kallglot_async.receivers` says what it answers when. It is for one event loop, as the inbox is.

    Args:
        target: An inbox, or a function that is called with each new event; what it returns is awaited if it can be.
        secrets: The endpoint's signing secret, or several while it is being changed.
        max_body: Bytes of a body at most; the application's own `client_max_size` does not matter.
        tolerance: Seconds that a signature may be old, or ahead of the clock.
        clock: Unix seconds.
        seen: Where processes share which events they have accepted, as `kallglot_async.receivers` shows it; None: each
            remembers its own.

    Raises:
        ConfigurationError: There is no secret, an empty one, a senseless figure, or a target that takes no events.
    """
    reception = Reception(target, secrets, max_body=max_body, tolerance=tolerance, clock=clock, seen=seen)

    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            reply = await _answer(reception, request)
        except (web.RequestPayloadError, OSError):
            # The client has gone, or its framing is broken.
            reply = Reply(400, "Cut short")
        headers = None if reply.header is None else dict([reply.header])
        return web.Response(status=reply.status, text=reply.text, headers=headers)

    return handle


async def _answer(reception: Reception, request: web.Request) -> Reply:
    headers = request.headers
    refusal = reception.refuse_head(request.method, headers.get("Content-Length"), headers.get("Content-Encoding"))
    if refusal is not None:
        return refusal
    body = await reception.body(_read(reception, request))
    if isinstance(body, Reply):
        return body
    signatures = headers.getall(SIGNATURE_HEADER, [])
    return await reception.receive(body, ",".join(signatures) if signatures else None)


async def _read(reception: Reception, request: web.Request) -> bytes | Reply:
    """Return the whole body, or the answer to one that is too large."""
    if request.content.at_eof():
        # There is none, or a middleware has had it: then aiohttp has kept what `read` gave.
        kept = await request.read()
        return reception.refuse_size(len(kept)) or kept
    body = bytearray()
    # Not `request.read()`, which ends at the application's `client_max_size`.
    async for piece in request.content.iter_any():
        body += piece
        if (refusal := reception.refuse_size(len(body))) is not None:
            return refusal
    return bytes(body)
