"""The invariants of the library as properties: a real server on 127.0.0.1, virtual time, its journal as the judge."""

from __future__ import annotations

import asyncio
import random
from functools import partial
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from support.examples import values
from support.virtual import CANCELLERS, cancelled_by, leaving_nothing, now, run, turns
from support.wire_faults import Fault

from kallglot_async import (
    Analysis,
    AnalysisFailedError,
    KallglotClient,
    KallglotError,
    Outcome,
    RateLimit,
)
from kallglot_async._core.api.analyses import Revision, decode_analysis
from kallglot_async.emulator import Emulator, Latency

WINDOWS = ("fixed", "sliding", "token_bucket")
PAUSE = 7  # seconds that a declared refusal asks for
EPOCH = 1_800_000_000.0
STEP = 0.3  # seconds between the ids of an asynchronous source
SLACK = 0.2  # seconds of virtual time: timers fire within the loop's resolution, and a look takes a round trip

# Everything that may happen to a request. The last four go on until the deadline ends them.
STATUSES = st.sampled_from([400, 401, 402, 403, 404, 408, 409, 418, 422, 425, 500, 502, 503, 504])
SILENCES = ("hang", "drip", "drip_head", "slow")
SPOILED = (
    "reset", "close", "reset_in_head", "reset_in_body", "cut_body", "cut_chunked", "html", "empty", "null",
    "broken_json", "bad_utf8", "deep_json", "wrong_id", "redirect", "garbage", "unknown_status", "gzip_bomb",
)  # fmt: skip


@st.composite
def scripts(draw: st.DrawFn) -> tuple[dict[str, Any], ...]:
    """What goes wrong with one id, in this order, before its answers are genuine."""
    script = []
    for _ in range(draw(st.integers(0, 3))):
        kind = draw(st.sampled_from([*SPOILED, *SILENCES, "status", "status", "throttle"]))
        fault: dict[str, Any] = {"kind": kind, "times": draw(st.integers(1, 3))}
        if kind == "status":
            fault["status"] = draw(STATUSES)
        elif kind == "throttle":
            fault["retry_after"] = PAUSE
        elif kind == "gzip_bomb":
            fault["size"] = 2**20
        elif kind == "deep_json":
            fault["size"] = 5000
        elif kind in ("drip", "drip_head"):
            fault["interval"] = draw(st.sampled_from([0.001, 1.0]))
        script.append(fault)
    return tuple(script)


class Scenario(NamedTuple):
    """A server, what goes wrong on it, and a client of it."""

    order: list[int]  # which ids are asked for, repetitions included
    revisions: list[str]
    faults: list[tuple[dict[str, Any], ...]]
    window: str
    rate_limit: tuple[int, float] | None
    latency: Latency
    failure_rate: float
    timeout: float
    total_timeout: float | None
    options: dict[str, Any]
    seed: int


LATENCIES = st.sampled_from(
    [Latency.immediate(), Latency.uniform(0.0, 10.0), Latency.uniform(22.0, 30.0), Latency.after_polls(2)]
)
LIMITS = st.none() | st.tuples(st.integers(2, 40), st.sampled_from([1.0, 10.0, 60.0]))
OPTIONS = st.fixed_dictionaries(
    {
        "timeout": st.sampled_from([0.5, 3.0, 30.0]),
        "max_attempts": st.integers(1, 4),
        "max_connections": st.integers(1, 8),
        "max_in_flight": st.integers(1, 8),
        "max_response_bytes": st.just(2**18),
    }
)


