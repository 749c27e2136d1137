"""Every error this library raises. One root, and branches that say who must act.

KallglotError
├── ConfigurationError (ValueError)          fix the call, the settings, or what you gave to be called
│   └── InvalidIdError                       this is not an id of the kind that was asked for
├── RequestError                             one request did not give what was asked for
│   ├── TransportError                       no complete answer arrived
│   │   ├── ConnectError (ConnectionError)   never connected, so never sent
│   │   ├── ProxyError                       the proxy refused, not the API
│   │   ├── TLSError                         certificate or handshake; retrying cannot help soon
│   │   ├── RequestTimeoutError (TimeoutError)
│   │   ├── ConnectionLostError (ConnectionError)
│   │   └── ProtocolError                    what arrived was not HTTP
│   ├── InvalidResponseError                 an answer arrived that cannot be used
│   │   ├── ResponseBodyError                not JSON, cut short, or badly encoded
│   │   ├── ResponseTooLargeError
│   │   ├── ResponseSchemaError              what identifies it is missing or of another type
│   │   ├── ResponseMismatchError            it describes something else than what was asked for
│   │   └── UnexpectedRedirectError          a redirect that is not followed
│   └── APIError                             the API said no
│       ├── InvalidRequestError              400, 422
│       ├── AuthenticationError              401
│       ├── InsufficientCreditsError         402
│       ├── PermissionDeniedError            403
│       ├── NotFoundError                    404
│       ├── ConflictError                    409
│       ├── RateLimitedError                 429, or a wait at the limiter that would outlast the deadline
│       └── ServerError                      5xx
├── AnalysisFailedError                      the analysis ended `failed`; it is on the error
├── WaitTimeoutError (TimeoutError)          still pending at the deadline; wait for it again
├── NotAttemptedError                        a batch ended before this id got its turn
├── IdSourceError                            the iterable of ids raised; the outcomes so far are on the error
├── RecordError (ValueError)                 what was stored of a value cannot be read back
├── BatchFileError                           the file of a batch cannot be used
│   └── BatchInUseError                      another run writes to it
└── WebhookError                             what came as a webhook is not to be believed, or not to be read
    ├── WebhookSignatureError                no signature, or none that fits one of the secrets
    ├── WebhookTimestampError                genuine, but signed too long ago or in the future
    └── WebhookPayloadError                  the body is not an event

Every error survives pickle and copy with all its fields. None holds a key, a secret or a transport's object, and none a
body, but for that of an analysis which is on it (`AnalysisFailedError`, and the outcomes of an `IdSourceError`).
"""

from __future__ import annotations

from typing import Any

import kallglot_async

__all__ = [
    "APIError", "AnalysisFailedError", "AuthenticationError", "BatchFileError", "BatchInUseError",
    "ConfigurationError", "ConflictError", "ConnectError", "ConnectionLostError", "IdSourceError",
    "InsufficientCreditsError", "InvalidIdError", "InvalidRequestError", "InvalidResponseError", "KallglotError",
    "NotAttemptedError", "NotFoundError", "PermissionDeniedError", "ProtocolError", "ProxyError",
    "RateLimitedError", "RecordError", "RequestError", "RequestTimeoutError", "ResponseBodyError",
    "ResponseMismatchError", "ResponseSchemaError", "ResponseTooLargeError", "ServerError", "TLSError",
    "TransportError", "UnexpectedRedirectError", "WaitTimeoutError", "WebhookError", "WebhookPayloadError",
    "WebhookSignatureError", "WebhookTimestampError",
]  # fmt: skip


def pydantic_serializer() -> object:
    """Return what pydantic looks for at a value, or an error, where no type says what it is: as in `dict[str, Any]`."""
    try:
        from kallglot_async.models._pydantic import SERIALIZER
    # Without pydantic, it is somebody else who looks at everything that there is, such as `inspect.getmembers`.
    except ModuleNotFoundError as error:
        raise AttributeError(str(error)) from None
    return SERIALIZER


