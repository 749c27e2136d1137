"""One clock for everything."""

from __future__ import annotations

import asyncio
from email.utils import parsedate_to_datetime

import aiohttp
import pytest
from support.emulated import EPOCH, HEADERS, serving

from kallglot_async.emulator import Emulator, Latency

pytestmark = pytest.mark.looptime


async def test_clock_skew_moves_date_and_reset_together() -> None:
    """An hour of skew changes neither the difference between `Reset` and `Date` nor any duration."""
    async with serving(rate_limit=(5, 60.0), clock_skew=3600.0) as client:
        await asyncio.sleep(12.4)
        _, headers, _ = await client.get("/analysis/ana_1")
        date = parsedate_to_datetime(headers["Date"]).timestamp()
        assert date == EPOCH + 3600 + 12
        assert int(headers["X-RateLimit-Reset"]) - date == 48
        assert client.emulator.state().wall_time == pytest.approx(EPOCH + 3612.4)


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
