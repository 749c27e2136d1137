"""Waiting for many analyses: the emulator on 127.0.0.1 under a virtual clock, its journal as the judge."""

import asyncio
import contextlib
import gc
import itertools

import anyio
import pytest
from support.slow import beyond

from kallglot_async import (
    AnalysisFailedError,
    AuthenticationError,
    ConfigurationError,
    IdSourceError,
    InvalidIdError,
    KallglotClient,
    NotAttemptedError,
    NotFoundError,
    PollSchedule,
    WaitTimeoutError,
)
from kallglot_async.emulator import Emulator, Fault, Latency

pytestmark = pytest.mark.looptime


@contextlib.asynccontextmanager
async def running(**options):
    """An emulator whose analyses take 22 to 30 s, and a client of it."""
    options = {"plan": "unlimited", "latency": Latency.uniform(22.0, 30.0), "seed": 1} | options
    async with (
        Emulator(**options) as emulator,
        KallglotClient(emulator.api_key, base_url=emulator.base_url) as client,
    ):
        yield emulator, client


def polls_of(emulator, id):
    return [entry for entry in emulator.journal if entry.path.endswith(id)]


def client_tasks():
    """Every task but those in which the emulator serves a connection."""
    return {task for task in asyncio.all_tasks() if "RequestHandler" not in repr(task)}


def now():
    return asyncio.get_running_loop().time()


async def test_wait_returns_the_settled_analysis():
    """One id, either revision, with its results."""
    async with running() as (emulator, client):
        [a], [b] = emulator.seed_analyses(1), emulator.seed_analyses(1, revision="b")
        in_a, in_b = await asyncio.gather(client.wait(a), client.wait(b))
    assert in_a.is_complete
    assert in_a.results is not None
    assert in_b.is_complete
    assert in_b.report is not None
    assert in_a.summary_text
    assert in_b.summary_text


async def test_wait_many_returns_one_outcome_for_each_distinct_id_in_order():
    """Repetitions are one wait and one outcome."""
    async with running() as (emulator, client):
        ids = emulator.seed_analyses(20) + emulator.seed_analyses(5, revision="b")
        outcomes = await client.wait_many([*ids, *reversed(ids)])
        assert [outcome.id for outcome in outcomes] == ids
        assert [analysis.id for analysis in outcomes.analyses] == ids
        assert not outcomes.errors
        outcomes.raise_for_errors()


async def test_a_lazy_source_keeps_its_order_too():
    """Generators and asynchronous generators give ids one by one; outcomes come back in that order."""
    async with running() as (emulator, client):
        ids = emulator.seed_analyses(6)

        async def slowly():
            for id in [*ids, ids[0]]:
                await asyncio.sleep(3.0)
                yield id

        assert [outcome.id for outcome in await client.wait_many(iter([*ids, ids[0]]))] == ids
        assert [outcome.id for outcome in await client.wait_many(slowly())] == ids


async def test_no_ids_are_no_outcomes():
    """An empty batch sends nothing and returns at once."""
    async with running() as (emulator, client):
        assert len(await client.wait_many([])) == 0
        assert len(emulator.journal) == 0


async def test_a_failed_analysis_costs_only_its_own_id():
    """It is an error that carries the analysis; its siblings are delivered."""
    async with running(failure_rate=0.3) as (emulator, client):
        outcomes = await client.wait_many(emulator.seed_analyses(30))
    failed = [error for error in outcomes.errors.values() if isinstance(error, AnalysisFailedError)]
    assert 0 < len(failed) == 30 - len(outcomes.analyses)
    assert all(error.analysis.is_failed and error.analysis.error_message for error in failed)
    with pytest.raises(ExceptionGroup):
        outcomes.raise_for_errors()


async def test_wait_raises_what_became_of_the_id():
    """A failed analysis, and an id that does not exist."""
    async with running(failure_rate=1.0) as (emulator, client):
        [id] = emulator.seed_analyses(1)
        with pytest.raises(AnalysisFailedError) as caught:
            await client.wait(id)
        assert caught.value.analysis.id == id
        with pytest.raises(NotFoundError, match="90 days"):
            await client.wait("ana_unknown")


