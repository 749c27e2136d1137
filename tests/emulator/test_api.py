"""Key, limits and faults around the operations: what comes first, and what a request costs."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import aiohttp
import pytest
from support.emulated import A_BODY, CREATE, EPOCH, HEADERS, faulty, serving

from kallglot_async.emulator import Emulator, Fault, Latency

pytestmark = pytest.mark.looptime


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": ""},
        {"Authorization": "Basic abc"},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer sk_test_\u00e9"},
    ],
)
async def test_a_missing_or_odd_key_is_answered_401(headers: dict[str, str]) -> None:
    """Nothing is served without the key, and the journal shows the attempt as not charged."""
    async with serving() as client:
        status, _, _ = await client.get("/analysis/ana_1", headers=headers)
        assert status == 401
        assert [(e.status, e.accepted, e.limit) for e in client.emulator.journal] == [(401, False, None)]


async def test_live_keys_are_refused_with_a_clear_message() -> None:
    """A request with a live key is told that this is an emulator, whatever key the emulator has."""
    async with serving() as client:
        for headers in (
            {"Authorization": "Bearer sk_live_1"},
            {"Authorization": "", "X-API-Key": "sk_live_1"},
        ):
            status, _, body = await client.get("/analysis/ana_1", headers=headers)
            assert status == 401
            assert "test keys" in body["error"]["message"]
            assert "sk_live_1" not in str(body)


async def test_the_alternative_key_header_is_accepted() -> None:
    """`X-API-Key` works in the place of `Authorization`."""
    async with serving() as client:
        headers = {"Authorization": "", "X-API-Key": client.emulator.api_key}
        assert (await client.get("/analysis/ana_1", headers=headers))[0] == 404


@pytest.mark.parametrize("window", ["fixed", "sliding", "token_bucket"])
async def test_limits_are_enforced_with_headers_and_a_documented_429(window: Any) -> None:
    """Past the limit the answer is the documented 429; after `Retry-After` requests are served again."""
    async with serving(rate_limit=(4, 8.0), window=window) as client:
        [id] = client.emulator.seed_analyses(1)
        remaining = []
        for _ in range(4):
            status, headers, _ = await client.get(f"/analysis/{id}")
            assert status == 200
            assert headers["X-RateLimit-Limit"] == "4"
            remaining.append(headers["X-RateLimit-Remaining"])
        assert remaining == ["3", "2", "1", "0"]
        status, headers, body = await client.get(f"/analysis/{id}")
        wait = headers["Retry-After"]
        assert (status, headers["X-RateLimit-Remaining"]) == (429, "0")
        assert wait == ("2" if window == "token_bucket" else "8")
        assert headers["X-RateLimit-Reset"] == str(int(EPOCH) + 8)
        assert body == {
            "error": {
                "code": "rate_limit_exceeded",
                "message": f"You have exceeded the rate limit. Please retry after {wait} seconds.",
                "type": "rate_limit_error",
            }
        }
        await asyncio.sleep(int(wait))
        assert (await client.get(f"/analysis/{id}"))[0] == 200
        journal = client.emulator.journal
        assert (journal.refused, len(journal)) == (1, 6)
        assert [e.accepted for e in journal] == [True] * 4 + [False, True]
        if window == "fixed":
            assert journal.max_per_window() == 4
            assert journal.max_per_window(with_refused=True) == 5
        else:
            assert journal.max_within(2.0 if window == "token_bucket" else 8.0) == 4


async def test_every_line_of_a_repeated_header_is_sent() -> None:
    """Two limits tell of themselves in two lines each, or in one; what an operation says comes with them."""
    options: dict[str, Any] = {"rate_limit": (4, 8.0), "second_limit": (2, 1.0)}
    async with serving(**options, rate_headers="repeated") as client:
        _, headers, _ = await client.get("/analysis/ana_1")
        assert headers.getall("X-RateLimit-Limit") == ["4", "2"]
        assert headers.getall("X-RateLimit-Remaining") == ["3", "1"]
    async with serving(**options, rate_headers="joined") as client:
        _, headers, _ = await client.get("/analysis/ana_1")
        assert headers.getall("X-RateLimit-Limit") == ["4, 2"]


async def test_a_second_limit_refuses_with_what_the_first_has_left() -> None:
    """The 429 names its own wait, and shows requests that are left."""
    async with serving(rate_limit=(150, 60.0), second_limit=(2, 1.0), body_retry_after=45, retry_after=0) as client:
        for _ in range(2):
            await client.get("/analysis/ana_1")
        status, headers, body = await client.get("/analysis/ana_1")
        assert (status, headers["X-RateLimit-Remaining"], headers["Retry-After"]) == (429, "148", "0")
        assert body["error"]["retry_after"] == 45


async def test_answers_can_come_without_a_date() -> None:
    """Where a setting or a fault takes it away, nothing puts it back."""
    async with serving(date_header=False) as client:
        assert "Date" not in (await client.get("/analysis/ana_1"))[1]
    async with serving(faults=[Fault(kind="status", headers={"date": None}, times=1)]) as client:
        assert ["Date" in (await client.get("/analysis/ana_1"))[1] for _ in range(2)] == [False, True]


async def test_a_plan_is_compressed_by_speed() -> None:
    """At speed 20 the pro plan allows 150 requests in three seconds, and latencies shrink alike."""
    async with serving(speed=20.0, latency=Latency.uniform(20.0, 20.0)) as client:
        [id] = client.emulator.seed_analyses(1)
        assert client.emulator.analysis(id).ready_at == 1.0
        _, headers, _ = await client.get(f"/analysis/{id}")
        assert headers["X-RateLimit-Limit"] == "150"
        assert headers["X-RateLimit-Reset"] == str(int(EPOCH) + 3)
        _, _, created = await client.post(CREATE, A_BODY)
        assert created["estimated_completion"] == "2027-01-15T08:00:01Z"


async def test_rate_headers_can_be_left_out() -> None:
    """A server that only says 429 is emulated by taking away headers and `Retry-After`."""
    async with serving(rate_limit=(1, 60.0), rate_headers=False, retry_after=None) as client:
        await client.get("/analysis/ana_1")
        status, headers, body = await client.get("/analysis/ana_1")
        assert status == 429
        assert not [name for name in headers if name.startswith(("X-RateLimit", "Retry"))]
        assert "60 seconds" in body["error"]["message"]


async def test_retry_after_can_be_anything() -> None:
    """A configured `Retry-After` is sent as it is, however odd."""
    async with serving(rate_limit=(1, 60.0), retry_after="-3.5e9") as client:
        await client.get("/analysis/ana_1")
        _, headers, _ = await client.get("/analysis/ana_1")
        assert headers["Retry-After"] == "-3.5e9"


async def test_the_overall_limit_of_a_plan_counts_other_requests_too() -> None:
    """Requests of any kind use up the plan's overall limit."""
    async with serving(plan="free") as client:
        for _ in range(60):
            assert (await client.get("/nothing"))[0] == 404
        status, headers, _ = await client.get("/analysis/ana_1")
        assert (status, headers["X-RateLimit-Limit"]) == (429, "60")


