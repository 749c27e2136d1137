"""The client as its users hold it: settings, many calls, and limiters that are shared."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import Any
from unittest.mock import create_autospec

import pytest
from support.clients import client_of, ready
from support.virtual import now

import kallglot_async
from kallglot_async import (
    AuthenticationError,
    ConfigurationError,
    IdSourceError,
    InsufficientCreditsError,
    InvalidIdError,
    KallglotClient,
    KallglotError,
    NotAttemptedError,
    Outcomes,
    PermissionDeniedError,
    RateLimit,
    RateLimiter,
)
from kallglot_async.emulator import Emulator, Fault, Latency

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


# Many analyses


def listed(ids: list[str]) -> list[str]:
    return ids


def generated(ids: list[str]) -> Iterator[str]:
    yield from ids


async def streamed(ids: list[str]) -> AsyncIterator[str]:
    for id in ids:
        await asyncio.sleep(0.1)
        yield id


SOURCES: list[Callable[[list[str]], Any]] = [listed, tuple, iter, generated, streamed, dict.fromkeys]


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.__name__)
async def test_retrieve_many_gives_one_outcome_for_each_distinct_id_in_order(source: Callable[..., Any]) -> None:
    """Whatever gives the ids, and however often: one request and one outcome each, in the order of the input."""
    async with ready() as emulator, client_of(emulator) as client:
        ids = emulator.seed_analyses(20) + emulator.seed_analyses(20, revision="b")
        outcomes = await client.analyses.retrieve_many(source([*ids, *reversed(ids)]))
        assert isinstance(outcomes, Outcomes)
        assert [outcome.id for outcome in outcomes] == ids
        assert [analysis.id for analysis in outcomes.analyses] == ids
        assert all(outcome.ok and outcome.polls == 1 for outcome in outcomes)
        assert len(emulator.journal) == len(ids)
        outcomes.raise_for_errors()


@pytest.mark.parametrize("ids", [[], (), iter([]), {}], ids=lambda ids: type(ids).__name__)
async def test_retrieve_many_of_nothing_is_nothing(ids: Iterable[str]) -> None:
    """An empty source is an empty result, without a request."""
    async with ready() as emulator, client_of(emulator) as client:
        assert list(await client.analyses.retrieve_many(ids)) == []
        assert len(emulator.journal) == 0


@pytest.mark.parametrize("ids", ["ana_1", b"ana_1", 7, None], ids=repr)
async def test_retrieve_many_refuses_what_is_no_iterable_of_ids(ids: Any) -> None:
    """One text in place of a list is a mistake that is named."""
    async with ready() as emulator, client_of(emulator) as client:
        with pytest.raises(ConfigurationError, match="pass a list of ids"):
            await client.analyses.retrieve_many(ids)
        assert len(emulator.journal) == 0


async def test_an_impossible_id_from_a_lazy_source_costs_only_itself() -> None:
    """A generator's bad item becomes its own outcome, in its place."""
    async with ready() as emulator, client_of(emulator) as client:
        first, second = emulator.seed_analyses(2)
        outcomes = await client.analyses.retrieve_many(iter([first, "../etc", second]))
        assert [outcome.ok for outcome in outcomes] == [True, False, True]
        assert isinstance(outcomes[1].error, InvalidIdError)
        assert len(emulator.journal) == 2


@pytest.mark.parametrize("is_async", [False, True])
async def test_a_source_that_raises_loses_nothing(is_async: bool) -> None:
    """`IdSourceError` carries the cause and the outcome of every id that was given before."""

    def broken(ids: list[str]) -> Iterator[str]:
        yield from ids
        raise LookupError("the database went away")

    async def broken_async(ids: list[str]) -> AsyncIterator[str]:
        for id in broken(ids):
            yield id

    async with ready(Fault(kind="slow", delay=2.0)) as emulator, client_of(emulator) as client:
        ids = emulator.seed_analyses(10)
        source: Any = broken_async(ids) if is_async else broken(ids)
        with pytest.raises(IdSourceError, match="database went away") as caught:
            await client.analyses.retrieve_many(source, max_in_flight=3)
        assert isinstance(caught.value.__cause__, LookupError)
        assert caught.value.outcomes is not None
        assert [outcome.id for outcome in caught.value.outcomes] == ids
        assert all(outcome.ok for outcome in caught.value.outcomes)


ENDING = [(401, AuthenticationError), (402, InsufficientCreditsError), (403, PermissionDeniedError)]


@pytest.mark.parametrize(("status", "kind"), ENDING)
@pytest.mark.parametrize("is_lazy", [False, True])
async def test_an_error_that_concerns_everybody_ends_a_batch(status: int, kind: type, is_lazy: bool) -> None:
    """401, 402 or 403: the rest are reported as not attempted, with the reason, and cost no request."""
    async with ready(Fault(kind="status", status=status, after=5)) as emulator, client_of(emulator) as client:
        ids = emulator.seed_analyses(50)
        outcomes = await client.analyses.retrieve_many(iter(ids) if is_lazy else ids, max_in_flight=2)
        assert [outcome.id for outcome in outcomes] == ids
        kinds = [type(outcome.error) for outcome in outcomes]
        assert kinds[:5] == [type(None)] * 5
        assert kinds.count(kind) in ({1, 2} if status == 402 else {2, 3})  # one may be alone with its 401 or 403
        assert kinds.count(NotAttemptedError) == 45 - kinds.count(kind)
        assert len(emulator.journal) == 5 + kinds.count(kind)
        last = outcomes[-1].error
        assert isinstance(last, NotAttemptedError)
        assert (last.id, type(last.reason)) == (ids[-1], kind)


