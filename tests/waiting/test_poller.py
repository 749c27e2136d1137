"""Time, and not a number of attempts, ends a wait; and whose an answer is decides what it ends."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator
from itertools import pairwise, product

import pytest
from support.answering import KEY, WALL, Answering, Outage, Request, client_of, created, envelope, page, running
from support.slow import beyond
from support.virtual import now
from support.wire_faults import analysis, answer

from kallglot_async import (
    AnalysisFailedError,
    APIError,
    ConnectError,
    KallglotClient,
    KallglotError,
    NotAttemptedError,
    NotFoundError,
    PermissionDeniedError,
    PollSchedule,
    RateLimitedError,
    RequestTimeoutError,
    ResponseBodyError,
    ResponseSchemaError,
    ServerError,
    UnexpectedRedirectError,
    WaitTimeoutError,
)
from kallglot_async.models import ClientEvent, ResponseEvent, RetryEvent, ThrottledEvent

pytestmark = pytest.mark.looptime
GATEWAY = page(503)
IDS = [f"ana_{number}" for number in range(20)]
OUTAGES: dict[str, bytes | None] = {
    "503": GATEWAY,
    "the API's own 500": envelope(500),
    "520": page(520),
    "530": page(530, body=b""),
    "499": page(499),
    "408": page(408, body=b""),
    "a firewall's 403": page(403),
    "an empty 401": page(401, body=b""),
    "a 404 of a gateway that lost its routes": page(404),
    "a 400 of a proxy": page(400),
    "200 with a page": answer(b"<html>"),
    "half an answer": answer(b"{", length=50),
    "connections that are closed": None,
    "a redirect to a login page": answer(b"", "Location: https://login.example/", status="302 Found"),
    "a cache's 304": answer(b"", status="304 Not Modified"),
    "JSON of something else": answer(b'{"status": "starting"}'),
    "JSON that is no object": answer(b"[]"),
    "an error in a success": answer(b'{"error": {"code": "upstream", "message": "later", "type": "api_error"}}'),
    "a firewall's 405": page(405),
    "a bare 423": page(423, body=b""),
    "a proxy's 407": page(407),
    "a captive portal's 511": page(511),
}


class TestOutages:
    @pytest.mark.parametrize("fault", OUTAGES)
    async def test_no_failure_that_passes_ends_an_id_before_its_time(self, fault: str) -> None:
        """Ten seconds of it cost a batch nothing but time, whoever answered, or nobody."""
        async with client_of(Outage(OUTAGES[fault], 10.0)) as (_, client):
            outcomes = await client.wait_many(IDS[:8])
            assert len(outcomes.analyses) == 8
            assert now() < 45.0

    @pytest.mark.parametrize(
        ("starts", "seconds"),
        beyond(
            1, dict.fromkeys([(0.0, 0.3), (6.0, 5.0), (0.0, 60.0), *product([0.0, 6.0], [0.3, 1.0, 5.0, 20.0, 60.0])])
        ),
    )
    async def test_a_batch_outlasts_an_outage_that_is_shorter_than_its_timeout(
        self, starts: float, seconds: float
    ) -> None:
        """All is delivered, and the outage costs no more than the budget and some looks."""
        async with client_of(Outage(GATEWAY, seconds, starts=starts, ready=10.0)) as (server, client):
            ids = [f"ana_{number}" for number in range(200)]
            outcomes = await client.wait_many(ids)
            assert len(outcomes.analyses) == 200
            during = [request for request in server.requests if starts <= request.at < starts + seconds]
            assert len(during) <= 200 + 50 + 20

    @pytest.mark.parametrize("seconds", beyond(1, [20.0, 1.0, 60.0]))
    async def test_requests_for_many_analyses_outlast_an_outage_too(self, seconds: float) -> None:
        """With the idempotency keys that they had: nothing is created twice."""
        keys: dict[str, set[str]] = {}

        def failing(request: Request) -> bytes:
            if request.method == "POST":
                keys.setdefault(request.path, set()).add(request.headers["idempotency-key"])
            if request.at < seconds and request.id != "ana_warm":
                return GATEWAY
            return created(request) if request.method == "POST" else answer(analysis(request.id))

        async with client_of(failing) as (server, client):
            outcomes = await client.analyze_many([f"sess_{n}" for n in range(40)], analyses=["summary"])
            assert len(outcomes.analyses) == 40
            assert all(len(sent) == 1 for sent in keys.values())
            assert len([request for request in server.requests if request.at < seconds]) <= 16 + 50 + 16 * 4

    @pytest.mark.parametrize("fault", ["503", "a firewall's 405", "a redirect to a login page"])
    @pytest.mark.parametrize("how", ["analyze", "analyze_many"])
    async def test_a_request_that_is_waited_for_is_repeated_too(self, how: str, fault: str) -> None:
        """Under the key that it had, for as long as the wait may take, and not for three attempts."""
        keys = []

        def failing(request: Request) -> bytes | None:
            if request.method != "POST":
                return answer(analysis(request.id))
            keys.append(request.headers["idempotency-key"])
            return OUTAGES[fault] if request.at < 10.0 else created(request)

        async with client_of(failing) as (_, client):
            if how == "analyze":
                assert (await client.analyze("sess_1", analyses=["summary"])).is_complete
            else:
                assert len((await client.analyze_many(["sess_1"], analyses=["summary"])).analyses) == 1
            assert len(set(keys)) == 1
            assert now() < 60.0

    @pytest.mark.parametrize("how", ["analyze", "analyze_many"])
    async def test_a_request_that_nobody_answers_is_repeated_too(self, how: str) -> None:
        """One that is stuck, as on a connection whose other end is gone, takes no longer than a direct call may."""
        keys = []

        async def stuck(request: Request) -> bytes:
            if request.method != "POST":
                return answer(analysis(request.id))
            keys.append(request.headers["idempotency-key"])
            if len(keys) == 1:
                await asyncio.sleep(600.0)
            return created(request)

        async with client_of(stuck) as (_, client):
            if how == "analyze":
                assert (await client.analyze("sess_1", analyses=["summary"])).is_complete
            else:
                assert len((await client.analyze_many(["sess_1"], analyses=["summary"])).analyses) == 1
            assert len(keys) == 2
            assert len(set(keys)) == 1
            assert now() < 40.0

    async def test_a_request_that_fails_to_the_end_says_why(self) -> None:
        """What was met before the time was over, and not only that it was."""

        def failing(request: Request) -> bytes:
            return page(405) if request.method == "POST" else answer(analysis(request.id))

        async with client_of(failing) as (_, client):
            with pytest.raises(
                RequestTimeoutError, match=r"within 120 s \(before that: the API answered 405 \(405\)\)"
            ):
                await client.analyze("sess_1", analyses=["summary"])

    @pytest.mark.parametrize("fault", ["a redirect to a login page", "JSON of something else", "a firewall's 405"])
    async def test_what_the_api_never_says_is_told_at_once_where_it_was_never_served(self, fault: str) -> None:
        """A wrong base_url, most likely."""
        async with client_of(Outage(OUTAGES[fault], 600.0), is_warm=False) as (server, client):
            outcomes = await client.wait_many(IDS)
            assert len(outcomes.errors) == 20
            assert not any(isinstance(error, WaitTimeoutError) for error in outcomes.errors.values())
            assert now() < 5.0
            assert len(server.requests) <= 20

    @pytest.mark.parametrize("how", ["wait", "analyze"])
    async def test_what_the_api_never_says_is_doubted_under_another_key_too(self, how: str) -> None:
        """The address is right: the API has answered there before."""

        def login_page(request: Request) -> bytes:
            if request.at < 10.0 and request.id != "ana_warm":
                return answer(b"", "Location: https://login.example/", status="302 Found")
            return created(request) if request.method == "POST" else answer(analysis(request.id))

        async with client_of(login_page) as (_, client):
            other = client.with_options(api_key="sk_test_another7Qx2")
            call = other.wait("ana_1") if how == "wait" else other.analyze("sess_1", analyses=["summary"])
            assert (await call).is_complete
            assert now() < 45.0

    @pytest.mark.parametrize(
        ("refusal", "kind"),
        [
            (answer(b"", "Location: https://api2.example/", status="301 Moved Permanently"), UnexpectedRedirectError),
            (answer(b"", "Location: https://api2.example/", status="308 Permanent Redirect"), UnexpectedRedirectError),
            (answer(b'{"object": "analysis", "status": "completed"}'), ResponseSchemaError),
            (answer(b'{"id": "ana_1", "object": "analysis"}'), ResponseSchemaError),
        ],
    )
    async def test_what_is_so_for_good_is_told_at_once(self, refusal: bytes, kind: type[KallglotError]) -> None:
        """An API that has moved, or says something else by now: no time makes that good."""

        def moved(request: Request) -> bytes:
            return answer(analysis(request.id)) if request.id == "ana_warm" else refusal

        async with client_of(moved) as (_, client):
            outcomes = await client.wait_many(["ana_1"])
            assert [type(error) for error in outcomes.errors.values()] == [kind]
            assert now() < 5.0

    @pytest.mark.parametrize("how", ["analyze", "analyze_many"])
    async def test_a_request_is_repeated_no_longer_than_its_wait_may_take(self, how: str) -> None:
        """By a client whose calls may take for ever, too."""

        def failing(request: Request) -> bytes:
            return GATEWAY if request.method == "POST" else answer(analysis(request.id))

        async with client_of(failing, timeout=None) as (_, client), asyncio.timeout(1000.0):
            if how == "analyze":
                with pytest.raises(RequestTimeoutError):
                    await client.analyze("sess_1", analyses=["summary"], timeout=60.0)
            else:
                outcomes = await client.analyze_many(["sess_1"], analyses=["summary"], timeout=60.0)
                assert [type(error) for error in outcomes.errors.values()] == [RequestTimeoutError]
            assert 50.0 < now() < 70.0

    @pytest.mark.parametrize("how", ["analyze", "analyze_many", "wait_many"])
    @pytest.mark.parametrize("status", beyond(2, [422, 413, 402, 409, 410, 414, 415]))
    async def test_a_status_that_says_enough_is_told_at_once_whoever_sends_it(self, status: int, how: str) -> None:
        """A framework on a field, a proxy on a body, an endpoint that was taken down: no time changes those."""

        def refusing(request: Request) -> bytes:
            return answer(analysis(request.id)) if request.id == "ana_warm" else page(status, body=b'{"detail": []}')

        async with client_of(refusing) as (server, client):
            if how == "wait_many":
                [error] = (await client.wait_many(["ana_1"])).errors.values()
            elif how == "analyze_many":
                [error] = (await client.analyze_many(["sess_1"], analyses=["summary"])).errors.values()
            else:
                with pytest.raises(APIError) as caught:
                    await client.analyze("sess_1", analyses=["summary"])
                error = caught.value
            assert isinstance(error, APIError)
            assert (error.status, len(server.requests)) == (status, 1)
            assert now() < 5.0

    @pytest.mark.parametrize("how", ["wait", "gather", "analyze", "analyze_many", "as_completed"])
    async def test_every_kind_of_wait_outlasts_an_outage(self, how: str) -> None:
        """What was paid for above all."""
        async with client_of(Outage(GATEWAY, 10.0)) as (_, client):
            sessions = [f"sess_{number}" for number in range(20)]
            if how == "wait":
                assert (await client.wait("ana_1")).is_complete
            elif how == "gather":
                assert len(await asyncio.gather(*map(client.wait, IDS))) == 20
            elif how == "analyze":
                assert (await client.analyze("sess_1", analyses=["summary"])).is_complete
            elif how == "analyze_many":
                assert len((await client.analyze_many(sessions, analyses=["summary"])).analyses) == 20
            else:
                async with client.as_completed(IDS) as finished:
                    assert len([outcome.unwrap() async for outcome in finished]) == 20

    @pytest.mark.parametrize("how", ["wait_many", "retrieve_many", "analyze_many"])
    async def test_a_server_that_drops_all_but_the_first_request_of_a_connection_costs_no_id(self, how: str) -> None:
        """What was kept is used no more, and so nothing is lost but the first time, and when it is tried again."""
        served: set[int] = set()

        def dropping(request: Request) -> bytes | None:
            if request.connection in served:
                return None
            served.add(request.connection)
            if request.method == "POST":
                return created(request)
            return answer(analysis(request.id)) if request.at > 20.0 or how != "wait_many" else running(request.id)

        async with client_of(dropping) as (server, client):
            ids = [f"ana_{number}" for number in range(60)]
            if how == "analyze_many":
                sessions = [f"sess_{number}" for number in range(60)]
                assert len((await client.analyze_many(sessions, analyses=["summary"])).analyses) == 60
            else:
                outcomes = await (client.wait_many(ids) if how == "wait_many" else client.analyses.retrieve_many(ids))
                assert len(outcomes.analyses) == 60
            lost = len(server.requests) - len(served) + 1
            assert lost <= 0.1 * len(server.requests)

    @pytest.mark.parametrize("count", [5, 100])
    async def test_a_server_that_is_silent_on_all_but_the_first_costs_no_id_either(self, count: int) -> None:
        """A request that is cut off after seconds of silence is lost, too."""
        served: set[int] = set()

        async def silent(request: Request) -> bytes:
            if request.connection in served:
                await asyncio.sleep(1e6)
            served.add(request.connection)
            await asyncio.sleep(0.05)
            return answer(analysis(request.id)) if request.at > 12.0 else running(request.id)

        async with client_of(silent) as (_, client):
            outcomes = await client.wait_many([f"ana_{number}" for number in range(count)])
            assert len(outcomes.analyses) == count
            assert now() < 100.0

    async def test_a_connection_that_is_forgotten_on_the_way_is_doubted_for_longer_each_time(self) -> None:
        """What is idle for five seconds leads nowhere: of calls every eight seconds every other one was lost."""
        used: dict[int, float] = {}

        async def forgetful(request: Request) -> bytes:
            if request.at - used.setdefault(request.connection, request.at) > 5.0:
                await asyncio.sleep(1e6)
            return answer(analysis(request.id))

        async with client_of(forgetful) as (_, client):
            lost = 0
            for _ in range(40):
                await asyncio.sleep(8.0)
                try:
                    await client.analyses.retrieve("ana_1")
                except RequestTimeoutError:
                    lost += 1
            assert lost == 5  # behind 10, 20, 40 and 80 s of doubt

    @pytest.mark.parametrize(("gone_at", "takes"), [(35.0, 8.0), (45.0, 0.0)])
    async def test_a_connection_that_is_gone_near_the_end_of_a_wait_leaves_time_for_another(
        self, gone_at: float, takes: float
    ) -> None:
        """What settled meanwhile is had, by a poll that has all that is left: the one that was stuck had half of it."""
        began: dict[int, float] = {}

        async def answers(request: Request) -> bytes:
            if request.at >= gone_at and began.setdefault(request.connection, request.at) < gone_at:
                await asyncio.sleep(3600.0)
            began.setdefault(request.connection, request.at)
            await asyncio.sleep(takes if request.at > gone_at else 0.0)
            return answer(analysis(request.id)) if request.at > gone_at else running(request.id)

        async with client_of(answers) as (_, client):
            assert (await client.wait("ana_1", timeout=60.0)).is_complete
            assert now() < 60.0

    @pytest.mark.parametrize("timeout", [13.0, 20.0])
    async def test_a_first_poll_that_takes_long_near_the_end_is_waited_for(self, timeout: float) -> None:
        """However quick all else was: of how long the answer to this one takes, nothing is known."""

        async def answers(request: Request) -> bytes:
            await asyncio.sleep(0.0 if request.id == "ana_warm" else 12.0)
            return answer(analysis(request.id))

        async with client_of(answers) as (server, client):
            assert (await client.wait("ana_1", timeout=timeout)).is_complete
            assert len(server.requests) == 1

    async def test_a_poll_that_takes_as_long_as_the_one_before_it_is_waited_for(self) -> None:
        """Where there is no time for two such polls."""

        async def answers(request: Request) -> bytes:
            await asyncio.sleep(0.0 if request.id == "ana_warm" else 6.0)
            return answer(analysis(request.id)) if request.at > 6.0 else running(request.id)

        async with client_of(answers) as (server, client):
            assert (await client.wait("ana_1", timeout=17.0, schedule=PollSchedule.fixed(0.5))).is_complete
            assert len(server.requests) == 2

    @pytest.mark.parametrize("how", ["wait", "analyze"])
    async def test_a_host_that_lags_behind_the_others_for_good_ends_no_wait(self, how: str) -> None:
        """Its connection would be kept by the polls: no other host would ever be asked."""

        def lagging(request: Request) -> bytes:
            if request.method == "POST":
                return created(request)
            has_settled = request.at > 10.0 and request.connection > 0
            return answer(analysis(request.id)) if has_settled else running(request.id)

        async with client_of(lagging, is_warm=False) as (server, client):
            call = client.wait("ana_1") if how == "wait" else client.analyze("sess_1", analyses=["summary"])
            assert (await call).is_complete
            assert now() < 45.0
            assert server.connections == 2

    @pytest.mark.parametrize("share", beyond(1, [0.33, 0.1, 0.5, 0.8]))
    async def test_a_node_that_fails_now_and_then_costs_no_id(self, share: float) -> None:
        """A rolling deploy: for twenty seconds a part of the answers are 503."""
        luck = random.Random(5)

        def flaky(request: Request) -> bytes:
            if request.at < 20.0 and luck.random() < share:
                return GATEWAY
            return answer(analysis(request.id)) if request.at > 10.0 else running(request.id)

        async with client_of(flaky, is_warm=False) as (_, client):
            outcomes = await client.wait_many([f"ana_{number}" for number in range(100)])
            assert len(outcomes.analyses) == 100

    @pytest.mark.parametrize("how", ["wait_many", "analyze_many"])
    @pytest.mark.parametrize("share", beyond(1, [0.3, 0.2, 0.5]))
    async def test_an_api_that_fails_now_and_then_all_the_time_costs_no_id(self, share: float, how: str) -> None:
        """The retry budget is long empty: each answer shows that somebody is there, and lets others be looked at."""
        luck = random.Random(3)

        async def flaky(request: Request) -> bytes:
            await asyncio.sleep(0.05)
            if request.id != "ana_warm" and luck.random() < share:
                return envelope(500)
            if request.method == "POST":
                return created(request)
            return answer(analysis(request.id)) if request.at > 10.0 else running(request.id)

        async with client_of(flaky) as (server, client):
            if how == "wait_many":
                outcomes = await client.wait_many([f"ana_{number}" for number in range(200)])
            else:
                outcomes = await client.analyze_many([f"sess_{n}" for n in range(200)], analyses=["summary"])
            assert len(outcomes.analyses) >= 198
            assert client.stats.retries_left < 10.0
            assert len(server.requests) < 1_500

    @pytest.mark.parametrize(
        ("limit", "seconds", "is_warm"),
        beyond(
            3,
            dict.fromkeys(
                [
                    (150, 5.0, True),
                    (150, 20.0, False),
                    (600, 1.0, False),
                    *product([150, 600], [1.0, 5.0, 20.0], [True, False]),
                ]
            ),
        ),
    )
    async def test_an_outage_beside_an_announced_limit(self, limit: int, seconds: float, is_warm: bool) -> None:
        """Neither loses an id to the other, and the limit is kept."""
        windows: Counter[int] = Counter()

        def limited(request: Request) -> bytes:
            number = int(request.at // 60.0)
            if request.at < seconds and request.id != "ana_warm":
                return GATEWAY
            windows[number] += 1
            left, reset = limit - windows[number], WALL + 60.0 * (number + 1)
            headers = (
                f"X-RateLimit-Limit: {limit}",
                f"X-RateLimit-Remaining: {left}",
                f"X-RateLimit-Reset: {reset:.0f}",
            )
            assert left >= 0
            return answer(analysis(request.id), *headers) if request.at > 12.0 else running(request.id, *headers)

        async with client_of(limited, is_warm=is_warm) as (_, client):
            outcomes = await client.wait_many([f"ana_{number}" for number in range(100)])
            assert len(outcomes.analyses) == 100

    async def test_what_fails_for_ever_ends_at_its_time_and_says_why(self) -> None:
        """With the last failure in the error, and few requests."""
        async with client_of(Outage(GATEWAY, 1e9)) as (server, client):
            outcomes = await client.wait_many(IDS, timeout=60.0)
            errors = outcomes.errors.values()
            assert {type(error) for error in errors} == {WaitTimeoutError}
            assert all("its last poll failed: the API failed with 503" in str(error) for error in errors)
            assert now() == pytest.approx(60.0, abs=1.5)
            assert len(server.requests) <= 20 + 50 + 20 + 20


class TestBeforeAnyAnswer:
    async def test_a_stranger_ends_a_batch_within_seconds(self) -> None:
        """Nobody listens: one request at a time asks for all, and its attempts end all."""
        async with client_of(lambda request: None, is_warm=False) as (server, client):
            outcomes = await client.wait_many(IDS)
            assert len(outcomes.errors) == 20
            assert {error.attempts for error in outcomes.errors.values()} == {3}  # type: ignore[attr-defined]
            assert len(server.requests) == 3
            assert now() < 5.0

    async def test_strangers_of_many_calls_are_one(self) -> None:
        """The waits of a client that was never answered share the one request, and its end."""
        async with client_of(lambda request: None, is_warm=False) as (server, client):
            ends = await asyncio.gather(*map(client.wait, IDS), return_exceptions=True)
            assert len(server.requests) == 3
            assert len({id(end) for end in ends}) == 20  # an error is nobody else's
            assert len({str(end) for end in ends}) == 1

    async def test_a_port_that_is_closed_is_told_as_it_is(self) -> None:
        """A connection error, for every id."""
        async with Answering(lambda request: None) as server:
            pass
        async with KallglotClient(KEY, base_url=server.base_url) as client:
            outcomes = await client.wait_many(IDS)
            assert {type(error) for error in outcomes.errors.values()} == {ConnectError}
            with pytest.raises(ConnectError):
                await client.wait("ana_1")

    async def test_a_page_that_answers_for_everything_ends_it_too(self) -> None:
        """A captive portal is not the API."""
        async with client_of(lambda request: answer(b"<html>"), is_warm=False) as (server, client):
            with pytest.raises(ResponseBodyError):
                await client.wait("ana_1")
            assert len(server.requests) == 3

    async def test_a_gateway_that_says_not_now_is_believed_for_half_a_minute(self) -> None:
        """Then it ends with that."""
        async with client_of(lambda request: GATEWAY, is_warm=False) as (server, client):
            outcomes = await client.wait_many(IDS)
            assert {type(error) for error in outcomes.errors.values()} == {ServerError}
            assert 30.0 <= now() <= 60.0
            assert len(server.requests) <= 12

    @pytest.mark.parametrize("call", ["analyze_many", "retrieve_many"])
    @pytest.mark.parametrize(
        "said", [None, answer(b"<html>"), page(403), page(404)], ids=["closed", "200", "403", "404"]
    )
    async def test_requests_in_a_batch_have_one_that_asks_for_all_too(self, call: str, said: bytes | None) -> None:
        """Attempts are spent for a probe, and not for each of a hundred; all end with what it met."""
        async with client_of(lambda request: said, is_warm=False) as (server, client):
            if call == "analyze_many":
                sessions = [f"sess_{number}" for number in range(100)]
                outcomes = await client.analyze_many(sessions, analyses=["summary"])
            else:
                outcomes = await client.analyses.retrieve_many([f"ana_{number}" for number in range(100)])
            assert (len(outcomes.errors), len(server.requests)) == (100, 3)
            assert {(type(error), error.attempts) for error in outcomes.errors.values()} == {  # type: ignore[attr-defined]
                (type(outcomes[0].error), 3)
            }
            assert now() < 5.0

    async def test_a_batch_of_requests_believes_a_gateway_as_long_as_a_wait_does(self) -> None:
        """Half a minute, for all of them together."""
        async with client_of(lambda request: GATEWAY, is_warm=False) as (server, client):
            sessions = [f"sess_{number}" for number in range(100)]
            outcomes = await client.analyze_many(sessions, analyses=["summary"])
            assert {type(error) for error in outcomes.errors.values()} == {ServerError}
            assert 30.0 <= now() <= 60.0
            assert len(server.requests) <= 12

    async def test_a_batch_of_requests_goes_on_once_one_was_answered(self) -> None:
        """Also where that answer refuses one of them; an endless source ends with the one that asks."""

        def answers(request: Request) -> bytes | None:
            return (
                None if request.at < 1.0 else envelope(404) if request.id == "ana_0" else answer(analysis(request.id))
            )

        async with client_of(answers, is_warm=False) as (_, client):
            outcomes = await client.analyses.retrieve_many(IDS)
            assert [type(outcome.error) for outcome in outcomes] == [NotFoundError] + [type(None)] * 19

        async def endless() -> AsyncIterator[str]:
            number = 0
            while True:
                number += 1
                yield f"ana_{number}"

        async with client_of(lambda request: None, is_warm=False) as (server, client):
            outcomes = await client.analyses.retrieve_many(endless())
            assert 1 <= len(outcomes) <= 64
            assert len(server.requests) == 3

    async def test_the_rest_go_as_soon_as_one_is_answered(self) -> None:
        """One request asks first; its answer lets all others of all calls go."""

        async with client_of(Outage(None, 0.0), is_warm=False) as (server, client):
            await asyncio.gather(client.wait("ana_1"), client.wait("ana_2"), client.wait_many(["ana_3", "ana_4"]))
            assert len(server.requests) == 4
            assert now() < 0.5

    async def test_a_call_that_leaves_hands_the_asking_on(self) -> None:
        """Its request was for all; without it another one asks."""

        def silent_first(request: Request) -> bytes | None:
            return answer(analysis(request.id)) if request.id != "ana_1" else running(request.id)

        async with client_of(silent_first, is_warm=False) as (_, client):
            first = asyncio.create_task(client.wait("ana_1"))
            await asyncio.sleep(0)
            others = asyncio.gather(client.wait("ana_2"), client.wait("ana_3"))
            await asyncio.sleep(0)
            first.cancel()
            assert len(await others) == 2


class TestRefusals:
    @pytest.mark.parametrize("status", beyond(2, ["403 X", "200 OK", "400 X", "503 X"]))
    async def test_a_refusal_for_rate_is_one_under_whichever_status(self, status: str) -> None:
        """Everybody pauses for what it says, nobody's attempts are used up, and no key is suspected."""
        body = b'{"error": {"code": "rate_limit_exceeded", "message": "x", "type": "rate_limit_error"}}'
        refusal = answer(body, "Retry-After: 8", status=status)

        def refusing(request: Request) -> bytes:
            if 1.0 <= request.at < 9.0 and request.id != "ana_warm":
                return refusal
            return answer(analysis(request.id)) if request.at > 9.0 else running(request.id)

        events: list[ClientEvent] = []
        async with client_of(refusing, on_event=events.append) as (server, client):
            outcomes = await client.wait_many(IDS)
            assert len(outcomes.analyses) == 20
            during = [request for request in server.requests if 1.0 <= request.at < 9.0]
            assert 1 <= len(during) <= 20
            assert max(request.at for request in during) - during[0].at < 1.0
            assert client.rate_limit.refused == len(during)
            assert len([event for event in events if isinstance(event, ThrottledEvent)]) == len(during)

    @pytest.mark.parametrize("status", ["403 X", "200 OK"])
    async def test_a_direct_call_waits_it_out(self, status: str) -> None:
        """As it waits out a 429; and where there is no time for that, it says so."""
        body = b'{"error": {"code": "rate_limit_exceeded", "message": "x", "type": "rate_limit_error"}}'

        def refusing(request: Request) -> bytes:
            return answer(body, "Retry-After: 8", status=status) if request.at < 4.0 else answer(analysis(request.id))

        async with client_of(refusing, is_warm=False) as (_, client):
            with pytest.raises(RateLimitedError) as caught:
                await client.analyses.retrieve("ana_1", timeout=5.0)
            assert (caught.value.retry_after, caught.value.status) == (8.0, int(status[:3]))
            assert (await client.analyses.retrieve("ana_1")).is_complete

    async def test_an_analysis_that_failed_for_it_is_what_was_asked_for(self) -> None:
        """Its id says that it is one."""
        error = {"code": "rate_limit_exceeded", "message": "upstream was busy"}
        failed = answer(analysis("ana_1", status="failed", error=error))
        async with client_of(lambda request: failed, is_warm=False) as (server, client):
            with pytest.raises(AnalysisFailedError, match="upstream was busy"):
                await client.wait("ana_1")
            assert len(server.requests) == 1


