"""`RateLimiter`: the async shell of `_core.rate_limit`. Direct requests first, polls strictly in turn, one timer.

One `Lane` for each endpoint group and key, and one configured ceiling over all of them. A grant is a
hand-off: the request is charged when its waiter is woken, so nobody can barge in, and a waiter that is
cancelled in the very turn of its grant gives the slot back and passes it on.
"""

from __future__ import annotations

import asyncio
import math
import os
from collections import deque
from collections.abc import Hashable
from itertools import count

from kallglot_async import _clock
from kallglot_async._core.api.headers import RateFigures
from kallglot_async._core.limit.ceiling import Ceiling
from kallglot_async._core.limit.probing import Probing
from kallglot_async._core.limit.ticket import PAUSE_WITHOUT_ADVICE, SHORTEST_PAUSE, Ticket, Urgency
from kallglot_async._core.limit.window import Window
from kallglot_async._core.polling.schedule import Supply
from kallglot_async.errors import ConfigurationError, RateLimitedError
from kallglot_async.models import RateLimit, RateLimitState

__all__ = ["Lane", "RateLimiter", "limiter_of"]


class _Place:
    __slots__ = ("future", "place", "until")

    def __init__(self, future: asyncio.Future[Ticket], place: int, until: float) -> None:
        self.future = future
        self.place = place
        self.until = until


_LONGEST_SPREAD = 3.0  # seconds


