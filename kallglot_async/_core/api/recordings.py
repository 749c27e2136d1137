"""Operations on recordings, and how they travel."""

from __future__ import annotations

from kallglot_async._checks import check_count, check_recording_id, check_session_id, shown
from kallglot_async._core.api.lenient_json import Reader
from kallglot_async._core.api.operation import Operation, checked, with_query
from kallglot_async.errors import ConfigurationError
from kallglot_async.models import Recording, RecordingPage
from kallglot_async.models.meta import read_extra

__all__ = ["decode_recording", "decode_recording_page", "list_recordings", "retrieve_recording"]

_LONGEST_PAGE = 100  # documented

_recording_reader: Reader[Recording] = Reader(Recording)
_page_reader: Reader[RecordingPage] = Reader(RecordingPage)
decode_recording, decode_recording_page = _recording_reader.read, _page_reader.read
read_extra(Recording, lambda _, body: _recording_reader.unknown(body))
read_extra(RecordingPage, lambda _, body: _page_reader.unknown(body))


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
    session_id = check_session_id(session_id)
    if starting_after is not None and ending_before is not None:
        raise ConfigurationError("starting_after and ending_before are two directions: give one of them")
    query: dict[str, str] = {}
    if channel is not None:
        # No closed list: the API may know another one day. One word cannot leave its place in the query.
        if not isinstance(channel, str) or not channel.isalnum():
            raise ConfigurationError(f"channel is agent, customer or mixed, not {shown(channel, 40)}")
        query["channel"] = str.__str__(channel)
    if limit is not None:
        query["limit"] = str(check_count("limit", limit, most=_LONGEST_PAGE))
    for name, cursor in (("starting_after", starting_after), ("ending_before", ending_before)):
        if cursor is not None:
            query[name] = check_recording_id(cursor)
    return Operation(
        name="sessions.recordings",
        method="GET",
        path=with_query(f"sessions/{session_id}/recordings", query),
        group="recordings",  # assumed, as its answer holds recordings
        decode=checked(decode_recording_page, lambda page: _is_of(page, session_id)),
    )


def retrieve_recording(id: str) -> Operation[Recording]:
    """Return the GET of one recording.

    Raises:
        InvalidIdError: It is not an id of a recording.
    """
    return Operation(
        name="recordings.retrieve",
        method="GET",
        path=f"recordings/{check_recording_id(id)}",
        group="recordings",
        decode=checked(decode_recording, lambda recording: recording.id == id),
    )


def _is_of(page: RecordingPage, session_id: str) -> bool:
    # A names the session at the page, both may name it at a recording; a page that names none is believed.
    named = {page.session_id, *(recording.session_id for recording in page.data)}
    return named <= {None, session_id}
