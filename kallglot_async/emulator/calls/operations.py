"""The operations on a call: its session, its transcript and its recordings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import msgspec

from kallglot_async.emulator import envelopes
from kallglot_async.emulator.calls import transcripts
from kallglot_async.emulator.calls.recordings import Recordings, expired_link, leaked_key
from kallglot_async.emulator.calls.sessions import Reason, Session, SessionBodies, Sessions
from kallglot_async.emulator.clock import Clock
from kallglot_async.emulator.envelopes import Answer, json_answer
from kallglot_async.emulator.request import Exchange, read_form
from kallglot_async.emulator.routes import Operation
from kallglot_async.emulator.seeding import is_well_formed, make_id
from kallglot_async.emulator.settings import Settings

# What a request to a pre-signed link must not carry.
_CREDENTIALS = ("Authorization", "X-API-Key", "Cookie")


class _EndForm(msgspec.Struct):
    reason: Reason | None = None


class _TranscriptQuery(msgspec.Struct):
    format: Literal["json", "text", "srt", "vtt"] = "json"
    include_translations: Literal["true", "false"] = "true"


class CallOperations:
    """Sessions and what belongs to them; all speak the emulator's `revision`."""

    __slots__ = ("_bodies", "_clock", "_sessions", "_settings", "recordings")

    def __init__(self, settings: Settings, clock: Clock, sessions: Sessions) -> None:
        self._settings = settings
        self._clock = clock
        self._sessions = sessions
        self.recordings = Recordings(settings, clock)
        self._bodies = SessionBodies(settings, clock)

    def read(self, exchange: Exchange) -> Answer | None:
        """The answer to a GET; None for an operation that is none of these.

        Raises:
            Problem: There is no such thing, or a parameter is wrong.
        """
        act = _READS.get(exchange.operation) if exchange.operation is not None else None
        return None if act is None else act(self, exchange)

    def end(self, exchange: Exchange, fields: Mapping[str, Any]) -> Answer:
        """End a session. Revision B documents no body: whatever comes is ignored.

        Raises:
            Problem: There is no such session, or revision A's reason is none.
        """
        session = self._session(exchange)
        form = read_form(_EndForm, fields if self._settings.revision == "a" else {}, "a")
        session.end(form.reason or "completed", exchange.now)
        return json_answer(200, self._bodies.ended(session))

    def decoy(self, exchange: Exchange) -> dict[str, Any] | None:
        """What makes an answer one about something else; None for an operation of another module's."""
        id, seed = exchange.id, self._settings.seed
        if exchange.operation in {"sessions.retrieve", "sessions.end"}:
            return {"id": make_id("sess", seed, "decoy", id)}
        if exchange.operation in {"sessions.transcript", "sessions.recordings"}:
            return {"session_id": make_id("sess", seed, "decoy", id)}
        return {"id": make_id("rec", seed, "decoy", id)} if exchange.operation == "recordings.retrieve" else None

    def _session(self, exchange: Exchange) -> Session:
        if self._settings.adopt_unknown and is_well_formed(exchange.id, "sess"):
            self._sessions.know(exchange.id, exchange.now)
        session = self._sessions.get(exchange.id)
        if session is None:
            raise envelopes.not_found("session", exchange.id)
        return session

    def _recorded(self, exchange: Exchange) -> Session:
        session = self._sessions.owner(exchange.id)
        # Before the call is over there is nothing, not even an id that anybody could know.
        if session is None or session.ended_at is None:
            raise envelopes.not_found("recording", exchange.id)
        return session

    def _ready(self, exchange: Exchange) -> Session:
        session = self._recorded(exchange)
        if not self.recordings.is_ready(session):
            raise envelopes.not_found("recording", exchange.id)
        return session

    def _retrieve(self, exchange: Exchange) -> Answer:
        return json_answer(200, self._bodies.retrieved(self._session(exchange)))

    def _transcript(self, exchange: Exchange) -> Answer:
        session, revision = self._session(exchange), self._settings.revision
        said = session.said(exchange.now)
        query = read_form(_TranscriptQuery, exchange.query if revision == "a" else {}, "a")  # B documents no parameters
        with_translations = query.include_translations == "true"
        if query.format != "json":
            text = transcripts.as_text(said, query.format, with_translations=with_translations)
            return Answer(status=200, body=text.encode(), content_type=transcripts.TEXT_FORMATS[query.format])
        body = transcripts.as_json(
            session.id,
            said,
            revision=revision,
            duration=session.duration(exchange.now),
            started_at=self._clock.moment(exchange.now if session.started_at is None else session.started_at),
            is_over=session.ended_at is not None,
            with_translations=with_translations,
        )
        return json_answer(200, body)

    def _list(self, exchange: Exchange) -> Answer:
        return json_answer(200, self.recordings.page(self._session(exchange), exchange.query, exchange.path))

    def _recording(self, exchange: Exchange) -> Answer:
        return json_answer(200, self.recordings.one(self._recorded(exchange), exchange.id, exchange.origin))

    def _download(self, exchange: Exchange) -> Answer:
        self._in_revision("a", exchange)
        self._ready(exchange)
        return self.recordings.redirect(exchange.id, exchange.origin, exchange.query)

    def _audio(self, exchange: Exchange) -> Answer:
        self._in_revision("b", exchange)
        # The documented header that makes a browser save it.
        answer = self.recordings.served(self._ready(exchange), exchange.id, exchange.headers)
        name = f'attachment; filename="{exchange.id}.mp3"'
        return answer.with_headers({**answer.headers, "Content-Disposition": name})

    def _storage(self, exchange: Exchange) -> Answer:
        if any(name in exchange.headers for name in _CREDENTIALS):
            raise leaked_key()
        link = self.recordings.links.find(exchange.path.rpartition("/")[2], exchange.now)
        session = None if link is None else self._sessions.owner(link.recording_id)
        if link is None or session is None:
            raise expired_link()
        return self.recordings.served(session, link.recording_id, exchange.headers, link.format, link.sample_rate)

    def _in_revision(self, revision: str, exchange: Exchange) -> None:
        if self._settings.revision != revision:
            raise envelopes.no_such_route(exchange.path)


_READS: dict[Operation, Callable[[CallOperations, Exchange], Answer]] = {
    "sessions.retrieve": CallOperations._retrieve,
    "sessions.transcript": CallOperations._transcript,
    "sessions.recordings": CallOperations._list,
    "recordings.retrieve": CallOperations._recording,
    "recordings.download": CallOperations._download,
    "recordings.audio": CallOperations._audio,
    "storage.fetch": CallOperations._storage,
}
