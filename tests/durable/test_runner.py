"""One run: what ends it, what it costs, and what is told of it."""

import pytest
from support.durable import served

from kallglot_async import BatchFile, BatchFileError, KallglotClient, WaitTimeoutError
from kallglot_async.emulator import Fault, Latency

NEVER = Latency.uniform(1e9, 1e9)


async def test_what_is_given_up_is_taken_up_by_the_next_run(path):
    """A timeout, or something that passes, is not for good; what the API says of the id is."""
    async with served(latency=NEVER) as (server, client), client.open_batch(path) as batch:
        [id] = server.seed_analyses(1)
        await batch.add([id, "ana_unknown"])
        report = await batch.run(timeout=0.2)
        assert (report.given_up, report.failed, report.is_complete) == (1, 1, False)
        [outcome] = [outcome async for outcome in batch.outcomes("given_up")]
        assert isinstance(outcome.error, WaitTimeoutError)
        assert outcome.error.last_status == "queued"
        before = server.journal.total
        report = await batch.run(timeout=0.2)
        assert (report.given_up, report.failed) == (1, 1)
        assert {entry.path.rpartition("/")[2] for entry in list(server.journal)[before:]} == {id}


async def test_a_refused_key_ends_the_run_and_costs_nothing(path):
    """What did not get its turn is left, the report says why, and the next run has it."""
    async with served() as (server, client):
        ids = server.seed_analyses(20)
        other = KallglotClient("sk_test_other", base_url=server.base_url)
        for kind in ("wait", "retrieve"):
            async with other, other.open_batch(f"{path}.{kind}", kind=kind) as batch:
                await batch.add(ids)
                report = await batch.run(max_in_flight=2)
                assert report.reason is not None
                assert report.reason.status == 401
                assert (report.done, report.failed, report.left + report.given_up) == (0, 0, 20)
            async with client.open_batch(f"{path}.{kind}") as batch:
                assert (await batch.run()).done == 20


async def test_a_total_timeout_leaves_the_rest(path):
    """It ends the run by the clock, whatever the kind; everything else stays as it was."""
    hang = Fault(kind="hang")
    async with served(latency=NEVER) as (server, client):
        ids = server.seed_analyses(3)
        for kind in ("wait", "retrieve"):
            if kind == "retrieve":
                server.add_fault(hang)
            async with client.open_batch(f"{path}.{kind}", kind=kind) as batch:
                await batch.add(ids)
                report = await batch.run(timeout=None, total_timeout=0.3)
                assert report.left + report.given_up == 3
                assert report.elapsed >= 0.3


async def test_progress_is_told_with_every_outcome(path):
    """Counts as they will be in the file; who raises is not asked again."""
    async with served() as (server, client), client.open_batch(path) as batch:
        await batch.add([*server.seed_analyses(3), "ana_unknown"])
        told = []
        report = await batch.run(on_progress=told.append)
        assert [each.done + each.failed for each in told] == [1, 2, 3, 4]
        assert all(each.done + each.failed + each.left == each.total == 4 for each in told)
        assert (told[-1].done, told[-1].failed) == (report.done, report.failed)
        batch.retry()
        await batch.add(server.seed_analyses(2))
        calls = []
        assert (await batch.run(on_progress=lambda report: calls.append(1 / 0))).done == 5
        assert calls == []


async def test_a_progress_callback_whose_body_nobody_runs_costs_no_id(path, caplog):
    """As for every other call: it is said once in the log, and no coroutine is left behind."""
    ran = []

    async def later(report):
        ran.append(report)

    async with served() as (server, client), client.open_batch(path) as batch:
        await batch.add(server.seed_analyses(3))
        assert (await batch.run(on_progress=lambda report: later(report))).done == 3
    assert ran == []
    assert [record.name for record in caplog.records if "on_progress" in record.message] == ["kallglot_async.durable"]


@pytest.mark.untraced
async def test_a_file_that_cannot_be_written_to_ends_the_run(path):
    """The error says what to do, what was committed is intact, and the next run goes on."""
    async with served() as (server, client):
        ids = server.seed_analyses(200)
        async with client.open_batch(path) as batch:
            await batch.add(ids)
            # As a full disk: SQLite asks for one more page and does not get it.
            await batch._writer.call(lambda connection: connection.execute("PRAGMA max_page_count = 60"))
            with pytest.raises(BatchFileError, match="the disk is full: make room") as caught:
                await batch.run(max_in_flight=4)
            assert caught.value.path == str(path)
            with pytest.raises(BatchFileError, match="the disk is full"):
                await batch.add(["ana_1"])
        done = BatchFile(path).status().done
        assert 0 < done < 200
        async with client.open_batch(path) as batch:
            assert (await batch.run()).done == 200
        assert server.journal.total <= 200 + 4 + 64


@pytest.mark.parametrize("kind", ["wait", "retrieve", "analyze"])
async def test_a_file_that_fails_before_the_first_id_is_the_files_error(path, kind):
    """Not the source's, which is ours, and nothing was sent."""
    async with served() as (server, client), client.open_batch(path, kind=kind) as batch:
        await batch.add(["ana_1", "sess_1"])
        batch._writer.put(lambda connection: connection.execute("INSERT INTO item (id) VALUES ('ana_1')"))
        with pytest.raises(BatchFileError, match="UNIQUE"):
            await batch.run()
        assert server.journal.total == 0
