"""What the emulated API promises over HTTP: routes, keys, errors, budgets, idempotency, credits."""

from __future__ import annotations

import asyncio
import contextlib
import io
from collections.abc import AsyncIterator
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp
import pytest

from kallglot_async.emulator import Emulator, Fault, Latency

pytestmark = pytest.mark.looptime

EPOCH = 1_800_000_000.0
"""A wall time that is a multiple of a minute, so that windows begin with the emulator."""

A_BODY = {"analyses": ["sentiment", "summary"], "language": "en"}
B_BODY = {"profile": "default", "include": ["summary", "performance"]}
CREATE = "/sessions/sess_01HXYZ123456789/analysis"


class Client:
    """A bare HTTP client: every call gives (status, headers, decoded body)."""

    def __init__(self, session: aiohttp.ClientSession, emulator: Emulator) -> None:
        self.session = session
        self.emulator = emulator

    async def get(self, path: str, **options: Any) -> tuple[int, Any, Any]:
        return await self.request("GET", path, **options)

    async def post(self, path: str, body: Any, *, key: str | None = None) -> tuple[int, Any, Any]:
        headers = {} if key is None else {"Idempotency-Key": key}
        return await self.request("POST", path, json=body, headers=headers)

    async def request(self, method: str, path: str, **options: Any) -> tuple[int, Any, Any]:
        url = self.emulator.base_url + path
        async with self.session.request(method, url, allow_redirects=False, **options) as response:
            return response.status, response.headers, await response.json(content_type=None)


@contextlib.asynccontextmanager
async def serving(**changes: Any) -> AsyncIterator[Client]:
    options: Any = {"epoch": EPOCH, "latency": Latency.immediate()} | changes
    async with Emulator(**options) as emulator:
        headers = {"Authorization": f"Bearer {emulator.api_key}"}
        async with aiohttp.ClientSession(headers=headers) as session:
            yield Client(session, emulator)


async def test_revision_a_life_cycle() -> None:
    """Create answers 202 `queued` with an estimate; the analysis is queued, processing, then complete."""
    async with serving(latency=Latency.uniform(20.0, 20.0)) as client:
        status, _, created = await client.post(CREATE, A_BODY)
        assert status == 202
        assert created == {
            "id": created["id"],
            "object": "analysis",
            "session_id": "sess_01HXYZ123456789",
            "status": "queued",
            "analyses": ["sentiment", "summary"],
            "language": "en",
            "created_at": "2027-01-15T08:00:00Z",
            "estimated_completion": "2027-01-15T08:00:20Z",
        }
        assert created["id"].startswith("ana_")
        seen = []
        for _ in range(3):
            _, _, body = await client.get(f"/analysis/{created['id']}")
            seen.append(body["status"])
            await asyncio.sleep(10)
        assert seen == ["queued", "processing", "complete"]
        assert set(body) == {"id", "object", "session_id", "status", "results", "created_at", "completed_at"}
        assert set(body["results"]) == {"sentiment", "summary"}
        assert body["completed_at"] == "2027-01-15T08:00:20Z"


async def test_revision_b_life_cycle() -> None:
    """Create answers 202 `processing`; the analysis is processing, then completed, flat and nullable."""
    async with serving(latency=Latency.uniform(20.0, 20.0)) as client:
        status, _, created = await client.post(CREATE, B_BODY)
        assert status == 202
        assert created == {
            "id": created["id"],
            "object": "analysis",
            "session_id": "sess_01HXYZ123456789",
            "status": "processing",
        }
        assert created["id"].startswith("anl_")
        _, _, pending = await client.get(f"/analyses/{created['id']}")
        assert pending["status"] == "processing"
        assert [pending[name] for name in ("call_id", "summary", "error", "completed_at")] == [None] * 4
        await asyncio.sleep(20)
        _, _, body = await client.get(f"/analyses/{created['id']}")
        assert body["status"] == "completed"
        assert isinstance(body["summary"], str)
        assert 0 <= body["performance"]["score"] <= 1
        assert "sentiment" not in body
        assert "compliance" not in body
        assert body["profile"] == "default"


