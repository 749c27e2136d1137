"""The scenes in which `benchmarks.constants` tries a constant: each runs what is shipped and returns named figures.

Here the queue alone under a simulated limiter (`benchmarks.policies`) and the client against the emulator; the lane
alone is in `_lane_scenes`. All in virtual time. A scene takes the seeds over which its figures are the mean. Delays,
lags and walls in seconds.
"""

from __future__ import annotations

import asyncio
import math
import random
import statistics
import time
from functools import partial
from itertools import product
from typing import Any

from benchmarks import _peers, overload, policies
from benchmarks._lane_scenes import ROUND_TRIP, WINDOWS, Figures, mean_of, named
from benchmarks._peer_server import PeerServer
from benchmarks._simulation import Job, Paced, Window, simulate
from benchmarks._trials import EPOCH, Deliver, batch, in_virtual_time, quantile, seeded
from benchmarks.documented import LIMIT, OFFSETS, READY, Scene
from benchmarks.storm import Storm
from kallglot_async._core.polling.worth import PollModel
from kallglot_async.emulator import Latency

LOADS = (0.1, 0.3, 0.6, 0.9)


def tail(lags: list[float]) -> Figures:
    """Return the middle and the end of what was late."""
    return {"p50": quantile(lags, 0.5) or math.nan, "p95": quantile(lags, 0.95) or math.nan}


# -- the queue alone


def steady(seeds: range) -> Figures:
    """Requests for each analysis, mean delay and p99 at four loads of 10 requests/s."""
    figures: Figures = {}
    for load in LOADS:
        rows = [policies.steady(10.0, load, 0.6, "learned", 1500, seed, window=False) for seed in seeds]
        for name, column in (("requests_each", "req"), ("delay_mean", "mean"), ("delay_p99", "p99")):
            figures[f"{load:.0%} {column}"] = statistics.mean(float(str(row[name])) for row in rows)
    return figures


def burst(seeds: range) -> Figures:
    """1000 ids at once and 100 requests/s: requests, and makespan over the best possible; 400 at 50/s likewise."""
    runs = [policies.burst(1000, 100.0, "learned", seed) for seed in range(seeds[0], seeds[0] + 3 * len(seeds))]
    storms = []
    for seed in seeds:
        jobs = policies.batch(400, policies.between(2.0, 8.0), seed, age_known=False)
        storms.append(simulate(policies.queue("learned", PollModel()), Window(50, 1.0), jobs, tells_took=True))
    return {
        "makespan": statistics.mean(makespan for _, makespan in runs),
        "requests": statistics.mean(requests for requests, _ in runs),
        "storm wall": statistics.mean(storm.finished_at for storm in storms),
        "storm requests": statistics.mean(storm.requests for storm in storms),
    }


def wrong_law(seeds: range) -> Figures:
    """60 ids under 150 per 60 s after one batch that misleads: half of created by us, half of unknown age."""
    documented, slow, fast = policies.between(*READY), policies.between(60.0, 90.0), policies.between(2.0, 8.0)
    cases = {"now slow": [documented, slow], "was slow": [slow, documented], "now fast": [documented, fast]}
    figures: Figures = {}
    for case, laws in cases.items():
        runs = []
        for seed in seeds:
            for age_known in (True, False):
                result, _ = policies.documented("learned", laws, seed, age_known=age_known)
                runs.append({"req": float(result.requests)} | tail(result.lags))
        figures |= named(case, mean_of(runs))
    return figures


def drift(seeds: range) -> Figures:
    """A stream at 10 % of 10 requests/s whose analyses take twice or half as long from one moment on: the next 1000."""
    figures: Figures = {}
    for case, factor in (("slower", 2.0), ("faster", 0.5)):
        runs = []
        for seed in seeds:
            before, after = (policies.stream(10.0, 0.1, 0.3, 1000, each) for each in (seed, seed + 1000))
            turn = before[-1].added_at
            jobs = [*before, *(_later(job, turn, factor) for job in after)]
            result = simulate(policies.queue("learned", PollModel()), Paced(10.0), jobs)
            lags, polls = result.lags[-1000:], result.polls[-1000:]
            runs.append(
                {"req": statistics.mean(polls), "mean": statistics.mean(lags), "p95": quantile(lags, 0.95) or 0.0}
            )
        figures |= named(case, mean_of(runs))
    return figures


