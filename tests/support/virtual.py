"""What the tests of the invariants share: a virtual loop for each example, and what must be left after a call."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any, TypeVar

import anyio
import looptime
import pytest

from kallglot_async import KallglotClient, KallglotError

__all__ = [
    "CANCELLERS",
    "IDLE_TURNS",
    "cancelled_by",
    "client_tasks",
    "leaving_nothing",
    "now",
    "run",
    "stand_still",
    "turns",
    "virtual_loop",
]

IDLE_TURNS = 8
"""How often a virtual clock looks for input before it moves, where looptime looks 42 times.

The loop has nothing to run then, and what one socket of a process sends another can read at once: in 50,000 steps of
the clock on a busy machine, looking again found something twice. Nine in ten turns of these tests were such looks.
"""

T = TypeVar("T")


def run(main: Callable[[], Coroutine[Any, Any, T]], *, debug: bool = False, virtual: bool = True) -> T:
    """Run `main` in a fresh event loop: no example of a property sees another's leftovers.

    Its clock is virtual, but where something runs in a thread, which such a clock cannot wait for.
    """
    factory = virtual_loop if virtual else asyncio.new_event_loop
    with asyncio.Runner(loop_factory=factory, debug=debug) as runner:
        return runner.run(main())


def virtual_loop() -> asyncio.AbstractEventLoop:
    """Return a new event loop with a virtual clock."""
    return looptime.new_event_loop(noop_cycles=IDLE_TURNS)


def now() -> float:
    """Return the running loop's seconds."""
    return asyncio.get_running_loop().time()


def stand_still(seconds: float) -> None:
    """Let so many seconds of the virtual clock pass in which nothing runs, as on a machine that slept."""
    loop: Any = asyncio.get_running_loop()
    loop.setup_looptime(start=loop.time() + seconds, noop_cycles=IDLE_TURNS)


async def turns(count: int) -> None:
    """Let the loop turn so often."""
    for _ in range(count):
        await asyncio.sleep(0)


def client_tasks() -> set[asyncio.Task[Any]]:
    """Return every task but those in which a server serves a connection."""
    served = ("RequestHandler.start", "RawServer._serve")
    return {task for task in asyncio.all_tasks() if not any(name in repr(task.get_coro()) for name in served)}


@contextlib.asynccontextmanager
async def leaving_nothing(client: KallglotClient) -> AsyncIterator[None]:
    """What the block starts is gone at its end: tasks, limiter slots, places in the queue, ids waited for."""
    before = client_tasks()
    yield
    await turns(3)  # connections that were cut off are closed by callbacks
    assert client_tasks() == before
    state = client.rate_limit
    assert (state.in_flight, state.waiting, client.stats.waiting_for) == (0, 0, 0)


CANCELLERS = ("task", "scope", "timeout", "wait_for", "group")


async def cancelled_by(canceller: str, call: Callable[[], Awaitable[Any]], moment: Callable[[], Awaitable[Any]]) -> str:
    """Run `call`, cancel it in one of five ways once `moment` has passed, and say how it ended.

    Returns:
        "cancelled", or "returned" and "raised" for a call that ended by itself. What else a canceller should
        see, a cancellation that was swallowed above all, fails here.
    """
    if canceller == "task":
        return await _by_task(call, moment)
    if canceller == "scope":
        with anyio.CancelScope() as scope:
            return await _beside(moment, scope.cancel, call)
        assert scope.cancelled_caught
        return "cancelled"
    if canceller == "group":
        return await _by_group(call, moment)
    bounded = _within if canceller == "timeout" else _waited_for
    try:
        return await bounded(call, moment)
    except TimeoutError:  # the caller's own clock ran out: what the library raises, `_ended` has caught
        return "cancelled"


async def _by_task(call: Callable[[], Awaitable[Any]], moment: Callable[[], Awaitable[Any]]) -> str:
    task = asyncio.ensure_future(_ended(call))
    await moment()
    accepted = task.cancel()
    await asyncio.wait([task])
    assert task.cancelled() == accepted
    return "cancelled" if accepted else task.result()


async def _by_group(call: Callable[[], Awaitable[Any]], moment: Callable[[], Awaitable[Any]]) -> str:
    ends = []

    async def note() -> None:
        ends.append(await _ended(call))

    async def fail() -> None:
        await moment()
        raise LookupError

    with pytest.raises(ExceptionGroup) as failed:
        async with asyncio.TaskGroup() as group:
            group.create_task(note())
            group.create_task(fail())
    assert [type(error) for error in failed.value.exceptions] == [LookupError]
    return ends[0] if ends else "cancelled"


async def _within(call: Callable[[], Awaitable[Any]], moment: Callable[[], Awaitable[Any]]) -> str:
    async with asyncio.timeout(None) as bound:
        return await _beside(moment, lambda: bound.reschedule(now()), call)


async def _waited_for(call: Callable[[], Awaitable[Any]], moment: Callable[[], Awaitable[Any]]) -> str:
    """Measure the moment first: `asyncio.wait_for` takes seconds only."""
    started = now()
    await moment()
    return await asyncio.wait_for(_ended(call), now() - started)


async def _beside(
    moment: Callable[[], Awaitable[Any]], cancel: Callable[[], object], call: Callable[[], Awaitable[Any]]
) -> str:
    async def later() -> None:
        await moment()
        cancel()

    canceller = asyncio.create_task(later())
    try:
        return await _ended(call)
    finally:
        canceller.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.shield(asyncio.wait([canceller]))


async def _ended(call: Callable[[], Awaitable[Any]]) -> str:
    try:
        await call()
    except KallglotError:
        return "raised"
    return "returned"
