"""`Renewal`: when an announced window renews and how long it lasts; `Drift`: what others take of it until then.

The folder's docstring has their rules, 8 and 9.
"""

from __future__ import annotations

import math

import msgspec

from kallglot_async._core.api.answers import RateFigures

__all__ = ["Drift", "Renewal"]

DOCUMENTED_PERIOD = 60.0  # seconds; "requests per minute" in every table of the documentation
ROUNDING = 1.0  # seconds by which whole-second headers can overstate the time left
SAME_RESET = 0.5  # seconds by which two resets of one window may differ: half the unit they are told in
GUARD = 1.2  # seconds past the announced reset before a spent window is probed: rounding, and the clocks' skew
GUARD_SHARE = 5  # but no more than one in so many of a window: a short one would be lost to waiting
APART = 1e-3  # seconds a second by which two clocks come apart at most; crystals keep to a twentieth of it
LONGEST = 86_400.0  # seconds that the window of a server without `Date` may last
MEMORY = 6  # one in so many of a period is the time after which what was seen counts for a third
SHORTEST_MEMORY = 2.0  # seconds
MARGIN = 0.5  # standard deviations of what neighbours take in a time that are left to them beside the mean
NOISE = 2.0  # requests; fewer that were taken may be our own, answered in another order


class Renewal:
    """When a window renews, by the server's clock and by ours, and how long it lasts.

    How far the server's clock is ahead of ours, each answer with a `Date` shows to less than a second, as that is
    rounded down: the most that any has shown is the best. An answer without one bounds it: when it was made, its
    window had not renewed, but had begun.
    """

    __slots__ = (
        "_ahead",
        "_ahead_at",
        "_least_ahead",
        "_longest",
        "_longest_rest",
        "_most_ahead",
        "at_least",
        "guard",
        "is_rolling",
        "period",
        "reset",
        "resets_at",
        "seen_period",
    )

    def __init__(self) -> None:
        self.reset = -math.inf  # the server's own clock, to compare windows with
        self.resets_at = -math.inf  # the same on our clock, to wait with
        self.seen_period: float | None = None  # between two resets
        self.period = DOCUMENTED_PERIOD  # the length of a window in seconds, as far as known
        self.guard = GUARD  # seconds past a reset until it is sure to have come
        self.at_least = 0.0  # seconds that it lasts at least: whole-second headers can overstate a rest by two
        self._longest_rest = 0.0  # the longest time to a reset that was seen
        # A sliding window or a token bucket: its reset moves by less than the longest rest that was seen.
        self.is_rolling = False
        # The server's clock is ahead of ours: so far by the `Date` of its answers, and then, ...
        self._ahead = self._ahead_at = -math.inf
        # ... and without one so far at least and at most, where no window lasts longer than so many seconds.
        self._least_ahead, self._most_ahead = -math.inf, math.inf
        self._longest = DOCUMENTED_PERIOD

    def resets_in(self, now: float) -> float:
        """Seconds until the window renews, 0.0 when it has."""
        return self.resets_at - now if self.resets_at > now else 0.0

    def has_renewed(self, figures: RateFigures) -> bool:
        """Whether the figures are those of a window that began since the newest ones."""
        return figures.reset - self.reset >= max(1.0, self.at_least)

    def learn_period(self, figures: RateFigures, *, has_recovered: bool) -> None:
        """A reset that differs from the one before tells of the time between the two."""
        if figures.resets_in > self._longest_rest:
            self._longest_rest = figures.resets_in
            self.at_least = max(0.0, self._longest_rest - 2 * ROUNDING)
        step = figures.reset - self.reset
        self.is_rolling = self.is_rolling or SAME_RESET < step < self.at_least - SAME_RESET
        # A step far beyond the longest rest is many windows, slept through.
        if has_recovered and max(1.0, self.at_least) <= step <= 2 * self._longest_rest + 2 * ROUNDING:
            self.seen_period = min(self.seen_period or math.inf, step)
        # A step that was too short (a clock set back, two servers) must not let polls go faster than a rest allows.
        if self.seen_period is not None and self.seen_period < self.at_least:
            self.seen_period = self.at_least
        self.period = self.seen_period or self._longest_rest or DOCUMENTED_PERIOD
        self.guard = min(GUARD, self.period / GUARD_SHARE)

    def moment(self, figures: RateFigures, now: float, *, does_move: bool) -> float:
        """Return when it resets on our clock: within one period, of which the request is that is counted now."""
        resets_at = now + figures.resets_in
        is_dated = figures.by_our_clock is None and not figures.spread and figures.resets_in
        if is_dated and not (does_move or self.is_rolling):  # one that stands still: each answer tells more of it
            self._ahead = max(self._ahead - APART * (now - self._ahead_at), figures.reset - resets_at)
            self._ahead_at = now
            resets_at = figures.reset - self._ahead
        return resets_at if self.seen_period is None else min(resets_at, now + self.seen_period)

    def undated(self, figures: RateFigures, took: float) -> RateFigures:
        """Return figures that no `Date` came with, with the time to the reset as it probably is.

        They were made at any moment of the `took` seconds from the request to its answer.
        """
        rest = figures.by_our_clock
        if rest is None:
            return figures
        self._most_ahead = min(self._most_ahead, rest + took)
        self._least_ahead = max(self._least_ahead, rest - ROUNDING - self._longest)
        if self._least_ahead > self._most_ahead:  # a reset that stood still for longer; or one of the clocks was set
            self._longest = min(self._longest + self._least_ahead - self._most_ahead, LONGEST)
            self._most_ahead = rest + took
            self._least_ahead = rest - ROUNDING - self._longest
        return msgspec.structs.replace(figures, resets_in=self.rest(figures))

    def rest(self, figures: RateFigures) -> float:
        """Return the seconds until the reset, by what was learned of the clocks so far: 0.0 where that is over."""
        if figures.by_our_clock is None:
            return figures.resets_in
        return max(0.0, figures.by_our_clock - min(max(0.0, self._least_ahead), self._most_ahead))

    def forget_date(self) -> None:
        """One of the clocks may have been set."""
        self._ahead = self._ahead_at = -math.inf


