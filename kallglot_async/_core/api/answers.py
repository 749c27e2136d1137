"""The headers of a request, and what an answer means: its headers as typed values, and a value or one of our errors.

What cannot be true in a header is treated as absent. Documented: `X-RateLimit-Limit`, `-Remaining`, `-Reset` (Unix
seconds on the server's clock), `Retry-After` (integer seconds; a date is accepted because HTTP allows it),
`X-API-Credits-*`, `X-Request-ID`. Not documented, but what gateways in front of an API do: a reset with a fraction, in
milliseconds or in seconds from now, several values of one header, each of another limit, and the headers that are to
become the standard (`spellings`); a `Retry-After` in Unix seconds or milliseconds, as a date of ISO 8601 or as a
duration; a reset alone beside a refusal.

Here is the error table. Statuses decide, but for a refusal for rate under another one (`is_refused`); the documented
envelope explains:
`{"error": {"code", "message", "type", "param", ...}}`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar

import msgspec
from multidict import istr

from kallglot_async import errors
from kallglot_async._config import KEY_MARK, Secret
from kallglot_async._core.api.lenient_json import MalformedBodyError, WrongShapeError, decode_json_object
from kallglot_async._core.api.meaning import EXPLAINED
from kallglot_async._core.api.operation import Operation, Response, WrongResourceError
from kallglot_async._core.api.spellings import decimal_reset, lines_of, standard_fields, ungrouped
from kallglot_async._extra_headers import user_agent

__all__ = [
    "COMMON_HEADERS", "DOCUMENTED_PERIOD", "LONGEST_WAIT", "RETRY_AFTER", "ROUNDING", "SAME_RESET", "RateFigures",
    "clamp_wait", "date_of", "figures_at", "interpret", "is_refused", "named_wait", "one_line", "parse_credits",
    "parse_date", "parse_rate_figures", "parse_retry_after", "request_headers", "request_id_of", "stream_headers",
]  # fmt: skip

T = TypeVar("T")

DOCUMENTED_PERIOD = 60.0  # seconds; "requests per minute" in every table of the documentation
ROUNDING = 1.0  # seconds by which whole-second headers can overstate the time left
SAME_RESET = 0.5  # seconds by which two resets of one window may differ: half the unit they are told in
LONGEST_WAIT = 86_400.0  # a longer Retry-After or window than a day is taken as a day
_PLAUSIBLE_UNIX_TIME = 1_000_000_000.0  # 2001: anything below is not a moment but something else
_MOST_SKEW = 300.0  # seconds by which the clock of a server that sends no `Date` may be behind ours; more is no clock
_LARGEST_LIMIT = 10**9
# Python's own conversions also read signs, underscores, exponents, "nan" and the digits of other scripts.
# Counts too are written as fractions: `998.0` by a language that has no other numbers, `9.97` of a bucket that fills
# evenly, of which what is less than one allows none.
_WHOLE = re.compile(r"\s*([0-9]{1,18})(?:\.[0-9]{1,18})?\s*")
_NUMBER = re.compile(r"\s*([0-9]{1,18}(?:\.[0-9]{1,18})?)\s*")
_LONGEST_TEXT = 300  # characters of a server's text that reach an error
_LONGEST_REFUSAL = 1000  # bytes; a success that is larger is not searched for one
# Folded once: a name that is a plain `str` is folded for each look into headers, which costs as much as the look.
_LIMIT, _REMAINING, _RESET = istr("X-RateLimit-Limit"), istr("X-RateLimit-Remaining"), istr("X-RateLimit-Reset")
_CREDITS_LEFT, _CREDITS_USED = istr("X-API-Credits-Remaining"), istr("X-API-Credits-Used")
_DATE, RETRY_AFTER, _ID = istr("Date"), istr("Retry-After"), istr("X-Request-ID")
_AUTHORIZATION, _CACHE_CONTROL = istr("Authorization"), istr("Cache-Control")
_POSSIBLE_ID = re.compile(r"[!-~]{1,200}", re.ASCII)
_USER_AGENT = user_agent(None)

COMMON_HEADERS: Mapping[str, str] = {"Accept": "application/json", "User-Agent": _USER_AGENT}
"""What every request sends besides its own headers, and which those win over."""


def request_headers(operation: Operation[Any], key: Secret) -> dict[str, str]:
    """Return the headers of one attempt. The key goes into these and those below, and nowhere else."""
    headers: dict[str, str] = {_AUTHORIZATION: key.credential}
    if operation.method == "GET":
        # A cache in between would show an analysis as it was.
        headers[_CACHE_CONTROL] = "no-cache"
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
        headers[_AUTHORIZATION] = key.credential
    return headers


class RateFigures(msgspec.Struct, frozen=True, gc=False):
    """What one response says of its window.

    Attributes:
        limit: Requests in a window.
        remaining: Requests it still holds after this one.
        reset: When it renews, in Unix seconds on the server's clock.
        resets_in: The same in seconds from the response's `Date`, which makes the local clock irrelevant.
            `Date` has whole seconds, so this is up to 1 s too long, never too short by more than rounding.
        spread: Seconds by which the resets of two responses from one window may differ as told: 1 where they are
            told in whole seconds from now, because the moment those are counted from is rounded too.
        by_our_clock: The seconds until the reset if both clocks were right, maybe less than none; only where the
            response had no `Date`, and None elsewhere.
    """

    limit: int
    remaining: int
    reset: float
    resets_in: float
    spread: float = 0.0
    by_our_clock: float | None = None


def parse_rate_figures(headers: Mapping[str, str], *, wall_now: float) -> RateFigures | None:
    """Return the figures, or None where they are missing, incomplete or contradict themselves.

    Where a gateway and the API each tell of a limit of their own, in repeated lines or as `a, b` in one, the
    strictest counts: the smallest remaining with the reset beside it, and the smallest limit. What cannot be read
    among them is left out.

    Args:
        headers: The response's headers.
        wall_now: The local wall clock in Unix seconds, used only where the response does not tell the moment.
    """
    return figures_at(headers, date_of(headers), wall_now)


def figures_at(headers: Mapping[str, str], dated: float | None, wall_now: float) -> RateFigures | None:
    """Return the same of a response whose `Date` was read already."""
    getall = getattr(headers, "getall", None)
    if getall is None:
        limits, text, resets = headers.get(_LIMIT, ""), headers.get(_REMAINING, ""), headers.get(_RESET, "")
    else:  # every line of each, joined as HTTP joins lines
        limits, text = ", ".join(getall(_LIMIT, ())), ", ".join(getall(_REMAINING, ()))
        resets = ", ".join(getall(_RESET, ()))
    if not (limits and text and resets):
        limits, text, resets = standard_fields(headers)
        if not (limits and text and resets):
            return None
    if "," in text or "," in limits:
        limits, text = ungrouped(limits, resets), ungrouped(text, resets)
    now = dated or wall_now
    limit, told, latest, is_one = _parse_window(limits, resets, now, dated is not None)
    if is_one and "," not in text:
        remaining = _whole(text)
    else:
        remaining, told = _strictest(text, limit, told)
        latest = _latest(told)
    # More left than there is of it: the headers are not of one window.
    if limit is None or latest is None or remaining is None or remaining > limit:
        return None
    moment, resets_in, spread, by_our_clock = latest
    reset = wall_now + resets_in if moment is None else moment
    return RateFigures(limit, remaining, reset, resets_in, spread, by_our_clock)


class _Reset(NamedTuple):
    """A reset as it was told: a moment, by the server's clock, and the seconds until then.

    The moment is None where a fraction of a second from now was told, which no clock but ours is as exact as.
    """

    moment: float | None
    resets_in: float
    spread: float = 0.0
    by_our_clock: float | None = None


@lru_cache(maxsize=8)
def _parse_window(
    limits: str, resets: str, now: float, is_dated: bool
) -> tuple[int | None, list[_Reset | None], _Reset | None, bool]:
    """Return the smallest limit, every reset in its place, the latest of those, and whether there is one of each.

    A hundred answers in a row carry the same.
    """
    # Behind a semicolon may stand whose it is, as in `150;w=60`.
    whole = [_whole(text.partition(";")[0]) for text in limits.split(",")]
    found = [limit for limit in whole if limit and limit <= _LARGEST_LIMIT]
    told = [_parse_reset(text, now, is_dated=is_dated) for text in resets.split(",")]
    return min(found, default=None), told, _latest(told), "," not in limits + resets


def _parse_reset(text: str, now: float, *, is_dated: bool) -> _Reset | None:
    """Read Unix seconds or milliseconds, or seconds from now; the ranges in which each can be do not meet."""
    if (number := _number(text)) is None and (number := _number(text := decimal_reset(text))) is None:
        return None
    if number <= LONGEST_WAIT:
        if "." in text:
            return _Reset(None, number)
        # Added to a `Date` in whole seconds: one moment, for every window that ends on a whole one.
        return _Reset(now + number, number, 1.0)
    if number >= _PLAUSIBLE_UNIX_TIME * 100:
        number /= 1000
    if number < _PLAUSIBLE_UNIX_TIME:
        return None
    # Of a window that renews within the second of `Date`, rounding can leave less than nothing; clocks differ by more.
    left, least = number - now, -1.0 if is_dated else -_MOST_SKEW
    resets_in = max(0.0, left) if least <= left <= LONGEST_WAIT else math.nan
    return _Reset(number, resets_in, 0.0, None if is_dated else left)


def _latest(resets: list[_Reset | None]) -> _Reset | None:
    """Return the reset that is farthest away; None where none is possible."""
    possible = [reset for reset in resets if reset is not None and not math.isnan(reset.resets_in)]
    return max(possible, key=lambda reset: reset.resets_in, default=None)


def _strictest(text: str, limit: int | None, resets: list[_Reset | None]) -> tuple[int | None, list[_Reset | None]]:
    """Return the smallest of several remaining, and the resets beside it; all, where it is not told which those are."""
    figures = [_whole(part) for part in text.split(",")]
    least = min((figure for figure in figures if figure is not None), default=None)
    if len(figures) == len(resets):
        beside = [reset for figure, reset in zip(figures, resets, strict=True) if figure == least]
        resets = [reset for reset in beside if reset is not None] or resets
    return least if least is None or limit is None else min(least, limit), resets


def parse_retry_after(headers: Mapping[str, str], *, wall_now: float) -> float | None:
    """Return the seconds of `Retry-After`, from 0 to a day, or None where it is absent or unreadable.

    A date counts from the response's own `Date`, or without one from `wall_now`, the local clock in Unix seconds. Of
    several values the longest counts.
    """
    found = [_wait(text, headers, wall_now) for text in lines_of(headers, RETRY_AFTER)]
    return max((clamp_wait(seconds) for seconds in found if seconds is not None), default=None)


def _wait(text: str, headers: Mapping[str, str], wall_now: float) -> float | None:
    if (seconds := _number(decimal_reset(text) or text)) is not None and seconds < _PLAUSIBLE_UNIX_TIME:
        return seconds
    # A date before the list, as there is a comma in it. Some servers name the moment in Unix seconds or milliseconds.
    moment = parse_date(text) if seconds is None else seconds / (1000 if seconds >= _PLAUSIBLE_UNIX_TIME * 100 else 1)
    if moment is not None:
        return moment - (date_of(headers) or wall_now)
    return max((seconds for part in text.split(",") if (seconds := _number(part)) is not None), default=None)


def clamp_wait(seconds: float) -> float:
    """Return a wait between 0 and a day."""
    return float(min(max(0.0, seconds), LONGEST_WAIT))


def date_of(headers: Mapping[str, str]) -> float | None:
    """Return the Unix time at which an answer was made, by its `Date`; None where it does not tell."""
    return parse_date(headers.get(_DATE, ""))


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
    left, used = headers.get(_CREDITS_LEFT), headers.get(_CREDITS_USED)
    return None if left is None else _whole(ungrouped(left)), None if used is None else _whole(ungrouped(used))


def request_id_of(headers: Mapping[str, str], key: Secret) -> str | None:
    """Return the server's id of the request, without our key; None where it sent none."""
    text = headers.get(_ID)
    if text is None or not _POSSIBLE_ID.fullmatch(text):
        return None
    return _masked(text, key)


