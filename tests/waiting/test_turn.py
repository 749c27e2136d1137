"""Whose turn it is among workers who would all do the same."""

from __future__ import annotations

import asyncio

import pytest

from kallglot_async._waiting.turn import Turn

pytestmark = pytest.mark.looptime


async def taking(turn: Turn, taken: list[str], name: str) -> None:
    await turn.take()
    taken.append(name)


async def test_a_free_turn_is_for_whoever_comes_first() -> None:
    """Who was woken has not got it yet: another may take it in the same turn of the loop, and the first looks again."""
    turn, taken = Turn(), list[str]()
    await turn.take()
    waiting = asyncio.create_task(taking(turn, taken, "who waited"))
    await asyncio.sleep(0)
    turn.give()
    await taking(turn, taken, "who came")
    await asyncio.sleep(0.1)
    assert taken == ["who came"]
    turn.give()
    await waiting
    assert taken == ["who came", "who waited"]


@pytest.mark.parametrize("is_woken_first", [True, False])
async def test_a_worker_that_is_cancelled_leaves_the_turn_to_the_next(is_woken_first: bool) -> None:
    """Before it is woken or in that very turn of the loop: nobody sleeps on beside a free turn."""
    turn, taken = Turn(), list[str]()
    await turn.take()
    first, second = (asyncio.create_task(taking(turn, taken, name)) for name in ("first", "second"))
    await asyncio.sleep(0)
    for act in (turn.give, first.cancel) if is_woken_first else (first.cancel, turn.give):
        act()
    await second
    assert taken == ["second"]
    assert first.cancelled()