class TestKeys:
    @pytest.mark.parametrize("refusal", beyond(1, [page(403), page(403, body=b""), page(401), page(404, body=b"{}")]))
    async def test_a_firewalls_refusal_costs_no_batch_anything(self, refusal: bytes) -> None:
        """One page in a batch of 60, without the API's envelope: that request is sent again."""
        count = 0

        def firewall(request: Request) -> bytes:
            nonlocal count
            count += 1
            if count == 45:
                return refusal
            return answer(analysis(request.id)) if request.at > 6.0 else running(request.id)

        async with client_of(firewall) as (_, client):
            assert len((await client.wait_many([f"ana_{number}" for number in range(60)])).analyses) == 60

    @pytest.mark.parametrize("status", [401, 403])
    async def test_a_refusal_of_one_id_is_that_ids_own(self, status: int) -> None:
        """Others are answered after it: the key is fine."""

        def two_are_barred(request: Request) -> bytes:
            if request.id in {"ana_7", "ana_13"}:
                return envelope(status)
            return answer(analysis(request.id)) if request.at > 6.0 else running(request.id)

        async with client_of(two_are_barred, max_in_flight=1) as (server, client):
            outcomes = await client.wait_many(IDS)
            assert list(outcomes.errors) == ["ana_7", "ana_13"]
            assert len(outcomes.analyses) == 18
            assert [request.id for request in server.requests].count("ana_7") == 1

    @pytest.mark.parametrize("status", [401, 403])
    async def test_a_refusal_that_a_second_id_hears_ends_the_batch(self, status: int) -> None:
        """A key that is revoked on the way."""

        def revoked(request: Request) -> bytes:
            return running(request.id) if request.at < 3.0 else envelope(status)

        async with client_of(revoked, max_in_flight=1) as (server, client):
            outcomes = await client.wait_many(IDS)
            kinds = Counter(type(error) for error in outcomes.errors.values())
            assert kinds[NotAttemptedError] == 18
            assert sum(kinds.values()) == 20
            assert sum(request.at >= 3.0 for request in server.requests) == 2

    async def test_a_refusal_before_anything_was_accepted_ends_the_batch_at_once(self) -> None:
        """A wrong key is noticed by one request."""
        async with client_of(lambda request: envelope(403), is_warm=False) as (server, client):
            outcomes = await client.wait_many(IDS)
            kinds = Counter(type(error) for error in outcomes.errors.values())
            assert kinds == {PermissionDeniedError: 1, NotAttemptedError: 19}
            assert len(server.requests) == 1

    @pytest.mark.parametrize("how", ["retrieve_many", "analyze_many"])
    async def test_other_batches_judge_alike(self, how: str) -> None:
        """One refusal among others is that id's own, the same to two in a row is everybody's."""
        barred = {"ana_7", "ana_13", "ana_14"}

        def some_are_barred(request: Request) -> bytes:
            id = "ana_" + request.path.split("/")[-2].removeprefix("sess_") if request.method == "POST" else request.id
            if request.method == "GET" and how == "analyze_many":
                return answer(analysis(request.id))
            if id in barred:
                return envelope(403)
            return created(request) if request.method == "POST" else answer(analysis(request.id))

        async with client_of(some_are_barred, max_in_flight=1) as (_, client):
            if how == "retrieve_many":
                outcomes = await client.analyses.retrieve_many(IDS, max_in_flight=1)
            else:
                sessions = [f"sess_{number}" for number in range(20)]
                outcomes = await client.analyze_many(sessions, max_in_flight=1, analyses=["summary"])
            kinds = [type(outcome.error) for outcome in outcomes]
            assert [number for number, kind in enumerate(kinds) if kind is PermissionDeniedError] == [7, 13, 14]
            assert set(kinds[15:]) == {NotAttemptedError}
            assert set(kinds[:7] + kinds[8:13]) == {type(None)}


