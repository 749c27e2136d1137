"""The headers of a request, and those of an answer as typed values. What cannot be true is treated as absent.

Documented: `X-RateLimit-Limit`, `-Remaining`, `-Reset` (Unix seconds on the server's clock), `Retry-After`
(integer seconds; a date is accepted because HTTP allows it), `X-API-Credits-*`, `X-Request-ID`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Any

import msgspec

from kallglot_async._config import Secret
from kallglot_async._core.api.operation import Operation
from kallglot_async._version import __version__

__all__ = [
    "RateFigures",
    "parse_credits",
    "parse_date",
    "parse_rate_figures",
    "parse_request_id",
    "parse_retry_after",
    "request_headers",
    "stream_headers",
]

LONGEST_WAIT = 86_400.0  # a longer Retry-After or window than a day is taken as a day
_PLAUSIBLE_UNIX_TIME = 1_000_000_000.0  # 2001: anything below is not a moment but something else
_LARGEST_LIMIT = 10**9
_MOST_DIGITS = 18
_REQUEST_ID = re.compile(r"[!-~]{1,200}", re.ASCII)
_USER_AGENT = f"kallglot-async/{__version__}"


def request_headers(operation: Operation[Any], key: Secret) -> dict[str, str]:
    """Return the headers of one attempt. The key goes into these and those below, and nowhere else."""
    headers = {
        "Authorization": f"Bearer {key.reveal()}",
        "Accept": "application/json",
        "User-Agent": _USER_AGENT,
    }
    if operation.method == "GET":
        headers["Cache-Control"] = "no-cache"  # a cache in between would show an analysis as it was
    if operation.body is not None:
        headers["Content-Type"] = "application/json"
    if operation.idempotency_key is not None:
        headers["Idempotency-Key"] = operation.idempotency_key
    return headers


def stream_headers(key: Secret | None, ranges: Mapping[str, str]) -> dict[str, str]:
    """Return the headers of a request for audio; without a key it carries no credential at all."""
    headers = {
        "Accept": "audio/*, application/octet-stream;q=0.9, */*;q=0.1",
        # Compressed, its length and its parts would not be those of the audio.
        "Accept-Encoding": "identity",
        "User-Agent": _USER_AGENT,
        **ranges,
    }
    if key is not None:
        headers["Authorization"] = f"Bearer {key.reveal()}"
    return headers


class RateFigures(msgspec.Struct, frozen=True, gc=False):
    """What one response says of its window.

    Attributes:
        limit: Requests in a window.
        remaining: Requests it still holds after this one.
        reset: When it renews, in Unix seconds on the server's clock.
        resets_in: The same in seconds from the response's `Date`, which makes the local clock irrelevant.
            `Date` has whole seconds, so this is up to 1 s too long, never too short by more than rounding.
    """

    limit: int
    remaining: int
    reset: float
    resets_in: float


def parse_rate_figures(headers: Mapping[str, str], *, wall_now: float) -> RateFigures | None:
    """Return the figures, or None where they are missing, incomplete or contradict themselves.

    Args:
        headers: The response's headers.
        wall_now: The local wall clock in Unix seconds, used only for a response without a `Date`.
    """
    text = headers.get("X-RateLimit-Limit")
    if text is None:
        return None
    window = _parse_window(text, headers.get("X-RateLimit-Reset", ""))
    remaining = _whole(headers.get("X-RateLimit-Remaining", ""))
    # More left than there is of it: the headers are not of one window.
    if window is None or remaining is None or remaining > window[0]:
        return None
    limit, reset = window
    resets_in = reset - (parse_date(headers.get("Date", "")) or wall_now)
    # Of a window that renews within the second of `Date`, rounding can leave less than nothing.
    if not -1.0 <= resets_in <= LONGEST_WAIT:
        return None
    return RateFigures(limit, remaining, reset, max(0.0, resets_in))


@lru_cache(maxsize=8)
def _parse_window(limit_text: str, reset_text: str) -> tuple[int, float] | None:
    """Return limit and reset of one window; a hundred answers in a row carry the same."""
    limit, reset = _whole(limit_text), _number(reset_text)
    if limit is None or reset is None:
        return None
    return (limit, reset) if 1 <= limit <= _LARGEST_LIMIT and reset >= _PLAUSIBLE_UNIX_TIME else None


def parse_retry_after(headers: Mapping[str, str], *, wall_now: float) -> float | None:
    """Return the seconds of `Retry-After`, from 0 to a day, or None where it is absent or unreadable."""
    text = headers.get("Retry-After", "").strip()
    seconds = _number(text)
    if seconds is None:
        moment = parse_date(text)
        if moment is None:
            return None
        seconds = moment - (parse_date(headers.get("Date", "")) or wall_now)
    return clamp_wait(seconds)


def clamp_wait(seconds: float) -> float:
    """Return a wait between 0 and a day."""
    return float(min(max(0.0, seconds), LONGEST_WAIT))


@lru_cache(maxsize=8)
def parse_date(text: str) -> float | None:
    """Return the Unix time of an HTTP date, or None where there is none."""
    # One response after another carries the same second, hence the cache.
    try:
        parsed = parsedate_to_datetime(text)
        # HTTP dates are UTC; a date without a zone would otherwise be read in the machine's own.
        return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


def parse_credits(headers: Mapping[str, str]) -> tuple[int | None, int | None]:
    """Return the API credits left and those used in this billing period; None for what was not told."""
    left, used = headers.get("X-API-Credits-Remaining"), headers.get("X-API-Credits-Used")
    return None if left is None else _whole(left), None if used is None else _whole(used)


def parse_request_id(headers: Mapping[str, str]) -> str | None:
    """Return the server's id of the request, or None."""
    text = headers.get("X-Request-ID")
    return text if text is not None and _REQUEST_ID.fullmatch(text) else None


def _whole(text: str) -> int | None:
    text = text.strip()
    return int(text) if _is_digits(text) else None


def _number(text: str) -> float | None:
    text = text.strip()
    whole, dot, fraction = text.partition(".")
    return float(text) if _is_digits(whole) and (not dot or _is_digits(fraction)) else None


def _is_digits(text: str) -> bool:
    # Python's own conversions also read signs, underscores, exponents, "nan" and the digits of other scripts.
    return text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS
