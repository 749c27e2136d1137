"""The state of a download, and what it leaves for the next one: pure decisions, no I/O."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.audio import recording
from support.examples import texts

from kallglot_async import (
    ConnectionLostError,
    KallglotError,
    NotFoundError,
    ResponseBodyError,
    ResponseTooLargeError,
)
from kallglot_async._config import Secret
from kallglot_async._core.api.answers import stream_headers
from kallglot_async._core.api.resuming import (
    KeptPart,
    Transfer,
    encode_part,
    is_worth_keeping,
    size_of,
    usable_part,
)

KEY = Secret("sk_test_canary9Zk4")
OFFERED = {"Accept-Ranges": "bytes", "ETag": '"v1"', "Content-Length": "100", "Content-Type": "audio/mpeg"}


def begun(received: int = 40, **changes: str) -> Transfer:
    """A transfer that was cut after so many of 100 bytes."""
    transfer = Transfer(None)
    assert transfer.on_head(200, {**OFFERED, **changes}) is False
    transfer.on_bytes(received)
    return transfer


def rest(content_range: str = "bytes 40-99/100", **headers: str) -> dict[str, str]:
    return {"Content-Range": content_range, "ETag": '"v1"', **headers}


def test_a_whole_body_in_one_answer() -> None:
    """Nothing is asked for in parts, and the end is in order."""
    transfer = Transfer(None)
    assert transfer.next_ranges() == {}
    assert transfer.on_head(200, OFFERED) is False
    transfer.on_bytes(60)
    transfer.on_bytes(40)
    transfer.on_end()
    assert (transfer.received, transfer.total, transfer.content_type) == (100, 100, "audio/mpeg")
    assert (transfer.resumed, transfer.restarted) == (0, 0)


def test_what_is_missing_is_asked_for_and_continues() -> None:
    """A range from the next byte, guarded by the validator, and 206 is the rest."""
    transfer = begun()
    assert transfer.next_ranges() == {"Range": "bytes=40-", "If-Range": '"v1"'}
    assert transfer.on_head(206, rest()) is True
    transfer.on_bytes(60)
    transfer.on_end()
    assert (transfer.received, transfer.resumed, transfer.restarted) == (100, 1, 0)
    assert begun().on_head(206, rest("Bytes 40-99/100")) is True  # the unit's name has no case (14.1)


def test_a_changed_recording_comes_whole() -> None:
    """A 200 to a range request begins again."""
    transfer = begun()
    assert transfer.on_head(200, OFFERED | {"ETag": '"v2"', "Content-Length": "50"}) is False
    assert (transfer.received, transfer.total, transfer.restarted) == (0, 50, 1)
    transfer.on_bytes(10)
    assert transfer.next_ranges() == {"Range": "bytes=10-", "If-Range": '"v2"'}


@pytest.mark.parametrize(
    ("headers", "validator"),
    [
        ({}, '"v1"'),
        ({"Accept-Ranges": "none"}, None),
        ({"Accept-Ranges": ""}, None),
        ({"ETag": 'W/"v1"'}, None),
        ({"ETag": '"a b"'}, None),
        ({"ETag": '"a\r\nX: y"'}, None),
        (
            {
                "ETag": "",
                "Last-Modified": "Thu, 26 Mar 2026 11:04:20 GMT",
                "Date": "Thu, 26 Mar 2026 11:04:21 GMT",
            },
            "Thu, 26 Mar 2026 11:04:20 GMT",
        ),
        (
            {
                "ETag": "",
                "Last-Modified": "Thu, 26 Mar 2026 11:04:20 GMT",
                "Date": "Thu, 26 Mar 2026 11:04:20 GMT",
            },
            None,
        ),
        ({"ETag": "", "Last-Modified": "Thu, 26 Mar 2026 11:04:20 GMT"}, None),
    ],
)
def test_only_a_strong_validator_is_used(headers: dict[str, str], validator: str | None) -> None:
    """Without the offer of ranges, or with a weak validator, it begins again (RFC 9110, 13.1.5 and 8.8.2.2)."""
    assert begun(**headers).next_ranges().get("If-Range") == validator


@pytest.mark.parametrize(
    "headers",
    [
        rest("bytes 39-99/100"),
        rest("bytes 41-99/100"),
        rest("bytes */100"),
        rest("40-99/100"),
        rest(""),
        rest(ETag='"v2"'),
        {"Content-Range": "bytes 40-98/99"},
    ],
)
def test_another_part_is_not_appended(headers: dict[str, str]) -> None:
    """What does not begin where we stand, or is of another version, is refused, and the next request asks for all."""
    transfer = begun()
    with pytest.raises(ResponseBodyError, match="another part"):
        transfer.on_head(206, headers)
    assert transfer.next_ranges() == {}


def test_a_part_that_nobody_asked_for_is_a_beginning_or_refused() -> None:
    """206 to a plain GET, as some servers answer every one, from the first byte on; from another it would be a hole."""
    transfer = Transfer(None)
    assert transfer.on_head(206, rest("bytes 0-59/100", **{"Accept-Ranges": "bytes"})) is False
    transfer.on_bytes(60)
    with pytest.raises(ConnectionLostError, match="60 of 100"):
        transfer.on_end()
    assert transfer.next_ranges() == {"Range": "bytes=60-", "If-Range": '"v1"'}
    assert (transfer.resumed, transfer.restarted) == (0, 0)
    for content_range in ("bytes 1-99/100", "bytes */100", "", "bytes 0-59/*"):
        with pytest.raises(ResponseBodyError, match="another part"):
            Transfer(None).on_head(206, rest(content_range))


def test_a_part_of_nobody_knows_how_much_is_judged_by_the_size_of_the_recording() -> None:
    """Its own end is not that of all."""
    transfer = Transfer(None)
    transfer.expected = 100
    assert transfer.on_head(206, rest("bytes 0-59/*", **{"Accept-Ranges": "bytes"})) is False
    transfer.on_bytes(60)
    with pytest.raises(ConnectionLostError, match="60 of 100"):
        transfer.on_end()


def test_what_range_a_body_is_of_says_its_header_and_not_its_status() -> None:
    """The rest with 200 is the rest, and the whole with 206 the whole; a range that its length belies is of neither."""
    transfer = begun()
    assert transfer.on_head(200, rest(**{"Content-Length": "60"})) is True
    transfer.on_bytes(60)
    transfer.on_end()
    assert (transfer.received, transfer.resumed, transfer.restarted) == (100, 1, 0)
    for status in (200, 206):
        transfer = begun()
        assert transfer.on_head(status, rest("bytes 0-99/100", **{"Content-Length": "100"})) is False
        assert (transfer.received, transfer.total, transfer.restarted) == (0, 100, 1)
    transfer = begun()
    assert transfer.on_head(200, rest(**{"Content-Length": "100"})) is False
    assert (transfer.received, transfer.total) == (0, 100)
    with pytest.raises(ResponseBodyError, match="another part"):
        begun().on_head(200, rest("bytes 41-99/100", **{"Content-Length": "59"}))


def test_the_length_is_believed_from_the_same_version_only() -> None:
    """With the same tag another total counts; the end is judged by it."""
    transfer = begun(**{"Content-Length": "101"})
    assert transfer.on_head(206, rest("bytes 40-99/100")) is True
    transfer.on_bytes(60)
    transfer.on_end()
    assert transfer.total == 100
    unknown = begun(**{"Content-Length": ""})
    assert unknown.on_head(206, rest("bytes 40-99/*")) is True
    assert unknown.total is None


def test_nothing_left_means_complete_only_if_the_length_agrees() -> None:
    """A 416 that names our own length; any other begins again."""
    assert begun(100, **{"Content-Length": ""}).on_nothing_left({"Content-Range": "bytes */100"})
    for headers in ({"Content-Range": "bytes */50"}, {"Content-Range": "?"}, {}):
        transfer = begun()
        assert not transfer.on_nothing_left(headers)
        assert transfer.next_ranges() == {}


def test_an_early_end_is_a_lost_connection() -> None:
    """Fewer bytes than announced, and none at all."""
    with pytest.raises(ConnectionLostError, match="40 of 100"):
        begun().on_end()
    with pytest.raises(ConnectionLostError, match="0 of 100"):
        begun(0).on_end()
    transfer = Transfer(None)
    transfer.on_head(200, {})
    with pytest.raises(ResponseBodyError, match="empty"):
        transfer.on_end()


def test_more_than_announced_is_refused() -> None:
    """Bytes behind the end belong to something else."""
    transfer = begun(100)
    with pytest.raises(ResponseBodyError, match="more than"):
        transfer.on_bytes(1)
    assert transfer.next_ranges() == {}  # which bytes are too many cannot be told: all come again


def test_the_cap_holds_before_and_while_bytes_arrive() -> None:
    """By the announced length at once, and by what arrives where nothing was announced; exactly the cap is fine."""
    with pytest.raises(ResponseTooLargeError) as caught:
        Transfer(99).on_head(200, OFFERED)
    assert caught.value.limit == 99
    transfer = Transfer(100)
    transfer.on_head(200, OFFERED | {"Content-Length": ""})
    transfer.on_bytes(100)
    with pytest.raises(ResponseTooLargeError) as caught:
        transfer.on_bytes(1)
    assert (caught.value.status, caught.value.limit) == (200, 100)


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (200, {"Content-Type": "text/html; charset=utf-8"}),
        (200, {"Content-Type": "application/json"}),
        (200, {"Content-Type": "application/problem+json"}),
        (200, {"Content-Type": "application/xhtml+xml"}),
        (200, {"Content-Encoding": "gzip"}),
        (200, {"Content-Encoding": "aws-chunked,gzip"}),
        (204, {}),
        (202, {}),
    ],
)
def test_what_is_no_audio_is_refused(status: int, headers: dict[str, str]) -> None:
    """A portal's page with 200, a compressed body, and success without a body."""
    with pytest.raises(ResponseBodyError):
        Transfer(None).on_head(status, headers)


