"""Fixtures for your own tests: an emulator of the API, and a client that talks to it.

Loaded by pytest through an entry point. Fixtures are asynchronous; they work with pytest-asyncio and with
anyio's plugin, whichever runs your tests. Both are made anew for each test.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kallglot_async._client import KallglotClient
    from kallglot_async.emulator import Emulator

try:
    from pytest_asyncio import fixture
except ModuleNotFoundError:  # pragma: no cover  # anyio's plugin takes plain fixtures
    from pytest import fixture  # type: ignore[no-redef]  # noqa: PT013  # the same call, for this use

__all__ = ["kallglot_client", "kallglot_emulator"]


@fixture
async def kallglot_emulator() -> AsyncIterator[Emulator]:
    """An emulator on 127.0.0.1 without rate limits, whose analyses take 22 to 30 s, like the documented ones.

    Under a virtual clock those seconds cost nothing; for a real one, build your own with
    `Emulator(latency=Latency.immediate())`.
    """
    from kallglot_async.emulator import Emulator, Latency

    async with Emulator(plan="unlimited", latency=Latency.uniform(22.0, 30.0)) as emulator:
        yield emulator


@fixture
async def kallglot_client(kallglot_emulator: Emulator) -> AsyncIterator[KallglotClient]:
    """A client of the `kallglot_emulator` of the same test."""
    from kallglot_async import KallglotClient

    async with KallglotClient(kallglot_emulator.api_key, base_url=kallglot_emulator.base_url) as client:
        yield client
