"""Rate limits: the documented plans, three ways of counting, and the budget that combines group and plan.

Which way of counting the real service uses is not documented, nor is any of this:

- A refused request is taken not to consume budget. (If it did, a client that keeps asking would never get
  in.)
- The `X-RateLimit-*` figures describe the endpoint group, and the plan's overall limit only where that is the
  one that refused.
- `X-RateLimit-Reset` is the end of a fixed window, the moment the oldest request leaves a sliding one, and
  the moment a bucket is full again; whole Unix seconds, rounded up so that waiting for it is always enough.

All times here are Unix seconds on the server's clock.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import deque
from typing import Literal

import msgspec

WindowKind = Literal["fixed", "sliding", "token_bucket"]
"""How requests are counted."""

PlanName = Literal["free", "starter", "pro", "unlimited"]
"""The plans that can be emulated; `unlimited` stands for Enterprise, whose limits are custom."""

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

# A wait below this is rounding of floating-point arithmetic, not a wait.
_GRAIN = 1e-6


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What the budget says about one request."""

    accepted: bool
    """Whether the request may be served."""
    limit: int
    """Requests per window."""
    remaining: int
    """Requests left in the window after this one."""
    reset: int
    """Whole Unix seconds, as in `X-RateLimit-Reset`."""
    retry_in: float
    """Seconds until a request would be accepted; 0 if this one was."""
    window: int | None
    """Number of the fixed window, counted from the Unix epoch; None for the other kinds."""


class Window(ABC):
    """A counter of requests against one limit of so many in a period of seconds."""

    __slots__ = ("_period", "limit")

    def __init__(self, limit: int, period: float) -> None:
        self.limit = limit
        self._period = period

    @abstractmethod
    def count(self, now: float) -> None:
        """Charge one request."""

    @abstractmethod
    def remaining(self, now: float) -> int:
        """Requests that would be accepted at once."""

    @abstractmethod
    def resets_at(self, now: float) -> float:
        """The moment that `X-RateLimit-Reset` names."""

    def wait(self, now: float) -> float:
        """Seconds until one more request is accepted; 0 means now."""
        return 0.0 if self.remaining(now) else max(_GRAIN, self.resets_at(now) - now)

    def number(self, now: float) -> int | None:
        """The number of the current fixed window; None where there are no such."""
        return None


class FixedWindow(Window):
    """`limit` requests in each period; periods begin at multiples of their length since the Unix epoch."""

    __slots__ = ("_counted", "_current")

    def __init__(self, limit: int, period: float) -> None:
        super().__init__(limit, period)
        self._current = -1
        self._counted = 0

    def count(self, now: float) -> None:
        """Charge one request to the window that `now` is in."""
        self._turn(now)
        self._counted += 1

    def remaining(self, now: float) -> int:
        """The limit less what was charged to this window."""
        self._turn(now)
        return self.limit - self._counted

    def resets_at(self, now: float) -> float:
        """The end of this window."""
        return (self.number(now) + 1) * self._period

    def number(self, now: float) -> int:
        """How many periods have passed since the Unix epoch."""
        return math.floor(now / self._period)

    def _turn(self, now: float) -> None:
        if (number := self.number(now)) != self._current:
            self._current, self._counted = number, 0


class SlidingWindow(Window):
    """`limit` requests in any stretch of one period: a log of the moments of the last requests."""

    __slots__ = ("_log",)

    def __init__(self, limit: int, period: float) -> None:
        super().__init__(limit, period)
        self._log: deque[float] = deque()

    def count(self, now: float) -> None:
        """Log one request."""
        self._log.append(now)

    def remaining(self, now: float) -> int:
        """The limit less the requests of the last period."""
        while self._log and self._log[0] <= now - self._period + _GRAIN:
            self._log.popleft()
        return self.limit - len(self._log)

    def resets_at(self, now: float) -> float:
        """The moment the oldest logged request leaves; now if there is none."""
        return self._log[0] + self._period if self._log else now


class TokenBucket(Window):
    """A bucket of `limit` tokens, refilled evenly with `limit` tokens per period; starts full."""

    __slots__ = ("_filled_at", "_rate", "_tokens")

    def __init__(self, limit: int, period: float) -> None:
        super().__init__(limit, period)
        self._rate = limit / period
        self._tokens = float(limit)
        self._filled_at = -math.inf

    def wait(self, now: float) -> float:
        """Seconds until a whole token is there, which is sooner than the reset."""
        self._fill(now)
        missing = 1.0 - self._tokens
        return max(_GRAIN, missing / self._rate) if missing > _GRAIN else 0.0

    def count(self, now: float) -> None:
        """Take one token."""
        self._fill(now)
        self._tokens -= 1.0

    def remaining(self, now: float) -> int:
        """Whole tokens in the bucket."""
        self._fill(now)
        return max(0, math.floor(self._tokens + _GRAIN))

    def resets_at(self, now: float) -> float:
        """The moment the bucket is full again."""
        self._fill(now)
        return now + (self.limit - self._tokens) / self._rate

    def _fill(self, now: float) -> None:
        # A clock that is set back must not take tokens away.
        elapsed = max(0.0, now - self._filled_at)
        self._tokens = min(float(self.limit), self._tokens + elapsed * self._rate)
        self._filled_at = now


_WINDOWS: dict[WindowKind, type[Window]] = {
    "fixed": FixedWindow,
    "sliding": SlidingWindow,
    "token_bucket": TokenBucket,
}


class Budget:
    """The limits of one organization: one window per endpoint group and one over all (None: no such limit)."""

    __slots__ = ("_groups", "_overall")

    def __init__(self, groups: dict[str, int], *, overall: int | None, period: float, window: WindowKind) -> None:
        make = _WINDOWS[window]
        self._groups: dict[str, Window] = {group: make(limit, period) for group, limit in groups.items()}
        self._overall: Window | None = None if overall is None else make(overall, period)

    def limit(self, group: str | None) -> int | None:
        """Requests per period that a group is told about; None when no limit applies to it."""
        window = (self._groups.get(group) if group else None) or self._overall
        return window.limit if window else None

    def admit(self, group: str | None, now: float) -> Verdict | None:
        """Charge one request if both limits allow it; None when no limit applies to it."""
        own = self._groups.get(group) if group else None
        windows = [window for window in (own, self._overall) if window is not None]
        # Both are asked before either is charged: what one refuses must not cost at the other.
        for window in windows:
            if (wait := window.wait(now)) > 0:
                return _verdict(window, now, retry_in=wait)
        for window in windows:
            window.count(now)
        return _verdict(windows[0], now) if windows else None


def _verdict(window: Window, now: float, retry_in: float = 0.0) -> Verdict:
    return Verdict(
        accepted=retry_in == 0,
        limit=window.limit,
        remaining=window.remaining(now),
        reset=math.ceil(window.resets_at(now) - _GRAIN),
        retry_in=retry_in,
        window=window.number(now),
    )


def make_budget(*, plan: PlanName, rate_limit: tuple[int, float] | None, window: WindowKind, speed: float) -> Budget:
    """The budget of a plan, or of requests and seconds that replace it and limit only the analysis group.

    `speed` divides the length of the windows.
    """
    if rate_limit is not None:
        requests, seconds = rate_limit
        return Budget({"analysis": requests}, overall=None, period=seconds / speed, window=window)
    limits = PLANS[plan]
    return Budget(limits.groups, overall=limits.overall, period=MINUTE / speed, window=window)
