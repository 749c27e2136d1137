"""Analyses that are requested and waited for by single calls, more of them than the limit has room for.

For ten minutes calls come evenly, as in a web backend: `load` times as many as the limit could serve with two requests
each, the one that asks for the analysis and one that finds it. Analyses are ready after 22 to 30 s, each wait may take
120 s. `of_possible` is what was delivered beside what came, or what two requests each allow in the time it took,
whichever is less; `in_vain` was requested, and paid for, and not delivered. With several `clients` calls go to one
after the other: processes that share a key and nothing else. `reads` is the part of the limit that `retrieve` asks for
besides, all along. Virtual time, real sockets.

    python -m benchmarks.overload [--quick] [--seed N]
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from functools import partial
from itertools import product
from typing import NamedTuple

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
APART, APART_LIMITS, APART_LOADS = 4, ((60, 60.0), (150, 60.0), (10, 1.0)), (0.8, 1.2, 2.0)
READS, READS_LOADS = 0.5, (0.5, 1.0, 2.0)
BESIDE_BAR = 0.08  # in vain: one guesses what others will ask for; of windows shorter than ...
BESIDE_BARRED = 60.0  # ... so many seconds hardly anything is seen

Call = Callable[[str], Awaitable[object]]
OurCall = Callable[[KallglotClient, str], Awaitable[object]]


class Scene(NamedTuple):
    """What comes, and what there is for it."""

    limit: tuple[int, float]
    load: float
    clients: int = 1
    reads: float = 0.0

    @property
    def number(self) -> int:
        """How many analyses are asked for."""
        return round(self.load * SECONDS * self.limit[0] / self.limit[1] / 2)

    @property
    def number_of_reads(self) -> int:
        """How often one is looked at besides."""
        return round(self.reads * SECONDS * self.limit[0] / self.limit[1])


async def analyze(client: KallglotClient, session: str) -> object:
    """One call for both."""
    return await client.analyze(session, analyses=["summary"])


async def create_and_wait(client: KallglotClient, session: str) -> object:
    """A call for each."""
    return await client.wait((await client.analyses.create(session, analyses=["summary"])).id)


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


async def calls(server: PeerServer, each: Sequence[Call], number: int) -> tuple[list[float], Counter[str]]:
    """Call so many times, evenly, each of these in turn; returns the seconds of the answered, and the others' ends."""
    took: list[float] = []

    async def one(place: int) -> None:
        await asyncio.sleep(place * SECONDS / number)
        began = server.now
        await each[place % len(each)](f"sess_{place}")
        took.append(server.now - began)

    ended = await asyncio.gather(*(one(place) for place in range(number)), return_exceptions=True)
    return took, Counter(type(error).__name__ for error in ended if error is not None)


async def by_us(server: PeerServer, call: OurCall, scene: Scene, seed: int) -> tuple[list[float], Counter[str], int]:
    """Return what became of the calls, and how many reads were answered."""
    [known] = server.seed_analyses(1)
    async with AsyncExitStack() as stack:
        opened = [_peers.client_of(server, seeded(seed + place)) for place in range(scene.clients)]
        clients = [await stack.enter_async_context(client) for client in opened]
        reads: list[Call] = [lambda _, client=client: client.analyses.retrieve(known) for client in clients]
        (took, lost), (read, _) = await asyncio.gather(
            calls(server, [partial(call, client) for client in clients], scene.number),
            calls(server, reads, scene.number_of_reads),
        )
    return took, lost, len(read)


def measure(candidate: str, scene: Scene, seed: int) -> Row:
    """Return one line of the table."""
    return in_virtual_time(partial(_measure, candidate, scene, seed))


async def _measure(candidate: str, scene: Scene, seed: int) -> Row:
    (count, per), is_ours = scene.limit, candidate in OURS
    latency = Latency.uniform(*READY)
    async with PeerServer(
        round_trip=ROUND_TRIP, seed=seed, rate_limit=scene.limit, latency=latency, epoch=EPOCH + 10.37
    ) as server:
        started = server.now
        if is_ours:
            took, lost, read = await by_us(server, OURS[candidate], scene, seed)
        else:
            async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {server.api_key}"}) as http:
                took, lost = await calls(server, [partial(documented, server, http)], scene.number)
                read = 0
        possible = min(float(scene.number), ((server.now - started) * count / per - read) / 2)
        created = sum(entry.method == "POST" and entry.status < REFUSED for entry in server.journal)
        in_vain, share = created - len(took), len(took) / possible
        is_alone = scene.clients == 1 and not scene.reads
        return {
            "benchmark": "overload",
            "candidate": candidate,
            "clients": scene.clients,
            "reads": scene.reads,
            "limit": f"{count}/{per:g}s",
            "load": scene.load,
            "calls": scene.number,
            "delivered": len(took),
            "of_possible": round(share, 2),
            "in_vain": in_vain,
            "refused": sum(entry.status == REFUSED for entry in server.journal),
            "p50_s": round(quantile(took, 0.5) or 0.0, 1),
            "bar": verdict(
                ("paid in vain", round(in_vain / scene.number, 3), 0.005 if is_alone else BESIDE_BAR),
                ("not delivered", round(1 - share, 2), 0.1 if is_alone else 0.15),
            )
            if is_ours and (is_alone or per >= BESIDE_BARRED)
            else "",
            "lost_to": ", ".join(f"{times} {name}" for name, times in lost.most_common()),
        }


ANALYZE = "kallglot_async, analyze"
OURS: dict[str, OurCall] = {ANALYZE: analyze, "kallglot_async, create and wait": create_and_wait}
PEER = f"documented calls, Retry-After {_peers.RETRIES} times"


def run(*, quick: bool, seed: int = 7) -> list[Row]:
    """Run every candidate alone, then one beside others, and beside reads; quick: 60 a minute, at twice its load."""
    once = ((60, 60.0),), (2.0,)
    alone = [Scene(*it) for it in product(*(once if quick else (LIMITS, LOADS)))]
    beside = [Scene(*it, clients=APART) for it in product(*(once if quick else (APART_LIMITS, APART_LOADS)))]
    beside += [Scene(*it, reads=READS) for it in product(*(once if quick else (APART_LIMITS, READS_LOADS)))]
    rows = [measure(candidate, scene, seed) for candidate in (*OURS, PEER) for scene in alone]
    return rows + [measure(ANALYZE, scene, seed) for scene in beside]


if __name__ == "__main__":
    from benchmarks.__main__ import main_of

    main_of(run, __doc__, "one limit, one load")
