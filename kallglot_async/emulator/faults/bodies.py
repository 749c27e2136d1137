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
    """The answer that a fault puts in the place of the genuine one; None if it does not.

    Args:
        fault: The fault that was drawn.
        request_id: For the error envelope of `status`.
    """
    make = _REPLACEMENTS.get(fault.kind)
    return None if make is None else make(fault, request_id)


def spoiled(fault: Fault, genuine: Answer, decoy: Callable[[], dict[str, Any]]) -> Answer:
    """The genuine answer as the fault leaves it; unchanged for faults of the wire.

    Args:
        fault: The fault that was drawn.
        genuine: What would have been answered.
        decoy: Makes the body of another analysis, for `wrong_id`.
    """
    if fault.kind == "broken_json":
        return _with_body(genuine, genuine.body[: len(genuine.body) * 2 // 3])
    if fault.kind == "bad_utf8":
        # Bytes that no UTF-8 text has, inside the first string of the body.
        return _with_body(genuine, genuine.body.replace(b'":"', b'":"\x80\xfe', 1))
    if fault.kind == "bad_gzip":
        return _with_bad_gzip(genuine)
    if genuine.status >= 300:
        return genuine
    if fault.kind == "missing_field":
        return _without(genuine, fault.body or "status")
    if fault.kind == "unknown_status":
        return _patched(genuine, {"status": fault.body or "archiving"})
    return _patched(genuine, decoy()) if fault.kind == "wrong_id" else genuine


def _status(fault: Fault, request_id: str) -> Answer:
    answer = problem_for(fault.status or 503).answer("b", request_id)
    return answer if fault.body is None else _with_body(answer, fault.body.encode())


def _html(fault: Fault, request_id: str) -> Answer:
    body = (_PAGE if fault.body is None else fault.body).encode()
    return Answer(status=fault.status or 200, body=body, content_type="text/html")


def _empty(fault: Fault, request_id: str) -> Answer:
    return Answer(status=fault.status or 200, body=b"")


def _null(fault: Fault, request_id: str) -> Answer:
    return Answer(status=fault.status or 200, body=b"null")


def _deep_json(fault: Fault, request_id: str) -> Answer:
    depth = 100_000 if fault.size is None else fault.size
    return Answer(status=fault.status or 200, body=b'{"extra":' + b"[" * depth + b"]" * depth + b"}")


def _gzip_bomb(fault: Fault, request_id: str) -> Answer:
    body = gzip_bomb(64 * _MIB if fault.size is None else fault.size)
    return Answer(status=fault.status or 200, body=body, headers={"Content-Encoding": "gzip"})


def _redirect(fault: Fault, request_id: str) -> Answer:
    return Answer(status=fault.status or 302, body=b"", headers={"Location": fault.location})


_REPLACEMENTS: dict[str, Callable[[Fault, str], Answer]] = {
    "status": _status,
    "html": _html,
    "empty": _empty,
    "null": _null,
    "deep_json": _deep_json,
    "gzip_bomb": _gzip_bomb,
    "redirect": _redirect,
}


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
    return _with_body(answer, msgspec.json.encode(msgspec.json.decode(answer.body, type=dict) | changes))


def _without(answer: Answer, field: str) -> Answer:
    fields = msgspec.json.decode(answer.body, type=dict)
    fields.pop(field, None)
    return _with_body(answer, msgspec.json.encode(fields))


def _with_bad_gzip(answer: Answer) -> Answer:
    packed = gzip.compress(answer.body, mtime=0)
    # The last eight bytes are checksum and length.
    spoiled = packed[:-8] + bytes(byte ^ 0xFF for byte in packed[-8:-4]) + packed[-4:]
    return msgspec.structs.replace(answer, body=spoiled, headers=answer.headers | {"Content-Encoding": "gzip"})


def _with_body(answer: Answer, body: bytes) -> Answer:
    return msgspec.structs.replace(answer, body=body)
