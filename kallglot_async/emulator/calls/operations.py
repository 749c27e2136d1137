"""The operations on a session, and what is said in it."""

from __future__ import annotations

from typing import Literal

import msgspec

from kallglot_async.emulator.calls.bodies import SessionBodies
from kallglot_async.emulator.calls.sessions import Reason, Sessions
from kallglot_async.emulator.calls.transcripts import TEXT_FORMATS, as_text
from kallglot_async.emulator.clock import Clock
from kallglot_async.emulator.envelopes import Answer, json_answer
from kallglot_async.emulator.request import Exchange, read_form
from kallglot_async.emulator.settings import Settings


class _EndForm(msgspec.Struct):
    reason: Reason | None = None


class _TranscriptQuery(msgspec.Struct):
    format: Literal["json", "text", "srt", "vtt"] = "json"
    include_translations: Literal["true", "false"] = "true"


class SessionOperations:
    """Shows and ends sessions; all speak the emulator's `revision`."""

    __slots__ = ("_bodies", "_is_a", "_sessions")

    def __init__(self, settings: Settings, clock: Clock, sessions: Sessions) -> None:
        self._is_a = settings.revision == "a"
        self._sessions = sessions
        self._bodies = SessionBodies(settings, clock)

    def retrieve(self, exchange: Exchange) -> Answer:
        """Show a session."""
        session = self._sessions.find(exchange.id, exchange.now)
        return json_answer(200, self._bodies.retrieved(session, exchange.now))

    def end(self, exchange: Exchange) -> Answer:
        """End a session. Revision B documents no body: whatever comes is ignored."""
        session = self._sessions.find(exchange.id, exchange.now)
        form = read_form(_EndForm, exchange.fields, "a") if self._is_a else _EndForm()
        session.end(form.reason or "completed", exchange.now)
        return json_answer(200, self._bodies.ended(session, exchange.now))

    def transcript(self, exchange: Exchange) -> Answer:
        """Show what was said until now. Revision B documents no parameters: whatever comes is ignored."""
        session = self._sessions.find(exchange.id, exchange.now)
        query = read_form(_TranscriptQuery, exchange.query, "a") if self._is_a else _TranscriptQuery()
        with_translations = query.include_translations == "true"
        if query.format != "json":
            text = as_text(session.said(exchange.now), query.format, with_translations=with_translations)
            return Answer(status=200, body=text.encode(), content_type=TEXT_FORMATS[query.format])
        body = self._bodies.transcript(session, exchange.now, with_translations=with_translations)
        return json_answer(200, body)
