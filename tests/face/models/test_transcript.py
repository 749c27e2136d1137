"""A transcript: lines that read the same in both revisions, and no repr that shows them."""

from __future__ import annotations

from datetime import UTC, datetime

from rich.pretty import pretty_repr
from support.payloads import PAYLOADS

from kallglot_async._core.api.sessions import decode_transcript
from kallglot_async.models import Line, Speaker

ID = "sess_01HXYZ123456789"
A = (PAYLOADS / "transcript.a.json").read_bytes()
B = (PAYLOADS / "transcript.b.json").read_bytes()


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
