"""Audio of recordings: small, valid, deterministic, and silent.

`mp3` is MPEG-2.5 layer III at 8 kHz mono and 8 kbit/s, the documented kind: frames of 72 bytes for 72 ms each,
without any sound in them; what is left of a frame is filled with bytes that differ from one recording to the
next. `wav` is 8-bit PCM, mono, a faint hiss. There is no `ogg`: nothing in the standard library encodes it.
"""

from __future__ import annotations

import struct
from functools import lru_cache

from kallglot_async.emulator.seeding import generator

MEDIA_TYPES = {"mp3": "audio/mpeg", "wav": "audio/wav"}
"""Media type by format."""

SAMPLE_RATE = 8000
"""Samples a second, unless another rate is asked for (`wav` only)."""

# Sync word, version 2.5, layer III, no checksum; 8 kbit/s, 8 kHz; mono.
_FRAME_HEAD = bytes((0xFF, 0xE3, 0x18, 0xC4))
_SIDE_INFO = bytes(9)  # all zero: no sound
_FRAME_SIZE = 72
_FRAME_SECONDS = 0.072


@lru_cache(maxsize=16)
def audio(format: str, seed: int, id: str, seconds: float, sample_rate: int = SAMPLE_RATE) -> bytes:
    """The bytes of one recording in `mp3` or `wav` (the sample rate is for that); the same for the same arguments."""
    if format == "mp3":
        return _mp3(seed, id, seconds)
    return _wav(seed, id, seconds, sample_rate)


def _mp3(seed: int, id: str, seconds: float) -> bytes:
    random = generator(seed, "audio", id)
    size = _FRAME_SIZE - len(_FRAME_HEAD) - len(_SIDE_INFO)
    frames = max(1, round(seconds / _FRAME_SECONDS))
    # Below 0x80, so that no decoder takes it for the beginning of a frame.
    filling = bytes(byte & 0x7F for byte in random.randbytes(size * frames))
    head = _FRAME_HEAD + _SIDE_INFO
    return b"".join(head + filling[place * size : (place + 1) * size] for place in range(frames))


def _wav(seed: int, id: str, seconds: float, sample_rate: int) -> bytes:
    count = max(1, round(seconds * sample_rate))
    # One second over and over: a long recording is made quickly, and a hiss has no melody.
    second = generator(seed, "audio", id).randbytes(sample_rate)
    hiss = bytes(0x7F + byte % 3 for byte in second)
    samples = (hiss * (count // sample_rate + 1))[:count]
    form = struct.pack("<HHIIHH", 1, 1, sample_rate, sample_rate, 1, 8)
    body = b"WAVEfmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", count) + samples
    return b"RIFF" + struct.pack("<I", len(body)) + body
