"""The pictures of the documentation: runs what they show, and writes them as SVG, one file each.

    python -m benchmarks.pictures [--quick] [--to docs/pictures] [NAME ...]

Virtual time, fixed seeds. `storm`, `documented` and `limits` show what the benchmarks of that name measure; `looks`
shows when one analysis that takes 26 s is looked at.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
from functools import partial
from pathlib import Path

from benchmarks import _peers
from benchmarks import limits as every_kind
from benchmarks._drawing import Axis, Line, chart, steps
from benchmarks._peer_server import PeerServer
from benchmarks._trials import EPOCH, Run, in_virtual_time, seeded
from benchmarks.documented import LIMIT, OFFSETS, ROUND_TRIP, Scene
from benchmarks.storm import Storm
from kallglot_async import PollSchedule
from kallglot_async.emulator import Latency

SEED = 7


def storm(*, quick: bool) -> str:
    """Deliveries over time: 400 waits at once against 50 requests in each second."""
    waits, limit = (40, (10, 1.0)) if quick else (400, (50, 1.0))
    scene = Storm(waits, limit, "fixed", SEED)
    candidates: dict[str, Run] = {
        "kallglot_async, wait_many": partial(_peers.ours_together, random=seeded(SEED)),
        "told the limit": scene.pace(),
        "loop, semaphore of 50": partial(_peers.semaphore_loop, at_once=50),
        "loop, Retry-After 3 times": partial(_peers.documented_loop, retries=3),
        "loop, a 429 raises": _peers.documented_loop,
    }
    lines = []
    for name, run in candidates.items():
        seeded(SEED)
        result, _ = scene.measure(run)
        lines.append(Line(f"{name}: {result.refused:,} refused", steps(result.moments, waits, 16.0)))
    return chart(
        f"Share of {waits} analyses delivered over time",
        "; ".join(f"{line.name}, {line.points[-1][1]:.0f} % delivered after 16 s" for line in lines),
        Axis("seconds since the start", 16.0, range(0, 17, 2)),
        Axis("% delivered", 100.0, range(0, 101, 25)),
        lines,
    )


def documented(*, quick: bool) -> str:
    """How late results arrive at the documented scale: 60 analyses ready after 22 to 30 s, 150 requests a minute."""
    scenes = [Scene(offset, seed) for offset in OFFSETS for seed in range(SEED, SEED + (1 if quick else 8))]
    told = partial(_peers.told_dispatcher, rate=LIMIT[0] / LIMIT[1])
    found = {
        "ours, second batch": [scene.ours(history=1, is_created=False) for scene in scenes],
        "ours, created by it": [scene.ours(history=0, is_created=True) for scene in scenes],
        "ours, first batch": [scene.ours(history=0, is_created=False) for scene in scenes],
        "even pace, told the limit": [scene.measure(told) for scene in scenes],
        "loop, Retry-After 3 times": [scene.measure(partial(_peers.documented_loop, retries=3)) for scene in scenes],
    }
    lines = []
    for name, results in found.items():
        requests = sum(result.requests for result in results) / len(results)
        lags = [lag for result in results for lag in result.lags]
        lines.append(Line(f"{name}: {requests:.0f} requests", steps(lags, 60 * len(results), 60.0)))
    return chart(
        "Share of analyses delivered, by seconds since they were ready",
        "; ".join(line.name for line in lines),
        Axis("seconds from ready to delivered", 60.0, range(0, 61, 10)),
        Axis("% delivered", 100.0, range(0, 101, 25)),
        lines,
    )


SERVERS = {
    "fixed 150/60s": "fixed windows",
    "fixed_from_first 150/60s": "windows from the first",
    "sliding 150/60s": "sliding log",
    "sliding_counter 150/60s": "sliding counter",
    "token_bucket 150/60s": "token bucket",
    "fixed 150/60s and 10/1s hidden": "a second limit, hidden",
}


def limits(*, quick: bool) -> str:
    """How much of each kind of limit is used, by polls at an even pace and by those that may go ahead."""
    used: dict[str, dict[str, float]] = {"steady, paced": {}, "steady, ahead": {}}
    for trial in every_kind.trials():
        if trial.scene in used and trial.server in SERVERS:
            figures = [trial.measure(seed)["use"] for seed in range(SEED, SEED + (1 if quick else 6))]
            used[trial.scene][trial.server] = 100.0 * statistics.mean(figures)
    rows = {server: float(len(SERVERS) - number) for number, server in enumerate(SERVERS)}
    lines = [
        Line(
            f"{scene.partition(', ')[2]}: {min(shares.values()):.0f} to {max(shares.values()):.0f} %",
            [(share, rows[server]) for server, share in shares.items()],
            dots=True,
        )
        for scene, shares in used.items()
    ]
    said = "; ".join(f"{SERVERS[server]} {share:.0f} %" for server, share in used["steady, paced"].items())
    return chart(
        "Share of the limit that is used without end of demand, by kind of limit",
        f"{lines[0].name}; {lines[1].name}; paced, {said}",
        Axis("% of what a dispatcher gets that knows the rule", 105.0, range(0, 101, 25)),
        Axis(
            "150 a minute", len(rows) + 0.6, sorted(rows.values()), {row: SERVERS[name] for name, row in rows.items()}
        ),
        lines,
        height=300,
    )


def looks(*, quick: bool) -> str:
    """When one analysis that takes 26 s is looked at, by a loop and by a client that knows nothing, and then more."""
    del quick
    rows = {
        "loop of 2 s": _looks(PollSchedule.fixed(2.0), history=0),
        "ours, nothing known": _looks(None, history=0),
        "ours, after 60 analyses": _looks(None, history=60),
    }
    lines = [
        Line(f"{name}: {len(moments)} requests", [(at, float(len(rows) - number)) for at in moments], dots=True)
        for number, (name, moments) in enumerate(rows.items())
    ]
    return chart(
        "When one analysis that takes 26 seconds is looked at",
        "; ".join(f"{line.name}, at {', '.join(f'{at:.0f}' for at, _ in line.points)} s" for line in lines),
        Axis("seconds since it was first asked for", 32.0, range(0, 33, 4)),
        Axis("", 3.6, ()),
        lines,
        height=200,
        moment="26 ready",
    )


def _looks(schedule: PollSchedule | None, *, history: int) -> list[float]:
    """Return the moments of the requests for one analysis that takes 26 s, after so many that took 22 to 30."""

    async def main() -> list[float]:
        server = PeerServer(
            round_trip=ROUND_TRIP,
            seed=SEED,
            rate_limit=LIMIT,
            latency=Latency.uniform(22.0, 30.0),
            epoch=EPOCH,
        )
        async with server, _peers.client_of(server, seeded(SEED)) as client:
            if history:
                await client.wait_many(server.seed_analyses(history))
                await asyncio.sleep(2 * LIMIT[1])
            ids = server.seed_analyses(40)
            started = server.now
            id = min(ids, key=lambda id: abs((server.analysis(id).ready_at or 0.0) - started - 26.0))
            await client.wait(id, schedule=schedule)
            return [entry.at - started for entry in server.journal if entry.at >= started]

    return in_virtual_time(main)


PICTURES = {"storm": storm, "documented": documented, "limits": limits, "looks": looks}


def main() -> None:
    """Draw the chosen ones."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pictures", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", choices=[*PICTURES, []], help="which to draw; default: all")
    parser.add_argument("--quick", action="store_true", help="fewer runs: a look, not a figure")
    parser.add_argument("--to", type=Path, default=Path("docs/pictures"))
    arguments = parser.parse_args()
    for name in arguments.names or PICTURES:
        path = arguments.to / f"{name}.svg"
        path.write_text(PICTURES[name](quick=arguments.quick), encoding="utf-8")
        print(path)


if __name__ == "__main__":
    main()
