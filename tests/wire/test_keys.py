"""A key that is asked for: at first use, and once more after a 401; never shown, never asked for in vain."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable
from io import BytesIO
from typing import Any

import pytest
from support.answering import Answering, Request, envelope
from support.wire_faults import RawServer, analysis, answer

from kallglot_async import (
    AuthenticationError,
    ConfigurationError,
    KallglotClient,
    NotAttemptedError,
    RequestTimeoutError,
)
from kallglot_async.models import Recording, RecordingStatus

OLD, NEW = "sk_test_old_canary7Qx2", "sk_test_new_canary7Qx2"


class Keys:
    """A function that is asked for a key, and counts."""

    def __init__(self, *keys: Any) -> None:
        self.keys = list(keys)
        self.asked = 0

    def __call__(self) -> Any:
        self.asked += 1
        return self.keys[min(self.asked, len(self.keys)) - 1]

    async def slowly(self) -> Any:
        await asyncio.sleep(0)
        return self()


def accepting(*keys: str) -> Callable[[Request], bytes]:
    """Return a server's answers, which know these keys only."""

    def handle(request: Request) -> bytes:
        key = request.headers["authorization"].removeprefix("Bearer ")
        return answer(analysis(request.id)) if key in keys else envelope(401, code="expired_api_key")

    return handle


def client_of(server: Any, ask: Any, **options: Any) -> KallglotClient:
    return KallglotClient(ask, **({"base_url": server.base_url, "random": lambda: 0.0} | options))


@pytest.mark.parametrize("is_async", [False, True])
async def test_it_is_asked_at_first_use_and_kept(is_async: bool) -> None:
    """Not when the client is made, and not for each request."""
    keys = Keys(NEW)
    async with Answering(accepting(NEW)) as server, client_of(server, keys.slowly if is_async else keys) as client:
        assert keys.asked == 0
        await asyncio.gather(*(client.analyses.retrieve(f"ana_{n}") for n in range(5)))
        assert (await client.wait("ana_9")).id == "ana_9"
    assert keys.asked == 1


@pytest.mark.parametrize("is_async", [False, True])
async def test_a_refused_key_is_asked_for_again_and_the_request_repeated(is_async: bool) -> None:
    """One request more, for which no attempt is counted; what comes after goes with the new key at once."""
    keys = Keys(OLD, NEW)
    ask = keys.slowly if is_async else keys
    async with Answering(accepting(NEW)) as server, client_of(server, ask, max_attempts=1) as client:
        found = await client.analyses.retrieve("ana_1")
        assert found.meta is not None
        assert found.meta.attempts == 1
        await client.analyses.retrieve("ana_2")
        assert client.stats.requests == len(server.requests) == 3
    assert keys.asked == 2


async def test_those_who_are_refused_at_once_ask_once() -> None:
    """A rotation costs a batch one question, whoever hears of it first."""
    keys = Keys(OLD, NEW)
    async with Answering(accepting(NEW)) as server, client_of(server, keys.slowly, max_in_flight=20) as client:
        outcomes = await client.analyses.retrieve_many([f"ana_{n}" for n in range(50)])
        assert outcomes.errors == {}
        waited = await client.wait_many([f"ana_{n}" for n in range(50, 60)])
        assert waited.errors == {}
    assert keys.asked == 2


async def test_a_key_that_stays_refused_is_an_error() -> None:
    """The same key is not sent again, and a new one once."""
    keys = Keys(OLD)
    async with Answering(accepting(NEW)) as server, client_of(server, keys, max_attempts=3) as client:
        with pytest.raises(AuthenticationError):
            await client.analyses.retrieve("ana_1")
        assert (len(server.requests), keys.asked) == (1, 2)
    fickle = Keys(*(f"sk_test_{n}" for n in range(9)))
    async with Answering(accepting(NEW)) as server, client_of(server, fickle, max_attempts=3) as client:
        with pytest.raises(AuthenticationError):
            await client.analyses.retrieve("ana_1")
        assert (len(server.requests), fickle.asked) == (2, 2)


