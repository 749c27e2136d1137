"""Sessions: exact requests, and both revisions in one value."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from support.payloads import PAYLOADS
from support.wire_faults import RawServer, answer

from kallglot_async import (
    ConfigurationError,
    InvalidIdError,
    KallglotClient,
    ResponseMismatchError,
    ResponseSchemaError,
    Session,
)
from kallglot_async._config import Secret
from kallglot_async._core.api.answers import interpret, request_headers
from kallglot_async._core.api.lenient_json import MalformedBodyError, WrongShapeError
from kallglot_async._core.api.operation import Response
from kallglot_async._core.api.sessions import decode_session, end_session, retrieve_session
from kallglot_async.models import EndReason, Provider, SessionMode, SessionRecording, SessionStatus, Stream

ID = "sess_01HXYZ123456789"
KEY = Secret("sk_test_canary9Zk4")
CREATED_B = (PAYLOADS / "session_created.b.json").read_bytes()
# After the field table of the contract; no sample of A is at hand.
ENDED_A = {
    "id": ID,
    "object": "session",
    "status": "ended",
    "mode": "assistive_translation",
    "source_language": "de",
    "target_language": "en",
    "provider": {"type": "twilio", "phone_number": "+14155551234", "status": "disconnected", "call_sid": "CA1"},
    "duration": 245.3,
    "recording": {"enabled": True, "id": "rec_1", "duration": 245},
    "transcript": {"available": True, "word_count": 512},
    "metadata": {"order": None, "tags": [None, 1]},
    "created_at": "2026-03-26T11:00:00Z",
    "started_at": "2026-03-26T11:00:15Z",
    "ended_at": "2026-03-26T11:04:20Z",
    "end_reason": "customer_hangup",
}


def decoded(plain: dict[str, Any]) -> Session:
    return decode_session(json.dumps(plain).encode())


# Decoding


def test_documented_sample_of_revision_b_is_decoded_whole() -> None:
    """B's flat provider and phone number find their place in the shared value."""
    assert decode_session(CREATED_B) == Session(
        id=ID,
        object="session",
        status=SessionStatus.CREATED,
        mode=SessionMode.BIDIRECTIONAL_TRANSLATION,
        provider=Provider(type="twilio"),
        phone_number="+14155551234",
        stream=Stream(
            url=f"wss://api.kallglot.com/v1/sessions/{ID}/connect",
            token="kst_live_xxxxxxxxxxxxxxxx",
            expires_at=datetime(2026, 3, 26, 12, tzinfo=UTC),
        ),
        recording=SessionRecording(enabled=False),
        created_at=datetime(2026, 3, 26, 11, tzinfo=UTC),
    )


def test_revision_a_is_decoded_whole() -> None:
    """A's nested provider, its measures and its metadata (to the letter) arrive under the same names."""
    session = decoded(ENDED_A)
    assert session.provider == Provider(type="twilio", status="disconnected", call_sid="CA1")
    assert session.phone_number == "+14155551234"
    assert (session.duration, session.end_reason) == (245.3, EndReason.CUSTOMER_HANGUP)
    assert session.recording == SessionRecording(enabled=True, id="rec_1", duration=245.0)
    assert session.metadata == {"order": None, "tags": [None, 1]}
    assert session.is_ended


def test_summary_of_revision_b_gives_its_seconds_as_duration() -> None:
    """`duration_seconds` of B's answer to `end` is the shared `duration`."""
    plain = {
        "id": ID,
        "object": "session",
        "status": "ended",
        "duration_seconds": 245.3,
        "ended_at": "2026-03-26T11:04:20Z",
    }
    session = decoded(plain)
    assert (session.duration, session.ended_at) == (245.3, datetime(2026, 3, 26, 11, 4, 20, tzinfo=UTC))


@pytest.mark.parametrize(
    ("change", "name", "value"),
    [
        ({"status": "on_hold"}, "status", SessionStatus("on_hold")),
        ({"mode": "juggling"}, "mode", SessionMode("juggling")),
        ({"end_reason": "bored"}, "end_reason", EndReason("bored")),
        ({"started_at": "soon"}, "started_at", None),
        ({"started_at": "2026-03-26T11:00:15"}, "started_at", datetime(2026, 3, 26, 11, 0, 15, tzinfo=UTC)),
        ({"stream": None, "new_field": [1]}, "stream", None),
        ({"duration": 125}, "duration", 125.0),
        ({"recording": {"enabled": None}}, "recording", SessionRecording()),
        ({"stream": {"token": "kst_x", "expires_at": "?"}}, "stream", Stream(token="kst_x")),
        (
            {"metadata": {"created_at": "soon", "x": None}, "ended_at": "?"},
            "metadata",
            {"created_at": "soon", "x": None},
        ),
    ],
)
def test_drift_costs_a_field_at_most(change: dict[str, Any], name: str, value: Any) -> None:
    """Unknown texts are kept, odd timestamps and nulls are None, whole numbers are floats."""
    session = decoded(ENDED_A | change)
    assert getattr(session, name) == value
    assert session.id == ID


