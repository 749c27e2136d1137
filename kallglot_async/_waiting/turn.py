"""`Turn`: whose turn it is among workers who would all do the same."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TypeVar

__all__ = ["Turn"]

T = TypeVar("T")


class Turn:
    """Taken by one worker at a time.

    It is for whoever comes first when it is free, and not handed to who has waited longest, as a lock does it: while
    that one has yet to wake up, all others would line up behind it, and a request a turn of the loop would be sent.
    """

    __slots__ = ("_is_taken", "_waiting")

    def __init__(self) -> None:
        self._is_taken = False
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def run(self, act: Callable[[], Awaitable[T]]) -> T:
        """Do it once nobody else does."""
        while self._is_taken:
            woken = asyncio.get_running_loop().create_future()
            self._waiting.append(woken)
            try:
                await woken
            except asyncio.CancelledError:
                if not woken.cancelled():
                    self._wake()  # it was for nothing: that was somebody else's chance
                raise
        self._is_taken = True
        try:
            return await act()
        finally:
            self._is_taken = False
            self._wake()

    def _wake(self) -> None:
        while self._waiting:
            woken = self._waiting.popleft()
            if not woken.done():
                woken.set_result(None)
                return