class TestNotFound:
    @pytest.mark.parametrize("missing", [(3,), (2, 3, 4), (2, 4)])
    async def test_what_was_seen_is_some_replicas_to_catch_up_with(self, missing: tuple[int, ...]) -> None:
        """A 404 in between ends nothing."""
        polls = 0

        def lagging(request: Request) -> bytes:
            nonlocal polls
            polls += request.id != "ana_warm"
            if polls in missing:
                return envelope(404)
            return running(request.id) if 0 < polls < 6 else answer(analysis(request.id))

        async with client_of(lagging) as (_, client):
            assert (await client.wait("ana_1")).is_complete

    async def test_what_was_seen_and_is_gone_ends_after_ten_seconds_of_doubt(self) -> None:
        """With growing gaps in between."""
        first = True

        def deleted(request: Request) -> bytes:
            nonlocal first
            was_first, first = first, False
            return running(request.id) if was_first else envelope(404)

        async with client_of(deleted, is_warm=False) as (server, client):
            with pytest.raises(NotFoundError):
                await client.wait("ana_1")
            at = [request.at for request in server.requests[1:]]
            assert at[-1] - at[0] == pytest.approx(10.0, abs=0.1)
            gaps = [after - before for before, after in pairwise(at)]
            assert gaps == pytest.approx([0.5, 1.0, 2.0, 4.0, 2.5], abs=0.05)

    @pytest.mark.parametrize("appears", [True, False])
    async def test_what_was_never_seen_is_looked_at_once_more(self, appears: bool) -> None:
        """Another process may have created it a moment ago; a direct call has no time for that."""

        def late(request: Request) -> bytes:
            if request.id == "ana_warm" or (appears and request.at >= 1.0):
                return answer(analysis(request.id))
            return envelope(404)

        async with client_of(late) as (server, client):
            with pytest.raises(NotFoundError):
                await client.analyses.retrieve("ana_1")
            assert len(server.requests) == 1
            if appears:
                assert (await client.wait("ana_1")).is_complete
            else:
                with pytest.raises(NotFoundError) as caught:
                    await client.wait("ana_1")
                assert caught.value.attempts == 2
            assert server.requests[2].at - server.requests[1].at == pytest.approx(2.0, abs=0.05)
            assert len(server.requests) == 3


