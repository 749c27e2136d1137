"""Waits in hands that do the unexpected: leaving early, sharing a stream, sources that hang, raise or are cancelled."""

import asyncio
import gc
import os
import re
import signal
import threading
import traceback
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from kallglot_async import (
    Analysis,
    AuthenticationError,
    ConfigurationError,
    IdSourceError,
    KallglotClient,
    RateLimit,
    RateLimitedError,
    WaitTimeoutError,
)
from kallglot_async._core.limit.ticket import Urgency
from kallglot_async._waiting.call import WaitCall
from kallglot_async._waiting.poller import Poller
from kallglot_async.emulator import Emulator, Fault, Latency

pytestmark = pytest.mark.looptime
KEY = "sk_test_emulator"


@asynccontextmanager
async def running(**settings: Any) -> AsyncIterator[tuple[Emulator, KallglotClient]]:
    options = {"plan": "unlimited", "latency": Latency.uniform(5.0, 9.0), "seed": 7} | settings
    async with Emulator(**options) as emulator, KallglotClient(KEY, base_url=emulator.base_url) as client:
        yield emulator, client
        assert (client.rate_limit.in_flight, client.stats.waiting_for) == (0, 0)


async def until_asked(emulator: Emulator) -> None:
    """Let the loop run until the first request has arrived."""
    async with asyncio.timeout(5.0):
        while not emulator.journal.total:  # noqa: ASYNC110  # the server runs in this loop
            await asyncio.sleep(0)


async def test_awaiting_after_the_last_outcome_cancels_nobody() -> None:
    """The end of the stream is not the end of the block."""
    async with running() as (emulator, client):
        async with client.as_completed(emulator.seed_analyses(3)) as finished:
            assert len([outcome async for outcome in finished]) == 3
            await asyncio.sleep(1.0)
        assert asyncio.current_task().cancelling() == 0  # type: ignore[union-attr]


async def test_leaving_a_block_at_once_lets_go_of_its_ids() -> None:
    """A later wait for the same id is its own poller."""
    async with running() as (emulator, client):
        [id] = emulator.seed_analyses(1)
        async with client.as_completed([id]):
            pass
        assert client.stats.waiting_for == 0
        assert (await client.wait(id)).is_complete


async def test_an_id_that_comes_as_its_block_is_left_belongs_to_nobody() -> None:
    """The source answers in the very turn of leaving: a later wait for that id is its own poller."""
    async with running() as (emulator, client):
        [id] = emulator.seed_analyses(1)
        told = asyncio.get_running_loop().create_future()

        async def ids() -> AsyncIterator[str]:
            yield await told

        async with client.as_completed(ids()):
            await asyncio.sleep(0.1)
            told.set_result(id)
        assert client.stats.waiting_for == 0
        assert (await client.wait(id, timeout=60.0)).is_complete


@pytest.mark.parametrize("count", [1, 3])
async def test_a_wait_that_is_over_is_held_by_nothing(count: int) -> None:
    """No timer of it stays in the loop, which would keep all that it knew."""
    async with running() as (emulator, client):
        assert not (await client.wait_many(emulator.seed_analyses(count))).errors
        await asyncio.sleep(0)  # until then CPython 3.13 keeps what was thrown into this task to end it, and its frames
        gc.collect()
        assert [
            one for one in gc.get_objects() if isinstance(one, WaitCall) and one._pipeline is client._pipeline
        ] == []


async def test_what_is_ready_is_taken_once() -> None:
    """All of it together, without waiting for any; what is taken so does not come again."""
    async with running() as (emulator, client):
        ids = emulator.seed_analyses(3)
        async with client.as_completed(ids) as finished:
            await asyncio.sleep(60.0)
            assert {outcome.id for outcome in finished.take_ready()} == set(ids)
            assert finished.take_ready() == []
            assert [outcome async for outcome in finished] == []


async def test_taking_what_is_ready_makes_room_for_more() -> None:
    """Also for who never asks for the next one: polling stops where so many lie undelivered, then goes on."""
    async with running() as (emulator, client):
        async with client.as_completed(emulator.seed_analyses(9), max_ready=3) as finished:
            taken = []
            for _ in range(3):
                await asyncio.sleep(20.0)
                taken.append(len(finished.take_ready()))
        assert taken == [3, 3, 3]


