"""Batches that request analyses: nothing is requested, and paid for, twice, whatever ended the run before."""

import asyncio
import time

import pytest
from support.durable import change, rows, served, until

from kallglot_async import (
    InsufficientCreditsError,
    NotFoundError,
    RateLimitedError,
    RequestError,
    RequestTimeoutError,
    ServerError,
)
from kallglot_async._durable.asking import KEY_LIFE, _is_refused
from kallglot_async.emulator import Fault, Latency

SESSIONS = [f"sess_{number}" for number in range(30)]
NEVER = Latency.uniform(1e9, 1e9)


def keys(server):
    """The idempotency keys of all requests for analyses, by session."""
    found = {}
    for entry in server.journal:
        if entry.method == "POST":
            found.setdefault(entry.path.split("/")[-2], []).append(entry.idempotency_key)
    return found


async def test_each_session_is_requested_once(path):
    """Its outcome goes by the session's id; another run, and the same list again, cost nothing."""
    async with served() as (server, client), client.open_batch(path, analyses=["summary"]) as batch:
        assert await batch.add(SESSIONS) == 30
        report = await batch.run()
        assert (report.total, report.done, report.is_complete) == (30, 30, True)
        outcomes = [outcome async for outcome in batch.outcomes()]
        assert [outcome.id for outcome in outcomes] == SESSIONS
        assert {outcome.analysis.session_id for outcome in outcomes} == set(SESSIONS)
        assert rows(path, "analysis_id") == [(outcome.analysis.id,) for outcome in outcomes]
        sent = server.journal.total
        assert await batch.add(SESSIONS) == 0
        await batch.run()
        assert (server.journal.total, len(server.analyses())) == (sent, 30)


async def test_ids_of_analyses_are_no_sessions(path):
    """They fail from the start."""
    async with served() as (server, client), client.open_batch(path, kind="analyze") as batch:
        assert await batch.add(["ana_1", "sess_1"]) == 2
        assert (batch.status().failed, server.journal.total) == (1, 0)


async def test_it_is_written_before_it_is_sent_and_before_it_is_polled(path):
    """`asked` before the request, `created` with the analysis' id before the first poll."""
    async with served(faults=[Fault(kind="hang", operation="analyses.create", times=1)]) as (server, client):
        async with client.open_batch(path, analyses=["summary"]) as batch:
            await batch.add(["sess_1", "sess_2"])
            running = asyncio.create_task(batch.run())
            await until(lambda: server.journal.total == 1)
            assert rows(path) == [("sess_1", "asked"), ("sess_2", "asked")]
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
        server.add_fault(Fault(kind="hang", operation="analyses.retrieve"))
        async with client.open_batch(path) as batch:
            running = asyncio.create_task(batch.run())
            await until(lambda: len(server.analyses()) == 2 and rows(path, "count(analysis_id)") == [(2,)])
            created = rows(path, "state, analysis_id")
            assert created == [("created", record.id) for record in sorted(server.analyses(), key=by_session)]
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
        assert all(len(set(sent)) == 1 for sent in keys(server).values())
        server.clear_faults()
        before = len(server.journal)
        async with client.open_batch(path) as batch:
            assert (await batch.run()).done == 2
        assert {entry.method for entry in list(server.journal)[before:]} == {"GET"}  # paid for: waited for only
        assert len(server.analyses()) == 2


def by_session(record):
    return record.session_id


@pytest.mark.parametrize(
    "limits",
    [{}, {"rate_limit": (2, 60.0), "speed": 6000.0, "retry_after": "fractional", "rate_headers": "fractional"}],
    ids=["at once", "in line"],
)
async def test_a_session_that_was_not_sent_is_left_again(path, limits):
    """Credits that ran out leave nothing that says it was asked for, however many stood in line for their request."""
    async with (
        served(revision="b", credits=4, **limits) as (server, client),
        client.open_batch(path, kind="analyze") as batch,
    ):
        await batch.add(SESSIONS)
        report = await batch.run(max_in_flight=16)
        assert isinstance(report.reason, InsufficientCreditsError)
        assert (report.done, report.failed, report.left + report.given_up) == (4, 0, 26)
        assert rows(path, "count(*)", "asked_at IS NOT NULL AND state != 'done'") == [(0,)]
        assert len(server.analyses()) == 4


async def test_a_request_whose_fate_is_unknown_is_repeated_under_its_key(path):
    """The server acted on it and its answer was lost: the next run gets the same analysis."""
    lost = Fault(kind="close", operation="analyses.create", takes_effect=True)
    async with served(faults=[lost]) as (server, client), client.open_batch(path, analyses=["summary"]) as batch:
        await batch.add(["sess_1"])
        report = await batch.run(timeout=0.5)
        assert (report.given_up, len(server.analyses())) == (1, 1)
        server.clear_faults()
        assert (await batch.run()).done == 1
        assert len(server.analyses()) == 1
        assert len(set(keys(server)["sess_1"])) == 1


def ended(kind, *, attempts=1, **facts):
    error = kind("it went wrong", **facts)
    error.attempts = attempts
    return error


@pytest.mark.parametrize(
    ("error", "is_refused"),
    [
        (ended(InsufficientCreditsError, status=402), True),
        (ended(NotFoundError, status=404), True),
        (ended(RateLimitedError, attempts=0), True),
        (ended(RateLimitedError), False),
        (ended(NotFoundError, status=404, attempts=2), False),
        (ended(ServerError, status=503), False),
        (ended(RequestTimeoutError), False),
        (None, False),
    ],
    ids=lambda value: f"{value!r} of {getattr(value, 'attempts', 0)}",
)
def test_only_a_plain_no_to_the_only_request_says_that_nothing_was_created(error, is_refused):
    """Everything else may have been carried out, and is repeated under its key."""
    assert _is_refused(error) == is_refused


