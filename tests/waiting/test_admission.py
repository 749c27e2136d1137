"""Who may request an analysis, and when: nothing is paid for whose end nobody could see."""

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import looptime
import pytest
from support.wire_faults import Fault

from kallglot_async import Analysis, KallglotClient, KallglotError, RateLimit, RateLimitedError, RequestTimeoutError
from kallglot_async._core.api.answers import RateFigures
from kallglot_async._core.limit.ticket import Urgency
from kallglot_async._waiting.admission import Admission
from kallglot_async._wire.limiter import Lane, RateLimiter
from kallglot_async.emulator import Emulator, Latency

pytestmark = pytest.mark.looptime
A: dict[str, Any] = {"analyses": ["summary"]}
SLOW = (30, 60.0)  # thirty requests a minute: those of fifteen analyses

Call = Callable[[KallglotClient, str], Coroutine[Any, Any, Analysis]]


async def analyze(client: KallglotClient, session: str) -> Analysis:
    return await client.analyze(session, **A)


async def create_and_wait(client: KallglotClient, session: str) -> Analysis:
    return await client.wait((await client.analyses.create(session, **A)).id)


@asynccontextmanager
async def running(*, options: dict[str, Any] | None = None, **settings: Any) -> AsyncIterator[Any]:
    settings = {"rate_limit": SLOW, "latency": Latency.uniform(22.0, 30.0), "seed": 7, "epoch": 1.8e9 + 1.3} | settings
    async with (
        Emulator(**settings) as emulator,
        KallglotClient(emulator.api_key, base_url=emulator.base_url, **(options or {})) as client,
    ):
        yield emulator, client
        assert (client.rate_limit.in_flight, client.rate_limit.waiting) == (0, 0)


def announced(limit: int = 60, remaining: int = 59, resets_in: float = 60.0) -> Lane:
    """Return a lane that one answer has described."""
    lane = RateLimiter().lane("key", "analysis")
    ticket = lane.try_acquire(Urgency.DIRECT)
    assert ticket is not None
    lane.answered(ticket, RateFigures(limit, remaining, 1_800_000_000.0, resets_in))
    return lane


async def start(*coroutines: Coroutine[Any, Any, Any]) -> list[asyncio.Task[Any]]:
    """Start tasks and let each run to its first wait."""
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    for _ in range(3):
        await asyncio.sleep(0)
    return tasks


def done(tasks: list[asyncio.Task[Any]]) -> list[bool]:
    return [task.done() for task in tasks]


@pytest.mark.untraced
@pytest.mark.parametrize("call", [analyze, create_and_wait])
async def test_of_more_calls_than_the_limit_serves_none_is_paid_for_in_vain(call: Call) -> None:
    """Whoever cannot be served is told, and has nothing to pay; all that the limit can serve is served."""
    async with running() as (emulator, client):
        ended = await asyncio.gather(*(call(client, f"sess_{place}") for place in range(120)), return_exceptions=True)
        served = [analysis for analysis in ended if isinstance(analysis, Analysis)]
        assert len(served) == len(emulator.analyses())
        assert {type(error) for error in ended if isinstance(error, BaseException)} == {RateLimitedError}
        assert all(entry.status != 429 for entry in emulator.journal)
        minutes = asyncio.get_running_loop().time() // 60
        assert len(served) >= 15 * minutes


async def test_a_batch_takes_as_long_as_the_limit_needs_for_two_requests_each() -> None:
    """None is lost, and hardly a poll finds an analysis running."""
    async with running() as (emulator, client):
        outcomes = await client.analyze_many([f"sess_{place}" for place in range(60)], **A)
        assert not outcomes.errors
        assert len(emulator.analyses()) == 60
        assert asyncio.get_running_loop().time() < 60.0 * 5


async def test_who_only_requests_is_held_back_by_nobody() -> None:
    """Nobody here waits for what was requested: only the limit counts."""
    async with running() as (emulator, client):
        await asyncio.gather(*(client.analyses.create(f"sess_{place}", **A) for place in range(30)))
        assert asyncio.get_running_loop().time() < 2.0
        assert len(emulator.analyses()) == 30


