"""What was said."""

from __future__ import annotations

import datetime

from kallglot_async.emulator.calls.story import Story
from kallglot_async.emulator.calls.transcripts import Utterance, as_text, utterances, word_count


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


def test_subtitles_have_their_times_as_each_format_writes_them() -> None:
    """A comma in SubRip, a full stop in WebVTT, hours and all; translations are in brackets, or left out."""
    said = [
        Utterance(number=1, speaker="agent", language="en", text="Hello.", translation=None, start=0.0, end=0.5,
                  confidence=0.9),
        Utterance(number=2, speaker="customer", language="de", text="Guten Tag.", translation="Good day.",
                  start=3723.4, end=3724.0, confidence=0.9),
    ]  # fmt: skip
    assert as_text(said, "text", with_translations=True) == "agent: Hello.\ncustomer: Guten Tag.\n[Good day.]\n"
    assert as_text(said, "srt", with_translations=False) == (
        "1\n00:00:00,000 --> 00:00:00,500\nagent: Hello.\n\n2\n01:02:03,400 --> 01:02:04,000\ncustomer: Guten Tag.\n"
    )
    vtt = as_text(said, "vtt", with_translations=True)
    assert vtt.startswith("WEBVTT\n\n1\n00:00:00.000 --> 00:00:00.500\n")
    assert vtt.endswith("customer: Guten Tag.\n[Good day.]\n")
    assert word_count(said) == 3