class Drift:
    """How fast `Remaining` moves beyond what our own requests take: up where places come free, down for neighbours.

    A request in flight may be in a figure already, or not. It is taken to be in it where that shows fewer
    neighbours, and not to be in it where that shows fewer free places.

    Attributes:
        sent: Requests of ours that went out since the newest figure; whoever sends one counts it here, ...
        accepted: ... and here whoever hears that one was.
    """

    __slots__ = ("_at", "_freed", "_ours", "_remaining", "_seconds", "_taken", "accepted", "sent")

    def __init__(self) -> None:
        self._at = -math.inf  # when the newest figure came
        self._remaining = 0
        self.sent = 0
        self.accepted = 0
        self._ours = 0  # requests of ours that went out since the window began, until the newest figure
        self._taken = 0.0  # what the figure has fallen by beyond those sent, ...
        self._freed = 0.0  # ... what it has risen by beyond those accepted, ...
        self._seconds = 0.0  # ... and in which time; all three fade

    def on_figure(self, now: float, remaining: int, period: float) -> None:
        """A newer figure of the same window came."""
        fade = math.exp((self._at - now) / _memory(period))
        change = remaining - self._remaining
        self._taken = self._taken * fade - change - self.sent
        self._freed = self._freed * fade + change + self.accepted
        self._seconds = self._seconds * fade + now - self._at
        self._at, self._remaining = now, remaining
        self._ours += self.sent
        self.sent = self.accepted = 0

    def on_renewed(self, now: float, remaining: int, period: float, *, in_flight: int = 0, gone: int = 0) -> None:
        """The first figure of a window came, which tells nothing of the one before; so many of it are gone.

        Where a part of the window before counts on, that may be as many as we sent in it.
        """
        self._taken -= in_flight  # a burst of our own that was sent before this figure falls from those after it
        if (others := gone - self._ours - self.sent) > NOISE:
            self._taken = max(self._taken, others)
            self._seconds = max(self._seconds, _known_after(period))
        self._at, self._remaining = now, remaining
        self._ours = self.sent = self.accepted = 0

    def freed(self, period: float) -> float:
        """Places that come free a second, 0.0 where none are seen to."""
        return self._freed / self._seconds if self._freed > 0.0 and self._is_known(period) else 0.0

    def sees_neighbours(self, period: float) -> bool:
        """Whether the figure falls by more than our own requests take."""
        return self._taken > NOISE and self._is_known(period)

    def taken(self, now: float, period: float) -> float:
        """Requests that neighbours have probably sent since the newest figure: fewer, the less there is to take."""
        if self._taken <= NOISE or not self._remaining or not self._is_known(period):
            return 0.0
        rate = self._taken / self._seconds
        expected = self._remaining * -math.expm1(-rate * (now - self._at) / self._remaining)
        return expected + MARGIN * math.sqrt(expected)

    def _is_known(self, period: float) -> bool:
        return self._seconds >= _known_after(period)


def _known_after(period: float) -> float:
    return _memory(period) / 3


def _memory(period: float) -> float:
    return period / MEMORY if period > MEMORY * SHORTEST_MEMORY else SHORTEST_MEMORY
