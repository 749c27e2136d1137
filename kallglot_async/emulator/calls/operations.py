"""The operations on sessions, and how sessions and transcripts are shown."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from kallglot_async.emulator.calls.sessions import Reason, Session, Sessions
from kallglot_async.emulator.calls.story import segment_id
from kallglot_async.emulator.calls.transcripts import TEXT_FORMATS, Utterance, as_text, word_count
from kallglot_async.emulator.clock import Clock
from kallglot_async.emulator.envelopes import Answer, json_answer
from kallglot_async.emulator.request import Exchange, read_form
from kallglot_async.emulator.routes import Revision
from kallglot_async.emulator.seeding import digest
from kallglot_async.emulator.settings import Settings

# Documented: one hour in A's reference, five minutes in B.
_TOKEN_LIFE: dict[Revision, float] = {"a": 3600.0, "b": 300.0}


class _EndForm(msgspec.Struct):
    reason: Reason | None = None


class _TranscriptQuery(msgspec.Struct):
    format: Literal["json", "text", "srt", "vtt"] = "json"
    include_translations: Literal["true", "false"] = "true"


class SessionOperations:
    """Shows and ends sessions; all speak the emulator's `revision`."""

    __slots__ = ("_clock", "_revision", "_seed", "_sessions")

    def __init__(self, settings: Settings, clock: Clock, sessions: Sessions) -> None:
        self._seed = settings.seed
        self._revision: Revision = settings.revision
        self._clock = clock
        self._sessions = sessions

    def retrieve(self, exchange: Exchange) -> Answer:
        """Show a session."""
        session = self._sessions.find(exchange.id, exchange.now)
        return json_answer(200, self._body(session, exchange.now))

    def end(self, exchange: Exchange) -> Answer:
        """End a session and show it, in B as a summary; B documents no body of the request and ignores what comes."""
        now = exchange.now
        session = self._sessions.find(exchange.id, now)
        form = read_form(_EndForm, exchange.fields, "a") if self._revision == "a" else _EndForm()
        session.end(form.reason or "completed", now)
        if self._revision == "a":
            return json_answer(200, self._body(session, now))
        body: dict[str, Any] = {"id": session.id, "object": "session", "status": session.status}
        body |= {"duration_seconds": session.duration(now), "ended_at": self._clock.iso(session.ended_at)}
        return json_answer(200, body)

    def transcript(self, exchange: Exchange) -> Answer:
        """Show what was said until now; revision B documents no parameters and ignores what comes."""
        session = self._sessions.find(exchange.id, exchange.now)
        query = read_form(_TranscriptQuery, exchange.query, "a") if self._revision == "a" else _TranscriptQuery()
        with_translations = query.include_translations == "true"
        if query.format != "json":
            text = as_text(session.said(exchange.now), query.format, with_translations=with_translations)
            return Answer(status=200, body=text.encode(), content_type=TEXT_FORMATS[query.format])
        body = self._transcript(session, exchange.now, with_translations=with_translations)
        return json_answer(200, body)

    def _body(self, session: Session, now: float) -> dict[str, Any]:
        body: dict[str, Any] = {
            "id": session.id,
            "object": "session",
            "status": session.status,
            "mode": "bidirectional_translation",
            "created_at": self._clock.iso(session.created_at),
            "started_at": self._clock.iso(session.started_at),
            "ended_at": self._clock.iso(session.ended_at),
            "recording": {"enabled": True},
        }
        # The range that is kept free for fiction.
        phone_number = f"+1415555{100 + digest(self._seed, 'phone', session.id) % 100:04d}"
        if self._revision == "a":
            body |= self._only_in_a(session, now, phone_number)
        else:
            body |= {"provider": "twilio", "phone_number": phone_number}
            body |= {"source_language": None, "target_language": None, "metadata": None}
        if session.ended_at is None:
            body["stream"] = {
                # Nothing is emulated there, so it is a name that never resolves.
                "url": f"wss://stream.kallglot.invalid/v1/sessions/{session.id}/connect",
                "token": f"kst_test_{digest(self._seed, 'token', session.id):016x}",
                "expires_at": self._clock.iso(session.created_at + _TOKEN_LIFE[self._revision]),
            }
        return body

    def _only_in_a(self, session: Session, now: float, phone_number: str) -> dict[str, Any]:
        duration, words = session.duration(now), word_count(session.said(now))
        body: dict[str, Any] = {
            "source_language": "de",
            "target_language": "en",
            "provider": {
                "type": "twilio",
                "phone_number": phone_number,
                "status": {"created": "pending", "active": "connected", "ended": "disconnected"}[session.status],
                "call_sid": f"CA{digest(self._seed, 'call', session.id):032x}",
            },
            "duration": duration,
            "transcript": {"available": words > 0, "word_count": words},
            "metadata": {},
        }
        if session.ended_at is not None:
            body["end_reason"] = session.reason
            if session.recordings:
                body["recording"] = {"enabled": True, "id": session.recordings[0], "duration": duration}
        return body

    def _transcript(self, session: Session, now: float, *, with_translations: bool) -> dict[str, Any]:
        said, duration, is_over = session.said(now), session.duration(now), session.ended_at is not None
        body = {"object": "transcript", "session_id": session.id}
        if self._revision == "a":
            return body | {
                "status": "complete" if is_over else "in_progress",
                "language": {"source": "de", "target": "en"},
                "segments": [_segment(utterance, with_translation=with_translations) for utterance in said],
                "duration": duration,
                "word_count": word_count(said),
            }
        started_at = now if session.started_at is None else session.started_at
        return body | {
            "id": f"trn_{session.id}",
            "status": "completed" if is_over else "in_progress",
            "turns": [_turn(utterance, self._clock.iso(started_at + utterance.start)) for utterance in said],
            "metadata": {
                "total_turns": len(said),
                "duration_seconds": duration,
                "languages_detected": sorted({utterance.language for utterance in said}),
            },
        }


def _segment(utterance: Utterance, *, with_translation: bool) -> dict[str, Any]:
    segment: dict[str, Any] = {
        "id": segment_id(utterance.number - 1),
        "speaker": utterance.speaker,
        "language": utterance.language,
        "text": utterance.text,
        "start_time": utterance.start,
        "end_time": utterance.end,
        "confidence": utterance.confidence,
    }
    if with_translation and utterance.translation is not None:
        segment["translation"] = utterance.translation
    return segment


def _turn(utterance: Utterance, timestamp: str | None) -> dict[str, Any]:
    turn: dict[str, Any] = {
        "sequence": utterance.number,
        "speaker": utterance.speaker,
        "language": utterance.language,
        "text": utterance.text,
        "timestamp": timestamp,
    }
    if utterance.translation is not None:
        turn["translation"] = {"language": "en", "text": utterance.translation}
    return turn
