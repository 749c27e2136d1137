"""The file: whose it is, of which version, and what it says where it cannot be used."""

import contextlib
import os
import resource
import sqlite3
import stat
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.durable import change, made, rows, served
from support.processes import finish, posix

from kallglot_async import BatchFile, BatchFileError
from kallglot_async._durable.schema import MIGRATIONS, open_to_read, open_to_write


@pytest.fixture
def path(tmp_path):
    return tmp_path / "nightly #1?.kallglot"  # what a URI would take for something else


def test_a_file_is_made_with_its_tables(path):
    """In the newest version, for its owner alone, with a write-ahead log that reaches the disk."""
    with contextlib.closing(open_to_write(path)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with contextlib.closing(open_to_read(path)) as connection, pytest.raises(sqlite3.OperationalError):
        connection.execute("DELETE FROM item")


def test_a_file_of_an_earlier_version_is_brought_up_to_date(path):
    """Step by step, with what it holds; one that failed half-way is as it was."""
    made(path)
    change(path, "INSERT INTO item (id) VALUES ('ana_1')")
    more = [*MIGRATIONS, ["ALTER TABLE item ADD COLUMN note TEXT"], ["UPDATE item SET note = 'new'", "nonsense"]]
    with pytest.raises(BatchFileError, match="syntax error"):
        open_to_write(path, more)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS) + 1,)
    assert rows(path, "id, note") == [("ana_1", None)]
    more[-1].pop()
    open_to_write(path, more).close()
    assert rows(path, "id, note") == [("ana_1", "new")]


def test_a_newer_file_is_refused(path):
    """It names both versions, and what to do."""
    change(made(path), f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    for open_it in (open_to_write, open_to_read):
        with pytest.raises(BatchFileError, match=r"is of version 2, and this kallglot_async knows up to 1: upgrade"):
            open_it(path)


def test_what_is_not_ours_is_refused_and_untouched(path):
    """Another program's database, and what is no database at all."""
    change(path, "CREATE TABLE theirs (a)")
    for content, message in (
        (path.read_bytes(), "another program's"),
        (b"id,name\n" * 400, "not a database: name another one"),
    ):
        path.write_bytes(content)
        for open_it in (open_to_write, open_to_read):
            with pytest.raises(BatchFileError, match=message):
                open_it(path)
        assert path.read_bytes() == content


@pytest.mark.parametrize("call", [lambda file: file.status(), lambda file: file.retry(), lambda file: file.identity])
def test_what_is_damaged_and_no_text_any_more_is_said_to_be(path, call):
    """SQLite quotes it in its message, which Python cannot read then."""
    made(path).write_bytes(path.read_bytes().replace(b"TABLE item", b"T\xff\xfeLE item"))
    with pytest.raises(BatchFileError, match="cannot be read: it is damaged: restore a copy"):
        call(BatchFile(path))


async def test_what_a_file_is_for_may_be_damaged(path):
    """Who reads it and who opens it are told alike."""
    async with served() as (_, client):
        async with client.open_batch(path):
            pass
        change(path, "UPDATE batch SET value = '\"wai' WHERE key = 'kind'")
        with pytest.raises(BatchFileError, match="cannot be read: it is damaged"):
            _ = BatchFile(path).identity
        with pytest.raises(BatchFileError, match="cannot be read: it is damaged"):
            async with client.open_batch(path):
                pass


def test_a_link_may_lead_to_where_the_file_is_to_be(path, tmp_path):
    """As one that was made before the first run, to have the file on another disk."""
    path.symlink_to(tmp_path / "elsewhere.kallglot")
    open_to_write(path).close()
    assert path.is_symlink()
    assert stat.S_IMODE((tmp_path / "elsewhere.kallglot").stat().st_mode) == 0o600


def test_an_empty_file_becomes_one(path):
    """A kill right after it was made leaves one."""
    path.touch()
    with pytest.raises(BatchFileError, match="holds no batch yet"):
        open_to_read(path)
    made(path)
    with pytest.raises(BatchFileError, match="holds no batch yet: run it once"):
        _ = BatchFile(path).identity


def test_a_file_that_is_not_there_is_not_made_by_reading(path):
    """Status, outcomes, retry and export of a misspelt name say so."""
    file = BatchFile(path)
    for call in (file.status, lambda: list(file.outcomes()), file.retry, lambda: file.export("out.jsonl")):
        with pytest.raises(BatchFileError, match=r"there is no file .*: begin with a run"):
            call()
    assert list(path.parent.iterdir()) == []


@contextlib.contextmanager
def who_may_not_write(directory):
    """Whoever runs the tests, or, where that is root, who may do anything, somebody else."""
    directory.chmod(0o555)
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(65_534)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)
        directory.chmod(0o755)


