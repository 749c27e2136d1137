"""One clock for everything."""

from __future__ import annotations

import asyncio
from email.utils import parsedate_to_datetime

import aiohttp
import pytest
from support.emulated import EPOCH, HEADERS, serving

from kallglot_async.emulator import Emulator, Latency
from kallglot_async.emulator.clock import Lasting

pytestmark = pytest.mark.looptime


async def test_clock_skew_moves_date_and_reset_together() -> None:
    """An hour of skew changes neither the difference between `Reset` and `Date` nor any duration."""
    async with serving(rate_limit=(5, 60.0), clock_skew=3600.0) as client:
        await asyncio.sleep(12.4)
        _, headers, _ = await client.get("/analysis/ana_1")
        date = parsedate_to_datetime(headers["Date"]).timestamp()
        assert date == EPOCH + 3600 + 12
        assert int(headers["X-RateLimit-Reset"]) - date == 48
        assert client.emulator.state().wall_time == pytest.approx(EPOCH + 3612.4, abs=0.001)


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


def test_a_value_lasts_for_its_life_and_is_forgotten_with_the_next() -> None:
    """It is there until its life is over, can be looked up a little longer, and makes room when another comes."""
    values = Lasting[int](10.0)
    values.put("one", 1, 0.0)
    values.put("two", 2, 5.0)
    assert [values.get("one", now) for now in (0.0, 9.9, 10.0)] == [1, 1, None]
    assert (values.peek("one"), values.peek("none")) == (1, None)
    values.put("three", 3, 10.0)
    assert [values.peek(key) for key in ("one", "two", "three")] == [None, 2, 3]
    values.put("two", 4, 20.0)
    assert [values.get(key, 20.0) for key in ("two", "three")] == [4, None]
