"""Requesting and waiting in one: for one session, and for many under one limiter."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest
from support.slow import beyond
from support.wire_faults import Fault, RawServer, analysis, answer

from kallglot_async import (
    AnalysisFailedError,
    ConfigurationError,
    IdSourceError,
    InsufficientCreditsError,
    InvalidRequestError,
    KallglotClient,
    NotAttemptedError,
    Outcome,
    PermissionDeniedError,
    RequestTimeoutError,
    ResponseMismatchError,
    WaitTimeoutError,
)
from kallglot_async.emulator import Emulator, Latency
from kallglot_async.models import SettledEvent

pytestmark = pytest.mark.looptime
A: dict[str, Any] = {"analyses": ["summary"]}
B: dict[str, Any] = {"include": ["summary"]}


@asynccontextmanager
async def running(**settings: Any) -> AsyncIterator[tuple[Emulator, KallglotClient]]:
    options = {"plan": "pro", "latency": Latency.uniform(22.0, 30.0), "seed": 7, "epoch": 1_800_000_000.0} | settings
    async with Emulator(**options) as emulator, KallglotClient(emulator.api_key, base_url=emulator.base_url) as client:
        yield emulator, client
        assert (client.rate_limit.in_flight, client.rate_limit.waiting, client.stats.waiting_for) == (0, 0, 0)


def sessions(number: int) -> list[str]:
    return [f"sess_{place}" for place in range(number)]


def creations(emulator: Emulator) -> int:
    return len(emulator.analyses())


@pytest.mark.parametrize("request_", [A, B], ids=["A", "B"])
async def test_one_call_requests_and_waits(request_: dict[str, Any]) -> None:
    """One creation, and the settled analysis of that session."""
    async with running() as (emulator, client):
        analysis = await client.analyze("sess_1", **request_)
        assert analysis.is_complete
        assert analysis.session_id == "sess_1"
        assert creations(emulator) == 1


async def test_a_wait_that_runs_out_names_the_analysis() -> None:
    """So that it can be waited for again instead of being paid for again."""
    async with running() as (emulator, client):
        with pytest.raises(WaitTimeoutError) as caught:
            await client.analyze("sess_1", timeout=5.0, **A)
        assert (await client.wait(caught.value.id)).is_complete
        assert creations(emulator) == 1


@pytest.mark.untraced
@pytest.mark.parametrize("request_", beyond(1, [A, B]), ids=["A", "B"])
async def test_many_are_requested_and_waited_for_under_one_limit(request_: dict[str, Any]) -> None:
    """More than two windows' worth: one creation and one outcome each, in the order of the input, nothing refused."""
    async with running() as (emulator, client):
        ids = sessions(200)
        seen: list[str] = []
        outcomes = await client.analyze_many(
            [*ids, *ids[:5]], on_outcome=lambda outcome: seen.append(outcome.id), **request_
        )
        assert [outcome.id for outcome in outcomes] == ids
        assert [outcome.unwrap().session_id for outcome in outcomes] == ids
        assert sorted(seen) == sorted(ids)
        assert creations(emulator) == 200
        assert emulator.journal.refused == 0


@pytest.mark.untraced
@pytest.mark.slow
async def test_no_more_is_under_way_than_the_rate_can_look_after() -> None:
    """150 requests a minute: about 45 s of that, not all 1,000 at once."""
    async with running() as (emulator, client):
        task = asyncio.create_task(client.analyze_many(sessions(1_000), **A))
        most = 0
        for _ in range(40):
            await asyncio.sleep(5.0)
            most = max(most, client.stats.waiting_for)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert 50 < most < 150
        assert emulator.journal.refused == 0


