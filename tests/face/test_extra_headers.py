"""Headers of the caller's: which are sent with what, and which are refused before anything is."""

from __future__ import annotations

import json
import math
import pickle
import traceback
from collections.abc import Awaitable, Callable
from io import BytesIO
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.pretty import pretty_repr
from support.examples import more, texts
from support.wire_faults import RawServer, analysis, answer

from kallglot_async import ConfigurationError, KallglotClient, __version__
from kallglot_async._core.api.free_request import free_request
from kallglot_async._extra_headers import check_headers, user_agent

KEY = "sk_test_canary7Qx2"
CANARY = "t0ps3cret"


def client_of(server: RawServer, **options: Any) -> KallglotClient:
    return KallglotClient(KEY, **({"base_url": server.base_url, "max_attempts": 1} | options))


def sent(request: bytes) -> dict[str, list[str]]:
    """Return the headers of a request, by name in lower case."""
    found: dict[str, list[str]] = {}
    for line in request.partition(b"\r\n\r\n")[0].decode().split("\r\n")[1:]:
        name, _, value = line.partition(": ")
        found.setdefault(name.lower(), []).append(value)
    return found


async def test_headers_of_client_view_and_call_are_sent() -> None:
    """Besides ours; the nearer ones win, whatever their case, and none is sent twice."""
    async with (
        RawServer() as server,
        client_of(
            server, default_headers={"X-Tenant": "client", "x-one": "1"}, user_agent_suffix="my-app/1.2 (x)"
        ) as client,
    ):
        await client.analyses.retrieve("ana_1")
        await client.with_options(extra_headers={"x-tenant": "view", "X-Two": "2"}).analyses.retrieve("ana_1")
        await client.analyses.retrieve("ana_1", extra_headers={"X-TENANT": "call", "accept": "application/xml"})
        await client.wait("ana_1")
    tenants = [sent(request)["x-tenant"] for request in server.requests]
    assert tenants == [["client"], ["view"], ["call"], ["client"]]
    for request in map(sent, server.requests):
        assert request["authorization"] == [f"Bearer {KEY}"]
        assert request["user-agent"] == [f"kallglot-async/{__version__} my-app/1.2 (x)"]
        assert request["x-one"] == ["1"]
    assert sent(server.requests[1])["x-two"] == ["2"]
    assert sent(server.requests[2])["accept"] == ["application/xml"]


CALLS: dict[str, Callable[..., Awaitable[Any]]] = {
    "analyses.retrieve": lambda client, **given: client.analyses.retrieve("ana_1", **given),
    "analyses.create": lambda client, **given: client.analyses.create("sess_1", **given),
    "sessions.retrieve": lambda client, **given: client.sessions.retrieve("sess_1", **given),
    "sessions.end": lambda client, **given: client.sessions.end("sess_1", **given),
    "sessions.transcript": lambda client, **given: client.sessions.transcript("sess_1", **given),
    "sessions.transcript_text": lambda client, **given: client.sessions.transcript_text("sess_1", **given),
    "recordings.retrieve": lambda client, **given: client.recordings.retrieve("rec_1", **given),
    "recordings.download": lambda client, **given: client.recordings.download("rec_1", BytesIO(), **given),
    "sessions.recordings": lambda client, **given: anext(aiter(client.sessions.recordings("sess_1", **given))),
    "request": lambda client, **given: client.request("POST", "agents", **given),
}


@pytest.mark.parametrize("call", CALLS)
async def test_every_call_takes_headers(call: str) -> None:
    """And sends them; what cannot be sent is refused before a connection is made."""
    async with RawServer(answer(b"{}", status="404 No")) as server, client_of(server) as client:
        with pytest.raises(ConfigurationError, match="extra_headers: Authorization"):
            await CALLS[call](client, extra_headers={"Authorization": CANARY})
        assert server.connections == 0
        with pytest.raises(Exception, match="404"):
            await CALLS[call](client, extra_headers={"x-trace": "abc"})
        assert sent(server.requests[0])["x-trace"] == ["abc"]


async def outcomes_of(client: KallglotClient, **given: Any) -> list[Any]:
    async with client.as_completed(["ana_1"], **given) as finished:
        return [outcome async for outcome in finished]


WAITS: dict[str, Callable[..., Awaitable[Any]]] = {
    "wait": lambda client, **given: client.wait("ana_1", **given),
    "retrieve_many": lambda client, **given: client.analyses.retrieve_many(["ana_1", "ana_2"], **given),
    "wait_many": lambda client, **given: client.wait_many(["ana_1"], **given),
    "as_completed": outcomes_of,
    "analyze": lambda client, **given: client.analyze("sess_1", analyses=["summary"], **given),
    "analyze_many": lambda client, **given: client.analyze_many(["sess_1"], analyses=["summary"], **given),
}


@pytest.mark.parametrize("call", WAITS)
async def test_every_call_for_outcomes_takes_headers(call: str) -> None:
    """For each of its requests; what cannot be sent is refused before a connection is made."""
    async with RawServer() as server, client_of(server) as client:
        with pytest.raises(ConfigurationError, match="extra_headers: Authorization"):
            await WAITS[call](client, extra_headers={"Authorization": CANARY})
        assert server.connections == 0
        await WAITS[call](client, extra_headers={"x-trace": "abc"})
        assert server.requests
        assert all(sent(request)["x-trace"] == ["abc"] for request in server.requests)
        await client.analyses.retrieve("ana_1")
        assert "x-trace" not in sent(server.requests[-1])


