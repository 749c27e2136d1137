"""What can be done with the file of a batch: outcomes, reasons, and what the next run is to take up."""

import pytest
from support.durable import change, made, served

from kallglot_async import BatchFile, BatchFileError, BatchReport, ConfigurationError, NotAttemptedError, RecordError
from kallglot_async.emulator import Fault


async def test_failed_ids_are_taken_up_when_told_to(path):
    """`retry` says how many; until then no run sends anything for them."""
    async with served(failure_rate=1.0) as (server, client), client.open_batch(path) as batch:
        ids = server.seed_analyses(3)
        await batch.add(ids)
        assert (await batch.run()).failed == 3
        sent = server.journal.total
        assert ((await batch.run()).failed, server.journal.total) == (3, sent)
        assert batch.retry(state="failed") == 3
        assert batch.status() == BatchReport(total=3, left=3)
        assert ((await batch.run()).failed, server.journal.total) == (3, sent + 3)


async def test_outcomes_of_what_is_left_say_so(path):
    """Asked for by name, every id has one."""
    async with served() as (_, client), client.open_batch(path) as batch:
        await batch.add(["ana_1"])
        assert [outcome async for outcome in batch.outcomes()] == []
        [outcome] = [outcome async for outcome in batch.outcomes("left")]
        assert isinstance(outcome.error, NotAttemptedError)
        with pytest.raises(ConfigurationError, match="state is one of"):
            await anext(batch.outcomes("finished"))


async def test_reasons_are_counted(path):
    """By class, the most frequent first, of any state; without making an error of each."""
    async with served() as (server, client):
        server.add_fault(Fault(kind="status", status=404))
        async with client.open_batch(path, kind="retrieve") as batch:
            await batch.add(["bad", *server.seed_analyses(2)])
            await batch.run()
            assert list(batch.file.reasons().items()) == [("NotFoundError", 2), ("InvalidIdError", 1)]
            assert batch.file.reasons("done") == batch.file.reasons("left") == {}
            change(path, "UPDATE item SET state = 'given_up', error = '{}' WHERE id = 'bad'")
            assert batch.file.reasons("given_up") == {}
            change(path, "UPDATE item SET error = 'no JSON' WHERE id = 'bad'")
            with pytest.raises(BatchFileError, match="malformed JSON"):
                batch.file.reasons("given_up")
            with pytest.raises(ConfigurationError, match="state is one of"):
                batch.file.reasons("finished")


async def test_someone_elses_change_is_no_outcome(path):
    """What was damaged by hand is an error of its own."""
    async with served() as (_, client), client.open_batch(path) as batch:
        await batch.add(["ana_1"])
        change(path, "UPDATE item SET state = 'done', analysis = '[]'")
        with pytest.raises(RecordError, match="no stored Outcome"):
            await anext(batch.outcomes())


def test_a_batch_is_not_exported_onto_itself(tmp_path):
    """Its file would be lost; neither under its own name nor by a link."""
    path, link = tmp_path / "nightly.csv", tmp_path / "link.html"
    made(path)
    link.symlink_to(path)
    content = path.read_bytes()
    for to in (path, link):
        with pytest.raises(ConfigurationError, match="is the file of the batch, which would be lost"):
            BatchFile(path).export(to)
    assert path.read_bytes() == content


def test_where_the_current_directory_is_gone_a_relative_path_leads_nowhere(tmp_path, monkeypatch):
    """It is an error of the file's, as every other; an absolute one is none."""
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert BatchFile(tmp_path / "batch").path == tmp_path / "batch"
    with pytest.raises(BatchFileError, match="cannot use batch: No such file or directory"):
        BatchFile("batch")