async def test_a_timeout_is_reported_by_its_deadline_after_one_last_look():
    """The deadline counts from the first poll; the last poll is answered before it, none comes after."""
    async with running(latency=Latency.uniform(1000.0, 1001.0)) as (emulator, client):
        [id] = emulator.seed_analyses(1)
        started = now()
        with pytest.raises(WaitTimeoutError) as caught:
            await client.wait(id, timeout=60.0)
        assert 59.0 <= now() - started <= 60.1
        assert now() - started - polls_of(emulator, id)[-1].at < 2.0
        assert caught.value.id == id
        assert caught.value.last_status in {"queued", "processing"}
        assert caught.value.polls == len(polls_of(emulator, id))
        assert caught.value.elapsed == pytest.approx(60.0, abs=1.0)
        assert isinstance(caught.value, TimeoutError)


async def test_what_settles_just_before_the_deadline_is_delivered():
    """That is what the last look is for."""
    async with running(latency=Latency.uniform(58.0, 59.0)) as (emulator, client):
        outcomes = await client.wait_many(emulator.seed_analyses(10), timeout=60.0)
    assert len(outcomes.analyses) == 10


@pytest.mark.parametrize("trip", [0.12, 0.2, 0.5, 1.0])
async def test_the_last_look_is_answered_before_the_deadline_however_far_the_server_is(trip):
    """It leaves earlier than a round trip before it, or its answer would come as all is over."""
    async with running(latency=Latency.uniform(40.0, 57.0)) as (emulator, client):
        emulator.add_fault(Fault(kind="slow", delay=trip))
        schedule = PollSchedule.fixed(35.0)
        outcomes = await client.wait_many(emulator.seed_analyses(10), timeout=60.0, schedule=schedule)
    assert len(outcomes.analyses) == 10


async def test_last_looks_keep_no_pace_where_as_many_end_as_the_limit_allows():
    """Sixty ids under a log of thirty a minute: each last look comes in time, though the pace has none to spare."""
    async with running(plan="starter", rate_limit=(30, 60.0), window="sliding") as (emulator, client):
        outcomes = await client.wait_many(emulator.seed_analyses(60), timeout=120.0)
    assert len(outcomes.analyses) == 60


async def test_a_single_wait_ends_in_time_though_nothing_may_be_sent():
    """Its timeout counts from the call: a limiter that is paused for minutes does not hold it."""
    async with running() as (emulator, client):
        [first, second] = emulator.seed_analyses(2)
        emulator.add_fault(Fault(kind="throttle", retry_after=300, times=1))
        with pytest.raises(WaitTimeoutError):
            await client.wait(first, timeout=5.0)
        started = now()
        with pytest.raises(WaitTimeoutError) as caught:
            await client.wait(second, timeout=5.0)
        assert now() - started <= 5.1
        assert caught.value.polls == 0
        assert caught.value.retry_after > 200.0


async def test_a_single_wait_looks_once_before_its_end_though_it_expects_nothing_yet():
    """What this client created is not expected for 20 s; a shorter wait looks at it all the same."""
    async with running(latency=Latency.uniform(3.0, 4.0)) as (_, client):
        created = await client.analyses.create("sess_1", analyses=["summary"])
        started = now()
        assert (await client.wait(created.id, timeout=6.0)).is_complete
        assert now() - started <= 6.0


async def test_no_timeout_waits_for_ever():
    """None is for ever."""
    async with running(latency=Latency.uniform(500.0, 501.0)) as (emulator, client):
        [id] = emulator.seed_analyses(1)
        assert (await client.wait(id, timeout=None)).is_complete


async def test_the_total_timeout_returns_what_has_settled():
    """The rest are outcomes with a timeout, and the call ends by its deadline."""
    async with running(latency=Latency.uniform(5.0, 60.0)) as (emulator, client):
        ids = emulator.seed_analyses(40)
        started = now()
        outcomes = await client.wait_many(ids, timeout=None, total_timeout=30.0)
        assert now() - started <= 30.1
    assert [outcome.id for outcome in outcomes] == ids
    assert 10 < len(outcomes.analyses) < 30
    assert {type(error) for error in outcomes.errors.values()} == {WaitTimeoutError}


