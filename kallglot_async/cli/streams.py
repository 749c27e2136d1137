"""The standard streams, any of which may be closed, full, or read by nobody any more.

Standard output has the data: what cannot be written there ends the command. Standard error has words for people:
that nobody hears them costs no data and changes no exit code.
"""

from __future__ import annotations

import errno
import os
import select
import sys
from contextlib import suppress
from io import TextIOWrapper
from typing import IO, TextIO

__all__ = [
    "STDOUT", "Unhurried", "drop", "fill_closed", "has_output", "is_clear", "make_blocking", "take_any_text", "tell",
    "write_line",
]  # fmt: skip

STDOUT = "/dev/stdout"  # by this name standard output is written to as it is, on any system


def fill_closed() -> None:
    """Put nothing in the place of standard streams that are closed.

    The next file or connection would get a closed one's number, and whatever writes to standard error then, an
    interpreter that crashes for example, would write into it.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)


def make_blocking() -> None:
    """Have who is slow to read, or to write, be waited for.

    Another program that has the same terminal or pipe may have it otherwise: what does not fit is lost then, and what
    is not there yet ends the reading.
    """
    if sys.platform == "win32":  # which has it so
        return
    for descriptor in range(3):
        with suppress(OSError):
            os.set_blocking(descriptor, True)


def take_any_text() -> None:
    """Have what the encoding of standard output does not know be escaped, as on standard error.

    A file's name, or an event's type, may be in any script, and on Windows a pipe or a file is in that of the system.
    """
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def has_output() -> bool:
    """Whether there is a standard output; with `>&-` there is none."""
    return sys.stdout is not None


def write_line(line: bytes) -> None:
    """Write all of it to standard output and flush it, so that a reader has it now. The bytes are written as they are.

    Raises:
        BrokenPipeError: Nobody reads any more.
        OSError: There is no standard output, or it is full.
    """
    if sys.stdout is None:
        raise OSError(errno.EBADF, "it is closed")
    out, rest = sys.stdout.buffer, memoryview(line)
    # Without a buffer, as under PYTHONUNBUFFERED, a full disk takes a part, and refuses only what it is given then.
    while rest:
        rest = rest[out.write(rest) :]
    out.flush()


def tell(text: str, *, waits: bool = True) -> None:
    """Print a line for people to standard error; if nobody can hear it, it is not said.

    Args:
        text: The line.
        waits: Whether to wait for a reader that takes nothing now; else the line is lost on that one.
    """
    # `print` would take standard output for None.
    if sys.stderr is None or not (waits or is_clear(sys.stderr)):
        return
    try:
        print(text, file=sys.stderr, flush=True)
    except (OSError, ValueError):
        drop(sys.stderr)


def is_clear(stream: TextIO) -> bool:
    """Whether a line can be written without waiting: for who has pressed Ctrl-S, or for the reader of a full pipe."""
    try:
        return bool(select.select([], [stream], [], 0.0)[1])
    # A stand-in without a number, or Windows, where only sockets can be asked.
    except (OSError, ValueError):
        return True


class Unhurried:
    """A text stream on which what its reader does not take at once is lost, so that no picture holds up the work.

    Args:
        stream: Where the rest goes.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.encoding: str = stream.encoding

    def write(self, text: str) -> int:
        """Write all of it, or nothing."""
        if is_clear(self._stream):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Write what is still held."""
        self._stream.flush()

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return self._stream.isatty()

    def fileno(self) -> int:
        """Return the number of the stream."""
        return self._stream.fileno()


def drop(stream: IO[str] | None) -> None:
    """Send what a stream still holds nowhere: its reader has gone, and the interpreter flushes it at exit."""
    if stream is None:
        return
    try:
        number = stream.fileno()
    # A stand-in without one, as tests and notebooks have; it keeps nothing back.
    except (OSError, ValueError):
        return
    # In the place of the descriptor, and not closed: the interpreter's own flush at exit has to succeed.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, number)
    os.close(nowhere)
