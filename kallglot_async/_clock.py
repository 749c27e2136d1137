"""One clock for what outlives an event loop.

A limiter's knowledge and a model's observations serve three successive `asyncio.run` calls, but each loop
may count from its own zero (uvloop's does, and so does a virtual one in tests). So: the running loop's time,
shifted once for each loop to the process's monotonic clock.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from weakref import WeakKeyDictionary, ref

import anyio

from kallglot_async.errors import ConfigurationError

__all__ = ["call_at", "now", "running_loop", "sleep_until"]

# A loop fires timers that are due within its clock's resolution. Fired that early, a sleeper would find that
# its moment has not come and ask again, without end where the clock stands still meanwhile, as virtual ones do.
_TICK = 2e-6  # seconds

_shift: WeakKeyDictionary[asyncio.AbstractEventLoop, float] = WeakKeyDictionary()
_latest: Callable[[], asyncio.AbstractEventLoop | None] = type(None)
_latest_shift = 0.0


def now() -> float:
    """Return monotonic seconds, the same scale on every loop of the process and outside of one."""
    global _latest, _latest_shift  # one loop asks again and again: spare it the look-up
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
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


def call_at(moment: float, callback: Callable[..., object], *args: object) -> asyncio.TimerHandle:
    """Call back at `moment`, early by the resolution of the loop's clock at most, and in a later turn of the loop."""
    loop = asyncio.get_running_loop()
    return loop.call_later(max(_TICK, moment - now()), callback, *args)


async def sleep_until(moment: float) -> None:
    """Sleep until `moment`, early by the resolution of the loop's clock at most; who asks again sleeps again."""
    await anyio.sleep(max(_TICK, moment - now()))
