"""`Deadlines`: many timeouts of one length on one timer.

Requests of a client nearly all have the same timeout, so their deadlines come in the order in which they began and
need no heap: a line and one timer for the first of it. A timer and an `asyncio.Timeout` of its own for each request
cost about a tenth of the request (`python -m benchmarks request`). Expiry means what it means there: a cancellation of
the caller's own wins over a deadline that has passed. Nothing is awaited at either end, so `with` does.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from types import TracebackType

from kallglot_async import _clock

__all__ = ["Deadline", "Deadlines"]

_EARLY = 0.002  # seconds by which a loop may fire a timer before its moment (uvloop counts in milliseconds)


class Deadline:
    """One block of code that ends at a moment: a context manager that raises `TimeoutError`."""

    __slots__ = ("_cancelling", "_loop", "_since", "at", "is_over", "task", "timer")

    def __init__(self, loop: asyncio.AbstractEventLoop, since: float = 0.0, at: float = math.inf) -> None:
        self._loop = loop
        self._since = since
        self.at: float = at  # on its loop's clock
        self.task: asyncio.Task[object] | None = None  # while it is entered
        self.timer: asyncio.TimerHandle | None = None  # of its own
        self.is_over: bool = False  # whether it has ended the block

    def __enter__(self) -> None:
        self.task = task = asyncio.current_task(self._loop)
        if task is None:
            raise RuntimeError("a deadline is entered outside of a task")
        self._cancelling = task.cancelling()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        task, self.task = self.task, None
        if task is None:
            raise RuntimeError("a deadline is left that was not entered")
        if self.timer is not None:
            self.timer.cancel()
        # Who is cancelled once more than by us is cancelled by the caller too, and that is what the block ends with.
        if self.is_over and task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def age(self) -> float:
        """Seconds since it was started."""
        return self._loop.time() - self._since

    def left(self) -> float:
        """Seconds until its moment."""
        return self.at - self._loop.time()

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
        loop = _clock.running_loop()
        now = loop.time()
        if seconds is None:
            return Deadline(loop, now)
        deadline = Deadline(loop, now, now + seconds)
        if seconds != self._usual:
            deadline.timer = loop.call_at(deadline.at, deadline.expire)
            return deadline
        if loop is not self._loop:
            # The loop before this one has ended, or its timer finds that it is not the one that is served.
            self._loop, self._line, self._timer = loop, deque(), None
        line = self._line
        # Requests end about in the order in which they began: so the line stays about as long as what is in flight.
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
            self._line.popleft().expire()
        if self._line:
            self._timer = loop.call_at(self._line[0].at, self._on_timer, loop)