async def test_pending_analyses_of_revision_a_have_no_results() -> None:
    """Until it settles an analysis carries neither results nor a completion time."""
    async with serving(latency=Latency.after_polls(1)) as client:
        [id] = client.emulator.seed_analyses(1)
        _, _, body = await client.get(f"/analysis/{id}")
        assert set(body) == {"id", "object", "session_id", "status", "created_at"}


@pytest.mark.parametrize(("revision", "path"), [("a", "analysis"), ("b", "analyses")])
async def test_failed_analyses_say_why(revision: Any, path: str) -> None:
    """A failed analysis has an error object with a message in A and an error string in B, and no results."""
    async with serving(failure_rate=1.0) as client:
        [id] = client.emulator.seed_analyses(1, revision=revision)
        _, _, body = await client.get(f"/{path}/{id}")
        assert body["status"] == "failed"
        assert body["completed_at"] is not None
        message = body["error"]["message"] if revision == "a" else body["error"]
        assert message.endswith(".")
        assert body.get("results") is None
        assert body.get("summary") is None


@pytest.mark.parametrize(
    ("fields", "revision", "prefix"),
    [
        (A_BODY, "b", "ana_"),
        (B_BODY, "a", "anl_"),
        ({"include": ["keywords"]}, "a", "anl_"),
        ({}, "b", "anl_"),
        (A_BODY | B_BODY, "b", "ana_"),
    ],
)
async def test_the_body_decides_the_revision_of_a_create(fields: Any, revision: Any, prefix: str) -> None:
    """`analyses` speaks revision A, `profile` or `include` B, and only an empty body the configured one."""
    async with serving(revision=revision) as client:
        status, _, body = await client.post(CREATE, fields)
        assert (status, body["id"][:4]) == (202, prefix)


async def test_a_create_without_a_body_is_fine_in_revision_b() -> None:
    """Revision B marks no field as required, so no body at all is a valid request."""
    async with serving(revision="b") as client:
        status, _, body = await client.request("POST", CREATE)
        assert (status, body["status"]) == (202, "processing")


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({}, "missing_required_field", "analyses"),
        ({"analyses": []}, "missing_required_field", "analyses"),
        ({"analyses": ["sentiment", "weather"]}, "invalid_field_value", "analyses"),
        ({"analyses": "sentiment"}, "invalid_field_value", "analyses"),
        ({"analyses": [["sentiment"]]}, "invalid_field_value", "analyses"),
        (A_BODY | {"language": 3}, "invalid_field_value", "language"),
        (A_BODY | {"webhook_url": "ftp"}, "invalid_field_value", "webhook_url"),
        (A_BODY | {"custom_prompts": []}, "invalid_field_value", "custom_prompts"),
        ({"include": ["topics"]}, "invalid_request", "include"),
        ({"profile": 1}, "invalid_request", "profile"),
    ],
)
async def test_invalid_fields_are_answered_422_with_param(fields: Any, code: str, param: str) -> None:
    """A body with a bad member is refused before anything is created, and the answer names the member."""
    async with serving() as client:
        status, _, body = await client.post(CREATE, fields)
        error = body["error"]
        assert (status, error["type"], error["code"], error["param"]) == (
            422,
            "validation_error",
            code,
            param,
        )
        assert client.emulator.analyses() == []


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({"data": b"{", "headers": {"Content-Type": "application/json"}}, 400),
        ({"data": b"[]", "headers": {"Content-Type": "application/json"}}, 400),
        ({"data": b"{}", "headers": {"Content-Type": "text/plain"}}, 400),
        ({"data": io.BytesIO(b" " * 1_100_000), "headers": {"Content-Type": "application/json"}}, 413),
        ({"data": b"\xff", "headers": {"Content-Type": "application/json"}}, 400),
    ],
)
async def test_unreadable_bodies_are_refused(options: Any, status: int) -> None:
    """What is no JSON object sent as JSON never reaches the operation."""
    async with serving() as client:
        answered, _, body = await client.request("POST", CREATE, **options)
        assert (answered, body["error"]["code"]) == (status, "invalid_request")


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/analysis/ana_01HDEF456789012", 404, "analysis_not_found"),
        ("GET", "/analyses/anl_01HDEF456789012", 404, "analysis_not_found"),
        ("GET", "/analysis/not-an-id", 404, "analysis_not_found"),
        ("POST", "/sessions/ana_01HDEF456789012/analysis", 404, "session_not_found"),
        ("GET", "/analysis", 404, "route_not_found"),
        ("GET", "/analysis/x/y", 404, "route_not_found"),
        ("DELETE", "/analysis/ana_1", 405, "method_not_allowed"),
        ("GET", CREATE, 405, "method_not_allowed"),
    ],
)
async def test_what_is_not_there_is_answered_with_an_envelope(method: str, path: str, status: int, code: str) -> None:
    """Unknown ids, paths and methods get the error envelope, never a bare page."""
    async with serving() as client:
        answered, headers, body = await client.request(method, path)
        assert (answered, body["error"]["code"]) == (status, code)
        assert ("Allow" in headers) == (status == 405)


