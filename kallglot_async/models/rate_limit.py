"""Rate limits as values: the one a user configures, and the one a limiter has learned."""

from __future__ import annotations

import msgspec

from kallglot_async._checks import check_count, check_seconds
from kallglot_async.models._base import Model

# More is no limit, and larger whole numbers do not divide as floats: leave a limit like that out.
_MOST_REQUESTS = 10**9

__all__ = ["ClientStats", "RateLimit", "RateLimitState"]


class RateLimit(msgspec.Struct, frozen=True):
    """A ceiling: at most `requests` in any `per` seconds.

    Args:
        requests: How many requests, a whole number from 1 to 10**9.
        per: In how many seconds, default 60.0.

    Raises:
        ConfigurationError: A number is not finite or out of range.
    """

    requests: int
    per: float = 60.0

    def __post_init__(self) -> None:
        check_count("a rate limit's number of requests", self.requests, most=_MOST_REQUESTS)
        check_seconds("a rate limit's period", self.per)


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
        refused: Refusals for rate so far: answers of 429, or of another status with the code of it.
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
    """What a client has done since it was made, and whoever shares its limiter under the same key.

    Attributes:
        requests: Requests sent, over all endpoint groups.
        answered: Of these, complete answers of any status but refusals.
        refused: Of these, refusals for rate: answers of 429, or of another status with the code of it.
        lost: Of these, requests that ended without a complete answer.
        in_flight: Of these, requests not yet ended.
        retries: Repeats that were taken from the shared retry budget. A wait that looks again without it, after a
            longer pause, is not counted here, but is a `RetryEvent`.
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
