"""The values that go into a poll queue and come out of it."""

from __future__ import annotations

from math import log
from typing import Literal

import msgspec

from kallglot_async._checks import check_seconds, shown
from kallglot_async._core.limit.ticket import Supply
from kallglot_async._core.polling.pending import Entry
from kallglot_async.errors import ConfigurationError

__all__ = ["PollSchedule", "Slot", "Supply"]

HINT_INTERVALS = 3.0  # of a fixed or exponential schedule: a server's hint moves the next look so far at most


class PollSchedule(msgspec.Struct, frozen=True, kw_only=True):
    """How the polls of one id follow each other.

    `learned()` (the default), `fixed(...)`, `exponential(...)`, or `behind_webhooks(...)`.
    """

    policy: Literal["learned", "fixed", "exponential"] = "learned"
    first: float = 2.0
    factor: float = 1.0
    maximum: float = 2.0
    delay: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what would poll never, or without a pause: a `ConfigurationError`."""
        check_seconds("first", self.first)
        check_seconds("maximum", self.maximum)
        check_seconds("delay", self.delay, zero=True)
        if check_seconds("factor", self.factor) < 1.0:
            raise ConfigurationError(f"factor is {shown(self.factor)}: give a number from 1 up")
        if self.maximum < self.first:
            raise ConfigurationError(
                f"maximum {shown(self.maximum)} is below first {shown(self.first)}: give a larger maximum"
            )

    @classmethod
    def learned(cls) -> PollSchedule:
        """Poll when the learned law says that it pays.

        Until there is data it knows the documented 22 to 30 s, and backs off exponentially before and after those.
        """
        return cls()

    @classmethod
    def fixed(cls, interval: float = 2.0) -> PollSchedule:
        """Poll every `interval` seconds, as documented, or as often as the rate allows."""
        check_seconds("interval", interval)
        return cls(policy="fixed", first=interval, maximum=interval)

    @classmethod
    def exponential(cls, first: float = 1.0, factor: float = 1.5, maximum: float = 10.0) -> PollSchedule:
        """Wait `first` seconds after the first poll, then `factor` times as long each time, up to `maximum`."""
        return cls(policy="exponential", first=first, factor=factor, maximum=maximum)

    @classmethod
    def behind_webhooks(cls, first: float = 60.0, factor: float = 2.0, maximum: float = 300.0) -> PollSchedule:
        """Poll slowly, as the safety net behind webhooks that are sure to come.

        A client with an `inbox` does about this by itself, for as long as webhooks are heard.

        The first poll of an analysis that the client created comes `first` seconds after that; any other is looked
        at once at the start, because it may have settled, and been announced, long ago.
        """
        return cls(policy="exponential", first=first, factor=factor, maximum=maximum, delay=first)

    def interval(self, polls: int, hint_in: float | None = None) -> float:
        """Seconds to wait after that many polls (fixed and exponential); a server's hint may make it longer."""
        interval = self._interval(polls)
        return max(interval, min(hint_in or 0.0, HINT_INTERVALS * interval))

    def _interval(self, polls: int) -> float:
        if polls <= 1:
            return self.first
        # By logarithms: after some hundred polls the power would be more than a float holds, and raise.
        if (polls - 1) * log(self.factor) >= log(self.maximum) - log(self.first):
            return self.maximum
        return self.first * self.factor ** (polls - 1)


class Slot(msgspec.Struct, frozen=True):
    """Ask the limiter for one slot at the time `at`.

    Attributes:
        at: The moment.
        ahead: Whether it may go ahead of the even pace.
        entry: What it is for, as things stand: where the slot is granted in the moment it is asked for, this one.
        why: Why that one.
    """

    at: float
    ahead: bool
    entry: Entry
    why: Literal["last look", "due", "fresh"]
