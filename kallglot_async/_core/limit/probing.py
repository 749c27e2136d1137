"""`Probing`: the limit of a server that announces none, found by its refusals."""

from __future__ import annotations

import math

from kallglot_async._core.api.headers import RateFigures
from kallglot_async._core.limit.supply import Supply
from kallglot_async._core.limit.ticket import Pace, Ticket, Urgency

__all__ = ["Probing"]

FIRST_GUESS = 2.5  # requests/s: the highest documented limit for analyses, 150 a minute
CUT = 0.8  # of the refused rate: what is tried next
CREEP = 1000  # each answer adds one in so many of the refused rate


class Probing:
    """The limit of a server that announces none: found by its refusals.

    A refusal at a rate r sets the rate to 0.8 r, where r is what was accepted since the refusal before it,
    pauses included; every answer then adds r / 1000. At r = 2.5/s that is one refusal in some 200 requests. A
    refusal with nothing accepted in between is the same one still. After a pause one request tests the water.
    """

    __slots__ = ("_accepted", "_is_shut", "_pace", "_refused_at", "_since", "_step", "_test", "rate")

    def __init__(self) -> None:
        self.rate: float | None = None
        self._accepted = 0
        self._since: float | None = None
        self._refused_at = -math.inf
        self._step = 0.0
        self._is_shut = False  # refused, and nothing was accepted since
        self._test: Ticket | None = None  # the one request that finds out whether that is over
        self._pace = Pace()

    def next_at(self, now: float, urgency: Urgency) -> float:
        """Return when a request may go: infinity while the one that tests the water is out.

        Everybody keeps the pace: where no figure says what is left, there is nothing to spend ahead of it.
        """
        if self._test is not None:
            return math.inf
        return self._pace.theoretical + 1.0 / self.rate if self.rate else -math.inf

    def supply(self, now: float) -> Supply:
        """Return the rate it has found; before the first refusal there is no limit to be seen."""
        return Supply(rate=self.rate) if self.rate is not None else Supply()

    def on_sent(self, ticket: Ticket, now: float, urgency: Urgency) -> None:
        """A request goes out now."""
        if self._is_shut:
            self._test, ticket.is_test = ticket, True
        if self.rate:
            ticket.probing_pace = self._pace.on_sent(now, 1.0 / self.rate)

    def on_unsent(self, ticket: Ticket) -> None:
        """A granted request was not sent after all."""
        self.on_lost(ticket)
        if ticket.probing_pace is not None:
            self._pace.on_unsent(ticket.probing_pace)

    def on_lost(self, ticket: Ticket) -> None:
        """A request ended without an answer, or with one that is the business of another rule."""
        if ticket is self._test:
            self._test = None

    def on_answer(self, ticket: Ticket, now: float, figures: RateFigures | None) -> None:
        """A request was accepted."""
        self.on_lost(ticket)
        if self._since is None:
            self._since = ticket.sent_at
        self._is_shut = self._is_shut and ticket.sent_at <= self._refused_at  # sent before it: says nothing of it
        self._accepted += 1
        if self.rate is not None:
            self.rate += self._step

    def on_refused(self, ticket: Ticket, now: float, figures: RateFigures | None, until: float) -> None:
        """A request was refused. Refusals of requests sent before the last one tell nothing new."""
        self.on_lost(ticket)
        self._is_shut = True
        if ticket.sent_at <= self._refused_at:
            return
        self._refused_at = now
        if self._accepted and self._since is not None:
            # A tenth of a second at least: what was accepted in one turn of the loop is no rate.
            refused_rate = self._accepted / max(now - self._since, 0.1)
        elif self.rate is None:
            refused_rate = FIRST_GUESS
        else:
            return  # still the same refusal: nothing was accepted in between, so nothing new is known
        self.rate = CUT * refused_rate
        self._step = refused_rate / CREEP
        self._accepted, self._since = 0, now

    def forget_in_flight(self) -> None:
        """The event loop that sent them is gone: no answer will come."""
        self._test = None