async def test_a_storage_gets_none_of_them() -> None:
    """A pre-signed link is fetched without the key and without what the caller adds for the API."""
    async with RawServer(answer(b"audio")) as storage, RawServer() as server:
        link = {"download_url": f"{storage.origin}/audio?signature=1"}
        server.script(answer(json.dumps({"id": "rec_1", "object": "recording", "status": "ready"} | link).encode()))
        async with client_of(server, default_headers={"X-Tenant": "a"}, user_agent_suffix="app") as client:
            await client.recordings.download("rec_1", BytesIO(), extra_headers={"X-Trace": "b"})
        assert sent(server.requests[0])["x-trace"] == ["b"]
        assert not {"x-tenant", "x-trace", "authorization"} & sent(storage.requests[0]).keys()


BAD: dict[str, Any] = {
    "authorization": {"AUTHORIZATION": CANARY},
    "api key": {"x-api-key": CANARY},
    "proxy": {"Proxy-Authorization": CANARY},
    "user agent": {"User-Agent": CANARY},
    "idempotency": {"idempotency-key": CANARY},
    "type": {"Content-Type": CANARY},
    "length": {"content-length": "5"},
    "host": {"Host": CANARY},
    "coding": {"Accept-Encoding": CANARY},
    "range": {"Range": CANARY},
    **{name: {name: CANARY} for name in ("connection", "Keep-Alive", "TE", "Trailer", "Upgrade", "transfer-encoding")},
    "expect": {"Expect": "100-continue"},
    "line end": {"X-A": f"{CANARY}\r\nX-B: 1"},
    "line feed": {"X-A": f"{CANARY}\n"},
    "null": {"X-A": f"{CANARY}\0"},
    "escape": {"X-A": f"{CANARY}\x1b[31m"},
    "not ascii": {"X-A": f"{CANARY}é"},
    "surrogate": {"X-A": f"{CANARY}\ud800"},
    "blank in front": {"X-A": f" {CANARY}"},
    "blank behind": {"X-A": f"{CANARY}\t"},
    "too long": {"X-A": CANARY * 1000},
    "bytes": {"X-A": CANARY.encode()},
    "number": {"X-A": 5},
    "none": {"X-A": None},
    "list": {"X-A": [CANARY]},
    "twice": {"X-A": CANARY, "x-a": CANARY},
    "no name": {"": CANARY},
    "blank in a name": {"X A": CANARY},
    "colon in a name": {"X-A:": CANARY},
    "line end in a name": {"X-A\r\nX-B": CANARY},
    "name of other letters": {"Ä": CANARY},
    "bytes as a name": {b"X-A": CANARY},
    "none as a name": {None: CANARY},
    "endless name": {"X" * 9999: CANARY},
    "pairs": [("X-A", CANARY)],
    "text": f"X-A: {CANARY}",
}


@pytest.mark.parametrize("headers", BAD.values(), ids=BAD)
async def test_what_cannot_be_sent_is_refused_without_its_value(headers: Any) -> None:
    """By the client, by a view and by a call: the same check, and no value in what it says."""
    client = KallglotClient(KEY)
    for attempt in (
        lambda: KallglotClient(KEY, default_headers=headers),
        lambda: client.with_options(extra_headers=headers),
    ):
        with pytest.raises(ConfigurationError) as caught:
            attempt()
        assert CANARY not in f"{caught.value} {caught.value!r} {pickle.dumps(caught.value)!r}"
        assert str(caught.value).isprintable()
    with pytest.raises(ConfigurationError, match="extra_headers"):
        await client.analyses.retrieve("ana_1", extra_headers=headers)


@more(2)
@given(st.dictionaries(texts(max_size=12), texts(max_size=12) | st.integers() | st.none(), max_size=3))
def test_whatever_is_given_is_sent_as_it_is_or_refused(headers: Any) -> None:
    """No header can break out of its line."""
    try:
        checked = check_headers("extra_headers", headers)
    except ConfigurationError:
        return
    for name, value in checked.items():
        assert (name + value).isascii()
        assert not set(name + value) & set("\r\n\0")
    assert len(checked) == len(headers)


@pytest.mark.parametrize(
    "suffix", ["", " ", "a\r\nX: y", "é", "\ud800", " x", "x ", "x" * 201, 5, b"x", None, math.nan]
)
def test_the_name_of_an_application_fits_into_a_header(suffix: Any) -> None:
    """Or is refused; None is none."""
    if suffix is None:
        assert user_agent(None) == f"kallglot-async/{__version__}"
        return
    with pytest.raises(ConfigurationError, match="user_agent_suffix"):
        KallglotClient(KEY, user_agent_suffix=suffix)


async def test_no_value_is_shown() -> None:
    """Not in the client's repr or its settings', nor in what goes wrong with a request, with local variables."""
    async with (
        RawServer(answer(analysis("ana_2"))) as server,
        client_of(server, default_headers={"X-Secret": CANARY}) as client,
    ):
        for call in (client.analyses.retrieve("ana_1"), client.recordings.download("rec_1", BytesIO())):
            with pytest.raises(Exception, match="answered") as caught:
                await call
            assert CANARY not in f"{caught.value!r} {vars(caught.value)}"
            told = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
            assert CANARY not in "".join(told.format())
        view = client.with_options(extra_headers={"X-Other": CANARY})
        operation = free_request("GET", "agents").with_headers({"X-Third": CANARY})
        for thing in (client, view, client._config, view._config, operation):
            assert CANARY not in repr(thing) + pretty_repr(thing)
        assert "X-Other" in repr(view._config)


async def test_a_call_with_headers_shows_none_in_what_it_raises() -> None:
    """What the caller gave is in the caller's own hands only."""
    async with RawServer(answer(analysis("ana_2"))) as server, client_of(server) as client:
        with pytest.raises(Exception, match="another") as caught:
            await client.analyses.retrieve("ana_1", extra_headers={"X-Other": CANARY})
        assert CANARY not in f"{caught.value!r} {vars(caught.value)} {pickle.dumps(caught.value)!r}"
