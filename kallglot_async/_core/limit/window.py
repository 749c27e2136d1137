"""`Window`: the limit of one endpoint group under one key, as the server announces it (`X-RateLimit-*`).

`Renewal`: when it renews, and how long it lasts. The folder's docstring has the rules of both, 4 to 10.
"""

from __future__ import annotations

import math
from collections import deque

from kallglot_async._core.api.answers import DOCUMENTED_PERIOD, ROUNDING, SAME_RESET, RateFigures
from kallglot_async._core.limit.explanations import Drift, Explanations, Way
from kallglot_async._core.limit.neighbours import CATCH_UP, FEW, LEFT, LOOK_AGAIN, Part
from kallglot_async._core.limit.ticket import Pace, Supply, Ticket, Urgency
from kallglot_async._core.limit.undated import Undated

__all__ = ["Renewal", "Window"]

SHORT_PERIOD = 10.0  # seconds; of a shorter window, a second of rounding is too much to be left in an interval
# One request in so many of a window is not spent ahead of the pace, so that who comes later gets a turn; and of one of
# hours, whose last tenth, paced, would take as much of them, no more than so many.
KEPT, MOST_KEPT = 10, 60
HEADROOM = 50  # one request in so many is left unused by paced polls
RUN_LOW = 4  # one request in so many of a window is kept from polls that would run it low
RUN_LOW_REST = 5.0  # seconds; a reset that is nearer is not known well enough to run low towards it
MOST_LOST = 1000  # losses that are remembered one by one; beyond, the oldest are taken to be in a figure
GUARD = 1.2  # seconds past the announced reset before a spent window is probed: rounding, and the clocks' skew
GUARD_SHARE = 5  # but no more than one in so many of a window: a short one would be lost to waiting
SHORTER = 3  # renewals in a row, each long before the one that was expected, show that it lasts no longer
APART = 1e-3  # seconds a second by which two clocks come apart at most; crystals keep to a twentieth of it