@pytest.mark.parametrize(
    "fault", [Fault(kind="status", status=404), Fault(kind="hang"), Fault(kind="wrong_id")], ids=lambda f: f.kind
)
async def test_one_ids_failure_costs_only_that_id(fault: Fault) -> None:
    """A failure of one id never costs a sibling."""
    async with ready() as emulator, client_of(emulator, timeout=5.0) as client:
        ids = emulator.seed_analyses(20)
        emulator.add_fault(Fault(kind=fault.kind, status=fault.status, id=ids[7]))
        outcomes = await client.analyses.retrieve_many(ids)
        assert [outcome.id for outcome in outcomes if not outcome.ok] == [ids[7]]
        assert list(outcomes.errors) == [ids[7]]
        with pytest.raises(ExceptionGroup):
            outcomes.raise_for_errors()
        with pytest.raises(KallglotError):
            outcomes[7].unwrap()


@pytest.mark.parametrize("window", ["fixed", "sliding", "token_bucket"])
async def test_a_batch_outlasts_windows_longer_than_its_timeout(window: Any) -> None:
    """Five requests a minute and 5 s for each id: a batch of twelve takes minutes and loses none."""
    async with (
        ready(rate_limit=(5, 60.0), window=window) as emulator,
        client_of(emulator, timeout=5.0) as client,
    ):
        ids = emulator.seed_analyses(12)
        started = now()
        outcomes = await client.analyses.retrieve_many(ids)
        assert [outcome.ok for outcome in outcomes] == [True] * 12
        assert now() - started < 240.0
        assert emulator.journal.refused == 0


async def test_a_refusal_in_the_middle_of_a_batch_costs_nobody_anything() -> None:
    """429 with `Retry-After` beyond the timeout of each id: everything pauses, then goes on."""
    async with ready(plan="pro") as emulator, client_of(emulator, timeout=5.0) as client:
        ids = emulator.seed_analyses(40)
        emulator.add_fault(Fault(kind="throttle", retry_after=90, after=20, times=1))
        outcomes = await client.analyses.retrieve_many(ids, max_in_flight=4)
        assert [outcome.ok for outcome in outcomes] == [True] * 40
        [refused] = emulator.journal.requests(status=429)
        # Requests that were under way already may still arrive in the same instant.
        assert not [entry for entry in emulator.journal if refused.at + 0.01 < entry.at < refused.at + 90]


@pytest.mark.parametrize("in_flight", [1, 3, None])
async def test_retrieve_many_keeps_max_in_flight(in_flight: int | None) -> None:
    """Never more requests at once than allowed, and no fewer either: the call's figure, else the client's."""
    async with ready(Fault(kind="slow", delay=1.0)) as emulator, client_of(emulator, max_in_flight=5) as client:
        [warm, *ids] = emulator.seed_analyses(16)
        await client.analyses.retrieve(warm)
        emulator.journal.clear()
        started = now()
        outcomes = await client.analyses.retrieve_many(ids, max_in_flight=in_flight)
        assert len(outcomes.analyses) == 15
        assert emulator.journal.max_within(0.99) == (in_flight or 5)
        assert now() - started == pytest.approx(15 / (in_flight or 5), abs=0.2)


@pytest.mark.parametrize("in_flight", [0, -1, 1.5, True, "4"], ids=repr)
async def test_an_impossible_max_in_flight_is_refused(in_flight: Any) -> None:
    """Everywhere it can be given, before any request."""
    async with ready() as emulator, client_of(emulator) as client:
        ids = emulator.seed_analyses(2)
        for call in (client.analyses.retrieve_many, client.wait_many):
            with pytest.raises(ConfigurationError, match="max_in_flight"):
                await call(ids, max_in_flight=in_flight)
        assert len(emulator.journal) == 0


async def test_cancelling_a_batch_leaves_the_client_usable() -> None:
    """All slots and connections are back, and no task is left."""
    async with (
        ready(Fault(kind="slow", delay=3.0)) as emulator,
        client_of(emulator, max_connections=4) as client,
    ):
        ids = emulator.seed_analyses(50)
        before = {task for task in asyncio.all_tasks() if "RequestHandler" not in repr(task)}
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(7.0):
                await client.analyses.retrieve_many(ids)
        assert {task for task in asyncio.all_tasks() if "RequestHandler" not in repr(task)} == before
        assert (client.rate_limit.in_flight, client.rate_limit.waiting) == (0, 0)
        emulator.clear_faults()
        assert len((await client.analyses.retrieve_many(ids)).analyses) == 50


async def test_a_source_is_pulled_as_there_is_room() -> None:
    """A generator of ids is asked for the next one only when a request may follow."""
    pulled: list[str] = []

    def source(ids: list[str]) -> Iterator[str]:
        for id in ids:
            pulled.append(id)
            yield id

    async with ready(Fault(kind="slow", delay=1.0)) as emulator, client_of(emulator) as client:
        ids = emulator.seed_analyses(20)
        task = asyncio.create_task(client.analyses.retrieve_many(source(ids), max_in_flight=2))
        await asyncio.sleep(3.5)
        assert 6 <= len(pulled) <= 2 + 2 * 4
        assert len((await task).analyses) == 20


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
