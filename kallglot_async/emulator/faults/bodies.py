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
    if fault.kind == "status":
        answer = problem_for(fault.status or 503).answer("b", request_id)
        return answer if fault.body is None else _with_body(answer, fault.body.encode())
    if fault.kind == "redirect":
        return Answer(status=fault.status or 302, body=b"", headers={"Location": fault.location})
    make = _BODIES.get(fault.kind)
    if make is None:
        return None
    return Answer(
        status=fault.status or 200,
        body=make(fault),
        headers={"Content-Encoding": "gzip"} if fault.kind == "gzip_bomb" else {},
        content_type="text/html" if fault.kind == "html" else "application/json",
    )


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
    if genuine.status >= 300:
        return genuine  # an error envelope has none of the members that the others change
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


def _deep_json(fault: Fault) -> bytes:
    depth = 100_000 if fault.size is None else fault.size
    return b'{"extra":' + b"[" * depth + b"]" * depth + b"}"


_BODIES: dict[str, Callable[[Fault], bytes]] = {
    "html": lambda fault: (_PAGE if fault.body is None else fault.body).encode(),
    "empty": lambda fault: b"",
    "null": lambda fault: b"null",
    "deep_json": _deep_json,
    "gzip_bomb": lambda fault: gzip_bomb(64 * _MIB if fault.size is None else fault.size),
}
