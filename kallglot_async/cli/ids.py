"""Where the ids of a batch come from: the command line, a file or standard input."""

from __future__ import annotations

import asyncio
import codecs
import os
import re
import sys
import threading
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Self, TypeAlias

from kallglot_async.errors import ConfigurationError
from kallglot_async.models.records import GZIP, is_utf_16

__all__ = ["IdLines", "Source", "lines_of", "open_source"]

_CHUNK = 65_536
_LONGEST_LINE = 65_536
_LINE_ENDS = re.compile(r"[\r\n]")


class IdLines:
    """The ids of a file, a pipe or a terminal, one by one, and whether all of them were taken."""

    def __init__(self, descriptor: int) -> None:
        self._lines = lines_of(descriptor)
        self.is_read = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> str:
        try:
            return await anext(self._lines)
        except StopAsyncIteration:
            self.is_read = True
            raise


Source: TypeAlias = list[str] | IdLines


@contextmanager
def open_source(ids: Sequence[str], file: Path | None) -> Iterator[Source]:
    """Give the ids of a command line: its own list, or the lines of a file (`-` is standard input) one by one.

    Raises:
        ConfigurationError: There is no source of ids, or more than one, or the file cannot be opened.
    """
    if (file is None) == (not ids):
        what = "are no ids" if file is None else "is more than one source of ids"
        raise ConfigurationError(f"there {what}: give IDs, or --file FILE, or - for standard input")
    if file is None:
        yield list(ids)
    elif str(file) == "-":
        if sys.stdin is None:
            raise ConfigurationError("standard input is closed: there are no ids to read")
        # By its number, and not as `sys.stdin`: what that has read ahead would be held for nobody.
        yield IdLines(sys.stdin.fileno())
    else:
        with _open(file) as opened:
            yield IdLines(opened.fileno())


def _open(path: Path) -> IO[bytes]:
    try:
        return open(path, "rb", buffering=0)
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}") from None


async def lines_of(descriptor: int) -> AsyncGenerator[str, None]:
    """Give the lines of a file, a pipe or a terminal, without blank ones and those that start with #.

    It is read in pieces and only when the next line is asked for. It is UTF-8, or UTF-16 with a byte-order mark; its
    lines end as on any system, and may be in quotes.

    Raises:
        ValueError: It is compressed, or a line is so long that this cannot be a list of ids.
        OSError: Reading failed.
    """
    chunk, rest = await _read(descriptor), ""
    if chunk.startswith(GZIP):
        raise ValueError("it is compressed: unpack it (zcat FILE | kallglot ... -)")
    decoder = codecs.getincrementaldecoder("utf-16" if is_utf_16(chunk) else "utf-8")(errors="replace")
    while chunk:
        *lines, rest = _LINE_ENDS.split(rest + decoder.decode(chunk))
        for line in lines:
            if id := _id_in(line):
                yield id
        # Before more is read: of a film, or of /dev/zero, the first line may have no end.
        if len(rest) > _LONGEST_LINE:
            raise ValueError(f"a line is longer than {_LONGEST_LINE} bytes: this is not a list of ids")
        chunk = await _read(descriptor)
    if id := _id_in(rest + decoder.decode(b"", final=True)):
        yield id


def _id_in(line: str) -> str:
    text = line.removeprefix("\ufeff").strip()
    # As `jq` prints a text, and a table of one column is exported.
    if len(text) > 1 and text[0] == text[-1] == '"':
        text = text[1:-1].strip()
    return "" if text.startswith("#") else text


async def _read(descriptor: int) -> bytes:
    """Read one piece in a thread of its own.

    A daemon thread and the bare descriptor: after Ctrl-C nobody has to wait for a terminal to give its next line,
    and no lock of `sys.stdin` is held when the interpreter ends.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[bytes] = loop.create_future()

    def report(data: bytes, error: OSError | None) -> None:
        if answer.done():
            return
        if error is not None:
            answer.set_exception(error)
        else:
            answer.set_result(data)

    def work() -> None:
        data, failure = b"", None
        try:
            data = os.read(descriptor, _CHUNK)
        except OSError as error:
            failure = error
        # The loop is closed: nobody waits for it any more.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(report, data, failure)

    threading.Thread(target=work, name="kallglot ids", daemon=True).start()
    return await answer
