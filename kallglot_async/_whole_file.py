"""A file that is there whole or not at all: written beside its place, and put there once it is complete."""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import IO

from kallglot_async._checks import shown
from kallglot_async.errors import ConfigurationError

__all__ = ["descriptor_of", "give_mode", "path_of", "take_place", "whole_file"]

# What these name is open already. As paths they lead to a file that is to be appended to, which would be replaced.
_OPEN = re.compile(r"/dev/std(?:in|out|err)|(?:/dev|/proc/self)/fd/[0-9]{1,9}", re.ASCII)
_NAMED = {"stdin": 0, "stdout": 1, "stderr": 2}
_COMPRESSED = frozenset({".gz", ".bz2", ".xz", ".zip", ".zst"})


def path_of(path: str | os.PathLike[str]) -> Path:
    """Return the path.

    Raises:
        ConfigurationError: It is none.
    """
    try:
        text = os.fspath(path)
    except TypeError:
        text = ""
    if not isinstance(text, str) or not text or "\0" in text:
        raise ConfigurationError(f"the path of a file is a text that is not empty, not {shown(path)}")
    return Path(text)


def descriptor_of(path: PurePath) -> int | None:
    """Return the number of the open file that a path names, such as `/dev/stdout`, on any system; None for others."""
    # On Windows an absolute path begins with a drive, which this one is not on.
    if not _OPEN.fullmatch(path.as_posix().removeprefix(path.drive)):
        return None
    return _NAMED[path.name] if path.name in _NAMED else int(path.name)


@contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """Give a file to write to, which takes the place of `path` when the block ends, and is removed when it raises.

    A file that is replaced keeps its permissions, and one that is a link stays one. What is no regular file, a pipe or
    a device, is written to as it is, and so is what is open already, such as `/dev/stdout`, whatever it is. A file that
    is a mount of its own, as one that a container has of its host, cannot be replaced, and is written over at the end.

    Raises:
        ConfigurationError: Its name is that of a compressed file.
        OSError: It cannot be written there.
    """
    if (suffix := path.suffix).lower() in _COMPRESSED:
        what = f"{path} would hold what is not compressed: leave out {suffix}, and compress the file that is there then"
        raise ConfigurationError(what)
    if (descriptor := descriptor_of(path)) is not None:
        with os.fdopen(os.dup(descriptor), "wb") as file:
            yield file
        return
    mode = _mode(path)
    if mode is not None and not stat.S_ISREG(mode):
        with path.open("wb") as file:
            yield file
        return
    target = Path(os.path.realpath(path))
    # Bytes, as file systems count them, and none of a character that is cut.
    name = os.fsencode(target.name)[:80].decode(errors="ignore")
    beside = target.with_name(f".{name}.{secrets.token_hex(6)}.part")
    try:
        # Never a file, or through a link, that somebody has put there.
        with _opened(beside, path) as file:
            if mode is not None:
                # Before anything is in it: nobody is to see more of the new one than of the old.
                give_mode(beside, stat.S_IMODE(mode))
            yield file
            file.flush()
            # Else a crash may leave an empty file under the new name.
            os.fsync(file.fileno())
        take_place(beside, target)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def give_mode(path: Path, mode: int) -> None:
    """Give a file its permissions, where it has others: shares on the network, whose files all have the same, refuse.

    Raises:
        OSError: It cannot have them.
    """
    if stat.S_IMODE(path.stat().st_mode) != mode:
        path.chmod(mode)


def _opened(beside: Path, path: Path) -> IO[bytes]:
    try:
        return beside.open("xb")
    except OSError as error:
        # By the name that the caller knows: the other says nothing to anybody.
        raise OSError(error.errno, error.strerror, os.fspath(path)) from None


def take_place(beside: Path, target: Path) -> None:
    """Give a file that is whole its name, in one step; but for a mount of its own, which is written over.

    Raises:
        OSError: It cannot be put there.
    """
    try:
        beside.replace(target)
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        with beside.open("rb") as source, target.open("r+b") as file:
            shutil.copyfileobj(source, file)
            file.truncate()
            file.flush()
            os.fsync(file.fileno())
        beside.unlink()


def _mode(path: Path) -> int | None:
    try:
        return path.stat().st_mode
    except FileNotFoundError:
        return None
