"""Operations on sessions and their transcripts, and how each revision finds its place in the one value."""

from __future__ import annotations

import re
from typing import Literal

import msgspec

from kallglot_async._checks import check_session_id, check_text, shown
from kallglot_async._core.api.lenient_json import MalformedBodyError, Reader, WrongShapeError
from kallglot_async._core.api.operation import Operation, checked, with_query
from kallglot_async.errors import ConfigurationError
from kallglot_async.models import (
    EndReason,
    Languages,
    Provider,
    Segment,
    Session,
    SessionMode,
    SessionRecording,
    SessionStatus,
    SessionTranscript,
    Stream,
    Transcript,
    TranscriptStatus,
    Turn,
)
from kallglot_async.models._base import JSONValue, Timestamp
from kallglot_async.models.meta import read_extra

__all__ = [
    "TEXT_FORMATS", "decode_session", "decode_text", "decode_transcript", "end_session", "retrieve_session",
    "retrieve_transcript", "retrieve_transcript_text",
]  # fmt: skip

TEXT_FORMATS = ("text", "srt", "vtt")

# Those that texts of Europe came in. Not any name that Python knows: some codecs are none of texts, or slow on purpose.
_CHARSET = re.compile(r";\s*charset\s*=\s*\"?(iso-8859-\d{1,2}|windows-125\d|utf-16(?:le|be)?)\b", re.IGNORECASE)


def retrieve_session(id: str) -> Operation[Session]:
    """Return the GET of one session.

    Raises:
        InvalidIdError: It is not an id of a session.
    """
    return Operation(
        name="sessions.retrieve",
        method="GET",
        path=f"sessions/{check_session_id(id)}",
        group="sessions.read",
        decode=checked(decode_session, lambda session: session.id == id),
    )


def end_session(id: str, *, idempotency_key: str, reason: str | None = None) -> Operation[Session]:
    """Return the POST that ends a session. Only revision A knows a reason; without one there is no body.

    Raises:
        ConfigurationError: The reason or the key cannot be sent.
        InvalidIdError: It is not an id of a session.
    """
    id, idempotency_key = check_session_id(id), check_text("idempotency_key", idempotency_key)
    if reason is not None and not (isinstance(reason, str) and reason.isprintable() and reason.strip()):
        raise ConfigurationError(f"reason is a text such as 'completed', not {shown(reason, 40)}")
    return Operation(
        name="sessions.end",
        method="POST",
        path=f"sessions/{id}/end",
        group="sessions.write",
        decode=checked(decode_session, lambda session: session.id == id),
        body=None if reason is None else msgspec.json.encode({"reason": str.__str__(reason)}),
        idempotency_key=idempotency_key,
    )


def retrieve_transcript(id: str, *, include_translations: bool | None = None) -> Operation[Transcript]:
    """Return the GET of a session's transcript as JSON.

    Raises:
        InvalidIdError: It is not an id of a session.
    """
    query = {} if include_translations is None else {"include_translations": _truth(include_translations)}
    return Operation(
        name="sessions.transcript",
        method="GET",
        path=with_query(f"sessions/{check_session_id(id)}/transcript", query),
        group="sessions.read",  # assumed: the documentation does not say which group a transcript belongs to
        decode=checked(decode_transcript, lambda transcript: transcript.session_id == id),
    )


def retrieve_transcript_text(
    id: str, *, format: str = "text", include_translations: bool | None = None
) -> Operation[str]:
    """Return the GET of a session's transcript as plain text or subtitles (revision A).

    Raises:
        ConfigurationError: There is no such format.
        InvalidIdError: It is not an id of a session.
    """
    id = check_session_id(id)
    if format not in TEXT_FORMATS:
        raise ConfigurationError(f"format is one of {', '.join(TEXT_FORMATS)}, not {shown(format, 40)}")
    query = {"format": str.__str__(format)}
    if include_translations is not None:
        query["include_translations"] = _truth(include_translations)
    return Operation(
        name="sessions.transcript_text",
        method="GET",
        path=with_query(f"sessions/{id}/transcript", query),
        group="sessions.read",
        read=lambda answer: decode_text(answer.body, format, answer.headers.get("Content-Type", "")),
    )


def _truth(value: bool) -> str:
    if not isinstance(value, bool):
        raise ConfigurationError(f"include_translations is True or False, not {shown(value, 40)}")
    return "true" if value else "false"


class _Provider(msgspec.Struct, frozen=True):
    """Revision A's provider, which holds the number too."""

    type: str | None = None
    phone_number: str | None = None
    status: str | None = None
    call_sid: str | None = None


