"""What is sent again and what is not, what it costs, and when a call ends: judged by the server's own journal."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from email.utils import formatdate
from io import BytesIO
from typing import Any, NamedTuple

import anyio
import pytest
from support.answering import Answering, Request
from support.slow import beyond
from support.wire_faults import Connection, Fault, RawServer, analysis, answer, closing, late, silent

from kallglot_async import (
    APIError,
    AuthenticationError,
    ConflictError,
    ConnectError,
    ConnectionLostError,
    InsufficientCreditsError,
    InvalidRequestError,
    KallglotClient,
    NotFoundError,
    PermissionDeniedError,
    RateLimit,
    RateLimitedError,
    RequestError,
    RequestTimeoutError,
    ResponseBodyError,
    ResponseMismatchError,
    ResponseSchemaError,
    ResponseTooLargeError,
    ServerError,
    UnexpectedRedirectError,
)
from kallglot_async.emulator import Emulator, Latency
from kallglot_async.models import ClientEvent, Recording, RecordingStatus, RetryEvent

pytestmark = pytest.mark.looptime

KEY = "sk_test_canary7Qx2"
OK = answer(analysis())
RECORDING = Recording(
    id="rec_1", object="recording", status=RecordingStatus.READY, download_url="/v1/recordings/rec_1/audio"
)


class Rig(NamedTuple):
    """An emulator with one analysis, and a client of it."""

    emulator: Emulator
    client: KallglotClient
    id: str

    async def retrieve(self, **options: Any) -> Any:
        return await self.client.analyses.retrieve(self.id, **options)

    @property
    def sent_at(self) -> list[float]:
        return [entry.at for entry in self.emulator.journal]


@contextlib.asynccontextmanager
async def rig(*faults: Fault, server: dict[str, Any] | None = None, **options: Any) -> AsyncIterator[Rig]:
    """Without rate limits and without jitter, unless asked for."""
    settings: dict[str, Any] = {"plan": "unlimited", "latency": Latency.immediate(), "faults": faults}
    async with (
        Emulator(**(settings | (server or {}))) as emulator,
        KallglotClient(emulator.api_key, base_url=emulator.base_url, **({"random": lambda: 0.0} | options)) as client,
    ):
        yield Rig(emulator, client, emulator.seed_analyses(1)[0])


def now() -> float:
    return asyncio.get_running_loop().time()


@contextlib.contextmanager
def lasting(seconds: float, *, within: float = 0.05) -> Iterator[None]:
    """The block takes so many virtual seconds, however it ends."""
    started = now()
    try:
        yield
    finally:
        assert now() - started == pytest.approx(seconds, abs=within)


# What is retried


RETRIED: dict[str, tuple[Fault, type[RequestError]]] = {
    "408": (Fault(kind="status", status=408), APIError),
    "425": (Fault(kind="status", status=425), APIError),
    "500": (Fault(kind="status", status=500), ServerError),
    "502": (Fault(kind="status", status=502), ServerError),
    "503": (Fault(kind="status", status=503), ServerError),
    "504": (Fault(kind="status", status=504), ServerError),
    "502 as a page": (Fault(kind="html", status=502), ServerError),
    "reset": (Fault(kind="reset"), ConnectionLostError),
    "close": (Fault(kind="close"), ConnectionLostError),
    "reset in the head": (Fault(kind="reset_in_head"), ConnectionLostError),
    "reset in the body": (Fault(kind="reset_in_body"), ConnectionLostError),
    "cut body": (Fault(kind="cut_body"), ConnectionLostError),
    "cut chunked": (Fault(kind="cut_chunked"), ConnectionLostError),
    "garbage": (Fault(kind="garbage"), RequestError),
    "200 as a page": (Fault(kind="html"), ResponseBodyError),
    "200 without a body": (Fault(kind="empty"), ResponseBodyError),
    "204": (Fault(kind="empty", status=204), ResponseBodyError),
    "broken JSON": (Fault(kind="broken_json"), ResponseBodyError),
    "bad UTF-8": (Fault(kind="bad_utf8"), ResponseBodyError),
    "deep nesting": (Fault(kind="deep_json"), ResponseBodyError),
    "another analysis": (Fault(kind="wrong_id"), ResponseMismatchError),
}


def with_times(fault: Fault, times: int) -> Fault:
    return Fault(kind=fault.kind, status=fault.status, times=times)


@pytest.mark.parametrize("name", RETRIED)
async def test_a_transient_failure_is_retried_until_it_succeeds(name: str) -> None:
    """Twice wrong, then right: the call succeeds with exactly three requests."""
    fault, _ = RETRIED[name]
    async with rig(with_times(fault, 2)) as (emulator, client, id):
        assert (await client.analyses.retrieve(id)).id == id
        assert [entry.fault for entry in emulator.journal] == [fault.kind, fault.kind, None]


@pytest.mark.parametrize("name", RETRIED)
async def test_a_lasting_failure_ends_after_max_attempts(name: str) -> None:
    """It ends with the last attempt's error, which lists every attempt."""
    fault, kind = RETRIED[name]
    async with rig(fault, max_attempts=4) as (emulator, client, id):
        with pytest.raises(kind) as caught:
            await client.analyses.retrieve(id)
        error = caught.value
        assert len(emulator.journal) == error.attempts == len(error.history) == 4
        assert error.history[-1]
        assert "after 4 attempts" in str(error)
        assert error.idempotency_key is None