async def test_groups_have_budgets_of_their_own() -> None:
    """Reading, ending and recordings do not use up each other's limit."""
    async with serving(plan="starter") as client:
        [id] = client.emulator.sessions.seed(1)
        limits = {}
        for path in (f"/sessions/{id}", f"/sessions/{id}/transcript", f"/sessions/{id}/recordings"):
            limits[path] = (await client.get(path))[1]["X-RateLimit-Limit"]
        limits["end"] = (await client.request("POST", f"/sessions/{id}/end"))[1]["X-RateLimit-Limit"]
        assert list(limits.values()) == ["120", "120", "60", "60"]
        assert [entry.group for entry in client.emulator.journal] == [
            "sessions.read",
            "sessions.read",
            "recordings",
            "sessions.write",
        ]


@pytest.mark.parametrize("retry_after", [30, 1.5, "Wed, 21 Oct 2026 07:28:00 GMT", None, -1])
async def test_a_storm_throttles_without_touching_the_budget(retry_after: Any) -> None:
    """A declared 429 looks like a real one, says what it is told, and charges nothing."""
    fault = Fault(kind="throttle", retry_after=retry_after, times=2)
    async with faulty(fault, plan="pro") as (emulator, session, url):
        for _ in range(2):
            async with session.get(url) as response:
                assert response.status == 429
                told = response.headers.get("Retry-After")
                assert told == (None if retry_after is None else str(retry_after))
                assert response.headers["X-RateLimit-Remaining"] == "0"
                assert int(response.headers["X-RateLimit-Reset"]) > emulator.state().wall_time
                assert (await response.json())["error"]["code"] == "rate_limit_exceeded"
        async with session.get(url) as response:
            assert response.headers["X-RateLimit-Remaining"] == "149"
        assert [e.accepted for e in emulator.journal] == [False, False, True]
        assert emulator.journal.refused == 2


async def test_a_storm_on_an_unlimited_plan_has_no_rate_headers() -> None:
    """Without a limit there is nothing for the headers to say."""
    async with faulty(Fault(kind="throttle")) as (_, session, url), session.get(url) as response:
        assert response.status == 429
        assert "X-RateLimit-Limit" not in response.headers


