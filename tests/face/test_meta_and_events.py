"""What one answer knew, what a client tells of what it does, and views with other options."""

import asyncio
import copy
import logging
import pickle
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from kallglot_async import (
    ConfigurationError,
    KallglotClient,
    RateLimit,
    RateLimitedError,
    RequestTimeoutError,
    ServerError,
)
from kallglot_async.emulator import Emulator, Fault, Latency
from kallglot_async.models import (
    Analysis,
    ClientEvent,
    PollEvent,
    RequestEvent,
    ResponseEvent,
    ResponseMeta,
    RetryEvent,
    SettledEvent,
    ThrottledEvent,
)

pytestmark = pytest.mark.looptime


@asynccontextmanager
async def running(
    *faults: Fault, on_event: Any = None, **settings: Any
) -> AsyncIterator[tuple[Emulator, KallglotClient]]:
    options = {"plan": "pro", "latency": Latency.uniform(25.0, 25.0), "seed": 7, "epoch": 1_800_000_000.0} | settings
    async with (
        Emulator(faults=faults, **options) as emulator,
        KallglotClient(emulator.api_key, base_url=emulator.base_url, on_event=on_event, random=lambda: 0.5) as client,
    ):
        yield emulator, client


async def test_a_value_knows_the_answer_it_came_from() -> None:
    """Each its own, whatever came after it."""
    async with running() as (emulator, client):
        first, second = [await client.analyses.retrieve(id) for id in emulator.seed_analyses(2)]
        assert first.meta is not None
        assert second.meta is not None
        assert (first.meta.status, first.meta.attempts, first.meta.limit) == (200, 1, 150)
        assert (first.meta.remaining, second.meta.remaining) == (149, 148)
        assert first.meta.request_id != second.meta.request_id
        assert first.meta.resets_in is not None
        assert first.meta.elapsed >= 0.0


async def test_attempts_and_credits_are_told() -> None:
    """A create that was retried, in the revision that costs credits."""
    async with running(Fault(kind="status", times=2), revision="b", credits=10) as (_, client):
        created = await client.analyses.create("sess_1", include=["summary"])
        assert created.meta is not None
        assert created.meta.attempts == 3
        assert (created.meta.credits_remaining, created.meta.credits_used) == (9, 1)


async def test_neighbours_and_waits_carry_it_too() -> None:
    """Sessions, transcripts, recordings, and the analyses of waits."""
    async with running() as (emulator, client):
        [id] = emulator.seed_analyses(1)
        analysis = await client.wait(id)
        assert analysis.session_id is not None
        values = [analysis, await client.sessions.retrieve(analysis.session_id)]
        values.append(await client.sessions.transcript(analysis.session_id))
        for value in values:
            assert isinstance(value.meta, ResponseMeta)


async def test_meta_is_no_part_of_the_value() -> None:
    """Equality, encoding, copies and pickles know nothing of it."""
    async with running() as (emulator, client):
        [id] = emulator.seed_analyses(1)
        first, second = [await client.analyses.retrieve(id) for _ in range(2)]
        assert first == second
        assert b"meta" not in msgspec.json.encode(first)
        assert copy.copy(first).meta is None
        assert pickle.loads(pickle.dumps(first)).meta is None  # noqa: S301
        assert msgspec.json.decode(msgspec.json.encode(first), type=Analysis) == first


def told(events: list[ClientEvent]) -> list[tuple[Any, ...]]:
    """What is the same in every run of a scenario."""
    names = {
        RequestEvent: ("operation", "attempt"),
        ResponseEvent: ("operation", "attempt", "status", "error"),
        RetryEvent: ("operation", "attempt", "error"),
        ThrottledEvent: ("operation", "group"),
        PollEvent: ("status", "polls"),
        SettledEvent: ("error", "polls"),
    }
    return [(type(event).__name__, *(getattr(event, name) for name in names[type(event)])) for event in events]


