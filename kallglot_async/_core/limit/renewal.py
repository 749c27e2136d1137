"""`Renewal`: when a window renews, and how long it lasts.

The folder's docstring has its rule, 8.
"""

from __future__ import annotations

import math

from kallglot_async._core.api.answers import DOCUMENTED_PERIOD, ROUNDING, SAME_RESET, RateFigures

__all__ = ["Renewal"]

GUARD = 1.2  # seconds past the announced reset before a spent window is probed: rounding, and the clocks' skew
GUARD_SHARE = 5  # but no more than one in so many of a window: a short one would be lost to waiting
SHORTER = 3  # renewals in a row, each long before the one that was expected, show that it lasts no longer
APART = 1e-3  # seconds a second by which two clocks come apart at most; crystals keep to a twentieth of it


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
        self.reset = -math.inf  # the server's own clock, to compare windows with
        self.resets_at = -math.inf  # the same on our clock, to wait with
        self.seen_period: float | None = None  # between two resets
        self.period = DOCUMENTED_PERIOD  # the length of a window in seconds, as far as known
        self.guard = GUARD  # seconds past a reset until it is sure to have come
        self.at_least = 0.0  # seconds that it lasts at least: whole-second headers can overstate a rest by two
        self._told = math.inf  # the time to a reset that the newest figure told
        self._longest_rest = 0.0  # the longest time to a reset that counts
        # A sliding window or a token bucket: its reset moves by less than the longest rest that was seen.
        self.is_rolling = False
        self._early = 0  # how often in a row it has renewed long before that could be
        self._ahead = self._ahead_at = -math.inf  # how far the server's clock is ahead of ours, and when that was seen

    def resets_in(self, now: float) -> float:
        """Seconds until the window renews, 0.0 when it has."""
        return self.resets_at - now if self.resets_at > now else 0.0

    def has_renewed(self, figures: RateFigures) -> bool:
        """Whether the figures are those of a window that began since the newest ones."""
        return figures.reset - self.reset >= max(1.0, self.at_least)

    def learn_rest(self, figures: RateFigures) -> None:
        """A window lasts at least as long as its rest; of more than a minute, one told once may be another limit's."""
        rest, self._told = min(figures.resets_in, max(self._told, DOCUMENTED_PERIOD)), figures.resets_in
        if rest > self._longest_rest:
            self._longest_rest = rest
            self.at_least = max(0.0, rest - 2 * ROUNDING)
            self._settle()

    def learn_period(self, figures: RateFigures, *, has_recovered: bool, is_whole: bool) -> None:
        """A reset that differs from the one before tells of the time between the two.

        Args:
            figures: The newest.
            has_recovered: Whether as much is left as there was before.
            is_whole: Whether nothing is taken but by what is under way.
        """
        step = figures.reset - self.reset
        if SAME_RESET < step < self.at_least - SAME_RESET:
            self.is_rolling = True
            self._early = self._early + 1 if is_whole else 0
            if self._early == SHORTER:  # a plan has changed, or one of its rests was another limit's
                self._early, self.is_rolling, self.seen_period = 0, False, None
                self._longest_rest = figures.resets_in
                self.at_least = max(0.0, figures.resets_in - 2 * ROUNDING)
        elif step > 0.0:
            self._early = 0
        # A step far beyond the longest rest is many windows, slept through.
        if has_recovered and max(1.0, self.at_least) <= step <= 2 * self._longest_rest + 2 * ROUNDING:
            self.seen_period = min(self.seen_period or math.inf, step)
        self._settle()

    def _settle(self) -> None:
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

    def forget_date(self) -> None:
        """One of the clocks may have been set."""
        self._ahead = self._ahead_at = -math.inf