NOT_RETRIED: dict[str, tuple[Fault, type[RequestError]]] = {
    "400": (Fault(kind="status", status=400), InvalidRequestError),
    "401": (Fault(kind="status", status=401), AuthenticationError),
    "402": (Fault(kind="status", status=402), InsufficientCreditsError),
    "403": (Fault(kind="status", status=403), PermissionDeniedError),
    "404": (Fault(kind="status", status=404), NotFoundError),
    "405": (Fault(kind="status", status=405), APIError),
    "409 of another kind": (Fault(kind="status", status=409, body='{"error":{"code":"exists"}}'), ConflictError),
    "409 without a code": (Fault(kind="status", status=409, body=""), ConflictError),
    "410": (Fault(kind="status", status=410), APIError),
    "418": (Fault(kind="status", status=418), APIError),
    "422": (Fault(kind="status", status=422), InvalidRequestError),
    "501": (Fault(kind="status", status=501), ServerError),
    "redirect": (Fault(kind="redirect"), UnexpectedRedirectError),
    "null": (Fault(kind="null"), ResponseSchemaError),
    "gzip bomb": (Fault(kind="gzip_bomb"), ResponseTooLargeError),
}


@pytest.mark.parametrize("name", NOT_RETRIED)
async def test_a_lasting_refusal_is_not_retried(name: str) -> None:
    """One request, one typed error."""
    fault, kind = NOT_RETRIED[name]
    async with rig(fault) as (emulator, client, id):
        with pytest.raises(kind) as caught:
            await client.analyses.retrieve(id)
        assert type(caught.value) is kind
        assert len(emulator.journal) == caught.value.attempts == len(caught.value.history) == 1


async def test_max_attempts_of_one_means_no_retry() -> None:
    """A client that is told not to retry does not."""
    async with rig(Fault(kind="status"), max_attempts=1) as (emulator, client, id):
        with pytest.raises(ServerError):
            await client.analyses.retrieve(id)
        assert len(emulator.journal) == 1


async def test_different_failures_are_listed_in_their_order() -> None:
    """The history tells what each attempt met, oldest first."""
    faults = [Fault(kind="reset", times=1), Fault(kind="status", status=502, times=1), Fault(kind="empty")]
    async with rig(*faults) as (_, client, id):
        with pytest.raises(ResponseBodyError) as caught:
            await client.analyses.retrieve(id)
        lost, failed, empty = caught.value.history
    assert "connection ended" in lost
    assert "502" in failed
    assert "empty" in empty


async def test_a_refused_connection_is_retried_without_a_server() -> None:
    """A connection that is refused counts as an attempt."""
    async with RawServer() as server:
        pass
    async with KallglotClient("sk_test_1", base_url=server.base_url, random=lambda: 0.0) as client:
        with pytest.raises(ConnectError) as caught:
            await client.analyses.retrieve("ana_1")
    assert caught.value.attempts == len(caught.value.history) == 3


# Pauses between attempts


@pytest.mark.parametrize(("random", "delays"), [(0.0, [0.0, 0.0, 0.0]), (1.0, [0.5, 1.0, 2.0]), (0.5, [0.25, 0.5, 1])])
async def test_pauses_are_full_jitter_over_doubling_bounds(random: float, delays: list[float]) -> None:
    """U(0, 0.5 s), U(0, 1 s), U(0, 2 s) between the attempts."""
    async with rig(Fault(kind="status"), max_attempts=4, random=lambda: random) as it:
        with pytest.raises(ServerError):
            await it.retrieve()
        gaps = [later - sooner for sooner, later in zip(it.sent_at, it.sent_at[1:], strict=False)]
        assert gaps == pytest.approx(delays, abs=0.05)


async def test_pauses_stop_growing_at_eight_seconds() -> None:
    """No pause is longer than 8 s, however many attempts there are."""
    async with rig(Fault(kind="status"), max_attempts=9, random=lambda: 1.0, timeout=None) as it:
        with pytest.raises(ServerError):
            await it.retrieve()
        gaps = [later - sooner for sooner, later in zip(it.sent_at, it.sent_at[1:], strict=False)]
        assert gaps[3:] == pytest.approx([4, 8, 8, 8, 8], abs=0.05)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("7", 7.0), ("2.5", 2.5), ("0", 0.0), ("-5", 0.0), ("soon", 0.0), ("", 0.0), ("1e3", 0.0)],
)
@pytest.mark.parametrize("status", [503, 500])
async def test_retry_after_replaces_the_pause(value: str, seconds: float, status: int) -> None:
    """The next attempt waits as long as the server says, and garbage says nothing."""
    async with rig(Fault(kind="status", status=status, headers={"Retry-After": value}, times=1)) as it:
        await it.retrieve()
        first, second = it.sent_at
        assert second - first == pytest.approx(seconds, abs=0.05)


async def test_retry_after_may_be_a_date() -> None:
    """An HTTP date counts from the response's own `Date`, whatever the local clock says."""
    epoch = 1_900_000_000.0
    fault = Fault(kind="status", headers={"Retry-After": formatdate(epoch + 9, usegmt=True)}, times=1)
    async with rig(fault, server={"epoch": epoch}) as it:
        await it.retrieve()
        first, second = it.sent_at
        assert second - first == pytest.approx(9.0, abs=1.05)


async def test_an_absurd_retry_after_in_the_body_is_no_accident() -> None:
    """A number that no float can hold is a failed attempt, and a day: no deadline has room for another."""
    body = b'{"error":{"retry_after":1' + b"0" * 400 + b"}}"
    async with (
        RawServer(answer(body, status="503 X"), OK) as server,
        KallglotClient("sk_test_1", base_url=server.base_url, timeout=3600.0) as client,
    ):
        with pytest.raises(ServerError) as caught:
            await client.analyses.retrieve("ana_1")
        assert (caught.value.retry_after, len(server.requests)) == (86_400.0, 1)


@pytest.mark.parametrize("wait", ["60", "99999999999"])
async def test_a_pause_beyond_the_deadline_ends_the_call_at_once(wait: str) -> None:
    """Nobody sleeps towards a deadline that rules out another attempt."""
    async with rig(Fault(kind="status", headers={"Retry-After": wait})) as it:
        with lasting(0.0), pytest.raises(ServerError) as caught:
            await it.retrieve(timeout=5.0)
        assert caught.value.retry_after == min(float(wait), 86_400.0)
        assert len(it.sent_at) == 1


