"""Where the audio of a download goes: a file that appears when it is whole, or a file object."""

from __future__ import annotations

import asyncio
import errno
import inspect
import os
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self, runtime_checkable

import anyio

from kallglot_async._checks import is_text, rest_of, shown
from kallglot_async._clock import is_cancelled
from kallglot_async._core.api.resuming import is_worth_keeping
from kallglot_async._whole_file import descriptor_of
from kallglot_async._wire.part_file import PartFile
from kallglot_async.errors import ConfigurationError

__all__ = ["BinaryWriter", "FileSink", "ObjectSink", "Sink", "sink_for"]


@runtime_checkable  # for those who check arguments, such as pydantic
class BinaryWriter(Protocol):
    """A file object that takes bytes, such as Python's own, or those of anyio and aiofiles."""

    def write(self, data: bytes, /) -> object:
        """Write all of `data`, or return how much of it was written. What it returns is awaited if it can be."""


class Sink(Protocol):
    """Takes the pieces of a download."""

    path: str | None

    async def write(self, data: bytes) -> None:
        """Take one piece."""

    @property
    def kept(self) -> tuple[bytes, int] | None:
        """What an earlier download left: its record, and how many bytes; None where it left nothing."""

    async def begin(self, record: bytes | None) -> None:
        """Forget what was taken: the download begins. `record` says of what, for another one to go on; else None."""

    async def finish(self) -> None:
        """Everything is there."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def _path_of(to: str | os.PathLike[str]) -> Path:
    try:
        path = Path(to)
        # What ends with a slash is that of a directory, as `cp` has it; a `Path` has none.
        is_possible = os.path.basename(to) not in {"", ".", ".."} and b"\0" not in os.fsencode(path)
    # A path of bytes, or half a character.
    except (TypeError, ValueError):
        is_possible = False
    if not is_possible:
        raise ConfigurationError(f"to is the name of a file, not {shown(to)}")
    return path


def sink_for(to: str | os.PathLike[str] | BinaryWriter, *, overwrite: bool) -> Sink:
    """Return the sink for what a caller gave.

    Raises:
        ConfigurationError: It is neither a path nor a file object that takes bytes.
    """
    if isinstance(to, str | os.PathLike):
        return FileSink(_path_of(to), overwrite=overwrite)
    if is_text(to) or not callable(getattr(to, "write", None)):
        raise ConfigurationError(f"to is a path or a file object that takes bytes, not {type(to).__name__}")
    return ObjectSink(to)


class FileSink:
    """A file that grows under another name in the same directory, and gets its own once it is whole.

    Entering it checks that the file may be written; leaving it without `finish` keeps what came if another download
    can go on with it, and else leaves nothing behind. Pieces are written in a worker thread, so that a slow disk does
    not stop the event loop.
    """

    def __init__(self, path: Path, *, overwrite: bool) -> None:
        self.path: str | None = os.fspath(path)
        # As it is meant now: a process may go to another directory within the minutes.
        self._path = path.absolute()
        self._overwrite = overwrite
        # Held while a thread writes: a cancelled call must not close the file under it.
        self._lock = threading.Lock()

    @property
    def kept(self) -> tuple[bytes, int] | None:
        """What an earlier download left: its record, and how many bytes."""
        return None if self._part.record is None else (self._part.record, self._part.size)

    def __enter__(self) -> Self:
        self._target, mode = _target_of(self._path, overwrite=self._overwrite)
        self._part = PartFile(self._target, mode)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            if not self._part.is_open:
                return  # finished
            is_kept = self._part.record is not None and self._part.size > 0
            self._part.close(is_kept=is_kept and is_worth_keeping(error))

    async def write(self, data: bytes) -> None:
        """Take one piece: it is there for the next process at once. While it is written, the next one grows."""
        # A body ends with an empty piece, which is worth no thread.
        if data:
            with _naming(self.path):
                await anyio.to_thread.run_sync(self._write, data)

    async def begin(self, record: bytes | None) -> None:
        """Forget what was taken."""
        with _naming(self.path):
            self._part.begin(record)

    async def finish(self) -> None:
        """Give the file its name.

        Raises:
            FileExistsError: Somebody made one of that name meanwhile.
        """
        # Looked at again: within the minutes of a download somebody can make the file, or turn the link.
        target, mode = _target_of(self._path, overwrite=self._overwrite)
        if target != self._target:
            raise FileExistsError(errno.EEXIST, "the link leads to another place than before", self.path)
        self._part.become(target, mode=mode, overwrite=self._overwrite)

    def _write(self, data: bytes) -> None:
        # A thread cannot be cancelled: it may get here when the call is over, and the file closed.
        with self._lock:
            if self._part.is_open:
                self._part.append(data)


def _target_of(path: Path, *, overwrite: bool) -> tuple[Path, int | None]:
    """Return the file that is written to, behind any links, and its mode if it exists.

    Raises:
        IsADirectoryError: It is a directory.
        FileExistsError: It exists, and is not to be replaced or is nothing that can be: a FIFO, a device, what is open
            already.
    """
    shown = os.fspath(path)
    # By what it names, not by what it is: behind it may be a regular file that others append to.
    if descriptor_of(path) is not None:
        raise FileExistsError(errno.EEXIST, "it is open already, and is not replaced: pass the file object", shown)
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        if path.is_symlink() and not overwrite:
            raise FileExistsError(
                errno.EEXIST, "it is a link to nothing: pass overwrite=True to make what it names", shown
            ) from None
        return Path(os.path.realpath(path)), None
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "it is a directory: give the name of a file", shown)
    if not stat.S_ISREG(mode):
        raise FileExistsError(errno.EEXIST, "it is no regular file, and is not replaced", shown)
    if not overwrite:
        raise FileExistsError(errno.EEXIST, "it exists: pass overwrite=True to replace it", shown)
    return Path(os.path.realpath(path)), mode


@contextmanager
def _naming(file: object) -> Iterator[None]:
    """Name the file in an error that does not, as that of a full disk."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno is not None and isinstance(file, str | bytes):
            raise OSError(error.errno, error.strerror or os.strerror(error.errno), file) from error
        raise


