"""Recordings: lists in pages, single ones, pre-signed links, and audio in whole or in part.

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
from kallglot_async.emulator.calls.sessions import Session
from kallglot_async.emulator.clock import Clock
from kallglot_async.emulator.envelopes import Answer, Problem, invalid_field, json_answer
from kallglot_async.emulator.request import read_form
from kallglot_async.emulator.routes import Revision
from kallglot_async.emulator.settings import Settings

CHANNELS = ("mixed", "agent", "customer")
"""The channel of a session's recordings, in this order and over again."""

LINK_LIFE = 3600.0
"""Seconds for which a pre-signed link works (documented)."""

_MAKING = 2.0  # seconds
_KEPT = 31 * 24 * 3600.0  # seconds; 31 days in every sample

_RANGE = re.compile(r"bytes=(\d{1,15})-(\d{0,15})", re.ASCII)


class _PageQuery(msgspec.Struct):
    channel: Literal["mixed", "agent", "customer"] | None = None  # in revision A
    limit: Annotated[str, msgspec.Meta(pattern="^([1-9][0-9]?|100)$")] = "20"
    starting_after: str | None = None
    ending_before: str | None = None


class _DownloadQuery(msgspec.Struct):
    format: Literal["mp3", "wav", "ogg"] = "mp3"
    sample_rate: Literal["8000", "16000", "22050", "44100", "48000"] = "8000"


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """A pre-signed link."""

    recording_id: str
    format: str
    sample_rate: int
    expires_at: float


class Links:
    """Pre-signed links by their token, which nobody can guess: the one thing here that no seed decides."""

    __slots__ = ("_life", "_links")

    def __init__(self, life: float) -> None:
        self._life = life
        self._links: dict[str, Link] = {}

    def make(self, recording_id: str, now: float, *, format: str = "mp3", sample_rate: int = SAMPLE_RATE) -> str:
        """A new link; returns its token."""
        self._forget(now)
        # No seed: a link that can be foretold would hide a client that makes its own.
        token = secrets.token_urlsafe(24)
        self._links[token] = Link(
            recording_id=recording_id, format=format, sample_rate=sample_rate, expires_at=now + self._life
        )
        return token

    def find(self, token: str, now: float) -> Link | None:
        """The link of a token, if it works."""
        link = self._links.get(token)
        return link if link is not None and now < link.expires_at else None

    def recording_of(self, token: str) -> str:
        """The recording that a token is for; empty if there is none."""
        link = self._links.get(token)
        return "" if link is None else link.recording_id

    def _forget(self, now: float) -> None:
        # All live equally long, so the old ones are in front.
        while self._links:
            oldest = next(iter(self._links))
            if self._links[oldest].expires_at > now:
                return
            del self._links[oldest]