async def test_a_stream_outside_its_block_says_how_it_is_used() -> None:
    """Neither hangs: before the block it is an error, after it there is nothing more."""
    async with running() as (emulator, client):
        call = client.as_completed(emulator.seed_analyses(1))
        with pytest.raises(ConfigurationError, match="async with"):
            await anext(aiter(call))
        async with call:
            pass
        assert [outcome async for outcome in call] == []
        with pytest.raises(ConfigurationError, match="entered before"):
            async with call:
                pass


@pytest.mark.untraced
async def test_several_tasks_may_share_one_stream() -> None:
    """Each outcome goes to one of them, and all end."""
    async with running() as (emulator, client):
        ids = emulator.seed_analyses(30)
        async with client.as_completed(ids) as finished:

            async def consume() -> list[str]:
                return [outcome.id async for outcome in finished]

            parts = await asyncio.gather(*(consume() for _ in range(4)))
        assert sorted(id for part in parts for id in part) == sorted(ids)


async def hanging(id: str) -> AsyncIterator[str]:
    yield id
    await asyncio.Event().wait()


async def test_an_idle_source_does_not_defeat_the_total_timeout() -> None:
    """The call ends at its time; what had settled is there."""
    async with running() as (emulator, client):
        [id] = emulator.seed_analyses(1)
        outcomes = await client.wait_many(hanging(id), total_timeout=20.0)
        assert [outcome.ok for outcome in outcomes] == [True]
        assert asyncio.get_running_loop().time() == pytest.approx(20.0, abs=0.1)


@pytest.mark.parametrize("call", ["wait_many", "retrieve_many"])
async def test_an_idle_source_does_not_hold_up_the_end_of_a_batch(call: str) -> None:
    """A 401 ends it, though the source could go on for ever."""
    async with running(faults=[Fault(kind="status", status=401)]) as (emulator, client):
        [id] = emulator.seed_analyses(1)
        start = client.wait_many if call == "wait_many" else client.analyses.retrieve_many
        outcomes = await start(hanging(id))
        assert [type(error) for error in outcomes.errors.values()] == [AuthenticationError]


@pytest.mark.parametrize("call", ["wait_many", "retrieve_many", "analyze_many"])
async def test_a_source_that_raises_cancellation_is_an_error_of_its_own(call: str) -> None:
    """It awaited something that was cancelled; nobody cancelled the batch."""

    async def broken() -> AsyncIterator[str]:
        yield "sess_1" if call == "analyze_many" else id
        future = asyncio.get_running_loop().create_future()
        future.cancel()
        await future

    async with running() as (emulator, client):
        [id] = emulator.seed_analyses(1)
        calls = {
            "wait_many": lambda: client.wait_many(broken()),
            "retrieve_many": lambda: client.analyses.retrieve_many(broken()),
            "analyze_many": lambda: client.analyze_many(broken(), analyses=["summary"]),
        }
        with pytest.raises(IdSourceError) as caught:
            await calls[call]()
        assert isinstance(caught.value.__cause__, asyncio.CancelledError)
        assert caught.value.outcomes is not None
        assert len(caught.value.outcomes) == 1


async def test_a_closed_session_of_the_callers_is_a_configuration_error() -> None:
    """As it is, for each id, and not inside a group."""
    async with Emulator() as emulator:
        session = aiohttp.ClientSession()
        await session.close()
        async with KallglotClient(KEY, base_url=emulator.base_url, session=session) as client:
            outcomes = await client.wait_many(emulator.seed_analyses(2))
            assert {type(error) for error in outcomes.errors.values()} == {ConfigurationError}


@pytest.mark.parametrize("host", ["a..b", "x" * 300, "\ud800"])
def test_a_host_that_cannot_exist_is_refused_before_any_request(host: str) -> None:
    """By name, and not as a problem of proxies."""
    with pytest.raises(ConfigurationError, match=r"host|URL"):
        KallglotClient(KEY, base_url=f"https://{host}/v1")


class Unshowable:
    """Has no repr."""

    def __repr__(self) -> str:
        raise RuntimeError("no")


@pytest.mark.parametrize("value", [10**5000, -(10**5000), Unshowable()], ids=["huge", "negative", "no repr"])
def test_what_cannot_be_shown_is_still_refused_clearly(value: Any) -> None:
    """A number too long to print, or an object that cannot be: the library's own error, naming the type."""
    for attempt in (
        lambda: KallglotClient(KEY, timeout=value),
        lambda: KallglotClient(KEY, max_in_flight=-value if value == 10**5000 else value),
        lambda: RateLimit(value),
    ):
        with pytest.raises(ConfigurationError):
            attempt()