async def test_faulted_requests_use_up_budget_and_refused_ones_use_up_no_fault() -> None:
    """The server counted what it then failed to answer; what the limit refuses meets no fault."""
    async with faulty(Fault(kind="status", times=2), rate_limit=(1, 3600.0)) as (emulator, session, url):
        statuses = []
        for _ in range(3):
            async with session.get(url) as response:
                statuses.append(response.status)
        assert statuses == [503, 429, 429]
        assert [hits for _, hits in emulator.faults()] == [1]


async def test_a_lost_answer_can_still_have_taken_effect() -> None:
    """With `takes_effect` the analysis is created although the answer is lost; the key brings it back."""
    lost = [Fault(kind="reset", takes_effect=True, times=1), Fault(kind="status", takes_effect=True, times=1)]
    async with faulty(*lost) as (emulator, session, _):
        url, body = emulator.base_url + "/sessions/sess_1/analysis", {"analyses": ["summary"]}
        headers = {"Idempotency-Key": "k1"}
        with pytest.raises(aiohttp.ClientError):
            await session.post(url, json=body, headers=headers)
        async with session.post(url, json=body, headers=headers) as response:
            assert response.status == 503
        async with session.post(url, json=body, headers=headers) as response:
            created = await response.json()
        assert len(emulator.analyses()) == 2  # the seeded one and this one
        assert {entry.analysis_id for entry in emulator.journal} == {created["id"]}
        assert [entry.is_replay for entry in emulator.journal] == [False, True, True]


async def test_a_faulted_poll_counts_only_if_it_takes_effect() -> None:
    """Under `after_polls` a lost request that never reached the service brings the result no nearer."""
    faults = [Fault(kind="status", times=2), Fault(kind="cut_body", times=1)]
    async with faulty(*faults, latency=Latency.after_polls(9)) as (emulator, session, url):
        for _ in range(4):
            with contextlib.suppress(aiohttp.ClientError):
                async with session.get(url) as response:
                    await response.read()
        assert emulator.analysis(url.rpartition("/")[2]).polls == 2


async def test_faults_select_by_operation_and_by_recording() -> None:
    """A link's requests are selected by their recording; audio is left alone by faults that change JSON."""
    faults = [
        Fault(kind="status", status=503, operation="sessions.transcript"),
    ]
    async with serving(faults=faults) as client:
        [session] = client.emulator.sessions.seed(1)
        one, other, *_ = client.emulator.sessions[session].recordings
        client.emulator.add_fault(Fault(kind="status", status=500, id=one, operation="storage.fetch"))
        assert (await client.get(f"/sessions/{session}"))[0] == 200
        assert (await client.get(f"/sessions/{session}/transcript"))[0] == 503
        url = (await client.get(f"/recordings/{other}"))[2]["download_url"]
        for kind in ("wrong_id", "unknown_status", "missing_field"):
            client.emulator.add_fault(Fault(kind=kind, operation="storage.fetch"))
            status, headers, body = await client.fetch(url)
            assert (status, headers["Content-Type"], body[:1]) == (200, "audio/mpeg", b"\xff")
            client.emulator.clear_faults()
        client.emulator.add_fault(Fault(kind="status", status=500, id=one))
        url = (await client.get(f"/recordings/{other}"))[2]["download_url"]
        assert (await client.fetch(url))[0] == 200
        assert (await client.get(f"/recordings/{one}"))[0] == 500


@pytest.mark.parametrize("path", ["/sessions/{}", "/sessions/{}/transcript", "/sessions/{}/recordings"])
async def test_wrong_id_answers_about_another(path: str) -> None:
    """The identity is another's, the shape is the right one."""
    async with serving() as client:
        [id] = client.emulator.sessions.seed(1)
        _, _, genuine = await client.get(path.format(id))
        client.emulator.add_fault(Fault(kind="wrong_id"))
        _, _, body = await client.get(path.format(id))
        assert body["object"] == genuine["object"]
        assert id not in (body.get("id"), body.get("session_id"))


async def test_reset_forgets_everything_but_the_clock() -> None:
    """After a reset the emulator is as new: analyses, journal, budget, credits, keys and added faults."""
    emulator = Emulator(rate_limit=(1, 3600.0), credits=1)
    async with emulator, aiohttp.ClientSession(headers=HEADERS | {"Idempotency-Key": "k1"}) as session:
        url = emulator.base_url + "/sessions/sess_1/analysis"
        for part in ("summary", "sentiment"):
            async with session.post(url, json={"include": [part]}) as response:
                assert response.status == 202
            emulator.add_fault(Fault(kind="reset"))
            before = emulator.now
            emulator.reset()
            assert emulator.now >= before
            assert (emulator.analyses(), emulator.faults(), list(emulator.journal)) == ([], [], [])
            assert emulator.state().credits_used == 0
