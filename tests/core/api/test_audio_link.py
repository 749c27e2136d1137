"""Where a download may go, and what a storage's answer means, by its status alone."""

from __future__ import annotations

import pytest
from support.audio import recording

from kallglot_async import (
    APIError,
    ConfigurationError,
    InvalidResponseError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitedError,
    ServerError,
    UnexpectedRedirectError,
)
from kallglot_async._core.api.audio_link import (
    Location,
    audio_location,
    is_expired_link,
    moved_location,
    storage_refusal,
)
from kallglot_async.models import RecordingStatus

BASE = "https://api.kallglot.com/v1/"
LOCAL = "http://127.0.0.1:8080/v1/"
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


@pytest.mark.parametrize("status", [RecordingStatus.FAILED, "failed"])
def test_what_has_no_audio_is_told_with_its_status(status: RecordingStatus) -> None:
    """Also of a recording that was made by hand, with a text."""
    with pytest.raises(InvalidResponseError, match="no audio of rec_01HABC987654321, its status is 'failed'"):
        audio_location(recording(download_url=None, status=status), base_url=BASE, format=None)


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
        "https://h\u00a0/a",
        "https://h /a",
        "https://h\u3002example/a",
        "https://h/a\nb",
        "https://h/a\\b",
        "https://h/\ud800",
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


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("/a b.mp3?sig=a%2Fb+c", "/a%20b.mp3?sig=a%2Fb+c"),
        ("/Gespräch.mp3?name=\u202e", "/Gespr%C3%A4ch.mp3?name=%E2%80%AE"),
        ("/Gespr\udcc3\udca4ch", "/Gespr%C3%A4ch"),
        ("/%zz|{}", "/%zz|{}"),
    ],
)
def test_names_of_files_are_encoded_and_nothing_else_is(written: str, sent: str) -> None:
    """Storages write blanks and letters as they are, and so do redirects; all the rest is signed as it stands."""
    for around in (" ", ""):
        found = recording(download_url=f"{around}https://storage.example{written}{around}")
        start = audio_location(found, base_url=BASE, format=None)
        assert start.url == f"https://storage.example{sent}"
    for target in (written, f"//storage.example{written}", f"https://storage.example{written}"):
        assert moved_location(start, target, base_url=BASE, status=302).url == f"https://storage.example{sent}"


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


# What a storage says


@pytest.mark.parametrize(
    ("status", "kind", "is_expired"),
    [
        (400, APIError, True),
        (401, PermissionDeniedError, True),
        (403, PermissionDeniedError, True),
        (404, NotFoundError, True),
        (410, NotFoundError, True),
        (418, APIError, False),
        (429, RateLimitedError, False),
        (500, ServerError, False),
        (503, ServerError, False),
        (523, ServerError, False),
    ],
)
def test_statuses_have_their_class(status: int, kind: type[APIError], is_expired: bool) -> None:
    """And those by which storages refuse an old link are worth a new one."""
    error = storage_refusal(status, {}, operation="recordings.download", wall_now=0.0)
    assert (type(error), error.status, error.retry_after) == (kind, status, None)
    assert is_expired_link(error) is is_expired


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": "-7"}, None),
        ({"Retry-After": "Thu, 26 Mar 2026 11:04:30 GMT", "Date": "Thu, 26 Mar 2026 11:04:20 GMT"}, 10.0),
        ({"Retry-After": "later"}, None),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_the_time_that_it_names_is_on_the_error(status: int, headers: dict[str, str], seconds: float | None) -> None:
    """In seconds or as a date; garbage is none."""
    error = storage_refusal(status, headers, operation="recordings.download", wall_now=0.0)
    assert error.retry_after == seconds
