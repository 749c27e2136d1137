"""The scenes in which `benchmarks.constants` tries a constant: each runs what is shipped and returns named figures.

Three kinds. The queue alone under a simulated limiter (`benchmarks.policies`); the limiter's lane alone before a
counter that says what it says with whole seconds, a skewed clock or not at all; the client against the emulator. All
in virtual time. A scene takes the seeds over which its figures are the mean. Delays, waits and walls in seconds.
"""

from __future__ import annotations

import asyncio
import math
import random
import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from benchmarks import _peers, policies
from benchmarks._peer_server import PeerServer
from benchmarks._simulation import Job, Paced, Window, simulate
from benchmarks._trials import EPOCH, Deliver, batch, in_virtual_time, quantile, seeded
from benchmarks.documented import LIMIT, OFFSETS, READY, Scene
from benchmarks.storm import Storm
from kallglot_async import RateLimiter
from kallglot_async._core.api.headers import RateFigures
from kallglot_async._core.limit.ticket import Urgency
from kallglot_async._core.polling.hazard import PollModel
from kallglot_async._wire.limiter import Lane
from kallglot_async.emulator import Latency, WindowKind
from kallglot_async.emulator.limits import FixedWindow, SlidingWindow, TokenBucket

Figures = dict[str, float]
Measure = Callable[[range], Figures]

ROUND_TRIP = 0.2
LOADS = (0.1, 0.3, 0.6, 0.9)
WINDOWS: tuple[WindowKind, ...] = ("fixed", "sliding", "token_bucket")


def mean_of(runs: Iterable[Figures]) -> Figures:
    """Return the mean of each figure."""
    found = list(runs)
    return {name: statistics.mean(run[name] for run in found) for name in found[0]}


def tail(lags: list[float]) -> Figures:
    """Return the middle and the end of what was late."""
    return {"p50": quantile(lags, 0.5) or math.nan, "p95": quantile(lags, 0.95) or math.nan}


def named(prefix: str, figures: Figures) -> Figures:
    """Return the figures of one of several cases."""
    return {f"{prefix} {name}": figure for name, figure in figures.items()}


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
        storms.append(simulate(policies.queue("learned", PollModel(), seed), Window(50, 1.0), jobs, tells_took=True))
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
            result = simulate(policies.queue("learned", PollModel(), seed), Paced(10.0), jobs)
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


# -- the lane alone


@dataclass
class Counter:
    """A server's counter, and what its answers tell of it."""

    limit: int
    period: float
    kind: WindowKind = "fixed"
    skew: float = 0.0  # seconds by which the clock of the counter is ahead of the clock of `Date`
    off: float = 0.37  # seconds by which its windows end before a whole second: rounding shows
    rounds_down: bool = False  # whether the announced reset does; `Date` always does
    silence: Callable[[float], bool] = lambda now: False  # whether the answer of that moment announces nothing
    now: Callable[[], float] = field(default=lambda: asyncio.get_running_loop().time())
    accepted: int = 0
    refused: int = 0
    others: int = 0  # accepted of a stranger

    def __post_init__(self) -> None:
        """Start counting."""
        kinds: dict[WindowKind, Callable[[int, float], FixedWindow | SlidingWindow | TokenBucket]]
        kinds = {"fixed": FixedWindow, "sliding": SlidingWindow, "token_bucket": TokenBucket}
        self._window = kinds[self.kind](self.limit, self.period)

    def admit(self, *, ours: bool = True) -> tuple[RateFigures | None, float | None]:
        """Return what an answer announces, and its `Retry-After` if it is a refusal."""
        now = EPOCH + self.now()
        counted = now + self.off
        wait = self._window.wait(counted)
        if not wait:
            self._window.count(counted)
        self.accepted += ours and not wait
        self.refused += ours and bool(wait)
        self.others += not ours and not wait
        reset = self._window.resets_at(counted) - self.off + self.skew
        reset = math.floor(reset + 1e-6) if self.rounds_down else math.ceil(reset - 1e-6)
        left = max(0.0, reset - math.floor(now))
        figures = RateFigures(self.limit, self._window.remaining(counted), float(reset), left)
        retry_after = float(max(1, math.ceil(wait - 1e-6))) if wait else None
        return None if self.silence(now - EPOCH) else figures, retry_after


