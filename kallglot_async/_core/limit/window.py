"""`Window`: the limit of one endpoint group under one key, as the server announces it (`X-RateLimit-*`).

The folder's docstring has its rules, 4 to 10.
"""

from __future__ import annotations

import math
from collections import deque

from kallglot_async._core.api.answers import RateFigures
from kallglot_async._core.limit.dated import Dated
from kallglot_async._core.limit.drift import Drift
from kallglot_async._core.limit.explanations import DOCUMENTED_PERIOD, Explanations, Way
from kallglot_async._core.limit.neighbours import FEW, LEFT, LOOK_AGAIN, SLACK, Part
from kallglot_async._core.limit.supply import Supply
from kallglot_async._core.limit.ticket import Pace, Ticket, Urgency
from kallglot_async._core.limit.undated import Undated

__all__ = ["Window"]

ROUNDING = 1.0  # seconds by which whole-second headers can overstate the time left
SHORT_PERIOD = 10.0  # seconds; of a shorter window, a second of rounding is too much to be left in an interval
SAME_RESET = 0.5  # seconds by which two resets of one window may differ: half the unit they are told in
KEPT = 10  # one request in so many of a window is not spent ahead of the pace, so that who comes later gets a turn
HEADROOM = 50  # one request in so many is left unused by paced polls
RUN_LOW = 4  # one request in so many of a window is kept from polls that would run it low
RUN_LOW_REST = 5.0  # seconds; a reset that is nearer is not known well enough to run low towards it
GUARD = 1.2  # seconds past the announced reset before a spent window is probed: rounding, and the clocks' skew
GUARD_SHARE = 5  # but no more than one in so many of a window: a short one would be lost to waiting
MOST_LOST = 1000  # losses that are remembered one by one; beyond, the oldest are taken to be in a figure


