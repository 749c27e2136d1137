"""Transcripts: segments and turns in one value, text and subtitles, and the way to the emulator and back."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from rich.pretty import pretty_repr
from support.payloads import PAYLOADS
from support.wire_faults import RawServer, answer

from kallglot_async import (
    ConfigurationError,
    InvalidIdError,
    KallglotClient,
    ResponseBodyError,
    ResponseMismatchError,
    ResponseSchemaError,
    Transcript,
)
from kallglot_async._config import Secret
from kallglot_async._core.api.answers import interpret
from kallglot_async._core.api.lenient_json import MalformedBodyError, WrongShapeError
from kallglot_async._core.api.operation import Response
from kallglot_async._core.api.sessions import (
    decode_text,
    decode_transcript,
    retrieve_transcript,
    retrieve_transcript_text,
)
from kallglot_async.emulator import Emulator, Latency
from kallglot_async.models import Languages, Line, Segment, Speaker, TranscriptStatus, Translation, Turn

ID = "sess_01HXYZ123456789"
A = (PAYLOADS / "transcript.a.json").read_bytes()
B = (PAYLOADS / "transcript.b.json").read_bytes()


def changed(body: bytes, **changes: Any) -> Transcript:
    return decode_transcript(json.dumps(json.loads(body) | changes).encode())


def test_documented_sample_of_revision_a_is_decoded() -> None:
    """Segments with their times, the languages and the measures."""
    transcript = decode_transcript(A)
    assert transcript.segments[1] == Segment(
        id="seg_002",
        speaker=Speaker.CUSTOMER,
        language="de",
        text="Guten Tag, ich habe eine Frage zu meiner Bestellung.",
        translation="Good day, I have a question about my order.",
        start_time=3.5,
        end_time=6.8,
        confidence=0.96,
    )
    assert (len(transcript.segments), transcript.turns) == (4, ())
    assert transcript.language == Languages(source="de", target="en")
    assert (transcript.duration, transcript.word_count, transcript.is_complete) == (245.3, 512.0, True)


def test_documented_sample_of_revision_b_is_decoded() -> None:
    """Turns with their moments, and the measures out of `metadata`."""
    transcript = decode_transcript(B)
    assert transcript.turns[1] == Turn(
        sequence=2.0,
        speaker=Speaker.CUSTOMER,
        language="de",
        text="Ich habe eine Frage zu meiner Bestellung.",
        translation=Translation(language="en", text="I have a question about my order."),
        timestamp=datetime(2026, 3, 26, 11, 0, 18, tzinfo=UTC),
    )
    assert (transcript.id, transcript.segments) == (f"trn_{ID}", ())
    assert (transcript.duration, transcript.total_turns) == (180.5, 2.0)
    assert (transcript.languages_detected, transcript.is_complete) == (("en", "de"), True)


def test_lines_read_the_same_in_both_revisions() -> None:
    """Speaker, text, translation and seconds; B's seconds count from its first turn."""
    assert decode_transcript(A).lines[1] == Line(
        speaker=Speaker.CUSTOMER,
        text="Guten Tag, ich habe eine Frage zu meiner Bestellung.",
        language="de",
        translation="Good day, I have a question about my order.",
        start=3.5,
    )
    assert decode_transcript(B).lines[1] == Line(
        speaker=Speaker.CUSTOMER,
        text="Ich habe eine Frage zu meiner Bestellung.",
        language="de",
        translation="I have a question about my order.",
        start=3.0,
        at=datetime(2026, 3, 26, 11, 0, 18, tzinfo=UTC),
    )
    assert decode_transcript(A).lines[0].translation is None


def test_drift_costs_a_field_at_most() -> None:
    """Nulls for lists, odd timestamps, unknown texts and whole numbers."""
    assert changed(A, segments=None, language=None, word_count=3).lines == ()
    assert changed(A, status="archived").status == TranscriptStatus("archived")
    assert not changed(B, status="archived").is_complete
    odd = changed(B, turns=[{"timestamp": "soon", "text": None, "speaker": "robot", "extra": {}}], metadata=None)
    assert odd.lines == (Line(speaker=Speaker("robot"), text=""),)
    assert changed(B, metadata={"languages_detected": None, "total_turns": None}).languages_detected == ()


@pytest.mark.parametrize("name", ["session_id", "object", "status"])
def test_identity_is_required(name: str) -> None:
    """Without it nobody knows whose words these are."""
    with pytest.raises(WrongShapeError, match=name):
        changed(A, **{name: None})


