"""`Turn`: whose turn it is among workers who would all do the same."""

from __future__ import annotations

import asyncio
from collections import deque

__all__ = ["Turn"]


class Turn:
    """Taken by one worker at a time.

    It is for whoever comes first when it is free, and not handed to who has waited longest, as a lock does it: while
    that one has yet to wake up, all others would line up behind it, and a request a turn of the loop would be sent.
    """

    __slots__ = ("_waiting", "is_taken")

    def __init__(self) -> None:
        self.is_taken = False
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def wait(self) -> None:
        """Sleep until it may be free; whoever wakes up looks again."""
        woken = asyncio.get_running_loop().create_future()
        self._waiting.append(woken)
        try:
            await woken
        except asyncio.CancelledError:
            if not woken.cancelled():
                self._wake()  # for nothing: that was somebody else's chance
            raise

    def give(self) -> None:
        """It is free: wake one of those who wait."""
        self.is_taken = False
        self._wake()

    def _wake(self) -> None:
        while self._waiting:
            woken = self._waiting.popleft()
            if not woken.done():
                woken.set_result(None)
                return
