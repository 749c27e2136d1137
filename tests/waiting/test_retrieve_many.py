"""Fetching many as they stand: one outcome for each id, in order, however many requests may be out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import Any

import pytest
from support.clients import client_of, ready
from support.virtual import now

from kallglot_async import (
    AuthenticationError,
    ConfigurationError,
    IdSourceError,
    InsufficientCreditsError,
    InvalidIdError,
    KallglotError,
    NotAttemptedError,
    Outcomes,
    PermissionDeniedError,
)
from kallglot_async.emulator import Fault

pytestmark = pytest.mark.looptime


# Many analyses


def listed(ids: list[str]) -> list[str]:
    return ids


def generated(ids: list[str]) -> Iterator[str]:
    yield from ids


async def streamed(ids: list[str]) -> AsyncIterator[str]:
    for id in ids:
        await asyncio.sleep(0.1)
        yield id


SOURCES: list[Callable[[list[str]], Any]] = [listed, tuple, iter, generated, streamed, dict.fromkeys]


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.__name__)
async def test_retrieve_many_gives_one_outcome_for_each_distinct_id_in_order(source: Callable[..., Any]) -> None:
    """Whatever gives the ids, and however often: one request and one outcome each, in the order of the input."""
    async with ready() as emulator, client_of(emulator) as client:
        ids = emulator.seed_analyses(20) + emulator.seed_analyses(20, revision="b")
        outcomes = await client.analyses.retrieve_many(source([*ids, *reversed(ids)]))
        assert isinstance(outcomes, Outcomes)
        assert [outcome.id for outcome in outcomes] == ids
        assert [analysis.id for analysis in outcomes.analyses] == ids
        assert all(outcome.ok and outcome.polls == 1 for outcome in outcomes)
        assert len(emulator.journal) == len(ids)
        outcomes.raise_for_errors()


@pytest.mark.parametrize("ids", [[], (), iter([]), {}], ids=lambda ids: type(ids).__name__)
async def test_retrieve_many_of_nothing_is_nothing(ids: Iterable[str]) -> None:
    """An empty source is an empty result, without a request."""
    async with ready() as emulator, client_of(emulator) as client:
        assert list(await client.analyses.retrieve_many(ids)) == []
        assert len(emulator.journal) == 0


@pytest.mark.parametrize("ids", ["ana_1", b"ana_1", 7, None], ids=repr)
async def test_retrieve_many_refuses_what_is_no_iterable_of_ids(ids: Any) -> None:
    """One text in place of a list is a mistake that is named."""
    async with ready() as emulator, client_of(emulator) as client:
        with pytest.raises(ConfigurationError, match="pass a list of ids"):
            await client.analyses.retrieve_many(ids)
        assert len(emulator.journal) == 0


async def test_an_impossible_id_from_a_lazy_source_costs_only_itself() -> None:
    """A generator's bad item becomes its own outcome, in its place."""
    async with ready() as emulator, client_of(emulator) as client:
        first, second = emulator.seed_analyses(2)
        outcomes = await client.analyses.retrieve_many(iter([first, "../etc", second]))
        assert [outcome.ok for outcome in outcomes] == [True, False, True]
        assert isinstance(outcomes[1].error, InvalidIdError)
        assert len(emulator.journal) == 2


@pytest.mark.parametrize("is_async", [False, True])
async def test_a_source_that_raises_loses_nothing(is_async: bool) -> None:
    """`IdSourceError` carries the cause and the outcome of every id that was given before."""

    def broken(ids: list[str]) -> Iterator[str]:
        yield from ids
        raise LookupError("the database went away")

    async def broken_async(ids: list[str]) -> AsyncIterator[str]:
        for id in broken(ids):
            yield id

    async with ready(Fault(kind="slow", delay=2.0)) as emulator, client_of(emulator) as client:
        ids = emulator.seed_analyses(10)
        source: Any = broken_async(ids) if is_async else broken(ids)
        with pytest.raises(IdSourceError, match="database went away") as caught:
            await client.analyses.retrieve_many(source, max_in_flight=3)
        assert isinstance(caught.value.__cause__, LookupError)
        assert caught.value.outcomes is not None
        assert [outcome.id for outcome in caught.value.outcomes] == ids
        assert all(outcome.ok for outcome in caught.value.outcomes)


ENDING = [(401, AuthenticationError), (402, InsufficientCreditsError), (403, PermissionDeniedError)]


@pytest.mark.parametrize(("status", "kind"), ENDING)
@pytest.mark.parametrize("is_lazy", [False, True])
async def test_an_error_that_concerns_everybody_ends_a_batch(status: int, kind: type, is_lazy: bool) -> None:
    """401, 402 or 403: the rest are reported as not attempted, with the reason, and cost no request."""
    async with ready(Fault(kind="status", status=status, after=5)) as emulator, client_of(emulator) as client:
        ids = emulator.seed_analyses(50)
        outcomes = await client.analyses.retrieve_many(iter(ids) if is_lazy else ids, max_in_flight=2)
        assert [outcome.id for outcome in outcomes] == ids
        kinds = [type(outcome.error) for outcome in outcomes]
        assert kinds[:5] == [type(None)] * 5
        assert kinds.count(kind) in ({1, 2} if status == 402 else {2, 3})  # one may be alone with its 401 or 403
        assert kinds.count(NotAttemptedError) == 45 - kinds.count(kind)
        assert len(emulator.journal) == 5 + kinds.count(kind)
        last = outcomes[-1].error
        assert isinstance(last, NotAttemptedError)
        assert (last.id, type(last.reason)) == (ids[-1], kind)