@pytest.mark.parametrize("coding", ["", "identity", "aws-chunked", "Identity, aws-chunked,"])
def test_a_coding_that_changes_no_byte_is_none(coding: str) -> None:
    """Storages keep what an upload said of its own framing, and say it of the object."""
    assert Transfer(None).on_head(200, OFFERED | {"Content-Encoding": coding}) is False


HEADERS = st.dictionaries(
    st.sampled_from(
        ["Content-Range", "Content-Length", "ETag", "Accept-Ranges", "Content-Type", "Last-Modified", "Date"]
    ),
    texts(max_size=30) | st.sampled_from(["bytes", '"v1"', "100", "bytes 40-99/100", "bytes */40", "audio/mpeg"]),
)


@given(st.lists(st.tuples(st.sampled_from([200, 206, 416]), HEADERS, st.integers(1, 60)), max_size=8))
def test_whatever_comes_the_state_stays_sound(answers: list[tuple[int, dict[str, str], int]]) -> None:
    """Errors of ours only; what is asked for next always begins at the byte that is missing."""
    transfer, held = Transfer(10_000), 0
    for status, headers, count in answers:
        ranges = transfer.next_ranges()
        assert ranges.get("Range", f"bytes={held}-") == f"bytes={held}-"
        try:
            if status == 416:
                transfer.on_nothing_left(headers)
                continue
            held = held if transfer.on_head(status, headers) else 0
            held += count
            transfer.on_bytes(count)
            transfer.on_end()
        except KallglotError:
            held = transfer.received
        assert transfer.received == held


