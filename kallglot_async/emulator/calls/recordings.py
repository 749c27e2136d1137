"""The operations on recordings: lists in pages, single ones, pre-signed links, and audio in whole or in part.

Assumed, as it is not documented: a recording is ready two seconds after its call; a list is in the order of
the recordings' making; a cursor that names no recording of the session is a 422.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from email.utils import formatdate
from hashlib import blake2b
from typing import Annotated, Any, Literal

import msgspec

from kallglot_async.emulator.calls.audio import MEDIA_TYPES, SAMPLE_RATE, audio
from kallglot_async.emulator.calls.sessions import Session, Sessions
from kallglot_async.emulator.clock import Clock, Lasting
from kallglot_async.emulator.envelopes import Answer, Problem, invalid_field, json_answer, no_such_route, not_found
from kallglot_async.emulator.request import Exchange, read_form
from kallglot_async.emulator.settings import Settings

CHANNELS = ("mixed", "agent", "customer")
"""The channel of a session's recordings, in this order and over again."""

LINK_LIFE = 3600.0
"""Seconds for which a pre-signed link works (documented)."""

_MAKING = 2.0  # seconds
_KEPT = 31 * 24 * 3600.0  # seconds; 31 days in every sample

# What a request to a pre-signed link must not carry.
_CREDENTIALS = ("Authorization", "X-API-Key", "Cookie")

_RANGE = re.compile(r"bytes=(\d{1,15})-(\d{0,15})", re.ASCII)


class _PageQuery(msgspec.Struct):
    channel: Literal["mixed", "agent", "customer"] | None = None  # in revision A
    limit: Annotated[str, msgspec.Meta(pattern="^([1-9][0-9]?|100)$")] = "20"
    starting_after: str | None = None
    ending_before: str | None = None


class _DownloadQuery(msgspec.Struct):
    format: Literal["mp3", "wav", "ogg"] = "mp3"
    sample_rate: Literal["8000", "16000", "22050", "44100", "48000"] = "8000"


class Recording(msgspec.Struct, frozen=True, kw_only=True):
    """One recording of a call that is over."""

    id: str
    session_id: str
    channel: str
    duration: float
    ready_at: float
    """When it can be downloaded."""


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """What a pre-signed link leads to."""

    recording_id: str
    format: str
    sample_rate: int


