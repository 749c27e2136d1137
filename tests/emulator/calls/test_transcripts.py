"""What was said, and how the API shows it."""

from __future__ import annotations

import asyncio
import datetime

import pytest
from support.emulated import serving

from kallglot_async.emulator.calls.story import Story
from kallglot_async.emulator.calls.transcripts import utterances

pytestmark = pytest.mark.looptime


def test_a_conversation_is_plausible() -> None:
    """Agent first and in turn with the customer, times that grow and never overlap, one segment for each score."""
    for number in range(50):
        story = Story(0, f"ana_{number}", datetime.date(2026, 3, 26))
        said = utterances(story, 0, f"sess_{number}")
        assert len(said) == len(story.course)
        assert [utterance.number for utterance in said] == list(range(1, len(said) + 1))
        assert [utterance.speaker for utterance in said[:2]] == ["agent", "customer"]
        moments = [moment for utterance in said for moment in (utterance.start, utterance.end)]
        assert moments == sorted(moments)
        assert all("{" not in utterance.text for utterance in said)


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