async def test_the_exact_sequence_of_a_call() -> None:
    """A retry, a refusal and the answer; each with its request."""
    events: list[ClientEvent] = []
    faults = Fault(kind="status", times=1), Fault(kind="throttle", after=1, times=1, retry_after=2)
    async with running(*faults, on_event=events.append) as (emulator, client):
        await client.analyses.retrieve(emulator.seed_analyses(1)[0])
    name = "analyses.retrieve"
    assert told(events) == [
        ("RequestEvent", name, 1),
        ("ResponseEvent", name, 1, 503, "ServerError"),
        ("RetryEvent", name, 1, "ServerError"),
        ("RequestEvent", name, 2),
        ("ResponseEvent", name, 2, 429, "RateLimitedError"),
        ("ThrottledEvent", name, "analysis"),
        ("RequestEvent", name, 2),
        ("ResponseEvent", name, 2, 200, None),
    ]
    [pause] = [event.pause for event in events if isinstance(event, ThrottledEvent)]
    assert 2.0 <= pause <= 60.0
    assert all(event.at > 1_700_000_000.0 for event in events)


async def test_the_exact_sequence_of_a_wait() -> None:
    """Polls until it has settled, and its outcome once."""
    events: list[ClientEvent] = []
    async with running(Fault(kind="reset", times=1), on_event=events.append) as (emulator, client):
        await client.wait(emulator.seed_analyses(1)[0])
    story = told(events)
    assert story[:5] == [
        ("RequestEvent", "analyses.retrieve", 1),
        ("ResponseEvent", "analyses.retrieve", 1, None, "ConnectionLostError"),
        ("RetryEvent", "analyses.retrieve", 1, "ConnectionLostError"),
        ("RequestEvent", "analyses.retrieve", 2),
        ("ResponseEvent", "analyses.retrieve", 2, 200, None),
    ]
    polls = [event for event in story if event[0] == "PollEvent"]
    assert polls[0] == ("PollEvent", "queued", 2) or polls[0] == ("PollEvent", "processing", 2)
    assert polls[-1][1] == "complete"
    assert story[-1] == ("SettledEvent", None, polls[-1][2])
    requests = sum(event[0] == "RequestEvent" for event in story)
    assert requests == sum(event[0] == "ResponseEvent" for event in story) == len(polls) + 1


async def test_a_call_that_is_given_up_ends_its_story() -> None:
    """Cancelled or out of time: the request's end is told."""
    events: list[ClientEvent] = []
    async with running(Fault(kind="hang"), on_event=events.append) as (emulator, client):
        [id] = emulator.seed_analyses(1)
        with pytest.raises(RequestTimeoutError):
            await client.analyses.retrieve(id, timeout=3.0)
    assert told(events)[-1] == ("ResponseEvent", "analyses.retrieve", 1, None, "CancelledError")
    assert isinstance(events[-1], ResponseEvent)
    assert events[-1].elapsed == pytest.approx(3.0, abs=0.01)


async def test_a_callback_that_raises_costs_nothing_and_is_called_no_more(caplog: pytest.LogCaptureFixture) -> None:
    """It is logged once."""
    calls = []

    def choke(event: ClientEvent) -> None:
        calls.append(event)
        raise ZeroDivisionError

    async with running(on_event=choke) as (emulator, client):
        with caplog.at_level(logging.ERROR, "kallglot_async"):
            await client.analyses.retrieve(emulator.seed_analyses(1)[0])
    assert len(calls) == 1
    assert [record.message for record in caplog.records] == ["on_event raised and is not called again"]


@pytest.mark.parametrize("setting", [{"on_event": "print"}, {"random": None}])
def test_what_is_called_has_to_be_a_function(setting: dict[str, Any]) -> None:
    """Found out when the client is made."""
    with pytest.raises(ConfigurationError, match="function"):
        KallglotClient("sk_test_x", **setting)


