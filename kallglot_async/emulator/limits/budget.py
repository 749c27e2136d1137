"""Whether a request is served: the limits that it counts against, on which node, and who else takes of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from random import Random

import msgspec

from kallglot_async.emulator.limits.plans import LimitSettings, StrangerPace
from kallglot_async.emulator.limits.windows import GRAIN, FixedWindow, Window, make_window

_BURST = 8.0  # requests of a stranger that come at once, on average


class Figures(msgspec.Struct, frozen=True):
    """What one limit says of itself after a request."""

    limit: int
    """Requests per window."""
    remaining: int
    """Requests left in the window after this one."""
    resets_at: float
    """The moment it names as its reset, in Unix seconds."""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What the limits say about one request."""

    accepted: bool
    """Whether the request may be served."""
    figures: tuple[Figures, ...] = ()
    """Of the limits that are announced and apply, first the one that headers with one value tell of."""
    second: Figures | None = None
    """Of the limit that is not."""
    retry_in: float = 0.0
    """Seconds until a request would be accepted; 0 if this one was."""
    window: int | None = None
    """Number of the fixed window, counted from the Unix epoch; None for the other kinds."""

    @property
    def limit(self) -> int | None:
        """Requests per window of the limit that is announced."""
        return self.figures[0].limit if self.figures else None

    @property
    def remaining(self) -> int | None:
        """Requests that it leaves after this one."""
        return self.figures[0].remaining if self.figures else None

    @property
    def reset(self) -> int | None:
        """Its reset in whole Unix seconds, rounded up so that waiting for it is always enough."""
        return math.ceil(self.figures[0].resets_at - GRAIN) if self.figures else None


class Budget:
    """The limits that one node counts against, for every endpoint group and over all of them."""

    __slots__ = ("_groups", "_overall", "_second", "_stranger")

    def __init__(self, settings: LimitSettings, draw: Random) -> None:
        plan, period, second = settings.limits, settings.period, settings.second_limit
        make = partial(make_window, settings.window, burst=settings.burst, announces=settings.bucket_reset)
        self._groups = {group: make(limit, period) for group, limit in plan.groups.items()}
        self._overall = None if plan.overall is None else make(plan.overall, period)
        self._second = None if second is None else FixedWindow(second[0], second[1] / settings.speed)
        self._stranger: Stranger | None = None
        if settings.stranger:
            rate = settings.stranger * plan.groups["analysis"] / period
            self._stranger = Stranger(rate, settings.stranger_pace, memory=2 * period, random=draw.random)

    def admit(self, group: str | None, now: float) -> Verdict:
        """Charge one request if all its limits allow it."""
        if self._stranger is not None:
            for moment in self._stranger.until(now):
                self._charge("analysis", moment)
        refused_by, wait = self._charge(group, now)
        # Those of the group are told of, and the plan's only where that is what refuses.
        announced = sorted(self._announced(group), key=lambda window: window is not refused_by)
        return Verdict(
            accepted=refused_by is None,
            figures=tuple(_figures(window, now) for window in announced),
            second=None if self._second is None else _figures(self._second, now),
            retry_in=wait,
            window=announced[0].number(now) if announced else None,
        )

    def _charge(self, group: str | None, now: float) -> tuple[Window | None, float]:
        """Count one request, or return what refuses it, and for how long."""
        windows = self._announced(group)
        if self._second is not None:
            windows.append(self._second)
        # All are asked before any is charged: what one refuses must not cost at the others.
        for window in windows:
            if (wait := window.wait(now)) > 0:
                return window, wait
        for window in windows:
            window.count(now)
        return None, 0.0

    def _announced(self, group: str | None) -> list[Window]:
        own = self._groups.get(group) if group else None
        return [window for window in (own, self._overall) if window is not None]


class Limits:
    """The limits of one organization, as a request meets them; the same settings decide the same way again."""

    __slots__ = ("_came", "_draw", "_nodes", "_settings")

    def __init__(self, settings: LimitSettings) -> None:
        self._settings = settings
        self._draw = Random(settings.seed)
        self._nodes = [Budget(settings, Random(f"{settings.seed} {number}")) for number in range(settings.nodes)]
        self._came = 0

    def limit(self, group: str | None) -> int | None:
        """Requests per period that a group is told about; None when no announced limit applies to it."""
        plan = self._settings.limits
        return plan.groups.get(group or "", plan.overall)

    def admit(self, group: str | None, now: float) -> Verdict:
        """Charge one request, on the node whose turn it is, if all its limits allow it; `now` must not go back."""
        number = self._came
        if self._settings.balancing == "random":
            number = self._draw.randrange(len(self._nodes))
        self._came += 1
        return self._nodes[number % len(self._nodes)].admit(group, now)


class Stranger:
    """Somebody else's requests under the same key: when they come, `rate` of them a second.

    What was charged is forgotten after `memory` seconds: no request from before is worth telling.
    """

    __slots__ = ("_memory", "_next", "_pace", "_random", "_rate")

    def __init__(self, rate: float, pace: StrangerPace, *, memory: float, random: Callable[[], float]) -> None:
        self._rate = rate
        self._pace: StrangerPace = pace
        self._memory = memory
        self._random = random
        self._next = -math.inf

    def until(self, now: float) -> Iterator[float]:
        """The moments of the requests that have come since it was last asked, up to and including now."""
        if self._next < now - self._memory:
            self._next = now - self._memory + self._gap(self._rate)
        while self._next <= now:
            moment = self._next
            if self._pace == "bursts":
                yield from [moment] * (1 + int(self._drawn(_BURST)))
                self._next = moment + self._gap(self._rate / (_BURST + 0.5))
            else:
                yield moment
                self._next = moment + self._gap(self._rate)

    def _gap(self, rate: float) -> float:
        return 1.0 / rate if self._pace == "steady" else self._drawn(1.0 / rate)

    def _drawn(self, mean: float) -> float:
        return -mean * math.log(1.0 - self._random())


def _figures(window: Window, now: float) -> Figures:
    return Figures(window.limit, window.remaining(now), window.resets_at(now))