@pytest.mark.parametrize("call", ["wait_many", "retrieve_many", "analyze_many"])
async def test_a_callback_that_is_no_function_is_refused_before_any_request(call: str) -> None:
    """Nothing was sent, and nothing paid for."""
    async with running() as (emulator, client):
        calls: dict[str, Any] = {
            "wait_many": lambda: client.wait_many(["ana_1"], on_outcome=3),  # type: ignore[arg-type]
            "retrieve_many": lambda: client.analyses.retrieve_many(["ana_1"], on_outcome=3),  # type: ignore[arg-type]
            "analyze_many": lambda: client.analyze_many(["sess_1"], on_outcome=3, analyses=["summary"]),  # type: ignore[call-overload]
        }
        with pytest.raises(ConfigurationError, match="on_outcome is a function"):
            await calls[call]()
        assert emulator.journal.total == 0


@pytest.mark.untraced
async def test_a_server_that_only_refuses_ends_every_call() -> None:
    """Refusals stop the clock of an id, but not for good."""
    async with running(faults=[Fault(kind="throttle", retry_after=1)]) as (emulator, client):
        ids = emulator.seed_analyses(3)
        outcomes = await client.wait_many(ids, timeout=20.0)
        assert {type(error) for error in outcomes.errors.values()} == {WaitTimeoutError}
        outcomes = await client.analyses.retrieve_many(ids, timeout=1.0)
        assert {type(error) for error in outcomes.errors.values()} == {RateLimitedError}
        assert asyncio.get_running_loop().time() < 600.0


@pytest.mark.slow
async def test_faults_beyond_the_retry_budget_lose_nobody() -> None:
    """Every fifth poll fails: when retries are used up, the next regular look does."""
    async with running(faults=[Fault(kind="status", status=503, rate=0.2)]) as (emulator, client):
        outcomes = await client.wait_many(emulator.seed_analyses(400))
        assert len(outcomes.analyses) >= 392  # three failures in a row end an id that was never seen: one in 125


@pytest.mark.looptime(False)
@pytest.mark.parametrize("way", ["cancel", "timeout"])
async def test_a_cancelled_call_shows_no_key_in_a_traceback_with_locals(way: str) -> None:
    """The frames of the transport hold the headers; they are not in the way of a cancellation."""
    async with Emulator(faults=[Fault(kind="hang")]) as emulator:
        [id] = emulator.seed_analyses(1)
        async with KallglotClient(KEY, base_url=emulator.base_url) as client:
            task = asyncio.create_task(client.analyses.retrieve(id, timeout=0.05 if way == "timeout" else None))
            await until_asked(emulator)
            if way == "cancel":
                task.cancel()
            with pytest.raises((asyncio.CancelledError, Exception)) as caught:
                await task
        lines = traceback.TracebackException.from_exception(caught.value, capture_locals=True).format()
        frames = [line for line in lines if "test_wait_edges" not in line]
        assert not any("Bearer" in line for line in frames)


@pytest.mark.looptime(False)
def test_two_loops_that_take_turns_share_one_limiter() -> None:
    """A call that waited in one loop and was cancelled holds up nobody in the other."""
    first, second = asyncio.new_event_loop(), asyncio.new_event_loop()
    emulator = Emulator(plan="unlimited", latency=Latency.immediate())

    async def queue_and_cancel(client: KallglotClient, id: str) -> None:
        await client.analyses.retrieve(id)
        queued = asyncio.create_task(client.analyses.retrieve(id))
        await asyncio.sleep(0)
        queued.cancel()
        await asyncio.gather(queued, return_exceptions=True)

    try:
        first.run_until_complete(emulator.start())
        client = KallglotClient(KEY, base_url=emulator.base_url, rate_limit=RateLimit(1, per=0.2))
        [id] = emulator.seed_analyses(1)
        first.run_until_complete(queue_and_cancel(client, id))
        lane = client._pipeline.lane("analysis")

        async def acquire() -> None:
            async with asyncio.timeout(5.0):
                lane.unsent(await lane.acquire(Urgency.DIRECT))

        second.run_until_complete(acquire())
        first.run_until_complete(client.aclose())
        first.run_until_complete(emulator.aclose())
    finally:
        first.close()
        second.close()