def _later(job: Job, by: float, factor: float) -> Job:
    """Return the like of an analysis, so much later and taking so many times as long."""
    at = job.added_at + by
    return Job(f"{job.id}b", at, at, at + factor * (job.ready_at - job.added_at), age_known=True)


def answers(seeds: range) -> Figures:
    """Processor time of one answer that the model learns from, and of asking it for the next poll after that."""
    model, draw = PollModel(), random.Random(seeds[0])
    started = time.process_time()
    for _ in range(20_000):
        age = draw.uniform(1.0, 30.0)
        model.on_running("a", age, age + 2.0)
        model.age_after("a", age + 2.0, 0.3)
    return {"us each": (time.process_time() - started) / 20_000 * 1e6}


# -- the client


def scale(seeds: range) -> Figures:
    """The documented scale: 60 analyses ready after 22 to 30 s, 150 requests a minute, three starts in the window."""
    figures: Figures = {}
    for case, history, is_created in (("new", 0, False), ("known", 1, False), ("own", 1, True)):
        results = [
            Scene(offset, seed).ours(history=history, is_created=is_created) for seed in seeds for offset in OFFSETS
        ]
        figures |= named(case, mean_of({"req": float(r.requests)} | tail(r.lags) for r in results))
    return figures


def crowded(seeds: range) -> Figures:
    """More ids than the same limit holds in a window: 300 to a client without history, 200 after one such batch."""
    cases = {f"{kind}": [(Scene(15, seed, 300, kind), 0) for seed in seeds] for kind in WINDOWS}
    cases["known"] = [(Scene(offset, seed, 200), 1) for seed in seeds for offset in OFFSETS]
    figures: Figures = {}
    for case, scenes in cases.items():
        results = [scene.ours(history=history, is_created=False) for scene, history in scenes]
        runs = [{"found": r.delivered, "req": float(r.requests)} | tail(r.lags) for r in results]
        figures |= named(case, mean_of(runs))
    return figures


def settled_before(seeds: range) -> Figures:
    """60 ids of unknown age, of which the last third had settled long ago: when those are found, and the rest."""

    async def main(seed: int) -> Figures:
        latency = Latency.uniform(*READY)
        async with PeerServer(
            round_trip=ROUND_TRIP, seed=seed, rate_limit=LIMIT, latency=latency, epoch=EPOCH + 10.37
        ) as server:
            ids = server.seed_analyses(20)
            await asyncio.sleep(120.0)
            old = set(ids)
            ids = [*server.seed_analyses(40), *ids]
            started = server.now
            moments: dict[str, float] = {}
            async with _peers.client_of(server, seeded(seed)) as client:
                await _peers.wait_many(client, ids, lambda id: moments.__setitem__(id, server.now))
            lags = {id: at - max(started, server.analysis(id).ready_at or 0.0) for id, at in moments.items()}
            new = tail([lag for id, lag in lags.items() if id not in old])
            return {"old p95": quantile([lags[id] for id in old if id in lags], 0.95) or math.nan} | {
                "new p50": new["p50"],
                "new p95": new["p95"],
                "req": float(len(server.journal)),
            }

    return mean_of(in_virtual_time(partial(main, seed)) for seed in seeds)


def short_window(seeds: range) -> Figures:
    """The storm: 400 ids at once, ready after 2 to 8 s, 50 requests in each second of the server's clock."""
    runs = []
    for seed in seeds:
        result, _ = Storm(400, (50, 1.0), "fixed", seed).measure(partial(_peers.ours_together, random=seeded(seed)))
        runs.append({"wall": result.wall, "req": float(result.requests), "refused": float(result.refused)})
    return mean_of(runs)


class Jittery(PeerServer):
    """Round trips log-normal about `median`, from second 6 on about three times that; one in fifty ten times longer."""

    def __init__(self, median: float, seed: int, **options: Any) -> None:
        """Take the median in seconds besides the emulator's options."""
        super().__init__(seed=seed, **options)
        self._median, self._draw = median, random.Random(seed)

    @property
    def _half(self) -> float:
        slowness = (3.0 if self.now > 6.0 else 1.0) * (10.0 if self._draw.random() < 0.02 else 1.0)
        return self._median / 2 * slowness * self._draw.lognormvariate(0.0, 0.4)

    @_half.setter
    def _half(self, value: float) -> None:
        """There is no fixed one."""