@pytest.mark.untraced
async def test_no_credits_stop_the_requests_and_not_the_waits() -> None:
    """What is paid for is delivered; the rest are reported, and one of them with the 402."""
    async with running(credits=20, revision="b") as (emulator, client):
        outcomes = await client.analyze_many(sessions(60), **B)
        assert len(outcomes) == 60
        assert len(outcomes.analyses) == 20 == creations(emulator)
        kinds = [type(error) for error in outcomes.errors.values()]
        assert 1 <= kinds.count(InsufficientCreditsError) <= 16
        assert set(kinds) <= {InsufficientCreditsError, NotAttemptedError}


@pytest.mark.untraced
async def test_a_batch_that_is_killed_and_started_again_creates_nothing_twice() -> None:
    """The same name gives the same keys; the server answers with what it has created."""
    async with running() as (emulator, client):
        first = asyncio.create_task(client.analyze_many(sessions(30), batch="nightly", **A))
        await asyncio.sleep(10.0)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        created = creations(emulator)
        assert created > 0
        outcomes = await client.analyze_many(sessions(30), batch="nightly", **A)
        assert len(outcomes.analyses) == 30 == creations(emulator)


@pytest.mark.untraced
async def test_creations_that_lose_their_answers_are_made_once() -> None:
    """One in three answers is lost after the server acted: no analysis too many, none lost."""
    fault = Fault(kind="reset_in_body", operation="analyses.create", rate=0.33)
    async with running(faults=[fault], plan="unlimited") as (emulator, client):
        outcomes = await client.with_options(max_attempts=8).analyze_many(sessions(50), **A)
        assert len(outcomes.analyses) + len(outcomes.errors) == 50
        assert creations(emulator) == 50


async def test_one_failure_costs_no_sibling() -> None:
    """A session that the API refuses gets its own error."""
    fault = Fault(kind="status", status=422, operation="analyses.create", id="sess_3")
    async with running(faults=[fault]) as (_, client):
        outcomes = await client.analyze_many(sessions(10), **A)
        assert list(outcomes.errors) == ["sess_3"]


async def test_a_403_ends_the_requests() -> None:
    """The key may not do this: nothing more is asked."""
    fault = Fault(kind="status", status=403, operation="analyses.create", after=5)
    async with running(faults=[fault]) as (emulator, client):
        outcomes = await client.analyze_many(sessions(40), **A)
        assert len(outcomes) == 40
        assert any(isinstance(error, PermissionDeniedError) for error in outcomes.errors.values())
        assert len(outcomes.analyses) == creations(emulator) == 5


@pytest.mark.untraced
async def test_the_total_timeout_reports_every_session() -> None:
    """What has settled is returned; the rest say how far they came."""
    async with running() as (_, client):
        ids = sessions(300)
        outcomes = await client.analyze_many(ids, total_timeout=45.0, **A)
        assert [outcome.id for outcome in outcomes] == ids
        assert len(outcomes.analyses) > 20
        kinds = {type(error) for error in outcomes.errors.values()}
        assert NotAttemptedError in kinds
        assert asyncio.get_running_loop().time() < 46.0


async def test_what_waited_for_its_turn_as_the_time_was_over_was_not_attempted() -> None:
    """Only of what was sent nobody knows whether it was done, and only that has a key to ask again with."""
    async with running(faults=[Fault(kind="hang")]) as (emulator, client):
        outcomes = await client.analyze_many(sessions(5), total_timeout=10.0, **A)
        first, *others = outcomes
        assert isinstance(first.error, RequestTimeoutError)
        assert first.error.idempotency_key
        assert [type(outcome.error) for outcome in others] == [NotAttemptedError] * 4
        assert len(emulator.journal.requests()) == 1


async def test_an_endless_source_of_sessions_ends_with_the_total_timeout() -> None:
    """An iterable that never gives another id holds up nothing."""

    async def endless() -> AsyncIterator[str]:
        yield "sess_1"
        await asyncio.Event().wait()

    async with running() as (_, client):
        outcomes = await client.analyze_many(endless(), total_timeout=60.0, **A)
        assert [outcome.id for outcome in outcomes] == ["sess_1"]
        assert outcomes[0].unwrap().is_complete


