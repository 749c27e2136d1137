"""One clock for everything the emulator does, and what lasts for a while by it.

Durations come from a single monotonic source, wall time is that source plus a fixed epoch. So a test that
drives the source (a virtual event loop, a counter) moves windows, latencies, `Date` and `X-RateLimit-Reset`
together, and they can never disagree.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import formatdate
from typing import Generic, TypeVar

T = TypeVar("T")


class Clock:
    """Monotonic seconds since the start, and the server's wall time derived from them.

    Args:
        source: Monotonic seconds with any zero.
        epoch: Unix seconds at the moment of construction.
        skew: Seconds that the server's wall clock is ahead of the true one (negative: behind).
    """

    __slots__ = ("_origin", "_source", "_wall_origin")

    def __init__(self, source: Callable[[], float], *, epoch: float, skew: float = 0.0) -> None:
        self._source = source
        self._origin = source()
        self._wall_origin = epoch + skew

    def now(self) -> float:
        """Seconds since the emulator started."""
        return self._source() - self._origin

    def wall(self) -> float:
        """Unix seconds as the server believes them to be (skew included)."""
        return self._wall_origin + self.now()

    def http_date(self) -> str:
        """The value of a `Date` header for now."""
        # The header has no fractions; rounding up would be a moment that is yet to come.
        return formatdate(int(self.wall()), usegmt=True)

    def iso(self, at: float | None) -> str | None:
        """The API's timestamp text (UTC, whole seconds, `Z`) for a moment in seconds since the start, or None."""
        return None if at is None else self.moment(at).strftime("%Y-%m-%dT%H:%M:%SZ")

    def moment(self, at: float) -> datetime:
        """The aware UTC datetime for a moment in seconds since the start."""
        return datetime.fromtimestamp(self._wall_origin + at, UTC)


class Lasting(Generic[T]):
    """Values by key, each kept for `life` seconds, then forgotten."""

    __slots__ = ("_kept", "_life")

    def __init__(self, life: float) -> None:
        self._life = life
        self._kept: dict[str, tuple[T, float]] = {}

    def put(self, key: str, value: T, now: float) -> None:
        """Keep a value from now on."""
        # All live equally long, so the old ones are in front.
        while self._kept and next(iter(self._kept.values()))[1] <= now:
            del self._kept[next(iter(self._kept))]
        self._kept[key] = (value, now + self._life)

    def get(self, key: str, now: float) -> T | None:
        """What is kept under a key, if its time is not over."""
        value, until = self._kept.get(key, (None, now))
        return value if now < until else None

    def peek(self, key: str) -> T | None:
        """What is kept under a key, or was and is not yet forgotten."""
        return self._kept.get(key, (None, 0.0))[0]