def _masked(text: str, key: Secret) -> str:
    """Return a server's text without our key."""
    return key.redact(text) if KEY_MARK in text else text


def _whole(text: str) -> int | None:
    return int(match[1]) if (match := _WHOLE.fullmatch(text)) else None


def _number(text: str) -> float | None:
    return float(match[1]) if (match := _NUMBER.fullmatch(text)) else None


def interpret(operation: Operation[T], response: Response, *, key: Secret, wall_now: float) -> T:
    """Return the value of a 2xx answer.

    Raises:
        InvalidResponseError: The answer cannot be used.
        APIError: The API answered with an error status.
    """
    if not 200 <= response.status < 300 or is_refused(response):
        raise _refusal(operation, response, key, wall_now)
    name = operation.name
    kind: type[errors.InvalidResponseError]
    path, is_foreign = None, False
    try:
        return operation.decode(response.body) if operation.read is None else operation.read(response)
    except MalformedBodyError as malformed:
        kind, what = errors.ResponseBodyError, f"{response.status}, but {malformed}"
        # One that aiohttp does not know is left as it is, and looks like a body of nonsense.
        if packed := one_line(response.headers.get("Content-Encoding"), key):
            what += f", with Content-Encoding {packed}"
    except WrongShapeError as shape:
        kind, what = errors.ResponseSchemaError, f"in another shape: {shape}"
        path, is_foreign = shape.path, shape.is_foreign
        if is_foreign and (said := _error_body(response.body)) and (told := one_line(said.message, key)):
            what = f"{response.status}, but with an error: {told}"
    except WrongResourceError as wrong:
        kind, what = errors.ResponseMismatchError, f"with {wrong}"
    # Outside the handlers: what a decoder raises may hold the body, and is no context of an error that is logged.
    unusable = kind(
        f"{name} was answered {what} (a body of {len(response.body)} bytes)",
        operation=name,
        status=response.status,
        request_id=request_id_of(response.headers, key),
        size=len(response.body),
    )
    if isinstance(unusable, errors.ResponseSchemaError):
        unusable.path = path
        # Set only where it differs from the class's, as what stands on the instance is told, stored and compared.
        if is_foreign:
            unusable.is_foreign = True
    if not response.body:
        unusable.is_empty = True
    # On a 200 that was cut it tells of the rate limit, if of anything.
    if response.status in {202, 204}:
        unusable.retry_after = parse_retry_after(response.headers, wall_now=wall_now)
    raise unusable


