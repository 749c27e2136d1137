"""One clock, and one event loop at a time, for what outlives an event loop.

A limiter's knowledge and a model's observations serve three successive `asyncio.run` calls, but each loop
may count from its own zero (uvloop's does, and so does a virtual one in tests). So: the running loop's time,
shifted once for each loop to the process's monotonic clock.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable
from weakref import WeakKeyDictionary, ref

import anyio

from kallglot_async.errors import ConfigurationError

__all__ = ["OneLoop", "call_at", "now", "running_loop", "sleep_until"]

_OTHER_LOOP = (
    "another event loop, in another thread, is using this client or limiter, and neither can serve two: give each "
    "thread a client and a RateLimiter of its own, or close the client there first"
)

# A loop fires timers that are due within its clock's resolution. Fired that early, a sleeper would find that
# its moment has not come and ask again, without end where the clock stands still meanwhile, as virtual ones do.
_TICK = 2e-6  # seconds

_shift: WeakKeyDictionary[asyncio.AbstractEventLoop, float] = WeakKeyDictionary()
_latest: Callable[[], asyncio.AbstractEventLoop | None] = type(None)
_latest_shift = 0.0
_MONOTONIC = asyncio.BaseEventLoop.time


def now() -> float:
    """Return monotonic seconds, the same scale on every loop of the process and outside of one."""
    global _latest, _latest_shift  # one loop asks again and again: spare it the look-up
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return time.monotonic()
    # As that of every loop of asyncio's own: nothing is shifted. Some virtual clocks replace it on the loop alone.
    if getattr(loop.time, "__func__", None) is _MONOTONIC:
        return time.monotonic()
    if _latest() is not loop:
        _latest = ref(loop)
        _latest_shift = _shift.setdefault(loop, time.monotonic() - loop.time())
    return loop.time() + _latest_shift


def running_loop() -> asyncio.AbstractEventLoop:
    """Return the event loop that runs in this thread.

    Raises:
        ConfigurationError: There is none: the caller runs on another library's loop, such as trio's.
    """
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise ConfigurationError(
            "there is no asyncio event loop here: kallglot_async runs on asyncio and not on trio; start the program "
            "with asyncio.run, or with anyio.run on its asyncio backend"
        ) from None


def _running() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


class OneLoop:
    """Which event loop something serves that outlives one: one at a time.

    Attributes:
        loop: The one that was served last; None: none that matters any more.
    """

    __slots__ = ("_lock", "_process", "loop")

    def __init__(self) -> None:
        self.loop: asyncio.AbstractEventLoop | None = None
        self._process = 0  # a child process that a fork made has the loop, but not what runs in it
        self._lock = threading.Lock()  # two threads may come in the same moment

    def enter(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Serve this loop, which runs, from now on.

        Returns:
            Whether the one before is gone, with everything that waited in it. One that only stands still may run again.

        Raises:
            ConfigurationError: The one before runs, in another thread.
        """
        if loop is self.loop and self._process == os.getpid():
            return False
        with self._lock:
            is_gone = self.loop is not None and (self.loop.is_closed() or self._process != os.getpid())
            if self.loop is not None and self.loop is not loop and not is_gone and self.loop.is_running():
                raise ConfigurationError(_OTHER_LOOP)
            self.loop, self._process = loop, os.getpid()
            return is_gone

    def runs_elsewhere(self) -> bool:
        """Whether its loop runs, and in another thread than this one."""
        return self.loop is not None and self.loop.is_running() and self.loop is not _running()

    def leave(self) -> None:
        """The running loop has no more use for it: another may, even while this one runs."""
        with self._lock:
            if self.loop is _running():
                self.loop = None


def call_at(moment: float, callback: Callable[..., object], *args: object) -> asyncio.TimerHandle:
    """Call back at `moment`, early by the resolution of the loop's clock at most, and in a later turn of the loop."""
    loop = asyncio.get_running_loop()
    return loop.call_later(max(_TICK, moment - now()), callback, *args)


async def sleep_until(moment: float) -> None:
    """Sleep until `moment`, early by the resolution of the loop's clock at most; who asks again sleeps again."""
    await anyio.sleep(max(_TICK, moment - now()))
