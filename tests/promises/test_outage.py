"""An outage: what a client adds to it, and how it comes back. Virtual time, the server's journal as the judge."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import Counter
from typing import Any

import pytest
from support.virtual import leaving_nothing, now, run

from kallglot_async import Analysis, KallglotClient, KallglotError
from kallglot_async.emulator import Emulator, Fault, JournalEntry, Latency

BEGINS, ENDS, OVER = 5.0, 65.0, 75.0  # seconds: the minute in which every request fails
PER_SECOND = 10
EMPTY = 10.0  # seconds of outage after which the retry budget has nothing left
OUTAGES = {
    "503": {"kind": "status", "status": 503},
    "pages": {"kind": "html", "status": 502},
    "resets": {"kind": "reset"},
    "half answers": {"kind": "cut_body"},
    "another's answers": {"kind": "wrong_id"},
}


def between(journal: Any, start: float, end: float) -> list[JournalEntry]:
    return [entry for entry in journal if start <= entry.at < end]


@pytest.mark.parametrize(("outage", "call"), list(itertools.product(OUTAGES, ["retrieve", "wait"])))
@pytest.mark.slow
def test_an_outage_is_not_made_worse_and_ends_by_itself(outage: str, call: str) -> None:
    """Once the retry budget is empty, at most 1.1 requests go out for each call; then all is as before."""

    async def main() -> None:
        async with (
            Emulator(plan="unlimited", latency=Latency.immediate(), adopt_unknown=True) as emulator,
            KallglotClient(emulator.api_key, base_url=emulator.base_url, random=random.Random(1).random) as client,
        ):
            ends: list[tuple[float, Any]] = []

            async def one(number: int) -> None:
                begun = now()
                ask = client.wait if call == "wait" else client.analyses.retrieve
                try:
                    ends.append((begun, await ask(f"ana_{number}")))
                except KallglotError as error:
                    ends.append((begun, error))

            async with leaving_nothing(client), asyncio.TaskGroup() as group:
                for number in range(int(OVER * PER_SECOND)):
                    if emulator.now >= ENDS:
                        emulator.clear_faults()
                    elif emulator.now >= BEGINS and not emulator.faults():
                        emulator.add_fault(Fault(**OUTAGES[outage]))
                    group.create_task(one(number))
                    await asyncio.sleep(1 / PER_SECOND)
            started = now() - emulator.now
            offered = sum(BEGINS + EMPTY <= begun - started < ENDS for begun, _ in ends)
            sent = len(between(emulator.journal, BEGINS + EMPTY, ENDS))
            assert offered >= 0.9 * (ENDS - BEGINS - EMPTY) * PER_SECOND
            assert sent <= 1.1 * offered
            # Before and after, with nothing done about it, everything succeeds.
            well = [end for begun, end in ends if not BEGINS - 1.0 <= begun - started < ENDS]
            assert len(well) >= 12 * PER_SECOND
            assert all(isinstance(end, Analysis) for end in well)
            # And nobody was waiting for the end: the first second after it is like any other.
            assert len(between(emulator.journal, ENDS, ENDS + 1.0)) <= 1.5 * PER_SECOND

    run(main)


@pytest.mark.parametrize("has_headers", [True, False], ids=["headers", "no headers"])
def test_after_a_minute_of_refusals_nobody_storms(has_headers: bool) -> None:
    """Two hundred callers wait for the same pause to end: they come one after another, not all at once."""

    async def main() -> None:
        options: dict[str, Any] = {"rate_limit": (120, 60.0)} if has_headers else {"rate_headers": False}
        async with (
            Emulator(plan="unlimited", latency=Latency.immediate(), epoch=1_800_000_000.0, **options) as emulator,
            KallglotClient(emulator.api_key, base_url=emulator.base_url, random=random.Random(1).random) as client,
        ):
            ids = emulator.seed_analyses(100)
            await client.analyses.retrieve(ids[0])
            emulator.add_fault(Fault(kind="throttle", retry_after=15))
            async with leaving_nothing(client), asyncio.TaskGroup() as group:
                waits = [group.create_task(client.wait(id, timeout=None)) for id in ids[:50]]
                calls = [group.create_task(client.analyses.retrieve(id, timeout=None)) for id in ids[50:]]
                await asyncio.sleep(60.0)
                refused = emulator.journal.refused
                emulator.clear_faults()
                at = emulator.now
            assert all(task.result().is_complete for task in (*waits, *calls))
            # Those on their way at first, and after each pause one that tests the water.
            assert len(between(emulator.journal, 1.0, at)) <= 5
            assert emulator.journal.refused == refused
            after = between(emulator.journal, at, 10**9)
            assert len(after) >= 100
            seconds = Counter(int(entry.at - after[0].at) for entry in after)
            # Where the server says what it holds, direct calls may spend that at once; polls keep the pace.
            assert seconds[0] <= (60 if has_headers else 30), seconds
            assert max(list(seconds.values())[1:]) <= 30, seconds

    run(main)
