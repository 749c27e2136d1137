"""`Ticket`, one granted request, who may ask for one, and the even pace that paced requests keep."""

from __future__ import annotations

import math
from enum import IntEnum

__all__ = ["PAUSE_WITHOUT_ADVICE", "SHORTEST_PAUSE", "Pace", "Ticket", "Urgency"]

SHORTEST_PAUSE = 1.0  # seconds; `Retry-After: 0` is no invitation to ask again at the speed of the network
PAUSE_WITHOUT_ADVICE = 30.0  # seconds; what the documentation's sample clients fall back to


class Urgency(IntEnum):
    """Who wants to send. Lower goes first."""

    DIRECT = 0  # a person or a POST waits for it
    AHEAD = 1  # a poll that will pay: spends the window, not the pace
    PACED = 2  # any other poll


class Ticket:
    """One granted request: what has to be known when its answer comes, or when it is given back."""

    __slots__ = ("epoch", "event", "is_probe", "pace", "sent_at")

    def __init__(self, sent_at: float, is_probe: bool, event: int = 0) -> None:
        self.sent_at = sent_at
        self.is_probe = is_probe
        self.event = event  # the last thing the window had heard when it was sent; a clock may stand still
        self.pace: tuple[float, float] | None = None  # a paced poll: the pace's moment before it, and after
        self.epoch = 0  # the limiter's: a ticket of an event loop that is gone counts for nothing


class Pace:
    """GCRA with a burst of two: `theoretical` is the moment the last paced request was due at the latest."""

    __slots__ = ("theoretical",)

    def __init__(self) -> None:
        self.theoretical = -math.inf

    def on_sent(self, now: float, interval: float) -> tuple[float, float]:
        before = self.theoretical
        self.theoretical = max(before + interval, now - interval)
        return before, self.theoretical

    def on_unsent(self, pace: tuple[float, float]) -> None:
        before, after = pace
        if self.theoretical == after:  # nobody came since: as if it had never been
            self.theoretical = before
        elif math.isfinite(before):
            self.theoretical -= after - before