@st.composite
def scenarios(draw: st.DrawFn, *, faulty: bool = True) -> Scenario:
    count = draw(st.integers(1, 8))
    script = scripts() if faulty else st.just(())
    return Scenario(
        order=draw(st.lists(st.integers(0, count - 1), min_size=1, max_size=2 * count)),
        revisions=draw(st.lists(st.sampled_from("ab"), min_size=count, max_size=count)),
        faults=draw(st.lists(script, min_size=count, max_size=count)),
        window=draw(st.sampled_from(WINDOWS)),
        rate_limit=draw(LIMITS),
        latency=draw(LATENCIES),
        failure_rate=draw(st.sampled_from([0.0, 0.3])),
        timeout=draw(st.sampled_from([1.0, 20.0, 120.0])),
        total_timeout=draw(st.sampled_from([None, None, 2.0, 40.0])),
        options=draw(OPTIONS),
        seed=draw(st.integers(0, 99)),
    )


class Stage:
    """A scenario under way."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.emulator = Emulator(
            plan="unlimited",
            rate_limit=scenario.rate_limit,
            window=scenario.window,
            latency=scenario.latency,
            failure_rate=scenario.failure_rate,
            seed=scenario.seed,
            epoch=EPOCH + scenario.seed,
        )

    async def __aenter__(self) -> Stage:
        emulator, scenario = await self.emulator.__aenter__(), self.scenario
        seeded = [emulator.seed_analyses(1, revision=revision)[0] for revision in scenario.revisions]
        self.ids = [seeded[place] for place in scenario.order]
        for id, script in zip(seeded, scenario.faults, strict=True):
            for fault in script:
                emulator.add_fault(Fault(id=id, **fault))
        jitter = random.Random(scenario.seed).random
        self.client = KallglotClient(emulator.api_key, base_url=emulator.base_url, random=jitter, **scenario.options)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.client.aclose()
        await self.emulator.__aexit__(None, None, None)

    @property
    def distinct(self) -> list[str]:
        return list(dict.fromkeys(self.ids))

    async def check_the_client_still_works(self) -> None:
        """It may have to sit out a pause; nothing else is in its way."""
        self.emulator.clear_faults()
        assert (await self.client.analyses.retrieve(self.ids[0], timeout=500.0)).id == self.ids[0]
        [outcome] = await self.client.wait_many(self.ids[:1], timeout=None)
        assert outcome.id == self.ids[0]
        assert outcome.ok or isinstance(outcome.error, AnalysisFailedError)


def check_the_limit(emulator: Emulator, scenario: Scenario) -> None:
    """No window of the server's holds more requests than its limit, and a refusal is respected by everybody."""
    rate_limit, window = scenario.rate_limit, scenario.window
    journal = list(emulator.journal)
    refused = [entry for entry in journal if entry.status == 429 and entry.fault is None]
    # What nobody was told nobody can know: an answer that a fault took away may cost one refusal.
    assert len(refused) <= sum(entry.fault is not None for entry in journal)
    if rate_limit is not None and not refused:
        requests, seconds = rate_limit
        if window == "fixed":
            assert emulator.journal.max_per_window(with_refused=True) <= requests
        elif window == "sliding":
            assert emulator.journal.max_within(seconds) <= requests
    # What was on its way when the refusal came was sent within that moment.
    pauses = [(entry.at, PAUSE) for entry in journal if entry.fault == "throttle"]
    pauses += [(entry.at, until(entry.at, entry.reset, scenario.seed)) for entry in refused if window == "fixed"]
    for entry in journal:
        assert not any(at + 0.01 < entry.at < at + pause for at, pause in pauses), (entry.at, pauses)


def until(at: float, reset: int, seed: int) -> float:
    """Seconds from a moment of the journal's to a reset that the server named."""
    return reset - (EPOCH + seed + at)


