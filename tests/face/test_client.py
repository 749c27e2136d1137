"""The client as its users hold it: settings, limits that are shared, and its life."""

from __future__ import annotations

import asyncio
import io
import pickle
from enum import Enum
from typing import Any
from unittest.mock import AsyncMock, create_autospec, patch

import pytest
from support.answering import Answering, Request
from support.clients import client_of, ready, unlimited
from support.wire_faults import analysis, answer

import kallglot_async
from kallglot_async import ConfigurationError, KallglotClient, RateLimit, RateLimiter
from kallglot_async.emulator import Emulator, Latency
from kallglot_async.models import Outcome

pytestmark = pytest.mark.looptime

KEY = "sk_test_canary9Zk4"


# Settings


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KALLGLOT_API_KEY", raising=False)
    monkeypatch.delenv("KALLGLOT_BASE_URL", raising=False)


@pytest.mark.parametrize(
    ("key", "told"),
    [
        ("", "malformed"),
        ("secret", "malformed"),
        ("sk_test_", "malformed"),
        ("sk_other_abc", "malformed"),
        ("sk_test_with blank", "malformed"),
        ("sk_test_new\nline", "malformed"),
        ("sk_test_ümlaut", "malformed"),
        ("sk_test_" + "x" * 600, "malformed"),
        ("sk_test_abc\n", "strip them"),
        (" sk_live_abc", "strip them"),
        ("Bearer sk_test_abc", "pass the key alone"),
        ("kst_live_abc", "stream token"),
        (b"sk_test_abc", "not text"),
    ],
)
def test_an_impossible_key_is_refused_and_not_shown(key: Any, told: str) -> None:
    """A key that cannot be one is a `ConfigurationError` that says why and does not repeat it."""
    with pytest.raises(ConfigurationError, match=told) as caught:
        KallglotClient(key)
    assert len(key) <= 8 or str(key) not in str(caught.value)


def test_a_missing_key_names_both_ways_to_give_one() -> None:
    """Without argument and environment the message names both."""
    with pytest.raises(ConfigurationError, match=r"pass api_key= or set KALLGLOT_API_KEY"):
        KallglotClient()


@pytest.mark.parametrize(
    "base_url",
    [
        "http://api.kallglot.com/v1",
        "http://10.0.0.1/v1",
        "ftp://127.0.0.1/v1",
        "api.kallglot.com/v1",
        "https://",
        "https://me:secret@api.kallglot.com/v1",
        "https://api.kallglot.com/v1?key=1",
        "https://api.kallglot.com/v1#top",
        "https://api.kallglot.com:99999/v1",
        "https://api .kallglot.com/v1",
        "https://[::1/v1",
        7,
    ],
)
def test_an_impossible_base_url_is_refused(base_url: Any) -> None:
    """Not https beyond loopback, not absolute, with a password, a query or a fragment: refused."""
    with pytest.raises(ConfigurationError) as caught:
        KallglotClient(KEY, base_url=base_url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "options",
    [
        {"timeout": 0},
        {"timeout": -1.0},
        {"timeout": float("nan")},
        {"timeout": float("inf")},
        {"timeout": "30"},
        {"timeout": True},
        {"max_attempts": 0},
        {"max_attempts": 1.5},
        {"max_attempts": True},
        {"max_connections": 0},
        {"max_in_flight": 0},
        {"max_response_bytes": 0},
        {"max_rate_wait": -1},
        {"connect_timeout": 0},
        {"rate_limit": 100},
        {"rate_limit": (100, 60)},
        {"session": object()},
    ],
    ids=lambda settings: ", ".join(f"{key}={type(value).__name__}" for key, value in settings.items()),
)
def test_impossible_settings_are_refused(options: dict[str, Any]) -> None:
    """Each setting is checked when the client is made, by name."""
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        KallglotClient(KEY, **options)


@pytest.mark.parametrize(
    "arguments", [(0,), (-1,), (1.5,), (True,), (10, 0), (10, -1.0), (10, float("inf")), (10, "m")]
)
def test_an_impossible_rate_limit_is_refused(arguments: tuple[Any, ...]) -> None:
    """A `RateLimit` checks its numbers itself."""
    with pytest.raises(ConfigurationError):
        RateLimit(*arguments)


