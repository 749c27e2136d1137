"""What callers hand to a request for analyses: who is told of what was created, and components as they are given."""

import asyncio
from types import MappingProxyType

import pytest
from support.clients import unlimited
from support.virtual import stand_still

from kallglot_async import NotAttemptedError, WaitTimeoutError
from kallglot_async._core.api.analyses import create_analysis
from kallglot_async.emulator import Fault, Latency

A = {"analyses": ["summary"]}
virtual = pytest.mark.looptime


@virtual
class TestOnCreated:
    @pytest.mark.parametrize("is_async", [False, True])
    async def test_it_is_told_between_the_create_and_the_first_poll(self, is_async):
        """Whoever keeps the id can wait for it again, whatever happens to this process."""
        seen = {}

        async with unlimited(latency=Latency.immediate()) as (emulator, client):

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

        async with unlimited(latency=Latency.immediate() if what == "on_outcome" else Latency.uniform(60, 60)) as (
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

        async with unlimited(latency=Latency.uniform(60, 60)) as (emulator, client):
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

        async with unlimited(latency=Latency.uniform(60, 60)) as (emulator, client):
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
        async with unlimited(latency=Latency.uniform(60, 60), faults=[slow]) as (emulator, client):
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

        async with unlimited(latency=Latency.uniform(60, 60), faults=hung) as (_, client):
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

        async with unlimited(latency=Latency.uniform(60, 60)) as (_, client):
            began = loop.time()
            for number in range(20):
                loop.call_later(30.5 + number * 31.0, stand_still, 1.0)
            await client.analyze_many(["sess_1"], total_timeout=1.0, on_created=note, **A)
            assert loop.time() - began < 65.0

    async def test_the_callers_own_cancellation_waits_for_nobody(self):
        """It ends everything at once, as it does everywhere."""

        async def note(session: str, analysis) -> None:
            await asyncio.sleep(20.0)

        async with unlimited(latency=Latency.uniform(60, 60)) as (_, client):
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
        async with unlimited(latency=Latency.uniform(5, 5)) as (emulator, client):
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
        async with unlimited(latency=Latency.immediate(), faults=faults) as (emulator, client):
            await client.analyze_many(["sess_1", "sess_2"], on_progress=told.append, **A)
        assert told[-1].requests == emulator.journal.total == 7


@virtual
@pytest.mark.parametrize(
    "names", [{"summary", "topics", "sentiment"}, frozenset({"quality", "topics", "summary", "action_items"})]
)
async def test_a_set_of_components_is_sent_in_one_order(names):
    """An idempotency key stands for one body, and a set's order differs from process to process."""
    async with unlimited(revision="a") as (emulator, client):
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
    async with unlimited(revision="a", latency=Latency.immediate()) as (_, client):
        sessions = [f"sess_{number}" for number in range(3)]
        outcomes = await client.analyze_many(sessions, analyses=given, on_created=lambda *_: names.clear())
        assert [outcome.ok for outcome in outcomes] == [True] * 3


@virtual
@pytest.mark.parametrize(("call", "word"), [("analyze", "analysis"), ("analyze", "components"), ("analyze_many", "x")])
async def test_an_unknown_word_is_a_mistake_of_the_call_that_was_made(call, word):
    """The message names the call that its caller knows, and what can be asked for."""
    async with unlimited() as (emulator, client):
        with pytest.raises(TypeError, match=rf"^{call}\(\) got an unexpected keyword argument '{word}'.*analyses"):
            await getattr(client, call)("sess_1" if call == "analyze" else ["sess_1"], **{word: ["summary"]})
        assert emulator.journal.total == 0