# Views


async def test_a_view_has_its_own_options_and_shares_the_rest() -> None:
    """One attempt and two seconds for this call; limiter, connections and counts are the client's."""
    async with running(Fault(kind="status", times=3)) as (emulator, client):
        [id] = emulator.seed_analyses(1)
        quick = client.with_options(max_attempts=1, timeout=2.0)
        with pytest.raises(ServerError) as caught:
            await quick.analyses.retrieve(id)
        assert caught.value.attempts == 1
        assert (await client.analyses.retrieve(id)).id == id
        assert quick.rate_limit == client.rate_limit
        assert client.stats.retries == quick.stats.retries == 2
        await quick.aclose()  # closes nothing
        before = len(client._pool._sessions)
        assert before == 1


async def test_two_waits_of_two_views_are_one_poller() -> None:
    """The same key and id: polled once."""
    async with running() as (emulator, client):
        [id] = emulator.seed_analyses(1)
        view = client.with_options(timeout=5.0)
        [first], [second] = await asyncio.gather(client.wait_many([id]), view.wait_many([id]))
        assert first.unwrap() == second.unwrap()
        assert first.polls == second.polls == len(emulator.journal)


async def test_another_key_has_limits_of_its_own() -> None:
    """And the same id under another key is another wait."""
    async with running() as (emulator, client):
        [id] = emulator.seed_analyses(1)
        await client.analyses.retrieve(id)
        tenant = client.with_options(api_key="sk_test_another")
        assert tenant.rate_limit.limit is None
        assert client.rate_limit.limit == 150
        assert tenant._hub is not client._hub
        assert "another" not in repr(tenant)


async def test_another_rate_limit_is_another_limiter() -> None:
    """The view keeps its own ceiling; the client does not."""
    async with running(plan="unlimited") as (emulator, client):
        [id] = emulator.seed_analyses(1)
        slow = client.with_options(rate_limit=RateLimit(1, per=10.0), max_rate_wait=1.0)
        await slow.analyses.retrieve(id)
        with pytest.raises(RateLimitedError):
            await slow.analyses.retrieve(id)
        await client.analyses.retrieve(id)


@pytest.mark.parametrize(
    "options",
    [{"timeout": -1}, {"max_attempts": 0}, {"api_key": "nonsense"}, {"rate_limit": 5}, {"max_in_flight": 0.5}],
)
async def test_options_are_checked_like_the_clients_own(options: dict[str, Any]) -> None:
    """Before any request."""
    client = KallglotClient("sk_test_x")
    with pytest.raises(ConfigurationError):
        client.with_options(**options)


# What rich shows


async def test_no_way_of_showing_an_analysis_shows_call_text() -> None:
    """repr, str, format and rich."""
    from rich.pretty import pretty_repr

    body = b'{"id":"ana_1","object":"analysis","status":"complete","results":{"summary":{"brief":"CANARY"}}}'
    analysis = msgspec.json.decode(body, type=Analysis)
    assert analysis.summary_text == "CANARY"
    assert "CANARY" not in f"{analysis!r} {analysis} {pretty_repr(analysis)}"


async def test_a_client_keeps_bodies_unless_told_otherwise() -> None:
    """`raw` is what came, in a wait too; with `keep_raw=False` there is none, and the rest is as it was."""
    async with running() as (emulator, client):
        [id] = emulator.seed_analyses(1)
        analysis = await client.wait(id)
        assert analysis.raw is not None
        assert msgspec.json.decode(analysis.raw, type=Analysis) == analysis
        async with KallglotClient(emulator.api_key, base_url=emulator.base_url, keep_raw=False) as other:
            slim = await other.analyses.retrieve(id)
            assert (slim.raw, slim.extra, slim) == (None, {}, analysis)
            assert slim.meta is not None
            session = await client.sessions.retrieve(str(analysis.session_id))
            assert session.raw is not None