async def one_request(lane: Lane, counter: Counter, urgency: Urgency, draw: random.Random) -> None:
    """Take a slot, let the counter see it half a round trip later, and tell the lane what it said."""
    ticket = await lane.acquire(urgency)
    await asyncio.sleep(ROUND_TRIP / 2 * draw.lognormvariate(0.0, 0.3))
    figures, retry_after = counter.admit()
    await asyncio.sleep(ROUND_TRIP / 2 * draw.lognormvariate(0.0, 0.3))
    if retry_after is None:
        lane.answered(ticket, figures)
    else:
        lane.refused_for(ticket, figures, retry_after, luck=draw.random())


async def endless(lane: Lane, counter: Counter, urgency: Urgency, draw: random.Random) -> None:
    """Send all that the lane grants, without end."""

    async def worker() -> None:
        while True:
            await one_request(lane, counter, urgency, draw)

    async with asyncio.TaskGroup() as group:
        for _ in range(max(8, math.ceil(counter.limit / counter.period))):
            group.create_task(worker())


async def stranger(counter: Counter, share: float, draw: random.Random) -> None:
    """Take a share of the limit that no lane of ours knows of."""
    while True:
        await asyncio.sleep(draw.expovariate(share * counter.limit / counter.period))
        counter.admit(ours=False)


def use(
    counter: Counter, urgency: Urgency, seed: int, seconds: float, warm: float, *, clients: int = 1, taken: float = 0.0
) -> Figures:
    """Return which part of a limit is used under endless demand, and which part of the requests is refused.

    Args:
        counter: Who counts.
        urgency: Who asks.
        seed: Of the round trips.
        seconds: How long.
        warm: Seconds before that which do not count.
        clients: How many lanes that know nothing of each other.
        taken: Which part of the limit a stranger takes; what that is refused does not count.
    """

    async def main() -> Figures:
        draw = random.Random(seed)
        async with asyncio.TaskGroup() as group:
            demand = [group.create_task(stranger(counter, taken, draw))] if taken else []
            for number in range(clients):
                lane = RateLimiter().lane("key", "analysis")
                demand.append(group.create_task(endless(lane, counter, urgency, random.Random(seed + 1000 * number))))
            await asyncio.sleep(warm)
            counter.accepted = counter.refused = counter.others = 0
            await asyncio.sleep(seconds)
            for task in demand:
                task.cancel()
        sent = max(1, counter.accepted + counter.refused)
        allowed = counter.limit * seconds / counter.period
        used = 100.0 * (counter.accepted + counter.others) / allowed
        return {"used%": used, "refused%": 100.0 * counter.refused / sent}

    return in_virtual_time(main)


def _uses(cases: Mapping[str, Callable[[], Counter]], urgency: Urgency, seeds: range, windows: int) -> Figures:
    figures: Figures = {}
    for name, make in cases.items():
        period = make().period
        runs = [use(make(), urgency, seed, windows * period, 2 * period) for seed in seeds]
        figures |= named(name, mean_of(runs))
    return figures


def _limits(*, tells_nothing: bool) -> dict[str, Callable[[], Counter]]:
    def counter(limit: int, period: float, kind: WindowKind) -> Counter:
        return Counter(limit, period, kind, silence=lambda now: tells_nothing)

    cases: dict[str, Callable[[], Counter]] = {str(kind): partial(counter, *LIMIT, kind) for kind in WINDOWS}
    return cases | {"50/s": partial(counter, 50, 1.0, "fixed")}


