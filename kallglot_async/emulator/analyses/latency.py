"""How long an analysis takes on the emulated server."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Literal, Self

import msgspec

# Far below the largest that a float can take (709), and 1e36 years all the same.
_LARGEST_EXPONENT = 100.0
_NORMAL = NormalDist()


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """The law by which analyses become ready; make one with a constructor below, not by hand.

    Every analysis has one quantile of its own in (0, 1), drawn from the seed and its id; the law turns it
    into seconds. So two emulators with the same seed and the same law agree about every id.
    """

    law: Literal["log_normal", "uniform", "after_polls"]
    """Which formula the other fields feed."""
    low: float = 0.0
    """Seconds: the median for `log_normal`, the lower bound for `uniform`."""
    high: float = 0.0
    """Seconds: the upper bound for `uniform`."""
    sigma: float = 0.0
    """Standard deviation of the logarithm, for `log_normal`."""
    polls: int = 0
    """How many retrieves see the analysis unfinished, for `after_polls`."""

    @classmethod
    def log_normal(cls, *, median: float = 25.0, sigma: float = 0.6) -> Self:
        """Log-normal seconds: half are ready by `median`; `sigma` 0.6 puts 90 % between 0.37 and 2.7 medians.

        Raises:
            ValueError: The median is not positive, or sigma is negative.
        """
        if not (0 < median < math.inf and 0 <= sigma < math.inf):
            raise ValueError(f"log-normal latency needs median > 0 and sigma >= 0, not {median} and {sigma}")
        return cls(law="log_normal", low=median, sigma=sigma)

    @classmethod
    def uniform(cls, low: float, high: float) -> Self:
        """Evenly spread between `low` and `high` seconds (equal bounds: always the same).

        Raises:
            ValueError: Not 0 <= low <= high.
        """
        if not 0 <= low <= high < math.inf:
            raise ValueError(f"uniform latency needs 0 <= low <= high, not {low} and {high}")
        return cls(law="uniform", low=low, high=high)

    @classmethod
    def immediate(cls) -> Self:
        """Ready at once: the first retrieve sees the result."""
        return cls(law="uniform")

    @classmethod
    def after_polls(cls, polls: int) -> Self:
        """Independent of time: `polls` retrieves of an id see it unfinished, the next one sees it settled.

        Raises:
            ValueError: `polls` is negative.
        """
        if polls < 0:
            raise ValueError(f"after_polls needs a count of 0 or more, not {polls}")
        return cls(law="after_polls", polls=polls)

    @property
    def estimate(self) -> float:
        """Seconds that the server announces, as in `estimated_completion`: 30, as documented, or what is less."""
        if self.law == "after_polls":
            return 0.0
        return min(30.0, self.high if self.law == "uniform" else 1.2 * self.low)

    def seconds(self, quantile: float) -> float | None:
        """Seconds from creation to readiness for a quantile in (0, 1); None when polls decide, not time."""
        if self.law == "after_polls":
            return None
        if self.law == "uniform":
            return self.low + (self.high - self.low) * quantile
        # An exponent that a float cannot hold means "not in this life" all the same.
        return self.low * math.exp(min(_LARGEST_EXPONENT, self.sigma * _NORMAL.inv_cdf(quantile)))
