"""Transcripts: text and subtitles, and the whole way to the emulator and back."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from support.wire_faults import RawServer, answer

from kallglot_async import KallglotClient, ResponseBodyError, ResponseSchemaError
from kallglot_async.emulator import Emulator, Latency
from kallglot_async.models import Speaker, TranscriptStatus

ID = "sess_01HXYZ123456789"


@pytest.mark.looptime
@pytest.mark.parametrize("revision", ["a", "b"])
async def test_transcript_and_analysis_tell_one_story(revision: Any) -> None:
    """The transcript has a line for each scored segment, and says what the summary says."""
    async with (
        Emulator(revision=revision, latency=Latency.immediate()) as emulator,
        KallglotClient(emulator.api_key, base_url=emulator.base_url) as client,
    ):
        [id] = emulator.seed_analyses(1, revision=revision)
        analysis = await client.analyses.retrieve(id)
        assert analysis.session_id is not None
        transcript = await client.sessions.transcript(analysis.session_id)
        assert transcript.session_id == analysis.session_id
        assert transcript.is_complete
        starts = [line.start for line in transcript.lines if line.start is not None]
        assert len(starts) == len(transcript.lines) >= 4
        assert starts == sorted(starts)
        assert {line.speaker for line in transcript.lines} == {Speaker.AGENT, Speaker.CUSTOMER}
        assert transcript.lines[1].translation == "Good day, I have a question."
        if revision == "a":
            assert analysis.results is not None
            assert analysis.results.sentiment is not None
            assert analysis.results.summary is not None
            assert [s.id for s in transcript.segments] == [s.id for s in analysis.results.sentiment.segments]
            assert any(analysis.results.summary.key_points[0] in line.text for line in transcript.lines)


@pytest.mark.looptime
async def test_a_call_that_goes_on_has_a_growing_transcript() -> None:
    """Nothing at first, more later, and not complete before the end."""
    async with (
        Emulator() as emulator,
        KallglotClient(emulator.api_key, base_url=emulator.base_url) as client,
    ):
        [id] = emulator.sessions.seed(1, status="active")
        assert (await client.sessions.transcript(id)).lines == ()
        await asyncio.sleep(12)
        middle = await client.sessions.transcript(id)
        assert middle.status == TranscriptStatus.IN_PROGRESS
        assert len(middle.lines) > 0
        await client.sessions.end(id)
        await asyncio.sleep(600)
        assert len((await client.sessions.transcript(id)).lines) == len(middle.lines)


@pytest.mark.looptime
async def test_text_and_subtitles_of_revision_a() -> None:
    """Three formats of the same words; translations can be left out."""
    async with (
        Emulator() as emulator,
        KallglotClient(emulator.api_key, base_url=emulator.base_url) as client,
    ):
        [id] = emulator.sessions.seed(1)
        first = (await client.sessions.transcript(id)).lines[0]
        text = await client.sessions.transcript_text(id)
        srt = await client.sessions.transcript_text(id, format="srt")
        vtt = await client.sessions.transcript_text(id, format="vtt", include_translations=False)
        assert text.startswith(f"agent: {first.text}\n")
        assert srt.startswith("1\n00:00:00,000 --> 00:00:0")
        assert vtt.startswith("WEBVTT\n\n1\n00:00:00.000 --> 00:00:0")
        assert "[Good day" in text
        assert "[Good day" not in vtt
        bare = await client.sessions.transcript(id, include_translations=False)
        assert all(segment.translation is None for segment in bare.segments)


@pytest.mark.looptime
async def test_revision_b_has_no_text() -> None:
    """Its JSON is not passed off as text: the error says so and is not retried."""
    async with (
        Emulator(revision="b") as emulator,
        KallglotClient(emulator.api_key, base_url=emulator.base_url) as client,
    ):
        [id] = emulator.sessions.seed(1)
        with pytest.raises(ResponseSchemaError, match="JSON only"):
            await client.sessions.transcript_text(id, format="vtt")
        assert emulator.journal.total == 1


@pytest.mark.looptime
async def test_a_page_of_html_is_retried() -> None:
    """A gateway's page may be gone a moment later."""
    async with (
        RawServer(answer(b"<html>busy</html>"), answer(b"agent: Hello\n")) as server,
        KallglotClient("sk_test_x", base_url=server.base_url, random=lambda: 0.0) as client,
    ):
        assert await client.sessions.transcript_text(ID) == "agent: Hello\n"
    async with (
        RawServer(answer(b"<html>busy</html>")) as server,
        KallglotClient("sk_test_x", base_url=server.base_url, random=lambda: 0.0) as client,
    ):
        with pytest.raises(ResponseBodyError, match="page of HTML"):
            await client.sessions.transcript_text(ID)