class Window:
    """The limit of one endpoint group under one key, as the server announces it."""

    __slots__ = (
        "_drift", "_event", "_explanations", "_figure_event", "_lost", "_pace", "_part", "_probe_out", "_remaining",
        "_reopens_at", "_undated", "in_flight", "is_contended", "is_ruling", "is_shared", "limit", "renewal",
    )  # fmt: skip

    def __init__(self) -> None:
        self.limit: int | None = None
        # Whether it has a say: until an answer has come without figures, and whenever a limit is announced.
        self.is_ruling: bool = True
        self.in_flight: int = 0
        self._remaining, self._reopens_at = 0, -math.inf
        self._event = self._figure_event = 0  # counts figures and losses as they are heard of; the newest figure's
        self._lost: deque[int] = deque(maxlen=MOST_LOST)  # the events of losses that no figure covers yet
        self._probe_out = False
        self._pace = Pace()
        self.renewal: Renewal = Renewal()
        self._undated, self._drift = Undated(), Drift()
        self._explanations = Explanations()
        # Whether others take of it; not of a short one, where our own in another order would pass for them.
        self.is_shared: bool = False
        self.is_contended: bool = False  # whether it is a log that others use as well
        self._part = Part()

    @property
    def available(self) -> int:
        """Requests that the newest figure covers beyond those in flight; below 0 where more fly than it covers."""
        return self._remaining - self.in_flight

    def _free(self, now: float) -> int:
        """Requests that may go: those that the newest figure covers, and those that have come free since."""
        available = self._remaining - self.in_flight
        # What is fixed gives nothing back before its reset.
        if not self._explanations.way or self.limit is None:
            return available
        # Never more than all of it, whatever the explanation has predicted beyond what the figures show.
        return min(self.limit - self.in_flight, available + self._explanations.came_free(now))

    def interval(self, now: float) -> float:
        """Seconds between two paced polls."""
        if self.limit is None:
            return 0.0
        renewal, explanations = self.renewal, self._explanations
        if self.is_contended:
            return explanations.log.period / self._part.rate
        if explanations.is_small:
            return 1.0 / explanations.refill()
        period, left = renewal.period, renewal.resets_at - now
        usable = self.limit - (spare := self.limit // HEADROOM)
        shortest = (renewal.seen_period or renewal.at_least) / usable
        if shortest:
            # Whole-second headers overstate a short rest by much of it; of a long one that second is a margin.
            left -= ROUNDING if period < SHORT_PERIOD else 0.0
        # Nothing of its length is known, and what was known of its end is over.
        elif left <= 0:
            return period / self.limit
        way = explanations.way
        # Of a log, or a counter whose reset stands still, the rest says nothing of the pace: that is the limit's own.
        if way and (way is Way.LOG or not (renewal.is_rolling or explanations.moves)):
            return min(explanations.log.period, period) / usable
        available = self._remaining - self.in_flight
        if renewal.is_rolling:
            interval = left / max(1, available)
        else:
            interval = left / (max(1, available - spare) + self._drift.freed(period) * max(0.0, left))
        if way is Way.REFILL and not explanations.sees_others and (refill := explanations.refill()):
            # However little is left: it comes back at that rate all the time.
            interval = min(interval, 1.0 / refill)
        # Compared, here and below, and not by `max`: that costs five times as much, and every poll asks.
        return interval if interval > shortest else shortest

    def next_at(self, now: float, urgency: Urgency) -> float:
        """Return when a request may go: `now` or before for at once, infinity for "when an answer comes"."""
        is_poll, explanations, renewal = urgency is not Urgency.DIRECT, self._explanations, self.renewal
        if self.is_contended and is_poll:
            return self._next_among_others(now)
        free, left = self._free(now), self._left() if is_poll and explanations.way else 0
        if free - left < 1:
            if self._probe_out:
                return math.inf
            # How many places have to come free before one may go that leaves the others theirs.
            number = 1 - self.available + left
            # Whole-second headers tell the reset of a short log too late by as much as it lasts.
            if renewal.period < SHORT_PERIOD and explanations.may_be_log():
                return min(self._reopens_at, explanations.log.returns_at(number))
            comes_free_at = explanations.comes_free_at(number)
            # A counter of which only what polls leave is left is not spent: a probe at its reset would take just that.
            # Nor is a small bucket: its reset is told in whole seconds, and a place of it takes less.
            is_spent = explanations.way is not Way.REFILL or (self.available < 1 and not explanations.is_small)
            return min(self._reopens_at, comes_free_at) if is_spent else comes_free_at
        if not (is_poll and self._is_paced(urgency, free)):
            return now
        at = self._pace.theoretical + self.interval(now)
        # What neighbours have taken since the newest figure is not there any more, and they will take the rest.
        does_renew = explanations.way is Way.FIXED and not renewal.is_rolling
        if not does_renew or (urgency is Urgency.AHEAD and not self.is_shared):
            return at
        is_there = self.available - self._drift.taken(now, renewal.period) >= 1
        return at if is_there else max(at, self._reopens_at)

    def _left(self) -> int:
        """Places that polls leave: of a counter one, as its rate is only estimated."""
        explanations = self._explanations
        is_still = explanations.way is Way.REFILL and not (self.renewal.is_rolling or explanations.moves)
        # Where none is left, others took it: to wait for two that come free would leave them the first, too.
        return min(1, self._remaining) if is_still and explanations.refill() > 0.0 else 0

    def _next_among_others(self, now: float) -> float:
        """When a poll may go that keeps to our part of a log. Who has few places has few figures: it looks for more."""
        interval, log = self.interval(now), self._explanations.log
        at, ours = self._pace.theoretical + interval, len(log.inside)
        if self._free(now) >= 1 and self._part.can_gain(now, log.period / (self.limit or 1)):
            return at - interval if ours <= FEW else at
        needed = max(1 - self.available, self._part.needed())
        if needed <= 0:
            return at
        if needed > ours and self.in_flight:
            return math.inf
        # At the latest when all of ours have left.
        own_at = max(at, log.returns_at(min(needed, ours))) if ours else math.inf
        if ours and (ours > FEW or self.available <= LEFT):
            return own_at
        rest = max(0.0, self.renewal.resets_at - self._part.at)
        return min(own_at, max(at + rest, self._part.at + LOOK_AGAIN))

    def supply(self, now: float) -> Supply:
        """Return the pace, and what is left until the window renews.

        Polls may spend it below one request for each pending id, but not its last quarter, and not where no moment of
        renewal is known: rounding hides it, or there is none.
        """
        if self.limit is None:
            return Supply()
        renewal, explanations = self.renewal, self._explanations
        if self.is_contended:
            ours, period = max(1, len(explanations.log.inside) + self.in_flight), explanations.log.period
            return Supply(ours / period, float(ours), period)
        interval, resets_in = self.interval(now), renewal.resets_at - now
        rate = 1.0 / interval
        if explanations.way is Way.REFILL and (refill := explanations.refill()):
            # What is left goes once, however near the reset is.
            rate = min(rate, refill)
        # A new window has begun that no answer has described yet: all of it is there but for what is under way.
        if resets_in <= 0.0:
            return Supply(rate, float(self.limit - self.in_flight), renewal.period)
        free = self._free(now)
        is_known = resets_in >= RUN_LOW_REST and not (renewal.is_rolling or explanations.way)
        return Supply(rate, float(max(0, free)), resets_in, is_known and free > self.limit / RUN_LOW)

    def on_sent(self, ticket: Ticket, now: float, urgency: Urgency) -> None:
        """A request goes out now; one that went by another rule is no probe of this one."""
        ticket.event = self._event
        self._drift.sent += 1
        if self.is_contended:
            self._part.on_sent(self._explanations.log.returned(now))
        free = self._free(now)
        if is_probe := self.is_ruling and free < 1:
            ticket.is_probe = self._probe_out = True
        if urgency is not Urgency.DIRECT and self._is_paced(urgency, free):
            # A probe keeps nobody back for as long as what is spent takes to come back.
            interval = min(self.interval(now), self.renewal.period / (self.limit or 1) if is_probe else math.inf)
            ticket.window_pace = self._pace.on_sent(now, interval, CATCH_UP if self.is_contended else 1.0)
        self.in_flight += 1

    def on_unsent(self, ticket: Ticket) -> None:
        """A granted request was not sent after all: everything is as before."""
        self._land(ticket)
        self._drift.sent -= 1
        if self.is_contended:
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
        self._drift.accepted += 1
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
        """A request was refused by this limit: nothing goes out before `until`, then one probe."""
        self._land(ticket)
        if figures is not None:
            self._adopt(ticket, now, figures, 0)
        self._remaining = 0
        self._explanations.on_refused()
        # A refusal of what the figures covered may mean that a clock was set: what was known of it is compared anew.
        self.renewal.forget_date()
        # What was sent before the refusal may not raise the figure again.
        self._event = self._figure_event = self._event + 1
        # Of what does not renew the reset tells little, so the pause alone closes it, be it shorter.
        self._reopens_at = until if self._explanations.way else max(self._reopens_at, until)
        self.is_ruling = self.limit is not None

    def on_refused_elsewhere(self, ticket: Ticket, now: float, figures: RateFigures | None) -> None:
        """A request was refused by another limit than this: it has cost nothing here."""
        self._land(ticket)
        # Figures of another size are those of the limit that refused it, and say nothing of this one.
        if figures is not None and figures.limit == self.limit:
            self._adopt(ticket, now, figures, 0)
        self.is_ruling = self.limit is not None

    def forget_in_flight(self) -> None:
        """The event loop that sent them is gone: no answer will come."""
        # Counted as sent: no answer will tell whether the server has heard of them.
        self._remaining = max(0, self._remaining - self.in_flight)
        self.in_flight = 0
        self._probe_out = False

    def closed_for(self, figures: RateFigures, *, is_advised: bool) -> float:
        """Seconds for which a refusal with such figures closes it; 0.0 where the server's advice is better.

        A request before a window renews would be refused again, whatever was advised. But a window that is spent as it
        begins has not renewed, and of what does not renew the reset tells little.
        """
        is_spent_at_once = self.limit is not None and self.renewal.has_renewed(figures)
        does_renew = self._explanations.way is Way.FIXED and not is_spent_at_once
        is_better = is_advised and self._explanations.is_trusted and not does_renew
        return 0.0 if is_better else self._undated.rest(figures) + self.renewal.guard

    def _is_paced(self, urgency: Urgency, free: int) -> bool:
        """Whether a poll keeps the even pace.

        One that would go ahead does so too, in the last tenth of a window (of a long one, MOST_KEPT), and where others
        take of it.
        """
        renewal = self.renewal
        is_shared = self._explanations.sees_others if renewal.is_rolling else self.is_shared
        is_last = free <= (self.limit or 0) // KEPT and (free <= MOST_KEPT or renewal.period <= 2 * DOCUMENTED_PERIOD)
        return urgency is Urgency.PACED or is_shared or is_last

    def _land(self, ticket: Ticket) -> None:
        self.in_flight -= 1
        if ticket.is_probe:
            self._probe_out = False

    def _adopt(self, ticket: Ticket, now: float, figures: RateFigures, itself: int) -> None:
        renewal, drift = self.renewal, self._drift
        if figures.by_our_clock is not None:
            figures = self._undated.dated(figures, now - ticket.sent_at)
        renewal.learn_rest(figures)
        # Resets are compared on the server's own clock, as sent: our estimates of one moment differ by a second.
        is_newer = figures.reset > renewal.reset + SAME_RESET
        is_later = ticket.event >= self._figure_event
        if not (is_newer or is_later):
            if figures.reset > renewal.reset - SAME_RESET and figures.remaining < self._remaining:
                self._remaining = figures.remaining
                drift.on_figure(now, figures.remaining, renewal.period)
                self._explain(ticket, now, figures, itself)
            elif self._explanations.way is Way.LOG:
                # What left the log since the newest figure was made hides that this request is not in it.
                number = figures.remaining - self._remaining + itself
                self._remaining -= itself if self._explanations.log.may_have_left(now, number) else 0
            return
        resets_at = renewal.moment(figures, now, does_move=self._explanations.moves)
        if is_newer and renewal.has_renewed(figures):
            is_known = self.limit == figures.limit and not renewal.is_rolling and renewal.period >= SHORT_PERIOD
            gone = figures.limit - figures.remaining if is_known else 0
            drift.on_renewed(now, figures.remaining, renewal.period, in_flight=self.in_flight, gone=gone)
        else:
            drift.on_figure(now, figures.remaining, renewal.period)
        if is_another := is_newer or figures.reset < renewal.reset - SAME_RESET:
            is_whole = figures.limit - figures.remaining - itself <= self.in_flight
            renewal.learn_period(figures, has_recovered=figures.remaining >= self._remaining, is_whole=is_whole)
        self._explain(ticket, now, figures, itself)
        if not (is_another or renewal.is_rolling or self._explanations.moves):
            # `Date` is rounded down, so each estimate is late by up to a second: the earliest is the best.
            resets_at = min(renewal.resets_at, resets_at)
        # Behind all that compares these figures with the window as it was known before.
        renewal.reset, renewal.resets_at = figures.reset, resets_at
        self.limit, self.is_ruling = figures.limit, True
        # What was lost after this request was sent may not be in its figure yet.
        while self._lost and self._lost[0] <= ticket.event:
            self._lost.popleft()
        self._remaining = max(0, figures.remaining - len(self._lost))
        self._reopens_at = resets_at + renewal.guard

    def _explain(self, ticket: Ticket, now: float, figures: RateFigures, itself: int) -> None:
        explanations, flying, period = self._explanations, self.in_flight, self.renewal.period
        found, rolls = max(0, figures.limit - figures.remaining - itself), self.renewal.is_rolling
        explanations.on_figure(
            ticket.sent_at, now, figures, found=found, flying=flying, period=period, is_rolling=rolls
        )
        self.is_shared = period >= SHORT_PERIOD and self._drift.sees_neighbours(period)
        was_contended, self.is_contended = self.is_contended, explanations.is_shared and period >= SHORT_PERIOD
        if self.is_contended:
            own = len(explanations.log.inside) + flying
            self._part.on_figure(now, own, figures.limit, left=figures.remaining, gone=explanations.gone)
        elif was_contended:
            self._part.begin()
        self._event = self._figure_event = self._event + 1


class Renewal:
    """When a window renews, by the server's clock and by ours, and how long it lasts.

    How far the server's clock is ahead of ours, each answer with a `Date` shows to less than a second, as that is
    rounded down: the most that any has shown is the best.
    """

    __slots__ = (
        "_ahead", "_ahead_at", "_early", "_longest_rest", "_told", "at_least", "guard", "is_rolling", "period",
        "reset", "resets_at", "seen_period",
    )  # fmt: skip

    def __init__(self) -> None:
        self.reset: float = -math.inf  # on the server's own clock, to compare windows
        self.resets_at: float = -math.inf  # on ours, to wait
        self.seen_period: float | None = None  # between two resets
        self.period: float = DOCUMENTED_PERIOD  # the length of a window in seconds, as far as known
        self.guard: float = GUARD  # seconds past a reset until it is sure to have come
        self.at_least: float = 0.0  # seconds that it lasts at least: whole-second headers can overstate a rest by two
        self._told = math.inf  # the time to a reset that the newest figure told
        self._longest_rest = 0.0  # the longest time to a reset that counts
        # A sliding window or a token bucket: its reset moves by less than the longest rest that was seen.
        self.is_rolling: bool = False
        self._early = 0  # how often in a row it has renewed long before that could be
        self._ahead = self._ahead_at = -math.inf  # how far the server's clock is ahead of ours, and when that was seen

    def resets_in(self, now: float) -> float:
        """Seconds until the window renews, 0.0 when it has."""
        return self.resets_at - now if self.resets_at > now else 0.0

    def has_renewed(self, figures: RateFigures) -> bool:
        """Whether the figures are those of a window that began since the newest ones."""
        return figures.reset - self.reset >= max(1.0, self.at_least)

    def learn_rest(self, figures: RateFigures) -> None:
        """A window lasts at least as long as its rest.

        Of more than a minute, one that is told once may be another limit's, unless it is the first of all.
        """
        rest, told_before, self._told = figures.resets_in, self._told, figures.resets_in
        # Nearly always it is none, and that is all.
        if rest > self._longest_rest:
            self._settle(max(self._longest_rest, min(rest, max(told_before, DOCUMENTED_PERIOD))))

    def learn_period(self, figures: RateFigures, *, has_recovered: bool, is_whole: bool) -> None:
        """A reset that differs from the one before tells of the time between the two.

        Args:
            figures: The newest.
            has_recovered: Whether as much is left as there was before.
            is_whole: Whether nothing is taken but by what is under way.
        """
        step = figures.reset - self.reset
        is_early = SAME_RESET < step < self.at_least - SAME_RESET
        self.is_rolling = self.is_rolling or is_early
        self._early = self._early + 1 if is_early and is_whole else 0
        # A plan has changed, or one of its rests was another limit's.
        if self._early == SHORTER:
            self._early, self.is_rolling, self.seen_period = 0, False, None
            self._settle(figures.resets_in)
        # A step far beyond the longest rest is many windows, slept through.
        if has_recovered and max(1.0, self.at_least) <= step <= 2 * self._longest_rest + 2 * ROUNDING:
            self.seen_period = min(self.seen_period or math.inf, step)
        self._settle(self._longest_rest)

    def _settle(self, longest_rest: float) -> None:
        self._longest_rest, self.at_least = longest_rest, max(0.0, longest_rest - 2 * ROUNDING)
        # A step that a rest denies (a clock set back, two servers) tells nothing of the length.
        if self.seen_period is not None and self.seen_period < self.at_least:
            self.seen_period = None
        self.period = self.seen_period or longest_rest or DOCUMENTED_PERIOD
        self.guard = min(GUARD, self.period / GUARD_SHARE)

    def moment(self, figures: RateFigures, now: float, *, does_move: bool) -> float:
        """Return when it resets on our clock: within one period, of which the request is that is counted now."""
        resets_at = now + figures.resets_in
        is_dated = figures.by_our_clock is None and not figures.spread and figures.resets_in
        # Of one that stands still each answer tells more.
        if is_dated and not (does_move or self.is_rolling):
            self._ahead = max(self._ahead - APART * (now - self._ahead_at), figures.reset - resets_at)
            self._ahead_at = now
            resets_at = figures.reset - self._ahead
        return resets_at if self.seen_period is None else min(resets_at, now + self.seen_period)

    def forget_date(self) -> None:
        """One of the clocks may have been set."""
        self._ahead = self._ahead_at = -math.inf
