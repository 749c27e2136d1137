"""The ways of counting: each a pure model that is told the time, for the emulator and for benchmarks alike.

Which of them the real service uses is not documented, nor is any of this:

- A refused request is taken not to consume budget. (If it did, a client that keeps asking would never get
  in.)
- The moment that a window announces as its reset is the end of a fixed one, the moment the oldest request leaves a
  sliding one, the end of the present bucket of a sliding counter, and the moment a token bucket is full again, or,
  where it is made so, has its next token.

All times here are Unix seconds on the server's clock; they must not go back.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import deque
from typing import Literal

WindowKind = Literal["fixed", "fixed_from_first", "sliding", "sliding_counter", "token_bucket"]
"""How requests are counted."""

BucketReset = Literal["full", "next"]
"""What a token bucket announces: when it is full again, or when it has a token for the next request."""

GRAIN = 1e-6
"""Seconds or requests; a difference below is rounding of floating-point arithmetic."""


class Window(ABC):
    """A counter of requests against one limit of so many in a period of seconds."""

    __slots__ = ("limit", "period")

    def __init__(self, limit: int, period: float) -> None:
        self.limit = limit
        self.period = period

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
        return 0.0 if self.remaining(now) else max(GRAIN, self.resets_at(now) - now)

    def number(self, now: float) -> int | None:
        """The number of the current fixed window since the Unix epoch; None where there are no such."""
        return None


class _Aligned(Window):
    """Counts by periods that begin at multiples of their length since the Unix epoch."""

    __slots__ = ("_before", "_counted", "_current")

    def __init__(self, limit: int, period: float) -> None:
        super().__init__(limit, period)
        self._current = -1
        self._counted = 0
        self._before = 0

    def count(self, now: float) -> None:
        """Charge one request to the period that `now` is in."""
        self._turn(now)
        self._counted += 1

    def resets_at(self, now: float) -> float:
        """The end of the present period: nothing else is a moment that a server of this kind knows."""
        return (math.floor(now / self.period) + 1) * self.period

    def _turn(self, now: float) -> None:
        number = math.floor(now / self.period)
        if number != self._current:
            # Of any other than the one right before, nothing reaches into a period that ends now.
            self._before = self._counted if number == self._current + 1 else 0
            self._current, self._counted = number, 0


class FixedWindow(_Aligned):
    """`limit` requests in each period."""

    __slots__ = ()

    def remaining(self, now: float) -> int:
        """The limit less what was charged to this period."""
        self._turn(now)
        return self.limit - self._counted

    def number(self, now: float) -> int:
        """How many periods have passed since the Unix epoch."""
        return math.floor(now / self.period)


class WindowFromFirst(Window):
    """`limit` requests in a period that begins with the first request after the end of the one before."""

    __slots__ = ("_counted", "_ends_at")

    def __init__(self, limit: int, period: float) -> None:
        super().__init__(limit, period)
        self._ends_at = -math.inf
        self._counted = 0

    def count(self, now: float) -> None:
        """Charge one request, and begin a window with it if none is open."""
        if now >= self._ends_at:
            self._ends_at, self._counted = now + self.period, 0
        self._counted += 1

    def remaining(self, now: float) -> int:
        """The limit less what was charged to the open window."""
        return self.limit if now >= self._ends_at else self.limit - self._counted

    def resets_at(self, now: float) -> float:
        """The end of the open window; of none, the end of the one that would begin now."""
        return now + self.period if now >= self._ends_at else self._ends_at


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
        while self._log and self._log[0] <= now - self.period + GRAIN:
            self._log.popleft()
        return self.limit - len(self._log)

    def resets_at(self, now: float) -> float:
        """The moment the oldest logged request leaves; now if there is none."""
        return self._log[0] + self.period if self._log else now


class SlidingCounter(_Aligned):
    """About `limit` requests in any stretch of one period: two fixed buckets, interpolated.

    Of the bucket before, as much counts as a period that ends now covers of it, as if its requests had come
    evenly: gateways and content delivery networks count so, because it needs two numbers a client.
    """

    __slots__ = ()

    def remaining(self, now: float) -> int:
        """Whole requests that the estimate leaves."""
        return max(0, math.floor(self.limit - self._estimate(now) + GRAIN))

    def wait(self, now: float) -> float:
        """Seconds until enough of the bucket before has passed out of the period."""
        excess = self._estimate(now) + 1 - self.limit
        if excess <= GRAIN:
            return 0.0
        left = self.resets_at(now) - now
        if self._before and (faded := excess / self._before * self.period) <= left:
            return max(GRAIN, faded)
        # In the next bucket this one is the one before.
        excess = self._counted + 1 - self.limit
        return max(GRAIN, left + max(0.0, excess / self._counted * self.period if self._counted else 0.0))

    def _estimate(self, now: float) -> float:
        self._turn(now)
        return self._before * ((self._current + 1) - now / self.period) + self._counted


class TokenBucket(Window):
    """A bucket of `burst` tokens (None: the limit), full at first, that gets `limit` of them in each period, evenly."""

    __slots__ = ("_announces", "_burst", "_filled_at", "_rate", "_tokens")

    def __init__(self, limit: int, period: float, burst: int | None = None, announces: BucketReset = "full") -> None:
        super().__init__(limit, period)
        self._rate = limit / period
        self._burst = float(limit if burst is None else burst)
        self._tokens = self._burst
        self._filled_at = -math.inf
        self._announces = announces

    def wait(self, now: float) -> float:
        """Seconds until a whole token is there, which is sooner than the bucket is full."""
        self._fill(now)
        missing = 1.0 - self._tokens
        return max(GRAIN, missing / self._rate) if missing > GRAIN else 0.0

    def count(self, now: float) -> None:
        """Take one token."""
        self._fill(now)
        self._tokens -= 1.0

    def remaining(self, now: float) -> int:
        """Whole tokens in the bucket."""
        self._fill(now)
        return max(0, math.floor(self._tokens + GRAIN))

    def resets_at(self, now: float) -> float:
        """The moment the bucket is full again, or has a token for the next request."""
        if self._announces == "next":
            return now + self.wait(now)
        self._fill(now)
        return now + (self._burst - self._tokens) / self._rate

    def _fill(self, now: float) -> None:
        # A clock that is set back must not take tokens away.
        elapsed = max(0.0, now - self._filled_at)
        self._tokens = min(self._burst, self._tokens + elapsed * self._rate)
        self._filled_at = now


_KINDS: dict[WindowKind, type[Window]] = {
    "fixed": FixedWindow,
    "fixed_from_first": WindowFromFirst,
    "sliding": SlidingWindow,
    "sliding_counter": SlidingCounter,
}


def make_window(
    kind: WindowKind, limit: int, period: float, *, burst: int | None = None, announces: BucketReset = "full"
) -> Window:
    """A window of a kind; `burst` and `announces` are of token buckets only."""
    if kind == "token_bucket":
        return TokenBucket(limit, period, burst, announces)
    return _KINDS[kind](limit, period)
