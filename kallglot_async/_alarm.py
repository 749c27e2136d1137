"""Who sleeps, and what wakes them.

`Alarm`: for whoever sleeps until a moment or until something happens. `Turn`: for workers of whom one at a time does
what they all would. `Watch`: for what is to be done at a moment, with nobody asleep until then.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

from kallglot_async import _clock

__all__ = ["Alarm", "Turn", "Watch"]


class Alarm:
    """Wakes its sleepers at a moment, or when it is rung. A ring with nobody asleep is kept for the next."""

    __slots__ = ("_is_rung", "_sleepers")

    def __init__(self) -> None:
        self._sleepers: tuple[asyncio.Future[None], ...] = ()  # one, nearly always
        self._is_rung = False

    def ring(self) -> None:
        """Wake the sleepers."""
        # Kept: who looked, found nothing to do, and is about to sleep would miss what happened in between.
        self._is_rung = True
        for sleeper in self._sleepers:
            _wake(sleeper)

    async def sleep_until(self, moment: float = math.inf) -> None:
        """Sleep until `moment` on the library's clock, or until it is rung."""
        if not self._is_rung:
            sleeper = asyncio.get_running_loop().create_future()
            self._sleepers += (sleeper,)
            timer = _clock.call_at(moment, _wake, sleeper) if moment < math.inf else None
            try:
                await sleeper
            finally:  # also where the sleeper is cancelled
                self._sleepers = tuple(one for one in self._sleepers if one is not sleeper)
                if timer is not None:
                    timer.cancel()
        self._is_rung = False


def _wake(sleeper: asyncio.Future[None]) -> None:
    if not sleeper.done():
        sleeper.set_result(None)


class Turn:
    """Taken by one worker at a time: who finds it taken waits, takes it, and passes it on in the end, whatever happens.

    It is for whoever comes first when it is free, and not handed to who has waited longest, as a lock does it: while
    that one has yet to wake up, all others would line up behind it, and a request a turn of the loop would be sent.
    """

    __slots__ = ("_waiting", "is_taken")

    def __init__(self) -> None:
        self.is_taken: bool = False
        self._waiting: list[asyncio.Future[None]] = []

    async def wait(self) -> None:
        """Wait until nobody has it."""
        while self.is_taken:
            woken = asyncio.get_running_loop().create_future()
            self._waiting.append(woken)
            try:
                await woken
            except asyncio.CancelledError:
                if not woken.cancelled():
                    self._wake()  # it was for nothing: that was somebody else's chance
                raise

    def pass_on(self) -> None:
        """It is free again, for whoever comes first."""
        self.is_taken = False
        if self._waiting:
            self._wake()

    def _wake(self) -> None:
        while self._waiting:
            woken = self._waiting.pop(0)
            if not woken.done():
                woken.set_result(None)
                return


class Watch:
    """One timer over a call's deadlines. It holds no task, so what its callback raises is handed on.

    Args:
        look: Does what is due, and returns the moment at which to look again.
        on_error: Told of what `look` raises: in a timer nobody else would hear of it but the event loop.

    Attributes:
        at: When it looks by itself; infinity: not before it is rung; and below all moments once it is.
    """

    __slots__ = ("_is_stopped", "_look", "_on_error", "_timer", "at")

    def __init__(self, look: Callable[[], float], on_error: Callable[[Exception], None]) -> None:
        self._look = look
        self._on_error = on_error
        self._timer: asyncio.Handle | None = None
        self._is_stopped = False
        self.at: float = math.inf

    def ring(self) -> None:
        """Look in the next turn of the loop: something has changed."""
        if self._is_stopped or self.at == -math.inf:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_soon(self._on_timer)
        self.at = -math.inf

    def stop(self) -> None:
        """Look no more."""
        self._is_stopped = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _on_timer(self) -> None:
        self._timer, self.at = None, math.inf
        try:
            at = self._look()
        except Exception as error:
            self._on_error(error)
            return
        if at < math.inf and self._timer is None and not self._is_stopped:
            self._timer, self.at = _clock.call_at(at, self._on_timer), at