async def test_paths_outside_the_version_are_unknown() -> None:
    """Only `/v1` is served."""
    async with serving() as client:
        url = client.emulator.origin + "/v2/analysis/ana_1"
        async with client.session.get(url) as response:
            assert response.status == 404
            assert (await response.json())["error"]["code"] == "route_not_found"


@pytest.mark.parametrize("revision", ["a", "b"])
async def test_an_id_is_not_found_on_the_other_revisions_path(revision: Any) -> None:
    """`ana_` ids live below `/analysis`, `anl_` ids below `/analyses`, with no alias."""
    async with serving() as client:
        [id] = client.emulator.seed_analyses(1, revision=revision)
        right, wrong = ("analysis", "analyses") if revision == "a" else ("analyses", "analysis")
        assert (await client.get(f"/{right}/{id}"))[0] == 200
        assert (await client.get(f"/{wrong}/{id}"))[0] == 404


async def test_error_envelopes_differ_by_revision() -> None:
    """Revision A has `doc_url` and a nullable `param`, revision B has `request_id`, equal to the header."""
    async with serving() as client:
        _, headers_a, body_a = await client.get("/analysis/ana_1")
        _, headers_b, body_b = await client.get("/analyses/anl_1")
        assert set(body_a["error"]) == {"code", "message", "type", "param", "doc_url"}
        assert set(body_b["error"]) == {"type", "code", "message", "request_id", "param"}
        assert body_b["error"]["request_id"] == headers_b["X-Request-ID"]
        assert headers_a["X-Request-ID"] != headers_b["X-Request-ID"]


async def test_an_unknown_key_is_answered_401_as_documented() -> None:
    """The sample body of revision A is reproduced to the letter."""
    async with serving() as client:
        wrong = {"Authorization": "Bearer sk_test_other"}
        status, headers, body = await client.get("/analysis/ana_1", headers=wrong)
        assert status == 401
        assert body == {
            "error": {
                "code": "invalid_api_key",
                "message": "The API key provided is invalid or has been revoked.",
                "type": "authentication_error",
                "param": None,
                "doc_url": "https://developer.kallglot.com/errors#invalid_api_key",
            }
        }
        assert "X-RateLimit-Limit" not in headers
        status, headers, body = await client.get("/analyses/anl_1", headers=wrong)
        assert (status, body["error"]["request_id"]) == (401, headers["X-Request-ID"])
        assert "X-API-Credits-Used" not in headers


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