class KallglotError(Exception):
    """The root of every error of this library.

    Fields beyond the message are keyword-only and have defaults: that is what makes every error survive
    `pickle` and `copy` with the protocol that `Exception` already has.
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(message)

    @property
    def message(self) -> str:
        """What happened, in one line."""
        return str(self.args[0]) if self.args else ""

    def __str__(self) -> str:
        return self.message

    def to_dict(self) -> dict[str, Any]:
        """Return the error as plain data: `type` (its class), `message`, and each field that is set.

        What the API calls `type` too is `api_type`. No key and no secret is on an error, so none is in here.
        """
        from kallglot_async.models.records import error_record

        return error_record(self)

    @property
    def __pydantic_serializer__(self) -> object:
        return pydantic_serializer()

    # By content, so that outcomes that were pickled, or stored and read back, equal those that they were made from.
    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return NotImplemented
        return self.args == other.args and vars(self) == vars(other)

    # Of what cannot change: the fields are written to while an error is on its way up.
    def __hash__(self) -> int:
        return hash((type(self), self.message))


class ConfigurationError(KallglotError, ValueError):
    """An argument or setting cannot be used, or code of yours that the client calls has raised: fix it and call again.

    Nothing was sent, but where code of yours raises in the middle of a call (a middleware or trace of your session, a
    function that is asked for the key once more, a file object that a download goes to), or where only an answer shows
    it: a recording that does not come in the format that was asked for.
    """


class InvalidIdError(ConfigurationError):
    """The text is not an id of the expected kind. Raised before any I/O.

    Attributes:
        id: The offending text as it was given; `<type>` for what is no text, and `<API key>` for what is a secret.
    """

    def __init__(self, message: str = "", *, id: str = "") -> None:
        super().__init__(message)
        self.id = id


class RequestError(KallglotError):
    """One request, with its retries, did not give what was asked for.

    Attributes:
        operation: The operation's name, for example `analyses.retrieve`.
        attempts: How many requests were counted as attempts. Refusals for rate are not counted.
        history: One line for each attempt, oldest first; of a poll, for the latest ten that failed.
        idempotency_key: That of a request, such as a create, of which nobody knows whether it was done: repeating it
            with this key is safe. Else None.
        id: From `analyze` and `analyze_many`: the analysis that had been created when this went wrong. It is paid
            for, so wait for it instead of asking again. Else None.
    """

    def __init__(self, message: str = "", *, operation: str = "") -> None:
        super().__init__(message)
        self.operation = operation
        # Set by who knows them: the transport that raises knows neither how often nor with which key.
        self.attempts = 0
        self.history: tuple[str, ...] = ()
        self.idempotency_key: str | None = None
        self.id: str | None = None

    def __str__(self) -> str:
        facts = [self.message]
        if self.attempts > 1:
            facts.append(f"after {self.attempts} attempts")
        if self.idempotency_key is not None:
            facts.append(f"repeat safely with idempotency_key={self.idempotency_key!r}")
        return "; ".join(facts)


class TransportError(RequestError):
    """No complete answer arrived. Retried, except for TLS and for a proxy that was reached and refused with no 5xx.

    A wait asks again after those too, once the API has answered a request.
    """


class ConnectError(TransportError, ConnectionError):
    """No connection came about: name resolution, refusal, no route, or it took too long. Nothing was sent."""


class ProxyError(TransportError):
    """A proxy refused the connection. This is never the API's own answer.

    Attributes:
        proxy: The proxy's host and port, without credentials.
        status: The status the proxy answered, or None where it could not be reached.
    """

    def __init__(self, message: str = "", *, operation: str = "", proxy: str = "", status: int | None = None) -> None:
        super().__init__(message, operation=operation)
        self.proxy = proxy
        self.status = status


class TLSError(TransportError):
    """The certificate or the handshake was not acceptable. Not retried, but in a wait once the API has answered."""


class RequestTimeoutError(TransportError, TimeoutError):
    """No answer came in time. Retried, unless it is the call's own deadline that has passed.

    Where nothing was sent within that, for want of a connection or of a key, the message says so.

    Attributes:
        timeout: The limit in seconds that ran out; None where it was the one on silence between two bytes.
    """

    def __init__(self, message: str = "", *, operation: str = "", timeout: float | None = None) -> None:
        super().__init__(message, operation=operation)
        self.timeout = timeout


class ConnectionLostError(TransportError, ConnectionError):
    """The connection ended before the answer was complete. The server may have acted on the request."""


class ProtocolError(TransportError):
    """What arrived was not a well-formed HTTP answer."""


class InvalidResponseError(RequestError):
    """An answer arrived that cannot be used. The body itself is kept nowhere on the error.

    Attributes:
        status: The HTTP status of the answer.
        request_id: The server's id of the request, for its support, where it sent one.
        size: Bytes of the body; 0 where it had none, or was not read to its end.
        is_empty: Whether it had no body at all.
        retry_after: Seconds that a 202 or 204 named, else None.
    """

    is_empty = False
    retry_after: float | None = None

    def __init__(
        self,
        message: str = "",
        *,
        operation: str = "",
        status: int = 0,
        request_id: str | None = None,
        size: int = 0,
    ) -> None:
        super().__init__(message, operation=operation)
        self.status = status
        self.request_id = request_id
        self.size = size


class ResponseBodyError(InvalidResponseError):
    """The body of a success is not JSON: empty, cut short, badly encoded, or a page of HTML. Retried."""


class ResponseTooLargeError(InvalidResponseError):
    """The body, after decompression, is larger than `max_response_bytes`, or audio than `max_bytes`. Not retried.

    Attributes:
        limit: The limit in bytes.
    """

    def __init__(self, message: str = "", *, operation: str = "", status: int = 0, limit: int = 0) -> None:
        super().__init__(message, operation=operation, status=status)
        self.limit = limit


class ResponseSchemaError(InvalidResponseError):
    """What identifies the answer (`id`, `object`, `status`) is missing or of another type. Not retried.

    Any other field of a type that it never has costs itself only: see `Result.problems`. The message names path, type
    and size, never a value; but what is no object of the API's and has an `error`, as some gateways send it with status
    200, is told by that.

    Attributes:
        path: Where in the body, for example `$.status`; None where that is not known.
        is_foreign: Whether there is neither `id` nor `object`: somebody else's JSON, which ends no wait once the API
            has accepted a request.
    """

    path: str | None = None
    is_foreign = False


class ResponseMismatchError(InvalidResponseError):
    """The answer describes something else than what was asked for. Retried on a fresh connection.

    One that `analyze_many` has for a session is not: the API answered two creates with one analysis.
    """


class UnexpectedRedirectError(InvalidResponseError):
    """The server answered with a redirect that is not followed. A download follows expected ones, without the key.

    In a wait it ends no id once the API has accepted a request: it is a login page's, say, or one of maintenance. But
    for one that is for good (301, 308): then the base URL is wrong by now.
    """


class APIError(RequestError):
    """The API answered with an error status.

    Branch on the class or on `status` and `code`; `message` is for people.

    Attributes:
        status: The HTTP status.
        code: The API's machine-readable code, or None.
        type: The API's category of the error, or None.
        param: The offending field, or None.
        request_id: The server's id of the request, or None. Quote it to support.
        retry_after: Seconds after which the server would accept the request again, or None.
        is_enveloped: Whether the answer had the API's error envelope. A 400, 401, 403 or 404 without it is taken
            for a gateway's or a firewall's, and is retried; so is any other status in a wait, but for those that speak
            for themselves (402, 409, 410, 413, 414, 415, 422).
    """

    is_enveloped = True

    def __init__(
        self,
        message: str = "",
        *,
        operation: str = "",
        status: int = 0,
        code: str | None = None,
        type: str | None = None,
        param: str | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, operation=operation)
        self.status = status
        self.code = code
        self.type = type
        self.param = param
        self.request_id = request_id
        self.retry_after = retry_after

    def __str__(self) -> str:
        where = [str(self.status)] if self.status else []
        where += [self.code] if self.code else []
        where += [f"param {self.param}"] if self.param else []
        where += [f"request {self.request_id}"] if self.request_id else []
        return super().__str__() + (f" ({', '.join(where)})" if where else "")


class InvalidRequestError(APIError):
    """400 or 422: the request is not valid. `param` names the field where the API does."""


class AuthenticationError(APIError):
    """401: the key is missing, unknown, expired or revoked.

    Ends a batch early where nothing was accepted under the key before, and else once the next id hears the same.
    """


class InsufficientCreditsError(APIError):
    """402: the account has no API credits left. Ends a batch early; top up, then go on."""


class PermissionDeniedError(APIError):
    """403: the key may not do this, or the organization is inactive. Ends a batch early as a 401 does."""


class NotFoundError(APIError):
    """404: no such resource. Results are kept for 90 days; after that, request the analysis again."""


class ConflictError(APIError):
    """409: for example `idempotency_conflict`, the request with this key is still running; that one is retried."""


class RateLimitedError(APIError):
    """429, the same under another status, or: the wait for the limit would outlast the deadline or `max_rate_wait`.

    Refusals are waited out, for every user of the limiter at once, and cost no attempts. This is raised where
    the time that the server named, or the queue for the limit, lies beyond the deadline or `max_rate_wait`, and by
    `retrieve_many` and `analyze_many` where one id is refused more than ten times in a row. `status` is 429 even where
    nothing was sent.

    Attributes:
        limit: Requests in a window, as far as known.
        reset: Seconds until the window renews, as far as known.
    """

    def __init__(
        self,
        message: str = "",
        *,
        operation: str = "",
        status: int = 429,
        code: str | None = None,
        type: str | None = None,
        param: str | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
        limit: int | None = None,
        reset: float | None = None,
    ) -> None:
        super().__init__(message, operation=operation, status=status, code=code, type=type, param=param)
        self.request_id = request_id
        self.retry_after = retry_after
        self.limit = limit
        self.reset = reset


class ServerError(APIError):
    """5xx: the API's own fault. Those that may pass are retried, within attempts, retry budget and deadline."""


