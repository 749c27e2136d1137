"""The candidates of `storm` and `documented`: ours, the documented loops, real SDKs' own pollers, a told dispatcher.

Each is a function of a server, ids and `deliver`, which it calls with each id the moment that its result is there.
It returns the exceptions of the waits that failed. The SDKs are dependencies of the benchmarks only.
"""

from __future__ import annotations

import asyncio
import importlib.util
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version

import aiohttp

from benchmarks._peer_server import PeerServer
from benchmarks._trials import Deliver, Run
from kallglot_async import KallglotClient

INTERVAL = 2.0  # s between two polls, as documented
GIVE_UP = 120.0  # s in all, as documented
RETRIES = 3  # `maxRetries` of the documented sample client
FALLBACK = 30.0  # s, where a 429 has no Retry-After, as there

PollOne = Callable[[str], Awaitable[object]]


class RefusedError(Exception):
    """429, and the loop does not try again."""


class StillPendingError(Exception):
    """The loop gave up."""


async def each(ids: list[str], poll: PollOne, deliver: Deliver) -> list[BaseException]:
    """Wait for every id in a task of its own."""

    async def one(id: str) -> None:
        await poll(id)
        deliver(id)

    outcomes = await asyncio.gather(*(one(id) for id in ids), return_exceptions=True)
    return [outcome for outcome in outcomes if isinstance(outcome, BaseException)]


# -- ours


def client_of(server: PeerServer, random: Callable[[], float]) -> KallglotClient:
    """Return a client with every default."""
    return KallglotClient(server.api_key, base_url=server.base_url, random=random)


async def wait_many(client: KallglotClient, ids: list[str], deliver: Deliver) -> list[BaseException]:
    """One call for all."""
    outcomes = await client.wait_many(ids, on_outcome=lambda outcome: deliver(outcome.id) if outcome.analysis else None)
    return list(outcomes.errors.values())


async def ours_together(
    server: PeerServer, ids: list[str], deliver: Deliver, *, random: Callable[[], float]
) -> list[BaseException]:
    """`client.wait_many(ids)`."""
    async with client_of(server, random) as client:
        return await wait_many(client, ids, deliver)


async def ours_apart(
    server: PeerServer, ids: list[str], deliver: Deliver, *, random: Callable[[], float]
) -> list[BaseException]:
    """A task with `client.wait(id)` for every id."""
    async with client_of(server, random) as client:
        return await each(ids, client.wait, deliver)


# -- loops on bare aiohttp


def _session(server: PeerServer) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(headers={"Authorization": f"Bearer {server.api_key}"})


async def _get(session: aiohttp.ClientSession, url: str, retries: int) -> bool:
    """Whether it has settled; a 429 is waited out up to `retries` times."""
    for left in range(retries, -1, -1):
        async with session.get(url) as response:
            if response.status == 200:
                return bool((await response.json())["status"] == "complete")
            assert response.status == 429, response.status
            if not left:
                raise RefusedError
            pause = float(response.headers.get("Retry-After", FALLBACK))
        await asyncio.sleep(pause)
    raise AssertionError


async def documented(session: aiohttp.ClientSession, url: str, retries: int) -> None:
    """The documented poller: GET, sleep 2 s, give up after 120 s in all."""
    loop = asyncio.get_running_loop()
    ends_at = loop.time() + GIVE_UP
    while loop.time() < ends_at:
        if await _get(session, url, retries):
            return
        await asyncio.sleep(INTERVAL)
    raise StillPendingError


async def documented_loop(
    server: PeerServer, ids: list[str], deliver: Deliver, *, retries: int = 0
) -> list[BaseException]:
    """The documented poller, once for every id."""
    async with _session(server) as session:
        return await each(ids, lambda id: documented(session, f"{server.base_url}/analysis/{id}", retries), deliver)


async def semaphore_loop(
    server: PeerServer, ids: list[str], deliver: Deliver, *, at_once: int, retries: int = RETRIES
) -> list[BaseException]:
    """The documented poller under `gather` and a semaphore, so many at once."""
    semaphore = asyncio.Semaphore(at_once)
    async with _session(server) as session:

        async def poll(id: str) -> None:
            async with semaphore:
                await documented(session, f"{server.base_url}/analysis/{id}", retries)

        return await each(ids, poll, deliver)


