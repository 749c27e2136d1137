"""Who may request an analysis, and when: nothing is paid for whose end nobody could see."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
from support import clients
from support.tasks import start
from support.wire_faults import Fault

from kallglot_async import (
    Analysis,
    KallglotClient,
    KallglotError,
    RateLimit,
    RateLimitedError,
    RateLimiter,
    RequestTimeoutError,
    WaitTimeoutError,
)
from kallglot_async.emulator import Emulator, Latency

pytestmark = pytest.mark.looptime
A: dict[str, Any] = {"analyses": ["summary"]}
SLOW = (30, 60.0)  # thirty requests a minute: those of fifteen analyses

Call = Callable[[KallglotClient, str], Coroutine[Any, Any, Analysis]]


async def analyze(client: KallglotClient, session: str) -> Analysis:
    return await client.analyze(session, **A)


async def create_and_wait(client: KallglotClient, session: str) -> Analysis:
    return await client.wait((await client.analyses.create(session, **A)).id)


# A limit of a minute whose window begins in the middle of nothing round, and analyses as they are documented.
running = partial(clients.running, rate_limit=SLOW, latency=Latency.uniform(22.0, 30.0), epoch=1.8e9 + 1.3)


@asynccontextmanager
async def crowded() -> AsyncIterator[tuple[Emulator, KallglotClient]]:
    """Forty calls for analyses that take longer than any wait; the limit has no room for more."""
    async with running(latency=Latency.uniform(200.0, 200.0)) as (emulator, client):
        others = await start(*(client.analyze(f"sess_{place}", **A) for place in range(40)))
        await asyncio.sleep(20.0)
        yield emulator, client
        await cancelled(others)


async def cancelled(tasks: list[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


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


async def test_requests_that_all_come_before_the_first_wait_are_let_in_as_waits_can_be_served() -> None:
    """Each has time to stand in line; let in at once, they would take every slot that their waits need."""

    async def patiently(session: str) -> Analysis:
        return await client.wait((await client.analyses.create(session, timeout=600.0, **A)).id)

    async with running() as (emulator, client):
        ended = await asyncio.gather(*(patiently(f"sess_{place}") for place in range(60)))
        assert len(ended) == len(emulator.analyses()) == 60
        assert asyncio.get_running_loop().time() < 60.0 * 5


@pytest.mark.untraced
async def test_what_others_and_direct_requests_take_of_the_limit_is_not_counted_on() -> None:
    """Three processes with a key between them, each asked for more than it can serve, and with reads of its own."""
    lost, served, loop = 0, 0, asyncio.get_running_loop()

    async def call(client: KallglotClient, session: str) -> None:
        nonlocal lost, served
        try:
            await analyze(client, session)
            served += 1
        except WaitTimeoutError:
            lost += 1
        except RateLimitedError:
            pass

    async def process(name: str, emulator: Emulator) -> None:
        known = emulator.seed_analyses(1)[0]
        async with clients.client_of(emulator, random=lambda: 0.5) as client, asyncio.TaskGroup() as group:
            for place in range(90):
                group.create_task(call(client, f"sess_{name}x{place}"))
                if place % 3 == 0:
                    group.create_task(client.analyses.retrieve(known, timeout=None))
                await asyncio.sleep(4.0)

    async with running(rate_limit=(60, 60.0)) as (emulator, _), asyncio.TaskGroup() as group:
        for name in "abc":
            group.create_task(process(name, emulator))
    assert served >= 0.4 * loop.time(), (served, lost)  # of one each two seconds, some of which go to the reads
    assert lost <= 0.1 * served, (served, lost)


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
        await cancelled(waits)


async def test_the_time_in_line_is_the_requests_and_some_of_it_is_kept_for_the_answer() -> None:
    """A request that is cut off as it was sent would be paid for, and nobody knew of it."""
    async with crowded() as (emulator, client):
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


async def test_no_longer_than_max_rate_wait_is_waited() -> None:
    """As for a slot of the limit itself."""
    async with crowded() as (_, client):
        began = asyncio.get_running_loop().time()
        with pytest.raises(RateLimitedError, match="2 s for its turn"):
            await client.with_options(max_rate_wait=2.0).analyze("sess_late", **A)
        assert asyncio.get_running_loop().time() - began == pytest.approx(2.0)


@pytest.mark.parametrize("call", [analyze, create_and_wait])
async def test_a_call_that_ends_leaves_its_place_however_it_ends(call: Call) -> None:
    """Refused, timed out, cancelled in line or in the middle: whoever comes next finds none of them."""
    async with running(Fault(kind="status", status=400, times=5), rate_limit=(600, 60.0)) as (_, client):
        tasks = await start(*(call(client, f"sess_{place}") for place in range(300)))
        await asyncio.sleep(5.0)
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert sum(isinstance(error, KallglotError) for error in ended) == 5
        assert client._pipeline.lane("analysis").admission.under_way == 0
        assert (await call(client, "sess_next")).is_complete


async def test_a_batch_that_ends_leaves_all_its_places() -> None:
    """By its time, or cancelled, with requests out and sessions still to come."""
    async with running(latency=Latency.uniform(200.0, 200.0)) as (_, client):
        outcomes = await client.analyze_many([f"sess_{place}" for place in range(40)], total_timeout=70.0, **A)
        assert len(outcomes.errors) == 40
        assert client._pipeline.lane("analysis").admission.under_way == 0
        [task] = await start(client.analyze_many([f"sess_{place}" for place in range(40)], **A))
        await asyncio.sleep(5.0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert client._pipeline.lane("analysis").admission.under_way == 0


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


async def test_a_ceiling_of_ones_own_counts_as_the_servers_limit() -> None:
    """The lower of the two is what can be looked after."""
    async with (
        running(rate_limit=(6000, 60.0)) as (emulator, _),
        clients.client_of(emulator, rate_limit=RateLimit(30, per=60.0)) as client,
    ):
        ended = await asyncio.gather(
            *(client.analyze(f"sess_{place}", **A) for place in range(90)), return_exceptions=True
        )
        assert len(emulator.analyses()) == sum(isinstance(analysis, Analysis) for analysis in ended)


async def test_an_analyze_that_is_cut_off_while_it_was_sent_has_its_key() -> None:
    """As before there was a line: it may have been carried out."""
    async with running(Fault(kind="hang")) as (_, client):
        with pytest.raises(RequestTimeoutError) as caught:
            await client.with_options(timeout=10.0).analyze("sess_1", timeout=10.0, **A)
        assert caught.value.idempotency_key


@pytest.mark.untraced
async def test_clients_that_share_a_limiter_share_what_it_can_look_after() -> None:
    """Also where each call has a client of its own."""
    limiter = RateLimiter()
    async with Emulator(rate_limit=SLOW, latency=Latency.uniform(22.0, 30.0), seed=7, epoch=1.8e9 + 1.3) as emulator:

        async def call(place: int) -> Analysis:
            async with KallglotClient(emulator.api_key, base_url=emulator.base_url, rate_limit=limiter) as client:
                return await client.analyze(f"sess_{place}", **A)

        ended = await asyncio.gather(*(call(place) for place in range(60)), return_exceptions=True)
        assert len(emulator.analyses()) == sum(isinstance(analysis, Analysis) for analysis in ended) >= 15


async def test_waits_that_last_keep_nobody_from_what_they_do_not_need() -> None:
    """A place needs one request in the time that it has: one of an hour hardly any."""
    async with running(latency=Latency.uniform(22.0, 30.0)) as (emulator, client):
        created = [await client.analyses.create(f"sess_{place}", **A) for place in range(20)]
        await asyncio.sleep(120.0)
        emulator.add_fault(Fault(kind="status", status=503, operation="analyses.retrieve"))
        waits = await start(*(client.wait(analysis.id, timeout=3600.0) for analysis in created))
        waits += await start(*(client.wait(created[0].id, timeout=100.0) for _ in range(50)))
        await asyncio.sleep(1.0)
        async with asyncio.timeout(5.0):
            await client.analyses.create("sess_next", **A)
        await cancelled(waits)


async def test_a_burst_that_a_long_window_holds_is_not_held_back() -> None:
    """Its rate is far below, and it has enough for all of them."""
    async with running(rate_limit=(1000, 3600.0), epoch=1.8e9 + 100.0) as (emulator, client):
        ended = await asyncio.gather(*(client.analyze(f"sess_{place}", **A) for place in range(100)))
        assert len(ended) == len(emulator.analyses()) == 100


async def test_a_batch_that_has_its_reason_to_end_waits_for_no_room() -> None:
    """A 402 ends it at once, whatever others have under way."""
    async with running(latency=Latency.uniform(100.0, 100.0)) as (emulator, client):
        others = await start(*(client.analyze(f"sess_{place}", **A) for place in range(9)))
        await asyncio.sleep(10.0)
        emulator.add_fault(Fault(kind="status", status=402))
        began = asyncio.get_running_loop().time()
        outcomes = await client.analyze_many([f"sess_{place}" for place in range(100, 140)], **A)
        assert asyncio.get_running_loop().time() - began < 60.0
        assert len(outcomes.errors) == 40
        await cancelled(others)
