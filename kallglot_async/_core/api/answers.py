"""What an answer means: a value, or one of our errors by its status. Here is the error table.

Statuses decide, the documented envelope explains: `{"error": {"code", "message", "type", "param", ...}}`.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from kallglot_async import errors
from kallglot_async._config import Secret
from kallglot_async._core.api.headers import clamp_wait, parse_retry_after, request_id_of
from kallglot_async._core.api.lenient_json import MalformedBodyError, WrongShapeError, decode_json_object
from kallglot_async._core.api.operation import Operation, Response, WrongResourceError

__all__ = ["interpret", "named_wait", "one_line"]

T = TypeVar("T")

_LONGEST_TEXT = 300  # characters of a server's text that reach an error


def interpret(operation: Operation[T], response: Response, *, key: Secret, wall_now: float) -> T:
    """Return the value of a 2xx answer.

    Raises:
        InvalidResponseError: The answer cannot be used.
        APIError: The API answered with an error status.
    """
    if not 200 <= response.status < 300:
        raise _refusal(operation, response, key, wall_now)
    name = operation.name
    kind: type[errors.InvalidResponseError]
    path: str | None = None
    try:
        return operation.decode(response.body) if operation.read is None else operation.read(response)
    except MalformedBodyError as malformed:
        kind, what = errors.ResponseBodyError, f"{response.status}, but {malformed}"
    except WrongShapeError as shape:
        kind, what, path = errors.ResponseSchemaError, f"in another shape: {shape}", shape.path
    except WrongResourceError as wrong:
        kind, what = errors.ResponseMismatchError, f"with {wrong}"
    unusable = kind(
        f"{name} was answered {what} (a body of {len(response.body)} bytes)",
        operation=name,
        status=response.status,
        request_id=request_id_of(response.headers, key),
        size=len(response.body),
    )
    if isinstance(unusable, errors.ResponseSchemaError):
        unusable.path = path
    if not response.body:
        unusable.is_empty, unusable.retry_after = True, parse_retry_after(response.headers, wall_now=wall_now)
    raise unusable


class _ErrorBody(msgspec.Struct, frozen=True):
    code: Any = None
    type: Any = None
    message: Any = None
    param: Any = None
    request_id: Any = None
    retry_after: Any = None


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


_STRANGE = frozenset({400, 401, 403, 404})  # the API explains these

_RETENTION = "; results are kept for 90 days: after that, request the analysis again"


def _refusal(
    operation: Operation[Any], response: Response, key: Secret, wall_now: float
) -> errors.APIError | errors.InvalidResponseError:
    """Return the error that an answer outside 2xx stands for, by its status alone."""
    status = response.status
    if 300 <= status < 400:
        return errors.UnexpectedRedirectError(
            f"{operation.name} was answered with a redirect ({status}), which is not followed; check base_url",
            operation=operation.name,
            status=status,
            request_id=request_id_of(response.headers, key),
        )
    # By the status and not by the code: codes are documented for some failures only, and a gateway has none.
    kind, default = _BY_STATUS.get(status, (errors.APIError, f"the API answered {status}"))
    if status >= 500:
        kind, default = errors.ServerError, f"the API failed with {status}"
    body = _error_body(response.body)
    message = (one_line(body.message, key) if body is not None else None) or default
    if body is None and status in _STRANGE:
        message += "; the answer does not look like the API's: look for a gateway or firewall between, and at base_url"
    elif kind is errors.NotFoundError and operation.name == "analyses.retrieve":
        message = message.rstrip(".") + _RETENTION
    is_enveloped, body = body is not None, body or _ErrorBody()
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


def _error_body(body: bytes) -> _ErrorBody | None:
    """Return the documented envelope's fields; None where there is no envelope, so that it is not the API's."""
    try:
        inner = decode_json_object(body).get("error")
    except (MalformedBodyError, WrongShapeError):
        return None
    if isinstance(inner, str):
        return _ErrorBody(message=inner)
    if not isinstance(inner, dict):
        return None
    return _ErrorBody(**{name: inner.get(name) for name in _ErrorBody.__struct_fields__})


def one_line(value: object, key: Secret, *, longest: int = _LONGEST_TEXT) -> str | None:
    """Return a server's text made safe for one line of a log: short, printable, without our key."""
    if not isinstance(value, str):
        return None
    start = key.redact(value)[:longest]
    return "".join(char if char.isprintable() else " " for char in start).strip() or None


def named_wait(response: Response, wall_now: float) -> float | None:
    """Return the seconds after which a refusal says to come back: the larger of `Retry-After` and the body's field."""
    return _retry_after(response, _error_body(response.body) or _ErrorBody(), wall_now)


def _retry_after(response: Response, body: _ErrorBody, wall_now: float) -> float | None:
    header, told = parse_retry_after(response.headers, wall_now=wall_now), body.retry_after
    is_wait = isinstance(told, int | float) and not isinstance(told, bool) and told >= 0  # which "not a number" is not
    return max(header or 0.0, clamp_wait(told)) if is_wait else header