async def told_dispatcher(server: PeerServer, ids: list[str], deliver: Deliver, *, rate: float) -> list[BaseException]:
    """The documented interval, first come first served, behind a pacer that was told the limit."""
    loop = asyncio.get_running_loop()
    queue = deque((loop.time(), id) for id in ids)  # in the order of the due times, as the interval is the same
    news = asyncio.Event()
    slot_at = loop.time()
    open_ids = len(ids)

    async def poll(session: aiohttp.ClientSession, id: str) -> None:
        nonlocal open_ids
        if await _get(session, f"{server.base_url}/analysis/{id}", 0):
            deliver(id)
            open_ids -= 1
        else:
            queue.append((loop.time() + INTERVAL, id))
        news.set()

    async with _session(server) as session, asyncio.TaskGroup() as group:
        while open_ids:
            if not queue:
                news.clear()
                await news.wait()
                continue
            due, id = queue.popleft()
            slot_at = max(slot_at + 1.0 / rate, due, loop.time())
            await asyncio.sleep(slot_at - loop.time())
            group.create_task(poll(session, id))
    return []


# -- real SDKs, each with the settings it comes with

Opener = Callable[[PeerServer], AbstractAsyncContextManager[PollOne]]


@asynccontextmanager
async def _openai(server: PeerServer) -> AsyncIterator[PollOne]:
    import openai

    async with openai.AsyncOpenAI(api_key="none", base_url=server.prefix("openai")) as client:
        yield partial(client.vector_stores.files.poll, vector_store_id="vs_1")


@asynccontextmanager
async def _assemblyai(server: PeerServer) -> AsyncIterator[PollOne]:
    import assemblyai

    settings = assemblyai.Settings(api_key="none", base_url=server.prefix("assemblyai"))
    async with assemblyai.AsyncClient(settings=settings) as client:
        yield assemblyai.AsyncTranscriber(client=client).get_by_id


@asynccontextmanager
async def _replicate(server: PeerServer) -> AsyncIterator[PollOne]:
    from replicate.client import Client

    client = Client(api_token="none", base_url=server.prefix("replicate"))  # noqa: S106  # any will do

    async def poll(id: str) -> None:
        prediction = await client.predictions.async_get(id)
        await prediction.async_wait()
        assert prediction.status == "succeeded"

    yield poll


@asynccontextmanager
async def _fal(server: PeerServer) -> AsyncIterator[PollOne]:
    import fal_client
    import httpx

    async with httpx.AsyncClient() as client:

        async def poll(id: str) -> None:
            url = f"{server.prefix('fal')}/app/requests/{id}"  # as the service names them when it takes a request
            handle = fal_client.AsyncRequestHandle(id, url, f"{url}/status", f"{url}/cancel", client=client)
            await handle.get()

        yield poll


@dataclass(frozen=True)
class Sdk:
    """A real SDK and its own helper that polls until the end."""

    package: str
    module: str
    helper: str
    opener: Opener

    @property
    def name(self) -> str:
        """What it is called in a table."""
        return f"{self.package} {version(self.package)}, {self.helper}" if self.is_installed else self.package

    @property
    def is_installed(self) -> bool:
        """Whether it can be measured here."""
        return importlib.util.find_spec(self.module) is not None

    async def run(self, server: PeerServer, ids: list[str], deliver: Deliver) -> list[BaseException]:
        """Have its helper poll every id."""
        async with self.opener(server) as poll:
            return await each(ids, poll, deliver)


SDKS = (
    Sdk("openai", "openai", "vector_stores.files.poll", _openai),
    Sdk("assemblyai", "assemblyai", "AsyncTranscriber.get_by_id", _assemblyai),
    Sdk("replicate", "replicate", "Prediction.async_wait", _replicate),
    Sdk("fal-client", "fal_client", "AsyncRequestHandle.get", _fal),
)


def loops() -> dict[str, Run]:
    """Return what people write themselves."""
    return {
        "documented loop, 429 raises": documented_loop,
        f"documented loop, Retry-After {RETRIES} times": partial(documented_loop, retries=RETRIES),
        "the same behind Semaphore(50)": partial(semaphore_loop, at_once=50),
    }
