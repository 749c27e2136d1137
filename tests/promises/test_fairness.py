"""Between concurrent waits it is fair: nobody's poll waits for more than its turn. Judged by the journal."""

import asyncio
import contextlib
import random
from collections import Counter

import pytest

from kallglot_async import KallglotClient, PollSchedule, WaitTimeoutError
from kallglot_async.emulator import Emulator, Latency

pytestmark = [pytest.mark.looptime, pytest.mark.slow]

EPOCH = 1_800_000_000.0
NEVER = Latency.uniform(50_000.0, 60_000.0)
WINDOWS = ("fixed", "sliding", "token_bucket")
BUDGETS = (
    pytest.param((150, 60.0), id="150 per 60 s"),
    pytest.param((50, 1.0), id="50 per 1 s"),
)
budgets = pytest.mark.parametrize("budget", BUDGETS)
windows = pytest.mark.parametrize("window", WINDOWS)


@contextlib.asynccontextmanager
async def running(budget, window, **options):
    options = {"plan": "unlimited", "latency": NEVER, "seed": 1, "epoch": EPOCH + 7.0} | options
    async with (
        Emulator(rate_limit=budget, window=window, **options) as emulator,
        KallglotClient(emulator.api_key, base_url=emulator.base_url, random=random.Random(0).random) as client,
    ):
        yield emulator, client


@contextlib.asynccontextmanager
async def meanwhile(*coroutines):
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def polls_of_one_wait(emulator, client, *, every, seconds):
    """Wait for one id on a fixed schedule; return how late each of its polls was."""
    [id] = emulator.seed_analyses(1)
    started = emulator.now
    with contextlib.suppress(WaitTimeoutError):
        await client.wait(id, timeout=seconds, schedule=PollSchedule.fixed(every))
    polls = [entry.at for entry in emulator.journal if entry.path.endswith(id)]
    due = [started, *(at + every for at in polls)]
    # The last look before the deadline keeps no interval.
    return [at - expected for at, expected in zip(polls[:-1], due, strict=False)]


@budgets
@windows
async def test_a_wait_beside_a_big_batch_is_polled_in_its_turn(window, budget):
    """Two thousand ids from a lazy source, one more in the middle: each of its polls comes within a turn.

    A window that is spent holds everybody up for the rounding of its reset; the polls that fall into that are
    not counted, but they are few.
    """
    async with running(budget, window) as (emulator, client):
        ids = emulator.seed_analyses(2_000)
        async with meanwhile(client.wait_many(iter(ids), timeout=None)):
            await asyncio.sleep(45.0 if budget[1] > 1.0 else 3.0)
            lateness = await polls_of_one_wait(emulator, client, every=5.0, seconds=200.0 if budget[1] > 1.0 else 60.0)
        turn = 1.1 * budget[1] / budget[0]
        assert len(lateness) >= 10
        late = [seconds for seconds in lateness if seconds > turn]
        assert len(late) <= 0.1 * len(lateness), lateness
        assert max(lateness) <= turn + 3.2
        assert emulator.journal.refused == 0


@budgets
@windows
async def test_a_single_wait_is_not_starved_by_a_learned_batch(window, budget):
    """The same where the batch settles all the time and its polls go ahead of the pace."""
    async with running(budget, window, latency=Latency.log_normal(median=10.0)) as (emulator, client):
        ids = emulator.seed_analyses(2_000)
        async with meanwhile(client.wait_many(iter(ids), timeout=None)):
            await asyncio.sleep(20.0 if budget[1] > 1.0 else 3.0)
            [id] = emulator.seed_analyses(1)
            started = emulator.now
            await client.wait(id, timeout=None, schedule=PollSchedule.fixed(5.0))
        polls = [entry.at for entry in emulator.journal if entry.path.endswith(id)]
        gaps = [later - earlier for earlier, later in zip([started, *polls], polls, strict=False)]
        assert max(gaps) <= 5.0 + 1.1 * budget[1] / budget[0] + 3.2


@budgets
@windows
async def test_equal_batches_get_equal_shares(window, budget):
    """Four batches at once: the same number of requests each, within 10 %."""
    async with running(budget, window) as (emulator, client):
        batches = [emulator.seed_analyses(300) for _ in range(4)]
        async with meanwhile(*(client.wait_many(iter(batch), timeout=None) for batch in batches)):
            await asyncio.sleep(110.0 if budget[1] > 1.0 else 6.0)
        owner = {id: number for number, batch in enumerate(batches) for id in batch}
        shares = Counter(owner[entry.id] for entry in emulator.journal)
        assert len(shares) == 4
        assert max(shares.values()) <= 1.1 * min(shares.values()), shares


@budgets
@windows
async def test_retrieve_many_does_not_starve_a_wait(window, budget):
    """It spends windows at once, but leaves what one pending id needs: no poll comes a window late."""
    async with running(budget, window) as (emulator, client):
        ids = emulator.seed_analyses(500)
        async with meanwhile(client.analyses.retrieve_many(ids, timeout=None)):
            await asyncio.sleep(5.0 if budget[1] > 1.0 else 0.5)
            lateness = await polls_of_one_wait(emulator, client, every=5.0, seconds=120.0)
        assert max(lateness) <= 12.0, lateness
        assert emulator.journal.refused == 0