async def test_the_total_timeout_ends_a_wait_for_one_id():
    """Whether others come with it or not, the call ends by its deadline."""
    async with running(latency=Latency.uniform(500.0, 501.0)) as (emulator, client):
        ids, started = emulator.seed_analyses(1), now()
        [outcome] = await client.wait_many(ids, timeout=None, total_timeout=30.0)
        assert 30.0 <= now() - started <= 30.1
    assert isinstance(outcome.error, WaitTimeoutError)
    assert outcome.polls > 1


async def test_the_one_id_of_a_batch_is_polled_in_the_callers_own_task():
    """A task for it would decide nothing; two ids may be asked for at once, and have tasks."""
    async with running(latency=Latency.immediate()) as (emulator, client):
        ids, here, tasks = emulator.seed_analyses(3), asyncio.current_task(), []

        def note(_):
            tasks.append(asyncio.current_task())

        await client.wait_many(ids[:1], on_progress=note)
        assert tasks == [here]
        await client.wait_many(ids[1:], on_progress=note)
        assert here not in tasks[1:]


async def test_the_total_timeout_reports_ids_that_were_never_polled():
    """A source with more ids than could be polled in time is reported to its end."""
    async with running(rate_limit=(5, 1.0)) as (emulator, client):
        ids = emulator.seed_analyses(50)
        outcomes = await client.wait_many(iter(ids), total_timeout=4.0)
    assert [outcome.id for outcome in outcomes] == ids
    assert len(outcomes.errors) == 50
    assert any(error.polls == 0 for error in outcomes.errors.values())


async def test_what_is_no_collection_of_ids_is_refused_before_any_request():
    """One text is a frequent mistake for a list of one."""
    async with running() as (emulator, client):
        with pytest.raises(ConfigurationError, match="one text"):
            await client.wait_many("ana_1")
        with pytest.raises(ConfigurationError):
            await client.wait_many(7)
        assert len(emulator.journal) == 0


def _lines_of(path):
    def lines(_):
        with path.open() as file:
            yield from map(str.strip, file)

    return lines


@pytest.mark.parametrize(
    ("kind", "bad"),
    # Each way once, and each kind of id with one that is at hand and with one that is read.
    beyond(
        5,
        dict.fromkeys(
            [
                *[(list, "../admin"), (tuple, "sess_1"), (dict.fromkeys, "ana_"), (iter, "sess_1"), ("file", "ana_")],
                *itertools.product([list, tuple, dict.fromkeys, iter, "file"], ["../admin", "sess_1", "ana_"]),
            ]
        ),
    ),
)
async def test_one_bad_id_is_its_own_outcome_wherever_it_comes_from(kind, bad, tmp_path):
    """A list, a generator and the lines of a file are alike: one `InvalidIdError` in its place, the rest is fetched."""
    async with running() as (emulator, client):
        good = emulator.seed_analyses(2)
        mixed = [good[0], bad, good[1]]
        if kind == "file":
            (tmp_path / "ids").write_text("\n".join(mixed))
            kind = _lines_of(tmp_path / "ids")
        for call in (client.wait_many, client.analyses.retrieve_many):
            outcomes = await call(kind(mixed))
            assert [outcome.id for outcome in outcomes] == mixed
            assert [outcome.ok for outcome in outcomes] == [True, False, True]
            assert isinstance(outcomes[1].error, InvalidIdError)


async def test_an_impossible_id_from_a_lazy_source_is_an_outcome():
    """What was fetched before it is not lost."""
    async with running() as (emulator, client):
        [id] = emulator.seed_analyses(1)
        outcomes = await client.wait_many(iter([id, "sess_1", None]))
    assert [type(outcome.error) for outcome in outcomes] == [type(None), InvalidIdError, InvalidIdError]


async def test_an_iterable_that_raises_gives_its_outcomes_with_the_error():
    """The caller's exception is the cause, and what it had given is waited for."""
    async with running() as (emulator, client):
        ids = emulator.seed_analyses(3)

        def broken():
            yield from ids
            raise LookupError("the database went away")

        with pytest.raises(IdSourceError) as caught:
            await client.wait_many(broken())
    assert isinstance(caught.value.__cause__, LookupError)
    assert [outcome.id for outcome in caught.value.outcomes] == ids
    assert len(caught.value.outcomes.analyses) == 3


