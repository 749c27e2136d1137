"""`Transcript`: what was said, as revision A's segments or revision B's turns, and as lines in both."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from kallglot_async.models._base import Discreet, Model, OpenEnum, Timestamp, one_line
from kallglot_async.models.meta import Result
from kallglot_async.models.results import Speaker

__all__ = ["Languages", "Line", "Segment", "Transcript", "TranscriptStatus", "Translation", "Turn"]


class TranscriptStatus(OpenEnum):
    """How far a transcript is: A says `complete`, B `completed`. Unknown texts mean "not complete"."""

    IN_PROGRESS = "in_progress"
    COMPLETE = "complete"
    COMPLETED = "completed"


class Languages(Model, frozen=True, kw_only=True, gc=False):
    """The languages between which revision A translates."""

    source: str | None = None
    target: str | None = None


class Segment(Discreet, frozen=True, kw_only=True, gc=False):
    """One utterance in revision A. Times are seconds; `confidence` runs from 0 to 1. `repr` shows no text."""

    id: str | None = None
    speaker: Speaker | None = None
    language: str | None = None
    text: str = ""
    translation: str | None = None
    start_time: float | None = None
    end_time: float | None = None
    confidence: float | None = None

    def __repr__(self) -> str:
        return one_line(f"<Segment {self.id} {self.speaker} at {self.start_time}, {len(self.text)} characters>")


class Translation(Discreet, frozen=True, kw_only=True, gc=False):
    """A turn in another language (revision B). `repr` shows no text."""

    language: str | None = None
    text: str | None = None

    def __repr__(self) -> str:
        return one_line(f"<Translation {self.language}, {len(self.text or '')} characters>")


class Turn(Discreet, frozen=True, kw_only=True):
    """One utterance in revision B; `sequence` counts from 1. `repr` shows no text."""

    sequence: float | None = None
    speaker: Speaker | None = None
    language: str | None = None
    text: str = ""
    translation: Translation | None = None
    timestamp: Timestamp | None = None

    def __repr__(self) -> str:
        return one_line(f"<Turn {self.sequence} {self.speaker} at {self.timestamp}, {len(self.text)} characters>")


class Line(Discreet, frozen=True, kw_only=True):
    """One utterance in either revision. `repr` shows no text.

    Attributes:
        speaker: Who spoke.
        text: What was said, in the language that was spoken.
        language: That language.
        translation: The same in the other language, where there is one.
        start: Seconds: since the beginning of the call in A, since the first turn in B, whose answer does not
            say when the call began. None where it is unknown.
        at: The moment (B).
    """

    speaker: Speaker | None = None
    text: str = ""
    language: str | None = None
    translation: str | None = None
    start: float | None = None
    at: Timestamp | None = None

    def __repr__(self) -> str:
        return one_line(f"<Line {self.speaker} at {self.start}, {len(self.text)} characters>")


class Transcript(Result, frozen=True, kw_only=True):
    """What was said in a session, in either revision; `lines` reads both.

    `repr` shows identity, status and sizes only, so that call text reaches no log by accident.

    Attributes:
        session_id: The session.
        object: Always `transcript`.
        status: How far it is; `is_complete` reads it for both revisions.
        id: The transcript's own id (B).
        language: Between which languages it was translated (A).
        languages_detected: Which languages were heard (B).
        segments: Revision A's utterances.
        turns: Revision B's utterances.
        duration: Seconds.
        word_count: Words in all (A).
        total_turns: Turns in all (B).
    """

    session_id: str
    object: Literal["transcript"]
    status: TranscriptStatus
    id: str | None = None
    language: Languages | None = None
    languages_detected: tuple[str, ...] = ()
    segments: tuple[Segment, ...] = ()
    turns: tuple[Turn, ...] = ()
    duration: float | None = None
    word_count: float | None = None
    total_turns: float | None = None

    @property
    def is_complete(self) -> bool:
        """Whether nothing will be added (`complete` or `completed`)."""
        return self.status in {TranscriptStatus.COMPLETE, TranscriptStatus.COMPLETED}

    @property
    def lines(self) -> tuple[Line, ...]:
        """What was said, in the server's order, in one form for both revisions."""
        if self.segments:
            return tuple(_line_of_segment(segment) for segment in self.segments)
        # B's answer has moments only, and does not say when the call began: the first turn is the nearest to that.
        first = next((turn.timestamp for turn in self.turns if turn.timestamp is not None), None)
        return tuple(_line_of_turn(turn, first) for turn in self.turns)

    def __repr__(self) -> str:
        count = len(self.segments) or len(self.turns)
        return one_line(f"<Transcript of {self.session_id} {self.status}, {count} lines>")


def _line_of_segment(segment: Segment) -> Line:
    return Line(
        speaker=segment.speaker,
        text=segment.text,
        language=segment.language,
        translation=segment.translation,
        start=segment.start_time,
    )


def _line_of_turn(turn: Turn, first: datetime | None) -> Line:
    start = None
    if turn.timestamp is not None and first is not None:
        start = (turn.timestamp - first).total_seconds()
    return Line(
        speaker=turn.speaker,
        text=turn.text,
        language=turn.language,
        translation=turn.translation.text if turn.translation is not None else None,
        start=start,
        at=turn.timestamp,
    )
