"""A TCP proxy on 127.0.0.1 that mistreats what a server sends, with the names that Toxiproxy gave its toxics."""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import suppress
from typing import Self

__all__ = ["ChaosProxy"]

_NO_LINGER = struct.pack("ii", 1, 0)  # SO_LINGER of zero seconds turns a close into a TCP reset
_HEAD_START = 0.005  # seconds before a reset, which overtakes bytes that the peer has not read yet


class ChaosProxy:
    """Passes connections on to a port of this machine; the server's bytes meet the toxics on their way back.

    Args:
        upstream: The port that it stands in front of.
        latency: Seconds that every piece is held back.
        slicer: Sends one byte at a time, with so many seconds between two.
        limit_data: Closes the connection after so many bytes.
        reset_peer: Resets the connection after so many bytes.
        slow_close: Seconds between the server's close and the client's notice of it.
        timeout: Lets no byte through and never closes.
        times: How many connections are mistreated, from the first on; None: all.

    Attributes:
        connections: How many connections were accepted.
    """

    def __init__(
        self,
        upstream: int,
        *,
        latency: float = 0.0,
        slicer: float | None = None,
        limit_data: int | None = None,
        reset_peer: int | None = None,
        slow_close: float = 0.0,
        timeout: bool = False,
        times: int | None = None,
    ) -> None:
        self._upstream = upstream
        self._latency = latency
        self._slicer = slicer
        self._limit = limit_data if reset_peer is None else reset_peer
        self._resets = reset_peer is not None
        self._slow_close = slow_close
        self._timeout = timeout
        self._times = times
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self.connections = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        for writer in list(self._writers):
            writer.transport.abort()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    @property
    def base_url(self) -> str:
        """What a client takes as its base URL."""
        return f"http://127.0.0.1:{self.port}/v1"

    def heal(self) -> None:
        """Pass every later connection on as it is."""
        self._times = self.connections

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        is_toxic = self._times is None or self.connections < self._times
        self.connections += 1
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._upstream)
        self._writers |= {writer, up_writer}
        back = self._toxic if is_toxic else self._plain
        for work in (self._plain(reader, up_writer), back(up_reader, writer)):
            task = asyncio.create_task(work)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _plain(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        self._close(writer)

    async def _toxic(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        left = self._limit
        with suppress(ConnectionError):
            while left != 0 and (data := await reader.read(65536)):
                if self._timeout:
                    continue
                await asyncio.sleep(self._latency)
                data = data[:left]
                left = None if left is None else left - len(data)
                await self._send(data, writer)
        if left == 0 and self._resets:
            await asyncio.sleep(_HEAD_START)
            self._reset(writer)
            return
        await asyncio.sleep(self._slow_close)
        if not self._timeout:
            self._close(writer)

    async def _send(self, data: bytes, writer: asyncio.StreamWriter) -> None:
        step = len(data) if self._slicer is None else 1
        for place in range(0, len(data), step):
            if self._slicer:
                await asyncio.sleep(self._slicer)
            writer.write(data[place : place + step])
            await writer.drain()

    def _close(self, writer: asyncio.StreamWriter) -> None:
        self._writers.discard(writer)
        writer.close()

    def _reset(self, writer: asyncio.StreamWriter) -> None:
        sock: socket.socket = writer.get_extra_info("socket")
        if not writer.transport.is_closing():
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        writer.transport.abort()
        self._writers.discard(writer)