class TestHints:
    @pytest.mark.parametrize("seconds", ["rest", "3600", "1", "0", "Wed, 21 Oct 2099 07:28:00 GMT"])
    async def test_no_hint_parks_an_id(self, seconds: str) -> None:
        """Frameworks' limiters put `Retry-After` on every answer: it is found about as soon as without."""
        ready = 5.0

        def decorated(request: Request) -> bytes:
            said = f"{58 - request.at:.0f}" if seconds == "rest" else seconds
            reset = f"X-RateLimit-Reset: {WALL + 58:.0f}"
            headers = ("X-RateLimit-Limit: 150", "X-RateLimit-Remaining: 140", reset, f"Retry-After: {said}")
            return answer(analysis(request.id), *headers) if request.at >= ready else running(request.id, *headers)

        async with client_of(decorated, is_warm=False) as (server, client):
            await client.wait("ana_1")
            assert ready <= now() <= 15.0
            assert len(server.requests) <= 8

    async def test_an_estimate_in_the_far_future_parks_nothing_either(self) -> None:
        """Said by the analysis itself, on every answer."""

        def estimating(request: Request) -> bytes:
            if request.at >= 8.0:
                return answer(analysis(request.id))
            return running(request.id, estimated_completion="2099-01-01T00:00:00Z")

        async with client_of(estimating, is_warm=False) as (_, client):
            await client.wait("ana_1")
            assert now() <= 20.0

    @pytest.mark.parametrize("schedule", [PollSchedule.fixed(2.0), PollSchedule.exponential(first=1.0, maximum=4.0)])
    async def test_a_fixed_schedule_is_not_parked_either(self, schedule: PollSchedule) -> None:
        """A hint makes it later by a few intervals at most."""

        def parking(request: Request) -> bytes:
            return answer(analysis(request.id)) if request.at >= 5.0 else running(request.id, "Retry-After: 900")

        async with client_of(parking, is_warm=False) as (_, client):
            await client.wait("ana_1", schedule=schedule)
            assert now() <= 5.0 + 3 * 4.0

    @pytest.mark.parametrize("status", [202, 204])
    async def test_an_answer_without_a_body_says_that_it_is_running(self, status: int) -> None:
        """With its `Retry-After` as the hint; it is no failure, and costs no retry."""

        def accepted(request: Request) -> bytes:
            if request.id == "ana_warm" or request.at >= 6.0:
                return answer(analysis(request.id))
            return answer(b"", "Retry-After: 2", status=f"{status} Yes")

        async with client_of(accepted) as (server, client):
            assert (await client.wait("ana_1")).is_complete
            assert client.stats.retries == 0
            assert 3 <= len(server.requests) <= 6

    async def test_polls_go_past_every_cache(self) -> None:
        """A cache in between would deliver what was."""
        async with client_of(Outage(None, 0.0)) as (server, client):
            await client.wait("ana_1")
            assert {request.headers["cache-control"] for request in server.requests} == {"no-cache"}