class ObjectSink:
    """A caller's file object, written from where it stands and neither flushed nor closed.

    Its methods are called in the event loop, and awaited where they can be. After a failure it holds whatever came.
    """

    def __init__(self, target: BinaryWriter) -> None:
        self.path: str | None = None
        self._target = target
        self._start: int | None = None
        self._is_touched = False

    @property
    def kept(self) -> tuple[bytes, int] | None:
        """Nothing: what its owner keeps in it is not known here."""
        return None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave it to its owner."""

    async def write(self, data: bytes) -> None:
        """Take one piece."""
        self._is_touched = True
        with _naming(getattr(self._target, "name", None)):
            await _write_all(self._target, data)

    async def begin(self, record: bytes | None) -> None:
        """Go back to where it stood.

        Raises:
            ConfigurationError: It cannot go back.
        """
        if not self._is_touched:
            self._start = await self._place()
            return
        try:
            if self._start is not None:
                await self._call("seek", self._start)
                # Else the end of what was longer would stay behind what comes now.
                await self._call("truncate")
                return
        # Of one that says that it can seek, as that of `gzip` does.
        except OSError:
            pass
        raise ConfigurationError(
            "the download has to begin again, and the file object cannot go back: pass one that can seek"
        )

    async def finish(self) -> None:
        """Leave it to its owner."""

    async def _place(self) -> int | None:
        """Return where it stands, not always 0, as a caller may have something of its own in front; None: nowhere."""
        if any(not hasattr(self._target, name) for name in ("seekable", "seek", "tell", "truncate")):
            return None
        place = await self._call("tell") if await self._call("seekable") else None
        return place if isinstance(place, int) else None

    async def _call(self, name: str, *values: int) -> object:
        return await _awaited(getattr(self._target, name)(*values))


async def _awaited(value: object) -> object:
    try:
        return await value if inspect.isawaitable(value) else value
    except asyncio.CancelledError:
        if is_cancelled():
            raise
    # Nobody cancelled us: it would look to the caller as if somebody had cancelled the call.
    raise ConfigurationError("the file object awaited something that was cancelled")


async def _write_all(target: BinaryWriter, data: bytes) -> None:
    while data:
        data = rest_of(data, await _awaited(target.write(data)), target)
