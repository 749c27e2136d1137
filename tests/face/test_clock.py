"""One clock for what outlives an event loop; who sleeps on it and what wakes them; and many timeouts on one timer.

Whose turn it is among workers who would all do the same is one's at a time. Each deadline ends at its own moment, and
means what `asyncio.timeout` means.
"""

import asyncio
import math
import random
import socket
import time
from collections.abc import Awaitable, Callable
from types import SimpleNamespace

import looptime
import pytest

from kallglot_async import _clock
from kallglot_async._clock import Alarm, Baton, Deadlines, Watch

pytestmark = pytest.mark.looptime

# How long the machine runs shifts the clock, and with it how the sums of floats are rounded.
since_boot = pytest.mark.parametrize("since_boot", [0.0, 344.3094512730001, 1e5 / 3.0, 1e8 / 7.0])


@pytest.mark.untraced
@since_boot
async def test_who_sleeps_until_a_moment_comes_to_it(since_boot, monkeypatch):
    """Also where the rest is less than the loop's clock can tell apart, and while virtual time stands still."""
    monkeypatch.setattr(_clock, "_latest", type(None))
    monkeypatch.setitem(_clock._shift, asyncio.get_running_loop(), since_boot)
    luck = random.Random(7)
    for _ in range(2_000):
        moment, turns = _clock.now() + luck.choice([1e-14, 1e-9, 0.05, luck.random()]), 0
        while _clock.now() < moment:
            await _clock.sleep_until(moment)
            turns += 1
            assert turns <= 3
        assert _clock.now() < moment + 1e-5


@pytest.mark.looptime(False)
def test_a_clock_that_is_frozen_for_all_but_asyncio_goes_on(monkeypatch):
    """As freezegun does it where it is told to leave asyncio alone: waits would never end."""

    async def seconds():
        began = _clock.now()
        await asyncio.sleep(0.01)
        return _clock.now() - began

    monkeypatch.setattr(_clock, "time", SimpleNamespace(monotonic=lambda: 7.0))
    assert asyncio.run(seconds()) > 0


@pytest.mark.looptime(False)
def test_a_clock_that_is_replaced_on_the_loop_alone_counts():
    """As some virtual clocks of other people's tests do it, while the loop's class is asyncio's own."""

    async def main():
        loop = asyncio.get_running_loop()
        began = loop.time()
        loop.time = lambda: began + ahead
        ahead = 0.0
        before, ahead = _clock.now(), 1000.0
        return _clock.now() - before

    loop = asyncio.SelectorEventLoop()
    try:
        assert loop.run_until_complete(main()) == pytest.approx(1000.0, abs=1.0)
    finally:
        loop.close()


async def in_turn(turn: Baton, act: Callable[[], Awaitable[None]]) -> None:
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
        self.turn = Baton()
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


class Hasty(looptime.make_event_loop_class(asyncio.SelectorEventLoop)):
    """Fires a timer 1.9 ms before its moment, and counts how many are set."""

    timers = 0

    def call_at(self, when, callback, *args, context=None):
        self.timers += 1
        early = 0.0019 if when - self.time() > 0.0019 else 0.0
        return super().call_at(when - early, callback, *args, context=context)


async def ended_at(
    deadlines: Deadlines, *, after: float = 0.0, works_for: float = 1_000.0, seconds: float | None = 10.0
) -> float:
    """Start after some seconds, work for some under a deadline, and return the moment that is over."""
    loop = asyncio.get_running_loop()
    await asyncio.sleep(after)
    try:
        with deadlines.start(seconds):
            await asyncio.sleep(works_for)
    except TimeoutError:
        return loop.time()
    return -loop.time()


async def test_each_ends_at_its_own_moment():
    """Three that began at different times end 10 s after they began."""
    deadlines = Deadlines(10.0)
    moments = await asyncio.gather(*(ended_at(deadlines, after=after) for after in (0.0, 3.0, 3.5)))
    assert moments == pytest.approx([10.0, 13.0, 13.5], abs=0.01)


async def test_one_that_is_over_in_time_is_left_alone_and_ends_nobody_else():
    """The first is done after 4 s; the second still ends at its own deadline."""
    deadlines = Deadlines(10.0)
    moments = await asyncio.gather(ended_at(deadlines, works_for=4.0), ended_at(deadlines, after=5.0))
    assert moments == pytest.approx([-4.0, 15.0], abs=0.01)