@pytest.mark.parametrize("state", ["asked", "given_up"])
async def test_what_was_asked_for_too_long_ago_is_uncertain(path, state):
    """Its key may be forgotten: it is told, and requested under a new one only by who says so."""
    async with served() as (server, client), client.open_batch(path, analyses=["summary"]) as batch:
        await batch.add(["sess_1", "sess_2"])
        for session, age in (("sess_1", KEY_LIFE + 60), ("sess_2", KEY_LIFE - 60)):
            asked_at = time.time() - age
            change(path, "UPDATE item SET state = ?, asked_at = ?, settled_at = ? WHERE id = ?",
                   state, asked_at, asked_at, session)  # fmt: skip
        report = await batch.run()
        assert (report.uncertain, report.done, report.is_complete) == (1, 1, False)
        assert set(keys(server)) == {"sess_2"}
        [outcome] = [outcome async for outcome in batch.outcomes("uncertain")]
        assert type(outcome.error) is RequestError
        assert "sess_1 was interrupted more than 24 hours ago" in outcome.error.message
        report = await batch.run(pay_again=True)
        assert (report.uncertain, report.done) == (0, 2)
        assert keys(server)["sess_1"] != [outcome.error.idempotency_key]


async def test_a_wait_that_was_given_up_goes_on(path):
    """Under the analysis that is paid for."""
    async with served(latency=NEVER) as (server, client), client.open_batch(path, analyses=["summary"]) as batch:
        await batch.add(["sess_1"])
        for _ in range(2):
            assert (await batch.run(timeout=0.3)).given_up == 1
        assert (len(keys(server)["sess_1"]), len(server.analyses())) == (1, 1)
        assert (await batch.run(timeout=None, total_timeout=0.3)).given_up == 1


async def test_failed_analyses_are_requested_anew_when_told_to(path):
    """Under a new key, as the old one brings back the old answer; what was only not found, too."""
    async with served(failure_rate=1.0) as (server, client), client.open_batch(path, analyses=["summary"]) as batch:
        await batch.add(["sess_1"])
        assert (await batch.run()).failed == 1
        assert batch.retry() == 1
        assert (await batch.run()).failed == 1
        assert len(server.analyses()) == len(set(keys(server)["sess_1"])) == 2


async def test_what_failed_on_its_way_is_waited_for_again(path):
    """The analysis is paid for, and only its answer could not be used: no new one is requested."""
    async with served() as (server, client), client.open_batch(path, analyses=["summary"]) as batch:
        server.add_fault(Fault(kind="missing_field", operation="analyses.retrieve"))
        await batch.add(["sess_1"])
        assert (await batch.run()).failed == 1
        server.clear_faults()
        assert batch.retry() == 1
        assert rows(path) == [("sess_1", "created")]
        assert (await batch.run()).done == 1
        assert len(server.analyses()) == 1


async def test_a_session_that_is_not_there_fails_for_good(path):
    """By the API's word."""
    gone = Fault(kind="status", status=404, operation="analyses.create")
    async with served(faults=[gone]) as (_, client), client.open_batch(path, analyses=["summary"]) as batch:
        await batch.add(["sess_1"])
        assert (await batch.run()).failed == 1
        [outcome] = [outcome async for outcome in batch.outcomes("failed")]
        assert isinstance(outcome.error, NotFoundError)


async def test_the_request_of_the_file_is_what_is_sent(path):
    """Also by a run that does not name it."""
    request = {"analyses": ["summary"], "language": "de", "custom_prompts": {"summary": "Be brief."}}
    async with served() as (server, client):
        async with client.open_batch(path, **request) as batch:
            await batch.add(["sess_1"])
        async with client.open_batch(path) as batch:
            assert batch.identity.request == request
            assert (await batch.run()).done == 1
        assert server.analyses()[0].session_id == "sess_1"
        [outcome] = [outcome async for outcome in client_outcomes(client, path)]
        assert outcome.analysis.results.summary is not None


async def client_outcomes(client, path):
    async with client.open_batch(path) as batch:
        async for outcome in batch.outcomes():
            yield outcome


async def test_a_key_that_is_forgotten_while_the_run_waits_is_not_used(path):
    """What is created is waited for first, and that may take hours."""
    async with served(latency=NEVER) as (server, client), client.open_batch(path, analyses=["summary"]) as batch:
        await batch.add(["sess_1"])
        await batch.run(timeout=0.3)
        await batch.add(["sess_2", "sess_3"])
        for session, age in (("sess_2", KEY_LIFE - 0.5), ("sess_3", KEY_LIFE - 60)):
            change(path, "UPDATE item SET state = 'asked', asked_at = ? WHERE id = ?", time.time() - age, session)
        report = await batch.run(timeout=1.0)
        assert (report.uncertain, report.given_up) == (1, 2)
        assert set(keys(server)) == {"sess_1", "sess_3"}


async def test_what_was_asked_for_by_a_clock_that_was_ahead_is_uncertain(path):
    """How long ago that was is not known, and so not whether the API still has the key."""
    async with served() as (server, client), client.open_batch(path, analyses=["summary"]) as batch:
        await batch.add(["sess_1", "sess_2"])
        for session, ahead in (("sess_1", 48 * 3600), ("sess_2", 60)):
            change(path, "UPDATE item SET state = 'asked', asked_at = ? WHERE id = ?", time.time() + ahead, session)
        report = await batch.run()
        assert (report.uncertain, report.done) == (1, 1)
        assert set(keys(server)) == {"sess_2"}
