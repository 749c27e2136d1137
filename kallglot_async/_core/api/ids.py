"""Ids: the prefix decides the kind, the alphabet keeps them inside one path segment.

No length or alphabet is documented. The allow-list holds everything the samples show, and nothing that
could end or leave a path segment: a slash, a dot, a query or a control character. Those of analyses say the revision
too, and are checked in `analyses`.
"""

from __future__ import annotations

import re

from kallglot_async.errors import InvalidIdError

__all__ = ["check_recording_id", "check_session_id", "refusal_of"]

_SAFE = re.compile(r"[A-Za-z0-9_-]{1,128}", re.ASCII)


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
    if isinstance(value, str) and len(value) > len(prefix) and value.startswith(prefix) and _SAFE.fullmatch(value):
        return value
    raise refusal_of(value, kind, f"those start with {prefix}")


def refusal_of(value: object, kind: str, remedy: str) -> InvalidIdError:
    """Return the error for what is no id of a kind, which goes by the text that was given, or else by its type.

    Args:
        value: What was given.
        kind: What it is not, as in "a session id".
        remedy: What such ids look like, for a text that might be an id of another kind.
    """
    if not isinstance(value, str):
        name = type(value).__name__
        return InvalidIdError(f"something of type {name} is not {kind}: an id is a str", id=f"<{name}>")
    if not _SAFE.fullmatch(value):
        remedy = "expected 1 to 128 of the characters A-Z a-z 0-9 _ -"
    # Errors are logged: two arguments that changed places must not bring the key there.
    if value.startswith(("sk_live_", "sk_test_")):
        return InvalidIdError(f"an API key is not {kind}: {remedy}", id="<API key>")
    return InvalidIdError(f"{ascii(value)[:80]} is not {kind}: {remedy}", id=value)
