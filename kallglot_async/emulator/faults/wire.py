"""Sending answers, and the faults that happen while they are sent."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable
from contextlib import suppress

import msgspec
from aiohttp import hdrs, web

from kallglot_async.emulator.envelopes import Answer, phrase
from kallglot_async.emulator.faults.plan import Fault

# SO_LINGER on with zero seconds turns a close into a TCP reset.
_NO_LINGER = struct.pack("ii", 1, 0)


class _AsDecided(web.Response):
    """A response without the `Date` that aiohttp adds where none was decided."""

    async def _prepare_headers(self) -> None:
        has_date = hdrs.DATE in self.headers
        await super()._prepare_headers()
        if not has_date:
            del self.headers[hdrs.DATE]


def plain_response(answer: Answer | None) -> web.StreamResponse:
    """The answer as an ordinary response; None makes one for a connection on which nothing will be sent."""
    if answer is None:
        return web.Response()
    return _AsDecided(status=answer.status, reason=phrase(answer.status), body=answer.body, headers=answer.headers)


class Line(msgspec.Struct):
    """One connection, past aiohttp (what a fault sends need not be HTTP), and the answer that would be sent on it."""

    transport: asyncio.Transport
    answer: Answer
    stop: asyncio.Event
    """Set when the emulator closes, which lets go of whatever is held back."""

    async def hold(self, seconds: float | None) -> bool:
        """Wait so many seconds (None: for ever); True if the emulator closes meanwhile."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.stop.wait()
        return self.stop.is_set()

    def abort(self) -> None:
        """Reset the connection."""
        # asyncio's own abort() closes in order where nothing is left unread: only the option makes it a reset.
        sock: socket.socket | None = self.transport.get_extra_info("socket")
        if sock is not None and not self.transport.is_closing():
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        self.transport.abort()

    async def drip(self, data: bytes, interval: float) -> None:
        """Send byte by byte, then close; ends early when the emulator stops or the client goes."""
        for place in range(len(data)):
            if self.transport.is_closing() or await self.hold(interval):
                break
            self.transport.write(data[place : place + 1])
        self.transport.close()

    def head(self, framing: str) -> bytes:
        """The answer's head as it would be on the wire, with the header that says where the body ends."""
        lines = [f"HTTP/1.1 {self.answer.status} {phrase(self.answer.status)}"]
        lines += (f"{name}: {value}" for name, value in self.answer.headers.items())
        return "\r\n".join([*lines, framing, "", ""]).encode()

    def sized_head(self, missing: int = 0) -> bytes:
        """The head with a `Content-Length`, which can promise more than the body has."""
        return self.head(f"Content-Length: {len(self.answer.body) + missing}")


class CustomFault(Fault, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The base of faults that bring a behaviour of their own: selectors, journal and budget are as for any other.

    The kinds here are those that a user has reason to rehearse. What only a test of an HTTP stack wants to see is
    written there, as a subclass that widens `kinds`.
    """

    def act(self, line: Line) -> Awaitable[None] | None:
        """What happens on the wire; None leaves it to the emulator, for the kinds that it knows."""
        return None


async def faulty_response(
    request: web.BaseRequest, answer: Answer | None, fault: Fault, stop: asyncio.Event
) -> web.StreamResponse:
    """Deliver the way the fault wants it; a response on a connection that it has closed is dropped silently."""
    transport = request.transport
    if transport is not None:
        await _act(fault, Line(transport, answer or Answer(status=200, body=b""), stop))
    return plain_response(answer)


async def _act(fault: Fault, line: Line) -> None:
    if isinstance(fault, CustomFault) and (custom := fault.act(line)) is not None:
        await custom
        return
    match fault.kind:
        case "reset":
            line.abort()
        case "close":
            line.transport.close()
        case "hang":  # ends with the emulator, or by cancellation when the client goes
            await line.hold(None)
            line.abort()
        case "cut_body":
            # One byte more than there is: a body that is empty, or has one byte, can be cut too.
            line.transport.write(line.sized_head(missing=1) + line.answer.body[: len(line.answer.body) // 2])
            line.transport.close()
        case "drip":
            # At once, so that a client's time limit for the head does not help it.
            line.transport.write(line.sized_head())
            await line.drip(line.answer.body, fault.interval)
        case "slow":
            if await line.hold(fault.delay):
                line.abort()
