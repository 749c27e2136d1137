"""The checks of arguments that more than one module needs, and what a message may show of what cannot be used.

Of an id the prefix decides the kind, and the alphabet keeps it inside one path segment. No length or alphabet is
documented. The allow-list holds everything the samples show, and nothing that could end or leave a path segment: a
slash, a dot, a query or a control character. Ids of analyses say the revision too, and are checked in
`_core.api.analyses`.
"""

from __future__ import annotations

import errno
import functools
import inspect
import io
import math
import re
from collections.abc import Callable, Iterable, Set
from typing import Any, cast

from kallglot_async.errors import ConfigurationError, InvalidIdError

__all__ = [
    "check_callback", "check_count", "check_method", "check_plain_callback", "check_recording_id", "check_seconds",
    "check_session_id", "check_text", "check_texts", "check_timeout", "is_finite", "is_text", "refusal_of", "rest_of",
    "shown",
]  # fmt: skip

_KEY = re.compile(r"(?<![A-Za-z])sk_(?:live|test)_")  # and no "task_test_1", which is somebody's id
_SAFE = re.compile(r"[A-Za-z0-9_-]{1,128}", re.ASCII)

# Characters. Servers take 4 to 8 kB of headers in all; the name of a batch is in the key of each of its sessions.
_LONGEST = {"idempotency_key": 4_000, "batch": 2_000}


def is_finite(value: float) -> bool:
    """Return whether it is a number that a float can hold; an `int` can be too large for that."""
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def shown(value: object, longest: int = 80) -> str:
    """Return the beginning of a value's `repr`; its type where that cannot be had."""
    try:
        return repr(value)[:longest]
    except Exception:
        # An int of more than 4,300 digits has none, and a caller's own class may raise anything.
        return f"<{type(value).__name__}>"


def check_seconds(name: str, value: float, *, zero: bool = False) -> float:
    """Return `value` as seconds above 0 (or from 0, with `zero`).

    Raises:
        ConfigurationError: It is not a finite number in range.
    """
    # True is a number to Python, and `timeout=True` is a mistake to everybody else.
    if isinstance(value, bool) or not isinstance(value, int | float) or not is_finite(value):
        raise ConfigurationError(f"{name} is a finite number of seconds, not {shown(value)}")
    if value < 0 or (value == 0 and not zero):
        raise ConfigurationError(f"{name} is {'at least' if zero else 'above'} 0 seconds, not {shown(value)}")
    return float(value)


def check_timeout(name: str, value: float | None, *, zero: bool = False) -> float | None:
    """Return `value` as seconds, as `check_seconds` does; None, which stands for "for ever", as it is.

    Raises:
        ConfigurationError: It is neither.
    """
    return None if value is None else check_seconds(name, value, zero=zero)


