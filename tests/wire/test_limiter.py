"""The limiter's shell: queues, hand-offs, cancellation, one timer. All under a virtual clock."""

import asyncio

import pytest
from support.tasks import start

from kallglot_async import RateLimit, RateLimitedError, RateLimiter, _clock
from kallglot_async._core.api.answers import RateFigures
from kallglot_async._core.limit.places import LONG
from kallglot_async._core.limit.ticket import Urgency

DIRECT, AHEAD, PACED = Urgency
pytestmark = pytest.mark.looptime


def unrestricted():
    """Return a lane whose server has answered without announcing a limit."""
    lane = RateLimiter().lane("key", "analysis")
    lane.answered(lane.try_acquire(DIRECT), None)
    return lane


def announced(limit=60, remaining=59, resets_in=60.0, ceiling=None):
    """Return a lane that one answer has described."""
    lane = RateLimiter(ceiling).lane("key", "analysis")
    lane.answered(lane.try_acquire(DIRECT), RateFigures(limit, remaining, 1_800_000_000.0, resets_in))
    return lane


async def test_the_first_answer_opens_the_lane_for_those_who_wait():
    """One request goes out alone; the answer lets everybody through that its figure covers."""
    lane = RateLimiter().lane("key", "analysis")
    first = await lane.acquire(DIRECT)
    tasks = await start(*(lane.acquire(DIRECT) for _ in range(3)))
    assert [task.done() for task in tasks] == [False] * 3
    lane.answered(first, RateFigures(60, 2, 1_800_000_000.0, 60.0))
    await asyncio.sleep(0)
    assert [task.done() for task in tasks] == [True, True, False]
    tasks[2].cancel()


async def test_direct_requests_overtake_polls():
    """A person who comes last is served first."""
    lane = announced(remaining=0, resets_in=10.0)
    order = []

    async def take(name, urgency):
        ticket = await lane.acquire(urgency)
        order.append(name)
        lane.answered(ticket, RateFigures(60, 1, 1_800_000_060.0, 60.0))

    tasks = await start(take("paced", PACED), take("ahead", AHEAD), take("direct", DIRECT))
    await asyncio.gather(*tasks)
    assert order == ["direct", "paced", "ahead"]


@pytest.mark.untraced
async def test_polls_are_served_strictly_in_turn():
    """A thousand polls leave in the order in which they came."""
    lane = unrestricted()
    lane.refused_for(lane.try_acquire(DIRECT), None, 5.0)
    order = []

    async def take(number):
        lane.answered(await lane.acquire(PACED), None)
        order.append(number)

    await asyncio.gather(*(take(number) for number in range(1000)))
    assert order == list(range(1000))


async def test_a_refusal_pauses_everybody_until_the_time_the_server_named():
    """Nobody sends before it, whatever his urgency."""
    lane = unrestricted()
    started = _clock.now()
    lane.refused_for(lane.try_acquire(DIRECT), None, 30.0)
    sent_at = []

    async def take(urgency):
        ticket = await lane.acquire(urgency)
        sent_at.append(ticket.sent_at)
        lane.answered(ticket, None)

    await asyncio.gather(*map(take, Urgency))
    assert min(sent_at) >= started + 30.0


async def test_a_refusal_without_advice_pauses_for_thirty_seconds():
    """The documentation's own fallback."""
    lane = unrestricted()
    assert lane.refused_for(lane.try_acquire(DIRECT), None, None) == 30.0


async def test_after_a_pause_a_single_request_tests_the_water():
    """Of a hundred who wait for a refused window, one goes; the rest follow its answer."""
    lane = announced(remaining=5)
    lane.refused_for(lane.try_acquire(DIRECT), RateFigures(60, 0, 1_800_000_000.0, 60.0), 30.0)
    tasks = await start(*(lane.acquire(DIRECT) for _ in range(100)))
    await asyncio.sleep(70.0)
    assert sum(task.done() for task in tasks) == 1
    probe = next(task.result() for task in tasks if task.done())
    lane.answered(probe, RateFigures(200, 199, 1_800_000_060.0, 60.0))
    await asyncio.sleep(0)
    assert all(task.done() for task in tasks)


