"""CPU per request with 64 in flight on loopback: ours with every feature on, beside aiohttp used directly.

The server runs in a process of its own, so what is counted is the client's CPU alone. Many short rounds, so that
each candidate has a quiet one; `python -m benchmarks.instructions` counts instructions instead.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import count

import aiohttp
import httpx
import msgspec

from benchmarks._server import sample_server
from benchmarks._timing import best_of_async
from kallglot_async import KallglotClient
from kallglot_async.models import Analysis

IN_FLIGHT = 64
WAITS = 100  # single waits at once, as in a web backend
KEY = "sk_test_benchmark"
BAR = "to_stock 1.0, to_tuned 1.25"

Fetch = Callable[[str], Awaitable[object]]


def _workers(fetch: Fetch) -> Callable[[int], Awaitable[object]]:
    """Return a run of `number` fetches, 64 at once."""

    async def run(number: int) -> None:
        ids = iter([f"ana_{place}" for place in range(number)])

        async def work() -> None:
            for id in ids:
                await fetch(id)

        await asyncio.gather(*(work() for _ in range(IN_FLIGHT)))

    return run


@asynccontextmanager
async def candidates() -> AsyncIterator[dict[str, Callable[[int], Awaitable[object]]]]:
    """Give a run of so many fetches for each candidate, with the server there."""
    decode = msgspec.json.Decoder(Analysis).decode
    headers = {"Authorization": f"Bearer {KEY}"}
    fresh = count()
    async with (
        sample_server() as base_url,
        aiohttp.ClientSession(headers=headers) as stock,
        aiohttp.ClientSession(headers=headers, cookie_jar=aiohttp.DummyCookieJar()) as tuned,
        httpx.AsyncClient(headers=headers, limits=httpx.Limits(max_connections=IN_FLIGHT)) as plain,
        KallglotClient(KEY, base_url=base_url, max_in_flight=IN_FLIGHT) as client,
    ):

        async def with_stock(id: str) -> object:
            async with stock.get(f"{base_url}/analysis/{id}") as response:
                return await response.json()

        async def with_tuned(id: str) -> object:
            async with tuned.get(f"{base_url}/analysis/{id}") as response:
                return decode(await response.read())

        async def with_httpx(id: str) -> object:
            return (await plain.get(f"{base_url}/analysis/{id}")).json()

        async def with_wait_many(number: int) -> None:
            batch = next(fresh)
            outcomes = await client.wait_many([f"ana_{batch}_{place}" for place in range(number)])
            assert not outcomes.errors

        async def with_waits(number: int) -> None:
            batch = next(fresh)
            ids = [f"ana_{batch}_{place}" for place in range(number)]
            for start in range(0, number, WAITS):
                await asyncio.gather(*(client.wait(id) for id in ids[start : start + WAITS]))

        async def with_retrieve_many(number: int) -> None:
            outcomes = await client.analyses.retrieve_many([f"ana_{place}" for place in range(number)])
            assert not outcomes.errors

        yield {
            "kallglot_async retrieve": _workers(client.analyses.retrieve),
            "kallglot_async retrieve_many": with_retrieve_many,
            "kallglot_async wait_many": with_wait_many,
            "kallglot_async wait": with_waits,
            "stock aiohttp + json": _workers(with_stock),
            "tuned aiohttp + msgspec": _workers(with_tuned),
            "httpx": _workers(with_httpx),
        }


async def _measure(rounds: int, number: int) -> dict[str, float]:
    async with candidates() as found:
        return await best_of_async(found, rounds, number)


def run(*, quick: bool) -> list[dict[str, object]]:
    """Fetch many analyses; returns one row a candidate."""
    seconds = asyncio.run(_measure(rounds=3 if quick else 20, number=1_000))
    stock, tuned = seconds["stock aiohttp + json"], seconds["tuned aiohttp + msgspec"]
    return [
        {
            "benchmark": "request",
            "candidate": name,
            "us": round(value * 1e6, 1),
            "to_stock": round(value / stock, 3),
            "to_tuned": round(value / tuned, 3),
            "bar": BAR if name == "kallglot_async retrieve" else None,
        }
        for name, value in seconds.items()
    ]


if __name__ == "__main__":
    from benchmarks.__main__ import main

    main("request")
