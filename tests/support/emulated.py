"""An emulator and somebody who asks it: a bare HTTP client, a session, or a socket."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from kallglot_async.emulator import Emulator, Fault, Latency
from kallglot_async.emulator.settings import Settings

EPOCH = 1_800_000_000.0
"""2027-01-15T08:00:00Z, a multiple of a minute, so that windows begin with the emulator."""

A_BODY = {"analyses": ["sentiment", "summary"], "language": "en"}
B_BODY = {"profile": "default", "include": ["summary", "performance"]}
CREATE = "/sessions/sess_01HXYZ123456789/analysis"

HEADERS = {"Authorization": "Bearer sk_test_emulator"}
HANDSHAKE = b"GET /v1/analysis/%s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer sk_test_emulator\r\n\r\n"

REVISIONS = pytest.mark.parametrize("revision", ["a", "b"])


class Client:
    """A bare HTTP client: every call gives (status, headers, body), decoded if it is JSON."""

    def __init__(self, session: aiohttp.ClientSession, emulator: Emulator) -> None:
        self.session = session
        self.emulator = emulator

    async def get(self, path: str, **options: Any) -> tuple[int, Any, Any]:
        return await self.request("GET", path, **options)

    async def post(self, path: str, body: Any, *, key: str | None = None) -> tuple[int, Any, Any]:
        headers = {} if key is None else {"Idempotency-Key": key}
        return await self.request("POST", path, json=body, headers=headers)

    async def request(self, method: str, path: str, **options: Any) -> tuple[int, Any, Any]:
        """Ask with the key; a path that is a whole URL is taken as it is."""
        url = path if path.startswith("http:") else self.emulator.base_url + path
        headers = HEADERS | options.pop("headers", {})
        async with self.session.request(method, url, headers=headers, allow_redirects=False, **options) as response:
            is_json = response.content_type == "application/json"
            return response.status, response.headers, await (response.json() if is_json else response.read())

    async def fetch(self, url: str, **headers: str) -> tuple[int, Any, bytes]:
        """Ask without the key."""
        async with self.session.get(url, headers=headers) as response:
            return response.status, response.headers, await response.read()


@contextlib.asynccontextmanager
async def serving(**changes: Any) -> AsyncIterator[Client]:
    """An emulator whose analyses are ready at once, unless told otherwise, and a client of it."""
    options: Any = {"epoch": EPOCH, "latency": Latency.immediate()} | changes
    async with Emulator(**options) as emulator, aiohttp.ClientSession() as session:
        yield Client(session, emulator)


@contextlib.asynccontextmanager
async def faulty(*faults: Fault, **changes: Any) -> AsyncIterator[tuple[Emulator, aiohttp.ClientSession, str]]:
    """An emulator without limits that commits faults, a session with its key, and the URL of an analysis."""
    options: Any = {"plan": "unlimited", "latency": Latency.immediate(), "epoch": EPOCH} | changes
    async with Emulator(faults=faults, **options) as emulator, aiohttp.ClientSession(headers=HEADERS) as session:
        [id] = emulator.seed_analyses(1)
        yield emulator, session, f"{emulator.base_url}/analysis/{id}"


def settings(**options: Any) -> Settings:
    """What an emulator is told by these options, for one part of it by itself."""
    return Emulator(**options)._settings


def port(emulator: Emulator) -> int:
    """Where it listens."""
    return int(emulator.origin.rpartition(":")[2])


async def seen_by_a_socket(emulator: Emulator, *, is_kept: bool = False) -> tuple[bytes, BaseException | None]:
    """What a socket sees of the answer, and how the connection ended (None: in order, or kept alive)."""
    [id] = (analysis.id for analysis in emulator.analyses())
    reader, writer = await asyncio.open_connection("127.0.0.1", port(emulator))
    writer.write(HANDSHAKE % id.encode())
    seen = b""
    try:
        while not (is_kept and seen.endswith(b"}")) and (data := await reader.read(65536)):
            seen += data
    except ConnectionResetError as error:
        return seen, error
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
    return seen, None