async def ask(stage: Stage, how: str) -> list[Outcome]:
    """Ask for the ids in one of the ways there are, and return the outcomes in the order the call has."""
    client, scenario = stage.client, stage.scenario
    told: list[Outcome] = []
    waiting: dict[str, Any] = {"timeout": scenario.timeout, "total_timeout": scenario.total_timeout}

    async def later() -> Any:
        for id in stage.ids:
            await asyncio.sleep(STEP)
            yield id

    sources: dict[str, Any] = {"list": stage.ids, "lazily": iter(stage.ids), "later": later()}
    source = sources[how.rpartition(" ")[2]]
    if how.startswith("wait_many"):
        outcomes = await client.wait_many(source, on_outcome=told.append, **waiting)
    elif how.startswith("retrieve_many"):
        outcomes = await client.analyses.retrieve_many(source, on_outcome=told.append)
    else:
        async with client.as_completed(source, **waiting) as finished:
            told.extend([outcome async for outcome in finished])
        return told
    # Told one by one, and once each, as well as all together.
    assert sorted(map(id, told)) == sorted(map(id, outcomes))
    return list(outcomes)


WAYS = ("wait_many list", "wait_many lazily", "wait_many later", "as_completed list", "retrieve_many list",
        "retrieve_many lazily")  # fmt: skip


def properties(share: float) -> settings:
    """Settings for a share of the profile's examples: a batch costs more than a value."""
    examples = max(5, int(share * settings().max_examples))
    return settings(max_examples=examples, suppress_health_check=[HealthCheck.too_slow], print_blob=True)


@properties(1.0)
@given(scenario=scenarios(), how=st.sampled_from(WAYS))
def test_every_batch_accounts_for_every_id(scenario: Scenario, how: str) -> None:
    """One outcome for each distinct id, in order, each about its own id; in time, within the limit, nothing left."""

    async def main() -> None:
        async with Stage(scenario) as stage:
            started = now()
            async with leaving_nothing(stage.client):
                outcomes = await ask(stage, how)
            took = now() - started
            if how.startswith("as_completed"):
                assert sorted(outcome.id for outcome in outcomes) == sorted(stage.distinct)
            elif how.endswith("later"):  # what ended before the source did was not asked for the rest
                assert [outcome.id for outcome in outcomes] == stage.distinct[: len(outcomes)]
            else:
                assert [outcome.id for outcome in outcomes] == stage.distinct
            for outcome in outcomes:
                event(type(outcome.error).__name__)
                assert (outcome.analysis is None) != (outcome.error is None)
                assert outcome.error is None or isinstance(outcome.error, KallglotError)
                assert outcome.analysis is None or outcome.analysis.id == outcome.id
                if not how.startswith("retrieve_many"):
                    assert outcome.elapsed <= scenario.timeout + SLACK
            if scenario.total_timeout is not None and not how.startswith("retrieve_many"):
                assert took <= scenario.total_timeout + SLACK
            check_the_limit(stage.emulator, scenario)
            await stage.check_the_client_still_works()

    run(main)


# Cancellation

CALLS = ("wait", "wait_many", "as_completed", "retrieve", "retrieve_many", "create")


def call_of(stage: Stage, name: str) -> Any:
    client, ids = stage.client, stage.ids

    async def completed() -> None:
        async with client.as_completed(iter(ids)) as finished:
            async for _ in finished:
                await asyncio.sleep(0.1)

    return {
        "wait": lambda: client.wait(ids[0]),
        "wait_many": lambda: client.wait_many(iter(ids)),
        "as_completed": completed,
        "retrieve": lambda: client.analyses.retrieve(ids[0]),
        "retrieve_many": lambda: client.analyses.retrieve_many(iter(ids)),
        "create": lambda: client.analyses.create("sess_1", profile="default"),
    }[name]


# Where a call may be caught: after so many turns of the loop, or after so many seconds.
MOMENTS = st.tuples(st.just("turns"), st.integers(0, 60)) | st.tuples(st.just("seconds"), st.floats(0.0, 40.0))