async def test_a_refused_key_ends_a_batch() -> None:
    """As a key that is a text does."""
    keys = Keys(OLD)
    async with Answering(accepting(NEW)) as server, client_of(server, keys, max_in_flight=4) as client:
        outcomes = await client.wait_many([f"ana_{n}" for n in range(30)])
        kinds = {type(error) for error in outcomes.errors.values()}
        assert kinds <= {AuthenticationError, NotAttemptedError}
        assert len(outcomes.errors) == 30


async def test_a_download_goes_on_with_a_new_key() -> None:
    """Its own requests to the API, too."""
    recording = b'{"id":"rec_1","object":"recording","status":"ready","download_url":"/v1/recordings/rec_1/audio"}'

    def handle(request: Request) -> bytes:
        if request.headers["authorization"] != f"Bearer {NEW}" and request.path.endswith("audio"):
            return envelope(401, code="expired_api_key")
        return answer(b"audio", "Content-Type: audio/mpeg") if request.path.endswith("audio") else answer(recording)

    keys = Keys(OLD, NEW)
    async with Answering(handle) as server, client_of(server, keys) as client:
        target = BytesIO()
        await client.recordings.download("rec_1", target)
        assert target.getvalue() == b"audio"
    refused = Keys(OLD)
    async with Answering(handle) as server, client_of(server, refused) as client:
        with pytest.raises(AuthenticationError):
            await client.recordings.download("rec_1", BytesIO())
    assert (keys.asked, refused.asked) == (2, 2)


async def test_views_share_what_was_answered() -> None:
    """A view with another key has its own."""
    keys, others = Keys(NEW), Keys(OLD)
    async with Answering(accepting(NEW, OLD)) as server, client_of(server, keys) as client:
        await client.analyses.retrieve("ana_1")
        await client.with_options(timeout=5.0).analyses.retrieve("ana_2")
        await client.with_options(api_key=others).analyses.retrieve("ana_3")
        assert [request.headers["authorization"][-len(NEW) :] for request in server.requests] == [NEW, NEW, OLD]
    assert (keys.asked, others.asked) == (1, 1)


NO_KEYS = [None, 5, b"sk_test_x", "", "nonsense", f"Bearer {NEW}", "kst_x", "sk_test_é", ["x"]]


@pytest.mark.parametrize("answered", NO_KEYS, ids=ascii)
async def test_what_is_no_key_is_refused_and_not_shown(answered: Any) -> None:
    """Before anything is sent, with every slot given back; the next call asks again."""
    keys = Keys(answered, NEW)
    async with RawServer() as server, client_of(server, keys) as client:
        with pytest.raises(ConfigurationError) as caught:
            await client.analyses.retrieve("ana_1")
        assert "canary" not in str(caught.value)
        assert server.connections == client.rate_limit.in_flight == client.stats.requests == 0
        assert (await client.analyses.retrieve("ana_1")).id == "ana_1"


@pytest.mark.parametrize("is_async", [False, True])
async def test_one_who_is_asked_and_raises_is_named(is_async: bool) -> None:
    """By the class of what was raised, which is the cause; nothing of it is quoted, and nothing was sent."""

    def fail() -> str:
        secret = NEW
        raise LookupError(secret)

    async def fail_later() -> str:
        return fail()

    async with RawServer() as server, client_of(server, fail_later if is_async else fail) as client:
        link = "/v1/recordings/rec_1/audio"
        recording = Recording(id="rec_1", object="recording", status=RecordingStatus.READY, download_url=link)
        for call in (
            client.analyses.retrieve("ana_1"),
            client.wait("ana_1"),
            client.request("GET", "agents"),
            client.recordings.download(recording, BytesIO()),
        ):
            with pytest.raises(ConfigurationError, match="LookupError") as caught:
                await call
            assert isinstance(caught.value.__cause__, LookupError)
            assert NEW not in f"{caught.value} {vars(caught.value)}"
        assert server.connections == client.rate_limit.in_flight == client.stats.in_flight == 0


