"""`Rule`, the shape of whatever says when the next request may go, and what goes in and out of one.

`Ticket` is one granted request, `Urgency` who may ask for one, `Supply` what a scheduler of polls may count on.
"""

from __future__ import annotations

import math
from enum import IntEnum
from typing import Protocol

import msgspec

from kallglot_async._core.api.answers import RateFigures

__all__ = ["Pace", "PaceStep", "Rule", "Supply", "Ticket", "Urgency"]

PaceStep = tuple[float, float]  # a pace's moment before one request, and after it: what it takes to undo that


class Urgency(IntEnum):
    """Who wants to send. Direct requests overtake polls; polls of both kinds go in the order in which they came.

    A poll that is held back by the pace keeps nobody else waiting who need not keep it.
    """

    DIRECT = 0  # a person or a POST waits for it; or it is the last look before a deadline
    AHEAD = 1  # a poll that will pay: spends the window, not the pace
    PACED = 2  # any other poll


# By identity, and so it can be in a set: two requests of one moment are alike in everything else.
class Ticket(msgspec.Struct, eq=False):
    """One granted request: what has to be known when its answer comes, or when it is given back.

    Each rule keeps its own notes on it, and reads no other's.
    """

    sent_at: float
    epoch: int = 0  # the gate's: a ticket of an event loop that is gone counts for nothing
    is_direct: bool = False
    event: int = 0  # the last thing the window had heard when it was sent; a clock may stand still
    is_probe: bool = False  # it opens a spent window
    window_pace: PaceStep | None = None
    unannounced_pace: PaceStep | None = None
    ceiling_pace: PaceStep | None = None


class Supply(msgspec.Struct, frozen=True):
    """What the rate limiter can give at this moment."""

    rate: float = math.inf  # requests/s that can be sustained (inf: unlimited or unknown)
    remaining: float = math.inf  # whole requests the window still holds, less those in flight (inf: unknown)
    resets_in: float = math.inf  # seconds until the window renews (inf: unknown)
    can_run_low: bool = False  # whether the window may be spent down to fewer requests than ids are pending

    def within(self, other: Supply) -> Supply:
        """What is left of it where another limit holds as well; that one is not asked whether it may run low."""
        # Two windows renew at two moments: the one that counts is that of the limit which is spent first.
        first = self if self.remaining <= other.remaining else other
        return Supply(min(self.rate, other.rate), first.remaining, first.resets_in, self.can_run_low)


class Rule(Protocol):
    """One reason why a request may have to wait. A gate asks every rule that is in force, and tells it what happens."""

    def next_at(self, now: float, urgency: Urgency) -> float:
        """Return when a request may go: `now` or before for at once, infinity for "when an answer comes"."""

    def supply(self, now: float) -> Supply:
        """Return what a scheduler may count on, as far as this rule goes."""

    def on_sent(self, ticket: Ticket, now: float, urgency: Urgency) -> None:
        """A request goes out now."""

    def on_unsent(self, ticket: Ticket) -> None:
        """A granted request was not sent after all: everything is as before."""

    def on_lost(self, ticket: Ticket, now: float) -> None:
        """A request ended without an answer, or with one that says nothing of the limit."""

    def on_answer(self, ticket: Ticket, now: float, figures: RateFigures | None) -> None:
        """A request was answered, and not refused."""

    def on_refused(self, ticket: Ticket, now: float, figures: RateFigures | None, until: float) -> None:
        """A request was refused for rate: nothing goes out before `until`."""

    def forget_in_flight(self) -> None:
        """The event loop that sent them is gone: no answer will come."""


class Pace:
    """GCRA (ITU-T I.371, virtual scheduling): `theoretical` is the moment the last paced request was due at the latest.

    The slack is how many intervals one that went late leaves to those after it: 1.0 lets two go at once after a rest.
    With none, a slot is lost whenever a timer fires late; with those of a whole limit, requests are refused.
    """

    __slots__ = ("theoretical",)

    def __init__(self) -> None:
        self.theoretical = -math.inf

    def on_sent(self, now: float, interval: float, slack: float = 1.0) -> PaceStep:
        before = self.theoretical
        self.theoretical = max(before + interval, now - slack * interval)
        return before, self.theoretical

    def on_unsent(self, step: PaceStep) -> None:
        before, after = step
        # Nobody came since: as if it had never been.
        if self.theoretical == after:
            self.theoretical = before
        # Others came since, and were set back by this one's step. The first of all had none.
        elif math.isfinite(before):
            self.theoretical -= after - before