# The retry budget


@pytest.mark.untraced
@pytest.mark.slow
async def test_an_outage_costs_a_tenth_more_requests_at_most() -> None:
    """Once the budget of fifty retries is spent, a minute of failures sees one request for each call."""
    async with rig(Fault(kind="status")) as it:
        offered = 300
        async with asyncio.TaskGroup() as group:

            async def call() -> None:
                with pytest.raises(ServerError):
                    await it.retrieve()

            for _ in range(offered):
                group.create_task(call())
                await asyncio.sleep(0.2)
        assert len(it.sent_at) == offered + 50
        late = [at for at in it.sent_at if at >= 30.0]
        assert len(late) <= 1.1 * offered / 2


async def test_an_outage_needs_no_restart() -> None:
    """Ten answered requests after the outage buy one retry again."""
    async with rig(Fault(kind="status")) as it:
        for _ in range(60):
            with pytest.raises(ServerError):
                await it.retrieve()
        it.emulator.clear_faults()
        for _ in range(10):
            await it.retrieve()
        it.emulator.add_fault(Fault(kind="status", times=1))
        await it.retrieve()
        it.emulator.add_fault(Fault(kind="status", times=1))
        with pytest.raises(ServerError) as caught:
            await it.retrieve()
        assert caught.value.attempts == 1


@pytest.mark.slow
@pytest.mark.untraced
async def test_a_success_rate_of_nine_in_ten_keeps_its_retries() -> None:
    """Where fewer than one request in eleven fails, every failure finds a retry, for ever."""
    async with rig(Fault(kind="status", rate=0.08), max_attempts=20) as it:
        for _ in range(1000):
            await it.retrieve()


async def test_the_budget_is_not_spent_on_retries_that_do_not_happen() -> None:
    """A pause beyond the deadline ends the call, and costs none of the shared retries."""
    async with rig(Fault(kind="status", headers={"Retry-After": "60"}, times=60)) as it:
        for _ in range(60):
            with pytest.raises(ServerError):
                await it.retrieve(timeout=5.0)
        it.emulator.add_fault(Fault(kind="status", times=1))
        await it.retrieve()


# Requests that create something


async def create(client: KallglotClient, **options: Any) -> Any:
    return await client.analyses.create("sess_1", analyses=["summary"], **options)


@pytest.mark.parametrize("kind", ["status", "reset", "close", "cut_body", "reset_in_head", "reset_in_body", "html"])
async def test_a_create_is_repeated_with_the_same_key(kind: Any) -> None:
    """Whatever became of the answers, one analysis is created, and every attempt carries one key."""
    async with rig(Fault(kind=kind, takes_effect=True, times=2)) as (emulator, client, _):
        created = await create(client)
        assert [record.id for record in emulator.analyses()][1:] == [created.id]
        assert len(emulator.journal) == 3
        assert len({entry.idempotency_key for entry in emulator.journal}) == 1
        assert emulator.journal[0].idempotency_key


async def test_each_create_has_a_key_of_its_own() -> None:
    """Two calls create two analyses."""
    async with rig() as (emulator, client, _):
        first, second = await create(client), await create(client)
        assert first.id != second.id
        assert len({entry.idempotency_key for entry in emulator.journal}) == 2


CONFLICT = '{"error":{"code":"idempotency_conflict","type":"invalid_request_error","message":"in progress"}}'


async def test_an_idempotency_conflict_is_waited_out() -> None:
    """409 `idempotency_conflict` is retried with the same key after `Retry-After`."""
    fault = Fault(kind="status", status=409, body=CONFLICT, headers={"Retry-After": "4"}, times=2)
    async with rig(fault) as it:
        await create(it.client)
        first, second, third = it.emulator.journal
        assert (second.at - first.at, third.at - second.at) == pytest.approx((4.0, 4.0), abs=0.05)
        assert first.idempotency_key == second.idempotency_key == third.idempotency_key


@pytest.mark.parametrize("headers", [{"Retry-After": "1"}, {}], ids=["Retry-After", "no Retry-After"])
async def test_a_create_whose_answer_was_lost_has_what_comes_of_it(headers: dict[str, str]) -> None:
    """The server is still at it for longer than a few attempts would take; it is one creation, which is not lost."""
    conflict = Fault(kind="status", status=409, body=CONFLICT, headers=headers, times=6)
    async with rig(Fault(kind="close", times=1), conflict, random=lambda: 0.5) as it:
        assert (await create(it.client)).id == it.emulator.analyses()[-1].id
        assert len({entry.idempotency_key for entry in it.emulator.journal}) == 1
        assert len(it.sent_at) == 8


async def test_conflicts_take_no_attempt_from_what_fails_later() -> None:
    """As many conflicts as a call has attempts, and then a failure: it is the first one."""
    conflict = Fault(kind="status", status=409, body=CONFLICT, headers={"Retry-After": "1"}, times=3)
    async with rig(conflict, Fault(kind="status", status=503, times=1), max_attempts=3) as it:
        await create(it.client)
        assert [entry.status for entry in it.emulator.journal] == [409, 409, 409, 503, 202]


async def test_a_client_that_is_to_try_once_does_not_wait_for_what_is_under_way() -> None:
    """As for everything else but a refusal for rate."""
    async with rig(Fault(kind="status", status=409, body=CONFLICT), max_attempts=1) as it:
        with pytest.raises(ConflictError):
            await create(it.client)
        assert len(it.sent_at) == 1


