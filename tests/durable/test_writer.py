"""The thread that writes: in order, together, on the disk, and nothing after what has failed."""

import asyncio
import contextlib
import shutil
import sqlite3
import threading

import pytest
from support.durable import rows, until

from kallglot_async import BatchFileError, KallglotClient
from kallglot_async._durable.schema import open_to_write
from kallglot_async._durable.writer import Writer


@pytest.fixture
async def writer(tmp_path):
    path = tmp_path / "batch"
    writer = Writer(path, lambda: open_to_write(path))
    await writer.start()
    yield writer
    await writer.aclose()


def inserting(id):
    return lambda connection: connection.execute("INSERT INTO item (id) VALUES (?)", (id,))


async def test_jobs_run_in_order_and_are_committed(writer, tmp_path):
    """What `call` waits for, and all that was put before, is there for everybody."""
    for number in range(100):
        writer.put(inserting(f"ana_{number}"))
    assert await writer.call(lambda connection: connection.total_changes) == 100
    assert [id for id, _ in rows(tmp_path / "batch")] == [f"ana_{number}" for number in range(100)]


async def test_what_is_committed_gets_into_the_file_itself(writer, tmp_path):
    """A copy of it alone, as people make one after a kill, has it: what lies beside it is not copied."""
    await writer.call(inserting("ana_1"))

    def is_in_a_copy():
        copy = shutil.copy(tmp_path / "batch", tmp_path / "copy")
        with contextlib.suppress(sqlite3.DatabaseError):  # before, it has not even its tables
            return rows(copy, "id") == [("ana_1",)]

    await until(is_in_a_copy)


async def test_a_system_without_another_thread_is_said_to_be_one(tmp_path, monkeypatch):
    """As a container has that limits them: nobody waits for what was never begun, and the next one finds it free."""

    def refuse(thread):
        raise RuntimeError("can't start new thread")

    async with KallglotClient("sk_test_key") as client:
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            with pytest.raises(BatchFileError, match=r"cannot use .*batch: can't start new thread"):
                await asyncio.wait_for(client.open_batch(tmp_path / "batch").__aenter__(), 20)
        async with client.open_batch(tmp_path / "batch") as batch:
            assert await batch.add(["ana_1"]) == 1


async def test_jobs_that_wait_are_one_commit(writer):
    """However many came while the disk was busy."""
    held, commits = threading.Event(), []
    writer.put(lambda connection: (connection.set_trace_callback(commits.append), held.wait(20)))
    for number in range(50):
        writer.put(inserting(f"ana_{number}"))
    held.set()
    await writer.call(lambda connection: None)
    assert commits.count("COMMIT") <= 3


async def test_who_puts_too_much_waits_for_room(writer):
    """A kill costs what is not on the disk: it is bounded."""
    held = threading.Event()
    writer.put(lambda connection: held.wait(20))
    count = 0

    async def put():
        nonlocal count
        for number in range(200):
            writer.put(inserting(f"ana_{number}"))
            count += 1
            await writer.room()

    putting = asyncio.create_task(put())
    await asyncio.sleep(0)
    assert count < 40
    held.set()
    await putting
    assert count == 200


async def test_a_job_that_fails_takes_its_company_along_and_ends_it(writer, tmp_path):
    """Nothing of its commit is written, nothing is written after it, and what was there stays."""
    await writer.call(inserting("ana_1"))
    begun, held = threading.Event(), threading.Event()
    writer.put(lambda connection: (begun.set(), held.wait(20)))
    await asyncio.to_thread(begun.wait, 20)
    writer.put(inserting("ana_2"))
    failing = asyncio.create_task(writer.call(inserting("ana_1")))
    await asyncio.sleep(0)
    held.set()
    with pytest.raises(BatchFileError, match="UNIQUE constraint failed"):
        await failing
    for use in (writer.room, lambda: writer.call(inserting("ana_3"))):
        with pytest.raises(BatchFileError):
            await use()
    with pytest.raises(BatchFileError):
        writer.put(inserting("ana_4"))
    assert rows(tmp_path / "batch") == [("ana_1", "left")]


@pytest.mark.parametrize("change", ["moved", "removed", "replaced"])
async def test_a_file_that_is_no_longer_there_is_written_to_no_more(writer, tmp_path, change):
    """What was written to it then, nobody would find; and what it held before, it has, wherever it is."""
    await writer.call(inserting("ana_1"))
    if change == "replaced":
        shutil.copy(tmp_path / "batch", tmp_path / "other")
    (tmp_path / "batch").rename(tmp_path / "moved")
    if change == "removed":
        (tmp_path / "moved").unlink()
    if change == "replaced":
        (tmp_path / "other").rename(tmp_path / "batch")
    with pytest.raises(BatchFileError, match="was moved, removed or replaced while it was open"):
        await writer.call(inserting("ana_2"))
    with pytest.raises(BatchFileError):
        writer.put(inserting("ana_3"))
    if change != "removed":
        assert rows(tmp_path / "moved", "id") == [("ana_1",)]


async def test_a_mistake_of_ours_is_raised_as_it_is(tmp_path):
    """And is no error of the file's."""
    writer = Writer(tmp_path / "batch", lambda: open_to_write(tmp_path / "batch"))
    await writer.start()
    with pytest.raises(ZeroDivisionError):
        await writer.call(lambda connection: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        writer.put(lambda connection: None)
    await writer.aclose()


async def test_a_file_that_cannot_be_opened_leaves_no_thread(tmp_path):
    """Closing what did not open is fine, and twice too."""
    writer = Writer(tmp_path, lambda: open_to_write(tmp_path))
    with pytest.raises(BatchFileError):
        await writer.start()
    await writer.aclose()
    await writer.aclose()
    assert not any(thread.name == f"kallglot {tmp_path.name}" for thread in threading.enumerate())


@pytest.mark.parametrize("is_good", [True, False])
async def test_an_opening_that_nobody_waits_for_any_more_leaves_no_thread(is_good, tmp_path, caplog):
    """However it ends: there is nobody to be told."""
    held, path = threading.Event(), tmp_path / "batch" if is_good else tmp_path
    writer = Writer(path, lambda: open_to_write(path) if held.wait(20) else None)
    starting = asyncio.create_task(writer.start())
    await asyncio.sleep(0)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    held.set()
    await writer.aclose()
    assert not any(thread.name == f"kallglot {path.name}" for thread in threading.enumerate())
    assert caplog.messages == []


async def test_a_cancelled_call_is_written_all_the_same(writer, tmp_path):
    """Nobody waits for it any more."""
    held = threading.Event()
    writer.put(lambda connection: held.wait(20))
    calling = asyncio.create_task(writer.call(inserting("ana_1")))
    await asyncio.sleep(0)
    calling.cancel()
    held.set()
    with pytest.raises(asyncio.CancelledError):
        await calling
    await writer.call(lambda connection: None)
    assert rows(tmp_path / "batch") == [("ana_1", "left")]
