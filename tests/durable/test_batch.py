"""`client.open_batch`: ids in, a run, another run, outcomes out, and who may use which file."""

import asyncio
import stat
import time

import pytest
from support.durable import change, rows, served, until

from kallglot_async import (
    BatchFile,
    BatchFileError,
    BatchInUseError,
    BatchReport,
    ConfigurationError,
    IdSourceError,
    InvalidIdError,
    KallglotClient,
    NotAttemptedError,
    RecordError,
    WaitTimeoutError,
)
from kallglot_async.emulator import Fault, Latency

NEVER = Latency.uniform(1e9, 1e9)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "nightly.kallglot"


@pytest.mark.untraced
@pytest.mark.parametrize("kind", ["wait", "retrieve"])
async def test_a_batch_is_done_once(path, kind):
    """Every id has its outcome in the file, equal to what the API gives; another run sends nothing."""
    async with served() as (server, client):
        ids = server.seed_analyses(40) + server.seed_analyses(2, revision="b")
        async with client.open_batch(path, kind=kind) as batch:
            assert await batch.add(ids) == 42
            report = await batch.run()
            assert (report.total, report.done, report.left, report.is_complete) == (42, 42, 0, True)
            sent = server.journal.total
            assert sent == 42
            again = await batch.run()
            assert (again.done, server.journal.total) == (42, sent)
            outcomes = [outcome async for outcome in batch.outcomes(state="done")]
        assert [outcome.id for outcome in outcomes] == ids
        fetched = await client.analyses.retrieve_many(ids)
        assert [outcome.analysis for outcome in outcomes] == fetched.analyses
        assert all(outcome.polls == 1 for outcome in outcomes)


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


async def test_nobody_else_reads_the_file(path):
    """Call text lies in it, and in what SQLite keeps beside it: mode 0600. Nothing but the file stays."""
    async with served() as (server, client), client.open_batch(path) as batch:
        await batch.add(server.seed_analyses(3))
        await batch.run()
        files = list(path.parent.iterdir())
        assert {file.name.removeprefix(path.name) for file in files} == {"", "-wal", "-shm", "-lock"}
        assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
        await batch.run()
    assert list(path.parent.iterdir()) == [path]


class TestWhoMayUseIt:
    async def test_another_kind_or_request_is_refused(self, path):
        """The error names both; the file stays what it is, and its own kind goes on."""
        async with served() as (_, client):
            async with client.open_batch(path, analyses=["summary"]) as batch:
                await batch.add(["sess_1"])
            for kind, request, other in (
                ("wait", {}, "one of kind wait"),
                (None, {"analyses": ["topics"]}, 'analyze with {"analyses":["topics"]}'),
                (None, {"include": ["summary"]}, 'analyze with {"include":["summary"]}'),
            ):
                with pytest.raises(ConfigurationError) as caught:
                    async with client.open_batch(path, kind=kind, **request):
                        pass
                assert 'is a batch of kind analyze with {"analyses":["summary"]}' in str(caught.value)
                assert other in str(caught.value)
            async with client.open_batch(path, analyses=("summary",)) as batch:
                assert batch.identity.kind == "analyze"
            async with client.open_batch(path) as batch:
                assert batch.status().total == 1

    @pytest.mark.parametrize(
        ("options", "error", "message"),
        [
            ({"kind": "fetch"}, ConfigurationError, "kind is wait, retrieve or analyze, not 'fetch'"),
            (
                {"kind": "wait", "analyses": ["summary"], "language": None},
                ConfigurationError,
                "nothing, so analyses cannot be used",
            ),
            ({"analyses": []}, ConfigurationError, "analyses is empty"),
            ({"analysis": ["summary"]}, TypeError, r"open_batch\(\) got an unexpected keyword argument 'analysis'"),
        ],
    )
    async def test_a_mistake_is_told_before_there_is_a_file(self, path, options, error, message):
        """No file, no lock, no request."""
        async with served() as (_, client):
            with pytest.raises(error, match=message):
                client.open_batch(path, **options)
        assert list(path.parent.iterdir()) == []

    @pytest.mark.parametrize("path", ["", b"name", 7, None, "a\0b"])
    async def test_a_path_is_a_text(self, path):
        """Anything else is a mistake."""
        async with served() as (_, client):
            with pytest.raises(ConfigurationError, match="the path of a file is a text"):
                client.open_batch(path)

    async def test_a_second_writer_is_refused(self, path):
        """Of this process or another one; it may read. Once the first has ended, the next may write."""
        async with served() as (server, client):
            async with client.open_batch(path) as batch:
                await batch.add(server.seed_analyses(2))
                with pytest.raises(BatchInUseError, match="another run"):
                    async with client.open_batch(path):
                        pass
                with pytest.raises(BatchInUseError):
                    BatchFile(path).retry()
                assert BatchFile(path).status().left == 2
            async with client.open_batch(path) as batch:
                assert (await batch.run()).done == 2

    async def test_two_batches_go_on_beside_each_other(self, path):
        """Under one client and one limiter."""
        async with served() as (server, client):
            ids = server.seed_analyses(20)
            async with client.open_batch(path) as one, client.open_batch(f"{path}2", kind="retrieve") as two:
                await one.add(ids[:10])
                await two.add(ids[10:])
                reports = await asyncio.gather(one.run(), two.run())
            assert [report.done for report in reports] == [10, 10]

    async def test_one_run_at_a_time(self, path):
        """And none outside of the block."""
        async with served(latency=NEVER) as (server, client):
            batch = client.open_batch(path)
            for call in (batch.run, lambda: batch.add([]), lambda: anext(batch.outcomes())):
                with pytest.raises(ConfigurationError, match="is not open"):
                    await call()
            async with batch:
                await batch.add(server.seed_analyses(1))
                running = asyncio.create_task(batch.run(total_timeout=0.5))
                await until(lambda: server.journal.total)
                with pytest.raises(ConfigurationError, match=r"a run .* is under way"):
                    await batch.run()
                with pytest.raises(ConfigurationError, match="is open already"):
                    await batch.__aenter__()
                await running

    async def test_a_client_that_closes_meanwhile_costs_nothing(self, path):
        """Connections are opened anew."""
        async with served(latency=Latency.uniform(3000, 3000)) as (server, client), client.open_batch(path) as batch:
            await batch.add(server.seed_analyses(5))
            running = asyncio.create_task(batch.run())
            await until(lambda: server.journal.total)
            await client.aclose()
            assert (await running).done == 5