class RecordingOperations:
    """Lists, shows and serves recordings; all speak the emulator's `revision`."""

    __slots__ = ("_clock", "_is_a", "_links", "_making", "_seed", "_sessions")

    def __init__(self, settings: Settings, clock: Clock, sessions: Sessions) -> None:
        self._clock = clock
        self._sessions = sessions
        self._seed = settings.seed
        self._is_a = settings.revision == "a"
        self._making = _MAKING / settings.speed
        self._links: Lasting[Link] = Lasting(LINK_LIFE / settings.speed)

    def page(self, exchange: Exchange) -> Answer:
        """One page of a session's recordings; which channel can be asked for in revision A only."""
        session = self._sessions.find(exchange.id, exchange.now)
        query = {name: value for name, value in exchange.query.items() if self._is_a or name != "channel"}
        wish = read_form(_PageQuery, query, exchange.revision)
        found = [recording for recording in self._of(session) if wish.channel in (None, recording.channel)]
        limit = int(wish.limit)
        if wish.ending_before is not None:
            found = found[: _place(found, "ending_before", wish.ending_before, exchange)]
            page = found[-limit:]
        else:
            if wish.starting_after is not None:
                found = found[_place(found, "starting_after", wish.starting_after, exchange) + 1 :]
            page = found[:limit]
        has_more = len(found) > limit
        body: dict[str, Any] = {"object": "list", "data": [self._item(recording, exchange.now) for recording in page]}
        if self._is_a:
            body["session_id"] = session.id
        # The sample of B shows a short list, without these.
        if self._is_a or has_more:
            body |= {"has_more": has_more, "url": exchange.path}
        return json_answer(200, body)

    def retrieve(self, exchange: Exchange) -> Answer:
        """A single recording, with a way to its audio once it is ready."""
        recording = self._finished(exchange.id)
        body = self._item(recording, exchange.now) | self._details(recording)
        body |= {"sample_rate": SAMPLE_RATE, "bit_depth": 16}
        if exchange.now >= recording.ready_at:
            link = Link(recording_id=recording.id, format="mp3", sample_rate=SAMPLE_RATE)
            body["download_url"] = self._link(link, exchange) if self._is_a else f"/v1/recordings/{recording.id}/audio"
        return json_answer(200, body)

    def download(self, exchange: Exchange) -> Answer:
        """Revision A's way to the audio: a link that works without a key."""
        if not self._is_a:
            raise no_such_route(exchange.path)
        recording = self._ready(exchange)
        wish = read_form(_DownloadQuery, exchange.query, "a")
        if wish.format not in MEDIA_TYPES:
            raise invalid_field("format", "This emulator cannot encode ogg: ask for mp3 or wav.", "a")
        link = Link(recording_id=recording.id, format=wish.format, sample_rate=int(wish.sample_rate))
        return Answer(status=302, body=b"", headers={"Location": self._link(link, exchange)})

    def audio(self, exchange: Exchange) -> Answer:
        """Revision B's way to the audio: an MP3, with the documented header that makes a browser save it."""
        if self._is_a:
            raise no_such_route(exchange.path)
        answer = self._served(self._ready(exchange), exchange)
        name = f'attachment; filename="{exchange.id}.mp3"'
        return answer.with_headers({**answer.headers, "Content-Disposition": name})

    def fetch(self, exchange: Exchange) -> Answer:
        """The audio that a pre-signed link leads to; 400 with credentials, as storages refuse two ways to sign in."""
        if any(name in exchange.headers for name in _CREDENTIALS):
            message = (
                "A pre-signed link takes no credentials: this request leaks an API key or a cookie to another host."
            )
            raise Problem(400, "invalid_request_error", "credentials_leaked", message)
        link = self._links.get(exchange.path.rpartition("/")[2], exchange.now)
        if link is None:
            raise Problem(403, "authorization_error", "link_expired", "This link has expired.")
        return self._served(self._finished(link.recording_id), exchange, link.format, link.sample_rate)

    def linked(self, token: str) -> str:
        """The recording that a link is, or was, for; empty if there is none."""
        link = self._links.peek(token)
        return "" if link is None else link.recording_id

    def _link(self, link: Link, exchange: Exchange) -> str:
        # No seed: a link that can be foretold would hide a client that makes its own.
        token = secrets.token_urlsafe(24)
        self._links.put(token, link, exchange.now)
        return f"{exchange.origin}/storage/{token}"

    def _of(self, session: Session) -> list[Recording]:
        # Before the call is over there is nothing, not even an id that anybody could know.
        if (ended_at := session.ended_at) is None:
            return []
        return [
            Recording(
                id=id,
                session_id=session.id,
                channel=CHANNELS[number % len(CHANNELS)],
                duration=session.duration(ended_at),
                ready_at=ended_at + self._making,
            )
            for number, id in enumerate(session.recordings)
        ]

    def _finished(self, id: str) -> Recording:
        session = self._sessions.owner(id)
        for recording in [] if session is None else self._of(session):
            if recording.id == id:
                return recording
        raise not_found("recording", id)

    def _ready(self, exchange: Exchange) -> Recording:
        recording = self._finished(exchange.id)
        if exchange.now < recording.ready_at:
            raise not_found("recording", exchange.id)
        return recording

    def _item(self, recording: Recording, now: float) -> dict[str, Any]:
        """What a list shows: more in A than in B."""
        item = {
            "id": recording.id,
            "object": "recording",
            "session_id": recording.session_id,
            "duration": recording.duration,
            "format": "mp3",
            "status": "ready" if now >= recording.ready_at else "processing",
            "created_at": self._clock.iso(recording.ready_at),
        }
        return item | self._details(recording) if self._is_a else item

    def _details(self, recording: Recording) -> dict[str, Any]:
        return {
            "channel": recording.channel,
            "size": len(self._bytes(recording)),
            "expires_at": self._clock.iso(recording.ready_at + _KEPT),
        }

    def _bytes(self, recording: Recording, format: str = "mp3", sample_rate: int = SAMPLE_RATE) -> bytes:
        return audio(format, self._seed, recording.id, recording.duration, sample_rate)

    def _served(
        self, recording: Recording, exchange: Exchange, format: str = "mp3", sample_rate: int = SAMPLE_RATE
    ) -> Answer:
        modified = formatdate(self._clock.moment(recording.ready_at).timestamp(), usegmt=True)
        body = self._bytes(recording, format, sample_rate)
        return part(body, exchange.headers, media_type=MEDIA_TYPES[format], modified=modified)


def _place(found: list[Recording], param: str, cursor: str, exchange: Exchange) -> int:
    for place, recording in enumerate(found):
        if recording.id == cursor:
            return place
    raise invalid_field(param, f"The '{param}' parameter names no recording of this list.", exchange.revision)


def part(body: bytes, headers: Mapping[str, str], *, media_type: str, modified: str) -> Answer:
    """The answer to a GET of `body`: all of it, or the part that `Range` asks for if `If-Range` still holds."""
    tag = f'"{blake2b(body, digest_size=8).hexdigest()}"'
    about = {"Accept-Ranges": "bytes", "ETag": tag, "Last-Modified": modified}
    match = _RANGE.fullmatch(headers.get("Range", ""))
    # What cannot be understood, or is for another version, is answered in whole (RFC 9110, 14.2 and 13.1.5).
    if match is None or headers.get("If-Range", tag) not in (tag, modified):
        return Answer(status=200, body=body, content_type=media_type, headers=about)
    first, last = int(match[1]), min(int(match[2] or len(body)), len(body) - 1)
    if first > last:
        return json_answer(
            416, {"error": {"message": "There is no such part."}}, headers={"Content-Range": f"bytes */{len(body)}"}
        )
    about["Content-Range"] = f"bytes {first}-{last}/{len(body)}"
    return Answer(status=206, body=body[first : last + 1], content_type=media_type, headers=about)
