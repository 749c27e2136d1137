"""How far one download is: what to ask for next, whether what comes continues what is there, and whether it is all.

Resuming after RFC 9110: a range is asked for only where the server offered it (`Accept-Ranges: bytes`, 14.3)
and gave a validator that is strong enough for `If-Range` (13.1.5): an ETag that is not weak, or a
`Last-Modified` at least a second before the answer's `Date` (8.8.2.2). A changed recording then comes whole. Which
bytes an answer has, `Content-Range` says: there are servers that send a part with 200, and a whole with 206.

Whole is what the answer announced, and no less than the recording is said to have: a connection that is closed early
looks like the end of a body without a length.

What a download leaves for the next one is the record beside a `.part` file, which names the version that the bytes are
of. Whether the server still has that version, the server says: the next request asks for the rest with `If-Range`. The
record holds no address, since a pre-signed link is a credential.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

import msgspec

from kallglot_async import errors
from kallglot_async._core.api.answers import parse_date
from kallglot_async.models import Recording

__all__ = ["DOWNLOAD", "KeptPart", "Transfer", "encode_part", "is_worth_keeping", "size_of", "usable_part"]

DOWNLOAD = "recordings.download"  # the operation's name, for errors and logs

_MOST_DIGITS = 15
_PART = re.compile(r"bytes +(\d{1,15})-(\d{1,15})/(\d{1,15}|\*)", re.ASCII | re.IGNORECASE)
_NO_PART = re.compile(r"bytes +\*/(\d{1,15})", re.ASCII | re.IGNORECASE)
# The second is how bodies are signed on their way into an S3, and says nothing of what comes out: some keep the word.
_PLAIN = frozenset({"identity", "aws-chunked"})
# Pages and errors of gateways and portals, also as `application/xhtml+xml`, `application/problem+json`.
_NO_AUDIO = ("html", "json", "xml")
_STRONG_TAG = re.compile(r'"[!#-~]{0,256}"', re.ASCII)

# After these the bytes are of no use: the audio is gone, may not be had, or another file has the name.
_HOPELESS = (errors.NotFoundError, errors.ResponseTooLargeError, FileExistsError)


def size_of(recording: Recording, format: str | None) -> int | None:
    """Return how many bytes the audio has by what is known of the recording; None for another format than its own."""
    size = recording.size
    if size is None or not 0 < size < math.inf or (format is not None and format != recording.format):
        return None
    return int(size)


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
    # Also of one that was not written to its end.
    except msgspec.DecodeError:
        return None
    if (part.recording, part.format) != (recording, format) or not _is_validator(part.validator):
        return None
    return part if 0 < size <= (size if part.total is None else part.total) else None


def is_worth_keeping(error: BaseException | None) -> bool:
    """Whether the same download may go on another time, after it ended like this."""
    return error is not None and not isinstance(error, _HOPELESS)


def _is_validator(text: str) -> bool:
    """Whether it may go into a header: a file can be written by anybody."""
    if _STRONG_TAG.fullmatch(text):
        return True
    return text.isascii() and text.isprintable() and parse_date(text) is not None


class Transfer:
    """The state of one download over all its requests.

    Args:
        max_bytes: A larger body is an error; None for any size.

    Attributes:
        expected: Bytes that the recording is said to have, as far as known: less is not whole.
    """

    __slots__ = (
        "_furthest", "_max_bytes", "_validator", "content_type", "expected", "received", "restarted", "resumed",
        "total",
    )  # fmt: skip

    def __init__(self, max_bytes: int | None) -> None:
        self._max_bytes = max_bytes
        self._validator: str | None = None
        self._furthest = 0
        self.expected: int | None = None
        self.content_type: str | None = None
        self.received = 0
        self.total: int | None = None  # bytes of the whole, as far as known
        self.resumed = 0
        self.restarted = 0

    def on_kept(self, part: KeptPart, size: int) -> None:
        """An earlier download left so many bytes."""
        self._validator, self.total, self.content_type = part.validator, part.total, part.content_type
        self.received = self._furthest = size

    def kept_part(self, recording: str, format: str | None) -> KeptPart | None:
        """Return what has to be known to go on later; None where that is not possible."""
        if self._validator is None:
            return None
        return KeptPart(
            recording=recording,
            format=format,
            validator=self._validator,
            total=self.total,
            content_type=self.content_type,
        )

    @property
    def announced(self) -> int | None:
        """Bytes in all as an answer says, or else as the recording does, until there are more; else None."""
        if self.total is None and self.expected is not None and self.received <= self.expected:
            return self.expected
        return self.total

    def has_advanced(self) -> bool:
        """Whether there is more than ever before, and will be kept, since this was asked last.

        Bytes that come again at every attempt do not count: such a download would never end.
        """
        if self._validator is None or self.received <= self._furthest:
            return False
        self._furthest = self.received
        return True

    def next_ranges(self) -> dict[str, str]:
        """Return the headers that ask for what is missing; none where everything has to come again."""
        if not self.received or self._validator is None:
            return {}
        return {"Range": f"bytes={self.received}-", "If-Range": self._validator}

    def on_head(self, status: int, headers: Mapping[str, str]) -> bool:
        """An answer of success begins. Returns whether its body continues what is there.

        Raises:
            ResponseBodyError: It is no audio, or another part than was asked for.
            ResponseTooLargeError: It says that it is larger than allowed.
        """
        media_type = headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if media_type.endswith(_NO_AUDIO):
            raise self._unusable(status, f"a body of type {media_type}, which is no audio")
        # A range counts the bytes of the body as it was encoded: nothing could go on with what is decoded.
        codings = {coding.strip().lower() for coding in headers.get("Content-Encoding", "").split(",")} - {""}
        if not codings <= _PLAIN:
            raise self._unusable(status, "a compressed body, although that was not asked for")
        if status not in {200, 206}:
            raise self._unusable(status, "no body")
        first, whole = _extent(status, headers)
        # Before anything is forgotten: an answer that says by itself that it is of less must not cost what is there.
        if whole and self.expected is not None and whole < self.expected:
            raise self._unusable(status, f"{whole} bytes, although the recording has {self.expected}")
        has_more = self.received > 0
        if continues := has_more and self._continues(first, whole, headers):
            self.total = self.total if whole is None else whole
            self.resumed += 1
        elif first == 0 and (status == 200 or whole is not None or self.expected is not None):
            # From the beginning instead: the recording has changed, or this server knows no ranges. But for a part of
            # nobody knows how much (`bytes 0-59/*`): its end would be taken for the end of all.
            self.restarted += has_more
            self.received = 0
            self.total = whole
            self._validator = _validator(headers)
            self.content_type = media_type or None
        else:
            # Who mixes up parts is not asked for one again.
            self._validator = None
            raise self._unusable(status, "another part than the one that was asked for")
        self._check_size(status, self.total or 0)
        return continues

    def on_nothing_left(self, headers: Mapping[str, str]) -> bool:
        """The part that was asked for does not exist (416). Returns whether everything is there already."""
        match = _NO_PART.fullmatch(headers.get("Content-Range", "").strip())
        # Otherwise the same would be asked for again.
        self._validator = None
        # And no less than the recording has: where a copy that was cut short ends, the recording does not.
        return match is not None and int(match[1]) == self.received >= (self.expected or 1)

    def on_bytes(self, count: int) -> None:
        """A piece of the body arrived.

        Raises:
            ResponseTooLargeError: There is more than allowed.
            ResponseBodyError: There is more than the answer said.
        """
        self.received += count
        self._check_size(200, self.received)
        if self.total is not None and self.received > self.total:
            # Which of the bytes are too many cannot be told: the next attempt asks for all of them.
            self._validator = None
            raise self._unusable(200, f"more than the {self.total} bytes that it announced")

    def on_end(self) -> None:
        """The body ended in order.

        Raises:
            ConnectionLostError: Something is missing.
            ResponseBodyError: There was nothing.
        """
        if not self.received and not self.total:
            raise self._unusable(200, "an empty body")
        whole = max(self.total or 0, self.expected or 0)
        if self.received < whole:
            raise errors.ConnectionLostError(
                f"{DOWNLOAD} was answered with {self.received} of {whole} bytes", operation=DOWNLOAD
            )

    def _continues(self, first: int | None, whole: int | None, headers: Mapping[str, str]) -> bool:
        """Whether a body that begins with the byte `first` is the rest that was asked for."""
        if self._validator is None or first != self.received:
            return False
        tag = headers.get("ETag")
        if tag is not None and self._validator.startswith('"') and tag != self._validator:
            return False
        # Another length than before is believed only from an answer that names the same version.
        return whole is None or self.total in {whole, None} or tag == self._validator

    def _check_size(self, status: int, size: int) -> None:
        if self._max_bytes is not None and size > self._max_bytes:
            raise errors.ResponseTooLargeError(
                f"{DOWNLOAD} was answered with more than the {self._max_bytes} bytes that max_bytes allows",
                operation=DOWNLOAD,
                status=status,
                limit=self._max_bytes,
            )

    def _unusable(self, status: int, what: str) -> errors.ResponseBodyError:
        return errors.ResponseBodyError(f"{DOWNLOAD} was answered with {what}", operation=DOWNLOAD, status=status)


def _validator(headers: Mapping[str, str]) -> str | None:
    """Return what `If-Range` can name; None where the server offers no parts or nothing strong."""
    if "bytes" not in headers.get("Accept-Ranges", "").lower():
        return None
    tag = headers.get("ETag", "").strip()
    if _STRONG_TAG.fullmatch(tag):
        return tag
    modified = headers.get("Last-Modified", "").strip()
    changed_at, answered_at = parse_date(modified), parse_date(headers.get("Date", ""))
    if changed_at is None or answered_at is None or answered_at - changed_at < 1.0:
        return None
    return modified if modified.isascii() and modified.isprintable() else None


def _extent(status: int, headers: Mapping[str, str]) -> tuple[int | None, int | None]:
    """Return which byte a body begins with and how many there are in all, each None where the answer does not say.

    Parts come with 200, too, and a whole with 206: what counts is `Content-Range`, as long as the length fits it.
    """
    length = _whole(headers.get("Content-Length", ""))
    match = _PART.fullmatch(headers.get("Content-Range", "").strip())
    if match is not None:
        first, last = int(match[1]), int(match[2])
        if status == 206 or length in {last - first + 1, None}:
            return first, None if match[3] == "*" else int(match[3])
    return (0, length) if status == 200 else (None, None)


def _whole(text: str) -> int | None:
    text = text.strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS else None
