"""Outcomes that were stored as JSON lines, as `kallglot get`, `wait` and `analyze` print them, read back."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path

from kallglot_async import Outcome, RecordError, read_jsonl
from kallglot_async.cli.signals import signals_interrupt
from kallglot_async.cli.streams import STDOUT, has_output
from kallglot_async.errors import ConfigurationError

__all__ = ["open_stored"]

_DATABASE = b"SQLite format 3\0"  # https://sqlite.org/fileformat.html, section 1.3


@contextmanager
def open_stored(file: Path, to: Path) -> Iterator[Iterable[Outcome]]:
    """Give the outcomes of a file (`-` is standard input) one by one; a signal to end interrupts what is made of them.

    Raises:
        ConfigurationError: The file cannot be read, or a line of it is no outcome, or `to`, where what is made of them
            goes, is the file itself, or a standard output that is closed.
    """
    if to.as_posix() == STDOUT and not has_output():
        raise ConfigurationError("standard output is closed: there is nowhere to write to")
    if file.is_file() and to.exists() and to.samefile(file):
        raise ConfigurationError(f"{to} is the file of the outcomes, which would be lost: name another file")
    name = "standard input" if str(file) == "-" else str(file)
    with signals_interrupt():
        try:
            if str(file) != "-":
                with _open(file) as lines:
                    # Looked at, not read: a file may also be a pipe, which cannot go back.
                    if lines.peek(len(_DATABASE)).startswith(_DATABASE):
                        raise ConfigurationError(f"{file} is the file of a batch: use kallglot batch export, or report")
                    yield read_jsonl(lines)
            elif sys.stdin is None:
                raise ConfigurationError("standard input is closed: there are no outcomes to read")
            else:
                yield read_jsonl(sys.stdin.buffer)
        except RecordError as error:
            raise ConfigurationError(f"{name}: {error}") from None


def _open(path: Path) -> BufferedReader:
    try:
        return path.open("rb")
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}") from None
