"""What callers hand in and where they call from: callbacks of both kinds, slow sinks, other threads, other loops."""

import asyncio
import collections
import contextlib
import contextvars
import io
import json
import threading
from collections.abc import Callable
from functools import partial
from types import MappingProxyType

import pytest
from support.slow import beyond
from support.virtual import stand_still

from kallglot_async import (
    ConfigurationError,
    KallglotClient,
    KallglotError,
    NotAttemptedError,
    Outcome,
    RateLimiter,
    WaitTimeoutError,
    WebhookInbox,
)
from kallglot_async._core.api.analyses import create_analysis
from kallglot_async.emulator import Emulator, Fault, Latency
from kallglot_async.models import ClientEvent, SettledEvent
from kallglot_async.webhooks import parse_event

A = {"analyses": ["summary"]}
virtual = pytest.mark.looptime


@contextlib.asynccontextmanager
async def running(**options):
    """An emulator and a client of it."""
    async with Emulator(**{"plan": "unlimited", **options}) as emulator, _client(emulator) as client:
        yield emulator, client


async def _all(client, kind, count, **callbacks):
    ids = [f"ana_{number}" for number in range(count)]
    if kind == "wait_many":
        return await client.wait_many(ids, **callbacks)
    if kind == "retrieve_many":
        return await client.analyses.retrieve_many(ids, **callbacks)
    return await client.analyze_many([f"sess_{number}" for number in range(count)], **A, **callbacks)


KINDS = ["wait_many", "retrieve_many", "analyze_many"]


@virtual
class TestOnOutcome:
    @pytest.mark.parametrize("kind", KINDS)
    async def test_a_coroutine_function_is_awaited_one_outcome_at_a_time(self, kind):
        """In the order in which they are known; no two of its calls overlap."""
        told, running_now = [], 0

        async def on_outcome(outcome: Outcome) -> None:
            nonlocal running_now
            running_now += 1
            assert running_now == 1
            await asyncio.sleep(0.001)
            running_now -= 1
            told.append(outcome.id)

        async with running(adopt_unknown=True, latency=Latency.immediate()) as (_, client):
            outcomes = await _all(client, kind, 20, on_outcome=on_outcome)
        assert len(told) == 20
        assert {outcome.id for outcome in outcomes} == set(told)

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("error", [ValueError("full"), asyncio.CancelledError()], ids=repr)
    async def test_what_a_coroutine_function_raises_is_the_callers_own(self, kind, error):
        """It ends the call, as it was raised and in no group."""

        async def on_outcome(outcome: Outcome) -> None:
            await asyncio.sleep(0)
            raise error

        async with running(adopt_unknown=True, latency=Latency.immediate()) as (_, client):
            with pytest.raises(type(error)):
                await _all(client, kind, 3, on_outcome=on_outcome)

    @pytest.mark.untraced
    async def test_a_slow_sink_holds_the_requests_back(self):
        """No worker goes on before its outcome was taken."""
        gate = asyncio.Event()

        async def on_outcome(outcome: Outcome) -> None:
            await gate.wait()

        async with running(adopt_unknown=True, latency=Latency.immediate()) as (emulator, client):
            call = asyncio.create_task(_all(client, "retrieve_many", 200, on_outcome=on_outcome, max_in_flight=4))
            await asyncio.sleep(1.0)
            assert emulator.journal.total <= 30
            gate.set()
            assert len(await call) == 200


