"""One process of `benchmarks.sharing`: it gets ready, starts when it is told to, and tells what came of it."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from contextlib import AsyncExitStack
from typing import Any

import aiohttp

from kallglot_async import KallglotClient, KallglotError
from kallglot_async.models import ClientEvent, ResponseEvent
from kallglot_async.shared import SharedRateLimiter

KEY = "sk_test_emulator"
LIMIT, PERIOD = 600, 10  # what the peers are told; ours learn it
WORKERS = 16  # of a peer: enough to use what it grants
GAP = 0.25  # seconds between two direct calls


async def started() -> None:
    """Say that this process is ready, and wait until all are."""
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)


async def ours(url: str, redis: str | None, ids: list[str], *, is_beside: bool, is_paced: bool) -> dict[str, Any]:
    """Fetch analyses that have settled, or wait for them; in one process, make direct calls beside that."""
    elapsed: dict[str, float] = {}

    def hear(event: ClientEvent) -> None:
        if isinstance(event, ResponseEvent) and "direct" in event.path:
            elapsed[event.path.rpartition("/")[2]] = event.elapsed

    async with AsyncExitStack() as stack:
        limiter = await stack.enter_async_context(SharedRateLimiter(redis)) if redis else None
        listener = hear if is_beside else None
        client = await stack.enter_async_context(
            KallglotClient(KEY, base_url=url, rate_limit=limiter, on_event=listener, max_attempts=10)
        )
        await started()
        queued: list[float] = []

        async def beside() -> None:
            for number in range(10_000):
                await asyncio.sleep(GAP)
                id, began = f"ana_direct{number}", time.perf_counter()
                await client.analyses.retrieve(id, timeout=60.0)
                queued.append(time.perf_counter() - began - elapsed[id])

        calls = asyncio.create_task(beside()) if is_beside else None
        if is_paced:
            outcomes = await client.wait_many(ids, timeout=None)
        else:
            outcomes = await client.analyses.retrieve_many(ids, timeout=None)
        if calls is not None:
            calls.cancel()
            await asyncio.wait([calls])
        stats = client.stats
        return {"done": len(outcomes.analyses), "refused": stats.refused, "queued": queued}


async def peer(candidate: str, url: str, redis: str, ids: list[str]) -> dict[str, Any]:
    """Ask a limiter library before each request, as its documentation shows; what is refused is sent again."""
    acquire = await (limits_of(redis) if candidate == "limits" else pyrate_of(redis))
    await started()
    waiting, refused, done = list(reversed(ids)), 0, 0

    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {KEY}"}) as session:

        async def work() -> None:
            nonlocal refused, done
            while waiting:
                id = waiting.pop()
                await acquire()
                async with session.get(f"{url}/analysis/{id}") as response:
                    if response.status == 429:
                        refused += 1
                        waiting.append(id)
                        await asyncio.sleep(float(response.headers.get("Retry-After", "1")))
                    else:
                        done += 1

        await asyncio.gather(*(work() for _ in range(WORKERS)))
    return {"done": done, "refused": refused, "queued": []}


async def limits_of(redis: str) -> Any:
    """Return what waits for `limits`: it says no, and when its window is over."""
    import limits
    from limits.aio.storage import RedisStorage
    from limits.aio.strategies import MovingWindowRateLimiter

    limiter = MovingWindowRateLimiter(RedisStorage(f"async+{redis}", implementation="redispy"))
    item = limits.parse(f"{LIMIT} per {PERIOD} seconds")

    async def acquire() -> None:
        while not await limiter.hit(item, "analysis"):  # noqa: ASYNC110  # it tells nobody
            await asyncio.sleep(0.05)

    return acquire


async def pyrate_of(redis: str) -> Any:
    """Return what waits for `pyrate-limiter`, which sleeps by itself."""
    from pyrate_limiter import Duration, Limiter, Rate, RedisBucket
    from redis.asyncio import Redis

    bucket = await RedisBucket.init([Rate(LIMIT, Duration.SECOND * PERIOD)], Redis.from_url(redis), "analysis")
    limiter = Limiter(bucket)

    async def acquire() -> None:
        await limiter.try_acquire_async("analysis")

    return acquire


async def main(candidate: str, name: str, number: str, url: str, redis: str) -> None:
    """Run, and print what came of it."""
    ids = [f"ana_{name}x{place}" for place in range(int(number))]
    try:
        if candidate in ("alone", "ours", "paced"):
            server = None if candidate == "alone" else redis
            told = await ours(url, server, ids, is_beside=name == "p0", is_paced=candidate == "paced")
        else:
            told = await peer(candidate, url, redis, ids)
    except KallglotError as error:
        told = {"done": 0, "refused": 0, "queued": [], "error": str(error)}
    print(json.dumps(told), flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