class TestPauses:
    @pytest.mark.parametrize("retry_after", [40, 86_400, 900_000_030])
    async def test_a_pause_beyond_every_timeout_ends_a_batch(self, retry_after: int) -> None:
        """What cannot be polled before it is over ends once its timeout has passed, with the time that was named."""
        async with client_of(lambda request: envelope(429, f"Retry-After: {retry_after}"), is_warm=False) as (
            server,
            client,
        ):
            outcomes = await client.wait_many(["ana_1", "ana_2"], timeout=30.0)
            assert now() == pytest.approx(30.0, abs=0.5)
            for error in outcomes.errors.values():
                assert isinstance(error, WaitTimeoutError)
                assert error.retry_after == pytest.approx(min(retry_after, 86_400) - 30.0, rel=0.2)
                assert (error.polls, error.elapsed) == (0, 0.0)
            assert len(server.requests) == 1

    async def test_a_pause_that_another_call_met_ends_it_too(self) -> None:
        """They share the limit, though nobody told this one of the refusal."""

        def refused_later(request: Request) -> bytes:
            return envelope(429, "Retry-After: 900") if request.id == "ana_bad" else running(request.id)

        async with client_of(refused_later, is_warm=False) as (_, client):
            with pytest.raises(RateLimitedError):
                await client.analyses.retrieve("ana_bad", timeout=5.0)
            outcomes = await client.wait_many(["ana_1"], timeout=10.0)
            assert [type(outcome.error) for outcome in outcomes] == [WaitTimeoutError]
            assert now() <= 25.0

    async def test_a_pause_that_the_request_for_all_met_ends_all(self) -> None:
        """The other calls were not told of it either."""
        async with client_of(lambda request: envelope(429, "Retry-After: 900"), is_warm=False) as (server, client):
            calls = (client.wait_many([f"ana_{number}"], timeout=10.0) for number in range(5))
            for outcomes in await asyncio.gather(*calls):
                assert [type(outcome.error) for outcome in outcomes] == [WaitTimeoutError]
            assert len(server.requests) == 1
            assert now() <= 25.0

    async def test_a_pause_that_is_shorter_is_waited_out(self) -> None:
        """The timeout counts from the first poll, as ever."""
        refused = False

        def refused_once(request: Request) -> bytes:
            nonlocal refused
            was_refused, refused = refused, True
            return answer(analysis(request.id)) if was_refused else envelope(429, "Retry-After: 25")

        async with client_of(refused_once, is_warm=False) as (_, client):
            assert len((await client.wait_many(["ana_1", "ana_2"], timeout=30.0)).analyses) == 2


