"""Sessions: which there are."""

from __future__ import annotations

from typing import Any

import pytest
from support.emulated import REVISIONS, serving

from kallglot_async.emulator import SessionRecord

pytestmark = pytest.mark.looptime


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
