"""Faults that change what is answered: pure functions from the genuine answer to what is sent."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import msgspec

from kallglot_async.emulator.envelopes import Answer, problem_for
from kallglot_async.emulator.faults.plan import Fault

_MIB = 1024 * 1024

_PAGE = """<!DOCTYPE html>
<html><head><title>Just a moment</title></head>
<body><h1>We will be back soon</h1><p>The service is being maintained.</p></body></html>
"""


def replaced(fault: Fault, request_id: str) -> Answer | None:
    """The answer that a fault puts in the place of the genuine one; None if it does not."""
    status = fault.status or 200
    match fault.kind:
        case "status":
            answer = problem_for(fault.status or 503).answer("b", request_id)
            return answer if fault.body is None else _with_body(answer, fault.body.encode())
        case "redirect":
            return Answer(status=fault.status or 302, body=b"", headers={"Location": fault.location})
        case "html":
            page = _PAGE if fault.body is None else fault.body
            return Answer(status=status, body=page.encode(), content_type="text/html")
        case "empty" | "null":
            return Answer(status=status, body=b"" if fault.kind == "empty" else b"null")
        case "deep_json":
            depth = 100_000 if fault.size is None else fault.size
            return Answer(status=status, body=b'{"extra":' + b"[" * depth + b"]" * depth + b"}")
        case "gzip_bomb":
            bomb = gzip_bomb(64 * _MIB if fault.size is None else fault.size)
            return Answer(status=status, body=bomb, headers={"Content-Encoding": "gzip"})
    return None


def spoiled(fault: Fault, genuine: Answer, decoy: Callable[[], dict[str, Any]]) -> Answer:
    """The genuine answer as the fault leaves it; unchanged for faults of the wire.

    `decoy` makes what `wrong_id` puts in: it costs something, and few faults want it.
    """
    if fault.kind == "broken_json":
        # Two thirds: well inside the object, and past the id and status that a hasty reader might pick out.
        return _with_body(genuine, genuine.body[: len(genuine.body) * 2 // 3])
    if fault.kind == "bad_utf8":
        # Bytes that no UTF-8 text has, inside the first string of the body.
        return _with_body(genuine, genuine.body.replace(b'":"', b'":"\x80\xfe', 1))
    # The others change members that an error envelope, audio and text have not.
    if genuine.status >= 300 or genuine.content_type != "application/json":
        return genuine
    if fault.kind == "missing_field":
        return _patched(genuine, {fault.body or "status": msgspec.UNSET})
    if fault.kind == "unknown_status":
        return _patched(genuine, {"status": fault.body or "archiving"})
    return _patched(genuine, decoy()) if fault.kind == "wrong_id" else genuine


@lru_cache(maxsize=2)
def gzip_bomb(size: int) -> bytes:
    """A valid gzip stream that unpacks to `size` spaces (rounded down to whole MiB, at least one).

    After a full flush the compressor repeats itself, so one compressed MiB is copied instead of compressing
    all of it again: a gigabyte takes a fraction of a second.
    """
    count = max(1, size // _MIB)
    plain = b" " * _MIB
    compressor = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    block = compressor.compress(plain) + compressor.flush(zlib.Z_FULL_FLUSH)
    checksum = 0
    for _ in range(count):
        checksum = zlib.crc32(plain, checksum)
    head = gzip.compress(b"", mtime=0)[:10]
    length = count * _MIB % 2**32
    tail = compressor.flush() + checksum.to_bytes(4, "little") + length.to_bytes(4, "little")
    return head + block * count + tail


def _patched(answer: Answer, changes: dict[str, Any]) -> Answer:
    """The answer with other members in its body; one that is UNSET is left out."""
    members = msgspec.json.decode(answer.body, type=dict) | changes
    return _with_body(answer, msgspec.json.encode({n: v for n, v in members.items() if v is not msgspec.UNSET}))


def _with_body(answer: Answer, body: bytes) -> Answer:
    return msgspec.structs.replace(answer, body=body)