@pytest.mark.looptime(False)
@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
async def test_a_child_process_does_not_follow_its_parents_waits() -> None:
    """It polls for itself, in a loop of its own."""
    async with Emulator(
        adopt_unknown=True, latency=Latency.immediate(), faults=[Fault(kind="hang", times=1)]
    ) as emulator:
        client = KallglotClient(KEY, base_url=emulator.base_url)
        waiting = asyncio.create_task(client.wait("ana_1"))
        await until_asked(emulator)
        child = os.fork()
        if child == 0:
            asyncio._set_running_loop(None)
            signal.alarm(10)
            try:
                found = asyncio.run(client.wait("ana_1", timeout=8.0))
                os._exit(0 if found.is_complete else 1)
            except BaseException:
                os._exit(2)
        status = await asyncio.to_thread(os.waitpid, child, 0)
        assert os.waitstatus_to_exitcode(status[1]) == 0
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await client.aclose()


@pytest.mark.looptime(False)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # of what the closed loop left
def test_a_wait_follows_nobody_on_a_loop_that_is_closed() -> None:
    """The loop was closed with a wait pending; the next wait for the same id polls for itself."""
    client_loop = asyncio.new_event_loop()
    server = Emulator(adopt_unknown=True, latency=Latency.immediate(), faults=[Fault(kind="hang", times=1)])
    warnings.simplefilter("ignore", ResourceWarning)
    serving = threading.Thread(target=lambda: asyncio.run(serve(server, ready, done)))
    ready, done = threading.Event(), threading.Event()
    serving.start()
    assert ready.wait(10)
    try:
        client = KallglotClient(KEY, base_url=server.base_url)
        left = client_loop.create_task(client.wait("ana_1"))
        client_loop.run_until_complete(asyncio.sleep(0.05))
        client_loop.close()
        assert asyncio.run(finish(client)).is_complete
    finally:
        done.set()
        serving.join(10)
        del left, client
        gc.collect()  # here, and not in the middle of some other test


async def finish(client: KallglotClient) -> Analysis:
    async with client:
        return await client.wait("ana_1", timeout=8.0)


async def serve(server: Emulator, ready: threading.Event, done: threading.Event) -> None:
    async with server:
        ready.set()
        await asyncio.to_thread(done.wait)