class TestLastLooks:
    """What has settled before a deadline is found before it."""

    @pytest.mark.parametrize("how", ["wait_many", "one", "as_completed"])
    async def test_the_end_of_a_whole_call_has_last_looks_too(self, how: str) -> None:
        """As the end of an id has."""
        async with client_of(Outage(None, 0.0, ready=29.0), is_warm=False) as (server, client):
            ids, rare = IDS if how != "one" else IDS[:1], PollSchedule.fixed(50.0)
            if how == "as_completed":
                async with client.as_completed(ids, total_timeout=30.0, schedule=rare) as finished:
                    outcomes = [outcome async for outcome in finished]
            else:
                outcomes = list(await client.wait_many(ids, total_timeout=30.0, schedule=rare))
            assert all(outcome.ok for outcome in outcomes)
            assert len(server.requests) == 2 * len(ids)
            assert now() <= 30.1

    async def test_a_last_look_is_in_time_where_no_poll_was_answered_before(self) -> None:
        """How long a round trip takes, the client knows from its other requests, and from those that fail."""

        async def slow(request: Request) -> bytes:
            await asyncio.sleep(2.0)
            return GATEWAY if request.id != "ana_warm" and request.at < 26.0 else answer(analysis(request.id))

        async with client_of(slow) as (_, client):
            assert (await client.wait("ana_1", timeout=30.0, schedule=PollSchedule.fixed(60.0))).is_complete


