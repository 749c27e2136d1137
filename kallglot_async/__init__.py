"""Asyncio client for the Kallglot call-analysis API: many waits, one rate limiter, one poll scheduler.

The house, each layer importing from lower ones only:

    L0 values      errors, models/, _config, _checks
    L1 decisions   _core/: ids, headers, reading, decoding, messages, retry, rate_limit, signing; for sessions and
                   recordings neighbour_shapes, neighbours, locations, transfer; for polling poll_values,
                   hazard, poll_entries, polling; webhooks (events and their signatures). No clock, no
                   randomness, no event loop, no logging, no transport library.
    L2 ports       _clock, _deadlines, _observer, _batch, _pool (aiohttp sessions, one for each event loop),
                   _stream, _translation (of what goes wrong), _files, _limiter, _inbox (events that have come,
                   and who listens)
    L3 pipeline    _pipeline: limiter, transport, decoding, retry; _download, its way for large bodies
    L4 features    resources/, _wait_hub, _poller, _waiting, _analyzing; receivers/ (events over HTTP), telemetry
                   (spans and metrics) and emulator/ stand beside them, the emulator importing none of it
    L5 client      _client: composition and lifetime, _client_calls, _composition (the parts, and what views share)
    L6 face        cli/, pytest_plugin, and this module

Names are loaded when they are first used, so that importing the package, or asking its command line for
`--help`, does not load the transport.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from kallglot_async._version import __version__

if TYPE_CHECKING:
    from kallglot_async._client import KallglotClient, wait_many
    from kallglot_async._core.polling import PollSchedule
    from kallglot_async._inbox import WebhookInbox
    from kallglot_async._limiter import RateLimiter
    from kallglot_async.errors import (
        AnalysisFailedError,
        APIError,
        AuthenticationError,
        ConfigurationError,
        ConflictError,
        ConnectError,
        ConnectionLostError,
        IdSourceError,
        InsufficientCreditsError,
        InvalidIdError,
        InvalidRequestError,
        InvalidResponseError,
        KallglotError,
        NotAttemptedError,
        NotFoundError,
        PermissionDeniedError,
        ProtocolError,
        ProxyError,
        RateLimitedError,
        RequestError,
        RequestTimeoutError,
        ResponseBodyError,
        ResponseMismatchError,
        ResponseSchemaError,
        ResponseTooLargeError,
        ServerError,
        TLSError,
        TransportError,
        UnexpectedRedirectError,
        WaitTimeoutError,
        WebhookError,
        WebhookPayloadError,
        WebhookSignatureError,
        WebhookTimestampError,
    )
    from kallglot_async.models import (
        Analysis,
        AnalysisStatus,
        ClientStats,
        Download,
        Outcome,
        Outcomes,
        Progress,
        RateLimit,
        RateLimitState,
        Recording,
        RecordingPage,
        Report,
        Results,
        Session,
        Transcript,
    )

__all__ = [
    "APIError",
    "Analysis",
    "AnalysisFailedError",
    "AnalysisStatus",
    "AuthenticationError",
    "ClientStats",
    "ConfigurationError",
    "ConflictError",
    "ConnectError",
    "ConnectionLostError",
    "Download",
    "IdSourceError",
    "InsufficientCreditsError",
    "InvalidIdError",
    "InvalidRequestError",
    "InvalidResponseError",
    "KallglotClient",
    "KallglotError",
    "NotAttemptedError",
    "NotFoundError",
    "Outcome",
    "Outcomes",
    "PermissionDeniedError",
    "PollSchedule",
    "Progress",
    "ProtocolError",
    "ProxyError",
    "RateLimit",
    "RateLimitState",
    "RateLimitedError",
    "RateLimiter",
    "Recording",
    "RecordingPage",
    "Report",
    "RequestError",
    "RequestTimeoutError",
    "ResponseBodyError",
    "ResponseMismatchError",
    "ResponseSchemaError",
    "ResponseTooLargeError",
    "Results",
    "ServerError",
    "Session",
    "TLSError",
    "Transcript",
    "TransportError",
    "UnexpectedRedirectError",
    "WaitTimeoutError",
    "WebhookError",
    "WebhookInbox",
    "WebhookPayloadError",
    "WebhookSignatureError",
    "WebhookTimestampError",
    "__version__",
    "wait_many",
]

_ELSEWHERE = {
    "KallglotClient": "kallglot_async._client",
    "PollSchedule": "kallglot_async._core.polling",
    "RateLimiter": "kallglot_async._limiter",
    "WebhookInbox": "kallglot_async._inbox",
    "wait_many": "kallglot_async._client",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = _ELSEWHERE.get(name)
    if home is None:
        is_error = name.endswith("Error")
        home = "kallglot_async.errors" if is_error else "kallglot_async.models"
    value: object = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
