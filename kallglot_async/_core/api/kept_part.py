"""What a download leaves for the next one: the record beside a `.part` file, and when the two are stale.

The record names the version that the bytes are of. Whether the server still has that version, the server says: the
next request asks for the rest with `If-Range`. It holds no address, since a pre-signed link is a credential.
"""

from __future__ import annotations

import re

import msgspec

from kallglot_async import errors
from kallglot_async._core.api.answers import parse_date

__all__ = ["STRONG_TAG", "KeptPart", "encode_part", "is_worth_keeping", "usable_part"]

STRONG_TAG = re.compile(r'"[!#-~]{0,256}"', re.ASCII)

# After these the bytes are of no use: the audio is gone, may not be had, or another file has the name.
_HOPELESS = (errors.NotFoundError, errors.ResponseTooLargeError, FileExistsError)


class KeptPart(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of the bytes in a `.part` file.

    Attributes:
        recording: The id of the recording that they are of.
        format: The format that was asked for, or None.
        validator: A strong ETag or date of the version that they are of.
        total: Bytes of the whole, or None where the server did not say.
        content_type: The media type, as the server names it.
    """

    recording: str
    format: str | None = None
    validator: str
    total: int | None = None
    content_type: str | None = None


def encode_part(part: KeptPart) -> bytes:
    """Return the record as it is written."""
    return msgspec.json.encode(part)


def usable_part(record: bytes, size: int, *, recording: str, format: str | None) -> KeptPart | None:
    """Return what a record says if a download can go on behind its `size` bytes; None where they are stale."""
    try:
        part = msgspec.json.decode(record, type=KeptPart)
    except msgspec.DecodeError:  # also of one that was not written to its end
        return None
    if (part.recording, part.format) != (recording, format) or not _is_validator(part.validator):
        return None
    return part if 0 < size <= (size if part.total is None else part.total) else None


def is_worth_keeping(error: BaseException | None) -> bool:
    """Whether the same download may go on another time, after it ended like this."""
    return error is not None and not isinstance(error, _HOPELESS)


def _is_validator(text: str) -> bool:
    """Whether it may go into a header: a file can be written by anybody."""
    if STRONG_TAG.fullmatch(text):
        return True
    return text.isascii() and text.isprintable() and parse_date(text) is not None