@virtual
class TestCallbacksThatNobodyAwaits:
    async def test_a_coroutine_function_is_refused_before_any_request(self):
        """It would never run, and nobody would hear of that."""

        async def lost(*_: object) -> None: ...

        class Lost:
            async def __call__(self, *_: object) -> None: ...

        async with running(adopt_unknown=True) as (emulator, client):
            for callback in (lost, Lost()):
                with pytest.raises(ConfigurationError, match="on_progress is a plain function"):
                    await client.wait_many(["ana_1"], on_progress=callback)
                with pytest.raises(ConfigurationError, match="on_progress is a plain function"):
                    await client.analyze_many(["sess_1"], on_progress=callback, **A)
                with pytest.raises(ConfigurationError, match="on_event is a plain function"):
                    KallglotClient("sk_test_1", on_event=callback)
            assert emulator.journal.total == 0

    @pytest.mark.parametrize("call", ["wait_many", "analyze_many", "on_event"])
    @pytest.mark.parametrize("how", ["a lambda", "a partial", "an awaitable", "a generator"])
    async def test_what_returns_a_coroutine_is_told_once_and_costs_nothing(self, call, how, caplog):
        """The body of it would never run: one line says so, and nothing warns of it at some later moment."""

        async def lost(*_: object) -> None: ...

        class Bound:
            async def method(self, *_: object) -> None: ...

            def __await__(self):
                yield

        callback = {
            "a lambda": lambda fact: lost(fact),
            "a partial": partial(lambda method, fact: method(fact), Bound().method),
            "an awaitable": lambda fact: Bound(),
            "a generator": lambda fact: (part for part in [fact]),
        }[how]
        async with running(adopt_unknown=True, latency=Latency.immediate()) as (emulator, client):
            if call == "on_event":
                async with _client(emulator, on_event=callback) as other:
                    outcomes = await other.wait_many(["ana_1", "ana_2"])
            else:
                outcomes = await _all(client, call, 3, on_progress=callback)
        assert all(outcome.ok for outcome in outcomes)
        name = "on_event" if call == "on_event" else "on_progress"
        [record] = [record for record in caplog.records if record.name.startswith("kallglot_async")]
        assert f"{name} raised and is not called again" in record.getMessage()
        assert "which nobody runs" in str(record.exc_info[1])

    async def test_what_starts_a_task_is_fine(self):
        """A task runs by itself."""
        told = []

        async def note(progress):
            told.append(progress)

        async with running(adopt_unknown=True, latency=Latency.immediate()) as (_, client):
            await client.wait_many(["ana_1", "ana_2"], on_progress=lambda it: asyncio.ensure_future(note(it)))
            await asyncio.sleep(0)
        assert len(told) == 2

    async def test_a_function_that_yields_is_refused_before_any_request(self):
        """Its body would never run, whichever callback it is."""

        def generator(*_: object):
            yield

        async def asynchronous(*_: object):
            yield

        class Yielding:
            def __call__(self, *_: object):
                yield

        calls = [("wait_many", "on_progress"), ("wait_many", "on_outcome"), ("retrieve_many", "on_outcome")]
        calls += [("analyze_many", name) for name in ("on_progress", "on_outcome", "on_created")]
        async with running(adopt_unknown=True) as (emulator, client):
            for callback in (generator, asynchronous, Yielding(), partial(generator, 1)):
                for call, name in calls:
                    with pytest.raises(ConfigurationError, match=f"{name} is a function that yields"):
                        await _all(client, call, 1, **{name: callback})
                with pytest.raises(ConfigurationError, match="on_event is a function that yields"):
                    KallglotClient("sk_test_1", on_event=callback)
            assert emulator.journal.total == 0

    @pytest.mark.parametrize("kind", KINDS)
    async def test_an_outcome_that_is_told_to_nobody_ends_the_call(self, kind):
        """A lambda that returns a generator: what came of it is the caller's own mistake, said at once."""
        async with running(adopt_unknown=True, latency=Latency.immediate()) as (_, client):
            with pytest.raises(TypeError, match="on_outcome returned generator"):
                await _all(client, kind, 1, on_outcome=lambda outcome: (part for part in [outcome]))


