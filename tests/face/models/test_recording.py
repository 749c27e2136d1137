"""A recording: whether there is audio, and reprs that hand out no link."""

import pytest

from kallglot_async.models import Recording, RecordingPage, RecordingStatus


def recording(status="ready", **fields):
    return Recording(id="rec_1", object="recording", status=RecordingStatus(status), **fields)


@pytest.mark.parametrize(
    ("status", "ready", "failed"), [("ready", True, False), ("failed", False, True), ("processing", False, False)]
)
def test_status_says_whether_there_is_audio(status, ready, failed):
    """Now, or never; an unknown status is neither, as what is still to come."""
    for value in (recording(status), recording("archived") if status == "processing" else recording(status)):
        assert (value.is_ready, value.is_failed) == (ready, failed)


def test_no_repr_shows_a_link():
    """Who has a pre-signed link can listen to the call. Each is one line."""
    signed = recording(session_id="sess_1\nforged", download_url="https://x/?X-Signature=CANARY")
    page = RecordingPage(object="list", data=(signed,), has_more=True, url="/v1/CANARY")
    for value in (signed, page, [signed, page]):
        assert "CANARY" not in repr(value)
        assert "\n" not in repr(value)
    assert repr(page) == "<RecordingPage of 1, more>"
