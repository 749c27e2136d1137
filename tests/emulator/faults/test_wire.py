"""Faults that happen while an answer is sent."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from support.emulated import faulty, seen_by_a_socket

from kallglot_async.emulator import Fault

CUT = {
    # kind: (whether the connection is reset, status in the journal)
    "reset": (True, None),
    "close": (False, None),
    "cut_body": (False, 200),
    "drip": (False, 200),
}


@pytest.mark.parametrize("kind", CUT)
async def test_broken_connections_break_where_they_should(kind: Any) -> None:
    """Each fault of the wire sends what it promises, then resets or closes; the journal says what was seen."""
    is_reset, status = CUT[kind]
    async with faulty(Fault(kind=kind, interval=0.0)) as (emulator, _, _):
        seen, error = await seen_by_a_socket(emulator)
        assert (error is not None) == is_reset
        [entry] = emulator.journal
        assert (entry.status, entry.fault, entry.accepted) == (status, kind, True)
        head, _, body = seen.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK\r\n") == (status is not None)
        if kind == "cut_body":
            length = int(head.partition(b"Content-Length: ")[2].split(b"\r\n")[0])
            assert 0 < len(body) < length
        elif kind == "drip":
            assert msgspec.json.decode(body)["status"] == "complete"
        else:
            assert not seen


@pytest.mark.looptime
async def test_slow_answers_come_late_and_whole() -> None:
    """The answer is the genuine one, `delay` seconds later."""
    async with faulty(Fault(kind="slow", delay=7.0)) as (emulator, session, url):
        async with session.get(url) as response:
            assert (await response.json())["status"] == "complete"
        assert emulator.now == pytest.approx(7.0)


@pytest.mark.untraced
@pytest.mark.looptime
async def test_drip_sends_one_byte_per_interval() -> None:
    """The head comes at once, the body in as many intervals as it has bytes."""
    async with faulty(Fault(kind="drip", interval=0.1)) as (emulator, session, url):
        async with session.get(url) as response:
            assert emulator.now == 0.0
            body = await response.read()
        assert emulator.now == pytest.approx(0.1 * len(body), abs=0.2)


@pytest.mark.looptime
async def test_hang_never_answers_and_ends_with_its_client() -> None:
    """A hanging request outlasts any patience and leaves nothing behind when the client gives up."""
    async with faulty(Fault(kind="hang", times=1)) as (emulator, session, url):
        tasks = len(asyncio.all_tasks())
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(10_000):
                await session.get(url)
        for _ in range(20):
            await asyncio.sleep(0.01)
        assert len(asyncio.all_tasks()) <= tasks
        async with session.get(url) as response:
            assert response.status == 200
        assert [(e.status, e.fault) for e in emulator.journal] == [(None, "hang"), (200, None)]


async def test_a_drip_ends_when_its_client_goes() -> None:
    """A client that leaves in the middle of a body is not dripped on any further."""
    async with faulty(Fault(kind="drip", interval=0.001, times=1)) as (emulator, session, url):
        async with session.get(url) as response:
            await response.content.readexactly(3)
            response.close()
        async with session.get(url) as response:
            assert response.status == 200
        assert len(emulator.journal) == 2
