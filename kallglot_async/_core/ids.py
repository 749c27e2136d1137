"""Ids: the prefix decides the kind and the revision, the alphabet keeps them inside one path segment.

No length or alphabet is documented. The allow-list holds everything the samples show, and nothing that
could end or leave a path segment: a slash, a dot, a query or a control character.
"""

from __future__ import annotations

import re
from enum import Enum

from kallglot_async.errors import InvalidIdError

__all__ = ["Revision", "check_analysis_id", "check_session_id"]

_SAFE = re.compile(r"[A-Za-z0-9_-]{1,128}", re.ASCII)
_ANALYSIS = re.compile(r"(ana_|anl_)[A-Za-z0-9_-]{1,124}", re.ASCII)


class Revision(Enum):
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
    raise InvalidIdError(f"{_shown(value)} is not an analysis id: those start with ana_ or anl_", id=_shown(value))


def check_session_id(value: object) -> str:
    """Return the id of a session.

    Raises:
        InvalidIdError: It is not an id of a session.
    """
    text = _check_alphabet(value, "a session id")
    if not text.startswith("sess_") or len(text) == len("sess_"):
        raise InvalidIdError(f"{_shown(value)} is not a session id: those start with sess_", id=_shown(value))
    return text


def _check_alphabet(value: object, kind: str) -> str:
    if not isinstance(value, str):
        raise InvalidIdError(f"{kind} is a str, not {type(value).__name__}", id=_shown(value))
    if not _SAFE.fullmatch(value):
        raise InvalidIdError(
            f"{_shown(value)} is not {kind}: expected 1 to 128 of the characters A-Z a-z 0-9 _ -",
            id=_shown(value),
        )
    return value


def _shown(value: object) -> str:
    """Return a short, printable form; foreign objects show their type only."""
    return ascii(value)[:80] if isinstance(value, str | int | float | None) else type(value).__name__
