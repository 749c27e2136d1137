"""`Watch`: one timer over a call's deadlines."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

from kallglot_async import _clock

__all__ = ["Watch"]


class Watch:
    """One timer over a call's deadlines. It holds no task, so what its callback raises is handed on.

    Args:
        look: Does what is due, and returns the moment at which to look again.
        on_error: Told of what `look` raises: in a timer nobody else would hear of it but the event loop.
    """

    __slots__ = ("_is_stopped", "_look", "_on_error", "_timer")

    def __init__(self, look: Callable[[], float], on_error: Callable[[Exception], None]) -> None:
        self._look = look
        self._on_error = on_error
        self._timer: asyncio.Handle | None = None  # an `asyncio.TimerHandle` where it is not about to look
        self._is_stopped = False

    def ring(self) -> None:
        """Look in the next turn of the loop: something has changed."""
        if self._is_stopped or (self._timer is not None and not isinstance(self._timer, asyncio.TimerHandle)):
            return
        self._cancel()
        self._timer = asyncio.get_running_loop().call_soon(self._on_timer)

    def stop(self) -> None:
        """Look no more."""
        self._is_stopped = True
        self._cancel()

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _on_timer(self) -> None:
        self._timer = None
        try:
            at = self._look()
        except Exception as error:
            self._on_error(error)
            return
        if at < math.inf and self._timer is None and not self._is_stopped:
            self._timer = _clock.call_at(at, self._on_timer)
