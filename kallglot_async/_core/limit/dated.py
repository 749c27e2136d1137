"""`Dated`: how far the server's clock is ahead of ours, by the `Date` of its answers.

The folder's docstring has its rule, 8.
"""

from __future__ import annotations

import math

from kallglot_async._core.api.answers import RateFigures

__all__ = ["Dated"]

DRIFT = 1e-3  # seconds a second by which two clocks come apart at most; crystals keep to a twentieth of it


class Dated:
    """The most that any answer has shown. Each is up to a second short of it, as `Date` is rounded down."""

    __slots__ = ("_ahead", "_at")

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """One of the clocks may have been set."""
        self._ahead = self._at = -math.inf

    def resets_at(self, figures: RateFigures, now: float) -> float:
        """Return when it resets on our clock, as early as any answer so far allows to say."""
        resets_at = now + figures.resets_in
        if figures.by_our_clock is not None or figures.spread or not figures.resets_in:
            return resets_at
        before = self._ahead - DRIFT * (now - self._at) if self._at > -math.inf else -math.inf
        self._ahead, self._at = max(before, figures.reset - resets_at), now
        return figures.reset - self._ahead
