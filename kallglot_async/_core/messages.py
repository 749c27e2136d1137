"""Operations to requests, and responses to values or errors. What goes over the wire is decided here.

operation -> `request(operation, ...)` -> [transport] -> Response -> `interpret(operation, response)`
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar

import msgspec

from kallglot_async import errors
from kallglot_async._checks import shown
from kallglot_async._config import Secret
from kallglot_async._core.decoding import (
    MalformedBodyError,
    WrongShapeError,
    decode_analysis,
    decode_json_object,
)
from kallglot_async._core.headers import clamp_wait, parse_request_id, parse_retry_after
from kallglot_async._core.ids import Revision, check_analysis_id, check_session_id
from kallglot_async._version import __version__
from kallglot_async.errors import ConfigurationError
from kallglot_async.models import Analysis

__all__ = [
    "Operation",
    "Response",
    "create_analysis",
    "interpret",
    "request_headers",
    "retrieve_analysis",
    "safe_request_id",
]

T = TypeVar("T")

_USER_AGENT = f"kallglot-async/{__version__}"
_LONGEST_TEXT = 300  # characters of a server's text that reach an error
_PATHS = {Revision.A: "analysis/", Revision.B: "analyses/"}


class Operation(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """One logical call of the API, independent of how often it is sent.

    Attributes:
        name: For errors and logs, for example `analyses.retrieve`.
        method: The HTTP method.
        path: Below the base URL, without a leading slash.
        group: The endpoint group whose rate limit it counts against.
        decode: The body of a 2xx answer to the value.
        body: The request's JSON, or None.
        idempotency_key: Minted once for a logical call that creates something, and sent with every attempt.
    """

    name: str
    method: str
    path: str
    group: str
    decode: Callable[[bytes], T]
    body: bytes | None = None
    idempotency_key: str | None = None

    @property
    def is_repeatable(self) -> bool:
        """Whether sending it twice does nothing twice: a safe method, or an idempotency key."""
        return self.method == "GET" or self.idempotency_key is not None


class Response:
    """A complete answer. Its `repr` shows no header and no body."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    def __repr__(self) -> str:
        return f"<Response {self.status}, {len(self.body)} bytes>"


class _AnotherAnalysisError(Exception):
    """The body describes another analysis than the one asked for."""


def retrieve_analysis(id: str) -> Operation[Analysis]:
    """Return the GET of one analysis; the id's prefix picks the path and the decoder.

    Raises:
        InvalidIdError: It is not an id of an analysis.
    """
    revision = check_analysis_id(id)

    def decode(body: bytes) -> Analysis:
        analysis = decode_analysis(body, revision)
        if analysis.id != id:
            raise _AnotherAnalysisError
        return analysis

    return Operation(
        name="analyses.retrieve", method="GET", path=_PATHS[revision] + id, group="analysis", decode=decode
    )


def create_analysis(
    session_id: str,
    *,
    idempotency_key: str,
    analyses: Sequence[str] | None = None,
    language: str | None = None,
    webhook_url: str | None = None,
    custom_prompts: Mapping[str, str] | None = None,
    profile: str | None = None,
    include: Sequence[str] | None = None,
) -> Operation[Analysis]:
    """Return the POST that requests an analysis: revision A's body with `analyses`, else revision B's.

    Raises:
        ConfigurationError: Fields of both revisions are mixed, or one has an impossible value.
        InvalidIdError: It is not an id of a session.
    """
    check_session_id(session_id)
    _check_text("idempotency_key", idempotency_key)
    of_a = {"language": language, "webhook_url": webhook_url, "custom_prompts": custom_prompts}
    of_b = {"profile": profile, "include": include}
    fields: dict[str, Any]
    if analyses is not None:
        _refuse_mixture(of_b, "analyses= asks for revision A")
        fields = {"analyses": _texts("analyses", analyses), **of_a}
        if custom_prompts is not None:
            fields["custom_prompts"] = _prompts(custom_prompts)
    else:
        _refuse_mixture(of_a, "they belong to revision A, which needs analyses=")
        fields = {"profile": profile, "include": None if include is None else _texts("include", include)}
    for name in ("language", "webhook_url", "profile"):
        if fields.get(name) is not None:
            _check_text(name, fields[name])
    return Operation(
        name="analyses.create",
        method="POST",
        path=f"sessions/{session_id}/analysis",
        group="analysis",  # assumed: the documentation has an analysis group and does not split it
        decode=lambda body: _decode_created(body, session_id),
        body=msgspec.json.encode({name: value for name, value in fields.items() if value is not None}),
        idempotency_key=idempotency_key,
    )


class _Id(msgspec.Struct, frozen=True):
    id: str


_decode_id = msgspec.json.Decoder(_Id).decode


