"""Time: what it is, who sleeps until when and what wakes them, and what lasts too long.

A limiter's knowledge and a model's observations serve three successive `asyncio.run` calls, but each loop
may count from its own zero (uvloop's does, and so does a virtual one in tests). So: the running loop's time,
shifted once for each loop to the process's monotonic clock; and one event loop at a time for what outlives one.

`Alarm`: for whoever sleeps until a moment or until something happens. `Baton`: for workers of whom one at a time does
what they all would. `Watch`: for what is to be done at a moment, with nobody asleep until then.
`ClosedWithLoop`: for what has to be closed in the loop that it was opened in.

`Deadlines` are many timeouts of one length on one timer. Requests of a client nearly all have the same timeout, so
their deadlines come in the order in which they began and need no heap: a line and one timer for the first of it. A
timer and an `asyncio.Timeout` of its own for each request cost about a tenth of the request
(`python -m benchmarks request`). Expiry means what it means there: a cancellation of the caller's own wins over a
deadline that has passed. Nothing is awaited at either end, so `with` does.
"""

from __future__ import annotations

import asyncio
import math
import os
import threading
import time
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress
from types import TracebackType
from typing import ClassVar
from weakref import WeakKeyDictionary, ref

import anyio
import msgspec

from kallglot_async.errors import ConfigurationError

__all__ = [
    "Alarm", "Baton", "ClosedWithLoop", "Deadline", "Deadlines", "OneLoop", "Watch", "call_at", "call_in",
    "is_cancelled", "now", "running_loop", "sleep_until",
]  # fmt: skip

_OTHER_LOOP = (
    "another event loop, in another thread, is using this client or limiter, and neither can serve two: give each "
    "thread a client and a RateLimiter of its own, or close the client there first"
)

# A loop fires timers that are due within its clock's resolution. Fired that early, a sleeper would find that
# its moment has not come and ask again, without end where the clock stands still meanwhile, as virtual ones do.
_TICK = 2e-6  # seconds
_LATE = 0.25  # seconds after a moment from which it was missed because the event loop stood still
_ARRIVED = 0.05  # seconds in which what came meanwhile is taken in: it waits in the socket
_EARLY = 0.002  # seconds by which a loop may fire a timer before its moment (uvloop counts in milliseconds)

_shift: WeakKeyDictionary[asyncio.AbstractEventLoop, float] = WeakKeyDictionary()
# The loop of the last look-up: by a weak reference, which keeps no loop alive; NoneType, called, is like a dead one.
_latest: Callable[[], asyncio.AbstractEventLoop | None] = type(None)
_latest_shift = 0.0
_MONOTONIC = asyncio.BaseEventLoop.time


def now() -> float:
    """Return monotonic seconds, the same scale on every loop of the process and outside of one."""
    # One loop asks again and again: spare it the look-up in a weak dictionary.
    global _latest, _latest_shift
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return time.monotonic()
    # As that of every loop of asyncio's own: nothing is shifted. Some virtual clocks replace it on the loop alone.
    # Asked of the loop: a test may freeze `time.monotonic` for all but asyncio, and nobody's turn would come.
    if getattr(clock := loop.time, "__func__", None) is _MONOTONIC:
        return clock()
    if _latest() is not loop:
        _latest = ref(loop)
        # Once for each loop: reckoned anew, it would undo whatever a virtual clock has run ahead of the process's.
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


def is_cancelled() -> bool:
    """Whether the running task is being cancelled; else a `CancelledError` comes from something that it awaited."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


class OneLoop:
    """Which event loop something serves that outlives one: one at a time.

    Attributes:
        loop: The one that was served last; None: none that matters any more.
    """

    __slots__ = ("_lock", "_process", "loop")

    def __init__(self) -> None:
        self.loop: asyncio.AbstractEventLoop | None = None
        self._process = 0  # a child process that a fork made has the loop, but not what runs in it
        # Two threads may come in the same moment, and the second has to find the first there.
        self._lock = threading.Lock()

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


class ClosedWithLoop:
    """What is open in one event loop, and is closed by it on the way out, where nobody closes it before.

    `asyncio.run` and its relatives close every started asynchronous generator before they close the loop. That is the
    only public moment at which something that nobody closed can still be closed.

    Args:
        close: Closes it.
    """

    __slots__ = ("_close", "_guard")

    # Loops know their generators only weakly, so what is open is held here until it is closed. Nor must a child that a
    # fork made collect what is its parent's: the two share one epoll, where closing would take the parent's socket out.
    _open: ClassVar[set[ClosedWithLoop]] = set()

    def __init__(self, close: Callable[[], Awaitable[object]]) -> None:
        self._close = close
        self._guard = self._close_with_loop()

    async def guard(self) -> None:
        """Have it closed with the running loop, from now on."""
        await anext(self._guard)

    async def aclose(self) -> None:
        """Close it now."""
        await self._guard.aclose()

    def abandon(self) -> None:
        """Close it no more: its loop has ended without that, or another has what it would close."""
        self._open.discard(self)

    async def _close_with_loop(self) -> AsyncGenerator[None, None]:
        self._open.add(self)
        try:
            yield
        finally:
            # Else it was abandoned: collected, its loop would close what somebody else has by now, should it run again.
            if self in self._open:
                self._open.discard(self)
                await self._close()


def call_at(moment: float, callback: Callable[..., object], *args: object) -> asyncio.TimerHandle:
    """Call back at `moment`, early by the resolution of the loop's clock at most, and in a later turn of the loop."""
    loop = asyncio.get_running_loop()
    return loop.call_later(max(_TICK, moment - now()), callback, *args)