class _Session(msgspec.Struct, frozen=True):
    """A session of either revision: B's provider is a text, and its answer to `end` says `duration_seconds`."""

    id: str
    object: Literal["session"]
    status: SessionStatus
    mode: SessionMode | None = None
    source_language: str | None = None
    target_language: str | None = None
    stream: Stream | None = None
    provider: str | _Provider | None = None
    phone_number: str | None = None
    duration: float | None = None
    duration_seconds: float | None = None
    recording: SessionRecording | None = None
    transcript: SessionTranscript | None = None
    metadata: JSONValue = None
    created_at: Timestamp | None = None
    started_at: Timestamp | None = None
    ended_at: Timestamp | None = None
    end_reason: EndReason | None = None


class _Measures(msgspec.Struct, frozen=True):
    """What revision B counts of a transcript."""

    total_turns: float | None = None
    duration_seconds: float | None = None
    languages_detected: tuple[str, ...] = ()


class _Transcript(msgspec.Struct, frozen=True):
    """A transcript of either revision."""

    session_id: str
    object: Literal["transcript"]
    status: TranscriptStatus
    id: str | None = None
    language: Languages | None = None
    segments: tuple[Segment, ...] = ()
    turns: tuple[Turn, ...] = ()
    duration: float | None = None
    word_count: float | None = None
    metadata: _Measures | None = None


_NO_MEASURES = _Measures()


def _lift_session(sent: _Session) -> Session:
    provider = Provider(type=sent.provider) if isinstance(sent.provider, str) else None
    phone_number = sent.phone_number
    if isinstance(sent.provider, _Provider):
        provider = Provider(type=sent.provider.type, status=sent.provider.status, call_sid=sent.provider.call_sid)
        # A has the number at the provider, B at the session.
        phone_number = phone_number or sent.provider.phone_number
    return Session(
        id=sent.id,
        object=sent.object,
        status=sent.status,
        mode=sent.mode,
        source_language=sent.source_language,
        target_language=sent.target_language,
        stream=sent.stream,
        provider=provider,
        phone_number=phone_number,
        duration=sent.duration if sent.duration is not None else sent.duration_seconds,
        recording=sent.recording,
        transcript=sent.transcript,
        metadata=sent.metadata,
        created_at=sent.created_at,
        started_at=sent.started_at,
        ended_at=sent.ended_at,
        end_reason=sent.end_reason,
    )


def _lift_transcript(sent: _Transcript) -> Transcript:
    measures = sent.metadata or _NO_MEASURES
    return Transcript(
        session_id=sent.session_id,
        object=sent.object,
        status=sent.status,
        id=sent.id,
        language=sent.language,
        languages_detected=measures.languages_detected,
        segments=sent.segments,
        turns=sent.turns,
        duration=sent.duration if sent.duration is not None else measures.duration_seconds,
        word_count=sent.word_count,
        total_turns=measures.total_turns,
    )


_session_reader = Reader(_Session, _lift_session)
_transcript_reader = Reader(_Transcript, _lift_transcript)
read_extra(Session, lambda _, body: _session_reader.unknown(body))
read_extra(Transcript, lambda _, body: _transcript_reader.unknown(body))
# It may be B's short summary of an ended one, so only what every session has is required.
decode_session = _session_reader.read
decode_transcript = _transcript_reader.read


def decode_text(body: bytes, format: str, media_type: str = "") -> str:
    """Return a transcript that came as text: UTF-8, or, where it cannot be that, what its media type says.

    In this order, as servers say of whatever they send that it is Latin-1, and nothing else looks like UTF-8 by chance
    but UTF-16 of plain English, which has a zero byte in each letter.

    Raises:
        MalformedBodyError: It is in no encoding that it names, or a page of HTML, or no WebVTT although that was asked
            for.
        WrongShapeError: It is JSON: this server does not know the parameter `format`.
    """
    text, named = _decoded(body, "utf-8-sig"), _CHARSET.search(media_type)
    if named is not None and (text is None or "\0" in text):
        text = _decoded(body, named[1])
    # Outside the handler: the error of a decoder holds the whole body.
    if text is None:
        raise MalformedBodyError("the body is not valid UTF-8")
    # Where a page or JSON begins is enough: a transcript of hours is not searched for it.
    start = text.lstrip()[:200].lower()
    if start.startswith(("<!doctype", "<html")):
        raise MalformedBodyError("the body is a page of HTML")
    # Tried, and not taken for it by its beginning: "{laughs}" is a word of a transcript.
    if start.startswith("{") and _is_json(text):
        raise WrongShapeError(f"Expected `{format}`, got a JSON object: this session's transcript comes as JSON only")
    # Every WebVTT file begins so (W3C WebVTT, section 4.1); nothing as firm is known of the other two.
    if format == "vtt" and not start.startswith("webvtt"):
        raise MalformedBodyError("the body is not WebVTT")
    return text


def _decoded(body: bytes, encoding: str) -> str | None:
    try:
        # Without the mark, which `utf-16le` takes for a letter.
        return body.decode(encoding).removeprefix("\ufeff")
    # The second is for a number that no encoding has.
    except (UnicodeDecodeError, LookupError):
        return None


def _is_json(text: str) -> bool:
    try:
        msgspec.json.decode(text, type=msgspec.Raw)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return False
    return True