class Lane:
    """Everything that waits for one budget: one endpoint group under one key."""

    __slots__ = (
        "_ahead_of",
        "_answered",
        "_ceiling",
        "_epoch",
        "_loop",
        "_paused_until",
        "_places",
        "_probing",
        "_process",
        "_queues",
        "_timer",
        "_timer_at",
        "_window",
        "in_flight",
        "lost_count",
        "refused",
        "sent",
    )

    def __init__(self, ceiling: Ceiling | None) -> None:
        self._window = Window()
        self._probing = Probing()
        self._ceiling = ceiling
        self._answered = False
        self._epoch = 0
        self._paused_until = -math.inf
        self._queues: tuple[deque[_Place], ...] = tuple(deque() for _ in Urgency)
        self._ahead_of = tuple(self._queues[: urgency + 1] for urgency in Urgency)  # who is served before a newcomer
        self._places = count()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._process = 0  # a child process that a fork made has the loop, but not what runs in it
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = math.inf
        self.in_flight = 0
        self.sent = 0
        self.refused = 0
        self.lost_count = 0

    async def acquire(self, urgency: Urgency, *, until: float = math.inf) -> Ticket:
        """Wait for the right to send one request, and take it.

        Cancellation gives up the place in the queue, or the slot where it was just granted; nobody else
        loses anything.

        Args:
            urgency: Who asks.
            until: The latest moment that is of use, on the limiter's clock.

        Raises:
            RateLimitedError: It is already known that there will be no slot before `until`.
        """
        ticket = self.try_acquire(urgency)
        if ticket is not None:
            return ticket
        now = _clock.now()
        if (at := self.next_at(now, urgency)) > until and not math.isinf(at):
            raise self._too_late(now, at)
        waiter = _Place(asyncio.get_running_loop().create_future(), next(self._places), until)
        self._queues[urgency].append(waiter)
        self._pump(now)
        try:
            return await waiter.future
        except asyncio.CancelledError:
            if waiter.future.done() and not waiter.future.cancelled() and waiter.future.exception() is None:
                self.unsent(waiter.future.result(), urgency)
            raise

    def try_acquire(self, urgency: Urgency) -> Ticket | None:
        """Take the right to send one request if it is free now and nobody has waited for it longer."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._enter(loop)
        now = _clock.now()
        if self._has_waiters(urgency) or self.next_at(now, urgency) > now:
            return None
        return self._grant(now, urgency)

    def next_at(self, now: float, urgency: Urgency) -> float:
        """Return when a request could go if nobody else were waiting; infinity: once an answer has come."""
        at = self._window.next_at(now, urgency) if self._is_window else self._probing.next_at()
        if self._paused_until > at:
            at = self._paused_until
        if self._ceiling is not None:
            at = max(at, self._ceiling.next_at(urgency))
        return at

    def supply(self, now: float) -> Supply:
        """Return what a scheduler may count on."""
        rate, remaining, resets_in = math.inf, math.inf, math.inf
        if self._is_window and self._window.limit is not None:
            interval = self._window.interval(now)
            rate = 1.0 / interval if interval > 0 else math.inf
            remaining, resets_in = float(max(0, self._window.available)), self._window.resets_in(now)
            if resets_in == 0.0:  # a new window has begun that no answer has described yet
                remaining, resets_in = float(self._window.limit - self.in_flight), self._window.period
        elif self._probing.rate is not None:
            rate = self._probing.rate
        if self._ceiling is not None:
            rate = min(rate, 1.0 / self._ceiling.interval())
            remaining = min(remaining, float(self._ceiling.available(now)))
            resets_in = min(resets_in, self._ceiling.limit.per)
        can_run_low = self._is_window and self._window.can_run_low(now)
        return Supply(rate=rate, remaining=remaining, resets_in=resets_in, can_run_low=can_run_low)

    def answered(self, ticket: Ticket, figures: RateFigures | None) -> None:
        """The request was answered, and not with 429."""
        if ticket.epoch != self._epoch:
            return
        now = _clock.now()
        self.in_flight -= 1
        self._answered = True
        self._window.on_answer(ticket, now, figures)
        if self._is_window:
            self._probing.on_lost(ticket)
        else:
            self._probing.on_answer(ticket)
        self._pump(now)

    def refused_for(
        self, ticket: Ticket, figures: RateFigures | None, retry_after: float | None, *, luck: float = 0.0
    ) -> float:
        """The request was answered 429: pause everybody. Returns the seconds of the pause.

        `luck`, uniform in [0, 1), spreads the wake-ups of clients that know nothing of each other: up to a
        tenth of the pause, and 3 s at most, are added.
        """
        now = _clock.now()
        self.refused += 1
        pause = PAUSE_WITHOUT_ADVICE if retry_after is None else max(SHORTEST_PAUSE, retry_after)
        if figures is not None:
            pause = max(retry_after or 0.0, figures.resets_in + self._window.guard())
        pause += luck * min(_LONGEST_SPREAD, 0.1 * pause)
        if ticket.epoch != self._epoch:
            return pause
        self.in_flight -= 1
        self._answered = True
        until = now + pause
        self._window.on_refused(ticket, now, figures, until)
        if self._is_window:
            self._probing.on_lost(ticket)
        else:
            self._probing.on_refused(ticket, now)
        self._paused_until = max(self._paused_until, until)
        self._dismiss_hopeless(now)
        self._pump(now)
        return until - now

    def lost(self, ticket: Ticket, *, was_answered: bool = False) -> None:
        """The request ended without an answer, or with one that tells nothing of the limit."""
        self.lost_count += not was_answered
        if ticket.epoch != self._epoch:
            return
        self.in_flight -= 1
        self._window.on_lost(ticket)
        self._probing.on_lost(ticket)
        self._pump(_clock.now())

    def unsent(self, ticket: Ticket, urgency: Urgency) -> None:
        """The request was not sent after all: its slot goes to the next in line."""
        self.sent -= 1
        if ticket.epoch != self._epoch:
            return
        self.in_flight -= 1
        if not self._is_window:
            self._probing.on_unsent(ticket)
            ticket.pace = None  # it was the probing's
        self._window.on_unsent(ticket)
        if self._ceiling is not None:
            self._ceiling.on_unsent(ticket.sent_at, urgency)
        self._pump(_clock.now())

    def paused_for(self, now: float) -> float:
        """Return the seconds until the pause that a refusal asked for is over."""
        return max(0.0, self._paused_until - now)

    def state(self) -> RateLimitState:
        """Return what is known now."""
        now = _clock.now()
        supply = self.supply(now)
        limit = self._window.limit if self._is_window else None
        return RateLimitState(
            limit=limit,
            remaining=int(supply.remaining) if math.isfinite(supply.remaining) else None,
            resets_in=supply.resets_in if math.isfinite(supply.resets_in) else None,
            rate=supply.rate if math.isfinite(supply.rate) else None,
            paused_for=self.paused_for(now),
            waiting=self.waiting,
            in_flight=self.in_flight,
            sent=self.sent,
            refused=self.refused,
        )

    @property
    def waiting(self) -> int:
        """How many wait for a slot."""
        return sum(not waiter.future.done() for queue in self._queues for waiter in queue)

    @property
    def _is_window(self) -> bool:
        """Whether the server's own figures rule: they do until an answer came without any."""
        return self._window.limit is not None or not self._answered

    def _enter(self, loop: asyncio.AbstractEventLoop) -> None:
        """Serve another event loop: what a loop that is gone left behind concerns nobody any more."""
        process = os.getpid()
        if self._loop is not None and (self._loop.is_closed() or process != self._process):
            for queue in self._queues:
                queue.clear()
            self.in_flight = 0
            self._epoch += 1
            self._window.forget_in_flight()
            self._probing.forget_in_flight()
        if self._timer is not None:
            self._timer.cancel()  # it would ring in the other loop, which may not run any more
            self._timer = None
        self._loop, self._process = loop, process
        self._pump(_clock.now())

    def _has_waiters(self, urgency: Urgency) -> bool:
        """Whether somebody waits who goes before a newcomer of this urgency."""
        for queue in self._ahead_of[urgency]:
            while queue and queue[0].future.done():
                queue.popleft()
            if queue:
                return True
        return False

    def _dismiss_hopeless(self, now: float) -> None:
        """Tell those in line who cannot wait that long, now rather than at their deadline."""
        for urgency, queue in zip(Urgency, self._queues, strict=True):
            at = self.next_at(now, urgency)
            for waiter in queue:
                if waiter.until < at < math.inf and not waiter.future.done():
                    waiter.future.set_exception(self._too_late(now, at))

    def _too_late(self, now: float, at: float) -> RateLimitedError:
        window = self._window
        return RateLimitedError(
            f"the rate limit allows the next request in {at - now:.1f} s, too late for this call",
            code="rate_limit_exceeded",
            retry_after=at - now,
            limit=window.limit,
            reset=window.resets_in(now) if window.limit is not None else None,
        )

    def _grant(self, now: float, urgency: Urgency) -> Ticket:
        ticket = self._window.on_sent(now, urgency, is_ruling=self._is_window)
        ticket.epoch = self._epoch
        if not self._is_window or not self._answered:
            self._probing.on_sent(ticket, now)
        if self._ceiling is not None:
            self._ceiling.on_sent(now, urgency)
        self.in_flight += 1
        self.sent += 1
        return ticket

    def _pump(self, now: float) -> None:
        """Wake whoever may go now, and set the timer for whoever may go next."""
        if not any(self._queues):
            return
        while (urgency := self._next_in_line(now)) is not None:
            self._queues[urgency].popleft().future.set_result(self._grant(now, urgency))

    def _next_in_line(self, now: float) -> Urgency | None:
        """Return the queue whose head may go now: direct requests first, then the poll that waited longest."""
        chosen, place, wake_at = None, math.inf, math.inf
        for urgency, queue in zip(Urgency, self._queues, strict=True):
            while queue and queue[0].future.done():
                queue.popleft()
            if not queue:
                continue
            at = self.next_at(now, urgency)
            wake_at = min(wake_at, at)
            if at <= now and queue[0].place < place:
                chosen, place = urgency, queue[0].place
            if chosen is Urgency.DIRECT:
                return chosen
        if chosen is None and wake_at > now:
            self._arm(wake_at, now)
        return chosen

    def _arm(self, at: float, now: float) -> None:
        """Ask again at `at`, with one timer for all."""
        if self._timer is not None:
            if self._timer_at <= at and self._timer_at > now and not self._timer.cancelled():
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


