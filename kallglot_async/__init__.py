"""Asyncio client for the Kallglot call-analysis API: many waits, one rate limiter, one model of when analyses finish.

The house. A room imports from its own floor or a lower one only; `tests/face/test_architecture.py` reads this picture:

    6 outside    cli/ report/ tables/ pytest_plugin __main__ __init__: how a person sees it
    5 face       resources/ _client _base_client receivers/ telemetry: composition and lifetime, no decisions
    4 durable    _durable/: what of a batch is on the disk, and what a run of it takes up
    3 waiting    _waiting/: whose turn it is in a call for many ids, and when the call is over
    2 wire       _wire/ _clock _events _logging: when to sleep, what to send: no other room of the client sends
                 _whole_file: how a file is there whole or not at all
                 _held: which open files no forked child has
                 shared/: one limit for many processes; the one room that imports redis
    1 decisions  _core/api/: operation to request, answer to value or error
                 _core/limit/: when the next request may go
                 _core/polling/: which id is worth it
                 webhooks: events, their signatures, and the inbox that tells waits of them
                 No clock, no randomness, no event loop, no logging, no transport library.
    0 values     errors models/ _checks _config _extra_headers _version: what things are, which arguments can be used
    beside       emulator/: the API as documented; it imports nothing of the client, nor the client of it

Each folder's own docstring says what is decided in which of its modules.

Names are loaded when they are first used, so that importing the package, or asking its command line for
`--help`, does not load the transport.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from kallglot_async._version import __version__

if TYPE_CHECKING:
    from kallglot_async import emulator as emulator
    from kallglot_async import errors as errors
    from kallglot_async import models as models
    from kallglot_async import receivers as receivers
    from kallglot_async import report as report
    from kallglot_async import resources as resources
    from kallglot_async import shared as shared
    from kallglot_async import tables as tables
    from kallglot_async import telemetry as telemetry
    from kallglot_async import webhooks as webhooks
    from kallglot_async._client import KallglotClient, wait_many
    from kallglot_async._core.polling.schedule import PollSchedule
    from kallglot_async._durable.batch import DurableBatch
    from kallglot_async._durable.file import BatchFile
    from kallglot_async._durable.identity import BatchIdentity
    from kallglot_async._durable.report import BatchReport
    from kallglot_async._waiting.call import WaitCall
    from kallglot_async._wire.limiter import RateLimiter
    from kallglot_async.errors import (
        AnalysisFailedError,
        APIError,
        AuthenticationError,
        BatchFileError,
        BatchInUseError,
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
        RecordError,
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
        RawResponse,
        Recording,
        RecordingPage,
        Report,
        Results,
        Session,
        Transcript,
        read_jsonl,
    )
    from kallglot_async.webhooks import WebhookInbox

__all__ = [
    "APIError",
    "Analysis",
    "AnalysisFailedError",
    "AnalysisStatus",
    "AuthenticationError",
    "BatchFile",
    "BatchFileError",
    "BatchIdentity",
    "BatchInUseError",
    "BatchReport",
    "ClientStats",
    "ConfigurationError",
    "ConflictError",
    "ConnectError",
    "ConnectionLostError",
    "Download",
    "DurableBatch",
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
    "RawResponse",
    "RecordError",
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
    "WaitCall",
    "WaitTimeoutError",
    "WebhookError",
    "WebhookInbox",
    "WebhookPayloadError",
    "WebhookSignatureError",
    "WebhookTimestampError",
    "__version__",
    "read_jsonl",
    "wait_many",
]

_ELSEWHERE = {
    "BatchFile": "kallglot_async._durable.file",
    "BatchIdentity": "kallglot_async._durable.identity",
    "BatchReport": "kallglot_async._durable.report",
    "DurableBatch": "kallglot_async._durable.batch",
    "KallglotClient": "kallglot_async._client",
    "PollSchedule": "kallglot_async._core.polling.schedule",
    "RateLimiter": "kallglot_async._wire.limiter",
    "WaitCall": "kallglot_async._waiting.call",
    "WebhookInbox": "kallglot_async.webhooks",
    "wait_many": "kallglot_async._client",
}

_ROOMS = {
    "emulator", "errors", "models", "receivers", "report", "resources", "shared", "tables", "telemetry", "webhooks",
}  # fmt: skip


# Type checkers would take it for a module that has every name.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name in _ROOMS:
            return import_module(f"{__name__}.{name}")
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        home = _ELSEWHERE.get(name)
        if home is None:
            is_error = name.endswith("Error")
            home = "kallglot_async.errors" if is_error else "kallglot_async.models"
        value: object = getattr(import_module(home), name)
        # The next time it is found without this function.
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
