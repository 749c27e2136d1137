"""Operations on what lies beside an analysis: its session, the transcript and the recordings."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar
from urllib.parse import urlencode

import msgspec

from kallglot_async import errors
from kallglot_async._checks import shown
from kallglot_async._core.ids import check_recording_id, check_session_id
from kallglot_async._core.messages import Operation
from kallglot_async._core.neighbour_shapes import (
    decode_recording,
    decode_recording_page,
    decode_session,
    decode_text,
    decode_transcript,
)
from kallglot_async.errors import ConfigurationError
from kallglot_async.models import Recording, RecordingPage, Session, Transcript

__all__ = [
    "TEXT_FORMATS",
    "end_session",
    "list_recordings",
    "retrieve_recording",
    "retrieve_session",
    "retrieve_transcript",
    "retrieve_transcript_text",
]

T = TypeVar("T")

TEXT_FORMATS = ("text", "srt", "vtt")
_LONGEST_PAGE = 100  # documented


def retrieve_session(id: str) -> Operation[Session]:
    """Return the GET of one session.

    Raises:
        InvalidIdError: It is not an id of a session.
    """
    name = "sessions.retrieve"
    return Operation(
        name=name,
        method="GET",
        path=f"sessions/{check_session_id(id)}",
        group="sessions.read",
        decode=_checked(name, decode_session, lambda session: session.id == id),
    )


def end_session(id: str, *, idempotency_key: str, reason: str | None = None) -> Operation[Session]:
    """Return the POST that ends a session. Only revision A knows a reason; without one there is no body.

    Raises:
        ConfigurationError: The reason or the key cannot be sent.
        InvalidIdError: It is not an id of a session.
    """
    name = "sessions.end"
    check_session_id(id)
    if not isinstance(idempotency_key, str) or not idempotency_key.strip():
        raise ConfigurationError("idempotency_key is a text that is not empty: use a UUID")
    if not (idempotency_key.isascii() and idempotency_key.isprintable()):
        raise ConfigurationError("idempotency_key is visible ASCII, which a header can carry: use a UUID")
    if reason is not None and not (isinstance(reason, str) and reason.isprintable() and reason.strip()):
        raise ConfigurationError(f"reason is a text such as 'completed', not {shown(reason, 40)}")
    return Operation(
        name=name,
        method="POST",
        path=f"sessions/{id}/end",
        group="sessions.write",
        decode=_checked(name, decode_session, lambda session: session.id == id),
        body=None if reason is None else msgspec.json.encode({"reason": str(reason)}),
        idempotency_key=idempotency_key,
    )


def retrieve_transcript(id: str, *, include_translations: bool | None = None) -> Operation[Transcript]:
    """Return the GET of a session's transcript as JSON.

    Raises:
        InvalidIdError: It is not an id of a session.
    """
    name = "sessions.transcript"
    query = {} if include_translations is None else {"include_translations": _truth(include_translations)}
    return Operation(
        name=name,
        method="GET",
        path=_path(f"sessions/{check_session_id(id)}/transcript", query),
        group="sessions.read",  # assumed: the documentation does not say which group a transcript belongs to
        decode=_checked(name, decode_transcript, lambda transcript: transcript.session_id == id),
    )


def retrieve_transcript_text(
    id: str, *, format: str = "text", include_translations: bool | None = None
) -> Operation[str]:
    """Return the GET of a session's transcript as plain text or subtitles (revision A).

    Raises:
        ConfigurationError: There is no such format.
        InvalidIdError: It is not an id of a session.
    """
    check_session_id(id)
    if format not in TEXT_FORMATS:
        raise ConfigurationError(f"format is one of {', '.join(TEXT_FORMATS)}, not {shown(format, 40)}")
    query = {"format": format}
    if include_translations is not None:
        query["include_translations"] = _truth(include_translations)
    return Operation(
        name="sessions.transcript_text",
        method="GET",
        path=_path(f"sessions/{id}/transcript", query),
        group="sessions.read",
        decode=lambda body: decode_text(body, format),
    )


def list_recordings(
    session_id: str,
    *,
    channel: str | None = None,
    limit: int | None = None,
    starting_after: str | None = None,
    ending_before: str | None = None,
) -> Operation[RecordingPage]:
    """Return the GET of one page of a session's recordings.

    Raises:
        ConfigurationError: A parameter is out of range, or both cursors are given.
        InvalidIdError: The session or a cursor is not an id of its kind.
    """
    check_session_id(session_id)
    if starting_after is not None and ending_before is not None:
        raise ConfigurationError("starting_after and ending_before are two directions: give one of them")
    query: dict[str, str] = {}
    if channel is not None:
        if not isinstance(channel, str) or not channel.isalnum():
            raise ConfigurationError(f"channel is agent, customer or mixed, not {shown(channel, 40)}")
        query["channel"] = str(channel)
    if limit is not None:
        if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= _LONGEST_PAGE:
            raise ConfigurationError(f"limit is a whole number from 1 to {_LONGEST_PAGE}, not {shown(limit, 40)}")
        query["limit"] = str(limit)
    for name, cursor in (("starting_after", starting_after), ("ending_before", ending_before)):
        if cursor is not None:
            query[name] = check_recording_id(cursor)
    name = "sessions.recordings"
    return Operation(
        name=name,
        method="GET",
        path=_path(f"sessions/{session_id}/recordings", query),
        group="recordings",  # assumed, as its answer holds recordings
        decode=_checked(name, decode_recording_page, lambda page: _is_of(page, session_id)),
    )


def retrieve_recording(id: str) -> Operation[Recording]:
    """Return the GET of one recording.

    Raises:
        InvalidIdError: It is not an id of a recording.
    """
    name = "recordings.retrieve"
    return Operation(
        name=name,
        method="GET",
        path=f"recordings/{check_recording_id(id)}",
        group="recordings",
        decode=_checked(name, decode_recording, lambda recording: recording.id == id),
    )


def _checked(name: str, decode: Callable[[bytes], T], is_the_one: Callable[[T], bool]) -> Callable[[bytes], T]:
    """Return the decoder, which refuses what was not asked for: a late answer may come on another's connection."""

    def decode_checked(body: bytes) -> T:
        value = decode(body)
        if not is_the_one(value):
            raise errors.ResponseMismatchError(
                f"{name} was answered with something else than what was asked for", operation=name, status=200
            )
        return value

    return decode_checked


def _is_of(page: RecordingPage, session_id: str) -> bool:
    named = {page.session_id, *(recording.session_id for recording in page.data)}
    return named <= {None, session_id}


def _truth(value: bool) -> str:
    if not isinstance(value, bool):
        raise ConfigurationError(f"include_translations is True or False, not {shown(value, 40)}")
    return "true" if value else "false"


def _path(path: str, query: dict[str, str]) -> str:
    return f"{path}?{urlencode(query)}" if query else path