def paced(seeds: range) -> Figures:
    """Endless demand of paced polls under announced limits: alone, two clients, and beside a stranger with 30 %."""
    figures = _uses(_limits(tells_nothing=False), Urgency.PACED, seeds, 10)
    for kind in WINDOWS[:2]:
        shared = partial(use, urgency=Urgency.PACED, seconds=600.0, warm=120.0)
        figures |= named(f"{kind}, two", mean_of(shared(Counter(*LIMIT, kind), seed=seed, clients=2) for seed in seeds))
        beside = mean_of(shared(Counter(*LIMIT, kind), seed=seed, taken=0.3) for seed in seeds)
        figures |= named(f"{kind}, stranger", beside)
    return figures


def spent(seeds: range) -> Figures:
    """Endless demand that spends each window at once, so that each begins with a probe.

    The reset is rounded up or down, and told by the same clock as `Date` or by one 0.4 s behind it, at its worst.
    """
    cases = {
        "up": partial(Counter, *LIMIT),
        "up, skewed": partial(Counter, *LIMIT, off=0.61, skew=-0.4),
        "down": partial(Counter, *LIMIT, off=0.01, rounds_down=True),
        "down, skewed": partial(Counter, *LIMIT, off=0.61, rounds_down=True, skew=-0.4),
        "50/s": partial(Counter, 50, 1.0),
        "50/s, down": partial(Counter, 50, 1.0, off=0.01, rounds_down=True),
        "50/s, down, skewed": partial(Counter, 50, 1.0, off=0.61, rounds_down=True, skew=-0.4),
        "50 per 5 s, down, skewed": partial(Counter, 50, 5.0, off=0.61, rounds_down=True, skew=-0.4),
    }
    return _uses(cases, Urgency.DIRECT, seeds, 10)


def turns(seeds: range) -> Figures:
    """A person's request every 6 s on average, beside polls that all go ahead: how long it waits for its slot."""

    async def main(seed: int) -> Figures:
        lane, counter, draw = RateLimiter().lane("key", "analysis"), Counter(*LIMIT), random.Random(seed)
        waits: list[float] = []

        async def person() -> None:
            started = counter.now()
            await one_request(lane, counter, Urgency.DIRECT, draw)
            waits.append(counter.now() - started - ROUND_TRIP)

        polls = asyncio.create_task(endless(lane, counter, Urgency.AHEAD, random.Random(seed)))
        async with asyncio.TaskGroup() as people:
            while counter.now() < 600.0:
                await asyncio.sleep(draw.expovariate(1 / 6.0))
                people.create_task(person())
        polls.cancel()
        used = 100.0 * counter.accepted / (LIMIT[0] * counter.now() / LIMIT[1])
        return {"wait mean": statistics.mean(waits), "wait p95": quantile(waits, 0.95) or math.nan, "used%": used}

    return mean_of(in_virtual_time(partial(main, seed)) for seed in seeds)


def unannounced(seeds: range) -> Figures:
    """Endless demand against limits of which nothing but refusals tells: one client, and three under one key."""
    figures = _uses(_limits(tells_nothing=True), Urgency.PACED, seeds, 15)
    shared = partial(use, urgency=Urgency.PACED, seconds=900.0, warm=120.0, clients=3)
    make = _limits(tells_nothing=True)["fixed"]
    return figures | named("fixed, three", mean_of(shared(make(), seed=seed) for seed in seeds))


def silent(seeds: range) -> Figures:
    """Demand that spends each window at once; answers lack figures: some of them, or all from the third minute on."""

    def lacking(share: float) -> Callable[[], Counter]:
        def make() -> Counter:
            draw = random.Random(7)
            return Counter(*LIMIT, silence=lambda now: draw.random() < share)

        return make

    cases: dict[str, Callable[[], Counter]] = {
        "1 in 3 lack": lacking(1 / 3),
        "3 in 4 lack": lacking(3 / 4),
        "none any more": partial(Counter, *LIMIT, silence=lambda now: now > 150.0),
    }
    return _uses(cases, Urgency.DIRECT, seeds, 10)


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
