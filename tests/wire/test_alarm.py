"""Who sleeps and what wakes them; whose turn it is among workers who would all do the same."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable

import pytest

from kallglot_async import _clock
from kallglot_async._alarm import Alarm, Turn, Watch

pytestmark = pytest.mark.looptime


async def in_turn(turn: Turn, act: Callable[[], Awaitable[None]]) -> None:
    """Do it as a worker does."""
    await turn.wait()
    turn.is_taken = True
    try:
        await act()
    finally:
        turn.pass_on()


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

        await in_turn(self.turn, act)


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
        await in_turn(it.turn, fail)
    await it.take("next")
    assert it.taken == ["next"]


def virtual_time():
    return round(asyncio.get_running_loop().time(), 3)


class TestAlarm:
    """Under a virtual clock, which begins at zero with each test."""

    async def test_wakes_at_its_moment(self):
        """A sleeper wakes when its moment comes."""
        await Alarm().sleep_until(_clock.now() + 5.0)
        assert virtual_time() == 5.0

    async def test_moment_that_is_past_does_not_sleep(self):
        """A moment that has passed lets others run once, and is over."""
        await Alarm().sleep_until(_clock.now() - 5.0)
        assert virtual_time() == 0.0

    async def test_ring_wakes_the_sleeper_early(self):
        """A ring ends the sleep at once."""
        alarm = Alarm()
        asyncio.get_running_loop().call_later(2.0, alarm.ring)
        await alarm.sleep_until(_clock.now() + 5.0)
        assert virtual_time() == 2.0

    async def test_without_a_moment_only_a_ring_wakes(self):
        """No moment is for ever."""
        alarm = Alarm()
        asyncio.get_running_loop().call_later(100_000.0, alarm.ring)
        await alarm.sleep_until()
        assert virtual_time() == 100_000.0

    async def test_ring_with_nobody_asleep_is_kept(self):
        """What happened between two sleeps is not slept through."""
        alarm = Alarm()
        alarm.ring()
        await alarm.sleep_until()
        assert virtual_time() == 0.0

    async def test_rings_are_kept_as_one(self):
        """Many rings before a sleep wake it once; the next sleep is a whole one."""
        alarm = Alarm()
        alarm.ring()
        alarm.ring()
        await alarm.sleep_until()
        await alarm.sleep_until(_clock.now() + 3.0)
        assert virtual_time() == 3.0

    async def test_rings_in_the_turn_of_waking_are_one(self):
        """A ring for a sleeper that is being woken already does not cut the next sleep short."""
        alarm = Alarm()
        asyncio.get_running_loop().call_later(1.0, lambda: (alarm.ring(), alarm.ring()))
        await alarm.sleep_until()
        await alarm.sleep_until(_clock.now() + 3.0)
        assert virtual_time() == 4.0

    async def test_timer_of_an_earlier_sleep_wakes_nobody(self):
        """A sleep that was cut short leaves no timer behind."""
        alarm = Alarm()
        asyncio.get_running_loop().call_later(1.0, alarm.ring)
        await alarm.sleep_until(_clock.now() + 2.0)
        await alarm.sleep_until(_clock.now() + 10.0)
        assert virtual_time() == 11.0

    async def test_cancelled_sleep_leaves_the_alarm_usable(self):
        """A cancellation ends the sleep and nothing else."""
        alarm = Alarm()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1.0):
                await alarm.sleep_until(_clock.now() + 5.0)
        await alarm.sleep_until(_clock.now() + 2.0)
        assert virtual_time() == 3.0

    async def test_ring_in_the_turn_of_a_cancellation_is_kept(self):
        """A ring that came together with a cancellation is there for the next sleep."""
        alarm = Alarm()
        sleeper = asyncio.ensure_future(alarm.sleep_until())
        await asyncio.sleep(1.0)
        alarm.ring()
        sleeper.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sleeper
        await alarm.sleep_until()
        assert virtual_time() == 1.0


class TestWatch:
    """One timer over deadlines."""

    async def test_it_tells_when_it_looks_by_itself(self):
        """Who has to be seen to before that rings it, and nobody else needs to."""
        looked: list[float] = []

        def look() -> float:
            looked.append(virtual_time())
            return _clock.now() + 5.0 if len(looked) < 3 else math.inf

        watch = Watch(look, lambda _: None)
        assert watch.at == math.inf
        watch.ring()
        assert watch.at == -math.inf
        await asyncio.sleep(1.0)
        assert round(watch.at - _clock.now(), 3) == 4.0
        await asyncio.sleep(10.0)
        assert looked == [0.0, 5.0, 10.0]
        assert watch.at == math.inf