def _decode_created(body: bytes, session_id: str) -> Analysis:
    """Decode a create's answer, whose id says which revision answered."""
    id: object
    try:
        id = _decode_id(body).id
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        id = decode_json_object(body).get("id")
    is_b = isinstance(id, str) and id.startswith(Revision.B.value)
    analysis = decode_analysis(body, Revision.B if is_b else Revision.A)
    try:
        check_analysis_id(analysis.id)
    except errors.InvalidIdError:
        raise WrongShapeError("Expected the id of an analysis - at `$.id`") from None
    if analysis.session_id not in {None, session_id}:
        raise _AnotherAnalysisError
    return analysis


def _prompts(prompts: Mapping[str, str]) -> dict[str, str]:
    if not isinstance(prompts, Mapping):
        raise ConfigurationError(
            f"custom_prompts maps components to prompts, it is not {type(prompts).__name__}: write {{'summary': '...'}}"
        )
    return {_check_text("custom_prompts", key): _check_text("custom_prompts", text) for key, text in prompts.items()}


def _refuse_mixture(fields: Mapping[str, object], reason: str) -> None:
    given = [name for name, value in fields.items() if value is not None]
    if given:
        raise ConfigurationError(f"{', '.join(given)} cannot be used here: {reason}")


def _texts(name: str, values: Sequence[str]) -> list[str]:
    if isinstance(values, str | bytes):
        raise ConfigurationError(f"{name} is a list of names, not one text: write {name}=[{shown(values)}]")
    try:
        texts = [_check_text(name, value) for value in values]
    except TypeError:
        raise ConfigurationError(f"{name} is a list of names, not {type(values).__name__}") from None
    if not texts:
        raise ConfigurationError(f"{name} is empty: name at least one component")
    return texts


def _check_text(name: str, value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ConfigurationError(f"{name} is a text that is not empty, not {type(value).__name__} {shown(value, 40)}")
    if name == "idempotency_key" and not (value.isascii() and value.isprintable()):
        raise ConfigurationError("idempotency_key is visible ASCII, which a header can carry: use a UUID")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ConfigurationError(
            f"{name} holds half a character (a lone surrogate): decode its source as UTF-8"
        ) from None
    return value


def request_headers(operation: Operation[Any], key: Secret) -> dict[str, str]:
    """Return the headers of one attempt; the key goes here and nowhere else."""
    headers = {
        "Authorization": f"Bearer {key.reveal()}",
        "Accept": "application/json",
        "User-Agent": _USER_AGENT,
    }
    if operation.body is not None:
        headers["Content-Type"] = "application/json"
    if operation.idempotency_key is not None:
        headers["Idempotency-Key"] = operation.idempotency_key
    return headers


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
    try:
        return operation.decode(response.body)
    except MalformedBodyError as malformed:
        kind, what = errors.ResponseBodyError, f"{response.status}, but {malformed}"
    except WrongShapeError as shape:
        kind, what = errors.ResponseSchemaError, f"in another shape: {shape}"
    except _AnotherAnalysisError:
        kind, what = errors.ResponseMismatchError, "with another analysis than the one asked for"
    raise kind(
        f"{name} was answered {what}",
        operation=name,
        status=response.status,
        request_id=safe_request_id(response, key),
    )


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
            request_id=safe_request_id(response, key),
        )
    kind, default = _BY_STATUS.get(status, (errors.APIError, f"the API answered {status}"))
    if status >= 500:
        kind, default = errors.ServerError, f"the API failed with {status}"
    body = _error_body(response.body)
    message = _text(body.message, key) or default
    if kind is errors.NotFoundError and operation.name == "analyses.retrieve":
        message = message.rstrip(".") + _RETENTION
    return kind(
        message,
        operation=operation.name,
        status=status,
        code=_text(body.code, key),
        type=_text(body.type, key),
        param=_text(body.param, key),
        request_id=_text(body.request_id, key) or safe_request_id(response, key),
        retry_after=_retry_after(response, body, wall_now),
    )


def _error_body(body: bytes) -> _ErrorBody:
    """Return the documented envelope's fields; anything else is an envelope without fields."""
    try:
        inner = decode_json_object(body).get("error")
    except (MalformedBodyError, WrongShapeError):
        return _ErrorBody()
    if isinstance(inner, str):
        return _ErrorBody(message=inner)
    if not isinstance(inner, dict):
        return _ErrorBody()
    return _ErrorBody(**{name: inner.get(name) for name in _ErrorBody.__struct_fields__})


def _text(value: object, key: Secret) -> str | None:
    """Return a server's text made safe for one line of a log: short, printable, without our key."""
    if not isinstance(value, str):
        return None
    start = key.redact(value)[:_LONGEST_TEXT]
    return "".join(char if char.isprintable() else " " for char in start).strip() or None


def _retry_after(response: Response, body: _ErrorBody, wall_now: float) -> float | None:
    header = parse_retry_after(response.headers, wall_now=wall_now)
    if header is not None:
        return header
    seconds = body.retry_after
    is_number = isinstance(seconds, int | float) and not isinstance(seconds, bool) and seconds == seconds
    return clamp_wait(seconds) if is_number else None


def safe_request_id(response: Response, key: Secret) -> str | None:
    """Return the server's id of the request, without our key; None where it sent none."""
    text = parse_request_id(response.headers)
    return None if text is None else key.redact(text)
