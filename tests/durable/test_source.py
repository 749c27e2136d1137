"""Which ids a run takes up, in which order, and how they get into the file."""

import asyncio
import time

import pytest
from support.durable import change, rows, served

from kallglot_async import BatchReport, ConfigurationError, IdSourceError, InvalidIdError, errors
from kallglot_async._durable.source import Listed, Selection, items
from kallglot_async.emulator import Latency

NEVER = Latency.uniform(1e9, 1e9)


async def test_ids_come_from_anywhere_and_count_once(path):
    """Lists, generators and asynchronous iterables; repetitions and ids of earlier runs are not new."""
    async with served() as (server, client), client.open_batch(path) as batch:
        ids = server.seed_analyses(6)

        async def arriving():
            for id in ids:
                yield id

        assert await batch.add(ids[:2]) == 2
        assert await batch.add(id for id in ids[:4] * 3) == 2
        assert await batch.add(arriving()) == 2
        assert await batch.add([]) == 0
        assert [id for id, _ in rows(path)] == ids


async def test_a_large_source_keeps_its_order(path, monkeypatch):
    """Written in portions that are sorted for the index, read in the order of the source."""
    monkeypatch.setattr("kallglot_async._durable.source._MOST_AT_ONCE", 7)
    async with served() as (_, client), client.open_batch(path) as batch:
        ids = [f"ana_{number * 7919 % 101}" for number in range(101)]
        assert await batch.add(iter(ids + ids)) == 101
        assert [id for id, _ in rows(path)] == ids


async def test_what_is_no_id_is_one_failure(path):
    """Told in the report and among the outcomes, costs no request and no sibling; an API key is not written down."""
    async with served() as (server, client), client.open_batch(path) as batch:
        [id] = server.seed_analyses(1)
        odd = ["nonsense", 7, None, "sess_1", "sk_live_secret", "\ud800", "ana_\x00", "", "nonsense"]
        assert await batch.add([*odd, id]) == 9
        report = await batch.run()
        assert (report.total, report.done, report.failed, server.journal.total) == (9, 1, 8, 1)
        failed = [outcome async for outcome in batch.outcomes("failed")]
        assert all(isinstance(outcome.error, InvalidIdError) for outcome in failed)
        expected = ["nonsense", "<int>", "<NoneType>", "sess_1", "<API key>", "?", "ana_\x00", ""]
        assert [outcome.id for outcome in failed] == expected
        assert batch.retry("failed") == 0
    assert b"sk_live_secret" not in path.read_bytes()


@pytest.mark.parametrize("ids", ["ana_1", b"ana_1", 7, None])
async def test_one_text_is_no_source(path, ids):
    """As for every call for many ids."""
    async with served() as (_, client), client.open_batch(path) as batch:
        with pytest.raises(ConfigurationError, match="pass a list of ids"):
            await batch.add(ids)


@pytest.mark.parametrize("error", [LookupError, asyncio.CancelledError])
@pytest.mark.parametrize("is_async", [False, True])
async def test_a_source_that_raises_costs_nothing_it_gave(path, is_async, error):
    """Its exception is the cause, also a cancellation that is not ours, and what came before is in the file."""

    def broken():
        yield "ana_1"
        yield "ana_2"
        raise error("the list ends here")

    async def arriving():
        for id in broken():
            yield id

    async with served() as (_, client), client.open_batch(path) as batch:
        with pytest.raises(IdSourceError, match="the list ends here") as caught:
            await batch.add(arriving() if is_async else broken())
        assert isinstance(caught.value.__cause__, error)
        assert rows(path) == [("ana_1", "left"), ("ana_2", "left")]


async def test_only_the_listed_are_taken_up(path):
    """What the list does not have stays in the file as it is, and out of the report."""
    async with served() as (server, client):
        ids = server.seed_analyses(6)
        async with client.open_batch(path) as batch:
            await batch.add(ids[:4])
        async with client.open_batch(path) as batch:
            assert await batch.add(ids[2:], only_listed=True) == 2
            report = await batch.run()
            assert (report.total, report.done) == (4, 4)
            assert batch.status() == BatchReport(total=6, done=4, left=2)
        async with client.open_batch(path) as batch:
            assert (await batch.run()).done == 6


async def test_what_was_given_up_by_a_clock_that_was_ahead_is_taken_up(path):
    """Whatever its clock said, it was an earlier run."""
    async with served(latency=NEVER) as (server, client), client.open_batch(path) as batch:
        await batch.add(server.seed_analyses(1))
        assert (await batch.run(timeout=0.3)).given_up == 1
        change(path, "UPDATE item SET settled_at = ?", time.time() + 48 * 3600)
        before = server.journal.total
        assert (await batch.run(timeout=0.3)).given_up == 1
        assert server.journal.total > before


async def test_a_run_takes_no_rows_up_that_come_again():
    """It would wait for the same ids for ever."""

    class Again:
        async def call(self, read):
            return [Listed(1, "ana_1", 1, None, None)]

    chunks = items(Again(), [Selection("left")])
    assert len(await anext(chunks)) == 1
    with pytest.raises(errors.RecordError, match="are in no order"):
        await anext(chunks)
