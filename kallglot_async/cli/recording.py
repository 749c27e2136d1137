"""`kallglot recording download`: the audio of recordings, each into a file that is named after it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

from kallglot_async import KallglotClient
from kallglot_async.cli.options import Connection
from kallglot_async.cli.progress import Display, open_display
from kallglot_async.cli.streams import has_output
from kallglot_async.errors import ConfigurationError, InvalidIdError, KallglotError
from kallglot_async.models.records import encode_line, error_record

__all__ = ["download"]

Format = Literal["mp3", "wav", "ogg"]
# What a server calls a format becomes part of a path only if it is one.
_SUFFIXES = frozenset(get_args(Format))


async def download(
    ids: Sequence[str],
    connection: Connection,
    *,
    to: Path,
    format: Format | None,
    overwrite: bool,
    skip_existing: bool,
    timeout: float | None,
    quiet: bool,
) -> int:
    """Download one recording after the other, write a line for each, and return the exit code.

    A signal (Ctrl-C, SIGTERM) leaves the files that are whole, and of the one that is not a `.part` that the next run
    goes on with, if the server offers that.
    """
    if overwrite and skip_existing:
        raise ConfigurationError("--overwrite and --skip-existing are two things to do with a file: give one of them")
    _check_directory(to)
    failed = 0
    async with connection.client() as client:
        with open_display("downloading", quiet=quiet) as display:
            for place, id in enumerate(dict.fromkeys(ids)):
                call = _Download(client, display, place, len(set(ids)), skip_existing=skip_existing)
                try:
                    line = await call.run(id, to, format=format, overwrite=overwrite, timeout=timeout)
                # It knows what of it may be shown: a key that was given as an id may not.
                except InvalidIdError as error:
                    id, line, failed = error.id, {"error": error_record(error)}, failed + 1
                except KallglotError as error:
                    line, failed = {"error": error_record(error)}, failed + 1
                # The file's, not the connection's: those are errors of ours.
                except OSError as error:
                    reason = {"type": type(error).__name__, "message": f"{error.filename}: {error.strerror or error}"}
                    line, failed = {"error": reason}, failed + 1
                # The audio is in its file, whoever reads this.
                if has_output():
                    display.write(encode_line({"id": id, **line}))
    return 1 if failed else 0


def _check_directory(to: Path) -> None:
    if not to.is_dir():
        raise ConfigurationError(f"{to} is no directory: make it, or name another with --to")


class _Download:
    """One recording of several."""

    def __init__(
        self, client: KallglotClient, display: Display, place: int, count: int, *, skip_existing: bool
    ) -> None:
        self._client = client
        self._display = display
        self._place = place
        self._count = count
        self._skips = skip_existing

    async def run(
        self, id: str, directory: Path, *, format: Format | None, overwrite: bool, timeout: float | None
    ) -> dict[str, object]:
        """Return what the line says of it."""
        recording = await self._client.recordings.retrieve(id)
        suffix = format or recording.format
        name = f"{id}.{suffix if suffix in _SUFFIXES else 'audio'}"
        path = directory / name
        # A file has this name once it is whole.
        if self._skips and path.is_file():
            return {"skipped": str(path)}
        got = await self._client.recordings.download(
            recording,
            path,
            format=format,
            overwrite=overwrite,
            timeout=timeout,
            on_progress=self._show,
        )
        return {"download": got}

    def _show(self, received: int, total: int | None) -> None:
        whole = "" if total is None else f" of {total / 1e6:.1f}"
        self._display.update(self._place, self._count, f"{received / 1e6:.1f}{whole} MB")
