"""Worlds drawn from a seed: a limit, a way that fails in several ways, a law, and callers who come, go and come again.

Each fault has a test of its own elsewhere; here they come together. A world that fails is the same again by its seed.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple

import pytest
from support.slow import beyond
from support.virtual import leaving_nothing, now, run

from kallglot_async import (
    AnalysisFailedError,
    KallglotClient,
    KallglotError,
    NotAttemptedError,
    RequestTimeoutError,
    WaitTimeoutError,
)
from kallglot_async.emulator import Emulator, Fault, Latency

CLEAR = 65.0  # seconds without a fault in which all is asked for again, at the slowest pace
RECENT = 35.0  # seconds without a fault before a deadline: no poll that hangs is in the place of its last look
SLACK = 1.5  # seconds by which a call may end after its time: an answer that is awaited, a pause of the server's
KEYED = 35.0  # seconds for what an `analyze_many` whose time is over still tells, and hears

LIMITS: list[dict[str, Any]] = [
    *[{"plan": "unlimited"}] * 4,
    {"rate_limit": (600, 60.0)},
    {"rate_limit": (600, 60.0), "window": "sliding"},
    {"rate_limit": (600, 60.0), "window": "sliding_counter"},
    {"rate_limit": (600, 60.0), "window": "token_bucket", "burst": 10},
    {"rate_limit": (600, 60.0), "stranger": 0.3, "stranger_pace": "bursts"},
    {"rate_limit": (600, 60.0), "second_limit": (8, 1.0)},
    {"plan": "unlimited", "second_limit": (8, 1.0)},
]
PAGE = {"Content-Type": "text/html"}
FAULTS: list[dict[str, Any]] = [
    {"kind": "reset"},
    {"kind": "close", "takes_effect": True},
    *[{"kind": "hang"}] * 4,
    {"kind": "html"},
    {"kind": "html", "status": 502},
    {"kind": "status", "status": 503},
    {"kind": "status", "status": 403, "headers": PAGE, "body": "<html>blocked"},
    {"kind": "status", "status": 404, "headers": PAGE, "body": "<html>no route"},
    {"kind": "redirect"},
    {"kind": "empty"},
    {"kind": "null"},
    {"kind": "cut_body"},
    {"kind": "broken_json"},
    {"kind": "wrong_id"},
    {"kind": "slow", "delay": 5.0},
    {"kind": "throttle", "retry_after": 3},
]
LAWS = [Latency.uniform(10.0, 40.0), Latency.uniform(0.0, 60.0), Latency.log_normal(median=8.0, sigma=0.4)]


class Trouble(NamedTuple):
    """A fault, and from when until when it strikes."""

    fault: Fault
    begins: float
    ends: float


class World:
    """What a seed stands for."""

    def __init__(self, seed: int) -> None:
        self.luck = luck = random.Random(seed)
        limit, law = luck.choice(LIMITS), luck.choice(LAWS)
        self.emulator = Emulator(latency=law, failure_rate=luck.choice([0.0, 0.1]), seed=seed, **limit)
        self.troubles = [self.trouble() for _ in range(luck.randrange(4))]
        self.is_unlimited = limit == LIMITS[0]
        self.asked: Counter[str] = Counter()  # sessions, and how many analyses were asked for
        self.ids: list[str] = []

    def trouble(self) -> Trouble:
        rate, begins = self.luck.choice([1.0, 1.0, 0.3]), self.luck.uniform(0.0, 60.0)
        return Trouble(
            Fault(rate=rate, **self.luck.choice(FAULTS)), begins, begins + self.luck.choice([0.5, 5.0, 40.0])
        )

    async def go_wrong(self) -> None:
        """Declare, at each moment, the faults that strike."""
        moments = sorted({moment for trouble in self.troubles for moment in (trouble.begins, trouble.ends)})
        for moment in moments:
            await asyncio.sleep(moment - self.emulator.now)
            self.emulator.clear_faults()
            for trouble in self.troubles:
                if trouble.begins <= moment < trouble.ends:
                    self.emulator.add_fault(trouble.fault)

    async def come_and_go(self, client: KallglotClient, number: int) -> None:
        """One caller: asks at some moment, for some ids; is cancelled, maybe, and then asks again."""
        luck, first = random.Random(self.luck.random()), self.luck.choice([0, 3])
        ids, timeout = self.ids[first : first + luck.choice([1, 5, 20])], luck.choice([30.0, 200.0])
        total = luck.choice([None, None, 25.0])
        calls = [self.wait, self.wait_many, self.as_completed, self.fetch, *[self.analyze, self.analyze_many] * 2]
        call = luck.choice(calls)
        await asyncio.sleep(luck.choice([0.0, luck.uniform(0.0, 40.0)]))
        task = asyncio.create_task(call(client, ids, timeout, total, f"{number}"))
        if luck.random() < 0.3:
            await asyncio.wait([task], timeout=luck.uniform(0.0, 40.0))
            if task.cancel():
                with suppress(asyncio.CancelledError):
                    await task
                task = asyncio.create_task(call(client, ids, timeout, total, f"{number}"))
        await task

    # -- calls

    async def wait(
        self, client: KallglotClient, ids: list[str], timeout: float, total: float | None, name: str
    ) -> None:
        async def one(id: str) -> None:
            error = await self.ends(partial(client.wait, id, timeout=timeout), within=timeout)
            self.judge(id, error, timeout)

        async with asyncio.TaskGroup() as group:
            for id in ids:
                group.create_task(one(id))

    async def wait_many(
        self, client: KallglotClient, ids: list[str], timeout: float, total: float | None, name: str
    ) -> None:
        began = now()
        outcomes = await client.wait_many([*ids, *ids], timeout=timeout, total_timeout=total)
        assert total is None or now() <= began + total + SLACK
        assert [outcome.id for outcome in outcomes] == ids
        for outcome in outcomes:
            assert outcome.analysis is None or outcome.analysis.id == outcome.id
            self.judge(outcome.id, outcome.error, total or timeout)

    async def as_completed(
        self, client: KallglotClient, ids: list[str], timeout: float, total: float | None, name: str
    ) -> None:
        found = []
        async with client.as_completed(iter(ids), timeout=timeout, total_timeout=total) as finished:
            async for outcome in finished:
                found.append(outcome.id)
                self.judge(outcome.id, outcome.error, total or timeout)
                if len(found) == 4:
                    break
        assert len(set(found)) == len(found) == min(4, len(ids))

    async def analyze(
        self, client: KallglotClient, ids: list[str], timeout: float, total: float | None, name: str
    ) -> None:
        session = f"sess_{name}"
        self.asked[session] += 1
        call = partial(client.analyze, session, analyses=["summary"], timeout=timeout)
        error = await self.ends(call, within=timeout + max(timeout, 30.0))
        self.judge(getattr(error, "id", None), error, timeout)

    async def analyze_many(
        self, client: KallglotClient, ids: list[str], timeout: float, total: float | None, name: str
    ) -> None:
        sessions = [f"sess_{name}x{place}" for place in range(len(ids))]
        self.asked.update(dict.fromkeys(sessions, 1) if not self.asked[sessions[0]] else {})  # by `batch`: once
        began = now()
        outcomes = await client.analyze_many(
            sessions, batch=name, analyses=["summary"], timeout=timeout, total_timeout=total
        )
        assert total is None or now() <= began + total + KEYED
        assert [outcome.id for outcome in outcomes] == sessions
        for outcome in outcomes:
            self.judge(getattr(outcome.error, "id", None), outcome.error, total or timeout)

    async def fetch(
        self, client: KallglotClient, ids: list[str], timeout: float, total: float | None, name: str
    ) -> None:
        outcomes = await client.analyses.retrieve_many(ids)
        assert [outcome.id for outcome in outcomes] == ids

    # -- judgements

    async def ends(self, call: Callable[[], Awaitable[object]], *, within: float) -> KallglotError | None:
        """Return the error that a call ends with, in its time."""
        began = now()
        try:
            await call()
        except KallglotError as error:
            assert now() <= began + within + SLACK
            return error
        return None

    def was_clear_for(self, seconds: float) -> bool:
        """Whether no fault has struck for so long."""
        since = self.emulator.now - seconds
        return not any(trouble.begins <= self.emulator.now and trouble.ends >= since for trouble in self.troubles)

    def judge(self, id: str | None, error: KallglotError | None, timeout: float) -> None:
        """Only time ends a wait here; and not where the way was clear, and what is waited for had settled."""
        if error is None or isinstance(error, AnalysisFailedError):
            return
        assert isinstance(error, WaitTimeoutError | RequestTimeoutError | NotAttemptedError), error
        if id is None or not id.startswith("ana_"):  # it was not created in time
            assert timeout < 2 * CLEAR or not self.was_clear_for(CLEAR), error
            return
        ready_at = self.emulator.analysis(id).ready_at
        assert ready_at is not None
        patience = RECENT if self.is_unlimited else CLEAR
        had_settled = ready_at < self.emulator.now - SLACK
        assert not had_settled or not self.was_clear_for(patience) or (timeout < CLEAR and not self.is_unlimited), error


@pytest.mark.parametrize("seed", beyond(4, range(240)))
def test_a_world_of_many_troubles_costs_nothing_but_time(seed: int) -> None:
    """Every id has one outcome, in time, none is paid for twice, and nothing is left of any call."""

    async def main() -> None:
        world = World(seed)
        async with world.emulator as emulator:
            options: dict[str, Any] = {"base_url": emulator.base_url, "random": random.Random(seed).random}
            async with KallglotClient(emulator.api_key, **options) as client:
                world.ids = emulator.seed_analyses(24)
                await client.analyses.retrieve(world.ids[-1])
                async with leaving_nothing(client), asyncio.TaskGroup() as group:
                    group.create_task(world.go_wrong())
                    for number in range(world.luck.choice([1, 2, 4])):
                        group.create_task(world.come_and_go(client, number))
            made = Counter(record.session_id for record in emulator.analyses() if record.id not in world.ids)
            assert made - world.asked == Counter()

    run(main)