async def test_waits_for_what_others_have_requested_hold_back_nobody() -> None:
    """Only for what was requested here a client answers."""
    async with running(rate_limit=(600, 60.0), latency=Latency.uniform(60.0, 60.0)) as (emulator, client):
        waits = await start(*(client.wait(id) for id in emulator.seed_analyses(400)))
        await asyncio.sleep(1.0)
        async with asyncio.timeout(5.0):
            await client.analyses.create("sess_1", **A)
        for wait in waits:
            wait.cancel()
        await asyncio.wait(waits)


async def test_the_time_in_line_is_the_requests_and_some_of_it_is_kept_for_the_answer() -> None:
    """A request that is cut off as it was sent would be paid for, and nobody knew of it."""
    async with running(latency=Latency.uniform(200.0, 200.0)) as (emulator, client):
        others = await start(*(client.analyze(f"sess_{place}", **A) for place in range(40)))
        await asyncio.sleep(20.0)
        paid, began = len(emulator.analyses()), asyncio.get_running_loop().time()
        assert paid < 30
        with pytest.raises(RateLimitedError) as caught:
            await client.analyses.create("sess_late", timeout=20.0, **A)
        assert asyncio.get_running_loop().time() - began == pytest.approx(15.0)
        assert len(emulator.analyses()) == paid
        error = caught.value
        assert (error.operation, error.limit, error.status) == ("analyses.create", 30, 429)
        assert error.reset == error.retry_after
        assert "analyses.create waited 15 s for its turn" in str(error)
        for other in others:
            other.cancel()
        await asyncio.wait(others)


async def test_no_longer_than_max_rate_wait_is_waited() -> None:
    """As for a slot of the limit itself."""
    async with running(latency=Latency.uniform(200.0, 200.0)) as (_, client):
        others = await start(*(client.analyze(f"sess_{place}", **A) for place in range(40)))
        await asyncio.sleep(20.0)
        began = asyncio.get_running_loop().time()
        with pytest.raises(RateLimitedError, match="2 s for its turn"):
            await client.with_options(max_rate_wait=2.0).analyze("sess_late", **A)
        assert asyncio.get_running_loop().time() - began == pytest.approx(2.0)
        for other in others:
            other.cancel()
        await asyncio.wait(others)


@pytest.mark.parametrize("call", [analyze, create_and_wait])
async def test_a_call_that_ends_leaves_its_place_however_it_ends(call: Call) -> None:
    """Refused, timed out, cancelled in line or in the middle: whoever comes next finds none of them."""
    async with running(rate_limit=(600, 60.0), faults=[Fault(kind="status", status=400, times=5)]) as (_, client):
        tasks = await start(*(call(client, f"sess_{place}") for place in range(300)))
        await asyncio.sleep(5.0)
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert sum(isinstance(error, KallglotError) for error in ended) == 5
        assert client._hub.admission.under_way == 0
        assert (await call(client, "sess_next")).is_complete


