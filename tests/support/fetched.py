"""A value of every kind, as if it had come over the wire."""

from __future__ import annotations

from typing import Any

import pytest
from support.payloads import PAYLOADS

from kallglot_async import NotFoundError
from kallglot_async._core.api.analyses import Revision, decode_analysis
from kallglot_async._core.api.recordings import decode_recording, decode_recording_page
from kallglot_async._core.api.sessions import decode_session, decode_transcript
from kallglot_async.models import Outcome, ResponseMeta
from kallglot_async.models.meta import kept_of

CANARY = "req_CANARY"


def fetched(value: Any, raw: bytes) -> Any:
    """As if it had come over the wire: with all that a value keeps beside its fields."""
    kept_of(value).update(told=ResponseMeta(status=200, request_id=CANARY, elapsed=0.5), raw=raw)
    assert value.meta.request_id == CANARY
    return value


def payload(name: str) -> bytes:
    return (PAYLOADS / f"{name}.json").read_bytes()


A = fetched(decode_analysis(payload("analysis_complete.a"), Revision.A), payload("analysis_complete.a"))
B = fetched(decode_analysis(payload("analysis_completed.b"), Revision.B), payload("analysis_completed.b"))
VALUES: list[Any] = [
    A,
    B,
    A.results,
    B.report,
    fetched(decode_session(payload("session_created.b")), payload("session_created.b")),
    fetched(decode_transcript(payload("transcript.a")), payload("transcript.a")),
    fetched(decode_recording(payload("recording.b")), payload("recording.b")),
    fetched(decode_recording_page(payload("recordings.b")), payload("recordings.b")),
    Outcome(id="ana_1", analysis=A, polls=2, elapsed=1.5),
    Outcome(id="ana_2", error=NotFoundError("gone", status=404, request_id="req_1")),
]


def name_of(value: Any) -> str:
    return f"{type(value).__name__}-{getattr(value, 'id', '')}"


by_value = pytest.mark.parametrize("value", VALUES, ids=name_of)