def test_the_key_is_sent_only_where_it_is_given() -> None:
    """A pre-signed link gets no credential of any kind."""
    assert stream_headers(KEY, {})["Authorization"] == f"Bearer {KEY.reveal()}"
    bare = stream_headers(None, {"Range": "bytes=1-"})
    assert set(bare) == {"Accept", "Accept-Encoding", "User-Agent", "Range"}
    assert bare["Accept-Encoding"] == "identity"


# Whole, and further than before


def sized(expected: int | None, headers: dict[str, str]) -> Transfer:
    transfer = Transfer(None)
    transfer.expected = expected
    transfer.on_head(200, headers)
    return transfer


@pytest.mark.parametrize(
    ("size", "asked", "expected"),
    [(100.0, None, 100), (100.0, "mp3", 100), (100.0, "wav", None), (None, None, None), (0.0, None, None)],
)
def test_the_size_is_that_of_the_recordings_own_format(size: Any, asked: Any, expected: int | None) -> None:
    """Of another one nothing is known."""
    assert size_of(recording(size=size, format="mp3"), asked) == expected
    assert size_of(recording(size=float("inf")), None) is size_of(recording(size=float("nan")), None) is None


def test_less_than_the_recording_has_is_not_whole() -> None:
    """Without a length at the end of the body, and with one before any of it is fetched; more is fine."""
    transfer = sized(100, {})
    transfer.on_bytes(99)
    with pytest.raises(ConnectionLostError, match="99 of 100"):
        transfer.on_end()
    with pytest.raises(ResponseBodyError, match="99 bytes, although the recording has 100"):
        sized(100, {"Content-Length": "99"})
    for size in (100, 101):
        transfer = sized(100, {"Content-Length": str(size)})
        transfer.on_bytes(size)
        transfer.on_end()