@posix
def test_a_file_that_cannot_be_written_to_can_be_read():
    """A copy that is mounted read-only, or a colleague's: SQLite would make files beside it to look into it."""
    with tempfile.TemporaryDirectory() as name:  # somewhere that anybody may look into
        path = made(Path(name) / "nightly #1?.kallglot")
        change(path, "INSERT INTO item (id) VALUES ('ana_1')")
        path.chmod(0o444)
        with who_may_not_write(path.parent):
            file = BatchFile(path)
            assert (file.status().left, [outcome.id for outcome in file.outcomes("left")]) == (1, ["ana_1"])
            with pytest.raises(BatchFileError, match="cannot write to"):
                file.retry()
        with contextlib.closing(open_to_write(path)) as writer:
            writer.execute("INSERT INTO item (id) VALUES ('ana_2')")
            left = Path(f"{path}-wal").read_bytes()
        assert os.listdir(path.parent) == [path.name]
        Path(f"{path}-wal").write_bytes(left)  # as a kill leaves it: what stands in there alone would be missing
        with who_may_not_write(path.parent), pytest.raises(BatchFileError, match="copy both files"):
            file.status()


def test_outcomes_may_be_taken_in_one_thread_after_another(path):
    """As by a web framework that sends what a generator gives: each piece in whichever of its threads is free."""
    change(made(path), "INSERT INTO item (id) VALUES ('ana_1'), ('ana_2')")
    outcomes = BatchFile(path).outcomes("left")
    taken = []
    for _ in range(2):
        with ThreadPoolExecutor(1) as thread:
            taken.append(thread.submit(next, outcomes).result().id)
    outcomes.close()
    assert taken == ["ana_1", "ana_2"]


async def test_a_directory_that_cannot_be_written_to(tmp_path):
    """The error names the file, the reason and what to do, and nothing was sent."""
    (tmp_path / "file").touch()
    async with served() as (_, client):
        for path, reason in (
            (tmp_path / "file" / "a.kallglot", "Not a directory"),
            (tmp_path / "nowhere" / "a.kallglot", "No such file or directory"),
            ("/proc/a.kallglot", ""),
        ):
            with pytest.raises(BatchFileError, match=f"cannot write to .*a.kallglot: {reason}.*: name a file"):
                async with client.open_batch(path):
                    pass


async def test_a_directory_is_no_file(tmp_path):
    """Named by mistake, it is left alone, also the one that has no name."""
    target = tmp_path / "batches"
    target.mkdir()
    async with served() as (_, client):
        for path in (target, "/"):
            with pytest.raises(BatchFileError, match=rf"{path}.*: (name a file, not a directory|.*can be written to)"):
                async with client.open_batch(path):
                    pass
    assert os.listdir(tmp_path) == ["batches"]


FULL = """
import asyncio, resource, sys
from kallglot_async import BatchFileError, KallglotClient

async def main(path, url, *ids):
    async with KallglotClient("sk_test_emulator", base_url=url) as client, client.open_batch(path) as batch:
        await batch.add(ids)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2**18, resource.RLIM_INFINITY))
        try:
            await batch.run(max_in_flight=4)
        except BatchFileError as error:
            print(error, batch.status().done)

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.untraced
@posix
@pytest.mark.skipif(sys.platform == "win32" or not hasattr(resource, "RLIMIT_FSIZE"), reason="limits of POSIX")
@pytest.mark.slow
async def test_a_file_system_that_takes_no_more_ends_the_run(path):
    """By the system's own word: what was committed is intact, and the next run goes on."""
    async with served() as (server, client):
        ids = server.seed_analyses(200)
        code, out, err = await finish(str(path), server.base_url, *ids, code=FULL)
        assert (code, err) == (0, "")
        assert "cannot use" in out
        done = BatchFile(path).status().done
        assert 0 < done == int(out.split()[-1]) < 200
        async with client.open_batch(path) as batch:
            assert (await batch.run()).done == 200


READ_WHERE_FULL = """
import resource, sys
from kallglot_async import BatchFile

resource.setrlimit(resource.RLIMIT_FSIZE, (2**10, resource.RLIM_INFINITY))
file = BatchFile(sys.argv[1])
print(file.status().left, [outcome.id for outcome in file.outcomes("left")])
"""


@pytest.mark.untraced
@posix
@pytest.mark.skipif(sys.platform == "win32" or not hasattr(resource, "RLIMIT_FSIZE"), reason="limits of POSIX")
async def test_a_file_on_a_disk_that_is_full_can_be_read(path):
    """So that its results can be had from there; what SQLite would make beside it does not fit."""
    change(made(path), "INSERT INTO item (id) VALUES ('ana_1')")
    for _ in range(2):  # the first leaves behind what it could not fill
        assert await finish(str(path), code=READ_WHERE_FULL) == (0, "1 ['ana_1']\n", "")
