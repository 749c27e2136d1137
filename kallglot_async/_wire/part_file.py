"""`PartFile`: the bytes of a download that is not whole, `NAME.part`, and beside them what they are of.

One download at a time has it: it is locked for as long as it is open, and the lock goes with the process, however
that ends. Neither file is hidden, and there are no others: a process that is killed leaves at most these two. A NAME
that leaves no room for the ending is cut, and has a digest of the whole instead.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import stat
from contextlib import suppress
from pathlib import Path

from kallglot_async._held import hold, let_go
from kallglot_async._whole_file import give_mode, take_place

try:
    import fcntl
# On Windows, where a file that is open cannot be renamed or removed by anybody: there it takes no lock.
except ModuleNotFoundError:
    _HAS_LOCKS = False
else:
    _HAS_LOCKS = True

__all__ = ["PartFile"]

_LARGEST_RECORD = 65_536  # bytes
_NAME_MAX = 255  # bytes of a file's name, nearly everywhere
_TRIES = 10  # to open a file that somebody else renames or removes in the same moment
# Never through a link that somebody else has put there, nor waiting for the other end of a FIFO; the last is Windows'.
_FLAGS = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


class PartFile:
    """Opened, locked, appended to, and at the end renamed, kept or removed.

    Args:
        target: The file that it is to become.
        mode: The permissions of the file that it replaces: the audio is not to be seen by more people meanwhile. None
            for those of any new file.

    Attributes:
        record: What the bytes in it are of; None where nobody knows.

    Raises:
        FileExistsError: Another download has it, or there is something else of that name.
        OSError: It cannot be made.
    """

    def __init__(self, target: Path, mode: int | None) -> None:
        name = _beside(target)
        self._path = target.with_name(f"{name}.part")
        self._record_path = target.with_name(f"{name}.part.json")
        self._file = self._open()
        try:
            if mode is not None:
                # Always writable by us, as the file that is replaced may not be.
                give_mode(self._path, stat.S_IMODE(mode) & 0o777 | 0o600)
            self.record = self._read_record()
        except BaseException:
            # What others have left in it is theirs to go on with; an empty one is nobody's.
            if not self.size:
                self._path.unlink()
            self._end()
            raise

    @property
    def size(self) -> int:
        """Bytes in it."""
        return os.fstat(self._file.fileno()).st_size

    @property
    def is_open(self) -> bool:
        """Whether it can be written to."""
        return not self._file.closed

    def _open(self) -> io.FileIO:
        for _ in range(_TRIES):
            # Between opening and locking, whoever had it may rename or remove it: then ours has no name.
            file = _open_regular(self._path, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                if self._has_it(file):
                    file.seek(0, os.SEEK_END)
                    hold(file.fileno())
                    return file
            except BaseException:
                file.close()
                raise
            file.close()
        raise self._taken()

    def _has_it(self, file: io.FileIO) -> bool:
        """Lock it. Returns whether it still has its name, and no other one."""
        if _HAS_LOCKS:
            try:
                fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise self._taken() from None
            # A file system without locks: that two downloads write to one path is then the caller's to see to.
            except OSError:
                pass
        ours = os.fstat(file.fileno())
        # It has the name of a finished download, too, which was killed before it removed this one: what is written here
        # would be in that.
        if ours.st_nlink > 1:
            self._path.unlink()
            return False
        try:
            return os.path.samestat(ours, os.lstat(self._path))
        except FileNotFoundError:
            return False

    def _taken(self) -> FileExistsError:
        return FileExistsError(errno.EEXIST, "another download into it is under way", os.fspath(self._path))

    def _read_record(self) -> bytes | None:
        try:
            with _open_regular(self._record_path, os.O_RDONLY) as file:
                return file.read(_LARGEST_RECORD)
        except FileNotFoundError:
            return None

    def append(self, data: bytes) -> None:
        """Write all of it."""
        while data:
            # Without buffers a write may take a part only; with them, what came would be lost by a kill.
            data = data[self._file.write(data) :]

    def begin(self, record: bytes | None) -> None:
        """Forget the bytes. Those that follow are of what `record` says; None where nobody could go on with them."""
        # In this order: whenever the process ends, no record stands beside bytes of something else.
        self._remove_record()
        self._file.seek(0)
        self._file.truncate()
        if record is not None:
            with _open_regular(self._record_path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600) as file:
                file.write(record)
        self.record = record

    def become(self, target: Path, *, mode: int | None, overwrite: bool) -> None:
        """Take the name of the target.

        Raises:
            FileExistsError: It is taken, and is not to be replaced.
        """
        if mode is not None:
            give_mode(self._path, stat.S_IMODE(mode))
        # Windows renames nothing that is open. Elsewhere the lock is held until the name is taken.
        if not _HAS_LOCKS:
            self._end()
        if overwrite:
            take_place(self._path, target)
        else:
            _rename_to_new(self._path, target)
        self._end()
        # Last: a kill before this leaves a record of no bytes, which the next download takes for nothing.
        self._remove_record()

    def close(self, *, is_kept: bool) -> None:
        """Close it, and remove it unless it is kept."""
        if self._file.closed:
            return
        if not is_kept:
            # Under the lock, so that it is no other download's that is removed.
            self._remove_record()
            if not _HAS_LOCKS:
                self._end()
            with suppress(FileNotFoundError):
                self._path.unlink()
        self._end()

    def _end(self) -> None:
        if not self._file.closed:
            let_go(self._file.fileno())
            self._file.close()

    def _remove_record(self) -> None:
        with suppress(FileNotFoundError):
            self._record_path.unlink()


def _beside(target: Path) -> str:
    """Return the target's name, shortened where it has just room for itself: the next process makes the same of it."""
    try:
        longest = os.pathconf(target.parent, "PC_NAME_MAX")
    # Windows has no such function. That there is no such directory, opening will say.
    except (AttributeError, OSError):
        longest = _NAME_MAX
    name, room = os.fsencode(target.name), longest - len(".part.json")
    if len(name) <= room:
        return target.name
    digest = hashlib.sha256(name).hexdigest()[:16]
    # Cut between characters: not every file system takes half of one.
    return f"{name[: max(room - 17, 0)].decode(errors='ignore')}-{digest}"


def _open_regular(path: Path, flags: int, mode: int = 0) -> io.FileIO:
    """Open a file without buffers.

    Raises:
        FileExistsError: It is no regular file.
        OSError: It cannot be opened.
    """
    descriptor = os.open(path, flags | _FLAGS, mode)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise FileExistsError(errno.EEXIST, "it is no regular file, and in the way of a download", os.fspath(path))
        # Of a descriptor "wb" truncates nothing: only opening by name does.
        return io.FileIO(descriptor, "wb" if flags & os.O_WRONLY else "rb+" if flags & os.O_RDWR else "rb")
    except BaseException:
        os.close(descriptor)
        raise


def _rename_to_new(source: Path, target: Path) -> None:
    """Rename without replacing: a link fails where the name is taken, a rename would not."""
    try:
        os.link(source, target)
    except FileExistsError:
        raise
    # A file system without links.
    except OSError:
        if target.exists():
            raise FileExistsError(
                errno.EEXIST, "it exists: pass overwrite=True to replace it", os.fspath(target)
            ) from None
        os.rename(source, target)
    else:
        source.unlink()