def last_looks(seeds: range) -> Figures:
    """Ten ids ready 10 to 16 s after the start, a timeout of 15 s: how many are delivered, at three round trips."""

    async def main(seed: int, median: float) -> Figures:
        async with Jittery(median, seed, rate_limit=(60_000, 60.0), latency=Latency.uniform(10.0, 16.0)) as server:
            ids = server.seed_analyses(10)
            found: list[str] = []

            async def run(server: PeerServer, ids: list[str], deliver: Deliver) -> list[BaseException]:
                async with _peers.client_of(server, seeded(seed)) as client:
                    outcomes = await client.wait_many(ids, timeout=15.0)
                    found.extend(outcome.id for outcome in outcomes if outcome.analysis)
                    return []

            result = await batch(server, ids, run)
            return {"found": float(len(found)), "req": float(result.requests)}

    figures: Figures = {}
    for median in (0.05, 0.2, 0.5):
        every = range(seeds[0], seeds[0] + 10 * len(seeds))
        runs = mean_of(in_virtual_time(partial(main, seed, median)) for seed in every)
        figures |= named(f"{median:g} s", runs)
    return figures


def orders(seeds: range) -> Figures:
    """`analyze_many` of 300 sessions, 150 requests a minute: until the last is delivered, lag, requests for each."""

    async def main(seed: int, latency: Latency) -> Figures:
        async with PeerServer(
            round_trip=ROUND_TRIP, seed=seed, rate_limit=LIMIT, latency=latency, epoch=EPOCH + 10.37
        ) as server:
            started = server.now
            lags: list[float] = []
            async with _peers.client_of(server, seeded(seed)) as client:
                outcomes = await client.analyze_many(
                    [f"sess_{seed}x{number}" for number in range(300)],
                    analyses=["summary"],
                    on_outcome=lambda outcome: lags.append(
                        server.now - (server.analysis(outcome.unwrap().id).ready_at or 0.0)
                    ),
                )
            assert len(outcomes.analyses) == 300, outcomes.errors
            return {"wall": server.now - started, "req each": len(server.journal) / 300} | tail(lags)

    figures: Figures = {}
    for case, latency in (("22-30 s", Latency.uniform(*READY)), ("60-90 s", Latency.uniform(60.0, 90.0))):
        figures |= named(case, mean_of(in_virtual_time(partial(main, seed, latency)) for seed in seeds))
    return figures


def few_requests(seeds: range) -> Figures:
    """`analyze` called twice as often as 5 requests a minute serve: what is delivered, and paid for in vain."""
    rows = [overload.measure(overload.ANALYZE, overload.Scene((5, 60.0), 2.0), seed) for seed in seeds]
    return {name: statistics.mean(float(str(row[name])) for row in rows) for name in ("calls", "delivered", "in_vain")}


def single_calls(seeds: range) -> Figures:
    """`analyze` called for ten minutes, 1 and 2 times as often as 60 requests a minute serve, and as 10 a second."""
    scenes = {
        f"{limit[0]}/{limit[1]:g}s {load:g}": overload.Scene(limit, load)
        for limit, load in product(((60, 60.0), (10, 1.0)), (1.0, 2.0))
    }
    return _overloads(scenes, seeds)


def calls_beside(seeds: range) -> Figures:
    """The same from four processes that share a key and nothing else; and beside reads of half of the limit."""
    limits = ((60, 60.0), (150, 60.0))
    scenes = {f"{limit[0]}/min, 4 processes": overload.Scene(limit, 2.0, clients=4) for limit in limits}
    scenes |= {f"{limit[0]}/min, reads": overload.Scene(limit, 1.0, reads=0.5) for limit in limits}
    return _overloads(scenes, seeds)


def _overloads(scenes: dict[str, overload.Scene], seeds: range) -> Figures:
    figures: Figures = {}
    for what, scene in scenes.items():
        rows = [overload.measure(overload.ANALYZE, scene, seed) for seed in seeds]
        for name, column in (("of_possible", "delivered"), ("in_vain", "in vain"), ("p50_s", "p50")):
            figures[f"{what} {column}"] = statistics.mean(float(str(row[name])) for row in rows)
    return figures
