"""What the commands of `kallglot batch` do, and how they tell of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Iterable
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from kallglot_async import BatchFile, BatchReport
from kallglot_async.cli.options import Connection
from kallglot_async.cli.progress import Display, open_display
from kallglot_async.cli.streams import tell, write_line
from kallglot_async.cli.text import clean
from kallglot_async.errors import BatchFileError
from kallglot_async.models.records import encode_line

__all__ = ["run_batch", "show_status"]


async def run_batch(
    path: Path,
    source: Iterable[str] | AsyncIterable[str],
    connection: Connection,
    options: dict[str, Any],
    limits: dict[str, Any],
    *,
    only_listed: bool,
    as_json: bool,
    quiet: bool,
) -> int:
    """Add the ids, do what is left, tell what became of it, and return the exit code."""
    display = open_display("batch", quiet=quiet)
    async with connection.client() as client, client.open_batch(path, **options) as opened:
        try:
            with display:
                # Where nothing was listed, the run is for what the file has.
                if source != ():
                    new = await opened.add(source, only_listed=only_listed)
                    display.say(f"{new} new ids")
                # Else the file has more than what this run is for.
                if not only_listed:
                    before = opened.status()
                    display.update(before.done + before.failed + before.uncertain, before.total, "")
                report = await opened.run(
                    max_in_flight=connection.max_in_flight, on_progress=lambda told: _show(told, display), **limits
                )
        # Outside of the display, which has gone by then: nothing is drawn over the line.
        except asyncio.CancelledError:
            display.say(f"interrupted: {_words(opened.status())}; the same command goes on with it", waits=False)
            raise
    is_fine = report.done == report.total
    if not (is_fine and quiet):
        # To the quiet too: of a job at night, nothing else says why its exit code is 1.
        if report.reason is not None:
            tell(f"ended early: {type(report.reason).__name__}: {clean(report.reason)}")
        # Of those that are listed only, the file cannot tell why they failed.
        words = _words(report, None if only_listed else opened.file)
        tell(f"done: {words}" if report.is_complete else f"not complete: {words}")
    if as_json:
        _print_json({}, report)
    return 0 if is_fine else 1


def show_status(path: Path, *, as_json: bool) -> None:
    """Tell what a batch is for, and how far it has come."""
    opened = BatchFile(path)
    identity, report = opened.identity, opened.status()
    if as_json:
        _print_json({"kind": identity.kind, "request": identity.request}, report)
    else:
        print(clean(f"{path}: {identity}"))
        print(_words(report, opened))


def _show(report: BatchReport, display: Display) -> None:
    note = [f"{report.failed} failed"] if report.failed else []
    note += [f"{report.given_up} given up"] if report.given_up else []
    note += [f"{report.refused} refused"] if report.refused else []
    ended = report.total - report.left
    display.update(ended, report.total, ", ".join(note))


_Shown: TypeAlias = Literal["done", "failed", "given_up", "left", "uncertain"]
_SHOWN: tuple[_Shown, ...] = get_args(_Shown)


def _words(report: BatchReport, file: BatchFile | None = None) -> str:
    """Count, and say what came in the place of an analysis, by what is in the file."""
    counts = []
    for name in _SHOWN:
        if count := getattr(report, name):
            why = _why(file, name) if file is not None and name in {"failed", "given_up"} else ""
            counts.append(f"{count} {name.replace('_', ' ')}{why}")
    return f"{report.total} ids{': ' * bool(counts)}{', '.join(counts)}"


def _why(file: BatchFile, state: _Shown) -> str:
    try:
        kinds = file.reasons(state)
    except BatchFileError:
        # The counts are right all the same; an export says which record cannot be read.
        return ""
    return f" ({', '.join(f'{number} {clean(kind)}' for kind, number in kinds.items())})" if kinds else ""


def _print_json(head: dict[str, object], report: BatchReport) -> None:
    figures = {name: getattr(report, name) for name in ("total", *_SHOWN)}
    if report.elapsed:
        figures |= {"refused": report.refused, "elapsed": round(report.elapsed, 3), "reason": report.reason}
    write_line(encode_line({**head, **figures}))
