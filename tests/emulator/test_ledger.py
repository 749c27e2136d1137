"""What must not happen twice: idempotency keys and credits."""

from __future__ import annotations

import asyncio

import pytest
from support.emulated import A_BODY, B_BODY, CREATE, serving

from kallglot_async.emulator import Fault

pytestmark = pytest.mark.looptime


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


async def test_an_idempotency_key_replays_an_end() -> None:
    """The same answer later, and a mismatch for another session."""
    async with serving() as client:
        one, other = client.emulator.sessions.seed(2, status="active")
        headers = {"Idempotency-Key": "k"}
        _, _, first = await client.request("POST", f"/sessions/{one}/end", headers=headers)
        await asyncio.sleep(60)
        assert (await client.request("POST", f"/sessions/{one}/end", headers=headers))[2] == first
        status, _, body = await client.request("POST", f"/sessions/{other}/end", headers=headers)
        assert (status, body["error"]["code"]) == (400, "idempotency_mismatch")
        assert [entry.is_replay for entry in client.emulator.journal] == [False, True, False]


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
