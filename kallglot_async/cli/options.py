"""Options that several commands have: where ids come from, how to reach the API, how the emulator limits requests."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Group, Parameter

from kallglot_async.errors import ConfigurationError

if TYPE_CHECKING:
    from kallglot_async import KallglotClient
    from kallglot_async.models import ClientEvent

__all__ = [
    "Connection", "File", "Flag", "Ids", "Limits", "Name", "Names", "Plan", "Quiet", "Seconds", "Window",
]  # fmt: skip

# Annotates `*ids`: of a list only those would be taken that stand together, with no option between them.
Ids = Annotated[str, Parameter(name="IDS", show_default=False)]
# By a path's type, shells complete it.
File = Annotated[Path | None, Parameter(name=["--file", "-f"], metavar="FILE")]
Flag = Annotated[bool, Parameter(negative=(), show_default=False)]
Quiet = Annotated[bool, Parameter(name=["--quiet", "-q"], negative=(), show_default=False)]
Seconds = Annotated[float | None, Parameter(metavar="SECONDS")]
Names = Annotated[str | None, Parameter(metavar="NAME,...")]
Name = Annotated[str | None, Parameter(metavar="NAME")]

# The emulator's own types, restated: importing them would load the transport for `--help`. A test compares them.
Plan = Literal["free", "starter", "pro", "unlimited"]
Window = Literal["fixed", "fixed_from_first", "sliding", "sliding_counter", "token_bucket"]
BucketReset = Literal["full", "next"]
Balancing = Literal["round_robin", "random"]
StrangerPace = Literal["steady", "random", "bursts"]
HeaderForm = Literal[
    "whole",
    "floor",
    "fractional",
    "milliseconds",
    "delta",
    "delta_fractional",
    "no_remaining",
    "repeated",
    "joined",
    "none",
]

_CONNECTION = Group("API", sort_key=1)
_LIMITS = Group("Limits", sort_key=1)
Limit = Annotated[tuple[int, float] | None, Parameter(metavar="REQUESTS SECONDS", negative=())]


@Parameter(name="*", group=_CONNECTION)
@dataclass(frozen=True, kw_only=True)
class Connection:
    """How to reach the API."""

    api_key: Annotated[str | None, Parameter(metavar="KEY")] = None
    """The API key. Prefer the environment's KALLGLOT_API_KEY: arguments are visible to every user of a machine."""

    base_url: Annotated[str | None, Parameter(metavar="URL")] = None
    """Where the API is. Default: the environment's KALLGLOT_BASE_URL, else https://api.kallglot.com/v1."""

    rate_limit: Annotated[int | None, Parameter(metavar="N")] = None
    """Requests a minute at most, on top of what the server allows, which is learned."""

    rate_limit_url: Annotated[str | None, Parameter(metavar="URL")] = None
    """A Redis server over which processes share the limit. Default: the environment's KALLGLOT_RATE_LIMIT_URL."""

    max_in_flight: Annotated[int, Parameter(metavar="N")] = 64
    """Requests at once at most; where analyses are requested, 16 of those besides."""

    trust_env: Flag = False
    """Use the proxy that the environment names, as in HTTPS_PROXY, and NO_PROXY."""

    def client(self, *, on_event: Callable[[ClientEvent], object] | None = None) -> KallglotClient:
        """Return a client with these settings, whose records `on_event` hears.

        Raises:
            ConfigurationError: A setting is missing or cannot be used.
        """
        from kallglot_async import KallglotClient, RateLimit

        if self.api_key is None and not os.environ.get("KALLGLOT_API_KEY"):
            # The client's own words name an argument of Python's.
            raise ConfigurationError("there is no API key: set KALLGLOT_API_KEY, or pass --api-key")
        limit = None if self.rate_limit is None else RateLimit(self.rate_limit)
        if self.rate_limit_url is not None:
            from kallglot_async.shared import SharedRateLimiter

            limiter = SharedRateLimiter(self.rate_limit_url, limit=limit)
        return KallglotClient(
            self.api_key,
            base_url=self.base_url,
            rate_limit=limit if self.rate_limit_url is None else limiter,
            max_in_flight=self.max_in_flight,
            # Else the requests at once that were asked for would stand in line for a connection.
            max_connections=max(100, self.max_in_flight),
            trust_env=self.trust_env,
            on_event=on_event,
        )


@Parameter(name="*", group=_LIMITS)
@dataclass(frozen=True, kw_only=True)
class Limits:
    """How the emulator limits requests, and what its answers tell of it."""

    plan: Plan = "pro"
    """Whose rate limits apply."""

    rate_limit: Limit = None
    """A limit for analyses instead of the plan's, for example 150 60."""

    window: Window = "fixed"
    """How requests are counted: in fixed windows (by the clock, or from their first request), in a sliding log, in two
    fixed buckets that are interpolated, or with a token bucket."""

    burst: Annotated[int | None, Parameter(metavar="N")] = None
    """Tokens that a bucket holds. Default: as many as the limit."""

    bucket_reset: BucketReset = "full"
    """What a bucket announces: when it is full again, or its next token."""

    second_limit: Limit = None
    """A limit over all requests that is enforced beside the others and that no header announces, for example 5 1."""

    nodes: Annotated[int, Parameter(metavar="N")] = 1
    """How many servers answer, each with counters of its own."""

    balancing: Balancing = "round_robin"
    """Which of them a request comes to."""

    stranger: Annotated[float, Parameter(metavar="SHARE")] = 0.0
    """Share of the limit for analyses that somebody else asks for."""

    stranger_pace: StrangerPace = "steady"
    """How those requests come."""

    rate_headers: HeaderForm = "whole"
    """X-RateLimit-* of answers: the reset in whole Unix seconds (rounded up, or down: floor), with a fraction, in
    milliseconds or in seconds from now; without Remaining; of every limit, in repeated lines or joined in one; none."""

    retry_after: Annotated[str, Parameter(metavar="TEXT")] = "auto"
    """Retry-After of a refusal: auto for whole seconds, fractional, date, none; anything else is sent as it is."""

    body_retry_after: Annotated[float | Literal["auto"] | None, Parameter(metavar="SECONDS")] = None
    """Field retry_after of a refusal's body, or auto. Default: no such field."""

    date_header: bool = True
    """Whether answers carry a Date."""

    clock_skew: Annotated[float, Parameter(metavar="SECONDS")] = 0.0
    """How far the server's clock is ahead."""

    def options(self) -> dict[str, Any]:
        """Return them as arguments of `Emulator`."""
        told = None if self.retry_after == "none" else self.retry_after
        return {**vars(self), "retry_after": told}