async def sleep_until(moment: float) -> None:
    """Sleep until `moment`, early by the resolution of the loop's clock at most; who asks again sleeps again."""
    await anyio.sleep(max(_TICK, moment - now()))


def call_in(loop: asyncio.AbstractEventLoop | None, callback: Callable[..., object], *facts: object) -> None:
    """Call back in a loop that stands still, once it runs again; never, where it is closed."""
    with suppress(RuntimeError):  # it is closed
        if loop is not None:
            loop.call_soon_threadsafe(callback, *facts)


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
            timer = call_at(moment, _wake, sleeper) if moment < math.inf else None
            try:
                await sleeper
            finally:  # also where the sleeper is cancelled
                self._sleepers = tuple(one for one in self._sleepers if one is not sleeper)
                if timer is not None:
                    timer.cancel()
        # Not where the sleeper was cancelled: the ring that has woken it is then kept for the next.
        self._is_rung = False


def _wake(sleeper: asyncio.Future[None]) -> None:
    if not sleeper.done():
        sleeper.set_result(None)


class Baton:
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
                    # It was for nothing: that was somebody else's chance.
                    self._wake()
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
        # Not at once: whoever rings is in the middle of a change, and many rings in one turn are one look.
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
        # What looks may have rung or stopped it meanwhile: that stands.
        if at < math.inf and self._timer is None and not self._is_stopped:
            self._timer, self.at = call_at(at, self._on_timer), at


class Deadline(msgspec.Struct, eq=False):
    """One block of code that ends at a moment: a context manager that raises `TimeoutError`.

    Attributes:
        loop: Where the block runs.
        since: When it was started, on that loop's clock.
        at: When it is over, likewise.
        task: Of the block, while it is entered.
        timer: Of its own.
        is_over: Whether it has ended the block.
        cancelling: How often the task was cancelled before.
    """

    loop: asyncio.AbstractEventLoop
    since: float = 0.0
    at: float = math.inf
    task: asyncio.Task[object] | None = None
    timer: asyncio.TimerHandle | None = None
    is_over: bool = False
    cancelling: int = 0

    def __enter__(self) -> None:
        self.task = task = asyncio.current_task(self.loop)
        if task is None:
            raise RuntimeError("a deadline is entered outside of a task")
        self.cancelling = task.cancelling()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        task, self.task = self.task, None
        if task is None:
            raise RuntimeError("a deadline is left that was not entered")
        if self.timer is not None:
            self.timer.cancel()
        # Who is cancelled once more than by us is cancelled by the caller too, and that is what the block ends with.
        if self.is_over and task.uncancel() <= self.cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def age(self) -> float:
        """Seconds since it was started."""
        return self.loop.time() - self.since

    def left(self) -> float:
        """Seconds until its moment."""
        return self.at - self.loop.time()

    def on_due(self) -> None:
        """Its moment has come. One that was missed ends nothing that has its answer: that is taken in first."""
        if self.loop.time() <= self.at + _LATE:
            self.expire()
        elif self.task is not None:
            self.timer = self.loop.call_later(_ARRIVED, self.expire)

    def expire(self) -> None:
        """End the block, if it is not over."""
        if self.task is not None and not self.is_over:
            self.is_over = True
            self.task.cancel()


class Deadlines:
    """Gives timeouts in whichever event loop runs.

    Args:
        usual: The length in seconds of those that share a timer. Any other length has a timer of its own; None stands
            for ever, and needs none.
    """

    __slots__ = ("_line", "_loop", "_timer", "_usual")

    def __init__(self, usual: float | None) -> None:
        self._usual = usual
        self._loop: asyncio.AbstractEventLoop | None = None
        self._line: deque[Deadline] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def start(self, seconds: float | None) -> Deadline:
        """Return a timeout that counts from now; enter it at once.

        Raises:
            ConfigurationError: No event loop of asyncio's runs here.
        """
        loop = running_loop()
        now = loop.time()
        if seconds is None:
            return Deadline(loop, now)
        deadline = Deadline(loop, now, now + seconds)
        if seconds != self._usual:
            deadline.timer = loop.call_at(deadline.at, deadline.on_due)
            return deadline
        if loop is not self._loop:
            # The loop before this one has ended, or its timer finds that it is not the one that is served.
            self._loop, self._line, self._timer = loop, deque(), None
        line = self._line
        # Requests end about in the order in which they began: so the line stays about as long as what is in flight.
        # One that was started and not entered looks as if it had ended: hence "at once" above.
        while line and line[0].task is None:
            line.popleft()
        line.append(deadline)
        if self._timer is None:
            self._timer = loop.call_at(deadline.at, self._on_timer, loop)
        return deadline

    def _on_timer(self, loop: asyncio.AbstractEventLoop) -> None:
        """End what is due, and come back for the first that is not."""
        if loop is not self._loop:
            return
        self._timer = None
        now = loop.time()
        while self._line and (self._line[0].task is None or self._line[0].at <= now + _EARLY):
            self._line.popleft().on_due()
        if self._line:
            self._timer = loop.call_at(self._line[0].at, self._on_timer, loop)