@pytest.mark.parametrize(
    "fault", [Fault(kind="status", status=404), Fault(kind="hang"), Fault(kind="wrong_id")], ids=lambda f: f.kind
)
async def test_one_ids_failure_costs_only_that_id(fault: Fault) -> None:
    """A failure of one id never costs a sibling."""
    async with ready() as emulator, client_of(emulator, timeout=5.0) as client:
        ids = emulator.seed_analyses(20)
        emulator.add_fault(Fault(kind=fault.kind, status=fault.status, id=ids[7]))
        outcomes = await client.analyses.retrieve_many(ids)
        assert [outcome.id for outcome in outcomes if not outcome.ok] == [ids[7]]
        assert list(outcomes.errors) == [ids[7]]
        with pytest.raises(ExceptionGroup):
            outcomes.raise_for_errors()
        with pytest.raises(KallglotError):
            outcomes[7].unwrap()


async def test_an_outcome_counts_the_attempts_that_failed_before_it() -> None:
    async with ready(Fault(kind="status", status=503, times=2)) as emulator, client_of(emulator) as client:
        (outcome,) = await client.analyses.retrieve_many(emulator.seed_analyses(1))
        assert outcome.ok
        assert outcome.polls == len(emulator.journal) == 3


@pytest.mark.parametrize("window", ["fixed", "sliding", "token_bucket"])
async def test_a_batch_outlasts_windows_longer_than_its_timeout(window: Any) -> None:
    """Five requests a minute and 5 s for each id: a batch of twelve takes minutes and loses none."""
    async with (
        ready(rate_limit=(5, 60.0), window=window) as emulator,
        client_of(emulator, timeout=5.0) as client,
    ):
        ids = emulator.seed_analyses(12)
        started = now()
        outcomes = await client.analyses.retrieve_many(ids)
        assert [outcome.ok for outcome in outcomes] == [True] * 12
        assert now() - started < 240.0
        assert emulator.journal.refused == 0


async def test_a_refusal_in_the_middle_of_a_batch_costs_nobody_anything() -> None:
    """429 with `Retry-After` beyond the timeout of each id: everything pauses, then goes on."""
    async with ready(plan="pro") as emulator, client_of(emulator, timeout=5.0) as client:
        ids = emulator.seed_analyses(40)
        emulator.add_fault(Fault(kind="throttle", retry_after=90, after=20, times=1))
        outcomes = await client.analyses.retrieve_many(ids, max_in_flight=4)
        assert [outcome.ok for outcome in outcomes] == [True] * 40
        [refused] = emulator.journal.requests(status=429)
        # Requests that were under way already may still arrive in the same instant.
        assert not [entry for entry in emulator.journal if refused.at + 0.01 < entry.at < refused.at + 90]


@pytest.mark.parametrize("in_flight", [1, 3, None])
async def test_retrieve_many_keeps_max_in_flight(in_flight: int | None) -> None:
    """Never more requests at once than allowed, and no fewer either: the call's figure, else the client's."""
    async with ready(Fault(kind="slow", delay=1.0)) as emulator, client_of(emulator, max_in_flight=5) as client:
        [warm, *ids] = emulator.seed_analyses(16)
        await client.analyses.retrieve(warm)
        emulator.journal.clear()
        started = now()
        outcomes = await client.analyses.retrieve_many(ids, max_in_flight=in_flight)
        assert len(outcomes.analyses) == 15
        assert emulator.journal.max_within(0.99) == (in_flight or 5)
        assert now() - started == pytest.approx(15 / (in_flight or 5), abs=0.2)


@pytest.mark.parametrize("in_flight", [0, -1, 1.5, True, "4"], ids=repr)
async def test_an_impossible_max_in_flight_is_refused(in_flight: Any) -> None:
    """Everywhere it can be given, before any request."""
    async with ready() as emulator, client_of(emulator) as client:
        ids = emulator.seed_analyses(2)
        for call in (client.analyses.retrieve_many, client.wait_many):
            with pytest.raises(ConfigurationError, match="max_in_flight"):
                await call(ids, max_in_flight=in_flight)
        assert len(emulator.journal) == 0


async def test_cancelling_a_batch_leaves_the_client_usable() -> None:
    """All slots and connections are back, and no task is left."""
    async with (
        ready(Fault(kind="slow", delay=3.0)) as emulator,
        client_of(emulator, max_connections=4) as client,
    ):
        ids = emulator.seed_analyses(50)
        before = {task for task in asyncio.all_tasks() if "RequestHandler" not in repr(task)}
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(7.0):
                await client.analyses.retrieve_many(ids)
        assert {task for task in asyncio.all_tasks() if "RequestHandler" not in repr(task)} == before
        assert (client.rate_limit.in_flight, client.rate_limit.waiting) == (0, 0)
        emulator.clear_faults()
        assert len((await client.analyses.retrieve_many(ids)).analyses) == 50


async def test_a_source_is_pulled_as_there_is_room() -> None:
    """A generator of ids is asked for the next one only when a request may follow."""
    pulled: list[str] = []

    def source(ids: list[str]) -> Iterator[str]:
        for id in ids:
            pulled.append(id)
            yield id

    async with ready(Fault(kind="slow", delay=1.0)) as emulator, client_of(emulator) as client:
        ids = emulator.seed_analyses(20)
        task = asyncio.create_task(client.analyses.retrieve_many(source(ids), max_in_flight=2))
        await asyncio.sleep(3.5)
        assert 6 <= len(pulled) <= 2 + 2 * 4
        assert len((await task).analyses) == 20