async def test_a_cancellation_that_is_not_the_callers_is_one_who_is_asked_and_raises() -> None:
    """As where a shared task that renews the key was cancelled: nobody has cancelled the call."""

    async def ask() -> str:
        renewing = asyncio.create_task(asyncio.sleep(1.0, NEW))
        renewing.cancel()
        return await renewing

    async with RawServer() as server, client_of(server, ask) as client:
        for call in (client.analyses.retrieve("ana_1"), client.wait("ana_1")):
            with pytest.raises(ConfigurationError, match="CancelledError"):
                await call
        outcomes = await client.wait_many(["ana_1", "ana_2"])
        assert [type(outcome.error) for outcome in outcomes] == [ConfigurationError] * 2


async def test_a_call_that_is_cancelled_while_it_asks_holds_nothing_up() -> None:
    """The next one asks by itself."""
    asked = asyncio.Event()

    async def ask() -> str:
        if not asked.is_set():
            asked.set()
            await asyncio.Event().wait()
        return NEW

    async with Answering(accepting(NEW)) as server, client_of(server, ask) as client:
        first = asyncio.create_task(client.analyses.retrieve("ana_1"))
        await asked.wait()
        second = asyncio.create_task(client.analyses.retrieve("ana_2"))
        await asyncio.sleep(0)
        first.cancel()
        assert (await second).id == "ana_2"
        with pytest.raises(asyncio.CancelledError):
            await first
        assert client.rate_limit.in_flight == 0


@pytest.mark.looptime
async def test_asking_counts_in_no_attempt_of_a_request_that_is_waited_for() -> None:
    """Who is asked may take longer than a request; of one that has a timeout, the error says what that was spent on."""

    async def ask() -> str:
        await asyncio.sleep(45.0)
        return NEW

    async with RawServer(answer(analysis())) as server, client_of(server, ask, timeout=30.0) as client:
        with pytest.raises(RequestTimeoutError, match="was not sent within 30 s: api_key was still being") as caught:
            await client.analyses.create("sess_1", analyses=["summary"])
        assert (caught.value.attempts, caught.value.idempotency_key) == (1, None)
        assert (await client.analyze("sess_1", analyses=["summary"])).id == "ana_1"
        assert client.stats.requests == len(server.requests) == 1


async def test_no_traceback_and_no_repr_has_the_key() -> None:
    """Also after it has changed, and with local variables."""
    keys = Keys(OLD, NEW)
    body = f'{{"error": {{"type": "x", "code": "y", "message": "{OLD} and {NEW}"}}}}'.encode()

    def handle(request: Request) -> bytes:
        return envelope(401, code="x") if OLD in request.headers["authorization"] else answer(body, status="404 No")

    async with Answering(handle) as server, client_of(server, keys) as client:
        with pytest.raises(Exception, match="and") as caught:
            await client.analyses.retrieve("ana_1")
        lines = traceback.TracebackException.from_exception(caught.value, capture_locals=True).format()
        shown = "".join(line for line in lines if "test_keys.py" not in line) + repr(client) + str(caught.value)
        assert "old_canary" not in str(caught.value) + repr(client)
        assert "new_canary" not in str(caught.value) + repr(client)
        assert f"Bearer {NEW}" not in shown


def test_three_event_loops_in_turn_ask_once() -> None:
    """What was answered belongs to the client and not to a loop; where it changes, each may ask."""
    keys = Keys(OLD, NEW)
    port = 0

    async def main(client: KallglotClient, key: str) -> None:
        async with RawServer(answer(analysis()), port=port) as server:
            await client.analyses.retrieve("ana_1")
            assert f"Bearer {key}".encode() in server.requests[0]
            await client.aclose()

    async def find_port() -> int:
        async with RawServer() as server:
            return server.port

    port = asyncio.run(find_port())
    client = KallglotClient(keys.slowly, base_url=f"http://127.0.0.1:{port}")
    for _ in range(3):
        asyncio.run(main(client, OLD))
    assert keys.asked == 1
