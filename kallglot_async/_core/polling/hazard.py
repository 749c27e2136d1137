"""How long analyses take, learned from the answers to polls: the hazard of settling, by age.

The hazard h(age) is the chance per second that an analysis of that age, still running, settles now. It is kept
in age bins that grow by a fixed ratio, one law per kind of analysis. Its integral says what a poll is worth: an
id seen running at age a and polled at age b is found settled with the probability 1 - exp(-(H(b) - H(a))).

    hazard of a bin = (events + DOUBT) / (exposure + DOUBT * middle)     ("The waiting rules": docstring of the package)

- "Still running" adds the seconds it covers to the exposure. "Settled" says only that the event lies between two
  looks: it is spread over the bins between them as the present law has it (a step of expectation-maximisation),
  unless the answer tells how long the analysis took.
- With no data the hazard is 1/age, and a schedule of equal steps in H *is* exponential back-off. `DOUBT` is the
  weight of that in each bin, as a number of analyses. The usual weight is 1/2; at 1/5 a batch of sixty is
  enough to know that nothing settles in its first twenty seconds, and long runs come out the same.
- What is spent ahead of time must rest on what was seen: `observed` leaves the doubt out of the numerator.
- Each law starts with `PRIOR` analyses that took the documented 22 to 30 s, and forgets with a half-life of 5,000.

Pure: no clock, no randomness, no I/O.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from itertools import accumulate, pairwise
from math import expm1, inf, log1p
from operator import mul

__all__ = ["FirstLooks", "PollModel"]

_RATIO = 2.0**0.25
_BINS_TO_A_DAY = 71
_EDGES = (0.0, *(0.5 * _RATIO**i for i in range(_BINS_TO_A_DAY)))
_WIDTHS = (*(high - low for low, high in pairwise(_EDGES)), _EDGES[-1] * (_RATIO - 1.0))
_MIDDLES = tuple(edge + width / 2.0 for edge, width in zip(_EDGES, _WIDTHS, strict=True))

_GUESSES = [1.0 / middle for middle in _MIDDLES]  # chances per second where nothing was seen: doubt alone, ...
_NOTHING = [0.0] * len(_MIDDLES)  # ... which is no observation

DOUBT = 0.2
PRIOR = 3.0
_PRIOR_AGES = (22.5, 23.5, 24.5, 25.5, 26.5, 27.5, 28.5, 29.5)
_FADE = 0.5 ** (1.0 / 5_000)
_REFIT = 8  # answers that a fit waits for, as it takes about 20 us ...
_LITTLE = 64  # ... or for this part of all that are remembered: more would be hardly any news


class _Integral:
    """A rate that is constant in each age bin, and its integral from birth."""

    __slots__ = ("_sums", "rates")

    def __init__(self, rates: list[float]) -> None:
        self.rates = rates
        self._sums: list[float] = [0.0, *accumulate(map(mul, rates, _WIDTHS))][:-1]

    def at(self, age: float) -> float:
        if age <= 0.0:
            return 0.0
        i = bisect_right(_EDGES, age) - 1
        return self._sums[i] + self.rates[i] * (age - _EDGES[i])

    def age_at(self, value: float) -> float:
        i = bisect_right(self._sums, value) - 1
        return _EDGES[i] + (value - self._sums[i]) / self.rates[i] if self.rates[i] else inf


class _Law:
    """The law of one kind: events and exposure by age bin, and the hazard fitted to them every few answers.

    `hazard` is the chance per second of settling, doubts included; `observed` is the same as it was seen.
    """

    __slots__ = ("_answers", "_crossed", "_enough", "_events", "_exposure", "_unfitted", "hazard", "observed")

    def __init__(self) -> None:
        # By bin, up to the oldest age that was ever seen: beyond it, there is nothing but doubt.
        self._events: list[float] = []
        self._exposure: list[float] = []
        self._crossed: list[float] = []  # lives that were seen in a whole bin, more or less than in the one before
        self._answers, self._unfitted = 0.0, 0
        for age in _PRIOR_AGES:
            weight = PRIOR / len(_PRIOR_AGES)
            self._events[self._expose(0.0, age, weight)] += weight
        self._fit()

    def on_running(self, start: float, end: float) -> None:
        self._expose(start, end, 1.0)
        self._count()

    def on_took(self, start: float, took: float) -> None:
        self._events[self._expose(start, took, 1.0)] += 1.0
        self._count()

    def on_settled(self, start: float, end: float) -> None:
        """Spread one event over the ages from `start` to `end` as the present law has it."""
        hazard = self.hazard
        total = -expm1(hazard.at(start) - hazard.at(end))
        if total <= 0.0:
            return
        rates, alive, dies_later = hazard.rates, 1.0, total
        self._reach(bisect_right(_EDGES, end) - 1)
        for i, low, high in _pieces(start, end):
            dies = -alive * expm1(-rates[i] * (high - low))
            alive -= dies
            dies_later = max(0.0, dies_later - dies)
            self._events[i] += dies / total
            self._exposure[i] += (high - low) * (dies_later + dies / 2.0) / total
        self._count()

    def _expose(self, start: float, end: float, weight: float) -> int:
        """Add the seconds from one age to another to the exposure of the bins that they lie in; returns the last."""
        first, last = bisect_right(_EDGES, start) - 1, bisect_right(_EDGES, end) - 1
        self._reach(last)
        exposure = self._exposure
        if first == last:
            exposure[first] += (end - start) * weight
            return last
        exposure[first] += (_EDGES[first + 1] - start) * weight
        self._crossed[first + 1] += weight  # a fit adds the bins between them, which are many, to the exposure
        self._crossed[last] -= weight
        exposure[last] += (end - _EDGES[last]) * weight
        return last

    def _reach(self, bin: int) -> None:
        """Make room for what is seen in this bin."""
        if (new := bin + 1 - len(self._events)) > 0:
            for by_bin in (self._events, self._exposure, self._crossed):
                by_bin += [0.0] * new

    def _count(self) -> None:
        self._unfitted += 1
        if self._unfitted >= self._enough:
            self._fit()

    def _fit(self) -> None:
        fade = _FADE**self._unfitted
        self._answers = (self._answers + self._unfitted) * fade
        self._enough = max(_REFIT, self._answers / _LITTLE)
        self._unfitted = 0
        self._events = [value * fade for value in self._events]
        lives = zip(self._exposure, accumulate(self._crossed), _WIDTHS, strict=False)
        self._exposure = [(seconds + crossed * width) * fade for seconds, crossed, width in lives]
        self._crossed = [0.0] * len(self._events)
        at_risk = [exposure + DOUBT * middle for exposure, middle in zip(self._exposure, _MIDDLES, strict=False)]
        by_bin = list(zip(self._events, at_risk, strict=True))
        self.hazard = _Integral([(events + DOUBT) / seconds for events, seconds in by_bin] + _GUESSES[len(by_bin) :])
        self.observed = _Integral([events / seconds for events, seconds in by_bin] + _NOTHING[len(by_bin) :])


class PollModel:
    """What all waits of one client have learned: one law per kind, and how many ids are pending in all.

    Ages are seconds; a kind is any text that tells laws apart.
    """

    __slots__ = ("_laws", "pending")

    def __init__(self) -> None:
        self.pending: int = 0  # ids over all queues of the client; the queues keep it
        self._laws: defaultdict[str, _Law] = defaultdict(_Law)

    def growth(self, kind: str, start: float, end: float) -> float:
        """The hazard summed from the age `start` to the age `end`: settled in between with 1 - exp(-growth)."""
        hazard = self._laws[kind].hazard
        return hazard.at(end) - hazard.at(start)

    def observed_growth(self, kind: str, start: float, end: float) -> float:
        """As `growth`, but only what has been observed: nothing where there is no data."""
        observed = self._laws[kind].observed
        return observed.at(end) - observed.at(start)

    def age_after(self, kind: str, start: float, growth: float) -> float:
        """The age at which the hazard summed from the age `start` reaches `growth`."""
        hazard = self._laws[kind].hazard
        return hazard.age_at(hazard.at(start) + growth)

    def observed_age_after(self, kind: str, start: float, growth: float) -> float:
        """As `age_after`, but only what has been observed; infinity where nothing was seen to last that long."""
        observed = self._laws[kind].observed
        return observed.age_at(observed.at(start) + growth)

    def on_running(self, kind: str, start: float, end: float) -> None:
        """One was seen running at the ages `start` and `end`."""
        start = max(0.0, start)
        if start < end:
            self._laws[kind].on_running(start, end)

    def on_settled(self, kind: str, start: float, end: float) -> None:
        """One settled after the age `start` and by the age `end`."""
        start = max(0.0, start)
        if start < end:
            self._laws[kind].on_settled(start, end)

    def on_took(self, kind: str, start: float, took: float) -> None:
        """One that was seen running at the age `start` settled at the age `took`, as the server tells."""
        if start < 0.0:
            start = 0.0
        self._laws[kind].on_took(start, took if took > start else start)


class FirstLooks:
    """How the first looks at the ids of one batch have turned out: its ids tend to be alike.

    The last ten looks or so count, and one imagined hit in two from before them.
    """

    __slots__ = ("_hits", "_looks", "growth")

    _MEMORY = 0.9

    def __init__(self) -> None:
        self._hits, self._looks = 1.0, 2.0
        # What an id never looked at has behind it, as a growth of hazard: it may have settled long ago.
        self.growth: float = -log1p(-self._hits / self._looks)

    def on_look(self, hit: float) -> None:
        """One more; `hit`: the probability that it had settled before its id was added, 0.0 if still running."""
        self._hits = 1.0 + self._MEMORY * (self._hits - 1.0) + hit
        self._looks = 2.0 + self._MEMORY * (self._looks - 2.0) + 1.0
        self.growth = -log1p(-self._hits / self._looks)


def _pieces(start: float, end: float) -> list[tuple[int, float, float]]:
    """The ages from `start` to `end` cut at the bin edges: (bin, from, to)."""
    first, last = bisect_right(_EDGES, start) - 1, bisect_right(_EDGES, end) - 1
    cuts = (start, *_EDGES[first + 1 : last + 1], end)
    return [(first + i, low, high) for i, (low, high) in enumerate(pairwise(cuts)) if low < high]