async def test_the_environment_gives_key_and_base_url(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client without arguments works from the environment."""
    async with ready() as emulator:
        monkeypatch.setenv("KALLGLOT_API_KEY", emulator.api_key)
        monkeypatch.setenv("KALLGLOT_BASE_URL", emulator.base_url + "/")
        [id] = emulator.seed_analyses(1)
        async with KallglotClient() as client:
            assert (await client.analyses.retrieve(id)).id == id


async def test_the_class_has_what_its_clients_have() -> None:
    """`help` tells of every resource, and a mock that is made of the class has each, too."""
    for mock in (create_autospec(KallglotClient, instance=True), create_autospec(KallglotClient)):
        for name in ("analyses", "sessions", "recordings"):
            assert getattr(KallglotClient, name).__doc__
            getattr(mock, name).retrieve.return_value = name
            assert await getattr(mock, name).retrieve("ana_1", timeout=5.0) == name
            with pytest.raises(TypeError):
                getattr(mock, name).retrieve("ana_1", seconds=5.0)
            with pytest.raises(AttributeError):
                _ = getattr(mock, name).retreive


async def test_one_method_of_a_resource_can_be_faked() -> None:
    """As tests do that leave the rest of a client as it is; it is the same resource each time."""
    client = KallglotClient(KEY)
    for resource in (client.analyses, client.sessions, client.recordings):
        with patch.object(resource, "retrieve", AsyncMock(return_value="fake")):
            assert await getattr(client, type(resource).__name__.lower()).retrieve("ana_1") == "fake"


async def test_arguments_win_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is passed is used, whatever the environment says."""
    monkeypatch.setenv("KALLGLOT_API_KEY", "not even a key")
    monkeypatch.setenv("KALLGLOT_BASE_URL", "not even a URL")
    async with ready() as emulator, client_of(emulator) as client:
        [id] = emulator.seed_analyses(1)
        assert (await client.analyses.retrieve(id)).id == id


def test_the_environment_is_read_when_the_client_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty base URL in the environment is none, and the default is the documented one."""
    monkeypatch.setenv("KALLGLOT_API_KEY", KEY)
    monkeypatch.setenv("KALLGLOT_BASE_URL", "")
    assert "https://api.kallglot.com/v1/" in repr(KallglotClient())


def test_the_key_is_in_no_repr() -> None:
    """Neither the client nor anything it is made of shows its key, and it cannot be pickled by accident."""
    client = KallglotClient(KEY, rate_limit=RateLimiter())
    assert "sk_test_***" in repr(client)
    seen, pending = set[int](), [client]
    while pending:
        thing = pending.pop()
        if id(thing) in seen or not type(thing).__module__.startswith("kallglot_async"):
            continue
        seen.add(id(thing))
        assert KEY not in f"{thing!r}{thing!s}"
        slots = [name for kind in type(thing).__mro__ for name in getattr(kind, "__slots__", ())]
        pending += [getattr(thing, name) for name in (*slots, *getattr(thing, "__dict__", {})) if hasattr(thing, name)]
    assert len(seen) > 5
    with pytest.raises(TypeError):
        pickle.dumps(client)


# Limits


async def test_the_rate_limit_property_says_what_the_server_said() -> None:
    """Before a request nothing is known; after one, limit, remaining and reset are."""
    async with ready(rate_limit=(30, 60.0), epoch=1_800_000_000.0) as emulator, client_of(emulator) as client:
        state = client.rate_limit
        assert (state.limit, state.remaining, state.sent, state.in_flight) == (None, None, 0, 0)
        for id in emulator.seed_analyses(3):
            await client.analyses.retrieve(id)
        state = client.rate_limit
        assert (state.limit, state.remaining, state.sent, state.refused) == (30, 27, 3, 0)
        assert state.resets_in == pytest.approx(60.0, abs=1.5)
        assert "sent=3 refused=0 waiting=0" in repr(client)


@pytest.mark.parametrize(("requests", "per", "calls"), [(10, 5.0, 45), (1, 2.0, 6), (3, 60.0, 10)])
async def test_a_configured_ceiling_holds_in_any_window_and_is_used_up(requests: int, per: float, calls: int) -> None:
    """Never more than N in any `per` seconds by the server's own journal, and no slower than that allows."""
    async with (
        ready() as emulator,
        client_of(emulator, rate_limit=RateLimit(requests, per=per), timeout=None) as client,
    ):
        ids = emulator.seed_analyses(calls)
        outcomes = await client.analyses.retrieve_many(ids)
        assert len(outcomes.analyses) == calls
        assert emulator.journal.max_within(per) == requests
        assert emulator.journal[-1].at == pytest.approx((calls - 1) // requests * per, abs=0.1)


async def test_a_shared_limiter_holds_for_all_its_clients_together() -> None:
    """Two clients with one `RateLimiter` send no more together than one may."""
    limiter = RateLimiter(RateLimit(10, per=10.0))
    async with (
        ready() as emulator,
        client_of(emulator, rate_limit=limiter, timeout=None) as one,
        client_of(emulator, rate_limit=limiter, timeout=None) as two,
    ):
        ids = emulator.seed_analyses(40)
        await asyncio.gather(one.analyses.retrieve_many(ids[:20]), two.analyses.retrieve_many(ids[20:]))
        assert len(emulator.journal) == 40
        assert emulator.journal.max_within(10.0) == 10
        assert one.rate_limit.sent == two.rate_limit.sent == 40


async def test_a_shared_limiter_learns_from_every_client() -> None:
    """What one client was told of the limit, the other knows; with a limiter each, the server must refuse."""

    async def refusals(first: KallglotClient, second: KallglotClient, emulator: Emulator) -> int:
        ids = emulator.seed_analyses(30)
        await asyncio.gather(first.analyses.retrieve_many(ids), second.analyses.retrieve_many(ids))
        return emulator.journal.refused

    limiter = RateLimiter()
    async with (
        ready(rate_limit=(20, 30.0)) as emulator,
        client_of(emulator, rate_limit=limiter, timeout=None) as one,
        client_of(emulator, rate_limit=limiter, timeout=None) as two,
    ):
        assert await refusals(one, two, emulator) == 0
        assert emulator.journal.max_per_window() == 20


async def test_clients_without_a_shared_limiter_have_budgets_of_their_own() -> None:
    """A ceiling holds for one client; two clients may send twice as much."""
    async with (
        ready() as emulator,
        client_of(emulator, rate_limit=RateLimit(10, per=10.0), timeout=None) as one,
        client_of(emulator, rate_limit=RateLimit(10, per=10.0), timeout=None) as two,
    ):
        ids = emulator.seed_analyses(20)
        await asyncio.gather(one.analyses.retrieve_many(ids), two.analyses.retrieve_many(ids))
        assert emulator.journal.max_within(10.0) == 20


async def test_a_limiter_keeps_keys_apart_but_for_its_ceiling() -> None:
    """Under one limiter, what the server says to one key tells nothing of another."""
    limiter = RateLimiter()
    async with (
        ready(rate_limit=(20, 60.0)) as first,
        ready(rate_limit=(40, 60.0), api_key="sk_test_other") as second,
        client_of(first, rate_limit=limiter) as one,
        client_of(second, rate_limit=limiter) as two,
    ):
        await one.analyses.retrieve(first.seed_analyses(1)[0])
        await two.analyses.retrieve(second.seed_analyses(1)[0])
        assert (one.rate_limit.limit, two.rate_limit.limit) == (20, 40)


@pytest.mark.parametrize("window", ["fixed", "sliding", "token_bucket"])
async def test_a_learned_limit_is_not_overrun(window: Any) -> None:
    """A burst of direct calls far beyond the window is never refused once the limit is known."""
    async with ready(rate_limit=(30, 10.0), window=window) as emulator, client_of(emulator, timeout=None) as client:
        ids = emulator.seed_analyses(100)
        outcomes = await client.analyses.retrieve_many(ids)
        assert len(outcomes.analyses) == 100
        assert emulator.journal.refused == 0


# Without a client


@pytest.mark.untraced
async def test_wait_many_works_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The module's `wait_many` opens a client for the one call and closes it."""
    async with ready(latency=Latency.uniform(20, 30)) as emulator:
        monkeypatch.setenv("KALLGLOT_API_KEY", emulator.api_key)
        monkeypatch.setenv("KALLGLOT_BASE_URL", emulator.base_url)
        ids = emulator.seed_analyses(10)
        outcomes = await kallglot_async.wait_many(ids)
        assert [outcome.id for outcome in outcomes] == ids
        assert all(outcome.unwrap().is_complete for outcome in outcomes)


async def test_wait_many_without_an_environment_says_what_is_missing() -> None:
    """No key: a `ConfigurationError` that names the variable."""
    with pytest.raises(ConfigurationError, match="KALLGLOT_API_KEY"):
        await kallglot_async.wait_many(["ana_1"])


async def test_a_client_may_be_entered_and_left_by_different_tasks() -> None:
    """It owns no task and no scope, so a framework may open it here and close it there."""
    async with ready() as emulator:
        client = client_of(emulator)
        [id] = emulator.seed_analyses(1)
        await asyncio.create_task(client.__aenter__())
        assert (await asyncio.create_task(client.analyses.retrieve(id))).id == id
        await asyncio.create_task(client.__aexit__(None, None, None))
        assert (await client.analyses.retrieve(id)).id == id
        await client.aclose()


# Texts


async def test_ids_and_names_may_be_members_of_an_enumeration() -> None:
    """Each call sends and keeps the text that one holds, whatever it is written as, and that can be stored."""
    names = {"ID": "ana_1", "SESSION": "sess_1", "SUMMARY": "summary", "SALES": "sales", "SRT": "srt", "WAV": "wav"}
    name: Any = Enum("Name", names, type=str)
    async with unlimited(adopt_unknown=True, latency=Latency.immediate()) as (emulator, client):
        outcomes = [
            *await client.wait_many([name.ID]),
            *await client.wait_many(iter([name.ID, name.ID])),
            *await client.analyses.retrieve_many([name.ID]),
            *await client.analyze_many([name.SESSION], batch=name.SALES, analyses=[name.SUMMARY]),
        ]
        await client.wait(name.ID)
        await client.analyses.retrieve(name.ID)
        await client.analyses.create(name.SESSION, include=[name.SUMMARY], profile=name.SALES)
        assert "-->" in await client.sessions.transcript_text(name.SESSION, format=name.SRT)
        recording, *_ = [one async for one in client.sessions.recordings(name.SESSION)]
        assert (await client.recordings.download(recording, io.BytesIO(), format=name.WAV)).content_type == "audio/wav"
        assert [Outcome.from_json(outcome.to_json()) for outcome in outcomes] == outcomes
        assert [type(outcome.id) for outcome in outcomes] == [str] * 4
        assert all("Name." not in entry.path for entry in emulator.journal)
        assert {entry.status for entry in emulator.journal} <= {200, 201, 202, 302}
        assert next(entry.idempotency_key for entry in emulator.journal if entry.idempotency_key) == "sales:sess_1"


async def test_so_may_keys_and_headers() -> None:
    """What is sent is the text, and the key is masked as any."""
    name: Any = Enum("Name", {"KEY": KEY, "TEAM": "sales", "APP": "app/1.2"}, type=str)

    def answers(request: Request) -> bytes:
        assert request.headers["authorization"] == f"Bearer {KEY}"
        assert request.headers["x-team"] == "sales"
        assert request.headers["user-agent"].endswith(" app/1.2")
        return answer(analysis(request.id))

    async with (
        Answering(answers) as server,
        KallglotClient(
            name.KEY, base_url=server.base_url, default_headers={"X-Team": name.TEAM}, user_agent_suffix=name.APP
        ) as client,
    ):
        assert (await client.analyses.retrieve("ana_1")).id == "ana_1"