def test_how_many_bytes_there_are_is_told_by_the_answer_or_the_recording() -> None:
    """For a bar of progress: a body without a length still has the size of its recording, until it is longer."""
    transfer = sized(100, {})
    assert transfer.announced == 100
    transfer.on_bytes(100)
    assert transfer.announced == 100
    transfer.on_bytes(1)
    assert transfer.announced is None
    assert sized(100, {"Content-Length": "101"}).announced == 101
    assert sized(None, {}).announced is None


def test_a_part_of_something_shorter_is_refused_and_nothing_is_forgotten() -> None:
    """The next request asks for the same again."""
    transfer = sized(100, OFFERED)
    transfer.on_bytes(40)
    with pytest.raises(ResponseBodyError, match="although the recording has 100"):
        transfer.on_head(206, rest("bytes 40-89/90"))
    assert transfer.next_ranges()["Range"] == "bytes=40-"


def test_nothing_left_is_not_the_end_of_something_larger() -> None:
    """A 416 at 40 bytes of a recording of 100."""
    for expected, is_whole in ((100, False), (40, True), (None, True)):
        transfer = sized(expected, OFFERED | {"Content-Length": ""})
        transfer.on_bytes(40)
        assert transfer.on_nothing_left({"Content-Range": "bytes */40"}) is is_whole


def test_only_bytes_that_stay_and_are_new_are_progress() -> None:
    """Those that come again at every attempt are none, nor are those that cannot be gone on with."""
    transfer = begun(40)
    assert transfer.has_advanced()
    assert not transfer.has_advanced()
    transfer.on_head(200, OFFERED)
    transfer.on_bytes(40)
    assert not transfer.has_advanced()
    transfer.on_bytes(1)
    assert transfer.has_advanced()
    assert not begun(40, ETag="").has_advanced()
    assert begun(1).has_advanced()  # the very first byte is one


def test_what_the_next_process_needs_is_told_while_it_can_go_on() -> None:
    """Which recording and format, of which version, how long and of what type; nothing without a strong validator."""
    part = begun().kept_part("rec_1", "wav")
    assert part == KeptPart(recording="rec_1", format="wav", validator='"v1"', total=100, content_type="audio/mpeg")
    assert begun(ETag="").kept_part("rec_1", "wav") is None


def test_what_was_kept_is_gone_on_with_and_is_no_progress() -> None:
    """The next process asks for the rest of the same version, and has to bring more than there is."""
    transfer = Transfer(None)
    transfer.on_kept(KeptPart(recording="rec_1", format=None, validator='"v1"', total=100, content_type=None), 40)
    assert transfer.next_ranges() == {"Range": "bytes=40-", "If-Range": '"v1"'}
    assert not transfer.has_advanced()
    assert transfer.on_head(206, rest()) is True
    transfer.on_bytes(1)
    assert transfer.has_advanced()


# The record beside a `.part`: what it says, and when the two are stale

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