async def test_a_401_ends_the_batch_and_reports_the_rest_as_not_attempted():
    """One id gets the refusal, the others that nobody asked for them."""
    async with running() as (emulator, _):
        ids = emulator.seed_analyses(50)
        async with KallglotClient("sk_test_wrong", base_url=emulator.base_url) as stranger:
            outcomes = await stranger.wait_many(ids)
        kinds = [type(error) for error in outcomes.errors.values()]
        assert kinds.count(AuthenticationError) >= 1
        assert kinds.count(AuthenticationError) + kinds.count(NotAttemptedError) == 50
        assert len(emulator.journal) == kinds.count(AuthenticationError) <= 3


async def test_transient_failures_are_polled_again():
    """Two 503 in a row cost an id nothing but time."""
    async with running() as (emulator, client):
        [id] = emulator.seed_analyses(1)
        emulator.add_fault(Fault(kind="status", status=503, times=2))
        assert (await client.wait(id)).is_complete


async def test_failures_without_end_last_until_the_deadline():
    """An id that the API cannot answer for ends when its time is over, and says why; its siblings are not concerned."""
    async with running() as (emulator, client):
        bad, good = emulator.seed_analyses(2)
        emulator.add_fault(Fault(kind="status", status=500, id=bad))
        outcomes = await client.wait_many([bad, good])
        error = outcomes[0].error
        assert isinstance(error, WaitTimeoutError)
        assert "its last poll failed" in str(error)
        assert "500" in str(error)
        assert error.elapsed == pytest.approx(120.0, abs=0.1)
        assert 5 < error.polls == len(polls_of(emulator, bad)) < 15
        assert outcomes[1].unwrap().is_complete


async def test_refusals_cost_no_attempts():
    """A storm of 429 is waited out, however often it refuses."""
    async with running() as (emulator, client):
        ids = emulator.seed_analyses(5)
        emulator.add_fault(Fault(kind="throttle", times=10))
        outcomes = await client.wait_many(ids, timeout=1000.0)
    assert len(outcomes.analyses) == 5


async def test_a_pause_beyond_the_deadline_ends_the_wait_at_once():
    """A web backend learns now, with the time that was named, that it would wait in vain."""
    async with running() as (emulator, client):
        [id] = emulator.seed_analyses(1)
        emulator.add_fault(Fault(kind="throttle", headers={"Retry-After": "300"}, after=1))
        started = now()
        with pytest.raises(WaitTimeoutError) as caught:
            await client.wait(id, timeout=60.0)
        assert now() - started < 10.0
        assert caught.value.retry_after > 280.0


async def test_polls_stay_below_the_servers_limit():
    """With the limit learned from headers nothing is refused."""
    async with running(rate_limit=(50, 20.0)) as (emulator, client):
        outcomes = await client.wait_many(emulator.seed_analyses(120), timeout=None)
        assert len(outcomes.analyses) == 120
        assert client.rate_limit.refused == 0
        assert all(entry.status == 200 for entry in emulator.journal)


async def test_no_more_requests_are_in_flight_than_allowed():
    """Not for an instant, as the client itself reports."""
    async with running() as (emulator, client):
        emulator.add_fault(Fault(kind="slow", delay=1.0))
        seen = []
        await client.wait_many(
            emulator.seed_analyses(50),
            max_in_flight=5,
            on_progress=lambda progress: seen.append(progress.rate_limit.in_flight),
        )
    assert 0 < max(seen) <= 5


async def test_the_documented_loop_is_a_schedule():
    """A fixed schedule polls every two seconds, as the documentation does."""
    async with running() as (emulator, client):
        [id] = emulator.seed_analyses(1)
        await client.wait(id, schedule=PollSchedule.fixed(2.0))
        at = [entry.at for entry in polls_of(emulator, id)]
    assert len(at) >= 11
    assert {round(later - earlier, 1) for earlier, later in itertools.pairwise(at)} == {2.0}


async def test_progress_counts_every_id_once():
    """The last snapshot says that everything has settled."""
    async with running(failure_rate=0.2) as (emulator, client):
        seen = []
        await client.wait_many([*emulator.seed_analyses(20), "ana_unknown"], on_progress=seen.append)
        last = seen[-1]
        assert (last.total, last.settled, last.failed, last.pending) == (21, 20, 1, 0)
        assert last.requests == len(emulator.journal)
        assert all(snapshot.total == 21 for snapshot in seen)


