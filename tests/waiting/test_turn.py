"""Whose turn it is among workers who would all do the same."""

from __future__ import annotations

import asyncio

import pytest

from kallglot_async._waiting.turn import Turn

pytestmark = pytest.mark.looptime


class Rig:
    """A turn, who has had it, and a way to let go of it."""

    def __init__(self) -> None:
        self.turn = Turn()
        self.taken: list[str] = []
        self.let_go = asyncio.Event()

    async def take(self, name: str, *, until_let_go: bool = False) -> None:
        async def act() -> None:
            self.taken.append(name)
            if until_let_go:
                await self.let_go.wait()

        await self.turn.run(act)


async def test_a_free_turn_is_for_whoever_comes_first() -> None:
    """Who was woken has not got it yet: another may take it in the same turn of the loop, and the first looks again."""
    it = Rig()

    async def take_twice() -> None:
        await it.take("who had it", until_let_go=True)
        await it.take("who had it")

    tasks = [asyncio.create_task(act) for act in (take_twice(), it.take("who waited"))]
    await asyncio.sleep(0)
    it.let_go.set()
    await asyncio.gather(*tasks)
    assert it.taken == ["who had it", "who had it", "who waited"]


@pytest.mark.parametrize("is_let_go_first", [True, False])
async def test_a_worker_that_is_cancelled_leaves_the_turn_to_the_next(is_let_go_first: bool) -> None:
    """Before it is woken or in that very turn of the loop: nobody sleeps on beside a free turn."""
    it = Rig()
    tasks = [
        asyncio.create_task(it.take(name, until_let_go=name == "holder")) for name in ("holder", "first", "second")
    ]
    await asyncio.sleep(0)
    for act in (it.let_go.set, tasks[1].cancel) if is_let_go_first else (tasks[1].cancel, it.let_go.set):
        act()
        await asyncio.sleep(0)
    await tasks[2]
    assert it.taken == ["holder", "second"]
    assert tasks[1].cancelled()


async def test_a_turn_that_ends_with_an_error_is_free_again() -> None:
    """The error is the caller's, and the next one's turn has come."""

    async def fail() -> None:
        raise ZeroDivisionError

    it = Rig()
    with pytest.raises(ZeroDivisionError):
        await it.turn.run(fail)
    await it.take("next")
    assert it.taken == ["next"]