async def test_a_source_that_raises_loses_nothing() -> None:
    """The sessions before it are analysed, and their outcomes are on the error."""

    def broken() -> Any:
        yield from sessions(3)
        raise OSError("the database is gone")

    async with running() as (_, client):
        with pytest.raises(IdSourceError) as caught:
            await client.analyze_many(broken(), **A)
        assert caught.value.outcomes is not None
        assert len(caught.value.outcomes.analyses) == 3


async def test_what_a_callback_raises_ends_the_call_as_it_is() -> None:
    """No group around it, and nothing left behind."""

    def choke(_: object) -> None:
        raise ZeroDivisionError

    async with running() as (_, client):
        with pytest.raises(ZeroDivisionError):
            await client.analyze_many(sessions(20), on_outcome=choke, **A)


@pytest.mark.parametrize(
    ("ids", "request_", "kind"),
    [
        (["sess_1"], {"analyses": []}, ConfigurationError),
        (["sess_1"], {**A, "batch": ""}, ConfigurationError),
        (["sess_1"], {"analysis": ["summary"]}, TypeError),
        (["sess_1"], {"analyses": ["summary"], "profile": "x"}, ConfigurationError),
        ("sess_1", A, ConfigurationError),
        (["sess_1"], {"analyses": ["summary"], "batch": "new\nline"}, ConfigurationError),
    ],
)
async def test_bad_input_is_refused_before_any_request(
    ids: Any, request_: dict[str, Any], kind: type[Exception]
) -> None:
    """Nothing was created of a batch that cannot be."""
    async with running() as (emulator, client):
        with pytest.raises(kind):
            await client.analyze_many(ids, **request_)
        assert emulator.journal.total == 0


@pytest.mark.untraced
async def test_time_that_is_over_names_every_analysis_that_was_created() -> None:
    """A backlog between creating and waiting: nothing that was paid for is said never to have been requested."""
    for after in (0.02, 0.1, 0.5):
        async with running(plan="unlimited") as (emulator, client):
            told: list[Outcome] = []
            outcomes = await client.analyze_many(sessions(100), total_timeout=after, on_outcome=told.append, **A)
            assert sorted(map(id, outcomes)) == sorted(map(id, told))
            named = {outcome.error.id for outcome in outcomes if isinstance(outcome.error, WaitTimeoutError)}
            unsure = sum(isinstance(outcome.error, RequestTimeoutError) for outcome in outcomes)
            made = {analysis.id for analysis in emulator.analyses()}
            assert named <= made
            assert len(made - named) <= unsure


async def test_an_error_after_the_create_names_the_analysis() -> None:
    """It is paid for: it can be waited for again."""
    fault = Fault(kind="status", status=422, operation="analyses.retrieve")
    async with running(faults=[fault]) as (emulator, client):
        outcomes = await client.analyze_many(sessions(3), **A)
        made = {analysis.id for analysis in emulator.analyses()}
        assert {error.id for error in outcomes.errors.values() if isinstance(error, InvalidRequestError)} == made
        with pytest.raises(InvalidRequestError) as caught:
            await client.analyze("sess_9", **A)
        assert caught.value.id == emulator.analyses()[-1].id


@pytest.mark.parametrize("bad", [{"timeout": -1.0}, {"schedule": "x"}], ids=str)
async def test_analyze_checks_everything_before_it_pays(bad: dict[str, Any]) -> None:
    """Nothing was created."""
    async with running() as (emulator, client):
        with pytest.raises(ConfigurationError):
            await client.analyze("sess_1", **bad, **A)
        assert emulator.journal.total == 0


@pytest.mark.parametrize("call", ["retrieve_many", "analyze_many", "wait_many"])
async def test_a_callback_that_raises_cancellation_is_raised_as_it_is(call: str) -> None:
    """It asked a cancelled future for its result; no outcome is swallowed, and no slot is lost."""

    def choke(_: object) -> None:
        raise asyncio.CancelledError

    async with running() as (emulator, client):
        ids = emulator.seed_analyses(20)
        start: dict[str, Any] = {
            "retrieve_many": lambda: client.analyses.retrieve_many(ids, on_outcome=choke),
            "analyze_many": lambda: client.analyze_many(sessions(20), on_outcome=choke, **A),
            "wait_many": lambda: client.wait_many(ids, on_outcome=choke),
        }
        with pytest.raises(asyncio.CancelledError):
            await start[call]()