@properties(0.6)
@given(
    scenario=scenarios(),
    plan=st.lists(st.tuples(st.sampled_from(CANCELLERS), st.sampled_from(CALLS), MOMENTS), min_size=1, max_size=4),
)
def test_a_cancellation_at_any_moment_leaves_nothing_behind(scenario: Scenario, plan: list[Any]) -> None:
    """Whoever cancels which call and when: it is seen, nothing is left of the call, and the client is usable."""

    async def main() -> None:
        async with Stage(scenario) as stage:
            for canceller, name, (unit, amount) in plan:
                moment = partial(turns, amount) if unit == "turns" else partial(asyncio.sleep, amount)
                async with leaving_nothing(stage.client):
                    event(await cancelled_by(canceller, call_of(stage, name), moment))
            await stage.check_the_client_still_works()

    run(main)


@properties(0.4)
@given(
    scenario=scenarios(),
    names=st.lists(st.tuples(st.sampled_from(CANCELLERS), st.sampled_from(CALLS), MOMENTS), min_size=2, max_size=5),
)
def test_cancelling_some_calls_costs_the_others_nothing(scenario: Scenario, names: list[Any]) -> None:
    """Calls for the same ids at the same time: those that are left have an outcome for every id."""

    async def main() -> None:
        async with Stage(scenario) as stage:
            async with leaving_nothing(stage.client), asyncio.TaskGroup() as group:
                kept = group.create_task(ask(stage, "wait_many list"))
                for canceller, name, (unit, amount) in names:
                    moment = partial(turns, amount) if unit == "turns" else partial(asyncio.sleep, amount)
                    group.create_task(cancelled_by(canceller, call_of(stage, name), moment))
            assert [outcome.id for outcome in kept.result()] == stage.distinct
            await stage.check_the_client_still_works()

    run(main)


# Creating

LOSSES = ("status", "reset", "close", "reset_in_head", "reset_in_body", "cut_body", "cut_chunked", "html", "empty",
          "broken_json", "bad_utf8", "wrong_id", "slow", "throttle", "hang")  # fmt: skip


@properties(0.5)
@given(
    creates=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3), st.sampled_from("ab")), min_size=1, max_size=6),
    losses=st.lists(st.tuples(st.sampled_from(LOSSES), st.none() | st.booleans(), st.integers(0, 3)), max_size=6),
    attempts=st.integers(1, 4),
)
def test_nothing_is_created_or_charged_twice(creates: list[Any], losses: list[Any], attempts: int) -> None:
    """However often answers are lost and calls repeated: one analysis at most for a key, and one credit for it."""

    async def main() -> None:
        emulator = Emulator(plan="unlimited", credits=100, epoch=EPOCH)
        options = {"timeout": 20.0, "max_attempts": attempts, "random": random.Random(1).random}
        async with emulator, KallglotClient(emulator.api_key, base_url=emulator.base_url, **options) as client:
            for kind, takes_effect, after in losses:
                # Kinds that spoil a genuine answer always take effect.
                effect = {"takes_effect": takes_effect} if kind in ("status", "reset", "close", "html", "empty") else {}
                emulator.add_fault(Fault(kind=kind, times=1, after=after, retry_after=PAUSE, **effect))
            made: dict[tuple[int, int, str], set[str]] = {}

            async def create(session: int, number: int, revision: str) -> None:
                key = (session, number, revision)
                fields = {"analyses": ["summary"]} if revision == "a" else {"profile": "default"}
                try:
                    created = await client.analyses.create(f"sess_{session}", idempotency_key=f"key-{key}", **fields)
                except KallglotError as error:
                    event(type(error).__name__)
                else:
                    made.setdefault(key, set()).add(created.id)

            async with leaving_nothing(client), asyncio.TaskGroup() as group:
                for key in creates:
                    group.create_task(create(*key))
            emulator.clear_faults()
            await asyncio.sleep(60.0)  # what the server is still busy with is done
            for key in creates:
                await create(*key)  # the caller repeats what it is not sure of
            existing = {record.id for record in emulator.analyses()}
            assert all(len(ids) == 1 for ids in made.values()), made
            assert len(existing) == len(set(creates)) == len(made)
            assert set().union(*made.values()) == existing
            assert emulator.state().credits_used == len({key for key in creates if key[2] == "b"})

    run(main)