@pytest.mark.looptime(False)
class TestAfterAStandstill:
    """Real time: a virtual clock cannot pass while nothing runs."""

    @pytest.mark.parametrize("how", beyond(2, ["wait_many", "followers", "wait", "total_timeout"]))
    async def test_a_deadline_that_passed_while_nothing_ran_has_a_last_look(self, how: str) -> None:
        """A suspended machine: the analysis had settled long ago, and is delivered."""

        def settles(request: Request) -> bytes:
            return answer(analysis(request.id)) if request.at > 0.6 else running(request.id)

        async with client_of(settles, is_warm=False) as (_, client):
            schedule = PollSchedule.fixed(0.2)
            waits = {
                "wait": lambda: client.wait("ana_1", timeout=0.7, schedule=schedule),
                "wait_many": lambda: client.wait_many(IDS, timeout=0.7, schedule=schedule),
                "total_timeout": lambda: client.wait_many(IDS, total_timeout=0.7, schedule=schedule),
                "followers": lambda: asyncio.gather(
                    *(client.wait("ana_1", timeout=0.7, schedule=schedule) for _ in range(3))
                ),
            }
            waiting = asyncio.ensure_future(waits[how]())
            await asyncio.sleep(0.3)
            time.sleep(1.2)  # noqa: ASYNC251  # nothing runs
            found = await waiting
            if how in {"wait_many", "total_timeout"}:
                assert len(found.analyses) == 20
            else:
                assert all(analysis.is_complete for analysis in (found if how == "followers" else [found]))

    async def test_what_was_taken_over_from_another_wait_has_a_last_look_too(self) -> None:
        """Its time counts from when it was first waited for, and ends no sooner than it did for who had it alone."""

        def settles(request: Request) -> bytes:
            return answer(analysis(request.id)) if request.at > 0.6 else running(request.id)

        async with client_of(settles, is_warm=False) as (_, client):
            first, second = (
                asyncio.ensure_future(client.wait("ana_1", timeout=timeout, schedule=PollSchedule.fixed(0.2)))
                for timeout in (60.0, 0.7)
            )
            await asyncio.sleep(0.1)
            first.cancel()
            await asyncio.sleep(0.2)
            time.sleep(1.2)  # noqa: ASYNC251  # nothing runs
            assert (await second).is_complete

    @pytest.mark.parametrize("moment", ["sent", "read"])
    @pytest.mark.parametrize("how", ["wait", "wait_many", "total_timeout"])
    async def test_an_answer_that_was_on_its_way_meanwhile_is_not_the_last_look(self, how: str, moment: str) -> None:
        """It was made before everything stood still, as the answer is sent or read: it says nothing of now."""
        still = Counter[str]()

        def stand_still_once(here: str) -> None:
            if here == moment and not still[here]:
                time.sleep(0.6)  # beyond every deadline
            still[here] += 1

        def settles(request: Request) -> bytes:
            was_asked = bool(still["sent"])
            stand_still_once("sent")
            return answer(analysis(request.id)) if was_asked else running(request.id)

        def on_event(event: ClientEvent) -> None:
            if isinstance(event, ResponseEvent):
                stand_still_once("read")

        async with client_of(settles, is_warm=False, on_event=on_event) as (server, client):
            calls = {
                "wait": lambda: client.wait("ana_1", timeout=0.2),
                "wait_many": lambda: client.wait_many(["ana_1"], timeout=0.2),
                "total_timeout": lambda: client.wait_many(["ana_1"], total_timeout=0.2),
            }
            found = await calls[how]()
            assert len(server.requests) == 2
            assert (found if how == "wait" else found[0].unwrap()).is_complete

    async def test_the_last_look_takes_a_second_at_most(self) -> None:
        """Nobody answers: then it is over."""

        def silent(request: Request) -> bytes:
            return running(request.id)

        async with client_of(silent, is_warm=False) as (_, client):
            waiting = asyncio.ensure_future(client.wait("ana_1", timeout=0.5, schedule=PollSchedule.fixed(0.2)))
            await asyncio.sleep(0.1)
            time.sleep(1.0)  # noqa: ASYNC251  # nothing runs
            woke = time.monotonic()
            with pytest.raises(WaitTimeoutError):
                await waiting
            assert time.monotonic() - woke < 1.5


async def test_what_a_poll_brings_after_its_id_has_ended_is_no_failure_of_it() -> None:
    """A pause that outlasts its time has ended it, while its poll was out: no next attempt is told of."""

    async def handler(request: Request) -> bytes:
        if request.id == IDS[1]:
            await asyncio.sleep(0.5)
            return envelope(429, "Retry-After: 100")
        if request.id == IDS[2]:
            await asyncio.sleep(1.0)
            return GATEWAY
        return answer(analysis(request.id))

    events: list[ClientEvent] = []
    async with (
        Answering(handler) as server,
        KallglotClient(KEY, base_url=server.base_url, on_event=events.append, random=lambda: 0.0) as client,
    ):
        outcomes = await client.wait_many(IDS[:4], timeout=5.0, max_in_flight=2)
    assert [type(outcome.error) for outcome in outcomes] == [type(None), *[WaitTimeoutError] * 3]
    assert [request.id for request in server.requests] == IDS[:3]
    assert not [event for event in events if isinstance(event, RetryEvent)]
