"""What was said in an emulated call, and the forms of text in which the API gives it.

The conversation follows the call's `Story`: one utterance for each point of its course of sentiment, with the
same segment ids, agent and customer in turn; the agent says the story's key points, the customer answers in
German, with an English translation. Assumed, as it is not documented: a transcript of a call that goes on is
`in_progress` in both revisions; subtitles and text carry the translation on a line of its own, in brackets.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle

import msgspec

from kallglot_async.emulator.calls.story import Story
from kallglot_async.emulator.seeding import generator

TEXT_FORMATS = {"text": "text/plain; charset=utf-8", "srt": "application/x-subrip; charset=utf-8", "vtt": "text/vtt"}
"""Media type by `format`; which ones the API sends is not documented."""

_WORDS_A_SECOND = 2.5  # of unhurried speech
_OPENING = "Hello, thank you for calling. How can I help you today?"
_REPLIES = (
    ("Guten Tag, ich habe eine Frage.", "Good day, I have a question."),
    ("Ja, genau, darum geht es.", "Yes, exactly, that is what it is about."),
    ("Die Nummer ist {order}.", "The number is {order}."),
    ("Das habe ich nicht gewusst.", "I did not know that."),
    ("Können Sie das bitte noch einmal sagen?", "Could you say that again, please?"),
    ("Gut, dann machen wir es so.", "Good, then let us do it that way."),
    ("Vielen Dank, auf Wiederhören.", "Thank you very much, goodbye."),
)
_LEADS = ("I see: {}.", "Let me check. {}.", "Here it says: {}.", "To sum up: {}.")


class Utterance(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One thing that was said. Times are seconds since the call began."""

    number: int
    """Counted from 1."""
    speaker: str
    language: str
    text: str
    translation: str | None
    start: float
    end: float
    confidence: float


def utterances(story: Story, seed: int, session_id: str) -> tuple[Utterance, ...]:
    """The whole conversation of a call."""
    random = generator(seed, "utterances", session_id)
    points, leads, replies = cycle(story.scenario.points), cycle(_LEADS), cycle(_REPLIES)
    said: list[Utterance] = []
    at = 0.0
    for place in range(len(story.course)):
        translation = None
        if place % 2:
            german, english = next(replies)
            text, translation = story.tell(german), story.tell(english)
        else:
            text = next(leads).format(story.tell(next(points))) if place else _OPENING
        end = at + len(text.split()) / _WORDS_A_SECOND
        said.append(
            Utterance(
                number=place + 1,
                speaker="customer" if place % 2 else "agent",
                language="de" if place % 2 else "en",
                text=text,
                translation=translation,
                start=round(at, 1),
                end=round(end, 1),
                confidence=round(random.uniform(0.9, 0.99), 2),
            )
        )
        # Nobody interrupts: turns that overlap are not documented.
        at = end + random.uniform(0.3, 1.5)
    return tuple(said)


def word_count(said: Sequence[Utterance]) -> int:
    """Words that were said, translations not counted."""
    return sum(len(utterance.text.split()) for utterance in said)


def as_text(said: Sequence[Utterance], format: str, *, with_translations: bool) -> str:
    """The transcript as `text`, `srt` or `vtt` (revision A)."""
    blocks = [_block(utterance, format, with_translation=with_translations) for utterance in said]
    if format == "text":
        return "".join(blocks)
    return ("WEBVTT\n\n" if format == "vtt" else "") + "\n".join(blocks)


def _block(utterance: Utterance, format: str, *, with_translation: bool) -> str:
    text = f"{utterance.speaker}: {utterance.text}\n"
    if with_translation and utterance.translation is not None:
        text += f"[{utterance.translation}]\n"
    if format == "text":
        return text
    # SubRip has a comma before the milliseconds, WebVTT a full stop.
    mark = "," if format == "srt" else "."
    times = f"{_time(utterance.start, mark)} --> {_time(utterance.end, mark)}\n"
    return f"{utterance.number}\n{times}{text}"


def _time(seconds: float, mark: str) -> str:
    millis = round(seconds * 1000)
    return f"{millis // 3_600_000:02d}:{millis // 60_000 % 60:02d}:{millis // 1000 % 60:02d}{mark}{millis % 1000:03d}"
