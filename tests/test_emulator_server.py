"""The emulator's lifetime, its refusals, and the control plane."""

from __future__ import annotations

import ast
import asyncio
import logging
import math
import pathlib
import sys
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest

from kallglot_async import emulator as emulator_package
from kallglot_async.emulator import Emulator, Fault, Latency

HEADERS = {"Authorization": "Bearer sk_test_emulator"}


def port(emulator: Emulator) -> int:
    return int(emulator.origin.rpartition(":")[2])


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.4", "::", "example.org", "localhost", ""])  # noqa: S104
def test_hosts_beyond_loopback_are_refused(host: str) -> None:
    """Only numeric loopback addresses are accepted, before anything listens."""
    with pytest.raises(ValueError, match="this machine only"):
        Emulator(host=host)


@pytest.mark.parametrize("key", ["sk_live_abc", "secret", ""])
def test_keys_that_are_no_test_keys_are_refused(key: str) -> None:
    """A live key is a mistake that is named at once, and the message does not repeat it."""
    with pytest.raises(ValueError, match="sk_test_") as caught:
        Emulator(api_key=key)
    assert "abc" not in str(caught.value)
    assert ("live keys" in str(caught.value)) == key.startswith("sk_live_")


@pytest.mark.parametrize(
    "options",
    [
        {"plan": "gold"},
        {"window": "round"},
        {"revision": "c"},
        {"speed": 0.0},
        {"speed": math.nan},
        {"failure_rate": 1.1},
        {"credits": -1},
        {"rate_limit": (0, 1.0)},
        {"rate_limit": (1, 0.0)},
    ],
)
def test_senseless_settings_are_refused(options: dict[str, Any]) -> None:
    """A setting that cannot be is an error at construction, not at the first request."""
    with pytest.raises(ValueError):
        Emulator(**options)


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


async def test_everything_runs_on_an_injected_clock() -> None:
    """Progress, windows and timestamps follow the given source and epoch, whatever the loop's time."""
    clock = {"now": 50.0}
    emulator = Emulator(
        latency=Latency.uniform(10, 10), rate_limit=(1, 60.0), clock=lambda: clock["now"], epoch=1_800_000_000.0
    )
    async with emulator, aiohttp.ClientSession(headers=HEADERS) as session:
        [id] = emulator.seed_analyses(1)
        statuses = []
        for now in (50.0, 51.0, 110.0):
            clock["now"] = now
            async with session.get(f"{emulator.base_url}/analysis/{id}") as response:
                statuses.append((response.status, (await response.json()).get("status")))
        assert statuses == [(200, "queued"), (429, None), (200, "complete")]
        assert [entry.at for entry in emulator.journal] == [0.0, 1.0, 60.0]
        record = emulator.analysis(id)
        assert (record.created_at, record.ready_at, record.status, record.polls) == (0.0, 10.0, "complete", 2)
        assert emulator.analyses() == [record]


async def test_reset_forgets_everything_but_the_clock() -> None:
    """After a reset the emulator is as new: analyses, journal, budget, credits, keys and added faults."""
    emulator = Emulator(rate_limit=(1, 3600.0), credits=1)
    async with emulator, aiohttp.ClientSession(headers=HEADERS | {"Idempotency-Key": "k1"}) as session:
        url = emulator.base_url + "/sessions/sess_1/analysis"
        for part in ("summary", "sentiment"):
            async with session.post(url, json={"include": [part]}) as response:
                assert response.status == 202
            emulator.add_fault(Fault(kind="reset"))
            before = emulator.now
            emulator.reset()
            assert emulator.now >= before
            assert (emulator.analyses(), emulator.faults(), list(emulator.journal)) == ([], [], [])
            assert emulator.state().credits_used == 0


def test_the_emulator_imports_nothing_of_the_client() -> None:
    """It is written from the documentation alone, so that it cannot share a mistake with the client."""
    package = pathlib.Path(emulator_package.__file__).parent
    for path in package.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0
                names = [node.module or ""]
            roots = {name.partition(".")[0] for name in names}
            assert roots <= {"kallglot_async", "aiohttp", "msgspec"} | set(sys.stdlib_module_names)
            own = [name for name in names if name.startswith("kallglot_async")]
            assert all(name.startswith("kallglot_async.emulator") for name in own)
