"""What no well-behaved server puts on the wire, in two forms that suit two kinds of test.

`RawServer` answers scripted bytes: for one call, where every byte is the test's. `Fault` adds to the emulator's own
kinds those that nobody would rehearse: for many calls, where the emulator's state, selectors and journal matter.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, ClassVar, Self

from kallglot_async.emulator.envelopes import phrase
from kallglot_async.emulator.faults.wire import CustomFault, Line

__all__ = [
    "WIRE_KINDS",
    "Connection",
    "Fault",
    "RawServer",
    "Script",
    "analysis",
    "answer",
    "closing",
    "dripping",
    "late",
    "silent",
]

_NO_LINGER = struct.pack("ii", 1, 0)  # SO_LINGER of zero seconds turns a close into a TCP reset
_HEAD_START = 0.005  # seconds before a reset, which overtakes bytes that the peer has not read yet


class Connection:
    """One accepted connection, as a script sees it."""

    def __init__(self, server: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.server = server
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        """Put bytes on the wire as they are."""
        self.writer.write(data)
        with suppress(ConnectionError):
            await self.writer.drain()

    def close(self) -> None:
        """Close in order."""
        self.writer.close()

    def reset(self) -> None:
        """Send a TCP reset."""
        sock: socket.socket = self.writer.get_extra_info("socket")
        if not self.writer.transport.is_closing():
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        self.writer.transport.abort()


Script = bytes | Callable[[Connection], Awaitable[None]]


def answer(body: bytes, *headers: str, status: str = "200 OK", length: int | None = None) -> bytes:
    """Return a complete answer; `length` replaces the true length of the body."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body) if length is None else length}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def analysis(id: str = "ana_1", **changes: Any) -> bytes:
    """Return the JSON of a settled analysis of revision A."""
    fields = {"id": id, "object": "analysis", "session_id": "sess_1", "status": "complete", "results": {}}
    return json.dumps(fields | changes).encode()


def closing(data: bytes = b"", *, reset: bool = False) -> Script:
    """Return a script that sends `data` and then closes the connection, or resets it."""

    async def script(connection: Connection) -> None:
        if data:
            await connection.send(data)
        if reset:
            await asyncio.sleep(_HEAD_START)
            connection.reset()
        else:
            connection.close()

    return script


def late(data: bytes, seconds: float) -> Script:
    """Return a script that sends `data` after so many seconds."""

    async def script(connection: Connection) -> None:
        await asyncio.sleep(seconds)
        await connection.send(data)

    return script


def dripping(data: bytes, interval: float) -> Script:
    """Return a script that sends `data` byte by byte, with so many seconds before each."""

    async def script(connection: Connection) -> None:
        for place in range(len(data)):
            await asyncio.sleep(interval)
            await connection.send(data[place : place + 1])

    return script


async def silent(connection: Connection) -> None:
    """Never answer."""
    await connection.server.stopped.wait()


