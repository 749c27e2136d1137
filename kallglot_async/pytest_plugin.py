"""Fixtures for your own tests: an emulator of the API, and a client that talks to it.

Loaded by pytest through an entry point. Fixtures are asynchronous; they work with pytest-asyncio and with
anyio's plugin, whichever runs your tests. Both are made anew for each test.

The marker `kallglot_faults` declares what goes wrong on the emulator of a test, a class or a module:

    @pytest.mark.kallglot_faults(Fault(kind="reset", times=2), Fault(kind="status", status=503, rate=0.1))
    async def test_survives(kallglot_client): ...

and `kallglot_options` sets what the emulator is made with: `@pytest.mark.kallglot_options(plan="free", credits=3)`, or,
for a server that counts in another way and refuses beside what it announces,
`@pytest.mark.kallglot_options(rate_limit=(150, 60.0), window="sliding_counter", second_limit=(5, 1.0))`.

Under looptime (`@pytest.mark.looptime`) a wait of two minutes takes no time. Use numeric addresses only. The
emulator's webhooks are dated in virtual time: a receiver that is used for more than 300 s of it needs a `clock`.
looptime works with pytest-asyncio alone. Under anyio's plugin seconds take seconds, so give the emulator
`latency=Latency.immediate()`; with pytest-asyncio switched off (`-p no:asyncio`) looptime must be, too
(`-p no:looptime_plugin`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from kallglot_async._client import KallglotClient
    from kallglot_async.emulator import Emulator, Fault

try:
    from pytest_asyncio import fixture
except ModuleNotFoundError:  # pragma: no cover  # anyio's plugin takes plain fixtures
    from pytest import fixture  # type: ignore[no-redef]  # noqa: PT013  # the same call, for this use

__all__ = ["kallglot_client", "kallglot_emulator"]


def pytest_configure(config: pytest.Config) -> None:
    """Make the markers known, for suites with strict markers."""
    config.addinivalue_line("markers", "kallglot_faults(*faults): faults of the test's kallglot_emulator.")
    config.addinivalue_line("markers", "kallglot_options(**options): options of the test's kallglot_emulator.")


@fixture
async def kallglot_emulator(request: pytest.FixtureRequest) -> AsyncIterator[Emulator]:
    """An emulator on 127.0.0.1 without rate limits, whose analyses take 22 to 30 s, like the documented ones.

    Under a virtual clock those seconds cost nothing; for a real one, build your own with
    `@pytest.mark.kallglot_options(latency=Latency.immediate())`. It commits the faults of the test's `kallglot_faults`
    markers, those nearest to the test first.
    """
    from kallglot_async.emulator import Latency

    _check_loop(request)
    usual = {"plan": "unlimited", "latency": Latency.uniform(22.0, 30.0), "clock": _OnwardClock().now}
    async with _make(usual | _options(request) | {"faults": _declared(request)}) as emulator:
        yield emulator


@fixture
async def kallglot_client(kallglot_emulator: Emulator) -> AsyncIterator[KallglotClient]:
    """A client of the `kallglot_emulator` of the same test."""
    from kallglot_async import KallglotClient

    async with KallglotClient(kallglot_emulator.api_key, base_url=kallglot_emulator.base_url) as client:
        yield client


class _OnwardClock:
    """The event loop's time, without the jump back to zero that looptime makes between the fixtures and the test.

    The emulator has started by then, and its `Date` and signatures would be off by as long as the machine has run.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._seen = self._loop.time()
        self._ahead = 0.0

    def now(self) -> float:
        time = self._loop.time()
        self._ahead += max(0.0, self._seen - time)
        self._seen = time
        return time + self._ahead


def _check_loop(request: pytest.FixtureRequest) -> None:
    """Refuse a test in whose event loop the emulator would not run: each call would wait for its whole timeout."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        raise pytest.UsageError(
            "kallglot_emulator needs asyncio: have a fixture anyio_backend that returns 'asyncio'"
        ) from None
    marker, config = request.node.get_closest_marker("asyncio"), request.config
    if marker is None or not config.pluginmanager.hasplugin("asyncio"):
        # No coroutine function, which may do as it likes; or one that anyio's plugin runs.
        return
    if "anyio_backend" in request.fixturenames:
        raise pytest.UsageError(
            "anyio's plugin has made kallglot_emulator, and pytest-asyncio runs this test, in another event loop: "
            "set asyncio_mode to 'strict', or leave the test without the marker anyio and the fixture anyio_backend"
        )
    ours = _setting(config, "asyncio_default_fixture_loop_scope")
    if ours in ("", "fixture-scope"):
        ours = request.scope
    # The second word is that of releases before 0.24.
    its = marker.kwargs.get("loop_scope") or marker.kwargs.get("scope")
    its = its or _setting(config, "asyncio_default_test_loop_scope") or "function"
    if its != ours:
        raise pytest.UsageError(
            f"kallglot_emulator runs in an event loop of scope {ours!r}, and this test in one of scope {its!r}: "
            f"set asyncio_default_fixture_loop_scope to {its!r}, or the test's loop_scope to {ours!r}"
        )


def _setting(config: pytest.Config, name: str) -> str:
    """Return a setting of pytest-asyncio; nothing where it is not made, or that release has none of the name."""
    try:
        return config.getini(name) or ""
    except ValueError:
        return ""


def _make(options: dict[str, Any]) -> Emulator:
    from kallglot_async.emulator import Emulator

    try:
        return Emulator(**options)
    except (TypeError, ValueError) as error:
        raise pytest.UsageError(f"kallglot_options: {error}") from None


def _options(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Return the options of all markers; the one nearest to the test wins."""
    options: dict[str, Any] = {}
    for marker in request.node.iter_markers("kallglot_options"):
        if marker.args or "faults" in marker.kwargs:
            raise pytest.UsageError(
                "kallglot_options takes options of Emulator by name; faults go into kallglot_faults"
            )
        # The nearest comes first, so what is there already wins.
        options = marker.kwargs | options
    return options


def _declared(request: pytest.FixtureRequest) -> list[Fault]:
    from kallglot_async.emulator import Fault

    faults = [fault for marker in request.node.iter_markers("kallglot_faults") for fault in marker.args]
    for fault in faults:
        if not isinstance(fault, Fault):
            raise pytest.UsageError(f"kallglot_faults takes values of Fault, not {fault!r}")
    return faults
