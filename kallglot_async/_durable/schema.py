"""The file: how it is opened, what is in it, and how files of earlier versions are brought up to date."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from kallglot_async.errors import BatchFileError

__all__ = ["MIGRATIONS", "open_to_read", "open_to_write", "translated"]

_APPLICATION = 0x6B676C74  # "kglt": tells our files from other people's databases
_CACHE = 6_000  # KiB: the new rows of a large portion of ids (`source`), which come in the order of their index
_PATIENCE = 30.0  # seconds for which a statement waits for another connection's

MIGRATIONS: Sequence[Sequence[str]] = (
    (
        "CREATE TABLE batch (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
        # What is long stands last, so that the short columns are read without it.
        """CREATE TABLE item (
            seq INTEGER PRIMARY KEY,
            id TEXT NOT NULL UNIQUE,
            state TEXT NOT NULL DEFAULT 'left',
            tries INTEGER NOT NULL DEFAULT 1,
            analysis_id TEXT,
            asked_at REAL,
            settled_at REAL,
            polls INTEGER NOT NULL DEFAULT 0,
            elapsed REAL NOT NULL DEFAULT 0.0,
            error TEXT,
            analysis BLOB
        )""",
        "CREATE INDEX item_of_state ON item (state)",  # by state and, as in every index, by seq
    ),
)
"""The steps that lead to version 1, 2 and so on. What has been released is never changed, only added to."""


def open_to_write(path: Path, migrations: Sequence[Sequence[str]] = MIGRATIONS) -> sqlite3.Connection:
    """Open the file, up to date; make it where there is none. Nobody but its owner may read it: call text lies in it.

    Raises:
        BatchFileError: It cannot be opened, or is not of this library, or of a newer version of it.
    """
    with translated(path):
        with suppress(FileExistsError):
            # SQLite gives the files beside it the permissions that this one has. By its own name: `O_EXCL` takes a link
            # for a file, also one that leads to where there is none yet.
            os.close(os.open(os.path.realpath(path), os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        connection = _connect(path)
        try:
            version = _version(connection, path, len(migrations))
            # Behind the check: nothing is changed in a database that is not ours.
            _set_up(connection, path)
            for number, steps in enumerate(migrations[version:], version + 1):
                _migrate(connection, steps, number)
        except BaseException:
            connection.close()
            raise
        return connection


def open_to_read(path: Path) -> sqlite3.Connection:
    """Open the file without changing it, also while it is written to.

    Raises:
        BatchFileError: As for `open_to_write`; or there is no such file, or it is of an older version.
    """
    with translated(path):
        if not path.exists():
            raise BatchFileError(f"there is no file {path}: begin with a run, which makes it", path=str(path))
        connection = _reading(path)
        try:
            connection.execute("PRAGMA query_only = ON")
            version = _version(connection, path, len(MIGRATIONS))
            if version < len(MIGRATIONS):
                what = "holds no batch yet" if version == 0 else "is of an older version of kallglot_async"
                raise BatchFileError(f"{path} {what}: run it once", path=str(path))
        except BaseException:
            connection.close()
            raise
        return connection


def _reading(path: Path) -> sqlite3.Connection:
    # Not read-only to SQLite: the last to close the file takes away what lies beside it, which such a one cannot.
    connection = _connect(path)
    try:
        # The first look, for which files are made beside it.
        connection.execute("PRAGMA schema_version")
    except sqlite3.Error as error:
        connection.close()
        if not _is(error, *_NOTHING_BESIDE):
            raise
        # Neither the file nor the directory can be written to, as on a disk that is full, or mounted read-only.
        if _has_log(path):
            raise BatchFileError(
                f"cannot read {path}: a run has left {path.name}-wal beside it, which needs a directory that can be "
                "written to: copy both files into one",
                path=str(path),
            ) from None
        return _connect(path, "ro&immutable=1")
    return connection


def _has_log(path: Path) -> bool:
    try:
        return os.stat(f"{os.path.realpath(path)}-wal").st_size > 0
    except FileNotFoundError:
        return False


def _connect(path: Path, mode: str = "rw") -> sqlite3.Connection:
    return sqlite3.connect(
        # Only what is there: a file that SQLite makes may be read by whomever the umask lets.
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        timeout=_PATIENCE,
        # Transactions begin and end where we say so.
        isolation_level=None,
        # Outcomes may be taken in one thread after another.
        check_same_thread=False,
    )


def _version(connection: sqlite3.Connection, path: Path, newest: int) -> int:
    application, version = (_pragma(connection, name) for name in ("application_id", "user_version"))
    is_new = connection.execute("SELECT NOT EXISTS (SELECT 1 FROM sqlite_master)").fetchone()[0]
    if is_new and application == version == 0:
        return 0
    if application != _APPLICATION:
        raise BatchFileError(f"{path} is another program's database: name another file", path=str(path))
    if version > newest:
        raise BatchFileError(
            f"{path} is of version {version}, and this kallglot_async knows up to {newest}: upgrade it", path=str(path)
        )
    return version


def _set_up(connection: sqlite3.Connection, path: Path) -> None:
    mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    if mode != "wal":
        raise BatchFileError(
            f"the file system of {path} does not allow a write-ahead log: name a file on a local disk", path=str(path)
        )
    # Not NORMAL, which in this mode syncs nothing at a commit: what is paid for has to have reached the disk.
    connection.execute("PRAGMA synchronous = FULL")
    # Below 0 it counts KiB, above it pages.
    connection.execute(f"PRAGMA cache_size = -{_CACHE}")


def _migrate(connection: sqlite3.Connection, steps: Sequence[str], version: int) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        for step in steps:
            connection.execute(step)
        connection.execute(f"PRAGMA application_id = {_APPLICATION}")
        # In the transaction: a kill leaves the old version or the new one, and never steps without their number.
        connection.execute(f"PRAGMA user_version = {version}")
        connection.execute("COMMIT")
    except BaseException:
        connection.rollback()
        raise


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    value: int = connection.execute(f"PRAGMA {name}").fetchone()[0]
    return value


_REMEDIES = {
    sqlite3.SQLITE_FULL: "the disk is full: make room and go on with another run",
    sqlite3.SQLITE_NOTADB: "name another one",
    sqlite3.SQLITE_CORRUPT: "it is damaged: restore a copy of it",
    sqlite3.SQLITE_READONLY: "it may not be written to: change its permissions or those of its directory",
    sqlite3.SQLITE_CANTOPEN: "name a file, not a directory, that may be opened",
    sqlite3.SQLITE_BUSY: "something else keeps it locked: end that and go on with another run",
    sqlite3.SQLITE_IOERR: "reading or writing failed, as on a disk that is full or broken",
}


_NOTHING_BESIDE = (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)


def _is(error: sqlite3.Error, *kinds: int) -> bool:
    # The low byte is the kind; what stands above it is the detail.
    return (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF in kinds


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Raise what the file or its disk refuse as an error of ours.

    Raises:
        BatchFileError: In the place of every `sqlite3.Error` and `OSError`, and of a text that is damaged.
    """
    try:
        yield
    except sqlite3.Error as error:
        remedy = next((words for kind, words in _REMEDIES.items() if _is(error, kind)), "what it holds is intact")
        raise BatchFileError(f"cannot use {path}: {error}: {remedy}", path=str(path)) from None
    except (UnicodeDecodeError, msgspec.DecodeError):  # the first also of what SQLite quotes of the file in a message
        words = _REMEDIES[sqlite3.SQLITE_CORRUPT]
        raise BatchFileError(f"cannot use {path}: a text in it cannot be read: {words}", path=str(path)) from None
    except OSError as error:
        raise BatchFileError(f"cannot use {path}: {error.strerror or error}", path=str(path)) from None
