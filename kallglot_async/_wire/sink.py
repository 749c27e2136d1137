"""Where the audio of a download goes: a file that appears when it is whole, or a file object."""

from __future__ import annotations

import io
import os
import threading
import uuid
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import anyio

from kallglot_async._checks import shown
from kallglot_async.errors import ConfigurationError

__all__ = ["BinaryWriter", "FileSink", "ObjectSink", "Sink", "sink_for"]

_PIECE = 256 * 1024  # bytes that are written at once: a thread's price for each is then small


class BinaryWriter(Protocol):
    """A file object that takes bytes."""

    def write(self, data: bytes, /) -> object:
        """Write all of `data`, or return how much of it was written."""


class Sink(Protocol):
    """Takes the pieces of a download."""

    path: str | None

    async def write(self, data: bytes) -> None:
        """Take one piece."""

    async def rewind(self) -> None:
        """Forget what was taken: the download begins again."""

    async def finish(self) -> None:
        """Everything is there."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def sink_for(to: str | os.PathLike[str] | BinaryWriter, *, overwrite: bool) -> Sink:
    """Return the sink for what a caller gave.

    Raises:
        ConfigurationError: It is neither a path nor a file object that takes bytes.
    """
    if isinstance(to, str | os.PathLike):
        if not (path := Path(to)).name:
            raise ConfigurationError(f"to is the name of a file, not {shown(to)}")
        return FileSink(path, overwrite=overwrite)
    if _is_text(to) or not callable(getattr(to, "write", None)):
        raise ConfigurationError(f"to is a path or a file object that takes bytes, not {type(to).__name__}")
    return ObjectSink(to)


def _is_text(to: object) -> bool:
    return isinstance(to, io.TextIOBase)


class FileSink:
    """A file that is written under another name in the same directory, and gets its own once it is whole.

    Entering it checks that the file may be written; leaving it without `finish` leaves nothing behind. Pieces
    are written in a worker thread, so that a slow disk does not stop the event loop.
    """

    def __init__(self, path: Path, *, overwrite: bool) -> None:
        self.path: str | None = os.fspath(path)
        self._path = path
        self._overwrite = overwrite
        self._part = path.with_name(f".kallglot-{uuid.uuid4().hex}.part")
        self._buffer = bytearray()
        # Held while a thread writes: a cancelled call must not close the file under it.
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        if self._path.is_dir():
            raise IsADirectoryError(21, "it is a directory: give the name of a file", self.path)
        if not self._overwrite and self._path.exists():
            raise FileExistsError(17, "it exists: pass overwrite=True to replace it", self.path)
        self._file = open(self._part, "xb", buffering=0)  # closed by finish or discard
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._file.close()
            with suppress(FileNotFoundError):  # finished
                self._part.unlink()

    async def write(self, data: bytes) -> None:
        """Take one piece."""
        self._buffer += data
        if len(self._buffer) >= _PIECE:
            await self._spill()

    async def rewind(self) -> None:
        """Forget what was taken."""
        self._buffer.clear()
        self._file.seek(0)
        self._file.truncate()

    async def finish(self) -> None:
        """Give the file its name.

        Raises:
            FileExistsError: Somebody made one of that name meanwhile.
        """
        await self._spill()
        self._file.close()
        if self._overwrite:
            os.replace(self._part, self._path)
        else:
            _rename_to_new(self._part, self._path)

    async def _spill(self) -> None:
        data = bytes(self._buffer)
        self._buffer.clear()
        if data:
            await anyio.to_thread.run_sync(self._write, data)

    def _write(self, data: bytes) -> None:
        with self._lock:
            if not self._file.closed:
                _write_all(self._file, data)


def _rename_to_new(source: Path, target: Path) -> None:
    """Rename without replacing: a link fails where the name is taken, a rename would not."""
    try:
        os.link(source, target)
    except FileExistsError:
        raise
    except OSError:  # a file system without links
        if target.exists():
            raise FileExistsError(17, "it exists: pass overwrite=True to replace it", os.fspath(target)) from None
        os.rename(source, target)
    else:
        source.unlink()


class ObjectSink:
    """A caller's file object, written from where it stands and neither flushed nor closed.

    Its `write` is called in the event loop. After a failure it holds whatever came.
    """

    def __init__(self, target: BinaryWriter) -> None:
        self.path: str | None = None
        self._target = target
        self._start: int | None = None
        self._is_touched = False

    def __enter__(self) -> Self:
        if isinstance(self._target, io.IOBase) and self._target.seekable():
            self._start = self._target.tell()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave it to its owner."""

    async def write(self, data: bytes) -> None:
        """Take one piece."""
        self._is_touched = True
        _write_all(self._target, data)

    async def rewind(self) -> None:
        """Go back to where it stood.

        Raises:
            ConfigurationError: It cannot go back.
        """
        if not self._is_touched:
            return
        if self._start is None or not isinstance(self._target, io.IOBase):
            raise ConfigurationError(
                "the download has to begin again, and the file object cannot go back: pass one that can seek"
            )
        self._target.seek(self._start)
        self._target.truncate()

    async def finish(self) -> None:
        """Leave it to its owner."""


def _write_all(target: BinaryWriter, data: bytes) -> None:
    while data:
        written = target.write(data)
        if not isinstance(written, int) or written >= len(data):
            return
        data = data[written:]