class RawServer:
    """Answers the n-th request it gets with the n-th script, and every later one with the last.

    Args:
        scripts: Bytes to send as they are, or a function that does something to the connection.
        tls: Makes it speak TLS.
        host: A numeric loopback address.
        port: Where it listens; 0 takes a free one.

    Attributes:
        requests: Every whole request (head and body), in the order of arrival.
        on_connection: For each request the number, from 0, of the connection that it came on.
        connections: How many connections were accepted.
    """

    def __init__(
        self, *scripts: Script, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1", port: int = 0
    ) -> None:
        self._scripts: Sequence[Script] = scripts or (answer(analysis()),)
        self._tls = tls
        self._host = host
        self.port = port
        self._open: set[asyncio.StreamWriter] = set()
        self.requests: list[bytes] = []
        self.on_connection: list[int] = []
        self.connections = 0

    async def __aenter__(self) -> Self:
        self.stopped = asyncio.Event()
        self._server = await asyncio.start_server(self._serve, self._host, self.port, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.stopped.set()
        for writer in list(self._open):
            writer.transport.abort()
        for _ in range(5):  # let aborted connections and held scripts end
            await asyncio.sleep(0)
        await self._server.wait_closed()

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        return f"http{'s' if self._tls else ''}://{self._host}:{self.port}"

    @property
    def base_url(self) -> str:
        """What a client takes as its base URL."""
        return f"{self.origin}/v1"

    def script(self, *scripts: Script) -> None:
        """Answer the next requests like this: where an answer names the server's own address, which is known now."""
        self._scripts = [answer(analysis())] * len(self.requests) + list(scripts)

    def heal(self, *, after: int | None = None) -> None:
        """Answer as it should from the request with this number (from 0) on; None: from the next one on."""
        place = len(self.requests) if after is None else after
        scripts = [*self._scripts[:place], *[self._scripts[-1]] * (place - len(self._scripts))]
        self._scripts = [*scripts, answer(analysis())]

    def stop_listening(self) -> None:
        """Refuse new connections from now on."""
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = self.connections
        self.connections += 1
        self._open.add(writer)
        connection = Connection(self, reader, writer)
        try:
            while not writer.is_closing():
                self.requests.append(await _read_request(reader))
                self.on_connection.append(number)
                script = self._scripts[min(len(self.requests), len(self._scripts)) - 1]
                if isinstance(script, bytes):
                    await connection.send(script)
                else:
                    await script(connection)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._open.discard(writer)
            writer.close()


async def _read_request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return head + await reader.readexactly(int(line.partition(b":")[2]))
    return head


# Faults of the emulator that are of no use but to try an HTTP stack.


async def _garbage(line: Line, fault: CustomFault) -> None:
    # The first bytes of a TLS record, then text.
    line.transport.write(
        b"\x15\x03\x01\x00\x02\x02\x50 this is not HTTP\r\n\r\n" if fault.body is None else fault.body.encode()
    )
    line.transport.close()


async def _reset_in_head(line: Line, fault: CustomFault) -> None:
    head = line.sized_head()
    line.transport.write(head[: len(head) // 2])
    await line.hold(_HEAD_START)
    line.abort()


async def _reset_in_body(line: Line, fault: CustomFault) -> None:
    line.transport.write(line.sized_head(missing=1) + line.answer.body[: len(line.answer.body) // 2])
    await line.hold(_HEAD_START)
    line.abort()


async def _cut_chunked(line: Line, fault: CustomFault) -> None:
    line.transport.write(_first_chunk(line))
    line.transport.close()


async def _bad_chunk(line: Line, fault: CustomFault) -> None:
    line.transport.write(_first_chunk(line) + b"size\r\n" + line.answer.body[len(line.answer.body) // 2 :])
    line.transport.close()


def _first_chunk(line: Line) -> bytes:
    half = line.answer.body[: len(line.answer.body) // 2]
    return line.head("Transfer-Encoding: chunked") + b"%x\r\n" % len(half) + half + b"\r\n"


async def _drip_head(line: Line, fault: CustomFault) -> None:
    await line.drip(line.sized_head() + line.answer.body, fault.interval)


async def _bad_status_line(line: Line, fault: CustomFault) -> None:
    first = b"HTTP/1.1 2OO OK" if fault.body is None else fault.body.encode()
    line.transport.write(first + b"\r\n" + line.sized_head().partition(b"\r\n")[2] + line.answer.body)
    line.transport.close()


async def _two_lengths(line: Line, fault: CustomFault) -> None:
    size = len(line.answer.body)
    line.transport.write(line.head(f"Content-Length: {size}\r\nContent-Length: {size + 1}") + line.answer.body)
    line.transport.close()


async def _header_flood(line: Line, fault: CustomFault) -> None:
    count = 10_000 if fault.size is None else fault.size
    flood = "".join(f"X-Flood-{number}: {number}\r\n" for number in range(count))
    line.transport.write(line.head(f"{flood}Content-Length: {len(line.answer.body)}") + line.answer.body)
    line.transport.close()


async def _trailing_bytes(line: Line, fault: CustomFault) -> None:
    more = b"\r\n<!-- served by node 7 -->" if fault.body is None else fault.body.encode()
    line.transport.write(line.sized_head() + line.answer.body + more)
    line.transport.close()


async def _bad_gzip(line: Line, fault: CustomFault) -> None:
    packed = gzip.compress(line.answer.body, mtime=0)
    # The last eight bytes are checksum and length.
    spoiled = packed[:-8] + bytes(byte ^ 0xFF for byte in packed[-8:-4]) + packed[-4:]
    line.transport.write(line.head(f"Content-Encoding: gzip\r\nContent-Length: {len(spoiled)}") + spoiled)
    line.transport.close()


async def _slow_close(line: Line, fault: CustomFault) -> None:
    line.transport.write(line.head("Connection: close") + line.answer.body)
    await line.hold(fault.delay)
    line.transport.close()


async def _early_hints(line: Line, fault: CustomFault) -> None:
    line.transport.write(b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n")


async def _unsolicited(line: Line, fault: CustomFault) -> None:
    status, body = fault.status or 408, (fault.body or "").encode()
    data = f"HTTP/1.1 {status} {phrase(status)}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body

    def send() -> None:
        if not line.transport.is_closing():
            line.transport.write(data)

    # At the soonest when the genuine answer, which the emulator sends after this, has been read.
    asyncio.get_running_loop().call_later(max(fault.delay, _HEAD_START), send)


_ACTS: dict[str, Callable[[Line, CustomFault], Awaitable[None]]] = {
    "garbage": _garbage,
    "reset_in_head": _reset_in_head,
    "reset_in_body": _reset_in_body,
    "cut_chunked": _cut_chunked,
    "drip_head": _drip_head,
    "bad_status_line": _bad_status_line,
    "two_lengths": _two_lengths,
    "bad_chunk": _bad_chunk,
    "header_flood": _header_flood,
    "trailing_bytes": _trailing_bytes,
    "bad_gzip": _bad_gzip,
    "slow_close": _slow_close,
    "early_hints": _early_hints,
    "unsolicited": _unsolicited,
}

WIRE_KINDS = frozenset(_ACTS)
"""The kinds that `Fault` adds to the emulator's own."""


class Fault(CustomFault, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A fault of any kind, the emulator's own included.

    `garbage` (bytes that are no HTTP), `reset_in_head` and `reset_in_body` (TCP reset half-way), `cut_chunked` (a
    chunked body without its end), `drip_head` (head and body one byte per `interval`), `bad_status_line`,
    `two_lengths` (two `Content-Length` that differ), `bad_chunk` (a chunk without a size), `header_flood` (`size`
    headers), `trailing_bytes` (more than `Content-Length`), `bad_gzip` (compressed, with a wrong checksum),
    `slow_close` (no length, and closed only after `delay`), `early_hints` (a 103 before the answer), `unsolicited`
    (one more answer, `delay` after it on the idle connection, as balancers do that give a connection up). `body`
    replaces what is sent beside the genuine answer.
    """

    kinds: ClassVar[frozenset[str]] = CustomFault.kinds | WIRE_KINDS
    silent: ClassVar[frozenset[str]] = CustomFault.silent | {"garbage"}
    spoilers: ClassVar[frozenset[str]] = CustomFault.spoilers | WIRE_KINDS - {"garbage"}

    kind: str  # type: ignore[assignment]  # wider than the emulator's own

    def act(self, line: Line) -> Awaitable[None] | None:
        """Commit the fault, if it is one of those above."""
        return _ACTS[self.kind](line, self) if self.kind in _ACTS else None
