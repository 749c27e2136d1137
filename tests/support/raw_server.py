"""A server on 127.0.0.1 that answers scripted bytes: for faults that no well-behaved server commits."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, Self

__all__ = ["Connection", "RawServer", "Script", "analysis", "answer", "closing", "silent"]

_NO_LINGER = struct.pack("ii", 1, 0)  # SO_LINGER of zero seconds turns a close into a TCP reset


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
            await asyncio.sleep(0.005)  # a reset overtakes bytes that the peer has not read yet
            connection.reset()
        else:
            connection.close()

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
