"""Sessions: which there are, and how the API shows them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from support.emulated import REVISIONS, serving

from kallglot_async.emulator import SessionRecord

pytestmark = pytest.mark.looptime


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


@REVISIONS
async def test_every_session_that_an_analysis_refers_to_exists(revision: Any) -> None:
    """Seeded, created or adopted; it is over, and began before it ended."""
    async with serving(revision=revision, adopt_unknown=True) as client:
        emulator = client.emulator
        emulator.seed_analyses(3, revision="a")
        emulator.seed_analyses(2, revision="b")
        await client.request("POST", "/sessions/sess_made/analysis", json={"analyses": ["summary"]})
        await client.get("/analysis/ana_adopted")
        ids = {record.session_id for record in emulator.analyses()}
        assert len(ids) == 7
        for id in ids:
            assert (await client.get(f"/sessions/{id}"))[2]["status"] == "ended"
            record = emulator.sessions[id]
            assert record.started_at is not None
            assert record.ended_at is not None
            assert record.created_at < record.started_at < record.ended_at <= emulator.now


async def test_unknown_sessions_are_404_unless_adopted() -> None:
    """As unknown analyses are; what is no id is never adopted."""
    async with serving() as client:
        status, _, body = await client.get("/sessions/sess_nobody")
        assert (status, body["error"]["code"]) == (404, "session_not_found")
        for path in ("/sessions/sess_x/transcript", "/sessions/sess_x/recordings", "/recordings/rec_x"):
            assert (await client.get(path))[0] == 404
        with pytest.raises(KeyError):
            client.emulator.sessions["sess_nobody"]
    async with serving(adopt_unknown=True) as client:
        assert (await client.get("/sessions/sess_nobody"))[0] == 200
        assert (await client.get("/sessions/ana_1"))[0] == 404
        assert (await client.request("POST", "/sessions/sess_other/end"))[0] == 200


async def test_the_same_seed_makes_the_same_sessions() -> None:
    """Ids, contents and audio; another seed makes others; `reset` forgets them."""

    async def picture(seed: int) -> list[Any]:
        async with serving(seed=seed) as client:
            ids = client.emulator.sessions.seed(2)
            recording = client.emulator.sessions[ids[0]].recordings[0]
            found = [ids, (await client.get(f"/sessions/{ids[0]}/transcript"))[2], list(client.emulator.sessions)]
            url = (await client.get(f"/recordings/{recording}"))[2]["download_url"]
            found.append((await client.fetch(url))[2])
            assert len(client.emulator.sessions) == 2
            assert all(isinstance(record, SessionRecord) for record in client.emulator.sessions)
            client.emulator.reset()
            assert len(client.emulator.sessions) == 0
            return found

    assert await picture(1) == await picture(1)
    assert (await picture(1))[3] != (await picture(2))[3]
