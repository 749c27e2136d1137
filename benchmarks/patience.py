"""An outage at the start or in the middle of many waits: what is delivered, and what it costs in requests.

A gateway answers 503 with a page for some seconds, from the start or from 15 s on; or all the time, to a `share` of the
requests. 200 analyses are ready after 22 to 30 s (`analyze_many`: 40 sessions), the server is 50 ms away and either
announces 600 requests a minute or nothing. Each row holds the worst of four clients: of either server, cold, or warm by
one request that was answered. `extra` are the requests beyond the same run without an outage, `meanwhile` those sent
during it: where all fail, at most a retry budget more than 1.1 times what that run sends then, or one for each id. The
documented loop and the SDKs' own pollers meet the server that limits nothing. Virtual time, real sockets.

    python -m benchmarks.patience [--quick] [--seed N]
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from typing import Any

from benchmarks import _peers
from benchmarks._peer_server import PeerServer
from benchmarks._trials import EPOCH, PATIENCE, Row, Run, in_virtual_time, seeded, verdict
from kallglot_async import KallglotClient
from kallglot_async.emulator import Fault, Latency

ROUND_TRIP = 0.05
READY = (22.0, 30.0)
MIDDLE = 15.0  # s
OUTAGES = (0.3, 1.0, 5.0, 20.0)
LASTING = 300.0  # s: longer than any wait takes
SHARES = (0.3, 0.5)  # of the requests that fail all the time
WAITS, SESSIONS = 200, 40
BUDGET = 50  # retries of one client, each sent at once at most, beside some looks that it does not pay for
MOST_LOOKS = 1.1
ANNOUNCED: dict[str, Any] = {"rate_limit": (600, 60.0), "epoch": EPOCH}
SILENT: dict[str, Any] = {"plan": "unlimited", "rate_headers": False, "epoch": EPOCH}

Deliver = Callable[[str], None]
Ours = Callable[[KallglotClient, list[str], Deliver], Awaitable[object]]


@dataclass(frozen=True)
class Outage:
    """From when, and for how many seconds; or the same stretch without one."""

    starts: float
    seconds: float
    share: float = 1.0
    fails: bool = True

    async def happen(self, server: PeerServer) -> tuple[int, int]:
        """Fail for that long; return the numbers of requests before and after."""
        await asyncio.sleep(self.starts)
        before = len(server.journal)
        if self.fails:
            server.add_fault(Fault(kind="html", status=503, rate=self.share))
        await asyncio.sleep(self.seconds)
        server.clear_faults()
        return before, len(server.journal)


@dataclass(frozen=True)
class Found:
    """What came of one run."""

    delivered: int
    requests: int
    meanwhile: int
    wall: float  # s until the last delivery
    lost: str


async def wait_many(client: KallglotClient, ids: list[str], deliver: Deliver) -> object:
    """One call for all."""
    return await _peers.wait_many(client, ids, deliver)


async def gathered(client: KallglotClient, ids: list[str], deliver: Deliver) -> object:
    """A task with a wait for each."""
    return await _peers.each(ids, client.wait, deliver)


async def analyze_many(client: KallglotClient, ids: list[str], deliver: Deliver) -> object:
    """Request and wait, for as many sessions."""
    outcomes = await client.analyze_many(
        [f"sess_{number}" for number in range(len(ids))],
        on_outcome=lambda outcome: deliver(outcome.id) if outcome.analysis else None,
        analyses=["summary"],
    )
    return list(outcomes.errors.values())


OURS: dict[str, tuple[Ours, int]] = {
    "wait_many": (wait_many, WAITS),
    "gather of waits": (gathered, WAITS),
    "analyze_many": (analyze_many, SESSIONS),
}


def measure(
    run: Callable[[PeerServer, list[str], Deliver], Awaitable[object]],
    outage: Outage,
    count: int,
    *,
    options: dict[str, Any],
    seed: int,
    prepare: Callable[[PeerServer], Awaitable[None]] | None = None,
) -> Found:
    """Return what came of one candidate."""

    async def main() -> Found:
        server = PeerServer(round_trip=ROUND_TRIP, seed=seed, latency=Latency.uniform(*READY), **options)
        async with server:
            if prepare is not None:
                await prepare(server)
            started, first = server.now, len(server.journal)
            moments: list[float] = []
            happening = asyncio.create_task(outage.happen(server))
            await asyncio.sleep(0)
            errors: object = []
            try:
                async with asyncio.timeout(PATIENCE):
                    errors = await run(server, server.seed_analyses(count), lambda _: moments.append(server.now))
            except TimeoutError:
                errors = [TimeoutError()]
            before, after = await happening
            assert isinstance(errors, list)
            kinds = Counter(type(error).__name__ for error in errors)
            return Found(
                delivered=len(moments),
                requests=len(server.journal) - first,
                meanwhile=after - before,
                wall=max(moments, default=started) - started,
                lost=", ".join(f"{number} {name}" for name, number in kinds.most_common()),
            )

    return in_virtual_time(main)


def ours(run: Ours, outage: Outage, count: int, seed: int) -> list[tuple[Found, Found]]:
    """Return what came of each of the four clients, with and without the outage."""
    found = []
    for options, is_warm in product((ANNOUNCED, SILENT), (True, False)):
        pair = []
        for happens in (outage, replace(outage, fails=False)):
            clients: list[KallglotClient] = []

            async def prepare(
                server: PeerServer, clients: list[KallglotClient] = clients, is_warm: bool = is_warm
            ) -> None:
                clients.append(_peers.client_of(server, seeded(seed)))
                if is_warm:
                    await clients[0].analyses.retrieve(server.seed_analyses(1)[0])

            async def start(
                server: PeerServer, ids: list[str], deliver: Deliver, clients: list[KallglotClient] = clients
            ) -> object:
                async with clients[0] as client:
                    return await run(client, ids, deliver)

            pair.append(measure(start, happens, count, options=options, seed=seed, prepare=prepare))
        found.append((pair[0], pair[1]))
    return found


def row(
    candidate: str, outage: Outage, count: int, found: list[tuple[Found, Found]], seed: int, *, is_ours: bool
) -> Row:
    """Return one line of the table."""
    delivered = min(bad.delivered for bad, _ in found)
    extra = max(bad.requests - good.requests for bad, good in found)
    too_many = max(bad.meanwhile - MOST_LOOKS * max(count, good.meanwhile) for bad, good in found)
    return {
        "benchmark": "patience",
        "candidate": candidate,
        "outage_s": outage.seconds,
        "from_s": outage.starts,
        "share": outage.share,
        "of": count,
        "delivered": delivered,
        "extra": extra,
        "meanwhile": max(bad.meanwhile for bad, _ in found),
        "wall_s": round(max(bad.wall for bad, _ in found), 1),
        "wall_without_s": round(max(good.wall for _, good in found), 1),
        "bar": verdict(
            ("undelivered", count - delivered, 0),
            *([("beyond 1.1 of the offered", round(too_many), BUDGET)] if outage.share == 1.0 else []),
        )
        if is_ours
        else "",
        "lost_to": max((bad.lost for bad, _ in found), key=len),
        "seed": seed,
    }


def peers(seed: int, outages: list[Outage]) -> list[Row]:
    """Return the documented loop and the SDKs; one that is not installed is said to be so."""
    rows: list[Row] = []
    documented = partial(_peers.documented_loop, retries=_peers.RETRIES)
    runs: dict[str, Run] = {f"documented loop, Retry-After {_peers.RETRIES} times": documented}
    for sdk in _peers.SDKS:
        if sdk.is_installed:
            runs[sdk.name] = sdk.run
        else:
            rows.append({"benchmark": "patience", "candidate": sdk.name, "lost_to": "not installed"})
    for (name, run), outage in product(runs.items(), outages):
        pair = []
        for happens in (outage, replace(outage, fails=False)):
            seeded(seed)
            pair.append(measure(run, happens, WAITS, options=SILENT, seed=seed))
        rows.append(row(name, outage, WAITS, [(pair[0], pair[1])], seed, is_ours=False))
    return rows


def run(*, quick: bool, seed: int = 7) -> list[Row]:
    """Run every candidate through every outage; quick: one outage of a second at the start, and fewer ids."""
    outages = [Outage(0.0, 1.0)] if quick else [Outage(*it) for it in product((0.0, MIDDLE), OUTAGES)]
    if not quick:
        outages += [Outage(0.0, LASTING, share) for share in SHARES]
    rows = []
    for (name, (start, count)), outage in product(OURS.items(), outages):
        number = count // 5 if quick else count
        found = ours(start, outage, number, seed)
        rows.append(row(f"kallglot_async, {name}", outage, number, found, seed, is_ours=True))
    return rows + peers(seed, outages)


if __name__ == "__main__":
    from benchmarks.__main__ import main_of

    main_of(run, __doc__, "one outage, fewer ids")
