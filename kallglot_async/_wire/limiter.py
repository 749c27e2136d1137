"""`RateLimiter`: the async shell of `_core/limit/`. It keeps who waits, one timer, and what was counted.

One `Lane` for each endpoint group and key, and one configured ceiling over all of them. What may go, and whose turn
it is, its gate says. A grant is a hand-off: the request is charged when its waiter is woken, so nobody can barge in,
and a waiter that is cancelled in the very turn of its grant gives the slot back and passes it on.
"""

from __future__ import annotations

import asyncio
import math
import os
from collections import deque
from collections.abc import Callable, Hashable
from itertools import count

from kallglot_async import _clock
from kallglot_async._clock import OneLoop
from kallglot_async._core.api.answers import RateFigures
from kallglot_async._core.limit.ceiling import Ceiling
from kallglot_async._core.limit.gate import SERVED_BEFORE, Gate
from kallglot_async._core.limit.ticket import Ticket, Urgency
from kallglot_async._wire.admission import Admission
from kallglot_async._wire.failures import UnsentError
from kallglot_async.errors import ConfigurationError, RateLimitedError
from kallglot_async.models import RateLimit, RateLimitState

__all__ = ["Lane", "RateLimiter", "limiter_of"]

_DIRECT = Urgency.DIRECT  # looked up in an enumeration, a member costs as much as a call
_LONG = 120.0  # seconds without any request; the documented limits renew within a minute


class _Place:
    __slots__ = ("future", "place", "since", "until", "urgency")

    def __init__(
        self, future: asyncio.Future[Ticket], place: int, *, since: float, until: float, urgency: Urgency
    ) -> None:
        self.future = future
        self.place = place
        self.since = since
        self.until = until
        self.urgency = urgency