@virtual
class TestOnCreated:
    @pytest.mark.parametrize("is_async", [False, True])
    async def test_it_is_told_between_the_create_and_the_first_poll(self, is_async):
        """Whoever keeps the id can wait for it again, whatever happens to this process."""
        seen = {}

        async with running(latency=Latency.immediate()) as (emulator, client):

            def note(session: str, analysis) -> None:
                polled = [entry for entry in emulator.journal if entry.id == analysis.id and entry.method == "GET"]
                seen[session] = (analysis.id, len(polled))

            async def note_later(session: str, analysis) -> None:
                await asyncio.sleep(0.5)
                note(session, analysis)

            sessions = [f"sess_{number}" for number in range(5)]
            outcomes = await client.analyze_many(sessions, on_created=note_later if is_async else note, **A)
        assert {outcome.id: (outcome.analysis.id, 0) for outcome in outcomes} == seen

    @pytest.mark.parametrize("seconds", [0.5, 3.0, 20.0])
    @pytest.mark.parametrize("what", ["on_created", "on_outcome"])
    async def test_what_is_being_told_as_time_runs_out_is_told_to_its_end(self, what, seconds):
        """A paid analysis is noted, however slowly: those in line behind it are told, too."""
        began, noted = [], []

        async def note(*facts) -> None:
            began.append(facts)
            await asyncio.sleep(seconds)
            noted.append(facts)

        async with running(latency=Latency.immediate() if what == "on_outcome" else Latency.uniform(60, 60)) as (
            _,
            client,
        ):
            started = asyncio.get_running_loop().time()
            outcomes = await client.analyze_many(["sess_1"], total_timeout=0.4, **{what: note}, **A)
            assert asyncio.get_running_loop().time() - started == pytest.approx(seconds, abs=0.2)  # and no longer
        assert len(outcomes) == 1
        assert noted == began
        assert began

    async def test_those_in_line_to_be_told_are_told_too(self):
        """Every analysis that was created by then."""
        noted = {}

        async def note(session: str, analysis) -> None:
            await asyncio.sleep(0.5)
            noted[session] = analysis.id

        async with running(latency=Latency.uniform(60, 60)) as (emulator, client):
            sessions = [f"sess_{number}" for number in range(12)]
            outcomes = await client.analyze_many(sessions, total_timeout=0.6, on_created=note, **A)
            created = {analysis.id for analysis in emulator.analyses()}
        assert set(noted.values()) == created
        assert {outcome.error.id for outcome in outcomes if isinstance(outcome.error, WaitTimeoutError)} == created

    async def test_those_in_line_are_told_also_where_the_event_loop_stood_still_meanwhile(self):
        """What nothing could be told in is not counted."""
        noted = set()

        async def note(session: str, analysis) -> None:
            await asyncio.sleep(0.5)
            noted.add(analysis.id)

        async with running(latency=Latency.uniform(60, 60)) as (emulator, client):
            sessions = [f"sess_{number}" for number in range(12)]
            asyncio.get_running_loop().call_later(1.2, stand_still, 40.0)
            await client.analyze_many(sessions, total_timeout=0.6, on_created=note, **A)
            created = {analysis.id for analysis in emulator.analyses()}
        assert noted == created

    @pytest.mark.parametrize("seconds", [0.5, 2.0, 4.0])
    async def test_an_answer_that_comes_as_time_has_run_out_is_told(self, seconds):
        """The request was out already: its analysis is paid for."""
        noted = []
        slow = Fault(kind="slow", delay=seconds, operation="analyses.create")
        async with running(latency=Latency.uniform(60, 60), faults=[slow]) as (emulator, client):
            outcomes = await client.analyze_many(
                ["sess_1", "sess_2"], total_timeout=0.2, on_created=lambda *facts: noted.append(facts), **A
            )
            created = {analysis.id for analysis in emulator.analyses()}
        assert {analysis.id for _, analysis in noted} == created
        # A cold client asks one at a time: the other was not asked for yet.
        assert {type(outcome.error) for outcome in outcomes} == {NotAttemptedError, WaitTimeoutError}
        assert {outcome.error.id for outcome in outcomes if isinstance(outcome.error, WaitTimeoutError)} == created
        assert created

    @pytest.mark.parametrize("what", ["the answer", "the callback"])
    async def test_the_end_is_bounded_all_the_same(self, what):
        """Five seconds for an answer, thirty for a callback; what was not answered names its key."""
        hung = [Fault(kind="hang", operation="analyses.create")] if what == "the answer" else []

        async def note(session: str, analysis) -> None:
            await asyncio.sleep(1000.0 if what == "the callback" else 0.0)

        async with running(latency=Latency.uniform(60, 60), faults=hung) as (_, client):
            began = asyncio.get_running_loop().time()
            [outcome] = await client.analyze_many(["sess_1"], total_timeout=1.0, on_created=note, **A)
            took = asyncio.get_running_loop().time() - began
        assert took == pytest.approx(6.0 if what == "the answer" else 31.0, abs=0.1)
        named = outcome.error.idempotency_key if what == "the answer" else outcome.error.id
        assert named

    async def test_a_loop_that_is_late_again_and_again_comes_to_the_end_too(self):
        """Its lateness is no time to tell anything in, but that is given back once."""
        loop = asyncio.get_running_loop()

        async def note(session: str, analysis) -> None:
            await asyncio.sleep(10_000.0)

        async with running(latency=Latency.uniform(60, 60)) as (_, client):
            began = loop.time()
            for number in range(20):
                loop.call_later(30.5 + number * 31.0, stand_still, 1.0)
            await client.analyze_many(["sess_1"], total_timeout=1.0, on_created=note, **A)
            assert loop.time() - began < 65.0

    async def test_the_callers_own_cancellation_waits_for_nobody(self):
        """It ends everything at once, as it does everywhere."""

        async def note(session: str, analysis) -> None:
            await asyncio.sleep(20.0)

        async with running(latency=Latency.uniform(60, 60)) as (_, client):
            call = asyncio.create_task(client.analyze_many(["sess_1"], total_timeout=1.0, on_created=note, **A))
            await asyncio.sleep(5.0)
            began = asyncio.get_running_loop().time()
            call.cancel()
            await asyncio.wait([call])
            assert call.cancelled()
            assert asyncio.get_running_loop().time() - began < 0.1

    @pytest.mark.parametrize("kind", ["list", "generator", "asynchronous"])
    async def test_progress_counts_sessions_and_requests(self, kind):
        """The requests for analyses and the polls, and all sessions once the source has ended."""

        async def one_by_one():
            for session in sessions:
                yield session

        told = []
        async with running(latency=Latency.uniform(5, 5)) as (emulator, client):
            sessions = ["sess_1", "sess_2", "no session", "sess_3"]
            source = {"list": sessions, "generator": iter(sessions), "asynchronous": one_by_one()}[kind]
            await client.analyze_many(source, on_progress=told.append, **A)
        last = told[-1]
        assert (last.total, last.settled, last.failed, last.pending) == (4, 3, 1, 0)
        assert last.requests == emulator.journal.total
        assert told[0].requests == 1
        assert all(it.settled + it.failed + it.pending <= 4 for it in told)

    async def test_progress_counts_what_was_tried_again(self):
        """Whatever was answered."""
        told = []
        faults = [Fault(kind="status", status=503, times=3, operation="analyses.create")]
        async with running(latency=Latency.immediate(), faults=faults) as (emulator, client):
            await client.analyze_many(["sess_1", "sess_2"], on_progress=told.append, **A)
        assert told[-1].requests == emulator.journal.total == 7