class TestCancellation:
    @pytest.mark.untraced
    async def test_a_cancelled_run_has_lost_nothing(self, path):
        """What was fetched is in the file; the next run fetches the rest, and each once but those in flight."""
        async with served() as (server, client):
            ids = server.seed_analyses(400)
            async with client.open_batch(path) as batch:
                await batch.add(ids)
                running = asyncio.create_task(batch.run(max_in_flight=8))
                await until(lambda: server.journal.total > 100)
                running.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await running
                left = batch.status().left
                assert 0 < left < 400
                assert (await batch.run()).done == 400
            assert server.journal.total <= 400 + 8

    async def test_a_cancelled_add_can_be_repeated(self, path):
        """What was written stays, and is not new when it comes again."""
        async with served() as (_, client), client.open_batch(path) as batch:

            async def slow():
                for number in range(1200):
                    yield f"ana_{number}"
                await asyncio.sleep(1e9)

            adding = asyncio.create_task(batch.add(slow()))
            await until(lambda: batch.status().total == 1000)
            adding.cancel()
            with pytest.raises(asyncio.CancelledError):
                await adding
            assert await batch.add(f"ana_{number}" for number in range(1500)) == 500

    async def test_leaving_the_block_in_a_cancellation_commits_first(self, path):
        """The scope that cancels does not hurry the disk."""
        async with served() as (server, client):
            ids = server.seed_analyses(50)

            async def main():
                async with client.open_batch(path) as batch:
                    await batch.add(ids)
                    await batch.run()
                    await asyncio.sleep(1e9)

            task = asyncio.create_task(main())
            await until(lambda: server.journal.total >= 50 and BatchFile(path).status().done == 50)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert list(path.parent.iterdir()) == [path]


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


async def test_a_batch_says_what_it_is(path):
    """In its repr, and by its identity once it is open."""
    async with served() as (_, client):
        batch = client.open_batch(path, kind="retrieve")
        assert repr(batch) == f"<DurableBatch {path} closed>"
        with pytest.raises(ConfigurationError, match="is not open"):
            _ = batch.identity
        async with batch:
            assert repr(batch) == f"<DurableBatch {path} open>"
            assert (batch.identity.kind, batch.identity.request) == ("retrieve", {})
            assert batch.file.identity == batch.identity
        with pytest.raises(ConfigurationError, match="is not open"):
            batch.retry()
    assert repr(BatchFile(path)) == f"<BatchFile {path}>"


async def test_a_closed_batch_can_be_opened_again(path):
    """As a client can; its file is locked in between by nobody."""
    async with served() as (server, client):
        batch = client.open_batch(path)
        for total in (1, 2):
            async with batch:
                await batch.add(server.seed_analyses(1))
                assert (await batch.run()).done == total


async def test_someone_elses_change_is_no_outcome(path):
    """What was damaged by hand is an error of its own."""
    async with served() as (_, client), client.open_batch(path) as batch:
        await batch.add(["ana_1"])
        change(path, "UPDATE item SET state = 'done', analysis = '[]'")
        with pytest.raises(RecordError, match="no stored Outcome"):
            await anext(batch.outcomes())


async def test_what_was_given_up_by_a_clock_that_was_ahead_is_taken_up(path):
    """Whatever its clock said, it was an earlier run."""
    async with served(latency=NEVER) as (server, client), client.open_batch(path) as batch:
        await batch.add(server.seed_analyses(1))
        assert (await batch.run(timeout=0.3)).given_up == 1
        change(path, "UPDATE item SET settled_at = ?", time.time() + 48 * 3600)
        before = server.journal.total
        assert (await batch.run(timeout=0.3)).given_up == 1
        assert server.journal.total > before