async def test_clock_skew_moves_date_and_reset_together() -> None:
    """An hour of skew changes neither the difference between `Reset` and `Date` nor any duration."""
    async with serving(rate_limit=(5, 60.0), clock_skew=3600.0) as client:
        await asyncio.sleep(12.4)
        _, headers, _ = await client.get("/analysis/ana_1")
        date = parsedate_to_datetime(headers["Date"]).timestamp()
        assert date == EPOCH + 3600 + 12
        assert int(headers["X-RateLimit-Reset"]) - date == 48
        assert client.emulator.state().wall_time == pytest.approx(EPOCH + 3612.4)


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


async def test_an_idempotency_key_replays_the_first_answer() -> None:
    """The same key and JSON value bring back status and body, create nothing and cost no second credit."""
    async with serving(credits=5) as client:
        first = await client.post(CREATE, B_BODY, key="k1")
        again = await client.request(
            "POST",
            CREATE,
            data=b'{ "include": ["summary", "performance"], "profile": "default"}',
            headers={"Idempotency-Key": "k1", "Content-Type": "application/json"},
        )
        assert (first[0], first[2]) == (again[0], again[2])
        assert len(client.emulator.analyses()) == 1
        assert again[1]["X-API-Credits-Remaining"] == "4"
        assert [(e.idempotency_key, e.is_replay) for e in client.emulator.journal] == [
            ("k1", False),
            ("k1", True),
        ]
        assert {e.analysis_id for e in client.emulator.journal} == {first[2]["id"]}


async def test_an_idempotency_key_is_forgotten_after_a_day() -> None:
    """After 24 hours the key is fresh; one second earlier it is not."""
    async with serving() as client:
        _, _, first = await client.post(CREATE, A_BODY, key="k1")
        await asyncio.sleep(24 * 3600 - 1)
        assert (await client.post(CREATE, A_BODY, key="k1"))[2]["id"] == first["id"]
        await client.post(CREATE, A_BODY, key="k2")
        await asyncio.sleep(1)
        assert (await client.post(CREATE, A_BODY, key="k1"))[2]["id"] != first["id"]
        assert len(client.emulator.analyses()) == 3


@pytest.mark.parametrize("change", ["body", "path"])
async def test_a_reused_idempotency_key_is_a_mismatch(change: str) -> None:
    """The same key with another body or path is answered 400 `idempotency_mismatch`."""
    async with serving() as client:
        await client.post(CREATE, B_BODY, key="k1")
        path = "/sessions/sess_other/analysis" if change == "path" else CREATE
        body = B_BODY | {"profile": "other"} if change == "body" else B_BODY
        status, _, answer = await client.post(path, body, key="k1")
        error = answer["error"]
        assert (status, error["type"], error["code"]) == (
            400,
            "invalid_request_error",
            "idempotency_mismatch",
        )


async def test_a_duplicate_in_flight_is_a_conflict_with_retry_after() -> None:
    """While the original is still being answered a duplicate gets 409; afterwards it gets the replay."""
    async with serving() as client:
        client.emulator.add_fault(Fault(kind="slow", delay=2.5, times=1))
        original = asyncio.ensure_future(client.post(CREATE, B_BODY, key="k1"))
        await asyncio.sleep(0.5)
        status, headers, body = await client.post(CREATE, B_BODY, key="k1")
        assert (status, body["error"]["code"]) == (409, "idempotency_conflict")
        assert (headers["Retry-After"], body["error"]["retry_after"]) == ("2", 2)
        status, _, first = await original
        assert status == 202
        assert (await client.post(CREATE, B_BODY, key="k1"))[2] == first
        assert len(client.emulator.analyses()) == 1


async def test_failed_requests_do_not_use_up_an_idempotency_key() -> None:
    """Only a successful answer is kept, so a corrected request may use the same key."""
    async with serving() as client:
        assert (await client.post(CREATE, {"analyses": ["x"]}, key="k1"))[0] == 422
        assert (await client.post(CREATE, A_BODY, key="k1"))[0] == 202


