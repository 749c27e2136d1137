"""The lane alone, before a counter that says what it says with whole seconds, a skewed clock or not at all.

Scenes of `benchmarks.constants`, in virtual time and without sockets. Waits in seconds, shares in percent.
"""

from __future__ import annotations

import asyncio
import math
import random
import statistics
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial

from benchmarks._trials import EPOCH, in_virtual_time, quantile
from benchmarks.documented import LIMIT
from kallglot_async import RateLimiter
from kallglot_async._core.api.answers import RateFigures
from kallglot_async._core.limit.ticket import Urgency
from kallglot_async._wire.limiter import Lane
from kallglot_async.emulator import WindowKind
from kallglot_async.emulator.limits.windows import FixedWindow, SlidingWindow, TokenBucket

Figures = dict[str, float]
Measure = Callable[[range], Figures]

ROUND_TRIP = 0.2
WINDOWS: tuple[WindowKind, ...] = ("fixed", "sliding", "token_bucket")


def mean_of(runs: Iterable[Figures]) -> Figures:
    """Return the mean of each figure."""
    found = list(runs)
    return {name: statistics.mean(run[name] for run in found) for name in found[0]}


def named(prefix: str, figures: Figures) -> Figures:
    """Return the figures of one of several cases."""
    return {f"{prefix} {name}": figure for name, figure in figures.items()}


@dataclass
class Counter:
    """A server's counter, and what its answers tell of it."""

    limit: int
    period: float
    kind: WindowKind = "fixed"
    skew: float = 0.0  # seconds by which the clock of the counter is ahead of the clock of `Date`
    off: float = 0.37  # seconds by which its windows end before a whole second: rounding shows
    rounds_down: bool = False  # whether the announced reset does; `Date` always does
    tells_nothing: bool = False  # whether only its refusals show that there is a limit
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
        return None if self.tells_nothing else figures, retry_after


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
        return Counter(limit, period, kind, tells_nothing=tells_nothing)

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