class _ErrorBody(msgspec.Struct, frozen=True):
    code: Any = None
    type: Any = None
    message: Any = None
    param: Any = None
    request_id: Any = None
    retry_after: Any = None


class _ErrorText(_ErrorBody, frozen=True):
    """A text in its place, as gateways have it: words for people, and nobody's envelope."""


# Status to class, and what to say where the API sent no message.
_BY_STATUS: dict[int, tuple[type[errors.APIError], str]] = {
    400: (errors.InvalidRequestError, "the request is not valid"),
    401: (errors.AuthenticationError, "the API key is missing, unknown, expired or revoked"),
    402: (errors.InsufficientCreditsError, "the account has no API credits left"),
    403: (errors.PermissionDeniedError, "the API key may not do this"),
    404: (errors.NotFoundError, "there is no such resource"),
    409: (errors.ConflictError, "the request conflicts with another one"),
    422: (errors.InvalidRequestError, "the request failed validation"),
    429: (errors.RateLimitedError, "the rate limit is exceeded"),
}

_RETENTION = "; results are kept for 90 days: after that, request the analysis again"


def _refusal(
    operation: Operation[Any], response: Response, key: Secret, wall_now: float
) -> errors.APIError | errors.InvalidResponseError:
    """Return the error that an answer stands for which is no success."""
    status = response.status
    if 300 <= status < 400:
        return errors.UnexpectedRedirectError(
            f"{operation.name} was answered with a redirect ({status}), which is not followed; check base_url",
            operation=operation.name,
            status=status,
            request_id=request_id_of(response.headers, key),
        )
    # By the status and not by the code, which is documented for some failures only; but for the one below.
    kind, default = _BY_STATUS.get(status, (errors.APIError, f"the API answered {status}"))
    if is_refused(response):
        kind, default = _BY_STATUS[429]
    elif status >= 500:
        kind, default = errors.ServerError, f"the API failed with {status}"
    body = _error_body(response.body)
    message = (one_line(body.message, key) if body is not None else None) or default
    is_enveloped = body is not None and not isinstance(body, _ErrorText)
    if body is None and status in EXPLAINED:
        message += "; the answer does not look like the API's: look for a gateway or firewall between, and at base_url"
    elif kind is errors.NotFoundError and operation.name == "analyses.retrieve":
        message = message.rstrip(".") + _RETENTION
    body = body or _ErrorBody()
    refusal = kind(
        message,
        operation=operation.name,
        status=status,
        code=one_line(body.code, key),
        type=one_line(body.type, key),
        param=one_line(body.param, key),
        request_id=one_line(body.request_id, key) or request_id_of(response.headers, key),
        retry_after=_retry_after(response, body, wall_now),
    )
    if not is_enveloped:
        refusal.is_enveloped = False
    return refusal