class Recordings:
    """The recordings of sessions; `speed` divides the life of links and the time until a recording is ready."""

    __slots__ = ("_clock", "_making", "_revision", "_seed", "links")

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._seed = settings.seed
        self._clock = clock
        self._revision: Revision = settings.revision
        self._making = _MAKING / settings.speed
        self.links = Links(LINK_LIFE / settings.speed)

    def page(self, session: Session, query: Mapping[str, str], path: str) -> dict[str, Any]:
        """One page of a session's recordings.

        Raises:
            Problem: 422 for a parameter with an impossible value.
        """
        if self._revision == "b":
            query = {name: value for name, value in query.items() if name != "channel"}  # documented in A only
        wish = read_form(_PageQuery, query, self._revision)
        limit = int(wish.limit)
        ids = list(session.recordings) if session.ended_at is not None else []
        if wish.channel is not None:
            ids = [id for id in ids if self._channel(session, id) == wish.channel]
        if wish.ending_before is not None:
            ids = ids[: self._place(ids, wish.ending_before, "ending_before")]
            page, has_more = ids[-limit:], len(ids) > limit
        else:
            if wish.starting_after is not None:
                ids = ids[self._place(ids, wish.starting_after, "starting_after") + 1 :]
            page, has_more = ids[:limit], len(ids) > limit
        body: dict[str, Any] = {"object": "list", "data": [self._item(session, id) for id in page]}
        if self._revision == "a":
            body["session_id"] = session.id
        if self._revision == "a" or has_more:  # the sample of B shows a short list, without these
            body |= {"has_more": has_more, "url": path}
        return body

    def one(self, session: Session, id: str, origin: str) -> dict[str, Any]:
        """A single recording, with a way to its audio once it is ready."""
        body = self._item(session, id) | {
            "channel": self._channel(session, id),
            "size": len(self.audio(session, id)),
            "sample_rate": SAMPLE_RATE,
            "bit_depth": 16,
            "expires_at": self._clock.iso(self._made_at(session) + _KEPT),
        }
        if self.is_ready(session):
            if self._revision == "a":
                body["download_url"] = f"{origin}/storage/{self.links.make(id, self._clock.now())}"
            else:
                body["download_url"] = f"/v1/recordings/{id}/audio"
        return body

    def redirect(self, id: str, origin: str, query: Mapping[str, str]) -> Answer:
        """Revision A's answer to a download: a link that works without a key.

        Raises:
            Problem: 422 for a format or a rate that cannot be had.
        """
        wish = read_form(_DownloadQuery, query, "a")
        if wish.format not in MEDIA_TYPES:
            raise invalid_field("format", "This emulator cannot encode ogg: ask for mp3 or wav.", "a")
        token = self.links.make(id, self._clock.now(), format=wish.format, sample_rate=int(wish.sample_rate))
        return Answer(status=302, body=b"", headers={"Location": f"{origin}/storage/{token}"})

    def is_ready(self, session: Session) -> bool:
        """Whether the recordings of a session can be downloaded."""
        return session.ended_at is not None and self._clock.now() >= self._made_at(session)

    def audio(self, session: Session, id: str, format: str = "mp3", sample_rate: int = SAMPLE_RATE) -> bytes:
        """The bytes of a recording."""
        return audio(format, self._seed, id, session.duration(self._clock.now()), sample_rate)

    def served(
        self, session: Session, id: str, headers: Mapping[str, str], format: str = "mp3", sample_rate: int = SAMPLE_RATE
    ) -> Answer:
        """The audio as an answer, in whole or the part that `headers` ask for."""
        modified = formatdate(self._clock.moment(self._made_at(session)).timestamp(), usegmt=True)
        return part(
            self.audio(session, id, format, sample_rate), headers, media_type=MEDIA_TYPES[format], modified=modified
        )

    def _made_at(self, session: Session) -> float:
        return (self._clock.now() if session.ended_at is None else session.ended_at) + self._making

    def _item(self, session: Session, id: str) -> dict[str, Any]:
        """What a list shows: more in A than in B."""
        item: dict[str, Any] = {
            "id": id,
            "object": "recording",
            "session_id": session.id,
            "duration": session.duration(self._clock.now()),
            "format": "mp3",
            "status": "ready" if self.is_ready(session) else "processing",
            "created_at": self._clock.iso(self._made_at(session)),
        }
        if self._revision == "a":
            item["channel"] = self._channel(session, id)
            item["size"] = len(self.audio(session, id))
            item["expires_at"] = self._clock.iso(self._made_at(session) + _KEPT)
        return item

    def _channel(self, session: Session, id: str) -> str:
        return CHANNELS[session.recordings.index(id) % len(CHANNELS)]

    def _place(self, ids: list[str], cursor: str, param: str) -> int:
        if cursor not in ids:
            raise invalid_field(param, f"The '{param}' parameter names no recording of this list.", self._revision)
        return ids.index(cursor)


def leaked_key() -> Problem:
    """400 for a request to a pre-signed link that carries credentials, as storages refuse two ways to sign in."""
    message = "A pre-signed link takes no credentials: this request leaks an API key or a cookie to another host."
    return Problem(400, "invalid_request_error", "credentials_leaked", message)


def expired_link() -> Problem:
    """403 for a link that has expired or never was one."""
    return Problem(403, "authorization_error", "link_expired", "This link has expired.")


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
