"""Ids: the prefix decides the kind and the revision, the alphabet keeps them inside one path segment.

No length or alphabet is documented. The allow-list holds everything the samples show, and nothing that
could end or leave a path segment: a slash, a dot, a query or a control character.
"""

from __future__ import annotations

import re
from enum import StrEnum

from kallglot_async.errors import InvalidIdError

__all__ = ["Revision", "check_analysis_id", "check_recording_id", "check_session_id", "revision_of"]

_SAFE = re.compile(r"[A-Za-z0-9_-]{1,128}", re.ASCII)
_ANALYSIS = re.compile(r"(ana_|anl_)[A-Za-z0-9_-]{1,124}", re.ASCII)


class Revision(StrEnum):
    """A revision of the `/v1` contract, by the prefix of its analysis ids."""

    A = "ana_"
    B = "anl_"


_REVISIONS = {revision.value: revision for revision in Revision}


def check_analysis_id(value: object) -> Revision:
    """Return the revision an analysis id belongs to.

    Raises:
        InvalidIdError: It is not an id of an analysis.
    """
    match = _ANALYSIS.fullmatch(value) if isinstance(value, str) else None
    if match is not None:
        return _REVISIONS[match[1]]
    _check_alphabet(value, "an analysis id")
    raise _refusal(value, "an analysis id", "those start with ana_ or anl_")


def revision_of(id: str) -> Revision:
    """Return the revision of an id that `check_analysis_id` has let pass before."""
    return _REVISIONS[id[:4]]


def check_session_id(value: object) -> str:
    """Return the id of a session.

    Raises:
        InvalidIdError: It is not an id of a session.
    """
    return _check_prefixed(value, "sess_", "a session id")


def check_recording_id(value: object) -> str:
    """Return the id of a recording.

    Raises:
        InvalidIdError: It is not an id of a recording.
    """
    return _check_prefixed(value, "rec_", "a recording id")


def _check_prefixed(value: object, prefix: str, kind: str) -> str:
    text = _check_alphabet(value, kind)
    if not text.startswith(prefix) or len(text) == len(prefix):
        raise _refusal(value, kind, f"those start with {prefix}")
    return text


def _check_alphabet(value: object, kind: str) -> str:
    if not isinstance(value, str):
        raise _refusal(value, kind, "an id is a str")
    if not _SAFE.fullmatch(value):
        raise _refusal(value, kind, "expected 1 to 128 of the characters A-Z a-z 0-9 _ -")
    return value


def _refusal(value: object, kind: str, remedy: str) -> InvalidIdError:
    """Return the error, which goes by the text that was given; something else goes by its type."""
    if not isinstance(value, str):
        name = type(value).__name__
        return InvalidIdError(f"something of type {name} is not {kind}: {remedy}", id=f"<{name}>")
    # Errors are logged: two arguments that changed places must not bring the key there.
    if value.startswith(("sk_live_", "sk_test_")):
        return InvalidIdError(f"an API key is not {kind}: {remedy}", id="<API key>")
    return InvalidIdError(f"{ascii(value)[:80]} is not {kind}: {remedy}", id=value)