def check_count(name: str, value: int, *, most: float = math.inf) -> int:
    """Return `value` as a whole number from 1 up to `most`.

    Raises:
        ConfigurationError: It is not.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        highest = "up" if math.isinf(most) else f"to {most:g}"
        raise ConfigurationError(f"{name} is a whole number from 1 {highest}, not {shown(value)}")
    return value


def check_callback(name: str, value: object) -> None:
    """Raise where a callback that was given is no function, or one whose body would never run.

    Raises:
        ConfigurationError: It cannot be called, or it is a generator function.
    """
    if value is None:
        return
    if not callable(value):
        raise ConfigurationError(f"{name} is a function, not {type(value).__name__}")
    if _is_any(value, inspect.isgeneratorfunction, inspect.isasyncgenfunction):
        raise ConfigurationError(f"{name} is a function that yields, which would never run: put no yield into it")


def check_plain_callback(name: str, value: object) -> None:
    """Raise where a callback that nobody awaits is no function, or one whose body would never run.

    Raises:
        ConfigurationError: It cannot be called, or it is a coroutine or generator function.
    """
    check_callback(name, value)
    if _is_any(value, inspect.iscoroutinefunction):
        raise ConfigurationError(
            f"{name} is a plain function, not a coroutine function: nobody awaits it; let it put what it is told "
            "into a queue, or start a task"
        )


def check_method(what: str, file: object, name: str) -> Callable[..., Any]:
    """Return a method of a file object that nobody awaits.

    Args:
        what: What it is for, as in "CSV goes to".
        file: The caller's.
        name: The method.

    Raises:
        ConfigurationError: It has none, or one whose result would have to be awaited.
    """
    method = getattr(file, name, None)
    if not callable(method):
        raise ConfigurationError(f"{what} a path or a file object, not {type(file).__name__}")
    if _is_any(method, inspect.iscoroutinefunction):
        raise ConfigurationError(
            f"{what} a file object that nobody awaits, not {type(file).__name__}: give one of Python's own, or a path"
        )
    return cast("Callable[..., Any]", method)


def is_text(file: object) -> bool:
    """Return whether a file object takes texts. Wrappers, as those of `tempfile` and `codecs`, are no class of `io`."""
    return isinstance(file, io.TextIOBase) or isinstance(getattr(file, "encoding", None), str)


def rest_of(data: bytes, written: object, file: object) -> bytes:
    """Return what a file object has left over of what it was given.

    Args:
        data: What it was given.
        written: What its `write` has returned.
        file: The file object.

    Raises:
        BlockingIOError: It takes nothing now.
    """
    if written is None and isinstance(file, io.RawIOBase):
        written = 0  # it would block
    # A raw file may take less than it is given. Who returns no number, as many wrappers do, has taken all.
    if not isinstance(written, int) or isinstance(written, bool) or not 0 <= written < len(data):
        return b""
    if written == 0:
        raise BlockingIOError(errno.EAGAIN, "the file object takes nothing now: pass one that blocks")
    return data[written:]


def _is_any(value: object, *kinds: Callable[[object], bool]) -> bool:
    """Return whether a function, what a `partial` calls, or an object's `__call__` is of one of the kinds."""
    while isinstance(value, functools.partial):
        value = value.func
    return any(kind(value) or kind(getattr(value, "__call__", None)) for kind in kinds)  # noqa: B004


def check_texts(name: str, values: Iterable[str]) -> list[str]:
    """Return texts, one at least, each of which `check_text` accepts.

    Raises:
        ConfigurationError: It is a single text, nothing to go through, empty, or one of them cannot be used.
    """
    # A text is a sequence of texts, too: "summary" would ask for seven components of one letter.
    if isinstance(values, str | bytes):
        raise ConfigurationError(f"{name} is a list of names, not one text: write {name}=[{shown(values)}]")
    # Its order differs from process to process, and with it the body that an idempotency key stands for.
    if isinstance(values, Set):
        values = sorted(values, key=str)
    try:
        texts = [check_text(name, value) for value in values]
    except TypeError:
        raise ConfigurationError(f"{name} is a list of names, not {type(values).__name__}") from None
    if not texts:
        raise ConfigurationError(f"{name} is empty: name at least one component")
    return texts


def check_text(name: str, value: object) -> str:
    """Return a text that is not empty and can be sent; a key also has to fit into a header.

    Raises:
        ConfigurationError: It is not.
    """
    if not isinstance(value, str) or not value.strip():
        raise ConfigurationError(f"{name} is a text that is not empty, not {type(value).__name__} {shown(value, 40)}")
    if len(value) > (most := _LONGEST.get(name, len(value))):
        raise ConfigurationError(f"{name} is {len(value):,} characters long: give one of {most:,} at most")
    # Anything else is either refused by the transport or changed on its way, and then it is another key.
    if name == "idempotency_key" and not (value.isascii() and value.isprintable()):
        raise ConfigurationError("idempotency_key is visible ASCII, which a header can carry: use a UUID")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ConfigurationError(
            f"{name} holds half a character (a lone surrogate): decode its source as UTF-8"
        ) from None
    return str.__str__(value)  # plain: a member of an enumeration, or numpy's, is written as something else


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
    match = _SAFE.fullmatch(value) if isinstance(value, str) and value.startswith(prefix) else None
    if match is None or match[0] == prefix:
        raise refusal_of(value, kind, f"those start with {prefix}")
    return match[0]


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
        if _SAFE.fullmatch(value.strip()):
            remedy = "strip the blanks and line ends around it, as the lines of a file have them"
    elif value in remedy.split():
        remedy += ", and go on after that"
    # Errors are logged: two arguments that changed places, or a file of settings, must not bring the key there.
    if _KEY.search(value):
        return InvalidIdError(f"an API key is not {kind}: {remedy}", id="<API key>")
    return InvalidIdError(f"{ascii(value)[:80]} is not {kind}: {remedy}", id=str.__str__(value))