@pytest.mark.parametrize("missing", ["id", "object", "status"])
def test_identity_is_required(missing: str) -> None:
    """Without id, object or status it is no session; the error names the field."""
    with pytest.raises(WrongShapeError, match=missing):
        decoded({name: value for name, value in ENDED_A.items() if name != missing})


@pytest.mark.parametrize("body", [b"", b"<html>", b"\xff", b'{"id":'])
def test_what_is_not_json_is_malformed(body: bytes) -> None:
    """The error quotes nothing of the body."""
    with pytest.raises(MalformedBodyError):
        decode_session(body)


def test_deep_nesting_is_an_error_of_ours() -> None:
    """A hostile body cannot raise anything else."""
    body = b'{"id":"x","stream":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    with pytest.raises((MalformedBodyError, WrongShapeError)):
        decode_session(body)


# Requests


def test_requests_are_as_documented() -> None:
    """Method, path, group, body and key of each operation."""
    read, end = retrieve_session(ID), end_session(ID, idempotency_key="k-1", reason="timeout")
    assert (read.method, read.path, read.group, read.body) == ("GET", f"sessions/{ID}", "sessions.read", None)
    assert (end.method, end.path, end.group) == ("POST", f"sessions/{ID}/end", "sessions.write")
    assert end.body == b'{"reason":"timeout"}'
    headers = request_headers(end, KEY)
    assert (headers["Idempotency-Key"], headers["Content-Type"]) == ("k-1", "application/json")
    bare = end_session(ID, idempotency_key="k-1")
    assert bare.body is None
    assert "Content-Type" not in request_headers(bare, KEY)
    assert end_session(ID, idempotency_key="k", reason=EndReason.ERROR).body == b'{"reason":"error"}'


@pytest.mark.parametrize(
    "id", ["", "sess_", "ana_1", "sess_a/b", "sess_?", "../x", "sess_\n", None, 5, "sess_" + "x" * 200]
)
def test_impossible_ids_are_refused_before_anything_is_sent(id: Any) -> None:
    """Everything that is no session id."""
    with pytest.raises(InvalidIdError):
        retrieve_session(id)
    with pytest.raises(InvalidIdError):
        end_session(id, idempotency_key="k")


@pytest.mark.parametrize(
    "change", [{"reason": ""}, {"reason": 5}, {"idempotency_key": ""}, {"idempotency_key": "a\nb"}]
)
def test_impossible_arguments_are_refused(change: dict[str, Any]) -> None:
    """A reason is a text; a key is something that a header can carry."""
    with pytest.raises(ConfigurationError):
        end_session(ID, **({"idempotency_key": "k"} | change))


def test_another_session_is_never_returned() -> None:
    """An answer about something else is a mismatch, which is retried on a fresh connection."""
    with pytest.raises(ResponseMismatchError, match=r"sessions\.retrieve"):
        interpret(retrieve_session("sess_other"), Response(200, {}, CREATED_B), key=KEY, wall_now=0.0)


def test_the_end_of_another_session_is_not_taken_for_ours() -> None:
    """Whichever was ended is in the body."""
    body = Response(200, {}, json.dumps(ENDED_A).encode())
    assert interpret(end_session(ID, idempotency_key="k-1"), body, key=KEY, wall_now=0.0).is_ended
    with pytest.raises(ResponseMismatchError, match=r"sessions\.end"):
        interpret(end_session("sess_other", idempotency_key="k-1"), body, key=KEY, wall_now=0.0)


@pytest.mark.looptime
async def test_another_shape_is_a_typed_error_without_the_value() -> None:
    """The path, the type and the size are told, the text that came is not."""
    body = json.dumps(ENDED_A | {"status": ["CANARY"]}).encode()
    async with (
        RawServer(answer(body)) as server,
        KallglotClient("sk_test_x", base_url=server.base_url, max_attempts=1) as client,
    ):
        with pytest.raises(ResponseSchemaError, match="status") as caught:
            await client.sessions.retrieve(ID)
        assert (caught.value.path, caught.value.size) == ("$.status", len(body))
        assert "CANARY" not in str(caught.value)