async def test_what_was_cut_is_asked_for_again_at_once_whatever_its_headers_say() -> None:
    """A limiter may name the rest of its window on each answer: that of a 200 without a body says nothing of it."""
    async with rig(Fault(kind="status", status=200, body="", headers={"Retry-After": "45"}, times=1)) as it:
        with lasting(0.0, within=1.0):
            await create(it.client)
        assert len({entry.idempotency_key for entry in it.emulator.journal}) == 1


async def test_what_is_accepted_for_later_is_asked_for_when_it_says() -> None:
    """A 202 without a body: three attempts within a second found the same."""
    async with rig(Fault(kind="status", status=202, body="", headers={"Retry-After": "5"}, times=2)) as it:
        with lasting(10.0):
            await create(it.client)
        assert len({entry.idempotency_key for entry in it.emulator.journal}) == 1


@pytest.mark.parametrize("kind", ["status", "reset", "close", "garbage", "broken_json"])
async def test_a_create_of_unknown_outcome_says_how_to_repeat_it(kind: Any) -> None:
    """The error carries the key that was sent, so that the caller can ask again without creating twice."""
    async with rig(Fault(kind=kind, takes_effect=True, times=3)) as (emulator, client, _):
        with pytest.raises(RequestError) as caught:
            await create(client)
        key = caught.value.idempotency_key
        assert key == emulator.journal[0].idempotency_key
        assert f"idempotency_key={key!r}" in str(caught.value)
        again = await create(client, idempotency_key=key)
        assert len(emulator.analyses()) == 2  # the seeded one and this one
        assert emulator.analysis(again.id).id == again.id


@pytest.mark.parametrize("status", [400, 401, 402, 403, 422])
async def test_a_create_that_was_refused_needs_no_key(status: int) -> None:
    """Where the outcome is known, the error does not suggest to repeat the call."""
    async with rig(Fault(kind="status", status=status)) as (_, client, _):
        with pytest.raises(APIError) as caught:
            await create(client)
        assert caught.value.idempotency_key is None


@pytest.mark.parametrize(
    "then",
    [Fault(kind="throttle", retry_after=600), Fault(kind="status", status=403), Fault(kind="status", status=400)],
    ids=["429", "403", "400"],
)
async def test_a_create_lost_and_then_refused_is_still_of_unknown_outcome(then: Fault) -> None:
    """The first attempt may have created it, whatever the second was told."""
    async with rig(Fault(kind="reset", takes_effect=True, times=1)) as (emulator, client, _):
        emulator.add_fault(Fault(kind="throttle", retry_after=600, after=1) if then.kind == "throttle" else then)
        with pytest.raises(APIError) as caught:
            await create(client)
        assert len(emulator.analyses()) == 2
        assert caught.value.idempotency_key == emulator.journal[0].idempotency_key


async def test_a_create_lost_and_then_not_connected_is_still_of_unknown_outcome() -> None:
    """A refused connection on the last attempt does not make the first one undone."""

    async def hang_up_for_good(connection: Connection) -> None:
        connection.server.stop_listening()
        connection.close()

    async with (
        RawServer(hang_up_for_good) as server,
        KallglotClient("sk_test_1", base_url=server.base_url, random=lambda: 0.0) as client,
    ):
        with pytest.raises(ConnectError) as caught:
            await create(client)
        assert len(server.requests) == 1
        assert caught.value.idempotency_key
        assert caught.value.idempotency_key.encode() in server.requests[0]


# The deadline


@pytest.mark.parametrize(
    "fault",
    [
        Fault(kind="hang"),
        Fault(kind="drip", interval=1.0),
        Fault(kind="drip_head", interval=1.0),
        Fault(kind="slow", delay=99),
    ],
    ids=lambda fault: fault.kind,
)
async def test_the_deadline_ends_whatever_the_server_does(fault: Fault) -> None:
    """No answer, or one byte a second: the call ends at its timeout, and the client goes on."""
    async with rig(fault) as it:
        with lasting(5.0), pytest.raises(RequestTimeoutError) as caught:
            await it.retrieve(timeout=5.0)
        assert caught.value.timeout == 5.0
        assert isinstance(caught.value, TimeoutError)
        assert "analyses.retrieve was not answered within 5 s" in str(caught.value)
        assert caught.value.__context__ is None
        assert len(it.sent_at) == 1
        assert it.client.rate_limit.in_flight == 0
        it.emulator.clear_faults()
        await it.retrieve()


async def test_a_request_that_the_deadline_cut_off_is_an_attempt() -> None:
    """One attempt failed and one was under way: the error counts both."""
    async with rig(Fault(kind="status", times=1), Fault(kind="hang")) as it:
        with pytest.raises(RequestTimeoutError) as caught:
            await it.retrieve(timeout=5.0)
        assert len(it.sent_at) == 2
        assert caught.value.attempts == 2
        assert len(caught.value.history) == 2


async def test_a_call_whose_turn_at_the_limit_had_not_come_was_not_sent() -> None:
    """Whether others still stand in line then, or all gave up in the same moment."""
    async with rig(rate_limit=RateLimit(1, per=1.0)) as it:
        calls = (it.retrieve(timeout=3.0) for _ in range(10))
        ended = [end for end in await asyncio.gather(*calls, return_exceptions=True) if isinstance(end, Exception)]
        assert len(ended) == 10 - len(it.sent_at) > 5
        for error in ended:
            assert isinstance(error, RequestTimeoutError)
            assert "was not sent within 3 s: its turn at the rate limit had not come" in str(error)
            assert error.attempts == 0