@virtual
class TestMaxReady:
    @pytest.mark.untraced
    @pytest.mark.parametrize("most", [1, 7, 50])
    async def test_polling_stops_while_so_many_outcomes_lie_undelivered(self, most):
        """A slow sink is not run away from, and goes on as it takes."""
        async with running(adopt_unknown=True, latency=Latency.immediate()) as (emulator, client):
            ids = [f"ana_{number}" for number in range(200)]
            async with client.as_completed(ids, max_ready=most) as finished:
                taken = 0
                async for _ in finished:
                    taken += 1
                    await asyncio.sleep(0.05)
                    assert emulator.journal.total <= taken + most
        assert taken == 200

    @pytest.mark.parametrize("most", [0, -1, 1.5, True, None])
    async def test_it_is_a_whole_number_from_1(self, most):
        """The mistake is named."""
        async with running() as (_, client):
            with pytest.raises(ConfigurationError, match="max_ready"):
                client.as_completed(["ana_1"], max_ready=most)

    async def test_a_last_look_is_sent_all_the_same(self):
        """An id's deadline does not wait for the sink."""
        outcomes = []
        async with (
            running(adopt_unknown=True, latency=Latency.uniform(3.0, 3.0)) as (_, client),
            client.as_completed(["ana_1", "ana_2"], max_ready=1, timeout=6.0) as finished,
        ):
            async for outcome in finished:
                outcomes.append(outcome)
                await asyncio.sleep(8.0)
        assert [outcome.ok for outcome in outcomes] == [True, True]