async def test_a_cancelled_waiter_leaves_no_hole():
    """Whoever waits behind it is served when it would have been."""
    lane = announced(remaining=1)
    spent = await lane.acquire(DIRECT)
    first, second = await start(lane.acquire(DIRECT), lane.acquire(DIRECT))
    first.cancel()
    await asyncio.sleep(0)
    lane.answered(spent, RateFigures(60, 1, 1_800_000_000.0, 60.0))
    await asyncio.sleep(0)
    assert second.done()
    assert lane.state().waiting == 0


async def test_a_waiter_cancelled_in_the_turn_of_its_grant_passes_the_slot_on():
    """The slot was charged already; the next in line gets it in the same turn."""
    lane = announced(remaining=1)
    spent = await lane.acquire(DIRECT)
    first, second = await start(lane.acquire(DIRECT), lane.acquire(DIRECT))
    lane.answered(spent, RateFigures(60, 1, 1_800_000_000.0, 60.0))  # grants `first`, which has not run yet
    first.cancel()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert first.cancelled()
    assert second.done()
    assert lane.in_flight == 1


async def test_cancelling_everybody_leaves_the_lane_as_it_was():
    """No slot, no place in a queue and no request in flight is lost."""
    lane = announced(remaining=3)
    held = [await lane.acquire(DIRECT) for _ in range(3)]
    tasks = await start(*(lane.acquire(urgency) for urgency in Urgency for _ in range(50)))
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for ticket in held:
        lane.unsent(ticket)
    assert (lane.in_flight, lane.state().waiting, lane.state().remaining) == (0, 0, 3)


async def test_a_wait_beyond_the_deadline_fails_at_once():
    """What is known to be too late is said now, with the time after which it would work."""
    lane = announced(remaining=0, resets_in=60.0)
    with pytest.raises(RateLimitedError) as caught:
        await lane.acquire(DIRECT, until=_clock.now() + 5.0)
    assert caught.value.retry_after == pytest.approx(61.2)
    assert caught.value.limit == 60
    assert caught.value.reset == pytest.approx(60.0)


async def test_a_ceiling_is_shared_by_all_lanes_of_a_limiter():
    """Two keys under one limiter together stay below its limit in any stretch."""
    limiter = RateLimiter(RateLimit(10, per=10.0))
    lanes = [limiter.lane(key, "analysis") for key in ("a", "b")]
    sent = []

    async def work(lane):
        for _ in range(20):
            ticket = await lane.acquire(DIRECT)
            sent.append(_clock.now())
            lane.answered(ticket, None)

    await asyncio.gather(*map(work, lanes))
    sent.sort()
    # A hair less than the period: the clock's own rounding is not the limiter's.
    assert all(later - earlier >= 10.0 - 1e-6 for earlier, later in zip(sent, sent[10:], strict=False))
    assert sent[-1] - sent[0] == pytest.approx(30.0, abs=0.1)


async def test_lanes_of_other_groups_and_keys_do_not_pause_each_other():
    """The documentation gives each endpoint group its own budget."""
    limiter = RateLimiter()
    refused = limiter.lane("a", "analysis")
    refused.refused_for(refused.try_acquire(DIRECT), None, 30.0)
    assert limiter.lane("a", "recordings").try_acquire(DIRECT) is not None
    assert limiter.lane("b", "analysis").try_acquire(DIRECT) is not None
    assert limiter.lane("a", "analysis") is refused


async def test_a_server_without_headers_is_slowed_only_around_what_it_refused():
    """Unrestricted at first; then a little below what it accepted."""
    lane = unrestricted()
    assert lane.state().rate is None
    for _ in range(60):
        lane.answered(lane.try_acquire(DIRECT), None)
        await asyncio.sleep(0.1)
    lane.refused_for(lane.try_acquire(DIRECT), None, 1.0)
    assert lane.state().rate == pytest.approx(9.5, rel=0.03)


