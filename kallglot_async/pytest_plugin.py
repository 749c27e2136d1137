"""Fixtures for your own tests: an emulator of the API, and a client that talks to it.

Loaded by pytest through an entry point. Fixtures are asynchronous; they work with pytest-asyncio and with
anyio's plugin, whichever runs your tests. Both are made anew for each test.

The marker `kallglot_faults` declares what goes wrong on the emulator of a test, a class or a module:

    @pytest.mark.kallglot_faults(Fault(kind="reset", times=2), Fault(kind="status", status=503, rate=0.1))
    async def test_survives(kallglot_client): ...
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

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
    """Make the marker known, for suites with strict markers."""
    config.addinivalue_line("markers", "kallglot_faults(*faults): faults of the test's kallglot_emulator.")


@fixture
async def kallglot_emulator(request: pytest.FixtureRequest) -> AsyncIterator[Emulator]:
    """An emulator on 127.0.0.1 without rate limits, whose analyses take 22 to 30 s, like the documented ones.

    Under a virtual clock those seconds cost nothing; for a real one, build your own with
    `Emulator(latency=Latency.immediate())`. It commits the faults of the test's `kallglot_faults` markers,
    those nearest to the test first.
    """
    from kallglot_async.emulator import Emulator, Latency

    latency = Latency.uniform(22.0, 30.0)
    async with Emulator(plan="unlimited", latency=latency, faults=_declared(request)) as emulator:
        yield emulator


@fixture
async def kallglot_client(kallglot_emulator: Emulator) -> AsyncIterator[KallglotClient]:
    """A client of the `kallglot_emulator` of the same test."""
    from kallglot_async import KallglotClient

    async with KallglotClient(kallglot_emulator.api_key, base_url=kallglot_emulator.base_url) as client:
        yield client


def _declared(request: pytest.FixtureRequest) -> list[Fault]:
    from kallglot_async.emulator import Fault

    faults = [fault for marker in request.node.iter_markers("kallglot_faults") for fault in marker.args]
    for fault in faults:
        if not isinstance(fault, Fault):
            raise pytest.UsageError(f"kallglot_faults takes values of Fault, not {fault!r}")
    return faults
