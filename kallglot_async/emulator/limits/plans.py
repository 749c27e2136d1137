"""The documented plans, and every setting of how requests are limited as one checked value."""

from __future__ import annotations

import math
from typing import Literal, get_args

import msgspec

from kallglot_async.emulator.limits.windows import BucketReset, WindowKind

PlanName = Literal["free", "starter", "pro", "unlimited"]
"""The plans that can be emulated; `unlimited` stands for Enterprise, whose limits are custom."""

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
"""What answers carry of `X-RateLimit-*`; `LimitSettings.rate_headers` explains the forms."""

Balancing = Literal["round_robin", "random"]
"""Which node a request comes to."""

StrangerPace = Literal["steady", "random", "bursts"]
"""How the requests of a stranger come."""

MINUTE = 60.0
"""Length of a documented window in seconds."""

GROUPS = ("sessions.write", "sessions.read", "recordings", "analysis", "webhooks")
"""The endpoint groups that have a budget of their own; creating and retrieving analyses share `analysis`."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What one plan allows."""

    overall: int | None
    """Requests per minute over all groups; None: no limit."""
    groups: dict[str, int]
    """Requests per minute by endpoint group; a group that is missing has only the overall limit."""


# Revision B calls its tiers non-binding and points at the live headers, so the tables of revision A serve both.
PLANS: dict[PlanName, Plan] = {
    # The documentation has no column of group limits for the free plan: its overall limit is taken for each.
    "free": Plan(overall=60, groups=dict.fromkeys(GROUPS, 60)),
    "starter": Plan(overall=120, groups=dict(zip(GROUPS, (60, 120, 60, 30, 60), strict=True))),
    "pro": Plan(overall=600, groups=dict(zip(GROUPS, (300, 600, 300, 150, 300), strict=True))),
    "unlimited": Plan(overall=None, groups={}),
}


class LimitSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How requests are limited, and what answers tell of it.

    Raises:
        ValueError: A setting that makes no sense, alone or beside the others.
    """

    plan: PlanName = "pro"
    """Rate limits of "free", "starter", "pro" or "unlimited", per endpoint group and overall."""
    rate_limit: tuple[int, float] | None = None
    """Requests and seconds for the analysis group instead of the plan's limits, with no overall limit."""
    window: WindowKind = "fixed"
    """How they are counted: "fixed" (aligned to the server's wall clock), "fixed_from_first" (begins with a
    request), "sliding" (a log), "sliding_counter" (two fixed buckets, interpolated) or "token_bucket"."""
    burst: int | None = None
    """Tokens that a bucket holds; None: as many as the limit."""
    bucket_reset: BucketReset = "full"
    """What a bucket announces as its reset: when it is "full" again, or its "next" token."""
    second_limit: tuple[int, float] | None = None
    """Requests and seconds of a limit over all requests that is enforced beside the others, in fixed windows, and
    that no header announces. It refuses with a `Retry-After` of its own while `Remaining` is shown as it is."""
    nodes: int = 1
    """How many servers answer, each with counters of its own that know nothing of the others'."""
    balancing: Balancing = "round_robin"
    """Which of them a request comes to: one after the other, or "random" (by `seed`)."""
    stranger: float = 0.0
    """Share of the analysis group's limit that somebody else under the same key asks for; above 1 is too."""
    stranger_pace: StrangerPace = "steady"
    """How: in equal steps, at "random", or in "bursts" of eight on average (both by `seed`)."""
    rate_headers: HeaderForm | bool = True
    """What answers carry of `X-RateLimit-*`. "whole" or True: `Reset` in whole Unix seconds, rounded up, as
    documented; "floor": rounded down; "fractional"; "milliseconds"; "delta": whole seconds from now, rounded up;
    "delta_fractional"; "no_remaining": without `Remaining`; "repeated": a line of each for every limit that the
    request counts against, the plan's and the second one too; "joined": the same as `a, b` in one line; "none" or
    False. A plan without limits has none to send."""
    retry_after: int | float | str | None = "auto"
    """`Retry-After` of a 429: "auto" for whole seconds until a request is accepted (at least 1), "fractional" for
    exactly those, "date" for that moment as an HTTP date, None for none; anything else is sent as it is."""
    body_retry_after: float | Literal["auto"] | None = None
    """Field `retry_after` of a 429's error: "auto" as for the header, seconds, or None for no such field."""
    seed: int = 0
    """Decides all that is random here."""
    speed: float = 1.0
    """Divides the length of all windows."""

    def __post_init__(self) -> None:
        for name, allowed in _CHOICES.items():
            one_of(name, getattr(self, name), allowed)
        if not isinstance(self.rate_headers, bool):
            one_of("rate_headers", self.rate_headers, get_args(HeaderForm))
        if not 0 < self.speed < math.inf:
            raise ValueError(f"speed must be a positive number, not {self.speed}")
        for name in ("rate_limit", "second_limit"):
            _check_limit(name, getattr(self, name))
        if self.nodes < 1:
            raise ValueError(f"nodes must be at least 1, not {self.nodes}")
        self._check_bucket()
        self._check_stranger()
        told = self.body_retry_after
        if not (told in ("auto", None) or (isinstance(told, int | float) and math.isfinite(told))):
            raise ValueError(f"body_retry_after is seconds, 'auto' or None, not {told!r}")

    @property
    def limits(self) -> Plan:
        """The limits that are announced; `rate_limit` makes a plan of its own."""
        if self.rate_limit is None:
            return PLANS[self.plan]
        return Plan(overall=None, groups={"analysis": self.rate_limit[0]})

    @property
    def period(self) -> float:
        """Seconds of a window of those limits."""
        return (MINUTE if self.rate_limit is None else self.rate_limit[1]) / self.speed

    @property
    def header_form(self) -> HeaderForm:
        """`rate_headers` by name."""
        if isinstance(self.rate_headers, bool):
            return "whole" if self.rate_headers else "none"
        return self.rate_headers

    def _check_bucket(self) -> None:
        if self.window != "token_bucket":
            if self.burst is not None or self.bucket_reset != "full":
                raise ValueError(f"burst and bucket_reset are of window='token_bucket', not of {self.window!r}")
        elif self.burst is not None:
            least = min((*self.limits.groups.values(), self.limits.overall or math.inf), default=math.inf)
            if not 1 <= self.burst <= least:
                raise ValueError(f"burst must be from 1 to the smallest limit, {least}, not {self.burst}")

    def _check_stranger(self) -> None:
        if not 0 <= self.stranger < math.inf:
            raise ValueError(f"stranger is a share of the limit, 0 or more, not {self.stranger}")
        if self.stranger and "analysis" not in self.limits.groups:
            raise ValueError("stranger takes a share of a limit, and there is none: choose a plan, or set rate_limit")


_CHOICES: dict[str, tuple[str, ...]] = {
    "plan": tuple(PLANS),
    "window": get_args(WindowKind),
    "bucket_reset": get_args(BucketReset),
    "balancing": get_args(Balancing),
    "stranger_pace": get_args(StrangerPace),
}


def one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    """Refuse a value that is none of those allowed.

    Raises:
        ValueError: With the values that there are.
    """
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(allowed)}, not {value!r}")


def _check_limit(name: str, limit: tuple[int, float] | None) -> None:
    if limit is not None and not (limit[0] >= 1 and 0 < limit[1] < math.inf):
        raise ValueError(f"{name} is (requests, seconds), both positive, not {limit}")