async def test_the_state_tells_what_is_known():
    """Everything a dashboard wants, as of now."""
    lane = announced(limit=60, remaining=40, resets_in=30.0)
    held = await lane.acquire(DIRECT)
    await asyncio.sleep(10.0)
    state = lane.state()
    assert (state.limit, state.remaining, state.in_flight, state.waiting, state.sent) == (60, 39, 1, 0, 2)
    assert state.resets_in == pytest.approx(20.0)
    assert state.refused == 0
    lane.lost(held)


def test_a_lane_serves_the_next_event_loop():
    """What a loop that is gone left behind, waiters and requests in flight, blocks nobody."""
    limiter = RateLimiter()

    async def leave_a_mess():
        lane = limiter.lane("key", "analysis")
        await lane.acquire(DIRECT)
        asyncio.create_task(lane.acquire(DIRECT))  # noqa: RUF006  # left behind on purpose
        await asyncio.sleep(0)

    async def come_later():
        lane = limiter.lane("key", "analysis")
        lane.answered(await asyncio.wait_for(lane.acquire(DIRECT), 1), None)
        return lane.in_flight

    asyncio.run(leave_a_mess())
    assert asyncio.run(come_later()) == 0


@pytest.mark.parametrize("figures", [RateFigures(60, 0, 1_800_000_050.0, 50.0), None])
async def test_who_waits_in_line_is_told_at_once_what_an_answer_says(figures):
    """Nobody knew a limit when they came; the first answer puts their turn beyond what is of use to some of them."""
    lane = RateLimiter(RateLimit(1, per=50.0)).lane("key", "analysis")
    first = await lane.acquire(DIRECT)
    began = _clock.now()
    late = [lane.acquire(DIRECT, until=began + seconds) for seconds in (30.0, 20.0)]
    tasks = await start(*late, lane.acquire(DIRECT, until=began + 300.0))
    lane.answered(first, figures)
    for task in tasks[:2]:
        with pytest.raises(RateLimitedError) as failure:
            await task
        assert failure.value.retry_after >= 50.0
    assert _clock.now() == began
    await tasks[2]
    assert _clock.now() - began >= 50.0


async def test_who_comes_second_to_a_slot_is_told_once_it_is_used():
    """It would have been in time for one."""
    lane = announced(remaining=0, resets_in=10.0, ceiling=RateLimit(1, per=60.0))
    began = _clock.now()
    tasks = await start(*(lane.acquire(DIRECT, until=began + 100.0) for _ in range(2)))
    lane.answered(await tasks[0], RateFigures(60, 59, 1_800_000_070.0, 60.0))
    with pytest.raises(RateLimitedError):
        await tasks[1]
    assert _clock.now() - began < 100.0


async def test_a_pause_is_as_long_as_the_server_named_it_however_it_was_spread():
    """The longest that a server of so many at once may name is not one too long by what luck adds."""
    lane = unrestricted()
    served, refused = [lane.try_acquire(DIRECT) for _ in range(5)], lane.try_acquire(DIRECT)
    assert lane.refused_for(refused, None, LONG, luck=0.9) > LONG
    await asyncio.sleep(0.5)
    for ticket in served:
        lane.answered(ticket, None)
    alone = await lane.acquire(DIRECT)
    await asyncio.sleep(0.5)
    lane.answered(alone, None)
    assert lane.state().rate == pytest.approx(4 / 0.5)


@pytest.mark.parametrize("urgency", Urgency)
async def test_a_slot_that_is_given_back_was_nobodys(urgency):
    """Neither a direct request's nor a poll's: by the two, what there is for analyses is reckoned."""
    lane = announced()
    before = lane.sent, lane.direct
    lane.unsent(lane.try_acquire(urgency))
    assert (lane.sent, lane.direct) == before
