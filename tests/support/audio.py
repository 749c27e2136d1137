"""Servers of audio and what they answer, for tests of downloads."""

from __future__ import annotations

from typing import Any

import msgspec
from support.payloads import PAYLOADS
from support.wire_faults import RawServer, answer, closing

from kallglot_async import KallglotClient, Recording
from kallglot_async._core.api.recordings import decode_recording
from kallglot_async.models import RecordingStatus

__all__ = ["AUDIO", "ID", "KEY", "OFFERED", "client_of", "cut", "known", "of_b", "part", "recording", "redirect"]

KEY = "sk_test_canary9Zk4"
ID = "rec_01HABC987654321"
AUDIO = bytes(range(256)) * 400
OFFERED = ("Accept-Ranges: bytes", 'ETag: "v1"', "Content-Type: audio/mpeg")


def client_of(server: RawServer, **options: Any) -> KallglotClient:
    return KallglotClient(KEY, base_url=server.base_url, **({"random": lambda: 0.0} | options))


def known(url: str | None, **changes: Any) -> Recording:
    fields: dict[str, Any] = {"id": ID, "object": "recording", "status": RecordingStatus.READY, "download_url": url}
    return Recording(**(fields | changes))


def recording(**changes: Any) -> Recording:
    """The documented sample."""
    sample = decode_recording((PAYLOADS / "recording.b.json").read_bytes())
    return msgspec.structs.replace(sample, **changes)


def of_b() -> Recording:
    return known(f"/v1/recordings/{ID}/audio")


def part(first: int) -> bytes:
    content_range = f"Content-Range: bytes {first}-{len(AUDIO) - 1}/{len(AUDIO)}"
    return answer(AUDIO[first:], content_range, *OFFERED, status="206 Partial Content")


def redirect(target: str) -> bytes:
    return answer(b"", f"Location: {target}", status="302 Found")


def cut(count: int, *headers: str) -> Any:
    return closing(answer(AUDIO[:count], *headers, length=len(AUDIO)))
