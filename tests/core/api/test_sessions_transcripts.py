"""Transcripts: exact requests, segments and turns in one value, and what is no text."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from support.payloads import PAYLOADS
from support.wire_faults import RawServer, answer

from kallglot_async import (
    ConfigurationError,
    InvalidIdError,
    KallglotClient,
    ResponseBodyError,
    ResponseMismatchError,
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
