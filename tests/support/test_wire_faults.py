"""The injector sends what it promises."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from typing import Any

import msgspec
import pytest
from support.emulated import HANDSHAKE, faulty, port, seen_by_a_socket
from support.wire_faults import WIRE_KINDS, Fault

CUT = {
    # kind: (bytes it begins with, whether the connection is reset; None: it is kept alive)
    "garbage": (b"\x15\x03\x01", False),
    "reset_in_head": (b"HTTP/1.1 200 OK\r\n", True),
    "reset_in_body": (b"HTTP/1.1 200 OK\r\n", True),
    "cut_chunked": (b"HTTP/1.1 200 OK\r\n", False),
    "drip_head": (b"HTTP/1.1 200 OK\r\n", False),
    "bad_status_line": (b"HTTP/1.1 2OO OK\r\n", False),
    "two_lengths": (b"HTTP/1.1 200 OK\r\n", False),
    "bad_chunk": (b"HTTP/1.1 200 OK\r\n", False),
    "header_flood": (b"HTTP/1.1 200 OK\r\n", False),
    "trailing_bytes": (b"HTTP/1.1 200 OK\r\n", False),
    "early_hints": (b"HTTP/1.1 103 Early Hints\r\n", None),
}


def test_every_kind_is_tested_here() -> None:
    """The list of kinds in this file is the list of kinds there are."""
    assert {*CUT, "bad_gzip", "unsolicited", "slow_close"} == WIRE_KINDS


@pytest.mark.parametrize("kind", CUT)
async def test_broken_connections_break_where_they_should(kind: Any) -> None:
    """Each fault sends what it promises, then resets or closes; the journal knows its kind."""
    start, is_reset = CUT[kind]
    async with faulty(Fault(kind=kind, interval=0.0)) as (emulator, _, _):
        seen, error = await seen_by_a_socket(emulator, is_kept=is_reset is None)
        assert seen.startswith(start)
        assert (error is not None) == bool(is_reset)
        assert emulator.journal.faults() == {kind: 1}
        assert emulator.journal[0].accepted
        head, _, body = seen.partition(b"\r\n\r\n")
        if kind == "reset_in_head":
            assert b"\r\n\r\n" not in seen
        if kind == "reset_in_body":
            length = int(head.partition(b"Content-Length: ")[2].split(b"\r\n")[0])
            assert 0 < len(body) < length
        if kind == "cut_chunked":
            assert b"Transfer-Encoding: chunked" in head
            assert not body.endswith(b"0\r\n\r\n")
        if kind == "two_lengths":
            lengths = [line for line in head.split(b"\r\n") if line.startswith(b"Content-Length: ")]
            assert len(set(lengths)) == 2
        if kind == "bad_chunk":
            assert b"\r\nsize\r\n" in body
        if kind == "header_flood":
            assert head.count(b"\r\nX-Flood-") == 10_000
        if kind == "trailing_bytes":
            length = int(head.partition(b"Content-Length: ")[2].split(b"\r\n")[0])
            assert msgspec.json.decode(body[:length])["status"] == "complete"
            assert len(body) > length
        if kind == "early_hints":
            assert body.startswith(b"HTTP/1.1 200 OK\r\n")
        if kind == "drip_head":
            assert msgspec.json.decode(body)["status"] == "complete"


async def test_garbage_can_be_chosen() -> None:
    """`body` replaces the bytes that are no HTTP."""
    async with faulty(Fault(kind="garbage", body="HTTP/9 2\r\n\r\n")) as (emulator, _, _):
        assert await seen_by_a_socket(emulator) == (b"HTTP/9 2\r\n\r\n", None)


async def test_a_bad_gzip_is_whole_but_for_its_checksum() -> None:
    """The bytes unpack to the genuine body, and the checksum says that they do not."""
    async with (
        faulty(Fault(kind="bad_gzip")) as (_, session, url),
        session.get(url, auto_decompress=False) as response,
    ):
        assert response.headers["Content-Encoding"] == "gzip"
        packed = await response.read()
    assert msgspec.json.decode(zlib.decompress(packed[10:-8], -zlib.MAX_WBITS))["status"] == "complete"
    with pytest.raises(gzip.BadGzipFile):
        gzip.decompress(packed)


@pytest.mark.looptime
async def test_an_unsolicited_answer_comes_later_on_the_idle_connection() -> None:
    """The genuine answer is whole; `delay` later one more arrives that nobody asked for."""
    async with faulty(Fault(kind="unsolicited", delay=5.0, body="x")) as (emulator, _, _):
        [id] = (analysis.id for analysis in emulator.analyses())
        reader, writer = await asyncio.open_connection("127.0.0.1", port(emulator))
        writer.write(HANDSHAKE % id.encode())
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.partition(b"Content-Length: ")[2].split(b"\r\n")[0])
        assert msgspec.json.decode(await reader.readexactly(length))["status"] == "complete"
        assert emulator.now == 0.0
        assert await reader.readuntil(b"\r\n\r\nx") == b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 1\r\n\r\nx"
        assert emulator.now == pytest.approx(5.0, abs=0.1)
        writer.close()


@pytest.mark.looptime
async def test_slow_close_ends_the_body_by_a_late_close() -> None:
    """Without a length the body ends with the connection, `delay` after its last byte."""
    async with faulty(Fault(kind="slow_close", delay=7.0)) as (emulator, session, url), session.get(url) as response:
        assert response.content_length is None
        assert (await response.json())["status"] == "complete"
        assert emulator.now == pytest.approx(7.0, abs=0.1)
