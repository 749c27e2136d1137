"""One writer at a time: a lock of the operating system, which is gone with its process, however that ends."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

from kallglot_async._held import hold, let_go
from kallglot_async.errors import BatchFileError, BatchInUseError

if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


__all__ = ["WriterLock"]

# The first two, often one number, are what `flock` says; the others, Windows.
_TAKEN = {errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES, errno.EDEADLK}


class WriterLock:
    """The right to write to the file of a batch, for as long as it is held.

    It stands in a file beside: a lock on the file itself would be lost with SQLite's own, which POSIX drops as soon as
    the process closes any descriptor of that file. A forked child has it not, and keeps it from nobody.

    Args:
        path: The file of the batch.

    Raises:
        BatchInUseError: Somebody else has it.
        BatchFileError: It cannot be had: the directory cannot be written to, or its file system has no locks.
    """

    __slots__ = ("_descriptor", "_path")

    def __init__(self, path: Path) -> None:
        # One lock, by whichever link the file is named.
        self._path = Path(f"{os.path.realpath(path)}-lock")
        while True:
            self._descriptor = self._take(path)
            if self._is_in_place():
                hold(self._descriptor)
                return
            # Whoever had it has removed it in between, and the next one would lock another file of that name.
            os.close(self._descriptor)

    def release(self) -> None:
        """Let others write; in a forked child, nothing: it is its parent's."""
        if not let_go(self._descriptor):
            return
        # Windows removes nothing that is open: there it stays, and locks nobody out.
        if sys.platform != "win32":
            # While it is held: a moment later the file may be the one that somebody else has locked.
            self._path.unlink(missing_ok=True)
        os.close(self._descriptor)

    def _take(self, path: Path) -> int:
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise BatchFileError(
                f"cannot write to {path}: {error.strerror}: name a file in a directory that can be written to",
                path=str(path),
            ) from None
        try:
            _lock(descriptor)
        except OSError as error:
            os.close(descriptor)
            if error.errno in _TAKEN:
                raise BatchInUseError(
                    f"{path} is being written to by another run: let that end first; meanwhile it can be read",
                    path=str(path),
                ) from None
            raise BatchFileError(
                f"cannot lock {path}: {error.strerror}: a file system without locks, as some network shares are, can "
                "damage it; name a file on a local disk",
                path=str(path),
            ) from None
        return descriptor

    def _is_in_place(self) -> bool:
        try:
            return os.path.samestat(os.stat(self._path), os.fstat(self._descriptor))
        except FileNotFoundError:
            return False
