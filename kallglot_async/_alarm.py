"""`Alarm`: an alarm clock for whoever sleeps until a moment or until something happens."""

from __future__ import annotations

import asyncio
import math

from kallglot_async import _clock

__all__ = ["Alarm"]


class Alarm:
    """Wakes its sleepers at a moment, or when it is rung. A ring with nobody asleep is kept for the next."""

    __slots__ = ("_is_rung", "_sleepers")

    def __init__(self) -> None:
        self._sleepers: set[asyncio.Future[None]] = set()
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
            self._sleepers.add(sleeper)
            timer = _clock.call_at(moment, _wake, sleeper) if moment < math.inf else None
            try:
                await sleeper
            finally:  # also where the sleeper is cancelled
                self._sleepers.discard(sleeper)
                if timer is not None:
                    timer.cancel()
        self._is_rung = False


def _wake(sleeper: asyncio.Future[None]) -> None:
    if not sleeper.done():
        sleeper.set_result(None)