async def test_a_broken_progress_callback_costs_nothing_but_itself(caplog):
    """It is logged once and not called again."""
    async with running() as (emulator, client):
        outcomes = await client.wait_many(emulator.seed_analyses(3), on_progress=lambda _: 1 / 0)
    assert len(outcomes.analyses) == 3
    assert caplog.text.count("on_progress raised") == 1


async def test_two_waits_for_one_id_are_one_poller():
    """As many requests as for one wait, and the same analysis for both."""
    async with running() as (emulator, client):
        [id] = emulator.seed_analyses(1)
        first, second = await asyncio.gather(client.wait(id), client.wait(id))
        assert first is second
        settled = [entry for entry in polls_of(emulator, id) if entry.at >= 22.0]
        assert len(settled) <= 3


async def test_cancelling_one_of_two_waits_leaves_the_other():
    """The one that polled is cancelled; the other takes over."""
    async with running() as (emulator, client):
        [id] = emulator.seed_analyses(1)
        polling, following = (asyncio.create_task(client.wait(id)) for _ in range(2))
        await asyncio.sleep(5.0)
        polling.cancel()
        assert (await following).is_complete
        assert polling.cancelled()


async def test_each_of_two_waits_has_its_own_timeout():
    """The shorter one ends first, whichever polls."""
    async with running(latency=Latency.uniform(50.0, 51.0)) as (emulator, client):
        [id] = emulator.seed_analyses(1)
        short = asyncio.create_task(client.wait(id, timeout=10.0))
        long = asyncio.create_task(client.wait(id, timeout=100.0))
        shortest = asyncio.create_task(client.wait(id, timeout=5.0))
        for task, seconds in ((shortest, 5.0), (short, 10.0)):
            with pytest.raises(WaitTimeoutError):
                await task
            assert now() == pytest.approx(seconds, abs=0.5)
        assert (await long).is_complete


async def test_as_completed_gives_each_outcome_as_it_settles():
    """In the order of settling, not of the input."""
    async with running(latency=Latency.uniform(5.0, 50.0)) as (emulator, client):
        ids = emulator.seed_analyses(20)
        async with client.as_completed(ids) as finished:
            order = [outcome.id async for outcome in finished]
        assert sorted(order) == sorted(ids)
        assert order != ids


async def test_leaving_as_completed_early_ends_every_request():
    """No task is left, no slot is held, and the client goes on."""
    async with running() as (emulator, client):
        ids = emulator.seed_analyses(50)
        before = client_tasks()
        async with client.as_completed(ids) as finished:
            async for _ in finished:
                break
        assert client.rate_limit.in_flight == client.rate_limit.waiting == 0
        await asyncio.sleep(0.1)  # what was on its way by then may still arrive
        asked = emulator.journal.total
        await asyncio.sleep(100.0)
        assert emulator.journal.total == asked
        assert client_tasks() == before
        assert (await client.wait(ids[0])).is_complete


async def test_an_exception_in_the_body_passes_as_it_is():
    """Not wrapped in a group: the caller's own except clause works."""
    async with running() as (emulator, client):
        with pytest.raises(LookupError):
            async with client.as_completed(emulator.seed_analyses(5)) as finished:
                async for _ in finished:
                    raise LookupError


async def test_as_completed_runs_in_memory_bounded_by_its_window():
    """A source of a hundred thousand is pulled only as outcomes are taken."""
    async with running(latency=Latency.immediate(), adopt_unknown=True) as (_, client):
        pulled = 0

        def source():
            nonlocal pulled
            for number in range(100_000):
                pulled += 1
                yield f"ana_{number}"

        async with client.as_completed(source()) as finished:
            taken = 0
            async for _ in finished:
                taken += 1
                if taken == 50:
                    break
        assert pulled <= 10_000 + 51