async def test_a_batch_that_ends_leaves_all_its_places() -> None:
    """By its time, or cancelled, with requests out and sessions still to come."""
    async with running(latency=Latency.uniform(200.0, 200.0)) as (_, client):
        outcomes = await client.analyze_many([f"sess_{place}" for place in range(40)], total_timeout=70.0, **A)
        assert len(outcomes.errors) == 40
        assert client._hub.admission.under_way == 0
        [task] = await start(client.analyze_many([f"sess_{place}" for place in range(40)], **A))
        await asyncio.sleep(5.0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert client._hub.admission.under_way == 0


async def test_the_time_of_a_place_begins_as_its_session_comes() -> None:
    """A source that gives nothing for an hour keeps nobody from anything."""

    async def late() -> AsyncIterator[str]:
        yield "sess_first"
        await asyncio.sleep(3600.0)
        yield "sess_last"

    async with running() as (_, client):
        [batch] = await start(client.analyze_many(late(), **A))
        await asyncio.sleep(1000.0)
        assert all(await asyncio.gather(*(client.analyze(f"sess_{place}", **A) for place in range(15))))
        assert not (await batch).errors


async def test_places_are_given_in_the_order_of_the_line() -> None:
    """Each as one is left; who has given up is passed over."""
    lane, admission = announced(limit=60, remaining=59), Admission()
    places = [await admission.enter(lane, 120.0) for _ in range(54)]  # 0.45 of 120 s at one a second
    tasks = await start(*(admission.enter(lane, 120.0) for _ in range(4)))
    assert done(tasks) == [False] * 4
    tasks[1].cancel()
    for place in places[:2]:
        place.leave()
        place.leave()  # twice is fine
        for _ in range(5):
            await asyncio.sleep(0)
    assert done(tasks) == [True, True, True, False]
    newcomer = await start(admission.enter(lane, 120.0))
    places[2].leave()
    for _ in range(5):
        await asyncio.sleep(0)
    assert done(tasks + newcomer) == [True, True, True, True, False]
    newcomer[0].cancel()


async def test_what_the_window_holds_is_kept_for_those_who_end_before_it_renews() -> None:
    """Until the window has renewed, or they have been seen."""
    lane, admission = announced(limit=60, remaining=5, resets_in=30.0), Admission()
    held = [admission.hold(20.0) for _ in range(5)]
    tasks = await start(*(admission.enter(lane, 120.0) for _ in range(2)))
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
        await Admission().enter(lane, 1.0)


async def test_those_without_an_end_of_their_own_keep_to_that_of_the_others() -> None:
    """A request of which nobody said how long it may take takes no more than the longest of the rest."""
    lane, admission = announced(limit=60, remaining=59), Admission()
    held = [admission.hold(lasts) for lasts in (60.0, None, *[40.0] * 25)]  # 0.45 of 60 s
    [task] = await start(admission.enter(lane, None))
    assert not task.done()
    held[-1].leave()
    await asyncio.wait_for(task, 0.1)


@pytest.mark.looptime(False)
def test_a_loop_that_is_gone_leaves_nobody_in_line() -> None:
    """Neither its places nor who stood in line there keep a call on the next one waiting."""
    lanes: list[Lane] = []
    admission = Admission()

    async def left_behind() -> None:
        lanes.append(lane := announced(limit=60, remaining=59))
        for _ in range(54):
            await admission.enter(lane, 120.0)
        stuck.extend(await start(*(admission.enter(lane, 120.0) for _ in range(3))))
        assert done(stuck) == [False] * 3

    stuck: list[asyncio.Task[Any]] = []
    loop = looptime.new_event_loop()
    loop.run_until_complete(left_behind())
    loop.close()
    with asyncio.Runner(loop_factory=looptime.new_event_loop) as runner:
        runner.run(asyncio.wait_for(admission.enter(lanes[0], 120.0), 0.1))
    assert admission.under_way == 1
    for task in stuck:  # else each says that it was destroyed while it was pending
        task._log_destroy_pending = False  # type: ignore[attr-defined]
    stuck.clear()
    gc.collect()
    assert admission.under_way == 1


async def test_a_ceiling_of_ones_own_counts_as_the_servers_limit() -> None:
    """The lower of the two is what can be looked after."""
    async with running(rate_limit=(6000, 60.0), options={"rate_limit": RateLimit(30, per=60.0)}) as (emulator, client):
        ended = await asyncio.gather(
            *(client.analyze(f"sess_{place}", **A) for place in range(90)), return_exceptions=True
        )
        assert len(emulator.analyses()) == sum(isinstance(analysis, Analysis) for analysis in ended)


async def test_an_analyze_that_is_cut_off_while_it_was_sent_has_its_key() -> None:
    """As before there was a line: it may have been carried out."""
    async with running(faults=[Fault(kind="hang")]) as (_, client):
        with pytest.raises(RequestTimeoutError) as caught:
            await client.with_options(timeout=10.0).analyze("sess_1", timeout=10.0, **A)
        assert caught.value.idempotency_key