async def test_a_create_that_found_no_connection_was_not_sent() -> None:
    """It takes nothing of the limit, and leaves nothing to be repeated with care; the error says why."""
    async with (
        RawServer(late(OK, 8.0)) as server,
        KallglotClient(KEY, base_url=server.base_url, max_connections=1, timeout=10.0) as client,
    ):
        creates = (client.analyses.create("sess_1", analyses=["summary"]) for _ in range(4))
        answered, cut_off, *unsent = await asyncio.gather(*creates, return_exceptions=True)
        assert not isinstance(answered, BaseException)
        assert isinstance(cut_off, RequestTimeoutError)
        assert cut_off.idempotency_key is not None
        assert len(unsent) == 2
        for error in unsent:
            assert isinstance(error, RequestTimeoutError)
            assert "was not sent within 10 s: every connection was busy (max_connections=1)" in str(error)
            assert (error.attempts, error.idempotency_key) == (1, None)
        assert client.stats.requests == len(server.requests) == 2
        assert (client.rate_limit.sent, client.rate_limit.in_flight) == (2, 0)


async def test_what_never_connected_was_not_sent() -> None:
    """The handshake takes all the time there is."""
    async with (
        RawServer(silent) as server,
        KallglotClient(KEY, base_url=server.base_url.replace("http", "https"), timeout=1.0) as client,
    ):
        with pytest.raises(RequestTimeoutError, match="not sent within 1 s: no connection had come about") as caught:
            await client.analyses.create("sess_1", analyses=["summary"])
    assert (caught.value.attempts, caught.value.idempotency_key) == (1, None)


async def test_an_attempt_of_many_that_found_no_connection_was_not_sent() -> None:
    """Another follows, and the server sees one request."""
    events: list[ClientEvent] = []
    async with (
        RawServer(OK, late(OK, 45.0), OK) as server,
        KallglotClient(
            KEY, base_url=server.base_url, max_connections=1, timeout=30.0, on_event=events.append
        ) as client,
    ):
        await client.analyses.retrieve("ana_1")
        held = asyncio.create_task(client.analyses.retrieve("ana_1", timeout=60.0))
        await asyncio.sleep(1.0)
        assert (await client.analyze("sess_1", analyses=["summary"])).id == "ana_1"
        await held
        assert [request.partition(b" ")[0] for request in server.requests] == [b"GET", b"GET", b"POST"]
        assert [event.error for event in events if isinstance(event, RetryEvent)] == ["ConnectError"]


async def test_the_deadline_covers_the_pauses_between_attempts() -> None:
    """Attempts and pauses share one timeout."""
    async with rig(Fault(kind="status"), max_attempts=99, random=lambda: 1.0) as it:
        started = now()
        with pytest.raises(ServerError) as caught:
            await it.retrieve(timeout=10.0)
        assert now() - started <= 10.0
        assert caught.value.attempts == len(it.sent_at) == 5  # at 0, 0.5, 1.5, 3.5, 7.5 s; the next were at 15.5


async def test_a_server_that_goes_silent_is_given_up_after_a_minute_without_bytes() -> None:
    """Even without a deadline an attempt ends when nothing arrives for 60 s, and the next one follows."""
    async with rig(Fault(kind="hang", times=1), timeout=None) as it:
        with lasting(60.0, within=1.0):
            await it.retrieve()
        assert len(it.sent_at) == 2


async def test_the_deadline_covers_the_queue_at_the_limiter() -> None:
    """Behind a probe that is never answered, a call waits as long as its timeout and says what it waited for."""
    async with rig(Fault(kind="hang", times=1)) as it:
        probe = asyncio.create_task(it.retrieve(timeout=50.0))
        await asyncio.sleep(1.0)
        with lasting(5.0), pytest.raises(RequestTimeoutError):
            await it.retrieve(timeout=5.0)
        assert len(it.sent_at) == 1
        with pytest.raises(RequestTimeoutError):
            await probe
        state = it.client.rate_limit
        assert (state.in_flight, state.waiting) == (0, 0)


async def test_a_queue_that_is_known_to_be_too_long_is_refused_at_once() -> None:
    """A ceiling that is used up for longer than the timeout: `RateLimitedError` now, with the time to wait."""
    async with rig(rate_limit=RateLimit(1, per=100.0)) as it:
        await it.retrieve()
        await asyncio.sleep(10.0)
        with lasting(0.0), pytest.raises(RateLimitedError) as caught:
            await it.retrieve(timeout=5.0)
        assert caught.value.retry_after == pytest.approx(90.0, abs=0.1)
        assert caught.value.operation == "analyses.retrieve"
        assert caught.value.attempts == 0
        with lasting(90.0):
            await it.retrieve(timeout=95.0)


@pytest.mark.parametrize("order", ["cancelled first", "deadline first"])
@pytest.mark.parametrize("state", ["hanging", "dripping", "queued"])
async def test_a_cancellation_in_the_very_turn_of_the_deadline_wins(order: str, state: str) -> None:
    """Deadline and caller's cancellation fall together: the caller sees the cancellation."""
    fault = Fault(kind="drip", interval=1.3) if state == "dripping" else Fault(kind="hang")
    async with rig(fault) as it:
        probe = asyncio.create_task(it.retrieve(timeout=100.0)) if state == "queued" else None
        await asyncio.sleep(1.0)
        loop = asyncio.get_running_loop()

        def cancel() -> None:
            if order == "cancelled first":
                task.cancel()
            else:  # after the deadline's own timer of this turn, and before the task runs
                loop.call_soon(task.cancel)

        async def call() -> None:
            loop.call_at(loop.time() + 5.0 - 1e-10, cancel)
            await it.retrieve(timeout=5.0)

        task = asyncio.create_task(call())
        with pytest.raises(asyncio.CancelledError), lasting(5.0):
            await task
        assert task.cancelled()
        if probe is not None:
            probe.cancel()
            await asyncio.wait([probe])
        state_now = it.client.rate_limit
        assert (state_now.in_flight, state_now.waiting) == (0, 0)