# Limits and fairness


@properties(0.2)
@given(
    limits=st.lists(st.tuples(st.integers(3, 40), st.sampled_from(WINDOWS)), min_size=2, max_size=3),
    count=st.integers(1, 60),
    polls=st.integers(0, 3),
)
@pytest.mark.slow
def test_a_limit_that_changes_in_mid_run_is_kept(limits: list[Any], count: int, polls: int) -> None:
    """The server comes back with other limits: what was granted by the old figure is all that is refused."""

    async def main() -> None:
        port, elapsed = 0, 0.0
        options: dict[str, Any] = {"plan": "unlimited", "adopt_unknown": True, "latency": Latency.after_polls(polls)}
        client: KallglotClient | None = None
        for place, (requests, window) in enumerate(limits):
            epoch = EPOCH + elapsed
            emulator = Emulator(rate_limit=(requests, 10.0), window=window, port=port, epoch=epoch, **options)
            started = now()
            async with emulator:
                port = int(emulator.base_url.rpartition(":")[2].partition("/")[0])
                client = client or KallglotClient(emulator.api_key, base_url=emulator.base_url, random=lambda: 0.5)
                ids = [f"ana_{place}{number}" for number in range(count)]
                async with leaving_nothing(client):
                    outcomes = await client.wait_many(ids, timeout=None)
                assert [outcome.id for outcome in outcomes if outcome.ok] == ids
                within = max(limits[place - 1][0] if place else 0, 2)
                assert emulator.journal.refused <= within
                if window != "token_bucket":
                    assert emulator.journal.max_within(10.0) <= requests * (1 if window == "sliding" else 2)
                if window == "fixed":
                    assert emulator.journal.max_per_window() <= requests
                await client.aclose()
            elapsed += now() - started

    run(main)


@properties(0.4)
@given(
    callers=st.integers(2, 25),
    requests=st.integers(2, 20),
    window=st.sampled_from(WINDOWS),
    by=st.sampled_from(["retrieve", "wait", "ceiling"]),
)
def test_nobody_waits_for_longer_than_the_queue_takes(callers: int, requests: int, window: str, by: str) -> None:
    """With n equal callers on one limit, each has its answer after the time that n requests take, and one window."""

    async def main() -> None:
        period = 10.0
        limit = None if by == "ceiling" else (requests, period)
        ceiling = RateLimit(requests, period) if by == "ceiling" else None
        emulator = Emulator(plan="unlimited", rate_limit=limit, window=window, latency=Latency.immediate(), epoch=EPOCH)
        async with (
            emulator,
            KallglotClient(
                emulator.api_key, base_url=emulator.base_url, rate_limit=ceiling, random=lambda: 0.5
            ) as client,
        ):
            ids = emulator.seed_analyses(callers)
            took = []

            async def call(id: str) -> None:
                started = now()
                if by == "wait":
                    await client.wait(id, timeout=None)
                else:
                    await client.analyses.retrieve(id, timeout=None)
                took.append(now() - started)

            async with asyncio.TaskGroup() as group:
                for id in ids:
                    group.create_task(call(id))
            assert len(took) == callers
            windows = callers / requests + 1
            # A spent window is left alone for the rounding of its reset, up to 2.2 s each time.
            assert max(took) <= windows * (period + 2.2) + period, (max(took), windows)

    run(main)


# Round trip


@properties(2.0)
@given(analysis=values(Analysis))
def test_what_an_analysis_encodes_to_is_decoded_to_the_same(analysis: Analysis) -> None:
    """`decode(encode(x)) == x` through the decoder that answers go through, whatever the server may have said."""
    sent = msgspec.structs.replace(analysis, report=None)
    assert decode_analysis(msgspec.json.encode(sent), Revision.A) == sent
