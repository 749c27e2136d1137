"""An emulator, and a client of it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from kallglot_async import KallglotClient
from kallglot_async.emulator import Emulator, Fault, Latency


@asynccontextmanager
async def running(
    *faults: Fault, on_event: Any = None, **settings: Any
) -> AsyncIterator[tuple[Emulator, KallglotClient]]:
    options = {"plan": "pro", "latency": Latency.uniform(25.0, 25.0), "seed": 7, "epoch": 1_800_000_000.0} | settings
    async with (
        Emulator(faults=faults, **options) as emulator,
        KallglotClient(emulator.api_key, base_url=emulator.base_url, on_event=on_event, random=lambda: 0.5) as client,
    ):
        yield emulator, client


@asynccontextmanager
async def ready(*faults: Fault, **options: Any) -> AsyncIterator[Emulator]:
    """An emulator whose analyses are ready at once, without limits unless asked for."""
    settings: dict[str, Any] = {"plan": "unlimited", "latency": Latency.immediate(), "faults": faults}
    async with Emulator(**(settings | options)) as emulator:
        yield emulator


def client_of(emulator: Emulator, **options: Any) -> KallglotClient:
    return KallglotClient(emulator.api_key, base_url=emulator.base_url, **options)


@asynccontextmanager
async def unlimited(**options: Any) -> AsyncIterator[tuple[Emulator, KallglotClient]]:
    """An emulator without limits, unless asked for, and a client of it."""
    async with Emulator(**{"plan": "unlimited", **options}) as emulator, client_of(emulator) as client:
        yield emulator, client
