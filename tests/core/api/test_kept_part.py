"""The record beside a `.part`: what it says, and when the two are stale."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kallglot_async import ConnectionLostError, NotFoundError, ResponseTooLargeError
from kallglot_async._core.api.kept_part import KeptPart, encode_part, is_worth_keeping, usable_part
from kallglot_async._core.api.resuming import Transfer

PART = KeptPart(recording="rec_1", format=None, validator='"v1"', total=100, content_type="audio/mpeg")
DATE = "Thu, 26 Mar 2026 11:04:20 GMT"


def usable(record: bytes, size: int = 40, **changes: Any) -> KeptPart | None:
    return usable_part(record, size, **({"recording": "rec_1", "format": None} | changes))


@given(st.integers(1, 100), st.sampled_from([None, 100]), st.sampled_from(['"v1"', DATE]))
def test_a_record_is_read_as_it_was_written(size: int, total: int | None, validator: str) -> None:
    """And a transfer goes on with it: the range begins behind the bytes, guarded by the version."""
    part = KeptPart(recording="rec_1", validator=validator, total=total)
    assert usable(encode_part(part), size) == part
    transfer = Transfer(None)
    transfer.on_kept(part, size)
    assert transfer.next_ranges() == {"Range": f"bytes={size}-", "If-Range": validator}
    assert transfer.kept_part("rec_1", None) == part
    assert not transfer.has_advanced()


@pytest.mark.parametrize(
    ("record", "size", "changes"),
    [
        (encode_part(PART), 40, {"recording": "rec_2"}),
        (encode_part(PART), 40, {"format": "wav"}),
        (encode_part(PART), 0, {}),
        (encode_part(PART), 101, {}),
        (encode_part(PART)[:-5], 40, {}),
        (b"", 40, {}),
        (b"\xff", 40, {}),
        (b"[]", 40, {}),
        (b'{"recording":"rec_1"}', 40, {}),
        (json.dumps({"recording": "rec_1", "validator": '"a\r\nX: y"'}).encode(), 40, {}),
        (json.dumps({"recording": "rec_1", "validator": 'W/"v1"'}).encode(), 40, {}),
        (json.dumps({"recording": "rec_1", "validator": f"{DATE}\r\nX: y"}).encode(), 40, {}),
        (json.dumps({"recording": "rec_1", "validator": ""}).encode(), 40, {}),
    ],
)
def test_what_is_stale_is_not_gone_on_with(record: bytes, size: int, changes: dict[str, str]) -> None:
    """Another recording or format, more bytes than there are, a record cut short or forged."""
    assert usable(record, size, **changes) is None


@given(st.binary(max_size=200))
def test_whatever_lies_there_is_no_error(record: bytes) -> None:
    """A file can be written by anybody."""
    assert usable(record) is None or isinstance(usable(record), KeptPart)


def test_a_hopeless_end_keeps_nothing() -> None:
    """Whatever may pass keeps the bytes; the audio that is gone or too large does not, and neither does success."""
    for error in (ConnectionLostError("x"), KeyboardInterrupt(), OSError(28, "full"), TimeoutError()):
        assert is_worth_keeping(error)
    for end in (NotFoundError("x"), ResponseTooLargeError("x"), FileExistsError(17, "x"), None):
        assert not is_worth_keeping(end)
