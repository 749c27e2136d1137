"""A server whose answers a function gives: for outages, gateways and replicas."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from email.utils import formatdate
from typing import Any, Self

from support.virtual import now
from support.wire_faults import analysis, answer

from kallglot_async import KallglotClient

__all__ = ["KEY", "WALL", "Answering", "Outage", "Request", "client_of", "created", "envelope", "page", "running"]

KEY = "sk_test_canary7Qx2"
WALL = 1_800_000_000.0
"""The server's wall clock, in Unix seconds, when the loop's is at zero."""


class Request:
    """One request, as the function sees it.

    Attributes:
        at: Seconds since the server was started.
        method: Its method.
        path: Its path.
        id: What the path ends with.
        headers: By lower-case name.
        connection: The number, from 0, of the connection that it came on.
    """

    def __init__(self, head: str, at: float, connection: int) -> None:
        first, *lines = head.split("\r\n")
        self.method, self.path, _ = first.split(" ")
        self.id = self.path.rpartition("/")[2]
        self.headers = {name.lower(): text.strip() for name, _, text in (line.partition(":") for line in lines)}
        self.at = at
        self.connection = connection


def page(status: int, *headers: str, body: bytes = b"<html>No</html>") -> bytes:
    """Return what a gateway answers, who does not know the API's envelope."""
    return answer(body, *headers, status=f"{status} No")


def envelope(status: int, *headers: str, **fields: Any) -> bytes:
    """Return a refusal of the API's own."""
    body = {"error": {"code": "no", "message": "No.", "type": "invalid_request_error"} | fields}
    return answer(json.dumps(body).encode(), *headers, status=f"{status} No")


def running(id: str, *headers: str, **changes: Any) -> bytes:
    """Return an analysis that has not settled."""
    return answer(analysis(id, status="processing", **changes), *headers)


class Answering:
    """Answers each request as `handler` says: with bytes, or not at all, and the connection is closed (None).

    A handler that is a coroutine function takes its time.
    """

    def __init__(self, handler: Callable[[Request], Awaitable[bytes | None] | bytes | None]) -> None:
        self._handler = handler
        self._open: set[asyncio.StreamWriter] = set()
        self.requests: list[Request] = []
        self.connections = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.base_url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"
        self._started = now()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for writer in list(self._open):
            writer.transport.abort()
        for _ in range(5):
            await asyncio.sleep(0)
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = self.connections
        self.connections += 1
        self._open.add(writer)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                request = Request(head, now() - self._started, number)
                await reader.readexactly(int(request.headers.get("content-length", 0)))
                self.requests.append(request)
                said = self._handler(request)
                if isinstance(said, Awaitable):
                    said = await said
                if said is None:
                    return
                date = formatdate(WALL + request.at, usegmt=True)
                first, _, rest = said.partition(b"\r\n")
                writer.write(first + b"\r\nDate: " + date.encode() + b"\r\n" + rest)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._open.discard(writer)
            writer.close()


def created(request: Request) -> bytes:
    """Return the answer to a request for an analysis, whose id is made of the session's."""
    session = request.path.split("/")[-2]
    body = analysis(f"ana_{session}", session_id=session, status="queued")
    return answer(body, status="201 Created")


class Outage:
    """An API where all that begins at `starts` fails for some seconds; what is asked for has settled at `ready`."""

    def __init__(self, fault: bytes | None, seconds: float, *, starts: float = 0.0, ready: float = 0.0) -> None:
        self.fault, self.seconds, self.starts, self.ready = fault, seconds, starts, ready

    def __call__(self, request: Request) -> bytes | None:
        if request.method == "POST":
            return created(request)
        if self.starts <= request.at < self.starts + self.seconds and request.id != "ana_warm":
            return self.fault
        return answer(analysis(request.id)) if request.at >= self.ready else running(request.id)


@asynccontextmanager
async def client_of(
    handler: Callable[[Request], Awaitable[bytes | None] | bytes | None], *, is_warm: bool = True, **options: Any
) -> AsyncIterator[tuple[Answering, KallglotClient]]:
    """A client that the API has answered before, unless it is a cold one; afterwards nothing of it is left."""
    settings: dict[str, Any] = {"random": random.Random(5).random} | options
    async with Answering(handler) as server, KallglotClient(KEY, base_url=server.base_url, **settings) as client:
        if is_warm:
            await client.analyses.retrieve("ana_warm")
            server.requests.clear()
        yield server, client
        assert (client.rate_limit.in_flight, client.rate_limit.waiting, client.stats.waiting_for) == (0, 0, 0)
