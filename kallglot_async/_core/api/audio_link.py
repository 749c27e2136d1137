"""Where the audio of a recording is, who may see the key, and what the storage that a link leads to means.

The key is for what is below the base URL, and for nobody else. What a storage says that is no success is never told in
its own words: they may quote the link.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import quote, urlencode, urljoin, urlsplit, urlunsplit

import msgspec

from kallglot_async import errors
from kallglot_async._checks import check_recording_id
from kallglot_async._config import is_loopback
from kallglot_async._core.api.answers import parse_retry_after
from kallglot_async._core.api.resuming import DOWNLOAD
from kallglot_async.errors import ConfigurationError
from kallglot_async.models import Recording

__all__ = ["FORMATS", "Location", "audio_location", "is_expired_link", "moved_location", "storage_refusal"]

FORMATS = ("mp3", "wav", "ogg")

# Segments that cannot leave the path they are put below, and a query.
_PATH = re.compile(r"/(?:v1/)?((?:[A-Za-z0-9_-]+/)*[A-Za-z0-9_-]+(?:\.[A-Za-z0-9]+)?(?:\?[A-Za-z0-9_.~=&%+-]*)?)")

_HOST = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.-]*:)?//[^/?#]*")
# A blank, and half characters only where they are bytes beyond UTF-8; controls are nobody's name, and are refused.
_UNSENT = re.compile(r"[ \xa0-\ud7ff\udc80-\udcff\ue000-\U0010ffff]+")


class Location(msgspec.Struct, frozen=True, kw_only=True):
    """One place to ask.

    Attributes:
        url: The address. One that is not of the API is a credential by itself, so `repr` shows its host only.
        is_api: Whether it is below the base URL: then it is asked with the key, under the rate limit.
        may_move: Whether a redirect is followed from here: to the pre-signed link, which is the API's documented
            answer, and once by the storage, to wherever it keeps the bytes.
    """

    url: str
    is_api: bool
    may_move: bool = False

    @property
    def shown(self) -> str:
        """The address as it may be shown: without the query, which is what makes a link a credential."""
        return urlunsplit(urlsplit(self.url)._replace(query="", fragment=""))

    def path(self, base_url: str) -> str:
        """Return the path below the base URL, or the whole path of an address elsewhere, with its slash."""
        return self.shown.removeprefix(base_url) if self.is_api else urlsplit(self.url).path or "/"

    def __repr__(self) -> str:
        return f"<Location at {urlsplit(self.url).hostname} {'with' if self.is_api else 'without'} the key>"


def audio_location(recording: Recording, *, base_url: str, format: str | None) -> Location:
    """Return where to ask for a recording's audio.

    Revision A's link is for one format; another one is asked for at `GET /v1/recordings/{id}/download`, which
    redirects. Revision B has a path and no choice of format.

    Raises:
        InvalidIdError: The recording has an impossible id.
        InvalidResponseError: It has no audio, or an address that cannot be used.
        ConfigurationError: It does not come in that format.
    """
    # A server has said it, and it becomes part of a path.
    check_recording_id(recording.id)
    url = recording.download_url
    if url is None and not recording.is_ready:
        raise errors.InvalidResponseError(
            f"{DOWNLOAD}: there is no audio of {recording.id}, its status is {ascii(str(recording.status))[:40]}",
            operation=DOWNLOAD,
        )
    path = None if url is None else _path_of(url, base_url)
    if path is not None:
        if format is not None and format != (recording.format or "mp3"):
            raise ConfigurationError(f"{recording.id} comes as {recording.format or 'mp3'} only: leave format out")
        return Location(url=base_url + path, is_api=True)
    if url is None or (format is not None and format != recording.format):
        # Also where there is no link: revision A has this path for whatever is ready, and it redirects to a fresh one.
        query = "" if format is None else "?" + urlencode({"format": format})
        return Location(url=f"{base_url}recordings/{recording.id}/download{query}", is_api=True, may_move=True)
    url = _as_sent(url)
    if (problem := _problem_of(url, base_url)) is not None:
        raise errors.InvalidResponseError(f"{DOWNLOAD}: the recording's download_url {problem}", operation=DOWNLOAD)
    return Location(url=url, is_api=False, may_move=True)


def moved_location(location: Location, target: str, *, base_url: str, status: int) -> Location:
    """Return where a redirect leads. It is followed without the key, and never to an unencrypted host.

    The API may redirect once to a storage, and a storage once to another address.

    Raises:
        UnexpectedRedirectError: It was not expected here, or leads where it must not.
    """
    if not location.may_move:
        problem = "was not expected here"
    elif not target:
        problem = "has no target"
    else:
        url = urljoin(location.url, _as_sent(target))
        problem = _problem_of(url, base_url) or ""
        if not problem:
            return Location(url=url, is_api=False, may_move=location.is_api)
    raise errors.UnexpectedRedirectError(
        f"{DOWNLOAD} was answered with a redirect ({status}) that {problem}", operation=DOWNLOAD, status=status
    )


def _path_of(url: str, base_url: str) -> str | None:
    """Return the path below the base URL where the address is one; None for an address elsewhere."""
    if url.startswith(base_url):
        url = "/" + url.removeprefix(base_url)
    # Behind two slashes stands another host (RFC 3986, 4.2).
    if not url.startswith("/") or url.startswith("//"):
        return None
    match = _PATH.fullmatch(url)
    return None if match is None else match[1]


def _as_sent(url: str) -> str:
    """Return an address with blanks and letters beyond ASCII encoded, as browsers send names of files that hold them.

    Behind the host only, and nothing else of it is changed: who signed it did so letter by letter. Blanks around it
    are no part of it.
    """
    url = url.strip(" ")
    host = _HOST.match(url)
    start = 0 if host is None else host.end()
    return url[:start] + _UNSENT.sub(lambda match: quote(match[0].encode("utf-8", "surrogateescape")), url[start:])


def _problem_of(url: str, base_url: str) -> str | None:
    """Return why a link cannot be asked, without quoting it: who has it can listen to the call."""
    # Host and port are read when they are asked for, and that raises where they are none.
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "cannot be read as a URL"
    # What two parsers read in two ways would be checked as one host, and asked as another.
    if not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        return "holds characters that no URL has"
    if parts.scheme not in {"https", "http"} or not host:
        return "is no absolute https URL"
    if "@" in parts.netloc:
        return "holds a user name"
    # Unencrypted only on this machine, and only for a client whose API is on this machine, too.
    is_local = is_loopback(host) and base_url.startswith("http://")
    if parts.scheme == "http" and not is_local:
        return "is not encrypted (https)"
    return None


# How storages refuse a link that has expired: it is asked for anew.
_EXPIRED = frozenset({400, 401, 403, 404, 410})

_BY_STATUS: dict[int, tuple[type[errors.APIError], str]] = {
    401: (errors.PermissionDeniedError, "the storage does not accept the link to the audio"),
    403: (errors.PermissionDeniedError, "the storage does not accept the link to the audio"),
    404: (errors.NotFoundError, "the audio is not there any more"),
    410: (errors.NotFoundError, "the audio is not there any more"),
    429: (errors.RateLimitedError, "the storage is asked too often"),
}


def is_expired_link(error: errors.RequestError) -> bool:
    """Whether a storage may have refused a link for its age."""
    return isinstance(error, errors.APIError) and error.status in _EXPIRED


def storage_refusal(status: int, headers: Mapping[str, str], *, operation: str, wall_now: float) -> errors.APIError:
    """Return the error that an answer outside 2xx and 3xx stands for."""
    kind, what = _BY_STATUS.get(status, (errors.APIError, f"the storage answered {status}"))
    if status >= 500:
        kind, what = errors.ServerError, f"the storage failed with {status}"
    return kind(what, operation=operation, status=status, retry_after=parse_retry_after(headers, wall_now=wall_now))
