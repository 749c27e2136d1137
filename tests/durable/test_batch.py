"""`client.open_batch`: ids in, a run, another run, outcomes out, and who may use which file."""

import asyncio
import stat

import pytest
from support.durable import served, until

from kallglot_async import BatchFile, BatchInUseError, ConfigurationError
from kallglot_async.emulator import Latency

NEVER = Latency.uniform(1e9, 1e9)


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


async def test_the_process_may_go_to_another_directory(path, monkeypatch):
    """A relative path is one of where the batch was made."""
    monkeypatch.chdir(path.parent)
    async with served() as (server, client), client.open_batch(path.name) as batch:
        monkeypatch.chdir("/")
        await batch.add(server.seed_analyses(2))
        assert (await batch.run()).done == 2
        assert batch.status().done == 2
        assert [outcome.ok for outcome in batch.file.outcomes()] == [True, True]


class TestWhoMayUseIt:
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


async def test_a_closed_batch_can_be_opened_again(path):
    """As a client can; its file is locked in between by nobody."""
    async with served() as (server, client):
        batch = client.open_batch(path)
        for total in (1, 2):
            async with batch:
                await batch.add(server.seed_analyses(1))
                assert (await batch.run()).done == total
