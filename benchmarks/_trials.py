"""One batch of waits against one server in virtual time: who was delivered when, and what the server says of it."""

from __future__ import annotations

import asyncio
import random
import statistics
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import TypeVar

import looptime

from benchmarks._peer_server import PeerServer
from kallglot_async.emulator import WindowKind
from kallglot_async.emulator.limits.budget import Limits
from kallglot_async.emulator.limits.plans import LimitSettings

T = TypeVar("T")
Row = dict[str, object]
Deliver = Callable[[str], None]
Run = Callable[[PeerServer, list[str], Deliver], Awaitable[list[BaseException]]]

EPOCH = 1_790_000_040.0  # a multiple of 60: where a window of a minute, or of a second, begins
PATIENCE = 900.0  # virtual s after which a candidate is stopped


@dataclass(frozen=True, kw_only=True)
class Result:
    """What came of one batch. Seconds, counted from its start."""

    delivered: int
    requests: int  # polls, those refused included
    refused: int
    wall: float  # until the last delivery
    lags: list[float]  # from ready to delivered, of those delivered
    moments: list[float]  # of the deliveries, in their order
    lost: str  # what the waits that delivered nothing ended with
    creations: int = 0

    def lag(self, share: float) -> float | None:
        """Return the lag below which that share of the delivered lies."""
        return quantile(self.lags, share)


def in_virtual_time(main: Callable[[], Coroutine[object, object, T]]) -> T:
    """Run on an event loop of its own in which no time passes while there is anything to do."""
    with asyncio.Runner(loop_factory=looptime.new_event_loop) as runner:
        return runner.run(main())


async def batch(server: PeerServer, ids: list[str], run: Run, *, first: int | None = None) -> Result:
    """Have `run` wait for all the ids. The journal counts from its entry `first`, by default from now."""
    started, first = server.now, len(server.journal) if first is None else first
    moments: dict[str, float] = {}
    errors: Counter[str] = Counter()

    def deliver(id: str) -> None:
        ready_at = server.analysis(id).ready_at
        assert ready_at is not None
        assert ready_at <= server.now, "delivered before it was ready"
        moments[id] = server.now

    try:
        async with asyncio.timeout(PATIENCE):
            errors.update(type(error).__name__ for error in await run(server, ids, deliver))
    except TimeoutError:
        errors["stopped by the benchmark"] = len(ids) - len(moments)
    entries = server.journal[first:]
    polls = [entry for entry in entries if entry.method == "GET"]
    return Result(
        delivered=len(moments),
        requests=len(polls),
        refused=sum(entry.status == 429 for entry in entries),
        wall=max(moments.values(), default=started) - started,
        lags=[at - (server.analysis(id).ready_at or 0.0) for id, at in moments.items()],
        moments=[at - started for at in moments.values()],
        lost=", ".join(f"{count} {name}" for name, count in errors.most_common()),
        creations=len(entries) - len(polls),
    )


def seeded(seed: int) -> Callable[[], float]:
    """Seed what draws from the global generator (some SDKs do), and return a generator of our own."""
    random.seed(seed)
    return random.Random(seed).random


def oracle_wall(
    ready_at: list[float], limit: tuple[int, float], window: WindowKind, *, start: float, spent: int = 0
) -> float:
    """Return when the last could be delivered at best: one request each, the moment it is ready and allowed.

    Args:
        ready_at: Seconds after the start.
        limit: Requests and seconds.
        window: How they are counted.
        start: Unix seconds of the start.
        spent: Requests that were counted just before it.
    """
    limits = Limits(LimitSettings(rate_limit=limit, window=window))
    for _ in range(spent):
        limits.admit("analysis", start)
    now = start
    for at in sorted(ready_at):
        now = max(now, start + at)
        while not (verdict := limits.admit("analysis", now)).accepted:
            now += verdict.retry_in
    return now - start


def quantile(values: list[float], share: float) -> float | None:
    """Return the value below which that share lies; None of nothing."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else None


def mean(values: Iterable[float | None], digits: int = 1) -> float | None:
    """Return the mean of what there is, rounded."""
    there = [value for value in values if value is not None]
    return round(statistics.mean(there), digits) if there else None


def verdict(*checks: tuple[str, float | None, float]) -> str:
    """Return "met", or by which figures a bar was missed: (name, figure, at most)."""
    missed = [f"{name} {figure} > {most}" for name, figure, most in checks if figure is None or figure > most]
    return f"missed: {', '.join(missed)}" if missed else "met"