@virtual
class TestTwoWaitsForOneId:
    """One polls, and the other must not starve where the first has stopped for a slow caller."""

    @pytest.mark.untraced
    @pytest.mark.parametrize("when", ["before", "after", "while it is being polled"])
    @pytest.mark.parametrize("most", [1, 5])
    async def test_a_caller_that_does_not_take_outcomes_starves_nobody(self, when, most):
        """Whoever else waits for an id polls it from then on, and both have its outcome."""
        async with running(adopt_unknown=True, latency=Latency.uniform(2.0, 4.0)) as (_, client):
            ids = [f"ana_{number}" for number in range(40)]
            async with client.as_completed(ids, max_ready=most, timeout=600.0) as finished:
                if when != "before":
                    await asyncio.sleep(20.0 if when == "after" else 1.0)
                began = asyncio.get_running_loop().time()
                others = await asyncio.wait_for(client.wait_many(ids, timeout=60.0), 60.0)
                assert all(outcome.ok for outcome in others)
                assert asyncio.get_running_loop().time() - began < 30.0
                taken = [outcome async for outcome in finished]
            assert {outcome.id for outcome in taken if outcome.ok} == set(ids)
            assert client.stats.waiting_for == 0

    async def test_a_single_wait_is_relieved_too(self):
        """One id of a stalled batch, asked for by somebody else."""
        async with running(adopt_unknown=True, latency=Latency.immediate()) as (_, client):
            ids = [f"ana_{number}" for number in range(10)]
            async with client.as_completed(ids, max_ready=2) as finished:
                await asyncio.sleep(5.0)
                found = await asyncio.gather(*(client.wait(id, timeout=10.0) for id in reversed(ids)))
                assert [analysis.id for analysis in found] == ids[::-1]
                assert len([outcome async for outcome in finished]) == 10

    async def test_two_stalled_callers_do_not_pass_an_id_to_and_fro(self):
        """Whichever takes outcomes first goes on."""
        async with running(adopt_unknown=True, latency=Latency.immediate()) as (emulator, client):
            ids = [f"ana_{number}" for number in range(10)]
            async with client.as_completed(ids, max_ready=2) as one, client.as_completed(ids, max_ready=2) as two:
                await asyncio.sleep(30.0)
                assert emulator.journal.total <= 6
                assert len([outcome async for outcome in two]) == 10
                assert len([outcome async for outcome in one]) == 10

    async def test_who_leaves_gives_the_id_back(self):
        """To the one that had it before, once that goes on."""
        async with running(adopt_unknown=True, latency=Latency.uniform(20.0, 20.0)) as (_, client):
            async with client.as_completed(["ana_1", "no id", "no id 2"], max_ready=2) as finished:
                other = asyncio.create_task(client.wait("ana_1"))
                await asyncio.sleep(5.0)
                other.cancel()
                taken = [outcome async for outcome in finished]
            assert [outcome.id for outcome in taken if outcome.ok] == ["ana_1"]

    async def test_a_stalled_batch_does_not_keep_the_first_request_from_the_others(self):
        """A client that never had an answer asks once for all, and not through one that takes nothing."""
        ids = ["no id", "no id 2", "ana_1"]
        async with (
            running(adopt_unknown=True, latency=Latency.immediate()) as (_, client),
            client.as_completed(ids, max_ready=1) as finished,
        ):
            await asyncio.sleep(1.0)
            assert (await client.wait("ana_2", timeout=10.0)).is_settled
            assert (await client.wait("ana_1", timeout=10.0)).is_settled
            assert len([outcome async for outcome in finished]) == 3


@virtual
@pytest.mark.parametrize(
    "names", [{"summary", "topics", "sentiment"}, frozenset({"quality", "topics", "summary", "action_items"})]
)
async def test_a_set_of_components_is_sent_in_one_order(names):
    """An idempotency key stands for one body, and a set's order differs from process to process."""
    async with running(revision="a") as (emulator, client):
        await client.analyses.create("sess_1", analyses=names, idempotency_key="one")
        await client.analyses.create("sess_1", analyses=sorted(names), idempotency_key="one")
        statuses = [entry.status for entry in emulator.journal]
    assert statuses[0] == statuses[1] < 300


@pytest.mark.parametrize(
    "prompts",
    [
        {"topics": "Which?", "summary": "In a line."},
        {"b": "1", "c": "2", "a": "3"},
        MappingProxyType({"z": "2", "quality": "How?", "é": "4"}),
    ],
    ids=["two", "three", "a proxy"],
)
def test_prompts_are_sent_in_one_order(prompts):
    """An idempotency key stands for one body, whoever wrote the prompts down in another order."""
    turned = dict(reversed(prompts.items()))
    one, other = (create_analysis("sess_1", idempotency_key="k", custom_prompts=it, **A) for it in (prompts, turned))
    assert one.body == other.body