@pytest.mark.looptime(False)
@pytest.mark.parametrize("cancel", ["task", "scope", "timeout"])
async def test_a_really_blocked_loop_does_not_swallow_a_cancellation(cancel: str) -> None:
    """The same on a real clock: the loop is blocked past the deadline, and the cancellation wins."""
    async with rig(Fault(kind="hang")) as it:
        scope = anyio.CancelScope()
        started = asyncio.Event()

        async def call() -> str:
            started.set()
            if cancel == "scope":
                with scope:
                    await it.retrieve(timeout=0.3)
                return "cancelled"
            if cancel == "timeout":
                async with asyncio.timeout(0.3):
                    await it.retrieve(timeout=0.3)
            await it.retrieve(timeout=0.3)
            raise AssertionError("unreachable")

        task = asyncio.create_task(call())
        await started.wait()
        while not it.sent_at:  # noqa: ASYNC110  # the server runs in this loop
            await asyncio.sleep(0)
        time.sleep(0.35)  # noqa: ASYNC251  # blocking the loop is the subject
        if cancel == "task":
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        elif cancel == "scope":
            scope.cancel()
            assert await task == "cancelled"
        else:
            with pytest.raises(TimeoutError) as caught:
                await task
            assert type(caught.value) is TimeoutError  # the caller's, not ours
        assert len(it.sent_at) == 1
        assert it.client.rate_limit.in_flight == 0


# Refused for rate


@pytest.mark.parametrize("max_attempts", [1, 3])
async def test_a_refusal_is_waited_out_and_costs_no_attempt(max_attempts: int) -> None:
    """429 twice with `Retry-After: 30`: the call takes a minute and succeeds, with one attempt allowed."""
    async with rig(Fault(kind="throttle", retry_after=30, times=2), max_attempts=max_attempts) as it:
        await it.retrieve(timeout=100.0)
        gaps = [later - sooner for sooner, later in zip(it.sent_at, it.sent_at[1:], strict=False)]
        assert len(gaps) == 2
        assert all(30.0 <= gap < 40.0 for gap in gaps)
        assert it.client.rate_limit.refused == 2


async def test_refusals_do_not_spend_the_retry_budget() -> None:
    """After many refusals there are as many retries as before."""
    async with rig(Fault(kind="throttle", retry_after=1, times=70), server={"plan": "pro"}, timeout=None) as it:
        await it.retrieve()
        assert it.client.rate_limit.refused == 70
        it.emulator.add_fault(Fault(kind="status", times=2))
        await it.retrieve()


@pytest.mark.untraced
@pytest.mark.parametrize(("refusals", "retry_after"), beyond(2, [(2, 30), (20, 1), (5, 30), (10, 1)]))
async def test_a_server_without_rate_headers_is_not_starved_after_refusals(refusals: int, retry_after: int) -> None:
    """Refusals without figures, then none: the storm is outlasted and a hundred calls take minutes, not hours."""
    fault = Fault(kind="throttle", retry_after=retry_after, times=refusals)
    async with rig(fault, timeout=None) as it, asyncio.timeout(60.0 * refusals + 600.0):
        await it.retrieve()
        assert it.client.rate_limit.refused == refusals
        async with asyncio.timeout(600.0):
            await asyncio.gather(*(it.retrieve() for _ in range(100)))


@pytest.mark.parametrize(
    ("told", "plan", "least"),
    [(30, "unlimited", 30.0), (None, "pro", 29.0), (None, "unlimited", 30.0), (-1, "unlimited", 0.0)],
    ids=["Retry-After", "only X-RateLimit-Reset", "neither", "negative"],
)
async def test_a_refusal_pauses_everybody(told: Any, plan: str, least: float) -> None:
    """Between a 429 and the time it names nobody sends, not even calls that begin later."""
    fault = Fault(kind="throttle", retry_after=told, times=1, after=1)
    async with rig(fault, server={"plan": plan}, timeout=None) as it:
        await it.retrieve()
        calls = [asyncio.create_task(it.retrieve()) for _ in range(2)]
        await asyncio.sleep(1.0)
        calls += [asyncio.create_task(it.retrieve()) for _ in range(3)]
        await asyncio.gather(*calls)
        [refused] = it.emulator.journal.requests(status=429)
        later = [at for at in it.sent_at if at > refused.at]
        assert later
        assert min(later) - refused.at >= least - 0.01


@pytest.mark.parametrize(
    ("header", "body", "seconds"),
    [(None, 45, 45.0), ("0", 45, 45.0), ("45", 1, 45.0), ("date", "auto", 300.0), (None, "auto", 300.0)],
)
async def test_a_refusal_lasts_as_long_as_header_or_body_say(header: str | None, body: Any, seconds: float) -> None:
    """The longer of the two counts, as seconds or as a date on a clock that is years ahead of ours."""
    server = {"second_limit": (1, 300.0), "epoch": 2_400_000_000.0}
    async with rig(server=server | {"retry_after": header, "body_retry_after": body}, timeout=None) as it:
        await it.retrieve()
        await it.retrieve()
        refused_at, asked_again_at = it.sent_at[1:3]
        assert asked_again_at - refused_at == pytest.approx(seconds, abs=0.1)


async def test_a_refusal_beyond_the_deadline_fails_at_once() -> None:
    """429 with `Retry-After: 30` and 10 s left: `RateLimitedError` now, and the next call sends nothing."""
    async with rig(Fault(kind="throttle", retry_after=30, times=1)) as it:
        with lasting(0.0), pytest.raises(RateLimitedError) as caught:
            await it.retrieve(timeout=10.0)
        assert (caught.value.status, caught.value.retry_after) == (429, 30.0)
        await asyncio.sleep(5.0)
        with lasting(0.0), pytest.raises(RateLimitedError) as caught:
            await it.retrieve(timeout=10.0)
        assert caught.value.retry_after == pytest.approx(25.0, abs=0.1)
        assert len(it.sent_at) == 1
        with lasting(25.0, within=2.0):
            await it.retrieve(timeout=40.0)


