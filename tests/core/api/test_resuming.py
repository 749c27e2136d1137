"""The state of a download, and where it may go: pure decisions, no I/O."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.payloads import PAYLOADS

from kallglot_async import (
    ConfigurationError,
    ConnectionLostError,
    InvalidResponseError,
    KallglotError,
    Recording,
    ResponseBodyError,
    ResponseTooLargeError,
    UnexpectedRedirectError,
)
from kallglot_async._config import Secret
from kallglot_async._core.api.answers import stream_headers
from kallglot_async._core.api.audio_link import Location, audio_location, moved_location
from kallglot_async._core.api.kept_part import KeptPart
from kallglot_async._core.api.recordings import decode_recording
from kallglot_async._core.api.resuming import Transfer, size_of
from kallglot_async.models import RecordingStatus

BASE = "https://api.kallglot.com/v1/"
LOCAL = "http://127.0.0.1:8080/v1/"
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


def test_a_part_that_nobody_asked_for_is_refused() -> None:
    """206 to a plain GET would be a hole in the file."""
    with pytest.raises(ResponseBodyError, match="another part"):
        Transfer(None).on_head(206, rest("bytes 0-99/100"))


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
        (200, {"Content-Encoding": "gzip"}),
        (204, {}),
        (202, {}),
    ],
)
def test_what_is_no_audio_is_refused(status: int, headers: dict[str, str]) -> None:
    """A portal's page with 200, a compressed body, and success without a body."""
    with pytest.raises(ResponseBodyError):
        Transfer(None).on_head(status, headers)