def is_refused(response: Response) -> bool:
    """Whether an answer is a refusal for rate: by its status, or as its envelope says so under another one.

    Some gateways turn a 429 into a 403, a 503, or a success with an error in its body.
    """
    status, body = response.status, response.body
    if status == 429 or (status < 300 and len(body) > _LONGEST_REFUSAL) or b"rate_limit_" not in body:
        return status == 429
    try:
        plain = decode_json_object(body)
    except (MalformedBodyError, WrongShapeError):
        return False
    told = plain.get("error")
    # An analysis that failed for this reason is what was asked for.
    if not isinstance(told, dict) or "id" in plain:
        return False
    return told.get("code") == "rate_limit_exceeded" or told.get("type") == "rate_limit_error"


def _error_body(body: bytes) -> _ErrorBody | None:
    """Return the documented envelope's fields, or a text in its place; None where there is nothing that explains."""
    try:
        inner = decode_json_object(body).get("error")
    except (MalformedBodyError, WrongShapeError):
        return None
    if isinstance(inner, str):
        return _ErrorText(message=inner)
    if not isinstance(inner, dict):
        return None
    return _ErrorBody(**{name: inner.get(name) for name in _ErrorBody.__struct_fields__})


def one_line(value: object, key: Secret, *, longest: int = _LONGEST_TEXT) -> str | None:
    """Return a server's text made safe for one line of a log: short, printable, without our key."""
    if not isinstance(value, str):
        return None
    start = _masked(value, key)[:longest]
    return "".join(char if char.isprintable() else " " for char in start).strip() or None


def named_wait(response: Response, wall_now: float) -> float | None:
    """Return the seconds after which a refusal says to come back: the larger of `Retry-After` and the body's field."""
    return _retry_after(response, _error_body(response.body) or _ErrorBody(), wall_now)


def _retry_after(response: Response, body: _ErrorBody, wall_now: float) -> float | None:
    header = parse_retry_after(response.headers, wall_now=wall_now)
    if header is None and response.status == 429:
        header = _lone_reset(response.headers, wall_now)
    told: Any = _number(body.retry_after) if isinstance(body.retry_after, str) else body.retry_after
    # The comparison refuses what is negative, and "not a number" with it.
    is_wait = isinstance(told, int | float) and not isinstance(told, bool) and told >= 0
    return max(header or 0.0, clamp_wait(told)) if is_wait else header


def _lone_reset(headers: Mapping[str, str], wall_now: float) -> float | None:
    """Return the seconds to a reset that no limit stands beside, as some servers send it with a refusal alone."""
    if _RESET not in headers or _LIMIT in headers:
        return None
    date = date_of(headers)
    told = _latest([_parse_reset(headers[_RESET], date or wall_now, is_dated=date is not None)])
    return None if told is None else told.resets_in
