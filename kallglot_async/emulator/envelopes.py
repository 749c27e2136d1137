"""Answers before they meet the wire, and the error envelopes of both revisions.

Where the documentation gives no code or type for a failure, what stands here is an assumption in the style of
those that it gives.
"""

from __future__ import annotations

from collections.abc import Mapping
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
    headers: Mapping[str, str] = {}
    content_type: str = "application/json"
    analysis_id: str | None = None
    """The analysis that the answer is about."""
    is_replay: bool = False
    """Whether an idempotency key brought back an earlier answer."""

    def with_headers(self, headers: Mapping[str, str]) -> Answer:
        """The same answer with these headers and no others."""
        return msgspec.structs.replace(self, headers=headers)


class Problem(Exception):
    """A request that is answered with an error envelope.

    `param` is the field to blame, `retry_after` whole seconds for the header and (revision B) the body, `allow` the
    methods of the path, for a 405.
    """

    def __init__(
        self,
        status: int,
        type: str,
        code: str,
        message: str,
        *,
        param: str | None = None,
        retry_after: int | None = None,
        allow: str | None = None,
    ) -> None:
        super().__init__(message)
        self._status = status
        self._error = {"type": type, "code": code, "message": message}
        self._param = param
        self._retry_after = retry_after
        self._allow = allow

    def answer(self, revision: Revision, request_id: str) -> Answer:
        """The envelope in the words of one revision."""
        headers = {}
        if self._retry_after is not None:
            headers["Retry-After"] = str(self._retry_after)
        if self._allow is not None:
            headers["Allow"] = self._allow
        error: dict[str, Any] = dict(self._error)
        if revision == "a":
            error |= {"param": self._param, "doc_url": _DOCS + error["code"]}
        else:
            error["request_id"] = request_id
            if self._param is not None:
                error["param"] = self._param
            if self._retry_after is not None:
                error["retry_after"] = self._retry_after
        return Answer(status=self._status, body=_encode({"error": error}), headers=headers)


def json_answer(status: int, body: dict[str, Any], *, headers: dict[str, str] | None = None) -> Answer:
    """An answer in JSON; one whose body is an analysis knows which."""
    analysis_id = body["id"] if body.get("object") == "analysis" else None
    return Answer(status=status, body=_encode(body), headers=headers or {}, analysis_id=analysis_id)


def rate_limited(retry_after: str | None, seconds: int, *, told_in_body: float | None = None) -> Answer:
    """The documented 429, whose three fields are the same in both revisions; `seconds` is what its message says.

    `retry_after` is the header's value and `told_in_body` that of a fourth field; None leaves it out, as in the sample.
    """
    error: dict[str, Any] = {
        "code": "rate_limit_exceeded",
        "message": f"You have exceeded the rate limit. Please retry after {seconds} seconds.",
        "type": "rate_limit_error",
    }
    if told_in_body is not None:
        error["retry_after"] = told_in_body
    headers = {} if retry_after is None else {"Retry-After": retry_after}
    return json_answer(429, {"error": error}, headers=headers)


# Type, code and message by status. Codes of 404 and of 5xx are not documented.
_BY_STATUS: dict[int, tuple[str, str, str]] = {
    400: ("validation_error", "invalid_request", "The request is invalid."),
    401: ("authentication_error", "invalid_api_key", "The API key provided is invalid or has been revoked."),
    402: ("permission_error", "insufficient_api_credits", "API credits exhausted. Purchase more credits to continue."),
    403: ("authorization_error", "insufficient_permissions", "The API key lacks the permission for this request."),
    404: ("not_found_error", "analysis_not_found", "No such analysis."),
    409: ("invalid_request_error", "idempotency_conflict", "A request with this Idempotency-Key is still in progress."),
    422: ("validation_error", "invalid_field_value", "A field of the request is invalid."),
    500: ("api_error", "internal_error", "An internal error occurred."),
    502: ("api_error", "bad_gateway", "An upstream service failed."),
    503: ("api_error", "service_unavailable", "The service is temporarily unavailable."),
    504: ("api_error", "gateway_timeout", "An upstream service did not answer in time."),
}


def problem_for(status: int, *, retry_after: int | None = None) -> Problem:
    """The documented envelope of a status, or a plausible one for any other."""
    type, code, message = _BY_STATUS.get(status, ("api_error", "error", phrase(status)))
    return Problem(status, type, code, message, retry_after=retry_after)


def not_found(what: str, id: str) -> Problem:
    """404; the code is not documented and made in the style of the documented `agent_not_found`."""
    return Problem(404, "not_found_error", f"{what}_not_found", f"No such {what}: '{id}'.", param="id")


def no_such_route(path: str) -> Problem:
    """404 for a path that the API does not have; the code is an assumption."""
    return Problem(404, "not_found_error", "route_not_found", f"Unknown path: '{path}'.")


def invalid_request(message: str, status: int = 400) -> Problem:
    """400 (or another status) for a request that cannot even be read."""
    return Problem(status, "validation_error", "invalid_request", message)


def invalid_field(param: str, message: str, revision: Revision, *, is_missing: bool = False) -> Problem:
    """422 naming the field. Revision A has codes of its own, revision B shows `invalid_request` only."""
    code = "invalid_request"
    if revision == "a":
        code = "missing_required_field" if is_missing else "invalid_field_value"
    return Problem(422, "validation_error", code, message, param=param)


def phrase(status: int) -> str:
    """The reason phrase of a status; "Unknown" for one that HTTP does not define."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"
