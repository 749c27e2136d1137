"""`Supply`: what a scheduler of polls may count on. Beside `retry`, what `polling/` imports of this folder."""

from __future__ import annotations

from math import inf, isfinite

import msgspec

__all__ = ["UNLIMITED", "Supply"]


class Supply(msgspec.Struct, frozen=True):
    """What the rate limiter can give at this moment."""

    rate: float = inf  # requests/s that can be sustained (inf: unlimited or unknown)
    remaining: float = inf  # whole requests the window still holds, less those in flight (inf: unknown)
    resets_in: float = inf  # seconds until the window renews (inf: unknown)
    can_run_low: bool = False  # whether the window may be spent down to fewer requests than ids are pending

    def seconds_per_request(self, share: float) -> float:
        """The seconds between two requests at that share of the rate."""
        return 1.0 / (share * self.rate) if self.rate > 0.0 else inf

    def spare(self, pending: int) -> float:
        """What the window holds beyond one request per pending id; 0.0 if what it holds is not known."""
        return self.remaining - pending if isfinite(self.remaining) else 0.0

    def within(self, other: Supply) -> Supply:
        """What is left of it where another limit holds as well; that one is not asked whether it may run low."""
        if other is UNLIMITED:
            return self
        return Supply(
            rate=min(self.rate, other.rate),
            remaining=min(self.remaining, other.remaining),
            resets_in=min(self.resets_in, other.resets_in),
            can_run_low=self.can_run_low,
        )


UNLIMITED = Supply()  # of a limit that is not there
