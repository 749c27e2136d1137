"""Audio is what its media type says."""

from __future__ import annotations

import struct

import pytest
from support.emulated import serving

from kallglot_async.emulator.calls.audio import audio

pytestmark = pytest.mark.looptime


@pytest.mark.parametrize("rate", [8000, 44100])
async def test_a_wav_is_one(rate: int) -> None:
    """Its header says what was asked for, and how much follows."""
    async with serving() as client:
        [session] = client.emulator.sessions.seed(1)
        id = client.emulator.sessions[session].recordings[0]
        _, headers, _ = await client.get(f"/recordings/{id}/download?format=wav&sample_rate={rate}")
        _, headers, body = await client.fetch(headers["Location"])
        assert headers["Content-Type"] == "audio/wav"
        assert (body[:4], body[8:16]) == (b"RIFF", b"WAVEfmt ")
        assert struct.unpack("<I", body[4:8])[0] == len(body) - 8
        assert struct.unpack("<I", body[24:28])[0] == rate


def test_an_mp3_is_made_of_whole_frames() -> None:
    """72 bytes for 72 ms each, with a sync word in front of each and none inside."""
    body = audio("mp3", 0, "rec_1", 10.0)
    assert len(body) % 72 == 0
    assert len(body) // 72 == round(10.0 / 0.072)
    places = [place for place in range(len(body) - 1) if body[place] == 0xFF and body[place + 1] >= 0xE0]
    assert places == list(range(0, len(body), 72))
    assert body == audio("mp3", 0, "rec_1", 10.0) != audio("mp3", 0, "rec_2", 10.0)