@virtual
@pytest.mark.parametrize("kind", ["a generator", "an iterator", "a list that is changed", "keys"])
async def test_components_are_taken_as_they_are_when_the_call_is_made(kind):
    """For every session of a batch, whatever they are given as."""
    names = ["summary", "topics"]
    given = {
        "a generator": (name for name in names),
        "an iterator": iter(names),
        "a list that is changed": names,
        "keys": dict.fromkeys(names).keys(),
    }[kind]
    async with running(revision="a", latency=Latency.immediate()) as (_, client):
        sessions = [f"sess_{number}" for number in range(3)]
        outcomes = await client.analyze_many(sessions, analyses=given, on_created=lambda *_: names.clear())
        assert [outcome.ok for outcome in outcomes] == [True] * 3


@virtual
@pytest.mark.parametrize(("call", "word"), [("analyze", "analysis"), ("analyze", "components"), ("analyze_many", "x")])
async def test_an_unknown_word_is_a_mistake_of_the_call_that_was_made(call, word):
    """The message names the call that its caller knows, and what can be asked for."""
    async with running() as (emulator, client):
        with pytest.raises(TypeError, match=rf"^{call}\(\) got an unexpected keyword argument '{word}'.*analyses"):
            await getattr(client, call)("sess_1" if call == "analyze" else ["sess_1"], **{word: ["summary"]})
        assert emulator.journal.total == 0


# -- other threads and loops, on the real clock


class _Elsewhere:
    """An emulator in a thread of its own, so that no client's loop is its."""

    def __init__(self) -> None:
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        self._end = asyncio.Event()
        latency = Latency.uniform(0.5, 0.5)
        async with Emulator(adopt_unknown=True, latency=latency) as self.emulator:
            self._ready.set()
            await self._end.wait()

    def __enter__(self) -> Emulator:
        self._thread.start()
        assert self._ready.wait(20.0)
        return self.emulator

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(20.0)


def _client(server: Emulator, **options) -> KallglotClient:
    return KallglotClient(server.api_key, base_url=server.base_url, **options)


def _beside(first: Callable[[asyncio.Event], object], second: Callable[[], object]) -> tuple[object, object]:
    """Run `first` in a thread of its own, `second` here once the first is under way, and return what each gave."""
    under_way, found = threading.Event(), []

    async def run() -> object:
        task = asyncio.ensure_future(first())
        await asyncio.sleep(0.2)
        under_way.set()
        return await task

    thread = threading.Thread(target=lambda: found.append(asyncio.run(run())))
    thread.start()
    assert under_way.wait(20.0)

    async def here() -> object:
        try:
            return await asyncio.wait_for(second(), 10.0)
        except KallglotError as error:
            return error

    other = asyncio.run(here())
    thread.join(20.0)
    return found[0], other


@pytest.mark.parametrize("theirs", beyond(1, [["ana_1"], ["ana_2"], [f"ana_{number}" for number in range(30)]]))
def test_a_second_thread_is_told_and_the_first_goes_on(theirs):
    """One client serves one event loop at a time; whoever comes second hears so at once, for whichever id."""
    with _Elsewhere() as server:
        client = _client(server)
        found, other = _beside(lambda: client.wait_many(["ana_1"]), lambda: client.wait_many(theirs))
    assert found[0].ok
    assert isinstance(other, ConfigurationError)
    assert "another thread" in str(other)


def test_clients_of_their_own_do_not_disturb_each_other():
    """Two threads, two clients, two limiters: both are served."""
    with _Elsewhere() as server:
        one, two = _client(server, rate_limit=RateLimiter()), _client(server, rate_limit=RateLimiter())
        found, other = _beside(lambda: one.wait_many(["ana_1"]), lambda: two.wait_many(["ana_1"]))
    assert found[0].ok
    assert other[0].ok


@pytest.mark.parametrize("turns", beyond(1, [20, 0, None, 1, 5, 10, 40]))
@pytest.mark.parametrize("how", ["goes on", "is cancelled"])
def test_a_wait_on_a_loop_that_stands_still_is_not_followed(turns, how):
    """Nobody would ever answer: whoever waits for the same id on a loop that runs polls it.

    Wherever the first stood as its loop stopped: before its request, while that was out, between two polls.
    """
    with _Elsewhere() as server:
        client = _client(server)
        still = asyncio.new_event_loop()
        tasks = [still.create_task(client.wait_many(["ana_1", "ana_3"])) for _ in range(2)]
        tasks.append(still.create_task(client.analyses.retrieve("ana_3")))

        still.run_until_complete(asyncio.sleep(0.2) if turns is None else _turns(turns))

        async def other():
            return await asyncio.wait_for(client.wait_many(["ana_1", "ana_2"]), 10.0)

        assert all(outcome.ok for outcome in asyncio.run(other()))
        if how == "is cancelled":
            for task in tasks:
                task.cancel()
        still.run_until_complete(asyncio.wait(tasks, timeout=10.0))
        assert all(task.done() for task in tasks)
        if how == "goes on":
            assert all(outcome.ok for task in tasks[:2] for outcome in task.result())
            assert tasks[2].result().id == "ana_3"
        still.run_until_complete(client.aclose())
        still.close()
        assert (client.rate_limit.in_flight, client.rate_limit.waiting) == (0, 0)


