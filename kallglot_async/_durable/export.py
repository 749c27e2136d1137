"""Outcomes into a file that is there whole or not at all."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from kallglot_async._durable.schema import translated
from kallglot_async.errors import ConfigurationError
from kallglot_async.models import Outcome

__all__ = ["export"]


def export(outcomes: Iterator[Outcome], to: Path) -> int:
    """Write the outcomes to a file in the form that its name says, and return how many they are.

    Raises:
        ConfigurationError: Its name says none.
        BatchFileError: It cannot be written.
    """
    write = _FORMS.get(to.suffix)
    if write is None:
        raise ConfigurationError(f"cannot tell from its name how to write {to}: end it with {' or '.join(_FORMS)}")
    with translated(to), _whole(to) as file:
        return write(outcomes, file)


def _write_jsonl(outcomes: Iterator[Outcome], file: IO[bytes]) -> int:
    written = 0
    for outcome in outcomes:
        file.write(outcome.to_json() + b"\n")
        written += 1
    return written


_FORMS: dict[str, Callable[[Iterator[Outcome], IO[bytes]], int]] = {".jsonl": _write_jsonl}


@contextmanager
def _whole(path: Path) -> Iterator[IO[bytes]]:
    """Give a file that takes the place of `path` once it has been written, with the permissions of what stood there."""
    path = path.resolve()  # a link stays one
    mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else 0o600
    descriptor, part = tempfile.mkstemp(prefix=f"{path.name}.", suffix=".part", dir=path.parent)
    try:
        with open(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(part, mode)
        os.replace(part, path)
    except BaseException:
        os.unlink(part)
        raise
