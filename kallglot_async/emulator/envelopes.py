"""Answers before they meet the wire, and the error envelopes of both revisions.

Where the documentation gives no code or type for a failure, the table below says what is assumed.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import msgspec

from kallglot_async.emulator.routes import Revision

_encode = msgspec.json.Encoder().encode

_DOCS = "https://developer.kallglot.com/errors#"


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """One response: status, headers and body, independent of how (and whether) it is delivered."""

    status: int
    body: bytes
    headers: dict[str, str] = {}
    content_type: str = "application/json"
    analysis_id: str | None = None
    """The analysis that the answer is about."""
    is_replay: bool = False
    """Whether an idempotency key brought back an earlier answer."""

    def with_headers(self, headers: dict[str, str]) -> Answer:
        """The same answer with these headers and no others."""
        return msgspec.structs.replace(self, headers=headers)


class Problem(Exception):
    """A request that is answered with an error envelope.

    Args:
        status: HTTP status.
        code: Machine-readable code.
        message: Text for people.
        type: Error category.
        param: The offending field, if one is to blame.
        retry_after: Whole seconds to wait, for the header and (revision B) the body.
        allow: Methods of the path, for a 405.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        type: str,
        param: str | None = None,
        retry_after: int | None = None,
        allow: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.type = type
        self.param = param
        self.retry_after = retry_after
        self.allow = allow

    def answer(self, revision: Revision, request_id: str) -> Answer:
        """The envelope in the words of one revision."""
        headers = {}
        if self.retry_after is not None:
            headers["Retry-After"] = str(self.retry_after)
        if self.allow is not None:
            headers["Allow"] = self.allow
        error = self._error_a() if revision == "a" else self._error_b(request_id)
        return Answer(status=self.status, body=_encode({"error": error}), headers=headers)

    def _error_a(self) -> dict[str, Any]:
        return {
            "code": self.code,
            "message": self.message,
            "type": self.type,
            "param": self.param,
            "doc_url": _DOCS + self.code,
        }

    def _error_b(self, request_id: str) -> dict[str, Any]:
        error: dict[str, Any] = {
            "type": self.type,
            "code": self.code,
            "message": self.message,
            "request_id": request_id,
        }
        if self.param is not None:
            error["param"] = self.param
        if self.retry_after is not None:
            error["retry_after"] = self.retry_after
        return error


def analysis_answer(status: int, body: dict[str, Any]) -> Answer:
    """An analysis as JSON."""
    return Answer(status=status, body=_encode(body), analysis_id=body["id"])


def json_answer(status: int, body: dict[str, Any], *, headers: dict[str, str] | None = None) -> Answer:
    """Anything else as JSON."""
    return Answer(status=status, body=_encode(body), headers=headers or {})


def rate_limited(retry_after: str | None, seconds: int) -> Answer:
    """The documented 429: both revisions show the same three fields.

    Args:
        retry_after: Value of the header; None: no such header.
        seconds: What the message tells people to wait.
    """
    error = {
        "code": "rate_limit_exceeded",
        "message": f"You have exceeded the rate limit. Please retry after {seconds} seconds.",
        "type": "rate_limit_error",
    }
    headers = {} if retry_after is None else {"Retry-After": retry_after}
    return Answer(status=429, body=_encode({"error": error}), headers=headers)


def invalid_key(message: str = "The API key provided is invalid or has been revoked.") -> Problem:
    """401, for a key that is missing, unknown or of the wrong environment."""
    return Problem(401, "invalid_api_key", message, type="authentication_error")


def not_found(what: str, id: str) -> Problem:
    """404; the code is not documented and made in the style of the documented `agent_not_found`."""
    return Problem(404, f"{what}_not_found", f"No such {what}: '{id}'.", type="not_found_error", param="id")


def no_such_route(path: str) -> Problem:
    """404 for a path that the API does not have; the code is an assumption."""
    return Problem(404, "route_not_found", f"Unknown path: '{path}'.", type="not_found_error")


def wrong_method(method: str, allow: str) -> Problem:
    """405; not documented at all."""
    text = f"Method {method} is not allowed here."
    return Problem(405, "method_not_allowed", text, type="invalid_request_error", allow=allow)


def invalid_request(message: str, status: int = 400) -> Problem:
    """400 (or another status) for a request that cannot even be read."""
    return Problem(status, "invalid_request", message, type="validation_error")


def invalid_field(param: str, message: str, revision: Revision, *, is_missing: bool = False) -> Problem:
    """422 naming the field. Revision A has codes of its own, revision B shows `invalid_request` only."""
    code = "invalid_request"
    if revision == "a":
        code = "missing_required_field" if is_missing else "invalid_field_value"
    return Problem(422, code, message, type="validation_error", param=param)


def no_credits() -> Problem:
    """402, as in the documented sample."""
    message = "API credits exhausted. Purchase more credits to continue."
    return Problem(402, "insufficient_api_credits", message, type="permission_error")


def key_reused() -> Problem:
    """400 for an idempotency key that came with another body."""
    message = "This Idempotency-Key was used with a different request body."
    return Problem(400, "idempotency_mismatch", message, type="invalid_request_error")


def key_in_flight(retry_after: int) -> Problem:
    """409 for a duplicate of a request in progress; that it carries `Retry-After` is inferred."""
    message = "A request with this Idempotency-Key is still in progress."
    return Problem(409, "idempotency_conflict", message, type="invalid_request_error", retry_after=retry_after)


# Type, code and message for a status that a fault asks for; 5xx codes are not documented.
_BY_STATUS: dict[int, tuple[str, str, str]] = {
    400: ("validation_error", "invalid_request", "The request is invalid."),
    401: ("authentication_error", "invalid_api_key", "The API key provided is invalid or has been revoked."),
    402: (
        "permission_error",
        "insufficient_api_credits",
        "API credits exhausted. Purchase more credits to continue.",
    ),
    403: (
        "authorization_error",
        "insufficient_permissions",
        "The API key lacks the permission for this request.",
    ),
    404: ("not_found_error", "analysis_not_found", "No such analysis."),
    409: (
        "invalid_request_error",
        "idempotency_conflict",
        "A request with this Idempotency-Key is in progress.",
    ),
    422: ("validation_error", "invalid_field_value", "A field of the request is invalid."),
    500: ("api_error", "internal_error", "An internal error occurred."),
    502: ("api_error", "bad_gateway", "An upstream service failed."),
    503: ("api_error", "service_unavailable", "The service is temporarily unavailable."),
    504: ("api_error", "gateway_timeout", "An upstream service did not answer in time."),
}


def problem_for(status: int) -> Problem:
    """A plausible envelope for any status."""
    type_, code, message = _BY_STATUS.get(status, ("api_error", "error", phrase(status)))
    return Problem(status, code, message, type=type_)


def phrase(status: int) -> str:
    """The reason phrase of a status; "Unknown" for one that HTTP does not define."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"