def test_between_two_requests_a_second_thread_is_told_before_anything_is_paid_for():
    """Also where the two share a limiter and nothing else, and where the first does not wait for anything just then."""
    with _Elsewhere() as server:
        limiter = RateLimiter()
        clients = {name: _client(server, rate_limit=limiter) for name in ("one", "two")}
        view = clients["one"].with_options(timeout=5.0)
        calls = [
            lambda: clients["one"].analyses.retrieve("ana_1"),
            lambda: clients["two"].analyze("sess_1", **A),
            lambda: clients["one"].analyze("sess_1", **A),
            lambda: clients["two"].analyze_many(["sess_1", "sess_2"], **A),
            lambda: clients["two"].sessions.retrieve("sess_1"),
            lambda: clients["two"].wait_many(["ana_1"]),
            lambda: clients["two"].analyses.retrieve_many(["ana_1"]),
            lambda: view.analyses.create("sess_1", **A),
        ]

        async def first(call):
            await clients["one"].analyses.retrieve("ana_1")
            loop = asyncio.get_running_loop()
            told = await loop.run_in_executor(None, lambda: asyncio.run(_error_of(call)))
            await clients["one"].analyses.retrieve("ana_1")  # and it goes on
            return told

        for call in calls:
            told = asyncio.run(first(call))
            assert isinstance(told, ConfigurationError)
            assert "another thread" in str(told)
        assert not [entry for entry in server.journal if entry.method == "POST"]


def test_a_client_that_was_closed_in_one_thread_may_be_used_in_the_next():
    """While the first thread's loop runs on: it has no more use for it."""
    with _Elsewhere() as server:
        client = _client(server)

        async def first():
            async with client:
                await client.analyses.retrieve("ana_1")
            return await asyncio.get_running_loop().run_in_executor(None, lambda: asyncio.run(second()))

        async def second():
            async with client:
                return await client.wait("ana_1")

        assert asyncio.run(first()).is_settled


def test_an_event_from_another_thread_is_refused_and_not_lost():
    """The wait would not have been woken; handed over to its loop, it is."""
    with _Elsewhere() as server:
        client = _client(server, inbox=WebhookInbox())

        event = parse_event(json.dumps({"id": "evt_1", "type": "analysis.complete", "data": {"id": "ana_1"}}).encode())

        async def main():
            wait = asyncio.create_task(client.wait("ana_1"))
            await asyncio.sleep(0.2)
            loop = asyncio.get_running_loop()
            with pytest.raises(ConfigurationError, match="call_soon_threadsafe"):
                await loop.run_in_executor(None, lambda: client.settle(event))
            assert client.settle(event)
            await wait
            await client.aclose()

        asyncio.run(main())


def test_outcomes_are_taken_on_the_loop_of_their_block():
    """Another loop would never be woken."""
    with _Elsewhere() as server:
        client = _client(server)

        async def main():
            async with client.as_completed(["ana_1"]) as finished:
                loop = asyncio.get_running_loop()
                told = await loop.run_in_executor(None, lambda: asyncio.run(_error_of(finished.__anext__)))
                assert isinstance(told, ConfigurationError)
                assert [outcome.ok async for outcome in finished] == [True]
            await client.aclose()

        asyncio.run(main())


async def _turns(count):
    for _ in range(count):
        await asyncio.sleep(0)


async def _error_of(call):
    try:
        return await asyncio.wait_for(call(), 10.0)
    except KallglotError as error:
        return error