async def test_credits_are_charged_in_revision_b_only() -> None:
    """Every new analysis of revision B costs one credit; 402 when none is left; A costs none."""
    async with serving(credits=2) as client:
        await client.post(CREATE, A_BODY)
        _, headers, _ = await client.post(CREATE, B_BODY, key="k1")
        assert (headers["X-API-Credits-Remaining"], headers["X-API-Credits-Used"]) == ("1", "1")
        await client.post(CREATE, B_BODY)
        status, headers, body = await client.post(CREATE, B_BODY)
        assert status == 402
        assert headers["X-API-Credits-Remaining"] == "0"
        assert body["error"] == {
            "type": "permission_error",
            "code": "insufficient_api_credits",
            "message": "API credits exhausted. Purchase more credits to continue.",
            "request_id": headers["X-Request-ID"],
        }
        assert (await client.post(CREATE, B_BODY, key="k1"))[0] == 202
        _, headers, _ = await client.post(CREATE, A_BODY)
        assert "X-API-Credits-Used" not in headers
        assert client.emulator.state().credits_used == 2


async def test_uncounted_credits_never_run_out() -> None:
    """Without a count the headers of revision B show a large number."""
    async with serving() as client:
        _, headers, _ = await client.post(CREATE, B_BODY)
        assert headers["X-API-Credits-Remaining"] == "999999"


@pytest.mark.parametrize(("path", "id"), [("analysis", "ana_x-1"), ("analyses", "anl_9")])
async def test_unknown_ids_can_be_adopted(path: str, id: str) -> None:
    """With `adopt_unknown` a well-formed id of the path's revision is under way from its first retrieve."""
    async with serving(adopt_unknown=True, latency=Latency.uniform(5.0, 5.0)) as client:
        await asyncio.sleep(3)
        assert (await client.get(f"/{path}/{id}"))[2]["status"] in {"queued", "processing"}
        assert client.emulator.analysis(id).created_at == 3.0
        await asyncio.sleep(5)
        assert (await client.get(f"/{path}/{id}"))[2]["status"].startswith("complete")
        for bad in ("sess_1", "ana_" + "x" * 200, "anl_%20", "ana"):
            assert (await client.get(f"/{path}/{bad}"))[0] == 404


async def test_the_journal_tells_what_was_asked() -> None:
    """Each request is recorded with moment, operation, ids, status, and the figures its headers had."""
    async with serving(rate_limit=(9, 60.0)) as client:
        await asyncio.sleep(2)
        _, headers, body = await client.post(CREATE, A_BODY)
        [entry] = client.emulator.journal
        assert (entry.number, entry.at, entry.method, entry.status) == (1, 2.0, "POST", 202)
        assert entry.path == "/v1" + CREATE
        assert entry.operation == "analyses.create"
        assert (entry.id, entry.analysis_id) == ("sess_01HXYZ123456789", body["id"])
        assert (entry.group, entry.accepted, entry.fault) == ("analysis", True, None)
        assert (entry.limit, entry.remaining) == (9, 8)
        assert str(entry.reset) == headers["X-RateLimit-Reset"]
        assert entry.window == int(EPOCH) // 60


async def test_a_body_that_cannot_be_decoded_is_refused_quietly(caplog: pytest.LogCaptureFixture) -> None:
    """A body that is not in its announced encoding gets 400, and aiohttp's own logger stays silent."""
    async with serving() as client:
        port = int(client.emulator.origin.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(
            b"POST /v1/sessions/sess_1/analysis HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer sk_test_emulator\r\n"
            b"Content-Type: application/json\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nzzzzz"
        )
        answer = await reader.read()
        writer.close()
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert b"invalid_request" in answer
        assert {record.name for record in caplog.records} <= {"kallglot_async.emulator"}