async def test_three_milliseconds_are_a_moment_of_their_own():
    """What is due a little later is not ended with what is due now."""
    deadlines = Deadlines(10.0)
    first, second = await asyncio.gather(ended_at(deadlines), ended_at(deadlines, after=0.003))
    assert (first, second) == pytest.approx((10.0, 10.003), abs=0.0005)


@pytest.mark.looptime(False)
def test_a_timer_that_a_loop_fires_early_is_not_set_again():
    """Up to two milliseconds before its moment a deadline is met: one timer for it, and none for what is left."""
    loop = Hasty()
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        assert runner.run(ended_at(Deadlines(10.0))) == pytest.approx(9.9981)
        assert loop.timers == 2  # the sleep, and the deadline


async def test_a_line_that_ran_empty_starts_again():
    """After a pause longer than the deadline the next one counts from its own start."""
    deadlines = Deadlines(10.0)
    assert await ended_at(deadlines, works_for=1.0) == pytest.approx(-1.0)
    assert await ended_at(deadlines, after=20.0) == pytest.approx(31.0, abs=0.01)


async def test_another_length_has_a_timer_of_its_own():
    """A shorter one that begins later ends first, one that is over in time ends nobody, and None never ends."""
    deadlines = Deadlines(10.0)
    moments = await asyncio.gather(
        ended_at(deadlines),
        ended_at(deadlines, after=2.0, seconds=3.0),
        ended_at(deadlines, works_for=4.0, seconds=5.0),
        ended_at(deadlines, works_for=40.0, seconds=None),
    )
    assert moments == pytest.approx([10.0, 5.0, -4.0, -40.0], abs=0.01)
    assert await ended_at(deadlines, seconds=0.0) == pytest.approx(40.0, abs=0.01)


async def test_a_cancellation_from_outside_wins_over_a_deadline_that_has_passed():
    """Both come in one turn of the loop: the block ends cancelled, as the caller asked."""
    task = asyncio.create_task(ended_at(Deadlines(10.0)))
    await asyncio.sleep(0)
    asyncio.get_running_loop().call_at(10.0, task.cancel)
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_error_of_the_block_comes_out_as_it_is():
    """Only a cancellation by the deadline itself becomes a timeout."""
    with pytest.raises(ZeroDivisionError), Deadlines(10.0).start(10.0):
        raise ZeroDivisionError


async def test_what_is_over_is_not_kept():
    """A million requests in turn leave one entry in the line, not a million."""
    deadlines = Deadlines(10.0)
    for _ in range(1_000):
        with deadlines.start(10.0):
            pass
    assert len(deadlines._line) == 1


@pytest.mark.looptime(False)
def test_another_event_loop_starts_with_an_empty_line():
    """What a loop that is gone left behind ends nobody in the next one."""
    deadlines = Deadlines(0.02)

    async def abandon() -> None:
        task = asyncio.create_task(asyncio.Event().wait())
        deadlines.start(0.02).__enter__()
        task.cancel()

    asyncio.run(abandon())
    assert asyncio.run(ended_at(deadlines, seconds=0.02)) > 0.0


@pytest.mark.looptime(False)
@pytest.mark.parametrize("seconds", [0.1, 0.2])
@pytest.mark.parametrize("is_answered", [True, False])
def test_what_arrived_while_the_loop_stood_still_is_taken_in(seconds, is_answered):
    """Its deadline was missed, not its answer. Where there is none, it ends at once all the same."""

    async def main():
        loop, (ours, theirs) = asyncio.get_running_loop(), socket.socketpair()
        ours.setblocking(False)

        def stand_still():
            if is_answered:
                theirs.send(b"x")
            time.sleep(0.6)

        with ours, theirs:
            loop.call_soon(stand_still)
            try:
                with Deadlines(0.1).start(seconds):
                    return await loop.sock_recv(ours, 1)
            except TimeoutError:
                return loop.time()

    loop = asyncio.new_event_loop()
    try:
        began = loop.time()
        got = loop.run_until_complete(main())
    finally:
        loop.close()
    assert got == b"x" if is_answered else got < began + 0.9
