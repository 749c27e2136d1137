"""`Ask` and `Reply`: what processes that share one limit tell each other, by way of `shared/exchange.lua`."""

from __future__ import annotations

import math

import msgspec

from kallglot_async._core.api.answers import RateFigures

__all__ = ["Ask", "Reply"]


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