async def test_a_cancelled_batch_has_handed_out_what_had_settled():
    """on_outcome has seen it, the cancellation passes, and nothing is left behind."""
    async with running(latency=Latency.uniform(5.0, 50.0)) as (emulator, client):
        ids = emulator.seed_analyses(40)
        got = []
        task = asyncio.create_task(client.wait_many(ids, on_outcome=got.append))
        await asyncio.sleep(25.0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert 5 < len(got) < 40
        assert client.rate_limit.in_flight == client.rate_limit.waiting == 0
        assert len((await client.wait_many(ids)).analyses) == 40


@pytest.mark.parametrize("bound", ["asyncio.timeout", "anyio.fail_after", "wait_for"])
async def test_outside_deadlines_end_a_wait_like_any_other_await(bound):
    """The caller's own way to bound time works, and the client goes on."""
    async with running() as (emulator, client):
        [id] = emulator.seed_analyses(1)
        with pytest.raises(TimeoutError) as caught:
            if bound == "asyncio.timeout":
                async with asyncio.timeout(10.0):
                    await client.wait(id)
            elif bound == "wait_for":
                await asyncio.wait_for(client.wait(id), 10.0)
            else:
                with anyio.fail_after(10.0):
                    await client.wait(id)
        assert not isinstance(caught.value, WaitTimeoutError)
        assert now() == pytest.approx(10.0, abs=0.1)
        assert (await client.wait(id)).is_complete


@pytest.mark.slow
async def test_hundreds_of_single_waits_share_one_limit():
    """A backend that awaits one analysis per request is as well served as one batch."""
    async with running(rate_limit=(50, 1.0), latency=Latency.uniform(2.0, 8.0)) as (emulator, client):
        ids = emulator.seed_analyses(200)
        analyses = await asyncio.gather(*map(client.wait, ids))
        assert [analysis.id for analysis in analyses] == ids
        assert client.rate_limit.refused == 0


async def test_a_wait_for_one_is_not_starved_by_a_batch():
    """Between concurrent waits the limiter is fair."""
    async with running(rate_limit=(60, 60.0), latency=Latency.uniform(1.0, 2.0)) as (emulator, client):
        batch = asyncio.create_task(client.wait_many(emulator.seed_analyses(200), timeout=None))
        await asyncio.sleep(5.0)
        [id] = emulator.seed_analyses(1)
        started = now()
        await client.wait(id)
        assert now() - started < 12.0
        assert not batch.done()
        batch.cancel()


async def test_a_create_that_is_not_visible_yet_is_waited_for():
    """Right after our own create a 404 is no verdict."""
    async with running() as (emulator, client):
        created = await client.analyses.create("sess_1", include=["summary"])
        emulator.add_fault(Fault(kind="status", status=404, times=2))
        assert (await client.wait(created.id)).is_complete


async def test_the_estimate_in_the_answer_to_a_create_sets_the_first_poll():
    """Nothing is asked before what was observed, or the server's estimate of 30 s, says that it may be ready."""
    async with running() as (emulator, client):
        created = await client.analyses.create("sess_1", analyses=["summary"])
        assert created.estimated_completion is not None
        await client.wait(created.id)
        created_at, *polled_at = [entry.at for entry in emulator.journal]
        assert 20.0 < polled_at[0] - created_at < 31.0
        assert len(polled_at) <= 3


async def test_the_stats_add_up():
    """Every request is answered, refused, lost or in flight, as the server saw it."""
    async with running() as (emulator, client):
        emulator.add_fault(Fault(kind="status", status=503, times=2))
        emulator.add_fault(Fault(kind="reset", after=3, times=1))
        emulator.add_fault(Fault(kind="throttle", retry_after=1, after=6, times=1))
        await client.wait_many(emulator.seed_analyses(10))
        stats = client.stats
        assert stats.requests == len(emulator.journal)
        assert (stats.refused, stats.lost, stats.in_flight, stats.waiting_for) == (1, 1, 0, 0)
        assert stats.answered == stats.requests - 2
        assert stats.retries == 3
        assert stats.retries_left <= 50.0


async def test_nothing_is_left_of_a_finished_wait():
    """No entry in the hub, no pending id in the model, no garbage cycle that keeps the queue."""
    async with running() as (emulator, client):
        await client.wait_many(emulator.seed_analyses(20))
        hub = client._hub
        assert (len(hub), len(hub._followers), hub.model.pending) == (0, 0, 0)
    gc.collect()