class Window:
    """The limit of one endpoint group under one key, as the server announces it."""

    __slots__ = (
        "_dated",
        "_drift",
        "_event",
        "_explanations",
        "_figure_event",
        "_longest_rest",
        "_lost",
        "_pace",
        "_part",
        "_period",
        "_probe_out",
        "_remaining",
        "_reopens_at",
        "_reset",
        "_resets_at",
        "_undated",
        "in_flight",
        "is_rolling",
        "is_ruling",
        "limit",
        "period",
    )

    def __init__(self) -> None:
        self.limit: int | None = None
        # Whether it has a say: until an answer has come without figures, and whenever a limit is announced.
        self.is_ruling = True
        self.in_flight = 0
        self._remaining = 0
        self._reset = -math.inf  # the server's own clock, to compare windows with
        self._resets_at = -math.inf  # the same on our clock, to wait with
        self._reopens_at = -math.inf
        self._event = 0  # counts figures and losses as they are heard of
        self._figure_event = 0  # the newest figure's
        self._period: float | None = None
        self.period = DOCUMENTED_PERIOD  # the length of a window in seconds, as far as known
        self._longest_rest = 0.0  # the longest time to a reset that was seen
        self._lost: deque[int] = deque(maxlen=MOST_LOST)  # the events of losses that no figure covers yet
        self._probe_out = False
        self._pace = Pace()
        self._part = Part()
        self._dated = Dated()
        self._drift = Drift()
        self._undated = Undated()
        self._explanations = Explanations()
        # A sliding window or a token bucket: its reset moves by less than the longest rest that was seen.
        self.is_rolling = False

    @property
    def available(self) -> int:
        """Requests that the newest figure covers beyond those in flight; below 0 where more fly than it covers."""
        return self._remaining - self.in_flight

    def _free(self, now: float) -> int:
        """Requests that may go: those that the newest figure covers, and those that have come free since."""
        available = self._remaining - self.in_flight
        if not self._explanations.way or self.limit is None:  # it is fixed
            return available
        return min(self.limit - self.in_flight, available + self._explanations.came_free(now))

    @property
    def _at_least(self) -> float:
        """Seconds that a window lasts at least: whole-second headers can overstate a rest by two."""
        return self._longest_rest - 2 * ROUNDING if self._longest_rest > 2 * ROUNDING else 0.0

    def resets_in(self, now: float) -> float:
        """Seconds until the window renews, 0.0 when it has."""
        return self._resets_at - now if self._resets_at > now else 0.0

    def can_run_low(self, now: float) -> bool:
        """Whether polls may spend the window below one request for each pending id.

        Not its last quarter, and not where no moment of renewal is known: rounding hides it, or it is rolling.
        """
        if self.limit is None or self.is_rolling or self._explanations.way or self._resets_at - now < RUN_LOW_REST:
            return False
        return self._remaining - self.in_flight > self.limit / RUN_LOW

    def interval(self, now: float) -> float:
        """Seconds between two paced polls."""
        if self.limit is None:
            return 0.0
        if self._is_contended():
            return self._explanations.log.period / self._part.rate
        spare = self.limit // HEADROOM
        shortest = (self._period or self._at_least) / max(1, self.limit - spare)
        left = self._resets_at - now
        if shortest:
            # Whole-second headers overstate a short rest by much of it; of a long one that second is a margin.
            left -= ROUNDING if self.period < SHORT_PERIOD else 0.0
        elif left <= 0:  # nothing of its length is known, and what was known of its end is over
            return self.period / self.limit
        way = self._explanations.way
        if way and (way is Way.LOG or not (self.is_rolling or self._explanations.moves)):
            period = min(self._explanations.log.period, self.period) if way is Way.LOG else self.period
            return period / max(1, self.limit - spare)
        freed = 0.0 if self.is_rolling else self._drift.freed(self.period) * max(0.0, left)
        interval = left / (max(1, self.available - (0 if self.is_rolling else spare)) + freed)
        if way is Way.REFILL and not self._explanations.sees_others and (refill := self._explanations.refill()):
            interval = min(interval, 1.0 / refill)  # however little is left
        return interval if interval > shortest else shortest

    def next_at(self, now: float, urgency: Urgency) -> float:
        """Return when a request may go: `now` or before for at once, infinity for "when an answer comes"."""
        if urgency is not Urgency.DIRECT and self._is_contended():
            return self._next_among_others(now)
        left_to_others = 0 if urgency is Urgency.DIRECT else self._left_to_others()
        if self._free(now) - left_to_others < 1:
            if self._probe_out:
                return math.inf
            number = 1 - self.available + left_to_others
            # Whole-second headers tell the reset of a short log too late by as much as it lasts.
            if self.period < SHORT_PERIOD and self._explanations.may_be_log():
                return min(self._reopens_at, self._explanations.log.returns_at(number))
            return min(self._reopens_at, self._explanations.comes_free_at(number))
        if not self._is_paced(urgency, now):
            return now
        at = self._pace.theoretical + self.interval(now)
        # What neighbours have taken since the newest figure is not there any more, and they will take the rest.
        does_renew = self._explanations.way is Way.FIXED and not self.is_rolling
        if not does_renew or (urgency is Urgency.AHEAD and not self._is_shared()):
            return at
        if self.available - self._drift.taken(now, self.period) >= 1:
            return at
        return max(at, self._reopens_at)

    def _next_among_others(self, now: float) -> float:
        """When a poll may go that keeps to our part of a log. Who has few places has few figures: it looks for more."""
        interval, log = self.interval(now), self._explanations.log
        at, has_few = self._pace.theoretical + interval, len(log) <= FEW
        if self._free(now) >= 1 and self._part.can_gain(now, log.period / (self.limit or 1)):
            return at - interval if has_few else at
        needed = max(1 - self.available, self._part.needed())
        if needed <= 0:
            return at
        if needed > len(log) and self.in_flight:
            return math.inf
        # At the latest when all of ours have left.
        own_at = max(at, log.returns_at(min(needed, len(log)))) if len(log) else math.inf
        if len(log) and not (has_few and self.available > LEFT):
            return own_at
        rest = max(0.0, self._resets_at - self._part.at)
        return min(own_at, max(at + rest, self._part.at + LOOK_AGAIN))

    def _left_to_others(self) -> int:
        """Places of a log that polls leave to the neighbours whose requests are in it, too."""
        spare = (self.limit or 0) // HEADROOM
        return spare if self._explanations.way is Way.LOG and self._explanations.others > spare else 0

    def _is_contended(self) -> bool:
        """Whether it is a log that others use as well."""
        return self._explanations.is_shared and self.period >= SHORT_PERIOD

    def supply(self, now: float) -> Supply:
        """Return the pace, and what is left until the window renews."""
        if self.limit is None:
            return Supply()
        if self._is_contended():
            ours, period = max(1, len(self._explanations.log) + self.in_flight), self._explanations.log.period
            return Supply(ours / period, float(ours), period, can_run_low=False)
        interval, resets_in = self.interval(now), self.resets_in(now)
        rate = 1.0 / interval if interval > 0 else math.inf
        if self._explanations.way is Way.REFILL and (refill := self._explanations.refill()):
            rate = min(rate, refill)  # what is left goes once, however near the reset is
        if resets_in == 0.0:  # a new window has begun that no answer has described yet
            return Supply(rate, float(self.limit - self.in_flight), self.period, can_run_low=False)
        return Supply(rate, float(max(0, self._free(now))), resets_in, self.can_run_low(now))

    def on_sent(self, ticket: Ticket, now: float, urgency: Urgency) -> None:
        """A request goes out now; one that went by another rule is no probe of this one."""
        ticket.event = self._event
        self._drift.on_sent()
        if is_contended := self._is_contended():
            self._part.on_sent(self._explanations.log.returned(now))
        if is_probe := self.is_ruling and self._free(now) < 1:
            ticket.is_probe = self._probe_out = True
        if self._is_paced(urgency, now):
            # A probe keeps nobody back for as long as what is spent takes to come back.
            interval = min(self.interval(now), self.period / (self.limit or 1) if is_probe else math.inf)
            ticket.window_pace = self._pace.on_sent(now, interval, SLACK if is_contended else 1.0)
        self.in_flight += 1

    def on_unsent(self, ticket: Ticket) -> None:
        """A granted request was not sent after all: everything is as before."""
        self._land(ticket)
        self._drift.on_sent(-1)
        if self._is_contended():
            self._part.on_unsent()
        if ticket.window_pace is not None:
            self._pace.on_unsent(ticket.window_pace)

    def on_lost(self, ticket: Ticket, now: float) -> None:
        """A request ended without an answer. The server may have counted it, so it is counted."""
        self._land(ticket)
        self._remaining = max(0, self._remaining - 1)
        # An answer that was made before this request came in does not have it in its figure, whichever was sent first.
        self._event += 1
        self._lost.append(self._event)

    def on_answer(self, ticket: Ticket, now: float, figures: RateFigures | None) -> None:
        """A request was answered, and not refused."""
        self._land(ticket)
        self._drift.on_accepted()
        self._explanations.on_accepted(ticket.sent_at, now)
        if figures is not None:
            self._adopt(ticket, now, figures, 1)
            return
        was_spent = self._explanations.way and not self._remaining
        self._remaining = max(0, self._remaining - 1)
        if ticket.is_probe or was_spent:
            self.limit = None  # the server has stopped announcing: the next figure brings the limit back
        self.is_ruling = self.limit is not None

    def on_refused(self, ticket: Ticket, now: float, figures: RateFigures | None, until: float) -> None:
        """A request was answered 429: nothing goes out before `until`, then one probe."""
        self._land(ticket)
        if figures is not None:
            self._adopt(ticket, now, figures, 0)
        self._remaining = 0
        self._explanations.on_refused()
        self._dated.forget()
        self._on_figure()  # what was sent before the refusal may not raise it again
        self._reopens_at = until if self._explanations.way else max(self._reopens_at, until)
        self.is_ruling = self.limit is not None

    def on_refused_elsewhere(self, ticket: Ticket, now: float, figures: RateFigures | None) -> None:
        """A request was answered 429 by another limit than this: it has cost nothing here."""
        self._land(ticket)
        if figures is not None and figures.limit == self.limit:
            self._adopt(ticket, now, figures, 0)
        self.is_ruling = self.limit is not None

    def forget_in_flight(self) -> None:
        """The event loop that sent them is gone: no answer will come."""
        self._remaining = max(0, self._remaining - self.in_flight)
        self.in_flight = 0
        self._probe_out = False

    def closed_for(self, figures: RateFigures, *, is_advised: bool) -> float:
        """Seconds for which a refusal with such figures closes it; 0.0 where the server's advice is better.

        A request before a window renews would be refused again, whatever was advised. But a window that is spent as it
        begins has not renewed, and of what does not renew the reset tells little.
        """
        is_spent_at_once = self.limit is not None and self._has_renewed(figures)
        does_renew = self._explanations.way is Way.FIXED and not is_spent_at_once
        if is_advised and self._explanations.is_trusted and not does_renew:
            return 0.0
        return self._undated.resets_in(figures) + self._guard()

    def _guard(self) -> float:
        """Seconds past the announced reset before a spent window is probed: rounding and skew."""
        return min(GUARD, self.period / GUARD_SHARE)

    def _has_renewed(self, figures: RateFigures) -> bool:
        """Whether the figures are those of a window that began since the newest ones."""
        return figures.reset - self._reset >= max(1.0, self._at_least)

    def _is_paced(self, urgency: Urgency, now: float) -> bool:
        """Whether it keeps the even pace.

        A poll that would go ahead does so too, in the last tenth of a window, and where others take of it.
        """
        if urgency is Urgency.AHEAD:
            is_shared = self._explanations.sees_others if self.is_rolling else self._is_shared()
            return is_shared or self._free(now) <= (self.limit or 0) // KEPT
        return urgency is Urgency.PACED

    def _is_shared(self) -> bool:
        """Whether others take of it; not of a short one, where our own in another order would pass for them."""
        return self.period >= SHORT_PERIOD and self._drift.sees_neighbours(self.period)

    def _land(self, ticket: Ticket) -> None:
        self.in_flight -= 1
        if ticket.is_probe:
            self._probe_out = False

    def _adopt(self, ticket: Ticket, now: float, figures: RateFigures, itself: int) -> None:
        if figures.by_our_clock is not None:
            figures = self._undated.learn(figures, now - ticket.sent_at)
        # Resets are compared on the server's own clock, as sent: our estimates of one moment differ by a second.
        is_newer = figures.reset > self._reset + SAME_RESET
        is_later = ticket.event >= self._figure_event
        if not (is_newer or is_later):
            if figures.reset > self._reset - SAME_RESET and figures.remaining < self._remaining:
                self._remaining = figures.remaining
                self._drift.on_figure(now, figures.remaining, self.period)
                self._explain(ticket, now, figures, itself)
                self._on_figure()
            return
        resets_at = self._resets_at_by(figures, now)
        if self._has_renewed(figures):
            is_known = self.limit == figures.limit and not self.is_rolling and self.period >= SHORT_PERIOD
            gone = figures.limit - figures.remaining if is_known else 0
            self._drift.on_renewed(now, figures.remaining, self.period, in_flight=self.in_flight, gone=gone)
        else:
            self._drift.on_figure(now, figures.remaining, self.period)
        if is_another := is_newer or figures.reset < self._reset - SAME_RESET:
            self._learn_period(figures)
        self._explain(ticket, now, figures, itself)
        if is_another or self.is_rolling or self._explanations.moves:
            self._resets_at = resets_at
        else:
            # `Date` is rounded down, so each estimate is late by up to a second: the earliest is the best.
            self._resets_at = min(self._resets_at, resets_at)
        self.limit, self.is_ruling = figures.limit, True
        # What was lost after this request was sent may not be in its figure yet.
        while self._lost and self._lost[0] <= ticket.event:
            self._lost.popleft()
        self._remaining = max(0, figures.remaining - len(self._lost))
        self._reset = figures.reset
        self._on_figure()
        self._reopens_at = self._resets_at + self._guard()

    def _resets_at_by(self, figures: RateFigures, now: float) -> float:
        """Return when it resets on our clock: within one period, of which the request is that is counted now."""
        does_move = self.is_rolling or self._explanations.moves
        resets_at = now + figures.resets_in if does_move else self._dated.resets_at(figures, now)
        return min(resets_at, now + (self._period or math.inf))

    def _explain(self, ticket: Ticket, now: float, figures: RateFigures, itself: int) -> None:
        explanations, flying = self._explanations, self.in_flight
        explanations.on_figure(
            ticket.sent_at,
            now,
            figures,
            found=max(0, figures.limit - figures.remaining - itself),
            flying=flying,
            period=self.period,
            is_rolling=self.is_rolling,
        )
        if self._is_contended():
            own = len(explanations.log) + flying
            self._part.on_figure(now, own, figures.limit, left=figures.remaining, gone=explanations.gone)
        else:
            self._part.begin()

    def _on_figure(self) -> None:
        self._event += 1
        self._figure_event = self._event

    def _learn_period(self, figures: RateFigures) -> None:
        self._longest_rest = max(self._longest_rest, figures.resets_in)
        step = figures.reset - self._reset
        recovered = figures.remaining >= self._remaining
        self.is_rolling = self.is_rolling or SAME_RESET < step < self._at_least - SAME_RESET
        # A step far beyond the longest rest is many windows, slept through.
        if recovered and max(1.0, self._at_least) <= step <= 2 * self._longest_rest + 2 * ROUNDING:
            self._period = min(self._period or math.inf, step)
        # A step that was too short (a clock set back, two servers) must not let polls go faster than a rest allows.
        if self._period is not None and self._period < self._at_least:
            self._period = self._at_least
        self.period = self._period or self._longest_rest or DOCUMENTED_PERIOD
