"""Rate limits as values: the one a user configures, and the one a limiter has learned."""

from __future__ import annotations

import math

import msgspec

from kallglot_async.errors import ConfigurationError
from kallglot_async.models._base import Model

__all__ = ["RateLimit", "RateLimitState"]


def is_finite(value: float) -> bool:
    """Return whether it is a number that a float can hold; an `int` can be too large for that."""
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


class RateLimit(msgspec.Struct, frozen=True):
    """A ceiling: at most `requests` in any `per` seconds.

    Args:
        requests: How many requests, at least 1.
        per: In how many seconds, default 60.0.

    Raises:
        ConfigurationError: A number is not finite or out of range.
    """

    requests: int
    per: float = 60.0

    def __post_init__(self) -> None:
        if isinstance(self.requests, bool) or not isinstance(self.requests, int) or self.requests < 1:
            raise ConfigurationError(f"a rate limit needs a whole number of requests from 1 up, not {self.requests!r}")
        if isinstance(self.per, bool) or not isinstance(self.per, int | float):
            raise ConfigurationError(f"the period of a rate limit is a number of seconds, not {self.per!r:.80}")
        if not is_finite(self.per) or self.per <= 0:
            raise ConfigurationError(
                f"the period of a rate limit is a finite number above 0 seconds, not {self.per!r:.80}"
            )


class RateLimitState(Model, frozen=True, kw_only=True, gc=False):
    """What a limiter knows of one endpoint group at one moment.

    Attributes:
        limit: Requests in a window as the server announced them, or None.
        remaining: Requests the window still holds, less those in flight; None while unknown.
        resets_in: Seconds until the window renews; None while unknown.
        rate: Requests a second at which polls are paced now; None for unrestricted.
        paused_for: Seconds until the pause that a refusal asked for is over; 0.0 for no pause.
        waiting: Requests that wait for their slot.
        in_flight: Requests sent and not yet answered.
        sent: Requests sent so far.
        refused: Answers of 429 so far.
    """

    limit: int | None = None
    remaining: int | None = None
    resets_in: float | None = None
    rate: float | None = None
    paused_for: float = 0.0
    waiting: int = 0
    in_flight: int = 0
    sent: int = 0
    refused: int = 0
