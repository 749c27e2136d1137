"""Analyses that are requested and waited for by single calls, more of them than the limit has room for.

For ten minutes calls come evenly, as in a web backend: `load` times as many as the limit could serve with two requests
each, the one that asks for the analysis and one that finds it. Analyses are ready after 22 to 30 s, each wait may take
120 s. `of_possible` is what was delivered beside what came, or what two requests each allow in the time it took,
whichever is less; `in_vain` was requested, and paid for, and not delivered. Processes that share no limiter have the
calls in turn: each learns only as its polls wait how little there is for it. Virtual time, real sockets.

    python -m benchmarks.overload [--quick] [--seed N]
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from itertools import product

import aiohttp

from benchmarks import _peers
from benchmarks._peer_server import PeerServer
from benchmarks._trials import EPOCH, Row, in_virtual_time, quantile, seeded, verdict
from kallglot_async import KallglotClient
from kallglot_async.emulator import Latency

ROUND_TRIP = 0.05
READY = (22.0, 30.0)
SECONDS = 600.0
LIMITS = ((30, 60.0), (60, 60.0), (150, 60.0), (10, 1.0))
LOADS = (0.8, 1.0, 1.2, 2.0, 4.0)
REFUSED = 429

Call = Callable[[str], Awaitable[object]]


async def analyze(client: KallglotClient, session: str) -> object:
    """One call for both."""
    return await client.analyze(session, analyses=["summary"])


async def create_and_wait(client: KallglotClient, session: str) -> object:
    """A call for each."""
    return await client.wait((await client.analyses.create(session, analyses=["summary"])).id)


async def in_turn(
    clients: list[KallglotClient], call: Callable[[KallglotClient, str], Awaitable[object]], session: str
) -> object:
    """A call in one of so many processes, one after the other."""
    return await call(clients[int(session.removeprefix("sess_")) % len(clients)], session)


async def documented(server: PeerServer, http: aiohttp.ClientSession, session: str) -> object:
    """The documented request, and the documented poller behind it; a 429 is waited out three times."""
    for left in range(_peers.RETRIES, -1, -1):
        async with http.post(
            f"{server.base_url}/sessions/{session}/analysis", json={"analyses": ["summary"]}
        ) as answer:
            if answer.status != REFUSED:
                id = (await answer.json())["id"]
                break
            if not left:
                raise _peers.RefusedError
            pause = float(answer.headers.get("Retry-After", _peers.FALLBACK))
        await asyncio.sleep(pause)
    return await _peers.documented(http, f"{server.base_url}/analysis/{id}", _peers.RETRIES)


async def calls(server: PeerServer, call: Call, number: int) -> tuple[list[float], Counter[str]]:
    """Call so many times, evenly; returns the seconds of those that were answered, and how the others ended."""
    took: list[float] = []

    async def one(place: int) -> None:
        await asyncio.sleep(place * SECONDS / number)
        began = server.now
        await call(f"sess_{place}")
        took.append(server.now - began)

    ended = await asyncio.gather(*(one(place) for place in range(number)), return_exceptions=True)
    return took, Counter(type(error).__name__ for error in ended if error is not None)


def measure(candidate: str, limit: tuple[int, float], load: float, seed: int) -> Row:
    """Return one line of the table."""
    return in_virtual_time(partial(_measure, candidate, limit, load, seed))


async def _measure(candidate: str, limit: tuple[int, float], load: float, seed: int) -> Row:
    count, per = limit
    number = round(load * SECONDS * count / per / 2)
    latency = Latency.uniform(*READY)
    async with PeerServer(
        round_trip=ROUND_TRIP, seed=seed, rate_limit=limit, latency=latency, epoch=EPOCH + 10.37
    ) as server:
        started = server.now
        if candidate in OURS:
            call, processes = OURS[candidate]
            async with AsyncExitStack() as stack:
                clients = [_peers.client_of(server, seeded(seed + place)) for place in range(processes)]
                for client in clients:
                    await stack.enter_async_context(client)
                took, lost = await calls(server, partial(in_turn, clients, call), number)
        else:
            processes = 0
            async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {server.api_key}"}) as http:
                took, lost = await calls(server, partial(documented, server, http), number)
        possible = min(float(number), (server.now - started) * count / per / 2)
        in_vain, share = len(server.analyses()) - len(took), len(took) / possible
        return {
            "benchmark": "overload",
            "candidate": candidate,
            "limit": f"{count}/{per:g}s",
            "load": load,
            "calls": number,
            "delivered": len(took),
            "of_possible": round(share, 2),
            "in_vain": in_vain,
            "refused": sum(entry.status == REFUSED for entry in server.journal),
            "p50_s": round(quantile(took, 0.5) or 0.0, 1),
            "bar": verdict(
                ("paid in vain", round(in_vain / number, 3), 0.005 if processes == 1 else 0.2),
                ("not delivered", round(1 - share, 2), 0.1 if processes == 1 else 0.3),
            )
            if processes
            else "",
            "lost_to": ", ".join(f"{times} {name}" for name, times in lost.most_common()),
        }


OURS = {
    "kallglot_async, analyze": (analyze, 1),
    "kallglot_async, create and wait": (create_and_wait, 1),
    "kallglot_async, analyze, 4 processes": (analyze, 4),
}
PEER = f"documented calls, Retry-After {_peers.RETRIES} times"


def run(*, quick: bool, seed: int = 7) -> list[Row]:
    """Run every candidate at every limit and load; quick: 60 a minute, at twice what it serves."""
    loads = ((60, 60.0),), (2.0,)
    each = product((*OURS, PEER), *(loads if quick else (LIMITS, LOADS)))
    return [measure(*it, seed) for it in each]


if __name__ == "__main__":
    from benchmarks.__main__ import main_of

    main_of(run, __doc__, "one limit, one load")