async def test_what_a_timer_of_a_wait_raises_reaches_its_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    """The watch over deadlines has no task: its exception is the caller's, and the event loop hears of none."""
    heard: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: heard.append(context))
    async with running() as (emulator, client):
        call = client.as_completed(emulator.seed_analyses(3))
        monkeypatch.setattr(Poller, "next_end", lambda _, now: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            async with call:
                await anext(call)
    assert heard == []


@pytest.mark.parametrize("count", [1, 5, 60])
async def test_a_wait_costs_its_caller_one_task_more(count: int) -> None:
    """Deadlines are timers and a small collection is taken in at once: what is left is the worker that polls."""
    async with running(latency=Latency.uniform(5.0, 9.0)) as (emulator, client):
        ids = emulator.seed_analyses(count)
        served = {task for task in asyncio.all_tasks() if "RequestHandler" in repr(task)}
        before = len(asyncio.all_tasks() - served)
        async with client.as_completed(ids):
            assert len(asyncio.all_tasks()) - len(served) == before + 1


@pytest.mark.untraced
async def test_a_wait_for_one_id_polls_in_its_callers_own_task() -> None:
    """Thirty waits are thirty tasks: those of their callers."""
    async with running() as (emulator, client):
        ids = emulator.seed_analyses(30)
        before = len(asyncio.all_tasks())
        waits = [asyncio.create_task(client.wait(id)) for id in ids]
        await asyncio.sleep(0.5)
        served = [task for task in asyncio.all_tasks() if "RequestHandler" in repr(task)]
        assert len(asyncio.all_tasks()) - len(served) <= before + 30
        assert {analysis.id for analysis in await asyncio.gather(*waits)} == set(ids)


async def test_a_wait_for_one_id_takes_over_from_a_call_that_leaves() -> None:
    """It follows the block that polls the id, and polls itself once that has gone."""
    async with running() as (emulator, client):
        [id] = emulator.seed_analyses(1)
        async with client.as_completed([id]):
            following = asyncio.create_task(client.wait(id))
            await asyncio.sleep(0.5)
            assert emulator.journal.total == 1
        assert (await following).id == id
        assert emulator.journal.total >= 2


async def test_a_wait_for_one_id_ends_on_time_under_a_poll_that_hangs() -> None:
    """What waits in the caller's own task for an answer that never comes is let go of at the deadline."""
    async with running(faults=[Fault(kind="hang")]) as (emulator, client):
        started = asyncio.get_running_loop().time()
        with pytest.raises(WaitTimeoutError):
            await client.wait(emulator.seed_analyses(1)[0], timeout=3.0)
        assert asyncio.get_running_loop().time() - started == pytest.approx(3.0, abs=0.2)
        assert asyncio.current_task().cancelling() == 0  # type: ignore[union-attr]


@pytest.mark.parametrize(("retry_after", "refusals"), [(1, 12), (300, 1)])
async def test_a_wait_that_a_limit_ends_says_so(retry_after: int, refusals: int) -> None:
    """Refusals are no failures and no answers: that there were none is not all there is to say."""
    async with running(faults=[Fault(kind="throttle", retry_after=retry_after)]) as (emulator, client):
        with pytest.raises(WaitTimeoutError, match=f"polls refused for the rate limit: {refusals}") as caught:
            await client.wait(emulator.seed_analyses(1)[0], timeout=12.0)
        assert emulator.journal.total == refusals
        if retry_after == 300:
            assert caught.value.retry_after is not None
            assert f"allows the next poll in {caught.value.retry_after:.0f} s" in str(caught.value)


@pytest.mark.parametrize("is_lazy", [False, True])
async def test_a_generator_around_a_block_may_be_left_early(is_lazy: bool) -> None:
    """The loop closes it in a task of its own: that costs whoever took outcomes from it nothing."""
    async with running() as (emulator, client):
        ids = emulator.seed_analyses(10)

        async def outcomes() -> AsyncIterator[str]:
            async with client.as_completed(iter(ids) if is_lazy else ids) as finished:
                async for outcome in finished:
                    yield outcome.id

        async for _ in outcomes():
            break
        gc.collect()
        await asyncio.sleep(60.0)
        assert [task for task in asyncio.all_tasks() if "_waiting" in repr(task)] == []
        assert (await client.wait(ids[-1])).is_complete


async def test_a_generator_that_is_left_early_lets_go_of_a_source_for_which_there_was_no_room() -> None:
    """What pulls ids sleeps while ten thousand are pending: it ends, too."""
    async with (
        Emulator(plan="unlimited") as emulator,
        KallglotClient(KEY, base_url=emulator.base_url, rate_limit=RateLimit(1, 600.0)) as client,
    ):

        async def outcomes() -> AsyncIterator[str]:
            async with client.as_completed(
                f"ana_{number}" if number else "none" for number in range(10_010)
            ) as finished:
                async for outcome in finished:
                    yield outcome.id

        async for _ in outcomes():
            await asyncio.sleep(1.0)
            break
        assert client.stats.waiting_for == 10_000
        gc.collect()
        await asyncio.sleep(700.0)
        assert [task for task in asyncio.all_tasks() if "_waiting" in repr(task)] == []


@pytest.mark.parametrize("whose", ["timeout", "total_timeout", "follower"])
async def test_a_wait_that_ends_while_a_limit_is_spent_says_so(whose: str) -> None:
    """Nobody was refused: it was the announced limit that let no further poll go."""
    async with running(rate_limit=(3, 600.0), window="fixed_from_first", latency=Latency.uniform(90.0, 90.0)) as (
        emulator,
        client,
    ):
        id, *others = emulator.seed_analyses(3)
        first = asyncio.ensure_future(client.wait_many([id], total_timeout=20.0)) if whose == "follower" else None
        kept = {"total_timeout": 12.0} if whose == "total_timeout" else {"timeout": 12.0}
        waiting = asyncio.ensure_future(client.wait_many([id], **kept))  # type: ignore[arg-type]
        await until_asked(emulator)
        for other in others:
            await client.analyses.retrieve(other)
        assert re.search(
            r"last seen queued; the rate limit is spent for another \d\d\d s", str((await waiting)[0].error)
        )
        if first is not None:
            await first


def test_a_client_that_was_closed_where_it_waited_waits_in_another_thread() -> None:
    """The loop of before runs on, and has no waits any more."""

    async def there(client: KallglotClient, id: str) -> Analysis:
        async with client:
            return await client.wait(id)

    async def here() -> Analysis:
        async with Emulator(plan="unlimited", latency=Latency.immediate()) as emulator:
            first, second = emulator.seed_analyses(2)
            client = KallglotClient(KEY, base_url=emulator.base_url)
            await there(client, first)
            return await asyncio.to_thread(lambda: asyncio.run(there(client, second)))

    assert asyncio.run(here()).is_complete
