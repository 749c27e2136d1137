"""When one more analysis may be requested, and whose turn it is. All under a virtual clock."""

import asyncio
import gc
from typing import Any

import looptime
import pytest
from support.tasks import done, start

from kallglot_async import RateLimiter
from kallglot_async._core.api.answers import RateFigures
from kallglot_async._core.limit.ticket import Urgency
from kallglot_async._wire.limiter import Lane

pytestmark = pytest.mark.looptime


def announced(limit: int = 60, remaining: int = 59, resets_in: float = 60.0) -> Lane:
    """Return a lane that one answer has described."""
    lane = RateLimiter().lane("key", "analysis")
    ticket = lane.try_acquire(Urgency.DIRECT)
    assert ticket is not None
    lane.answered(ticket, RateFigures(limit, remaining, 1_800_000_000.0, resets_in))
    return lane


async def test_places_are_given_in_the_order_of_the_line() -> None:
    """Each as one is left; who has given up is passed over."""
    admission = announced(limit=60, remaining=59).admission
    places = [await admission.enter(120.0) for _ in range(54)]  # 0.45 of 120 s at one a second
    tasks = await start(*(admission.enter(120.0) for _ in range(4)))
    assert done(tasks) == [False] * 4
    tasks[1].cancel()
    for place in places[:2]:
        place.leave()
        place.leave()  # twice is fine
        for _ in range(5):
            await asyncio.sleep(0)
    assert done(tasks) == [True, True, True, False]
    newcomer = await start(admission.enter(120.0))
    places[2].leave()
    for _ in range(5):
        await asyncio.sleep(0)
    assert done(tasks + newcomer) == [True, True, True, True, False]
    newcomer[0].cancel()


async def test_what_the_window_holds_is_kept_for_those_who_end_before_it_renews() -> None:
    """Until the window has renewed, or they have been seen."""
    lane = announced(limit=60, remaining=5, resets_in=30.0)
    admission = lane.admission

    async def ask() -> None:
        await admission.enter(120.0)
        assert lane.try_acquire(Urgency.DIRECT) is not None

    held = [admission.hold(32.0) for _ in range(5)]
    tasks = await start(ask(), ask())
    assert done(tasks) == [False, False]
    held[0].leave()
    for _ in range(5):
        await asyncio.sleep(0)
    assert done(tasks) == [True, False]
    await asyncio.sleep(31.0)
    assert done(tasks) == [True, True]


async def test_one_that_nobody_follows_waits_for_nobody() -> None:
    """With no place taken there is one, whatever is left of the limit: its slot is the limiter's business."""
    lane = announced(limit=60, remaining=0)
    async with asyncio.timeout(0.0):
        await lane.admission.enter(1.0)


async def test_one_of_which_nobody_knows_how_long_it_lasts_needs_as_much_as_the_others() -> None:
    """Each needs one request in its time, and all no more than 0.45 of the rate."""
    admission = announced(limit=60, remaining=59).admission
    held = [admission.hold(60.0) for _ in range(27)]
    [task] = await start(admission.enter(None))
    assert not task.done()
    held[-1].leave()
    await asyncio.wait_for(task, 0.1)


async def test_while_nobody_waits_each_that_is_requested_needs_as_much_as_a_usual_wait() -> None:
    """Whoever requests many may wait for all of them next; where it turns out that waits have for ever, nothing."""
    admission = announced(limit=64, remaining=63).admission
    tasks = await start(*(admission.enter(None) for _ in range(60)))
    assert sum(done(tasks)) == 57  # 0.45 of 120 s, at 64 a minute
    admission.hold(None)
    tasks[0].result().leave()
    for _ in range(200):
        await asyncio.sleep(0)
    assert all(done(tasks))


async def test_what_has_for_ever_needs_nothing() -> None:
    """However many there are, up to a bound."""
    admission = announced(limit=60, remaining=59).admission
    for _ in range(1000):
        admission.hold(None)
    async with asyncio.timeout(0.0):
        await admission.enter(120.0)


async def test_before_the_first_answer_only_few_are_let_in() -> None:
    """Nobody knows of how many the end can be seen; who waits looks again each second, as nobody may tell."""
    lane = RateLimiter().lane("key", "analysis")
    tasks = await start(*(lane.admission.enter(120.0) for _ in range(10)))
    assert sum(done(tasks)) == 4
    ticket = lane.try_acquire(Urgency.DIRECT)
    assert ticket is not None
    lane.answered(ticket, None)
    await asyncio.sleep(1.1)
    assert all(done(tasks))


@pytest.mark.looptime(False)
def test_a_loop_that_is_gone_leaves_nobody_in_line() -> None:
    """Neither its places nor who stood in line there keep a call on the next one waiting."""
    lanes: list[Lane] = []

    async def left_behind() -> None:
        lanes.append(announced(limit=60, remaining=59))
        admission = lanes[0].admission
        for _ in range(54):
            await admission.enter(120.0)
        stuck.extend(await start(*(admission.enter(120.0) for _ in range(3))))
        assert done(stuck) == [False] * 3

    stuck: list[asyncio.Task[Any]] = []
    loop = looptime.new_event_loop()
    loop.run_until_complete(left_behind())
    loop.close()
    with asyncio.Runner(loop_factory=looptime.new_event_loop) as runner:
        runner.run(asyncio.wait_for(lanes[0].admission.enter(120.0), 0.1))
    assert lanes[0].admission.under_way == 1
    for task in stuck:  # else each says that it was destroyed while it was pending
        task._log_destroy_pending = False  # type: ignore[attr-defined]
    stuck.clear()
    gc.collect()
    assert lanes[0].admission.under_way == 1