class AnalysisFailedError(KallglotError):
    """The analysis ended with status `failed`.

    Attributes:
        analysis: The failed analysis; `analysis.error_message` is the API's explanation.
    """

    def __init__(self, message: str = "", *, analysis: kallglot_async.Analysis | None = None) -> None:
        super().__init__(message)
        self.analysis = analysis


class WaitTimeoutError(KallglotError, TimeoutError):
    """The analysis was still pending at the deadline. Nothing is lost: wait for the same id again.

    Attributes:
        id: The analysis id.
        last_status: The status of the last answer, or None where there was none.
        polls: How many polls were sent, failed ones included and those refused for rate not.
        elapsed: Seconds from the first poll to the end; 0.0 where there was no poll.
        retry_after: Seconds that a pause after a refusal still had to run, where that outlasts the deadline; else None.
    """

    def __init__(
        self,
        message: str = "",
        *,
        id: str = "",
        last_status: str | None = None,
        polls: int = 0,
        elapsed: float = 0.0,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.id = id
        self.last_status = last_status
        self.polls = polls
        self.elapsed = elapsed
        self.retry_after = retry_after


class NotAttemptedError(KallglotError):
    """The batch was over before this id got its turn. Nothing was sent for it, or nothing more.

    Attributes:
        id: The id as it was given: of an analysis, or of a session where analyses were to be requested.
        reason: The error that concerns every id and ended the batch: 401, 402 or 403. None where the total timeout
            did.
    """

    def __init__(self, message: str = "", *, id: str = "", reason: KallglotError | None = None) -> None:
        super().__init__(message)
        self.id = id
        self.reason = reason


class IdSourceError(KallglotError):
    """The iterable that gave the ids raised; its exception is the `__cause__`.

    Attributes:
        outcomes: The outcomes of every id the iterable had given before, so that nothing is lost; None from
            `as_completed`, which has delivered them already.
    """

    def __init__(self, message: str = "", *, outcomes: kallglot_async.Outcomes | None = None) -> None:
        super().__init__(message)
        self.outcomes = outcomes


class RecordError(KallglotError, ValueError):
    """What was stored of a value cannot be read back: it is damaged, or of something else. Nothing of it is quoted.

    Attributes:
        line: The number of the line in a file of lines, counted from 1; None where there are no lines.
    """

    def __init__(self, message: str = "", *, line: int | None = None) -> None:
        super().__init__(message)
        self.line = line


class BatchFileError(KallglotError):
    """The file of a batch cannot be opened, read or written to: permissions, a full disk, another program's file.

    Raised by whatever needs the file. What was committed before is intact, and another run goes on from there, unless
    the file is damaged, as the message then says.

    Attributes:
        path: The file.
    """

    def __init__(self, message: str = "", *, path: str = "") -> None:
        super().__init__(message)
        self.path = path


class BatchInUseError(BatchFileError):
    """Another run, of this process or another one, writes to the file. It can be read meanwhile."""


class WebhookError(KallglotError):
    """What came as a webhook cannot be accepted. No secret, no signature and no part of the body is on the error."""


class WebhookSignatureError(WebhookError):
    """The signature header is missing or malformed, or fits none of the secrets. Answer 401."""


class WebhookTimestampError(WebhookError):
    """Genuine, but signed at a moment that is out of tolerance. Answer 401.

    Attributes:
        age: Seconds since it was signed; negative where that lies in the future.
    """

    def __init__(self, message: str = "", *, age: float = 0.0) -> None:
        super().__init__(message)
        self.age = age


class WebhookPayloadError(WebhookError):
    """The body is not an event: not bytes, not JSON, or without what every event has. Answer 400."""