async def test_a_refusal_without_advice_beyond_the_deadline_fails_at_once_too() -> None:
    """Without `Retry-After` the assumed pause of 30 s counts, and is told."""
    async with rig(Fault(kind="throttle", retry_after=None, times=1)) as it:
        with lasting(0.0), pytest.raises(RateLimitedError) as caught:
            await it.retrieve(timeout=10.0)
        assert caught.value.retry_after == pytest.approx(30.0, abs=0.1)


async def test_calls_queued_behind_the_refused_one_fail_at_once_as_well() -> None:
    """Who waits in line when the refusal comes, and cannot wait that long, is told then and not at its deadline."""
    async with rig(Fault(kind="throttle", retry_after=60, times=1)) as it:

        async def call() -> float:
            started = now()
            with pytest.raises(RateLimitedError) as caught:
                await it.retrieve(timeout=5.0)
            assert caught.value.retry_after == pytest.approx(60.0, abs=0.1)
            return now() - started

        assert await asyncio.gather(*(call() for _ in range(4))) == pytest.approx([0.0] * 4, abs=0.1)
        assert len(it.sent_at) == 1


@pytest.mark.parametrize("wait", [0, 2.5])
async def test_max_rate_wait_refuses_early(wait: float) -> None:
    """A direct call that would queue for longer than `max_rate_wait` fails at once, whatever its timeout."""
    async with rig(rate_limit=RateLimit(1, per=10.0), max_rate_wait=wait, timeout=None) as it:
        await it.retrieve()
        with lasting(0.0), pytest.raises(RateLimitedError) as caught:
            await it.retrieve()
        assert caught.value.retry_after == pytest.approx(10.0, abs=0.1)
        await asyncio.sleep(8.0)
        if wait:
            with lasting(2.0):
                await it.retrieve()
        else:
            with pytest.raises(RateLimitedError):
                await it.retrieve()


async def test_max_rate_wait_counts_those_ahead_in_the_queue() -> None:
    """With one slot a second and `max_rate_wait=2`, of ten calls at once nobody queues longer than that."""
    async with rig(rate_limit=RateLimit(1, per=1.0), max_rate_wait=2.0, timeout=None) as it:

        async def call() -> tuple[float, bool]:
            started = now()
            try:
                await it.retrieve()
            except RateLimitedError:
                return now() - started, False
            return now() - started, True

        ends = await asyncio.gather(*(call() for _ in range(10)))
        assert max(seconds for seconds, _ in ends) <= 2.1
        assert 2 <= sum(ok for _, ok in ends) <= 3


# The wrong answer


async def test_an_answer_for_another_id_is_retried_on_a_fresh_connection() -> None:
    """The connection that served it is not used again, and requests under way on it may finish."""

    async def slow(connection: Connection) -> None:
        await asyncio.sleep(3.0)
        await connection.send(answer(analysis("ana_2")))

    async with (
        RawServer(OK, slow, answer(analysis("ana_9")), OK) as server,
        KallglotClient("sk_test_1", base_url=server.base_url, random=lambda: 0.0) as client,
    ):
        await client.analyses.retrieve("ana_1")
        other = asyncio.create_task(client.analyses.retrieve("ana_2"))
        await asyncio.sleep(1.0)
        assert (await client.analyses.retrieve("ana_1")).id == "ana_1"
        assert server.on_connection[2] != server.on_connection[3]
        assert server.on_connection[3] == server.connections - 1
        assert (await other).id == "ana_2"
        assert len(server.requests) == 4


async def test_an_answer_for_another_id_is_never_returned() -> None:
    """A server that keeps giving the wrong analysis gets an error, without the other id in it."""
    async with rig(Fault(kind="wrong_id")) as it:
        with pytest.raises(ResponseMismatchError) as caught:
            await it.retrieve()
        assert len(it.sent_at) == 3
        assert "ana_" not in str(caught.value)


# Cancellation


async def test_a_cancellation_at_any_turn_leaves_nothing_behind() -> None:
    """Cancelled after 0, 1, 2, ... turns of the loop, a call gives back its slot and its only connection."""
    async with rig(Fault(kind="status", times=10_000, after=1), max_connections=1) as it:
        await it.retrieve()
        ends = set()
        for turns in range(60):
            task = asyncio.create_task(it.retrieve())
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            try:
                await task
            except asyncio.CancelledError:
                ends.add("cancelled")
            except ServerError:
                ends.add("failed")
            state = it.client.rate_limit
            assert (state.in_flight, state.waiting) == (0, 0)
        assert ends == {"cancelled", "failed"}
        it.emulator.clear_faults()
        with lasting(0.0, within=1.0):
            await it.retrieve()


WAITS: dict[str, tuple[list[Fault], dict[str, Any]]] = {
    "hanging": ([Fault(kind="hang", times=1)], {}),
    "dripping": ([Fault(kind="drip", interval=1.0, times=1)], {}),
    "backing off": ([Fault(kind="status", headers={"Retry-After": "9"}, times=1)], {}),
    "paused": ([Fault(kind="throttle", retry_after=9, times=1)], {}),
    "queued": ([], {"rate_limit": RateLimit(1, per=9.0)}),
}


@pytest.mark.parametrize("canceller", ["task", "scope", "timeout", "wait_for", "group"])
@pytest.mark.parametrize("state", WAITS)
async def test_a_cancellation_while_it_waits_leaves_nothing_behind(state: str, canceller: str) -> None:
    """Whatever it waits for and whoever cancels it: all slots are back and the client is usable."""
    faults, options = WAITS[state]
    async with rig(*faults, max_connections=1, **options) as it:
        if state == "queued":
            await it.retrieve()
        await _cancelled_by(canceller, it.retrieve)
        state_now = it.client.rate_limit
        assert (state_now.in_flight, state_now.waiting) == (0, 0)
        await it.retrieve(timeout=20.0)


