"""`Ask` and `Reply`: what processes that share one limit tell each other, by way of `shared/exchange.lua`.

`Alone` is what one makes of the last reply while there is none. The folder's docstring has their rules, 17 to 20.
"""

from __future__ import annotations

import math

import msgspec

from kallglot_async._core.api.answers import RateFigures
from kallglot_async._core.limit.ticket import Urgency

__all__ = ["Alone", "Ask", "Reply"]

LEAST_PART = 0.01  # requests; of a part that is spent, so that a pace is still a number


# What is None is left out: Lua would read a null as a value, and take it for true.
class Ask(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a process tells the others, and what it wants. All times are durations, so that clocks do not matter.

    Attributes:
        flying: Requests in flight.
        unspent: Slots that it holds besides.
        lapses_in: Seconds until the last of those lapses.
        foregone: Slots that have gone to no poll since it told last: they lapsed, or people took them.
        people: Requests of people that went out since it told last.
        direct: Slots for people who wait for them.
        polls: Slots for polls.
        appetite: Slots for polls that it would spend in a horizon, as far as it has not shown less; 0: it has none.
        is_ahead: Whether those would spend ahead of the pace.
        idle_for: Seconds since the pace let one go.
        figures: The newest, its `resets_in` counted from now; None where there is none.
        is_fresh: Whether nobody was told of those yet.
        rest: The longest time to a reset that its answers have named, in seconds; a window is no shorter.
        sent_ago: Seconds since the request was sent that brought them.
        trip: The longest time that an answer has lately taken, in seconds.
        lost: Requests that ended without an answer since it told last.
        pause: Seconds that nobody is to send for.
        landed: Whether a probe has ended.
        is_quiet: Whether the newest answer told of no limit.
        is_back: Whether it went on alone until now.
        is_leaving: Whether it has nothing in flight, and takes its leave.
        processes: How many shared the limit when it was last told.
    """

    flying: int
    unspent: int
    lapses_in: float
    foregone: int
    people: int
    direct: int
    polls: int
    appetite: int
    is_ahead: bool
    idle_for: float
    figures: RateFigures | None = None
    is_fresh: bool
    rest: float
    sent_ago: float
    trip: float
    lost: int
    pause: float
    landed: bool
    is_quiet: bool
    is_back: bool
    is_leaving: bool
    processes: int


# The defaults are what the script leaves out, as JSON has no word for infinity.
class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """What a process may send.

    Attributes:
        direct: Slots to be spent at once.
        paced: Slots of which one may go every `interval` seconds.
        interval: Seconds.
        is_probe: Whether the one slot opens a window, and everybody waits for its answer.
        again_in: Seconds until it is worth asking again, where there was not enough.
        processes: How many share the limit.
        sharers: How many of them have polls.
        pause: Seconds that nobody is to send for.
        limit: Requests in a window, or None.
        reset: When it renews, on the clock of the server that announces it.
        available: Requests that the window holds beyond what anybody holds.
        ends_in: Seconds until it renews.
        rate: Requests/s that all together may send evenly.
        even: The same without regard to what has been sent of the present window.
        period: Seconds that a window lasts, as far as known; 0.0: nothing is known of it.
        part: Requests that the polls of this process may send of the present window beyond what it holds.
    """

    direct: int = 0
    paced: int = 0
    interval: float = 0.0
    is_probe: bool = False
    again_in: float = 0.0
    processes: int = 1
    sharers: int = 1
    pause: float = 0.0
    limit: int | None = None
    reset: float = -math.inf
    available: float = math.inf
    ends_in: float = math.inf
    rate: float = math.inf
    even: float = math.inf
    period: float = 0.0
    part: float = 0.0


class Alone:
    """At which pace a process goes on that cannot ask the others.

    Args:
        ceiling: Requests/s of a configured ceiling over all processes.
    """

    __slots__ = ("_ceiling", "_ends_at", "_part_interval", "_reply", "rest")

    def __init__(self, ceiling: float) -> None:
        self._ceiling = ceiling
        self._reply: Reply | None = None
        self._ends_at = -math.inf  # when the window is over that it was last told of
        self._part_interval = 0.0  # seconds between two polls until then
        self.rest: float = 0.0  # the longest time to a reset that an answer named, in seconds

    @property
    def is_told(self) -> bool:
        """Whether it was told of a limit."""
        return self._reply is not None and self._reply.limit is not None

    def on_reply(self, reply: Reply, now: float) -> None:
        """The others have answered."""
        self._reply = reply
        self._ends_at = now + reply.ends_in
        # What is left of the part is for the time after the slots that were granted with it.
        self._part_interval = max(0.0, reply.ends_in - reply.paced * reply.interval) / max(LEAST_PART, reply.part)

    def on_figures(self, figures: RateFigures) -> None:
        """An answer of this process' own tells of the limit."""
        self.rest = max(self.rest, figures.resets_in)

    def next_at(self, now: float, urgency: Urgency, last: float) -> float:
        """Return when the next may go, where the last was due at `last`: in the next window at the even pace again."""
        at = last + self.interval(now, urgency)
        if now < self._ends_at < at:
            return max(self._ends_at, last + self._even_interval())
        return at

    def interval(self, now: float, urgency: Urgency) -> float:
        """Seconds between two requests: until the window is over, polls have what is left of their part of it.

        People, of whom nobody knows how many there will be, have the even pace.
        """
        reply = self._reply
        if urgency is Urgency.DIRECT or reply is None or not now < self._ends_at < math.inf:
            return self._even_interval()
        return self._part_interval

    def _even_interval(self) -> float:
        """Seconds between two requests of one of so many processes, that together use a window evenly."""
        reply = self._reply
        if reply is None:
            return 1.0 / self._ceiling
        # The first window may have been nearly over, and seems short.
        rate = reply.even * reply.period / max(reply.period, self.rest) if reply.period else reply.even
        return reply.processes / min(self._ceiling, rate)
