"""Fetching and requesting one analysis: what is refused before any request, what is sent, and what comes back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from support.clients import client_of, ready
from support.wire_faults import RawServer, analysis, answer

from kallglot_async import (
    AuthenticationError,
    ConfigurationError,
    InsufficientCreditsError,
    InvalidIdError,
    InvalidRequestError,
    KallglotClient,
    KallglotError,
    NotFoundError,
    RequestTimeoutError,
)
from kallglot_async.emulator import Fault, Latency

pytestmark = pytest.mark.looptime

KEY = "sk_test_canary9Zk4"


# Ids


IMPOSSIBLE_IDS = [
    "",
    "ana_",
    "anl_",
    "sess_1",
    "ANA_1",
    "ana_1/../x",
    "ana_1?x",
    "ana_1#",
    "ana_1\r\nX: y",
    "ana_ü",
    7,
    None,
]


@pytest.mark.parametrize("id", [*IMPOSSIBLE_IDS, "ana_" + "x" * 125], ids=repr)
async def test_an_impossible_id_is_refused_before_any_request(id: Any) -> None:
    """What cannot be the id of an analysis never reaches the network."""
    async with ready(adopt_unknown=True) as emulator, client_of(emulator) as client:
        for call in (client.analyses.retrieve, client.wait):
            with pytest.raises(InvalidIdError) as caught:
                await call(id)
            assert isinstance(caught.value, ValueError)
        for many in (client.analyses.retrieve_many, client.wait_many):
            fine, bad = await many(["ana_1", id])
            assert fine.ok
            assert isinstance(bad.error, InvalidIdError)
            assert bad.polls == 0
        assert {entry.id for entry in emulator.journal} == {"ana_1"}


@pytest.mark.parametrize("id", ["ana_1", "anl_1", "ana_-_-", "ana_" + "x" * 124])
async def test_every_possible_id_travels_unchanged(id: str) -> None:
    """The id on the wire is the id that was asked for."""
    async with ready(adopt_unknown=True) as emulator, client_of(emulator) as client:
        assert (await client.analyses.retrieve(id)).id == id
        assert emulator.journal[0].id == id


# One analysis


async def test_retrieve_decodes_both_revisions() -> None:
    """The prefix picks path and decoder, and the shared names are the same."""
    async with ready() as emulator, client_of(emulator) as client:
        [a], [b] = emulator.seed_analyses(1), emulator.seed_analyses(1, revision="b")
        in_a, in_b = await client.analyses.retrieve(a), await client.analyses.retrieve(b)
        assert [entry.path for entry in emulator.journal] == [f"/v1/analysis/{a}", f"/v1/analyses/{b}"]
    assert in_a.is_complete
    assert in_b.is_complete
    assert in_a.results is not None
    assert in_b.report is not None
    assert in_a.summary_text
    assert in_b.summary_text
    assert in_a.session_id
    assert in_b.session_id


async def test_retrieve_returns_what_is_not_settled_as_it_is() -> None:
    """One GET and no waiting."""
    async with ready(latency=Latency.uniform(50, 50)) as emulator, client_of(emulator) as client:
        [id] = emulator.seed_analyses(1)
        pending = await client.analyses.retrieve(id)
        assert not pending.is_settled
        assert len(emulator.journal) == 1


async def test_retrieve_does_not_raise_for_a_failed_analysis() -> None:
    """A failed analysis is a value here; only waiting raises for it."""
    async with ready(failure_rate=1.0) as emulator, client_of(emulator) as client:
        [id] = emulator.seed_analyses(1)
        failed = await client.analyses.retrieve(id)
    assert failed.is_failed
    assert failed.error_message


async def test_an_unknown_id_is_said_to_be_kept_for_90_days() -> None:
    """404 names the retention, because an old id looks just like a wrong one."""
    async with ready() as emulator, client_of(emulator) as client:
        with pytest.raises(NotFoundError, match="90 days"):
            await client.analyses.retrieve("ana_unknown")


async def test_a_wrong_key_is_an_authentication_error() -> None:
    """401 from the server's own check."""
    async with ready() as emulator, KallglotClient(KEY, base_url=emulator.base_url) as client:
        with pytest.raises(AuthenticationError):
            await client.analyses.retrieve("ana_1")
        assert emulator.journal.statuses() == {401: 1}


@pytest.mark.parametrize("timeout", [0, -1.0, float("nan"), float("inf"), "5", True])
async def test_an_impossible_timeout_is_refused_before_any_request(timeout: Any) -> None:
    """Timeouts of calls are checked like those of clients."""
    async with ready(adopt_unknown=True) as emulator, client_of(emulator) as client:
        calls: list[Callable[[], Any]] = [
            lambda: client.analyses.retrieve("ana_1", timeout=timeout),
            lambda: client.analyses.retrieve_many(["ana_1"], timeout=timeout),
            lambda: client.analyses.create("sess_1", timeout=timeout),
            lambda: client.wait("ana_1", timeout=timeout),
            lambda: client.wait_many(["ana_1"], total_timeout=timeout),
        ]
        for call in calls:
            with pytest.raises(ConfigurationError, match="timeout"):
                await call()
        assert len(emulator.journal) == 0


async def test_a_call_without_a_timeout_of_its_own_has_the_clients() -> None:
    """The client's `timeout` holds for every direct call, and None means for ever."""
    async with ready(Fault(kind="slow", delay=20.0)) as emulator, client_of(emulator, timeout=7.0) as client:
        [id] = emulator.seed_analyses(1)
        with pytest.raises(RequestTimeoutError) as caught:
            await client.analyses.retrieve(id)
        assert caught.value.timeout == 7.0
        assert (await client.analyses.retrieve(id, timeout=None)).id == id
        assert (await client.analyses.retrieve(id, timeout=21.0)).id == id


