"""The emulator's lifetime, and what its clients do to it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest
from support.emulated import HEADERS, port

from kallglot_async.emulator import Emulator, Fault, Latency


async def test_lifetime() -> None:
    """It listens inside its context only, can be closed twice and started afresh, and keeps its journal."""
    emulator = Emulator(plan="unlimited")
    assert repr(emulator) == "<Emulator closed plan=unlimited window=fixed>"
    for use in ("base_url", "origin", "journal", "now"):
        with pytest.raises(RuntimeError, match="async with"):
            getattr(emulator, use)
    async with emulator, aiohttp.ClientSession(headers=HEADERS) as session:
        assert emulator.base_url == f"http://127.0.0.1:{port(emulator)}/v1"
        assert f"127.0.0.1:{port(emulator)} " in repr(emulator)
        with pytest.raises(RuntimeError, match="running already"):
            await emulator.start()
        async with session.get(emulator.base_url + "/analysis/ana_1") as response:
            assert response.status == 404
    await emulator.aclose()
    assert len(emulator.journal) == 1
    with pytest.raises(RuntimeError):
        _ = emulator.base_url
    async with emulator:
        assert len(emulator.journal) == 0


async def test_a_taken_port_is_reported_and_leaves_nothing_behind() -> None:
    """`OSError` says that the port is taken; the emulator is as if it had never been started."""
    async with Emulator() as first:
        second = Emulator(port=port(first))
        with pytest.raises(OSError, match="address already in use"):
            await second.start()
        assert "closed" in repr(second)


async def test_ipv6_loopback_is_bracketed() -> None:
    """The base URL of an IPv6 address can be used as it is."""
    try:
        async with Emulator(host="::1") as emulator, aiohttp.ClientSession(headers=HEADERS) as session:
            assert emulator.base_url.startswith("http://[::1]:")
            async with session.get(emulator.base_url + "/analysis/ana_1") as response:
                assert response.status == 404
    except OSError:
        pytest.skip("no IPv6 on this machine")


@pytest.mark.looptime
@pytest.mark.parametrize("kind", [None, "hang", "slow", "drip"])
async def test_it_closes_at_once_and_quietly_whatever_clients_hold(kind: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Idle keep-alive connections and requests held back by a fault delay nothing and log nothing."""
    caplog.set_level(logging.DEBUG)
    async with aiohttp.ClientSession(headers=HEADERS) as session:
        async with Emulator(latency=Latency.immediate()) as emulator:
            [id] = emulator.seed_analyses(1)
            url = f"{emulator.base_url}/analysis/{id}"
            for _ in range(3):
                async with session.get(url) as response:
                    await response.read()
            if kind is not None:
                emulator.add_fault(Fault(kind=kind, delay=60.0, interval=60.0))
                pending = asyncio.ensure_future(fetch(session, url))
                await until(lambda: len(emulator.journal) == 4)
            started = asyncio.get_running_loop().time()
        assert asyncio.get_running_loop().time() - started < 0.5
        if kind is not None:
            assert isinstance(await pending, aiohttp.ClientError)
    assert [record for record in caplog.records if record.levelno > logging.INFO] == []
    assert len(asyncio.all_tasks()) == 1


async def get(session: aiohttp.ClientSession, url: str) -> tuple[int, bytes]:
    async with session.get(url) as response:
        return response.status, await response.read()


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("never came true")


async def fetch(session: aiohttp.ClientSession, url: str) -> object:
    try:
        async with session.get(url) as response:
            return await response.read()
    except aiohttp.ClientError as error:
        return error


@pytest.mark.looptime
async def test_clients_that_leave_are_forgotten_silently(caplog: pytest.LogCaptureFixture) -> None:
    """Connections dropped before, during and after a request neither log nor disturb the next client."""
    caplog.set_level(logging.DEBUG)
    async with Emulator(latency=Latency.immediate(), faults=[Fault(kind="slow", delay=0.01)]) as emulator:
        for part in (b"", b"GET /v1/ana", b"GET /v1/analysis/ana_1 HTTP/1.1\r\nHost: x\r\n\r\n"):
            _, writer = await asyncio.open_connection("127.0.0.1", port(emulator))
            writer.write(part)
            writer.transport.abort()
        post = b"POST /v1/sessions/sess_1/analysis HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n{"
        _, writer = await asyncio.open_connection("127.0.0.1", port(emulator))
        writer.write(post)
        await asyncio.sleep(0.01)
        writer.transport.abort()
        async with aiohttp.ClientSession(headers=HEADERS) as session:
            status, _ = await get(session, emulator.base_url + "/analysis/ana_1")
            assert status == 404
    assert [record for record in caplog.records if record.levelno > logging.INFO] == []
