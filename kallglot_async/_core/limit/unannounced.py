"""`Unannounced`: a limit of which no figure tells, found by its refusals.

It is one of requests in a time, until it is shown to be one of requests at once (`places`). The folder's docstring has
its rules, 11 to 13.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable

from kallglot_async._core.api.answers import RateFigures
from kallglot_async._core.limit.places import Places, shown
from kallglot_async._core.limit.ticket import Pace, Supply, Ticket, Urgency

__all__ = ["MOST_ACCEPTED", "Unannounced"]

EVIDENCE = 3  # requests accepted between two refusals, from which the later is taken to show a rate, ...
ENOUGH = 8  # ... or so many since the first, however few between any two
RESTART = 25.0  # requests/s after a refusal that shows no rate
MEASURED = 5.0  # seconds before a refusal in which accepted requests are counted, at most
CUT = 0.97  # of the measured rate: what is kept to after a refusal, ...
CUT_AGAIN = 0.9  # ... and after one that comes before a clean period is over, and after a rate that was seen for less
FALL = 0.25  # of the rate before: what is kept at least, where hardly anything was accepted before a long pause
SLACK, MOST_SLACK = 0.5, 0.05  # of an interval, and seconds: by which the next may make up for one that went late
GROWTH = 1.005  # the factor of the first clean period after a refusal; each further period squares it, ...
MOST_GROWTH = 2.0  # ... up to this
CLEAN = 6.0  # seconds of requests at its rate, all of them accepted: a clean period
SILENT = 600.0  # seconds without a refusal after which it is forgotten
MOST_ACCEPTED = 10_000  # accepted requests that are remembered


class Unannounced:
    """A limit of which no figure tells: behind announced ones, or where there are none.

    Its time is open time, in which no pause goes by: nothing can be accepted during one.

    Args:
        accepted: When those requests were sent that were accepted before there was a reason to look for it.
        since: When the first request was sent.
        in_flight: Requests that are under way.
    """

    __slots__ = (
        "_accepted", "_before", "_beside", "_clean", "_cut", "_evidence", "_growth", "_in_flight", "_is_doubtful",
        "_is_measured", "_is_of_rate", "_named", "_opened", "_pace", "_pause", "_paused", "_paused_before",
        "_paused_until", "_places", "_refusal_took", "_refused_at", "_since", "rate",
    )  # fmt: skip

    def __init__(self, accepted: Iterable[float] = (), since: float = math.inf, in_flight: int = 0) -> None:
        self.rate: float | None = None
        self._before: float | None = None  # the rate when the latest refusal came
        self._in_flight = in_flight
        self._opened = math.inf  # requests accepted since the latest refusal: so many and one may be in flight
        self._accepted: deque[float] = deque(maxlen=MOST_ACCEPTED)  # when they were sent, in open time
        self._since = since  # the open time of the first after a rest, or of the refusal before
        for sent_at in accepted:
            self._note(sent_at)
        self._evidence = 0
        self._is_measured = False  # whether the rate is one that was seen, and not the one to start anew with
        self._is_doubtful = False  # whether it was seen, but for less than MEASURED seconds
        self._refused_at = -math.inf
        self._pause = 0.0  # seconds that the latest refusal asked for
        self._paused = 0.0  # seconds of all pauses, ...
        self._paused_before = 0.0  # ... and of those before the latest
        self._paused_until = -math.inf
        self._cut = CUT
        self._clean = 0.0
        self._growth = GROWTH
        self._pace = Pace()
        self._refusal_took, self._named = 0.0, 0.0  # seconds until the latest refusal was heard, and that it named
        self._beside: list[float] = []  # seconds that those took which were under way then, and accepted
        self._places: Places | None = None  # what holds in place of the rate, where it is a limit of requests at once
        self._is_of_rate = False  # whether that was tried, and denied

    def next_at(self, now: float, urgency: Urgency) -> float:
        """Return when a request may go: infinity where an answer has to come before.

        Everybody keeps the pace: where no figure says what is left, there is nothing to spend ahead of it.
        """
        places = self._places
        if self._in_flight > self._opened and not (places is not None and places.is_sure):
            return math.inf
        if places is not None:
            return math.inf if self._in_flight >= places.count else -math.inf
        return self._pace.theoretical + 1.0 / self.rate if self.rate else -math.inf

    def supply(self, now: float) -> Supply:
        """Return the rate it has found, or what its places can take; before the first refusal no limit is seen."""
        if self._places is not None:
            return Supply(rate=self._places.rate)
        return Supply(rate=math.inf if self.rate is None else self.rate)

    def on_sent(self, ticket: Ticket, now: float, urgency: Urgency) -> None:
        """A request goes out now."""
        self._in_flight += 1
        if now < self._since:
            self._since = now
        # Not where places stand for the rate: once they are denied, all that went would have to be waited for.
        if self.rate and self._places is None:
            ticket.unannounced_pace = self._pace.on_sent(now, 1.0 / self.rate, min(SLACK, MOST_SLACK * self.rate))

    def on_unsent(self, ticket: Ticket) -> None:
        """A granted request was not sent after all."""
        self._in_flight -= 1
        if ticket.unannounced_pace is not None:
            self._pace.on_unsent(ticket.unannounced_pace)

    def on_lost(self, ticket: Ticket, now: float) -> None:
        """A request ended without an answer, or with one that is the business of another rule."""
        self._in_flight -= 1

    def on_answer(self, ticket: Ticket, now: float, figures: RateFigures | None) -> None:
        """A request was accepted."""
        self._in_flight -= 1
        # Under way when another was refused: it completes what was measured then, and says nothing of the time since.
        if ticket.sent_at <= self._refused_at:
            if self._opened == 0:
                self._beside.append(now - ticket.sent_at)
                # Sent before the pause that the refusal began, so that pause is not in its open time.
                self._note(ticket.sent_at - self._paused_before)
                self._slow_down(1)
            return
        if self._opened == 0:
            if self._beside and self._places is None and not self._is_of_rate:
                self._places = shown(now, self._named, self._refusal_took, self._beside, self._accepted)
            self._accepted.clear()
            self._since = self._refused_at - self._paused_before
        self._note(ticket.sent_at - self._paused)
        self._opened += 1
        if self._places is not None:
            self._places.on_accepted(now, self._in_flight + 1)
        if self.rate is not None:
            self._grow(self.rate)
            if now > self._refused_at + SILENT:
                self.rate, self._is_measured, self._evidence = None, False, 0
                self._places, self._is_of_rate = None, False

    def on_refused(
        self, ticket: Ticket, now: float, figures: RateFigures | None, until: float, *, named: float = 0.0
    ) -> None:
        """A request was refused, for a reason that no figure tells. Those sent before the last one tell nothing new."""
        self._in_flight -= 1
        if ticket.sent_at > self._refused_at:
            self._refused_at, self._pause, self._paused_before = now, until - now, self._paused
            if self._places is not None:
                self._places.on_refused(self._in_flight, until, self._pause)
                if self._places.is_denied or not self._opened:
                    self._places, self._is_of_rate = None, True
            self._cut = CUT_AGAIN if self._is_doubtful and self._growth == GROWTH else CUT
            # With nothing accepted in between it is still the same refusal.
            if self._opened:
                self._refusal_took, self._named = now - ticket.sent_at, named
                self._beside.clear()
                self._before = self.rate
                self._slow_down(len(self._accepted))
            self._opened = 0
        if until > self._paused_until:
            # Only what is new of it: pauses that overlap are one.
            self._paused += until - max(now, self._paused_until)
            self._paused_until = until

    def is_for_want_of_place(self) -> bool:
        """Whether a refusal that comes now is one place too many: the next answer makes room, and no time does."""
        places = self._places
        return places is not None and (places.is_sure or places.explains(self._in_flight - 1))

    def forget_in_flight(self) -> None:
        """The event loop that sent them is gone: no answer will come."""
        self._in_flight = 0

    def _note(self, sent_at: float) -> None:
        """One that was sent at that open time was accepted. A rest before it was ours, and shows nothing of a rate."""
        latest = self._accepted[-1] if self._accepted else min(self._since, sent_at)
        if sent_at - latest > max(MEASURED, 2.0 / self.rate if self.rate else 0.0):
            self._since = sent_at
        # In order: an answer that was slow does not make a rest of what went on meanwhile.
        self._accepted.append(max(latest, sent_at))

    def _slow_down(self, newly_accepted: int) -> None:
        """Keep to most of what was accepted before the refusal."""
        self._evidence += newly_accepted
        moment = self._refused_at - self._paused_before
        # Who accepts so many at once and then names a pause accepts so many in the time of the pause.
        span = max(self._pause, min(MEASURED, moment - self._since))
        while self._accepted and self._accepted[0] <= moment - span:
            self._accepted.popleft()
        accepted = len(self._accepted)
        self._is_measured = self._is_measured or accepted >= EVIDENCE or self._evidence >= ENOUGH
        if self._is_measured:
            # Who names a pause accepts a request after it: slower than one in each pause is never needed.
            # Never divided by 0: the gate pauses for a second at least, or for a window's rest and its guard.
            seen, least = self._cut * accepted / span, 1.0 / self._pause
            if self._before and accepted < EVIDENCE and self._pause > MEASURED:
                least = max(least, FALL * self._before)
            self.rate = max(least, seen)
            self._is_doubtful = span < MEASURED
        elif self.rate is None:
            self.rate = RESTART
        self._growth, self._clean = GROWTH, 0.0

    def _grow(self, rate: float) -> None:
        self._clean += 1.0 / rate
        while self._clean >= CLEAN:
            self._clean -= CLEAN
            rate *= self._growth
            self._growth = min(MOST_GROWTH, self._growth**2)
        self.rate = rate