# Requesting an analysis


async def test_create_in_revision_a_sends_its_fields() -> None:
    """With `analyses` the server sees revision A's order, and answers with an `ana_` id."""
    async with ready() as emulator, client_of(emulator) as client:
        created = await client.analyses.create(
            "sess_7",
            analyses=["summary", "sentiment"],
            language="de",
            webhook_url="https://example.org/hook",
            custom_prompts={"summary": "short"},
        )
        assert created.id.startswith("ana_")
        assert created.session_id == "sess_7"
        record = emulator.analysis(created.id)
        assert (record.session_id, record.revision) == ("sess_7", "a")
        assert emulator.state().credits_used == 0
        assert (await client.wait(created.id)).is_complete


async def test_create_in_revision_b_sends_its_fields_and_costs_a_credit() -> None:
    """With `profile` or `include` the server sees revision B's order, and answers with an `anl_` id."""
    async with ready(credits=2) as emulator, client_of(emulator) as client:
        first = await client.analyses.create("sess_7", profile="sales")
        second = await client.analyses.create("sess_7", include=("summary", "keywords"))
        assert first.id.startswith("anl_")
        assert emulator.analysis(second.id).revision == "b"
        assert emulator.state().credits_used == 2
        with pytest.raises(InsufficientCreditsError) as caught:
            await client.analyses.create("sess_8", profile="sales")
        assert (caught.value.status, caught.value.code) == (402, "insufficient_api_credits")
        assert len(emulator.journal) == 3


async def test_create_without_any_component_lets_the_server_decide() -> None:
    """An order without fields is revision B's, with an empty object as its body."""
    async with RawServer(answer(analysis("anl_1", status="processing"), status="202 Accepted")) as server:
        async with KallglotClient(KEY, base_url=server.base_url) as client:
            assert (await client.analyses.create("sess_1")).id == "anl_1"
        assert server.requests[0].endswith(b"\r\n\r\n{}")


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"analyses": ["summary"], "profile": "x"}, "profile cannot be used here"),
        ({"analyses": ["summary"], "include": ["summary"]}, "include cannot be used here"),
        ({"language": "de"}, "needs analyses="),
        ({"profile": "x", "webhook_url": "https://x.org"}, "webhook_url cannot be used here"),
        ({"analyses": "summary"}, r"write analyses=\['summary'\]"),
        ({"include": "summary"}, "list of names"),
        ({"analyses": []}, "empty"),
        ({"analyses": [7]}, "analyses"),
        ({"analyses": 7}, "list of names"),
        ({"analyses": ["summary"], "language": ""}, "language"),
        ({"analyses": ["summary"], "language": 7}, "language"),
        ({"analyses": ["summary"], "custom_prompts": {"summary": 7}}, "custom_prompts"),
        ({"profile": " "}, "profile"),
        ({"idempotency_key": ""}, "idempotency_key"),
        ({"idempotency_key": "a\r\nX: y"}, "idempotency_key"),
    ],
    ids=str,
)
async def test_an_impossible_order_is_refused_before_any_request(fields: dict[str, Any], told: str) -> None:
    """Mixed revisions and impossible values never reach the network."""
    async with ready() as emulator, client_of(emulator) as client:
        with pytest.raises(ConfigurationError, match=told):
            await client.analyses.create("sess_1", **fields)
        assert len(emulator.journal) == 0


@pytest.mark.parametrize("fields", [{"analyses": ["summary"], "custom_prompts": 7}, {"analyses": ["\ud800"]}], ids=repr)
async def test_hostile_arguments_raise_our_own_errors_only(fields: dict[str, Any]) -> None:
    """What JSON cannot carry, or is no mapping, is a `KallglotError` too."""
    async with ready() as emulator, client_of(emulator) as client:
        with pytest.raises(KallglotError):
            await client.analyses.create("sess_1", **fields)


@pytest.mark.parametrize("session_id", ["", "sess_", "ana_1", "sess_1/end", "sess_1?x", None, 7], ids=repr)
async def test_an_impossible_session_is_refused_before_any_request(session_id: Any) -> None:
    """What cannot be the id of a session never reaches the network."""
    async with ready() as emulator, client_of(emulator) as client:
        with pytest.raises(InvalidIdError, match="session"):
            await client.analyses.create(session_id)
        assert len(emulator.journal) == 0


async def test_what_the_server_refuses_names_the_field() -> None:
    """422 with `param`."""
    async with ready() as emulator, client_of(emulator) as client:
        with pytest.raises(InvalidRequestError) as caught:
            await client.analyses.create("sess_1", analyses=["astrology"])
    assert (caught.value.status, caught.value.param) == (422, "analyses")


async def test_a_key_of_ones_own_makes_two_creates_one() -> None:
    """Two calls with one idempotency key create one analysis and return the same one."""
    async with ready() as emulator, client_of(emulator) as client:
        first = await client.analyses.create("sess_1", profile="x", idempotency_key="mine")
        second = await client.analyses.create("sess_1", profile="x", idempotency_key="mine")
        assert first.id == second.id
        assert [entry.is_replay for entry in emulator.journal] == [False, True]
        with pytest.raises(InvalidRequestError) as caught:
            await client.analyses.create("sess_1", profile="y", idempotency_key="mine")
        assert caught.value.code == "idempotency_mismatch"
