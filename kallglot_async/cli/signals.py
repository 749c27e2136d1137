"""Signals that ask a command to end, and what becomes of its coroutine, or of what it does without one, then."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

__all__ = ["handled", "run_until_signal", "signals_interrupt"]

# Of a service manager or a `docker stop`, and of a terminal that is closed. Windows has no SIGHUP.
_ENDING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))


@contextmanager
def handled(callback: Callable[[int], object], *, with_ctrl_c: bool = False) -> Iterator[None]:
    """Have the running loop call back with the number of each signal that asks to end.

    One that is ignored stays ignored: under `nohup` a terminal may close.
    """
    loop = asyncio.get_running_loop()
    numbers = [*_ENDING, *([signal.SIGINT] if with_ctrl_c else [])]
    taken = []
    for number in numbers:
        if signal.getsignal(number) is signal.SIG_IGN:
            continue
        try:
            loop.add_signal_handler(number, callback, number)
        except (NotImplementedError, ValueError, RuntimeError):
            # A loop that handles none, as on Windows, or not the main thread: the default stays.
            continue
        taken.append(number)
    try:
        yield
    finally:
        for number in taken:
            loop.remove_signal_handler(number)


def run_until_signal(command: Coroutine[Any, Any, int]) -> int:
    """Run a command's coroutine and return its exit code. Each of the signals cancels it, as Ctrl-C does.

    A second signal is not waited for by anybody: it ends the process at once.

    Raises:
        KeyboardInterrupt: The command was cancelled, and has ended. Its argument is the signal's number; after
            Ctrl-C it has none.
    """
    came: list[int] = []

    async def run() -> int:
        task = asyncio.current_task()

        def end(number: int) -> None:
            came.append(number)
            # From here on a second one has its default effect, and ends the process.
            asyncio.get_running_loop().remove_signal_handler(number)
            if task is not None:
                task.cancel()

        with handled(end):
            return await command

    running = run()
    try:
        return asyncio.run(running)
    except asyncio.CancelledError:
        if came:
            raise KeyboardInterrupt(came[0]) from None
        raise
    finally:
        # Ctrl-C may come before either has begun, and Python would warn that it was never awaited.
        running.close()
        command.close()


@contextmanager
def signals_interrupt() -> Iterator[None]:
    """Let each of the signals interrupt what runs without a loop, as Ctrl-C does, so that it can put things in order.

    Raises:
        KeyboardInterrupt: In the middle of whatever was going on. Its argument is the signal's number.
    """

    def end(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt(number)

    before = {number: signal.getsignal(number) for number in _ENDING}
    taken = [number for number, handler in before.items() if handler is not signal.SIG_IGN]
    for number in taken:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, before[number])