def test_no_repr_shows_what_was_said() -> None:
    """Neither the transcript nor any of its parts, in Python's own repr or in rich's."""
    for body in (A, B):
        transcript = decode_transcript(body)
        parts = [transcript, *transcript.segments, *transcript.turns, *transcript.lines]
        parts += [turn.translation for turn in transcript.turns if turn.translation is not None]
        for text in [*map(repr, parts), *map(pretty_repr, parts)]:
            assert "Bestellung" not in text
            assert "order" not in text
        assert repr(transcript).startswith(f"<Transcript of {ID} comp")


def test_requests_are_as_documented() -> None:
    """Parameters are sent only where they are asked for."""
    assert retrieve_transcript(ID).path == f"sessions/{ID}/transcript"
    assert retrieve_transcript(ID, include_translations=False).path.endswith("?include_translations=false")
    text = retrieve_transcript_text(ID, format="srt", include_translations=True)
    assert text.path == f"sessions/{ID}/transcript?format=srt&include_translations=true"
    assert (text.method, text.group, text.body) == ("GET", "sessions.read", None)
    for make in (retrieve_transcript, retrieve_transcript_text):
        with pytest.raises(InvalidIdError):
            make("ana_1")
        with pytest.raises(ConfigurationError):
            make(ID, include_translations="yes")
    with pytest.raises(ConfigurationError, match="srt"):
        retrieve_transcript_text(ID, format="pdf")


def test_another_sessions_transcript_is_never_returned() -> None:
    """Whose it is, is in the body."""
    with pytest.raises(ResponseMismatchError):
        interpret(retrieve_transcript("sess_other"), Response(200, {}, A), key=Secret("sk_test_x"), wall_now=0.0)


@pytest.mark.parametrize(
    ("body", "format", "error"),
    [
        (b"\xff\xfe", "text", MalformedBodyError),
        (b"<!DOCTYPE html><html>", "text", MalformedBodyError),
        (b" <html>", "srt", MalformedBodyError),
        (b"1\n00:00", "vtt", MalformedBodyError),
        (A, "text", WrongShapeError),
    ],
)
def test_what_is_no_text_is_not_taken_for_one(body: bytes, format: str, error: type[Exception]) -> None:
    """A page of a gateway, broken text, and JSON from a server that does not know formats."""
    with pytest.raises(error):
        decode_text(body, format)


def test_text_is_returned_as_it_is() -> None:
    """Without the byte order mark; an empty one is a call in which nothing was said."""
    assert decode_text("\ufeffWEBVTT\n".encode(), "vtt") == "WEBVTT\n"
    assert decode_text(b"", "text") == ""
    assert decode_text(b"{laughs} So it was.", "text") == "{laughs} So it was."  # no JSON


@pytest.mark.parametrize(
    ("encoding", "media_type", "text"),
    [
        ("utf-8", "text/plain; charset=ISO-8859-1", "Grüezi"),  # what many servers say of all that they send
        ("utf-8", "", "Grüezi"),
        ("iso-8859-1", 'text/vtt;charset="iso-8859-1"', "Grüezi"),
        ("cp1250", "text/plain; format=flowed; Charset=Windows-1250", "Dzień dobry"),
        ("utf-16", "text/plain; charset=utf-16", "Grüezi"),
        ("utf-16-le", "text/plain; charset=utf-16le", "Hello"),  # of which each byte is UTF-8, too
        ("utf-16-be", "text/plain; charset=UTF-16BE", "Hello"),
        ("utf-16", "text/plain; charset=utf-16le", "Hello"),
        ("iso-8859-1", "text/plain", None),
        ("iso-8859-1", "text/plain; charset=iso-8859-99", None),
        ("iso-8859-1", "text/plain; charset=idna", None),
    ],
)
async def test_text_in_another_encoding_is_read_as_its_media_type_says(
    encoding: str, media_type: str, text: str | None
) -> None:
    """Where it cannot be UTF-8; without a word of it, and for words that are none, it is no text."""
    body = (text or "Grüezi").encode(encoding)
    async with (
        RawServer(answer(body, f"Content-Type: {media_type}")) as server,
        KallglotClient("sk_test_x", base_url=server.base_url, max_attempts=1) as client,
    ):
        if text is not None:
            assert await client.sessions.transcript_text(ID) == text
        else:
            with pytest.raises(ResponseBodyError, match="UTF-8"):
                await client.sessions.transcript_text(ID)


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