async def _cancelled_by(canceller: str, call: Callable[[], Any]) -> None:
    """Let `call` run for 5 s, then cancel it."""
    if canceller == "task":
        task = asyncio.create_task(call())
        await asyncio.sleep(5.0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    elif canceller == "scope":
        with anyio.move_on_after(5.0) as scope:
            await call()
        assert scope.cancelled_caught
    elif canceller == "timeout":
        with pytest.raises(TimeoutError) as caught:
            async with asyncio.timeout(5.0):
                await call()
        assert not isinstance(caught.value, RequestError)
    elif canceller == "wait_for":
        with pytest.raises(TimeoutError) as caught:
            await asyncio.wait_for(call(), 5.0)
        assert not isinstance(caught.value, RequestError)
    else:

        async def fail() -> None:
            await asyncio.sleep(5.0)
            raise LookupError

        with pytest.raises(ExceptionGroup) as failed:
            async with asyncio.TaskGroup() as group:
                group.create_task(call())
                group.create_task(fail())
        assert [type(error) for error in failed.value.exceptions] == [LookupError]


async def test_a_call_cancelled_in_the_very_turn_of_its_grant_passes_its_slot_on() -> None:
    """Of two in line, the first is cancelled as its slot is granted: the second goes in that instant."""
    async with rig(rate_limit=RateLimit(1, per=10.0)) as it:
        started = now()
        await it.retrieve()
        first, second = (asyncio.create_task(it.retrieve()) for _ in range(2))
        loop = asyncio.get_running_loop()
        # Before the limiter's own timer of that turn; the cancellation comes after it and before the task runs.
        loop.call_at(started + 10.0 - 5e-10, loop.call_soon, first.cancel)
        with pytest.raises(asyncio.CancelledError):
            await first
        assert (await second).id == it.id
        assert now() - started == pytest.approx(10.0, abs=0.1)
        assert it.emulator.journal.max_within(10.0) == 1
        assert it.client.rate_limit.sent == 2


async def test_a_hanging_create_can_be_cancelled_and_repeated_with_a_key_of_ones_own() -> None:
    """After a cancellation the caller's own key finds what the first call created."""
    async with rig(Fault(kind="slow", delay=60.0, times=1)) as (emulator, client, _):
        with anyio.move_on_after(5.0):
            await create(client, idempotency_key="mine")
        await asyncio.sleep(60.0)  # until then the server answers that the first is still in progress
        created = await create(client, idempotency_key="mine")
        assert [record.id for record in emulator.analyses()][1:] == [created.id]


ENDLESS: dict[str, Callable[[KallglotClient], Awaitable[object]]] = {
    "retrieve": lambda client: client.analyses.retrieve("ana_1", timeout=None),
    "retrieve_many": lambda client: client.analyses.retrieve_many(["ana_1"], timeout=None),
    "create": lambda client: create(client, timeout=None),
    "wait": lambda client: client.with_options(timeout=None).wait("ana_1", timeout=None),
    "a view's": lambda client: client.with_options(timeout=None).analyses.retrieve("ana_1"),
    "a download": lambda client: client.recordings.download("rec_1", BytesIO()),
}


@pytest.mark.parametrize("name", ENDLESS)
async def test_a_call_that_may_take_for_ever_outlives_a_connection_whose_other_end_is_gone(name: str) -> None:
    """A minute of silence ends an attempt, and not the call."""

    async def answered(request: Request) -> bytes:
        if len(server.requests) == 1:
            await asyncio.sleep(1e6)
        if request.id == "audio":
            return answer(b"audio", "Content-Type: audio/mpeg")
        recording = {"id": "rec_1", "object": "recording", "status": "ready", "download_url": "/v1/rec_1/audio"}
        return answer(json.dumps(recording).encode() if request.id == "rec_1" else analysis("ana_1"))

    async with Answering(answered) as server, KallglotClient(KEY, base_url=server.base_url) as client:
        with lasting(60.0, within=1.0):
            result = await ENDLESS[name](client)
        assert not getattr(result, "errors", None)


async def test_a_lost_answer_ends_a_call_that_must_not_be_repeated_by_itself() -> None:
    """A client told to try once says what it does not know, and sends nothing more."""
    async with (
        RawServer(closing()) as server,
        KallglotClient("sk_test_1", base_url=server.base_url, max_attempts=1) as client,
    ):
        with pytest.raises(ConnectionLostError) as caught:
            await create(client)
        assert len(server.requests) == 1
        assert caught.value.idempotency_key


async def test_closing_a_client_that_looks_up_a_name_cancels_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """aiohttp cancels the look-up, and with it whoever waits for it: to them it is a lost connection."""
    looked_up = asyncio.Event()

    async def look_up(*_: object, **__: object) -> Any:
        looked_up.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", look_up)
    async with KallglotClient("sk_test_1", base_url="http://localhost:9/v1", max_attempts=1) as client:
        for call in (client.analyses.retrieve("ana_1"), client.recordings.download(RECORDING, BytesIO())):
            looked_up.clear()
            task = asyncio.create_task(call)
            await looked_up.wait()
            await client.aclose()
            with lasting(0.0, within=1.0), pytest.raises(ConnectionLostError):
                await task


async def test_closing_a_client_ends_what_is_under_way_with_a_typed_error() -> None:
    """`aclose` in the middle of a request leaves no call hanging and no foreign exception."""
    async with (
        RawServer(silent) as server,
        KallglotClient("sk_test_1", base_url=server.base_url, max_attempts=1) as client,
    ):
        task = asyncio.create_task(client.analyses.retrieve("ana_1"))
        await asyncio.sleep(1.0)
        await client.aclose()
        with lasting(0.0, within=1.0), pytest.raises(ConnectionLostError):
            await task
        assert client.rate_limit.in_flight == 0