@pytest.mark.parametrize(
    "call",
    [
        "wait",
        "retrieve",
        "wait_many",
        "retrieve_many",
        "enter",
        "analyze",
        "analyze_many",
        "create",
        "as_completed",
        "sessions",
        "recordings",
        "download",
        "close",
    ],
)
def test_under_trio_an_error_names_asyncio(call):
    """It is ours, and says what to do; nothing hangs."""
    trio = pytest.importorskip("trio")

    async def main():
        client = KallglotClient("sk_test_1", base_url="http://127.0.0.1:9")
        calls = {
            "wait": lambda: client.wait("ana_1"),
            "retrieve": lambda: client.analyses.retrieve("ana_1"),
            "wait_many": lambda: client.wait_many(["ana_1"]),
            "retrieve_many": lambda: client.analyses.retrieve_many(["ana_1"]),
            "enter": client.__aenter__,
            "analyze": lambda: client.analyze("sess_1", **A),
            "analyze_many": lambda: client.analyze_many(["sess_1"], **A),
            "create": lambda: client.analyses.create("sess_1", **A),
            "as_completed": client.as_completed(["ana_1"]).__aenter__,
            "sessions": lambda: client.sessions.retrieve("sess_1"),
            "recordings": lambda: client.recordings.retrieve("rec_1"),
            "download": lambda: client.recordings.download("rec_1", io.BytesIO()),
            "close": client.aclose,
        }
        await calls[call]()

    with pytest.raises(KallglotError, match="asyncio"):
        trio.run(main)


@virtual
@pytest.mark.parametrize(
    ("kind", "name"),
    [(kind, "on_outcome") for kind in KINDS] + [("analyze_many", "on_created"), ("analyze_many", "on_progress")],
)
async def test_a_callback_that_cancels_its_own_task_cancels_the_call(kind, name):
    """Whichever task that is: no call returns as if the ids of that task had never been asked for."""

    def cancel(*_: object) -> None:
        asyncio.current_task().cancel()

    async with running(adopt_unknown=True, latency=Latency.immediate()) as (_, client):
        call = asyncio.create_task(_all(client, kind, 6, **{name: cancel}))
        with pytest.raises(asyncio.CancelledError):
            await call
        assert (await client.analyses.retrieve("ana_1")).is_complete
        assert client.stats.in_flight == 0


@virtual
async def test_each_callers_callbacks_have_that_callers_context():
    """Also where another call polls what it waits for, or a timer ends it: spans have their own parents."""
    caller: contextvars.ContextVar[str] = contextvars.ContextVar("caller", default="nobody")
    settled, progressed = collections.Counter(), []

    async def wait(client: KallglotClient, name: str, ids: list[str], **options: float) -> None:
        caller.set(name)
        await client.wait_many(ids, on_progress=lambda _: progressed.append((name, caller.get())), **options)

    def on_event(event: ClientEvent) -> None:
        settled[caller.get()] += isinstance(event, SettledEvent)

    async with (
        Emulator(plan="unlimited", latency=Latency.uniform(2.0, 3.0)) as emulator,
        _client(emulator, on_event=on_event) as client,
    ):
        ids = emulator.seed_analyses(3)
        await asyncio.gather(
            wait(client, "polls two", ids[:2]),
            wait(client, "polls one, follows two", ids),
            wait(client, "follows one", ids[:1]),
            wait(client, "ends early", ids[:2], timeout=1.0),
        )
    assert settled == {"polls two": 2, "polls one, follows two": 3, "follows one": 1, "ends early": 2}
    assert {name for name, _ in progressed} == {"polls two", "polls one, follows two", "follows one"}
    assert [(name, seen) for name, seen in progressed if name != seen] == []


@virtual
async def test_a_caller_who_is_told_that_nobody_is_there_is_told_in_its_own_context():
    """One asks for all, before the API was ever heard."""
    caller: contextvars.ContextVar[str] = contextvars.ContextVar("caller", default="nobody")
    settled = []

    async def wait(name: str) -> None:
        caller.set(name)
        await client.wait_many([f"ana_{name}", f"ana_{name}2"])

    def on_event(event: ClientEvent) -> None:
        if isinstance(event, SettledEvent):
            settled.append((event.id.removeprefix("ana_").removesuffix("2"), caller.get()))

    async with KallglotClient("sk_test_1", base_url="http://127.0.0.1:9", on_event=on_event) as client:
        await asyncio.gather(wait("a"), wait("b"))
    assert sorted(settled) == [("a", "a"), ("a", "a"), ("b", "b"), ("b", "b")]
