"""The operations on calls: their parameters, and how sessions and transcripts are shown."""

from __future__ import annotations

import asyncio

import pytest
from support.emulated import serving

pytestmark = pytest.mark.looptime


async def test_a_reason_is_checked_in_revision_a_only() -> None:
    """422 names the parameter; B documents no body, and ignores it."""
    for revision, status in (("a", 422), ("b", 200)):
        async with serving(revision=revision) as client:
            [id] = client.emulator.sessions.seed(1, status="active")
            code, _, body = await client.request("POST", f"/sessions/{id}/end", json={"reason": "bored"})
            assert code == status
            assert code == 200 or body["error"]["param"] == "reason"


@pytest.mark.parametrize("query", ["format=pdf", "include_translations=maybe"])
async def test_wrong_parameters_are_422(query: str) -> None:
    """And name the parameter."""
    async with serving() as client:
        [id] = client.emulator.sessions.seed(1)
        status, _, body = await client.get(f"/sessions/{id}/transcript?{query}")
        assert (status, body["error"]["param"]) == (422, query.partition("=")[0])


async def test_a_session_of_revision_a_has_the_documented_fields() -> None:
    """While it goes on: a stream, no end; afterwards: no stream, a reason, a recording."""
    async with serving() as client:
        [id] = client.emulator.sessions.seed(1, status="active")
        await asyncio.sleep(20)
        _, _, live = await client.get(f"/sessions/{id}")
        assert {name: live[name] for name in ("id", "object", "status", "duration", "recording", "metadata")} == {
            "id": id,
            "object": "session",
            "status": "active",
            "duration": 20.0,
            "recording": {"enabled": True},
            "metadata": {},
        }
        assert live["provider"].keys() == {"type", "phone_number", "status", "call_sid"}
        assert live["stream"]["token"].startswith("kst_test_")
        assert live["stream"]["expires_at"] == "2027-01-15T09:00:00Z"
        assert (live["started_at"], live["ended_at"]) == ("2027-01-15T08:00:00Z", None)
        assert live["transcript"]["available"]
        status, _, ended = await client.request("POST", f"/sessions/{id}/end", json={"reason": "customer_hangup"})
        assert status == 200
        assert (ended["status"], ended["end_reason"], ended["duration"]) == ("ended", "customer_hangup", 20.0)
        assert ended["recording"] == {
            "enabled": True,
            "id": client.emulator.sessions[id].recordings[0],
            "duration": 20.0,
        }
        assert "stream" not in ended
        assert ended["provider"]["status"] == "disconnected"


async def test_a_session_of_revision_b_has_the_documented_fields() -> None:
    """Exactly those of the sample, and an end that is a summary."""
    async with serving(revision="b") as client:
        [id] = client.emulator.sessions.seed(1, status="created")
        _, _, body = await client.get(f"/sessions/{id}")
        assert body == {
            "id": id,
            "object": "session",
            "status": "created",
            "mode": "bidirectional_translation",
            "provider": "twilio",
            "phone_number": body["phone_number"],
            "source_language": None,
            "target_language": None,
            "stream": body["stream"],
            "recording": {"enabled": True},
            "metadata": None,
            "created_at": "2027-01-15T08:00:00Z",
            "started_at": None,
            "ended_at": None,
        }
        assert body["stream"]["expires_at"] == "2027-01-15T08:05:00Z"
        await asyncio.sleep(5)
        _, _, ended = await client.request("POST", f"/sessions/{id}/end")
        assert ended == {
            "id": id,
            "object": "session",
            "status": "ended",
            "duration_seconds": 0.0,
            "ended_at": "2027-01-15T08:00:05Z",
        }
        await asyncio.sleep(5)
        assert (await client.request("POST", f"/sessions/{id}/end"))[2] == ended


async def test_transcripts_have_the_documented_shape() -> None:
    """A's segments and B's turns, field by field."""
    async with serving() as client:
        [id] = client.emulator.sessions.seed(1)
        _, _, body = await client.get(f"/sessions/{id}/transcript")
        assert set(body) == {"object", "session_id", "status", "language", "segments", "duration", "word_count"}
        assert set(body["segments"][1]) == {
            "id", "speaker", "language", "text", "translation", "start_time", "end_time", "confidence",
        }  # fmt: skip
        assert body["status"] == "complete"
        assert body["duration"] == (await client.get(f"/sessions/{id}"))[2]["duration"]
    async with serving(revision="b") as client:
        [id] = client.emulator.sessions.seed(1)
        _, _, body = await client.get(f"/sessions/{id}/transcript?format=srt")
        assert set(body) == {"id", "object", "session_id", "status", "turns", "metadata"}
        assert set(body["turns"][1]) == {"sequence", "speaker", "language", "text", "translation", "timestamp"}
        assert body["metadata"]["total_turns"] == len(body["turns"])
        assert body["metadata"]["languages_detected"] == ["de", "en"]


async def test_what_was_said_keeps_its_moment() -> None:
    """A turn of a call that goes on is dated from the call's start, however late it is asked for."""
    async with serving(revision="b") as client:
        [id] = client.emulator.sessions.seed(1, status="active")
        first = []
        for _ in range(2):
            await asyncio.sleep(20)
            first.append((await client.get(f"/sessions/{id}/transcript"))[2]["turns"][0]["timestamp"])
        assert first == ["2027-01-15T08:00:00Z"] * 2
