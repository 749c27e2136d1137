"""Polling in virtual time: the shipped queue, a limiter that keeps its limit, a server with known completion times.

A discrete-event simulation: nothing sleeps, so an hour of polling takes a second. One dispatcher asks the queue for
its next slot and the limiter for that slot, sends, and hears the answer one round trip later; the server looks at the
clock half a round trip after the sending.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Protocol

from kallglot_async._core.polling.pending import Entry
from kallglot_async._core.polling.queue import PollQueue
from kallglot_async._core.polling.schedule import Supply

ROUND_TRIP = 0.2


class Limiter(Protocol):
    """What the dispatcher needs of a limiter."""

    def supply(self, now: float) -> Supply:
        """What it can give now."""

    def grant_at(self, at: float, *, ahead: bool) -> float:
        """The moment at which a slot asked for at `at` is granted."""

    def spend(self, now: float, *, ahead: bool) -> None:
        """A request goes out."""


class Paced:
    """GCRA: an even pace with a burst of two; says nothing about a window."""

    def __init__(self, rate: float, burst: int = 2) -> None:
        self._rate = rate
        self._slack = (burst - 1) / rate
        self._next = -math.inf

    def supply(self, now: float) -> Supply:
        return Supply(self._rate)

    def grant_at(self, at: float, *, ahead: bool) -> float:
        return max(at, self._next - self._slack)

    def spend(self, now: float, *, ahead: bool) -> None:
        self._next = max(self._next, now) + 1.0 / self._rate


class Window:
    """A fixed window of `limit` requests per `period` s, told by headers; refuses nobody as nobody exceeds it.

    The even pace is `resets_in / remaining` with a burst of two; a slot that goes ahead is granted while the window
    holds. `offset` is how long the window has been open when the simulation starts.
    """

    def __init__(self, limit: int, period: float, offset: float = 0.0) -> None:
        self._limit, self._period, self._offset = limit, period, offset
        self._index = 0
        self._used = 0
        self._next = -math.inf
        self.fullest = 0

    def _roll(self, now: float) -> float:
        """Seconds until the window renews."""
        index = math.floor((now + self._offset) / self._period + 1e-9)
        if index != self._index:
            self._index, self._used = index, 0
        return (index + 1) * self._period - self._offset - now

    def supply(self, now: float) -> Supply:
        resets_in = self._roll(now)
        return Supply(self._limit / self._period, self._limit - self._used, resets_in)

    def grant_at(self, at: float, *, ahead: bool) -> float:
        resets_in = self._roll(at)
        if self._used >= self._limit:
            return at + resets_in
        return at if ahead else max(at, self._next - self._step(resets_in))

    def _step(self, resets_in: float) -> float:
        return max(self._period / self._limit, resets_in / max(1, self._limit - self._used))

    def spend(self, now: float, *, ahead: bool) -> None:
        step = self._step(self._roll(now))
        if not ahead:  # one that goes ahead leaves less in the window, and so slows the pace as it is
            self._next = max(self._next, now) + step
        self._used += 1
        self.fullest = max(self.fullest, self._used)
        assert self._used <= self._limit, "the simulated dispatcher exceeded the window"


@dataclass(frozen=True, slots=True)
class Job:
    """One analysis: when the client hears of it, when it was created and when it is ready."""

    id: str
    added_at: float
    created_at: float
    ready_at: float
    age_known: bool  # whether the client knows `created_at` when it adds the id
    kind: str = "a"


@dataclass(slots=True)
class Result:
    """What came of it."""

    requests: int = 0
    answered: int = 0
    lags: list[float] = field(default_factory=list)  # s from ready (or added, if later) to the answer that said so
    polls: list[int] = field(default_factory=list)  # per settled id, in the order of settling
    settled_at: list[float] = field(default_factory=list)
    expired: int = 0

    @property
    def finished_at(self) -> float:
        return max(self.settled_at)


def simulate(
    queue: PollQueue,
    limiter: Limiter,
    jobs: Iterable[Job],
    *,
    tells_age: bool = True,
    tells_took: bool = False,
    start: float = 0.0,
) -> Result:
    """Run until every job has settled or expired."""
    result = Result()
    waiting: dict[Entry, Job] = {}
    arrivals = iter(sorted(jobs, key=lambda job: job.added_at))
    upcoming = next(arrivals, None)
    answers: list[tuple[float, int, Entry]] = []
    now = start
    sent = 0
    while True:
        while upcoming is not None and upcoming.added_at <= now:
            age = now - upcoming.created_at if upcoming.age_known else None
            waiting[queue.add(upcoming.id, upcoming.kind, now, age=age)] = upcoming
            upcoming = next(arrivals, None)
        while answers and answers[0][0] <= now:
            _, _, entry = heappop(answers)
            _answer(queue, waiting, entry, now, result, tells_age=tells_age, tells_took=tells_took)
        while (expired := queue.pop_expired(now)) is not None:
            waiting.pop(expired, None)
            result.expired += 1
        wake = min(answers[0][0] if answers else math.inf, upcoming.added_at if upcoming else math.inf)
        supply = limiter.supply(now)
        slot = queue.next_slot(now, supply)
        if slot is not None:
            granted_at = limiter.grant_at(slot.at, ahead=slot.ahead)
            if granted_at <= now:
                taken = queue.take(now, supply)
                if taken is not None:
                    limiter.spend(now, ahead=slot.ahead)
                    sent += 1
                    result.requests += 1
                    heappush(answers, (now + ROUND_TRIP, sent, taken))
                    continue
                granted_at = now + 0.01
            wake = min(wake, granted_at)
        wake = min(wake, queue.next_deadline() or math.inf)
        if wake == math.inf:
            return result
        now = max(now, wake)


def _answer(
    queue: PollQueue,
    waiting: dict[Entry, Job],
    entry: Entry,
    now: float,
    result: Result,
    *,
    tells_age: bool,
    tells_took: bool,
) -> None:
    job = waiting.get(entry)
    if job is None:
        return
    if job.ready_at > now - ROUND_TRIP / 2.0:
        queue.on_pending(entry, now, age=now - job.created_at if tells_age else None)
        return
    queue.on_settled(
        entry,
        now,
        age=now - job.created_at if tells_age else None,
        took=job.ready_at - job.created_at if tells_took else None,
    )
    del waiting[entry]
    result.lags.append(now - max(job.ready_at, job.added_at))
    result.polls.append(entry.polls)
    result.settled_at.append(now)
