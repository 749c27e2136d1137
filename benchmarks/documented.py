"""The documented scale: 60 analyses ready after 22 to 30 s, 150 requests a minute. Who finds them, and how late.

Started 0, 15 and 40 s into a fixed window, several seeds each; the line "any" is over all of them. Server 200 ms
away, virtual time, real sockets. Lag is from ready to delivered. Ours comes without history and with that of one
earlier batch on the same client, with ids of unknown age (they were created elsewhere) and with ids that this client
created; creations count in the window, but not as requests here. SDKs run with the first seed only.

The lines "other windows" are ours with 60 and 300 ids under each way of counting. `to_oracle` compares the time until
the last delivery with that of one request each, sent the moment it is ready and allowed.

    python -m benchmarks.documented [--quick] [--seed N]
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from benchmarks import _peers
from benchmarks._peer_server import PeerServer
from benchmarks._trials import (
    EPOCH,
    Deliver,
    Result,
    Row,
    Run,
    batch,
    in_virtual_time,
    mean,
    oracle_wall,
    seeded,
    verdict,
)
from kallglot_async import KallglotClient
from kallglot_async.emulator import Latency, WindowKind

LIMIT = (150, 60.0)
READY = (22.0, 30.0)
ROUND_TRIP = 0.2
OFFSETS = (0, 15, 40)
_OFF_GRID = 0.37  # s: windows end on whole seconds, starts do not


@dataclass(frozen=True)
class Scene:
    """One server, and when in its window the batch starts."""

    offset: int
    seed: int
    ids: int = 60
    window: WindowKind = "fixed"

    def server(self, *, latency: Latency | None = None) -> PeerServer:
        """Return it, not yet running."""
        return PeerServer(
            round_trip=ROUND_TRIP,
            seed=self.seed,
            rate_limit=LIMIT,
            window=self.window,
            latency=latency or Latency.uniform(*READY),
            epoch=EPOCH + self.offset + _OFF_GRID,
        )

    def measure(self, run: Run) -> Result:
        """Return what came of a candidate that is given ids of unknown age."""

        async def main() -> Result:
            async with self.server() as server:
                return await batch(server, server.seed_analyses(self.ids), run)

        return in_virtual_time(main)

    def oracle(self) -> float:
        """Return the best possible time until the last delivery."""

        async def main() -> list[float]:
            async with self.server() as server:
                return [server.analysis(id).ready_at or 0.0 for id in server.seed_analyses(self.ids)]

        start = EPOCH + self.offset + _OFF_GRID
        return oracle_wall(in_virtual_time(main), LIMIT, self.window, start=start) + ROUND_TRIP / 2

    def ours(self, *, history: int, is_created: bool) -> Result:
        """Return what came of our last batch, after `history` earlier ones on the same client."""

        async def main() -> Result:
            async with self.server() as server, _peers.client_of(server, seeded(self.seed)) as client:
                for place in range(history + 1):
                    if place:
                        await asyncio.sleep(self._pause(server.now))
                    result = await self._one_batch(server, client, place, is_created=is_created)
                return result

        return in_virtual_time(main)

    async def _one_batch(self, server: PeerServer, client: KallglotClient, place: int, *, is_created: bool) -> Result:
        first = len(server.journal)
        if is_created:
            sessions = [f"sess_{self.seed}x{place}x{number}" for number in range(self.ids)]
            create = partial(client.analyses.create, analyses=["summary"])
            ids = [created.id for created in await asyncio.gather(*map(create, sessions))]
        else:
            ids = server.seed_analyses(self.ids)

        async def run(_: PeerServer, ids: list[str], deliver: Deliver) -> list[BaseException]:
            return await _peers.wait_many(client, ids, deliver)

        return await batch(server, ids, run, first=first)

    def _pause(self, now: float) -> float:
        """Seconds until the same place in a later window, at least one whole period from now."""
        period = LIMIT[1]
        return period + (-now) % period


def row(candidate: str, offset: object, results: list[Result], ids: int = 60) -> Row:
    """Return one line of the table: the mean of the runs, and of what a bar limits the worst."""
    return {
        "benchmark": "documented",
        "candidate": candidate,
        "window": f"fixed {LIMIT[0]}/{LIMIT[1]:g}s",
        "ids": ids,
        "offset_s": offset,
        "runs": len(results),
        "delivered_min": min(result.delivered for result in results),
        "refused": mean([result.refused for result in results]),
        "refused_max": max(result.refused for result in results),
        "creations": mean([result.creations for result in results]) or "",
        "requests": mean([result.requests for result in results]),
        "requests_max": max(result.requests for result in results),
        "lag_p50": mean([result.lag(0.5) for result in results]),
        "lag_p95": mean([result.lag(0.95) for result in results]),
        "lag_max": mean([result.lag(1.0) for result in results]),
        "wall_s": mean([result.wall for result in results]),
        "to_oracle": "",
        "bar": "",
        "lost_to": next((result.lost for result in results if result.lost), ""),
    }


def bar(line: Row, results: list[Result], *, with_history: bool) -> str:
    """Return whether ours met the bar of the line "any"."""
    most_requests, most_p50, most_p95 = (110, 3.0, 8.0) if with_history else (150, 5.0, float("inf"))
    return verdict(
        ("undelivered", sum(60 - result.delivered for result in results), 0),
        ("refused", sum(result.refused for result in results), 0),
        ("requests", max(result.requests for result in results), most_requests),
        ("p50", mean([result.lag(0.5) for result in results]), most_p50),
        ("p95", mean([result.lag(0.95) for result in results]), most_p95),
    )


def offset_rows(candidate: str, measure: Callable[[Scene], Result], seeds: range) -> tuple[list[Row], list[Result]]:
    """Return a line for each start and one over all, which comes first."""
    found = {offset: [measure(Scene(offset, seed)) for seed in seeds] for offset in OFFSETS}
    every = [result for results in found.values() for result in results]
    return [
        row(candidate, "any", every),
        *(row(candidate, offset, results) for offset, results in found.items()),
    ], every


def ours_rows(seeds: range) -> list[Row]:
    """Return ours in its four situations."""
    rows = []
    for history in (0, 1):
        for is_created in (False, True):
            name = f"kallglot_async, {'created by it' if is_created else 'ages unknown'}, history {history}"
            measure = partial(Scene.ours, history=history, is_created=is_created)
            lines, results = offset_rows(name, measure, seeds)
            lines[0]["bar"] = bar(lines[0], results, with_history=bool(history))
            rows += lines
    return rows


def peer_rows(seeds: range) -> list[Row]:
    """Return the loops people write, a pacer that is told the limit, and the SDKs."""
    told = partial(_peers.told_dispatcher, rate=LIMIT[0] / LIMIT[1])
    candidates = _peers.loops() | {"even pacing, told the limit": told}
    rows = []
    for name, run in candidates.items():
        rows += offset_rows(name, lambda scene, run=run: scene.measure(run), seeds)[0]  # type: ignore[misc]  # bound now
    for sdk in _peers.SDKS:
        if sdk.is_installed:
            seeded(seeds[0])
            rows += offset_rows(sdk.name, lambda scene, sdk=sdk: scene.measure(sdk.run), seeds[:1])[0]  # type: ignore[misc]
        else:
            rows.append({"benchmark": "documented", "candidate": sdk.name, "lost_to": "not installed"})
    return rows


def window_rows(seeds: range) -> list[Row]:
    """Return ours without history under every way of counting, with as many ids as fit a window and with more."""
    rows = []
    windows: tuple[WindowKind, ...] = ("fixed", "token_bucket", "sliding")
    for window in windows:
        for ids in (60, 300):
            scenes = [Scene(15, seed, ids, window) for seed in seeds]
            results = [scene.ours(history=0, is_created=False) for scene in scenes]
            line = row("kallglot_async, other windows", 15, results, ids)
            line["window"] = f"{window} {LIMIT[0]}/{LIMIT[1]:g}s"
            shares = [result.wall / scene.oracle() for scene, result in zip(scenes, results, strict=True)]
            line["to_oracle"] = mean(shares, 3)
            rows.append(line)
    return rows


def run(*, quick: bool, seed: int = 7) -> list[Row]:
    """Run every candidate."""
    seeds = range(seed, seed + (1 if quick else 8))
    rows = ours_rows(seeds) + peer_rows(seeds)
    return rows if quick else rows + window_rows(seeds)


if __name__ == "__main__":
    from benchmarks.__main__ import main_of

    main_of(run, __doc__, "one seed, one way of counting")