class Lane:
    """Everything that waits for one budget: one endpoint group under one key.

    Attributes:
        admission: Who may ask for what has to be asked about again; of analyses alone.
        on_dry: Called when somebody waits and nothing is to be had at the moment.
    """

    __slots__ = (
        "_home",
        "_loop",
        "_places",
        "_process",
        "_queues",
        "_served_before",
        "_soonest",
        "_timer",
        "_timer_at",
        "_told_for",
        "admission",
        "direct",
        "gate",
        "lost_count",
        "on_dry",
        "refused",
        "sent",
    )

    def __init__(self, gate: Gate, home: OneLoop | None = None) -> None:
        self.gate: Gate = gate
        self.admission: Admission = Admission(self)
        self._home = OneLoop() if home is None else home  # of all lanes of a limiter
        self._queues: tuple[deque[_Place], ...] = tuple(deque() for _ in Urgency)
        self._served_before = tuple(tuple(self._queues[who] for who in SERVED_BEFORE[urgency]) for urgency in Urgency)
        # One count for all queues: of the polls that may go, the one that has waited longest goes first.
        self._places = count()
        self._soonest = math.inf  # no `until` in line is before it
        self._loop: asyncio.AbstractEventLoop | None = None
        self._process = 0  # a child process that a fork made has the loop, but not what runs in it
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = math.inf
        self._told_for = 0.0  # seconds of the longest time that was told of, since something last could go
        self.on_dry: Callable[[], object] | None = None
        self.sent: int = 0
        self.refused: int = 0
        self.direct: int = 0  # of those sent, direct requests and last looks
        self.lost_count: int = 0

    async def acquire(self, urgency: Urgency, *, until: float = math.inf) -> Ticket:
        """Wait for the right to send one request, and take it.

        Cancellation gives up the place in the queue, or the slot where it was just granted; nobody else
        loses anything.

        Args:
            urgency: Who asks.
            until: The latest moment that is of use, on the limiter's clock.

        Raises:
            RateLimitedError: There will be no slot before `until`, as is known already or turns out in line.
        """
        ticket = self.try_acquire(urgency)
        if ticket is not None:
            return ticket
        now = _clock.now()
        # Infinity is no moment: an answer that is under way will tell, and perhaps in time.
        if (at := self.gate.next_at(now, urgency)) > until and not math.isinf(at):
            raise self._too_late(now, at)
        future = asyncio.get_running_loop().create_future()
        waiter = _Place(future, next(self._places), since=now, until=until, urgency=urgency)
        self._queues[urgency].append(waiter)
        self._soonest = min(self._soonest, until)
        self._pump(now)
        try:
            return await waiter.future
        except asyncio.CancelledError as error:
            # Granted and cancelled in one turn of the loop: nobody else would ever give that slot back.
            if waiter.future.done() and not waiter.future.cancelled() and waiter.future.exception() is None:
                self.unsent(waiter.future.result())
            raise error from UnsentError("its turn at the rate limit had not come")

    def try_acquire(self, urgency: Urgency, now: float | None = None) -> Ticket | None:
        """Take the right to send one request if it is free now and nobody has waited for it longer.

        Args:
            urgency: Who asks.
            now: The present moment, of who has just looked.
        """
        self.enter()
        # A slot may be free before the timer rings for it: it belongs to who has waited.
        for queue in self._served_before[urgency]:
            if queue and _first(queue) is not None:
                return None
        if now is None:
            now = _clock.now()
        if self.gate.next_at(now, urgency) > now:
            return None
        return self._grant(now, urgency)

    def _grant(self, now: float, urgency: Urgency) -> Ticket:
        self.sent += 1
        self.direct += urgency is _DIRECT
        return self.gate.on_sent(now, urgency)

    def enter(self) -> None:
        """Serve the running event loop.

        Raises:
            ConfigurationError: Another one is served, and runs.
        """
        loop = _clock.running_loop()
        if loop is not self._loop or loop is not self._home.loop:
            self._enter(loop)

    def answered(self, ticket: Ticket, figures: RateFigures | None) -> None:
        """The request was answered, and not refused for rate."""
        # A ticket of a loop that is gone was written off with it, and must not be counted back twice.
        if ticket.epoch == self.gate.epoch:
            now = _clock.now()
            self.gate.on_answer(ticket, now, figures)
            if self._told_for and self.closed_for(now) < _LONG:
                self._told_for = 0.0
            if any(self._queues):
                self._pump(now)

    def refused_for(
        self, ticket: Ticket, figures: RateFigures | None, retry_after: float | None, *, luck: float = 0.0
    ) -> float:
        """The request was refused for rate: pause everybody. Returns the seconds of the pause.

        `luck`, uniform in [0, 1), spreads the wake-ups of clients that know nothing of each other.
        """
        self.refused += 1
        pause = self.gate.next_pause(figures, retry_after, luck=luck)
        if ticket.epoch == self.gate.epoch:
            now = _clock.now()
            self.gate.on_refused(ticket, now, figures, now + pause, named=retry_after or 0.0)
            self._dismiss_hopeless(now)
            self._pump(now)
        return pause

    def lost(self, ticket: Ticket, *, was_answered: bool = False) -> None:
        """The request ended without an answer, or with one that tells nothing of the limit."""
        # Whichever loop it was sent in: what is counted is the lane's whole life.
        self.lost_count += not was_answered
        if ticket.epoch == self.gate.epoch:
            now = _clock.now()
            self.gate.on_lost(ticket, now)
            self._pump(now)

    def unsent(self, ticket: Ticket) -> None:
        """The request was not sent after all: its slot goes to the next in line."""
        self.sent -= 1
        self.direct -= ticket.is_direct
        if ticket.epoch == self.gate.epoch:
            self.gate.on_unsent(ticket)
            self._pump(_clock.now())

    def closed_for(self, now: float) -> float:
        """Return the seconds until anything could go; 0.0 where something may, or where an answer has to tell."""
        at = self.gate.next_at(now, Urgency.DIRECT)
        return at - now if now < at < math.inf else 0.0

    def news_of_closing(self, now: float) -> float:
        """Return the same where that is longer than anybody expects; else 0.0.

        Once until something goes again, and again where it has doubled.
        """
        closed_for = self.closed_for(now)
        if closed_for < _LONG or closed_for < 2.0 * self._told_for:
            return 0.0
        self._told_for = closed_for
        return closed_for

    def state(self) -> RateLimitState:
        """Return what is known now."""
        now = _clock.now()
        supply = self.gate.supply(now)
        return RateLimitState(
            limit=self.gate.window.limit,
            remaining=int(supply.remaining) if math.isfinite(supply.remaining) else None,
            resets_in=supply.resets_in if math.isfinite(supply.resets_in) else None,
            rate=supply.rate if math.isfinite(supply.rate) else None,
            paused_for=self.gate.paused_for(now),
            waiting=self.waiting,
            in_flight=self.in_flight,
            sent=self.sent,
            refused=self.refused,
        )

    @property
    def in_flight(self) -> int:
        """Requests granted and not yet ended."""
        return self.gate.in_flight

    def polls_wait_since(self) -> float:
        """Return since when the poll has stood in line that has waited longest; infinity: none waits."""
        polls = (queue for urgency, queue in zip(Urgency, self._queues, strict=True) if urgency is not _DIRECT)
        return min((queue[0].since for queue in polls if _first(queue) is not None), default=math.inf)

    @property
    def waiting(self) -> int:
        """How many wait for a slot."""
        return sum(not waiter.future.done() for queue in self._queues for waiter in queue)

    @property
    def waiting_by_urgency(self) -> list[int]:
        """How many wait for a slot, by urgency."""
        return [sum(not waiter.future.done() for waiter in queue) for queue in self._queues]

    def look_again(self) -> None:
        """Something has changed that the gate decides by, and no answer tells of it."""
        now = _clock.now()
        self._dismiss_hopeless(now)
        self._pump(now)

    def _enter(self, loop: asyncio.AbstractEventLoop) -> None:
        """Serve another event loop: what a loop that is gone left behind concerns nobody any more."""
        # First, as it may refuse: then nothing here has changed.
        self._home.enter(loop)
        process, before = os.getpid(), self._loop
        if before is loop and self._process == process:
            return
        if before is not None:
            is_gone = before.is_closed() or process != self._process
            left = [place for queue in self._queues for place in queue if not place.future.done()]
            # Their futures belong to that loop: to wake one would call into it. One that stands still may run again.
            for queue in self._queues:
                queue.clear()
            self.gate.forget_in_flight()
            self.admission.forget(None if is_gone else before)
            if left and not is_gone:
                before.call_soon_threadsafe(self._return, left)
        if self._timer is not None:
            # It would ring in the other loop, which may not run any more.
            self._timer.cancel()
            self._timer = None
        self._loop, self._process = loop, process
        self._pump(_clock.now())

    def _return(self, left: list[_Place]) -> None:
        """Let those wait in line again whose loop stood still while another was served."""
        try:
            self.enter()
        except ConfigurationError as error:
            for place in left:
                if not place.future.done():
                    place.future.set_exception(error)
            return
        for place in left:
            self._queues[place.urgency].append(place)
            self._soonest = min(self._soonest, place.until)
        self._pump(_clock.now())

    def _dismiss_hopeless(self, now: float) -> None:
        """Tell those in line who cannot wait that long, now rather than at their deadline."""
        self._soonest = math.inf
        for urgency, queue in zip(Urgency, self._queues, strict=True):
            if not queue:
                continue
            at = self.gate.next_at(now, urgency)
            for waiter in queue:
                if waiter.future.done():
                    continue
                if waiter.until < at < math.inf:
                    waiter.future.set_exception(self._too_late(now, at))
                else:
                    self._soonest = min(self._soonest, waiter.until)

    def _too_late(self, now: float, at: float) -> RateLimitedError:
        return RateLimitedError(
            f"the rate limit allows the next request in {at - now:.1f} s, too late for this call",
            code="rate_limit_exceeded",
            retry_after=at - now,
            limit=self.gate.window.limit,
            reset=self.gate.resets_in(now),
        )

    def _pump(self, now: float) -> None:
        """Wake whoever may go now, and set the timer for whoever may go next."""
        if not any(self._queues):
            return
        while True:
            urgency, at = self.gate.next_turn(now, [_first(queue) for queue in self._queues])
            if urgency is None:
                break
            # The first in line still waits: those before it that have given up were dropped as `_first` looked.
            self._queues[urgency].popleft().future.set_result(self._grant(now, urgency))
        # An answer has told what nobody knew when they came: they hear of it now, and not at their deadline.
        if self._soonest < at < math.inf:
            self._dismiss_hopeless(now)
        self._arm(at)
        if self.on_dry is not None and any(self._queues):
            self.on_dry()

    def _arm(self, at: float) -> None:
        """Ask again at `at`, with one timer for all."""
        if self._timer is not None:
            # One that rings early finds nobody's turn come and is set anew: cheaper than another for each who comes.
            if self._timer_at <= at:
                return
            self._timer.cancel()
            self._timer = None
        if math.isinf(at):
            return  # an answer will wake us
        self._timer_at = at
        self._timer = _clock.call_at(at, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._pump(_clock.now())


def _first(queue: deque[_Place]) -> int | None:
    """Return the place in line of whoever has waited longest, or None; who has given up is dropped."""
    # Who gives up stays in line until its turn comes: searching for it would cost each cancellation the whole queue.
    while queue and queue[0].future.done():
        queue.popleft()
    return queue[0].place if queue else None


class RateLimiter:
    """One rate limit for everybody who shares it; give the same one to several clients to make them share.

    It learns the limit from the server's headers, for each endpoint group and key; `limit` is a ceiling on
    top. Not for use from several threads at once.

    Args:
        limit: A ceiling over all requests of all clients that share this limiter, or None.
    """

    __slots__ = ("_beside", "_home", "_lanes", "limit")

    def __init__(self, limit: RateLimit | None = None) -> None:
        self.limit: RateLimit | None = limit
        self._beside = () if limit is None else (Ceiling(limit),)  # one ceiling over all lanes
        self._lanes: dict[Hashable, Lane] = {}
        self._home = OneLoop()

    def leave(self) -> None:
        """The running loop has closed a client that uses it: where nothing is under way, another loop may have it."""
        if not any(lane.in_flight or lane.waiting for lane in self._lanes.values()):
            self._home.leave()

    def lane(self, key: Hashable, group: str) -> Lane:
        """Return the lane of one endpoint group under one key."""
        found = self._lanes.get((key, group))
        if found is None:
            found = self._lanes[key, group] = self._new_lane(key, group)
        return found

    def _new_lane(self, key: Hashable, group: str) -> Lane:
        return Lane(Gate(self._beside), self._home)

    async def aleave(self) -> None:
        """Leave the running loop, and close what this limiter has opened there."""
        self.leave()

    def __repr__(self) -> str:
        lanes = self._lanes.values()
        return (
            f"<{type(self).__name__} ceiling={self.limit} sent={sum(lane.sent for lane in lanes)} "
            f"refused={sum(lane.refused for lane in lanes)} waiting={sum(lane.waiting for lane in lanes)}>"
        )


def limiter_of(rate_limit: RateLimit | RateLimiter | None) -> RateLimiter:
    """Return the limiter that a `rate_limit` argument stands for, or raise `ConfigurationError`."""
    if isinstance(rate_limit, RateLimiter):
        return rate_limit
    if rate_limit is not None and not isinstance(rate_limit, RateLimit):
        raise ConfigurationError(f"rate_limit is a RateLimit or a RateLimiter, not {type(rate_limit).__name__}")
    return RateLimiter(rate_limit)
