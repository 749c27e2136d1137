"""Recordings and their lists: exact requests, and both revisions in one value."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from support.audio import ID
from support.payloads import PAYLOADS

from kallglot_async import Recording, RecordingPage
from kallglot_async._core.api.lenient_json import WrongShapeError
from kallglot_async._core.api.recordings import decode_recording, decode_recording_page, list_recordings
from kallglot_async.models import Channel, RecordingStatus

SESSION = "sess_01HXYZ123456789"


def test_documented_list_of_revision_b_is_decoded() -> None:
    """`has_more` is not in the sample: there are no more."""
    decoded = decode_recording_page((PAYLOADS / "recordings.b.json").read_bytes())
    assert isinstance(decoded, RecordingPage)
    assert (decoded.has_more, decoded.url, decoded.session_id) == (False, None, None)
    [item] = decoded.data
    assert (item.id, item.status, item.session_id) == ("rec_01HABC987654321", RecordingStatus.READY, SESSION)
    assert (item.download_url, item.size, item.channel) == (None, None, None)


def test_drift_of_a_list() -> None:
    """A null `has_more` is false, a null item is none; without data it is no list."""
    body = b'{"object":"list","has_more":null,"data":[null,{"id":"rec_1","object":"recording","status":"new"}]}'
    decoded = decode_recording_page(body)
    assert (decoded.has_more, [item.id for item in decoded.data]) == (False, ["rec_1"])
    assert not decoded.data[0].is_ready
    with pytest.raises(WrongShapeError, match="data"):
        decode_recording_page(b'{"object":"list"}')
    assert decode_recording_page(b'{"object":"list","data":null}').data == ()


def test_requests_are_as_documented() -> None:
    """Only what was asked for is sent."""
    bare = list_recordings(SESSION)
    assert (bare.method, bare.path, bare.group) == ("GET", f"sessions/{SESSION}/recordings", "recordings")
    full = list_recordings(SESSION, channel=Channel.AGENT, limit=100, starting_after="rec_1")
    assert full.path == f"sessions/{SESSION}/recordings?channel=agent&limit=100&starting_after=rec_1"
    assert list_recordings(SESSION, ending_before="rec_1").path.endswith("?ending_before=rec_1")


def test_documented_sample_is_decoded_whole() -> None:
    """Every field under its name; sizes and rates are floats as every number is."""
    assert decode_recording((PAYLOADS / "recording.b.json").read_bytes()) == Recording(
        id=ID,
        object="recording",
        status=RecordingStatus.READY,
        session_id="sess_01HXYZ123456789",
        channel=Channel.MIXED,
        duration=245.3,
        format="mp3",
        size=2943600.0,
        sample_rate=44100.0,
        bit_depth=16.0,
        download_url=f"/v1/recordings/{ID}/audio",
        created_at=datetime(2026, 3, 26, 11, 4, 20, tzinfo=UTC),
        expires_at=datetime(2026, 4, 26, 11, 4, 20, tzinfo=UTC),
    )


def test_drift_of_a_recording() -> None:
    """Unknown status and channel are kept, an odd expiry is None, identity is required."""
    body = {"id": ID, "object": "recording", "status": "archived", "channel": "left", "expires_at": "never", "x": 1}
    decoded = decode_recording(json.dumps(body).encode())
    assert (decoded.status, decoded.channel, decoded.expires_at) == ("archived", "left", None)
    assert not decoded.is_ready
    assert not decoded.is_failed
    with pytest.raises(WrongShapeError, match="status"):
        decode_recording(b'{"id":"rec_1","object":"recording"}')
