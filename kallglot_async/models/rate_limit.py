"""Rate limits as values: the one a user configures, and the one a limiter has learned."""

from __future__ import annotations

import msgspec

from kallglot_async._checks import is_finite, shown
from kallglot_async.errors import ConfigurationError
from kallglot_async.models._base import Model

_MOST_REQUESTS = 10**9

__all__ = ["ClientStats", "RateLimit", "RateLimitState"]


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
            raise ConfigurationError(
                f"a rate limit needs a whole number of requests from 1 up, not {shown(self.requests)}"
            )
        if self.requests > _MOST_REQUESTS:
            raise ConfigurationError(f"a rate limit of {shown(self.requests)} requests is none: leave it out")
        if isinstance(self.per, bool) or not isinstance(self.per, int | float):
            raise ConfigurationError(f"the period of a rate limit is a number of seconds, not {shown(self.per)}")
        if not is_finite(self.per) or self.per <= 0:
            raise ConfigurationError(
                f"the period of a rate limit is a finite number above 0 seconds, not {shown(self.per)}"
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


class ClientStats(Model, frozen=True, kw_only=True, gc=False):
    """What a client has done since it was made.

    Attributes:
        requests: Requests sent, over all endpoint groups.
        answered: Of these, answers of any status but 429.
        refused: Of these, answers of 429.
        lost: Of these, requests that ended without an answer.
        in_flight: Of these, requests not yet ended.
        retries: Attempts that were repeats of a failed one, polls included.
        retries_left: Retries that the client's shared budget still holds.
        waiting_for: Analyses that are waited for now.
        round_trip: Seconds between request and answer, smoothed; 0.0 before the first.
    """

    requests: int
    answered: int
    refused: int
    lost: int
    in_flight: int
    retries: int
    retries_left: float
    waiting_for: int
    round_trip: float
