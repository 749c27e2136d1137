"""400 waits at once against 50 requests per second: ours, the documented loops, real SDKs' own pollers, and the floor.

Every candidate waits for the same analyses, ready 2 to 8 s after the start, on a fresh server of its own: 50 requests
in each second of its clock, or a bucket of 50 tokens refilled at 50/s; `Retry-After: 1` and whole-second resets; 50 ms
away. Virtual time, real sockets. The floor is a dispatcher that is told the limit; the documented interval of 2 s and
a pacer are all it has. `to_floor` compares walls, the time until the last delivery, and says nothing about a candidate
that does not deliver all. `to_oracle` compares with one request each, the moment it is ready and allowed.

    python -m benchmarks.storm [--quick] [--seed N]
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from benchmarks import _peers
from benchmarks._peer_server import PeerServer
from benchmarks._trials import EPOCH, Result, Row, Run, batch, in_virtual_time, oracle_wall, seeded, verdict
from kallglot_async.emulator import Latency, WindowKind

ROUND_TRIP = 0.05
READY = (2.0, 8.0)
OURS = {"kallglot_async, one wait_many": _peers.ours_together, "kallglot_async, a wait each": _peers.ours_apart}
MOST_REQUESTS, MOST_REFUSED_PERCENT, MOST_TO_FLOOR = 1.65, 1.0, 1.05  # requests: 660 for 400


@dataclass(frozen=True)
class Storm:
    """One server and what is asked of it."""

    waits: int
    limit: tuple[int, float]
    window: WindowKind
    seed: int

    @property
    def start(self) -> float:
        """Unix seconds of the start: somewhere within a window, by the seed."""
        return EPOCH + 0.1737 * self.seed % 1.0

    def pace(self) -> Run:
        """Return the floor: a dispatcher that is told the limit."""
        return partial(_peers.told_dispatcher, rate=self.limit[0] / self.limit[1])

    def measure(self, run: Run) -> tuple[Result, float]:
        """Return what came of one candidate, and the wall of the oracle."""

        async def main() -> tuple[Result, float]:
            async with PeerServer(
                round_trip=ROUND_TRIP,
                seed=self.seed,
                rate_limit=self.limit,
                window=self.window,
                latency=Latency.uniform(*READY),
                epoch=self.start,
            ) as server:
                ids = server.seed_analyses(self.waits)
                ready_at = [server.analysis(id).ready_at or 0.0 for id in ids]
                best = oracle_wall(ready_at, self.limit, self.window, start=self.start) + ROUND_TRIP / 2
                return await batch(server, ids, run), best

        return in_virtual_time(main)


def row(storm: Storm, candidate: str, result: Result, best: float, floor: float, *, is_ours: bool = False) -> Row:
    """Return one line of the table."""
    percent = round(100.0 * result.refused / max(1, result.requests), 1)
    to_floor = round(result.wall / floor, 3)
    return {
        "benchmark": "storm",
        "candidate": candidate,
        "window": f"{storm.window} {storm.limit[0]}/{storm.limit[1]:g}s",
        "waits": storm.waits,
        "delivered": result.delivered,
        "requests": result.requests,
        "refused": result.refused,
        "refused_%": percent,
        "wall_s": round(result.wall, 2),
        "to_floor": to_floor,
        "to_oracle": round(result.wall / best, 3),
        "polls_each": round(result.requests / storm.waits, 2),
        "bar": verdict(
            ("undelivered", storm.waits - result.delivered, 0),
            ("requests", result.requests, round(MOST_REQUESTS * storm.waits)),
            ("refused %", percent, MOST_REFUSED_PERCENT),
            ("to floor", to_floor, MOST_TO_FLOOR),
        )
        if is_ours
        else "",
        "lost_to": result.lost,
        "seed": storm.seed,
    }


def ours_rows(storm: Storm, floor: Result, seeds: range) -> list[Row]:
    """Return ours, and the slowest of ours over more seeds, each with a floor of its own."""
    rows = []
    for name, run in OURS.items():
        rows.append(row(storm, name, *storm.measure(partial(run, random=seeded(storm.seed))), floor.wall, is_ours=True))
        slowest, share = None, 0.0
        for seed in seeds:
            other = Storm(storm.waits, storm.limit, storm.window, seed)
            other_floor, _ = other.measure(other.pace())
            result, best = other.measure(partial(run, random=seeded(seed)))
            if result.wall / other_floor.wall > share:
                share = result.wall / other_floor.wall
                slowest = row(
                    other, f"- slowest of {len(seeds)} more seeds", result, best, other_floor.wall, is_ours=True
                )
        rows += [slowest] if slowest else []
    return rows


def peer_rows(storm: Storm, floor: Result) -> list[Row]:
    """Return the loops people write, and the SDKs; one that is not installed is said to be so."""
    rows = []
    for name, run in _peers.loops().items():
        seeded(storm.seed)
        rows.append(row(storm, name, *storm.measure(run), floor.wall))
    for sdk in _peers.SDKS:
        if not sdk.is_installed:
            window = f"{storm.window} {storm.limit[0]}/{storm.limit[1]:g}s"
            rows.append({"benchmark": "storm", "candidate": sdk.name, "window": window, "lost_to": "not installed"})
            continue
        seeded(storm.seed)
        rows.append(row(storm, sdk.name, *storm.measure(sdk.run), floor.wall))
    return rows


def run(*, quick: bool, seed: int = 7) -> list[Row]:
    """Run every candidate against every kind of window; sliding windows, which the bars do not name, ours alone."""
    waits, limit = (40, (10, 1.0)) if quick else (400, (50, 1.0))
    more = range(seed + 1, seed + (1 if quick else 7))
    windows: tuple[WindowKind, ...] = ("fixed",) if quick else ("fixed", "token_bucket", "sliding")
    rows = []
    for window in windows:
        storm = Storm(waits, limit, window, seed)
        floor, best = storm.measure(storm.pace())
        rows += ours_rows(storm, floor, more)
        rows.append(row(storm, "floor: told the limit", floor, best, floor.wall))
        rows += peer_rows(storm, floor) if window != "sliding" else []
    return rows


if __name__ == "__main__":
    from benchmarks.__main__ import main_of

    main_of(run, __doc__, "40 waits, one kind of window")