class RateLimiter:
    """One rate limit for everybody who shares it; give the same one to several clients to make them share.

    It learns the limit from the server's headers, for each endpoint group and key; `limit` is a ceiling on
    top. Not for use from several threads at once.

    Args:
        limit: A ceiling over all requests of all clients that share this limiter, or None.
    """

    __slots__ = ("_ceiling", "_lanes", "limit")

    def __init__(self, limit: RateLimit | None = None) -> None:
        self.limit = limit
        self._ceiling = Ceiling(limit) if limit is not None else None
        self._lanes: dict[Hashable, Lane] = {}

    def lane(self, key: Hashable, group: str) -> Lane:
        """Return the lane of one endpoint group under one key."""
        found = self._lanes.get((key, group))
        if found is None:
            found = self._lanes[key, group] = Lane(self._ceiling)
        return found

    def __repr__(self) -> str:
        lanes = self._lanes.values()
        return (
            f"<RateLimiter ceiling={self.limit} sent={sum(lane.sent for lane in lanes)} "
            f"refused={sum(lane.refused for lane in lanes)} waiting={sum(lane.waiting for lane in lanes)}>"
        )


def limiter_of(rate_limit: RateLimit | RateLimiter | None) -> RateLimiter:
    """Return the limiter that a `rate_limit` argument stands for, or raise `ConfigurationError`."""
    if isinstance(rate_limit, RateLimiter):
        return rate_limit
    if rate_limit is not None and not isinstance(rate_limit, RateLimit):
        raise ConfigurationError(f"rate_limit is a RateLimit or a RateLimiter, not {type(rate_limit).__name__}")
    return RateLimiter(rate_limit)
