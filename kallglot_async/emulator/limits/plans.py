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
"""What answers carry of `X-RateLimit-*`; `Emulator` explains the forms."""

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
    """How requests are limited, and what answers tell of it; `Emulator` documents the fields, which are its own.

    Raises:
        ValueError: A setting that makes no sense, alone or beside the others.
    """

    plan: PlanName = "pro"
    rate_limit: tuple[int, float] | None = None
    window: WindowKind = "fixed"
    burst: int | None = None
    bucket_reset: BucketReset = "full"
    second_limit: tuple[int, float] | None = None
    nodes: int = 1
    balancing: Balancing = "round_robin"
    stranger: float = 0.0
    stranger_pace: StrangerPace = "steady"
    rate_headers: HeaderForm | bool = True
    retry_after: int | float | str | None = "auto"
    body_retry_after: float | Literal["auto"] | None = None
    seed: int = 0
    speed: float = 1.0

    def __post_init__(self) -> None:
        for name, allowed in _CHOICES.items():
            one_of(name, getattr(self, name), allowed)
        if not 0 < self.speed < math.inf:
            raise ValueError(f"speed must be a positive number, not {self.speed}")
        for name in ("rate_limit", "second_limit"):
            limit: tuple[int, float] | None = getattr(self, name)
            if limit is not None and not (limit[0] >= 1 and 0 < limit[1] < math.inf):
                raise ValueError(f"{name} is (requests, seconds), both positive, not {limit}")
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


_CHOICES: dict[str, tuple[object, ...]] = {
    "plan": tuple(PLANS),
    "window": get_args(WindowKind),
    "bucket_reset": get_args(BucketReset),
    "balancing": get_args(Balancing),
    "stranger_pace": get_args(StrangerPace),
    "rate_headers": (*get_args(HeaderForm), True, False),
}


def one_of(name: str, value: object, allowed: tuple[object, ...]) -> None:
    """Refuse a value that is none of those allowed, with a ValueError that lists them."""
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(map(str, allowed))}, not {value!r}")