HEADERS = st.dictionaries(
    st.sampled_from(
        ["Content-Range", "Content-Length", "ETag", "Accept-Ranges", "Content-Type", "Last-Modified", "Date"]
    ),
    st.text(max_size=30) | st.sampled_from(["bytes", '"v1"', "100", "bytes 40-99/100", "bytes */40", "audio/mpeg"]),
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


# Where it may go


def recording(**changes: Any) -> Recording:
    sample = decode_recording((PAYLOADS / "recording.b.json").read_bytes())
    return msgspec.structs.replace(sample, **changes)


SIGNED = "https://storage.kallglot.com/x.mp3?X-Signature=CANARY"


@pytest.mark.parametrize(
    ("url", "base", "expected"),
    [
        ("/v1/recordings/rec_1/audio", BASE, (BASE + "recordings/rec_1/audio", True)),
        ("/v1/recordings/rec_1/audio?x=1", LOCAL, (LOCAL + "recordings/rec_1/audio?x=1", True)),
        (
            "/recordings/rec_1/audio",
            "https://proxy/kallglot/v1/",
            ("https://proxy/kallglot/v1/recordings/rec_1/audio", True),
        ),
        (BASE + "recordings/rec_1/audio", BASE, (BASE + "recordings/rec_1/audio", True)),
        (SIGNED, BASE, (SIGNED, False)),
        ("https://api.kallglot.com/other", BASE, ("https://api.kallglot.com/other", False)),
        ("https://api.kallglot.com.evil.example/v1/x", BASE, ("https://api.kallglot.com.evil.example/v1/x", False)),
        ("http://127.0.0.1:9/x", LOCAL, ("http://127.0.0.1:9/x", False)),
    ],
)
def test_the_key_goes_below_the_base_url_only(url: str, base: str, expected: tuple[str, bool]) -> None:
    """A path of the API is asked with the key at the client's own base URL, everything absolute without it."""
    location = audio_location(recording(download_url=url), base_url=base, format=None)
    assert (location.url, location.is_api) == expected
    assert location.may_move is not location.is_api  # a storage may redirect once


@pytest.mark.parametrize(
    "url",
    [
        "",
        "//evil.example/x",
        "/\\evil.example/x",
        "/v1/../admin",
        "/v1/recordings/%2e%2e/x",
        "/v1//evil",
        "http://storage.kallglot.com/x",
        "http://127.0.0.1/x",
        "ftp://storage.kallglot.com/x",
        "https://user:CANARY@storage.kallglot.com/x",
        "https://",
        "https://[::1/x",
        "https://h:99999/x",
        "https://h/a b",
        "https://h/\u202e",
        "javascript:alert(1)",
        "file:///etc/passwd",
        "x",
    ],
)
def test_addresses_that_lead_elsewhere_are_refused(url: str) -> None:
    """Unencrypted hosts, other schemes, paths that climb, and what only looks like a path of the API."""
    with pytest.raises(InvalidResponseError) as caught:
        audio_location(recording(download_url=url), base_url=BASE, format=None)
    assert "CANARY" not in str(caught.value)


def test_a_format_is_asked_for_at_the_api() -> None:
    """Revision A redirects to a link for that format; B has one format, and says so."""
    of_a = recording(download_url=SIGNED)
    location = audio_location(of_a, base_url=BASE, format="wav")
    assert location == Location(url=f"{BASE}recordings/{of_a.id}/download?format=wav", is_api=True, may_move=True)
    assert audio_location(of_a, base_url=BASE, format="mp3").url == SIGNED
    assert audio_location(recording(), base_url=BASE, format="mp3").is_api
    with pytest.raises(ConfigurationError, match="mp3 only"):
        audio_location(recording(), base_url=BASE, format="wav")


def test_a_ready_recording_without_a_link_is_asked_for_at_the_founding_path() -> None:
    """`GET /v1/recordings/{id}/download`, which redirects."""
    location = audio_location(recording(download_url=None), base_url=BASE, format=None)
    assert location.url == f"{BASE}recordings/rec_01HABC987654321/download"
    assert location.may_move


@pytest.mark.parametrize("status", ["processing", "failed", "paused"])
def test_no_audio_is_an_error_that_says_why(status: str) -> None:
    """The status is in the message."""
    with pytest.raises(InvalidResponseError, match=status):
        audio_location(recording(download_url=None, status=RecordingStatus(status)), base_url=BASE, format=None)


def test_a_redirect_is_followed_without_the_key_and_only_once() -> None:
    """Absolute and relative targets; the storage that it leads to may redirect once, and no further."""
    start = Location(url=BASE + "recordings/rec_1/download", is_api=True, may_move=True)
    moved = moved_location(start, SIGNED, base_url=BASE, status=302)
    assert moved == Location(url=SIGNED, is_api=False, may_move=True)
    assert moved_location(start, "/x", base_url=BASE, status=302).url == "https://api.kallglot.com/x"
    assert not moved_location(start, BASE + "admin", base_url=BASE, status=302).is_api
    again = moved_location(moved, "https://cdn.example/x", base_url=BASE, status=307)
    assert again == Location(url="https://cdn.example/x", is_api=False, may_move=False)
    with pytest.raises(UnexpectedRedirectError):
        moved_location(again, SIGNED, base_url=BASE, status=302)


@pytest.mark.parametrize(
    ("url", "is_api", "shown", "path"),
    [
        (SIGNED, False, "https://storage.kallglot.com/x.mp3", "/x.mp3"),
        (BASE + "recordings/rec_1/audio?x=1", True, BASE + "recordings/rec_1/audio", "recordings/rec_1/audio"),
        ("https://h:8443/a/b#CANARY", False, "https://h:8443/a/b", "/a/b"),
        ("https://h?sig=CANARY", False, "https://h", "/"),
    ],
)
def test_an_address_is_shown_without_its_query(url: str, is_api: bool, shown: str, path: str) -> None:
    """For records of requests: who has the query can listen to the call."""
    location = Location(url=url, is_api=is_api)
    assert (location.shown, location.path(BASE)) == (shown, path)


@pytest.mark.parametrize(
    "target", ["", "http://storage.kallglot.com/?CANARY", "http://127.0.0.1/CANARY", "ftp://h/CANARY"]
)
def test_a_redirect_elsewhere_is_refused(target: str) -> None:
    """An unencrypted target, also this very machine's for a client of a remote API; the target is not quoted."""
    start = Location(url=BASE + "recordings/rec_1/download", is_api=True, may_move=True)
    with pytest.raises(UnexpectedRedirectError) as caught:
        moved_location(start, target, base_url=BASE, status=302)
    assert "CANARY" not in str(caught.value)
    assert caught.value.status == 302


def test_no_repr_shows_a_link() -> None:
    """Who has a pre-signed link can listen to the call."""
    assert "CANARY" not in repr(Location(url=SIGNED, is_api=False))
    assert "CANARY" not in repr(recording(download_url=SIGNED))


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