async def test_one_analysis_for_two_sessions_is_the_first_ones() -> None:
    """A mixed-up answer that names no session: the other is told so, and not that nothing was requested for it."""
    async with (
        RawServer(answer(analysis("ana_1", session_id=None))) as server,
        KallglotClient("sk_test_1", base_url=server.base_url) as client,
    ):
        outcomes = await client.analyze_many(sessions(3), **A)
    assert [outcome.ok for outcome in outcomes] == [True, False, False]
    for session, error in outcomes.errors.items():
        assert isinstance(error, ResponseMismatchError)
        assert session in str(error)
        assert error.idempotency_key is not None


SETTLED = {
    "A": analysis("ana_1", session_id="sess_0"),
    "B": analysis("anl_1", session_id="sess_0", status="completed", summary="Fine."),
    "failed": analysis("ana_1", session_id="sess_0", status="failed", error={"message": "no speech"}),
}


@pytest.mark.parametrize("how", ["analyze", "analyze_many"])
@pytest.mark.parametrize("name", SETTLED)
async def test_what_is_settled_as_it_is_created_is_not_polled(how: str, name: str) -> None:
    """By a server that is quick, or as a repeated request is answered with what became of the first."""
    told: list[object] = []
    async with (
        RawServer(answer(SETTLED[name])) as server,
        KallglotClient("sk_test_1", base_url=server.base_url, on_event=told.append) as client,
    ):
        if how == "analyze":
            call = client.analyze("sess_0", **A)
            got = await call if name != "failed" else (await _failed(call)).analysis
        else:
            [outcome] = await client.analyze_many(
                sessions(1), on_created=lambda *it: told.append(it), on_outcome=told.append, **A
            )
            got = outcome.analysis if name != "failed" else outcome.error.analysis
            assert (outcome.id, outcome.polls) == ("sess_0", 0)
            assert told[-1] is outcome
            assert isinstance(told[-2], tuple)
        assert got is not None
        assert got.is_settled
        assert len(server.requests) == 1
        assert [event.id for event in told if isinstance(event, SettledEvent)] == [got.id]


@pytest.mark.looptime
async def test_what_is_settled_as_it_is_created_is_not_lost_while_somebody_is_told_of_it() -> None:
    """Its outcome is there before `on_created` is told, which may take longer than the call."""

    async def take_long(session: str, created: object) -> None:
        await asyncio.sleep(1000.0)

    answers = [answer(analysis(f"ana_{n}", session_id=f"sess_{n}")) for n in range(3)]
    async with RawServer(*answers) as server, KallglotClient("sk_test_1", base_url=server.base_url) as client:
        call = client.analyze_many(sessions(3), total_timeout=5.0, on_created=take_long, max_in_flight=1, **A)
        outcomes = await call
    assert outcomes[0].ok
    assert len(server.requests) == sum(outcome.ok for outcome in outcomes)


async def _failed(call: Coroutine[Any, Any, Any]) -> AnalysisFailedError:
    with pytest.raises(AnalysisFailedError, match="no speech") as caught:
        await call
    return caught.value


async def test_what_is_complete_as_it_is_created_but_without_its_results_is_fetched() -> None:
    """The answer to a create is documented to have none."""
    bare = analysis("ana_1", session_id="sess_0", results=None)
    async with (
        RawServer(answer(bare), answer(analysis("ana_1", session_id="sess_0"))) as server,
        KallglotClient("sk_test_1", base_url=server.base_url) as client,
    ):
        assert (await client.analyze("sess_0", **A)).results is not None
        assert len(server.requests) == 2
