"""Sending answers, and the faults that happen while they are sent."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable

from aiohttp import web

from kallglot_async.emulator.envelopes import Answer, phrase
from kallglot_async.emulator.faults.plan import Fault

# What `garbage` sends unless told otherwise: the first bytes of a TLS record, then text.
_GARBAGE = b"\x15\x03\x01\x00\x02\x02\x50 this is not HTTP\r\n\r\n"

# What `trailing_bytes` adds unless told otherwise.
_TRAILER = b"\r\n<!-- served by node 7 -->"

_MANY_HEADERS = 10_000

_SILENT = frozenset({"reset", "close", "hang", "garbage"})

_NO_ANSWER = Answer(status=200, body=b"")

# SO_LINGER on with zero seconds turns a close into a TCP reset.
_NO_LINGER = struct.pack("ii", 1, 0)

# Before a reset in the middle, so that the peer has read what came first; a reset may overtake unread bytes.
# Also between an answer and the one that nobody asked for.
_HEAD_START = 0.005


class Stop:
    """Tells exchanges that are held back by a fault that the emulator is closing."""

    __slots__ = ("_held", "_is_set")

    def __init__(self) -> None:
        self._is_set = False
        self._held: set[asyncio.Future[None]] = set()

    def set(self) -> None:
        """Let go of everything that is held back, now and from now on."""
        self._is_set = True
        for future in self._held:
            _release(future)

    async def hold(self, seconds: float | None) -> bool:
        """Wait so many seconds (None: for ever); True if the emulator stopped meanwhile."""
        if self._is_set:
            return True
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        timer = None if seconds is None else loop.call_later(seconds, _release, future)
        self._held.add(future)
        try:
            await future
        finally:
            self._held.discard(future)
            if timer is not None:
                timer.cancel()
        return self._is_set


def _release(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def plain_response(answer: Answer | None) -> web.StreamResponse:
    """The answer as an ordinary response; None makes one for a connection on which nothing will be sent."""
    if answer is None:
        return web.Response()
    return web.Response(
        status=answer.status,
        reason=phrase(answer.status),
        body=answer.body,
        headers=answer.headers,
    )


async def faulty_response(
    request: web.BaseRequest, answer: Answer | None, fault: Fault, stop: Stop
) -> web.StreamResponse:
    """Deliver the way the fault wants it.

    Args:
        request: Whose connection is used.
        answer: What to send; None for faults that send no answer.
        fault: The fault that was drawn.
        stop: Ends whatever the fault holds back.

    Returns:
        A response for aiohttp; on a connection that the fault has closed it is dropped silently.
    """
    transport = request.transport
    act = _ACTS.get(fault.kind)
    # No transport: the client has gone already.
    if act is not None and transport is not None:
        await act(_Line(transport, answer or _NO_ANSWER, fault, stop))
    return plain_response(answer)


def sends_no_answer(fault: Fault) -> bool:
    """Whether nothing of an answer is sent, so that none needs to be made."""
    return fault.kind in _SILENT


def sends_no_status(fault: Fault) -> bool:
    """Whether the client cannot know the status: it never sees the whole head."""
    return fault.kind in _SILENT or fault.kind in {"reset_in_head", "bad_status_line"}


class _Line:
    """One connection and what is to happen on it."""

    __slots__ = ("_transport", "answer", "fault", "stop")

    def __init__(self, transport: asyncio.Transport, answer: Answer, fault: Fault, stop: Stop) -> None:
        self._transport = transport
        self.answer = answer
        self.fault = fault
        self.stop = stop

    def send(self, data: bytes) -> None:
        """Put bytes on the wire as they are."""
        self._transport.write(data)

    def close(self) -> None:
        """Close in order: what was sent arrives first."""
        self._transport.close()

    def abort(self) -> None:
        """Reset the connection."""
        sock: socket.socket | None = self._transport.get_extra_info("socket")
        if sock is not None and not self._transport.is_closing():
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        self._transport.abort()

    async def drip(self, data: bytes) -> None:
        """Send byte by byte, then close; ends early when the emulator stops or the client goes."""
        for place in range(len(data)):
            if self._transport.is_closing() or await self.stop.hold(self.fault.interval):
                break
            self.send(data[place : place + 1])
        self.close()

    def image(self, framing: str) -> tuple[bytes, bytes]:
        """Head and body as they would be on the wire."""
        lines = [f"HTTP/1.1 {self.answer.status} {phrase(self.answer.status)}"]
        lines += (f"{name}: {value}" for name, value in self.answer.headers.items())
        return "\r\n".join([*lines, framing, "", ""]).encode(), self.answer.body

    def later(self, seconds: float, data: bytes) -> None:
        """Put bytes on the wire after the answer, if the connection is still there by then."""
        transport = self._transport

        def send() -> None:
            if not transport.is_closing():
                transport.write(data)

        asyncio.get_running_loop().call_later(max(seconds, _HEAD_START), send)

    def sized(self, missing: int = 0) -> tuple[bytes, bytes]:
        """Head with a `Content-Length`, which can promise more than the body has."""
        return self.image(f"Content-Length: {len(self.answer.body) + missing}")


async def _reset(line: _Line) -> None:
    line.abort()


async def _close(line: _Line) -> None:
    line.close()


async def _hang(line: _Line) -> None:
    await line.stop.hold(None)
    line.abort()


async def _garbage(line: _Line) -> None:
    line.send(_GARBAGE if line.fault.body is None else line.fault.body.encode())
    line.close()


async def _reset_in_head(line: _Line) -> None:
    head, _ = line.sized()
    line.send(head[: len(head) // 2])
    await line.stop.hold(_HEAD_START)
    line.abort()


async def _reset_in_body(line: _Line) -> None:
    head, body = line.sized(missing=1)
    line.send(head + body[: len(body) // 2])
    await line.stop.hold(_HEAD_START)
    line.abort()


async def _cut_body(line: _Line) -> None:
    head, body = line.sized(missing=1)
    line.send(head + body[: len(body) // 2])
    line.close()


async def _cut_chunked(line: _Line) -> None:
    head, body = line.image("Transfer-Encoding: chunked")
    half = body[: len(body) // 2]
    line.send(head + f"{len(half):x}\r\n".encode() + half + b"\r\n")
    line.close()


async def _drip(line: _Line) -> None:
    head, body = line.sized()
    line.send(head)
    await line.drip(body)


async def _drip_head(line: _Line) -> None:
    await line.drip(b"".join(line.sized()))


async def _slow(line: _Line) -> None:
    if await line.stop.hold(line.fault.delay):
        line.abort()


async def _bad_status_line(line: _Line) -> None:
    head, body = line.sized()
    first = "HTTP/1.1 2OO OK" if line.fault.body is None else line.fault.body
    line.send(first.encode() + head[head.index(b"\r\n") :] + body)
    line.close()


async def _two_lengths(line: _Line) -> None:
    size = len(line.answer.body)
    line.send(b"".join(line.image(f"Content-Length: {size}\r\nContent-Length: {size + 1}")))
    line.close()


async def _bad_chunk(line: _Line) -> None:
    head, body = line.image("Transfer-Encoding: chunked")
    half = body[: len(body) // 2]
    line.send(head + f"{len(half):x}\r\n".encode() + half + b"\r\nsize\r\n" + body[len(half) :])
    line.close()


async def _header_flood(line: _Line) -> None:
    count = _MANY_HEADERS if line.fault.size is None else line.fault.size
    flood = "".join(f"X-Flood-{number}: {number}\r\n" for number in range(count))
    line.send(b"".join(line.image(f"{flood}Content-Length: {len(line.answer.body)}")))
    line.close()


async def _trailing_bytes(line: _Line) -> None:
    line.send(b"".join(line.sized()) + (_TRAILER if line.fault.body is None else line.fault.body.encode()))
    line.close()


async def _slow_close(line: _Line) -> None:
    line.send(b"".join(line.image("Connection: close")))
    await line.stop.hold(line.fault.delay)
    line.close()


async def _early_hints(line: _Line) -> None:
    line.send(b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n")


async def _unsolicited(line: _Line) -> None:
    status = line.fault.status or 408
    body = (line.fault.body or "").encode()
    head = f"HTTP/1.1 {status} {phrase(status)}\r\nContent-Length: {len(body)}\r\n\r\n"
    line.later(line.fault.delay, head.encode() + body)


_ACTS: dict[str, Callable[[_Line], Awaitable[None]]] = {
    "reset": _reset,
    "close": _close,
    "hang": _hang,
    "garbage": _garbage,
    "reset_in_head": _reset_in_head,
    "reset_in_body": _reset_in_body,
    "cut_body": _cut_body,
    "cut_chunked": _cut_chunked,
    "drip": _drip,
    "drip_head": _drip_head,
    "slow": _slow,
    "bad_status_line": _bad_status_line,
    "two_lengths": _two_lengths,
    "bad_chunk": _bad_chunk,
    "header_flood": _header_flood,
    "trailing_bytes": _trailing_bytes,
    "slow_close": _slow_close,
    "early_hints": _early_hints,
    "unsolicited": _unsolicited,
}
