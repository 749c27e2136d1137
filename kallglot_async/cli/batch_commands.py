"""The commands of `kallglot batch` and their help: a batch in a file, which the same command goes on with."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from kallglot_async.cli.options import Connection, File, Flag, Ids, Name, Names, Quiet, Seconds
from kallglot_async.cli.streams import STDOUT, tell, write_line
from kallglot_async.cli.text import clean
from kallglot_async.errors import ConfigurationError

__all__ = ["batch"]

batch = App(name="batch", help="Run a batch whose ids, progress and results are one file, and go on with it.")

Kind = Literal["wait", "retrieve", "analyze"]
EndState = Literal["done", "failed", "given_up", "uncertain", "left"]

_FROM_ENVIRONMENT = Connection()
_ALL = "IDS... | --file IDS | -"

Batch = Annotated[Path, Parameter(name="BATCH", show_default=False)]


@batch.command(usage=f"Usage: kallglot batch run [OPTIONS] BATCH [{_ALL}]")
def run(
    path: Batch,
    /,
    *ids: Ids,
    file: File = None,
    kind: Annotated[Kind | None, Parameter(show_default=False)] = None,
    analyses: Names = None,
    language: Name = None,
    include: Names = None,
    profile: Name = None,
    only_listed: Flag = False,
    pay_again: Flag = False,
    timeout: Seconds = 120.0,
    total_timeout: Seconds = None,
    json: Flag = False,
    quiet: Quiet = False,
    connection: Connection = _FROM_ENVIRONMENT,
) -> int:
    """Add ids to a batch and do what is left of it.

    The same command again goes on where the last one ended, whatever ended it, and does nothing twice. The results lie
    in the file: see status, export and report. It holds call text, and only its owner may read it.

    Args:
        path: The file of the batch; where there is none, it is made.
        ids: Ids of analyses, or of sessions where analyses are requested; none: those of the file.
        file: A file with an id in each line; blank lines and those that start with # are skipped.
        kind: wait until analyses have settled, retrieve them as they stand, or analyze sessions. Default: what the file
            was made for; for a new one wait, or analyze where something is requested.
        analyses: Request these components, separated by commas (revision A).
        language: Output language (revision A).
        include: Request these components, separated by commas (revision B); each costs an API credit.
        profile: Analysis profile (revision B).
        only_listed: Leave out what is in the file and not among the ids given now.
        pay_again: Request anew what was interrupted more than 24 hours ago, and may have been paid for.
        timeout: Seconds for each id; "none" for ever. What is given up is taken up by the next run.
        total_timeout: Seconds for everything.
        json: Print what became of the batch as one JSON line.
        quiet: Show no progress, and say how it ended only where not all ids have their analysis.
        connection: How to reach the API.
    """
    from kallglot_async.cli.analyze import wish
    from kallglot_async.cli.durable import run_batch
    from kallglot_async.cli.ids import open_source
    from kallglot_async.cli.signals import run_until_signal

    # Asked for only where something is named: a request without options is one too, and the file may be for another.
    options: dict[str, Any] = {"kind": kind}
    if any(option is not None for option in (analyses, language, include, profile)):
        options |= wish(analyses, language, include, profile)
    limits = {"timeout": timeout, "total_timeout": total_timeout, "pay_again": pay_again}
    if not ids and file is None:
        if only_listed:
            raise ConfigurationError("--only-listed needs a list: give IDs, or --file FILE, or - for standard input")
        # A slip in its name must not look like a batch that is done.
        if not path.exists():
            raise ConfigurationError(f"there is no file {path}: give IDs, or --file FILE, or - for standard input")
    listed = open_source(ids, file) if ids or file is not None else nullcontext(())
    with listed as source:
        return run_until_signal(
            run_batch(path, source, connection, options, limits, only_listed=only_listed, as_json=json, quiet=quiet)
        )


@batch.command
def status(path: Batch, /, *, json: Flag = False) -> int:
    """Tell how far a batch has come, also while it runs.

    Args:
        path: The file of the batch.
        json: Print one JSON object instead.
    """
    from kallglot_async.cli.durable import show_status

    show_status(path, as_json=json)
    return 0


@batch.command
def retry(
    path: Batch,
    /,
    *,
    state: Literal["failed", "uncertain"] = "failed",
    failed: Flag = False,
    quiet: Quiet = False,
) -> int:
    """Have the next run take up what has failed for good. What was given up it takes up in any case.

    Where analyses are requested, those that failed are requested, and paid for, anew.

    Args:
        path: The file of the batch.
        state: Which ones; uncertain may pay again for what was paid for.
        failed: Those that have failed: the default, in words.
        quiet: Do not say how many they are.
    """
    from kallglot_async import BatchFile

    _check_one(state, failed=failed)
    number = BatchFile(path).retry(state)
    if not quiet:
        tell(f"{number} ids are taken up by the next run")
    return 0


@batch.command
def export(
    path: Batch,
    /,
    *,
    to: Annotated[Path | None, Parameter(metavar="FILE", show_default=False)] = None,
    state: EndState | None = None,
    failed: Flag = False,
    quiet: Quiet = False,
) -> int:
    """Write the results of a batch into a file, which is there whole or not at all, or to standard output.

    Args:
        path: The file of the batch.
        to: Where to; its name ends with .jsonl, .csv, .parquet, .arrow or .html. Default: JSON lines to standard
            output, {"id", "analysis" or "error", "polls", "elapsed"}.
        state: Only those of ids in one state. Default: all that have one; left have none yet.
        failed: Only what has failed for good: --state failed.
        quiet: Do not say how many they are.
    """
    from kallglot_async import BatchFile
    from kallglot_async.cli.signals import signals_interrupt

    _check_one(state, failed=failed)
    chosen = "failed" if failed else state
    opened = BatchFile(path)
    with signals_interrupt():
        if to is None or to.as_posix() == STDOUT:
            for outcome in opened.outcomes(chosen):
                write_line(outcome.to_json() + b"\n")
            return 0
        number = opened.export(to, state=chosen)
    if not quiet:
        tell(f"{number} outcomes: {clean(to)}")
    return 0


@batch.command
def report(
    path: Batch,
    /,
    *,
    to: Annotated[Path, Parameter(metavar="FILE")] = Path("report.html"),
    quiet: Quiet = False,
) -> int:
    """Write a page that shows the results of a batch to people.

    Args:
        path: The file of the batch.
        to: The page; its name ends with .html, or is - for standard output.
        quiet: Do not say where it is.
    """
    from kallglot_async import BatchFile
    from kallglot_async.cli.signals import signals_interrupt
    from kallglot_async.report import write_report

    is_output = to.as_posix() == STDOUT
    if to.suffix.lower() != ".html" and not is_output:
        raise ConfigurationError(f"a report is a page, and {to} does not end with .html: name another file")
    opened = BatchFile(path)
    with signals_interrupt():
        if is_output:
            write_report(opened.outcomes(), to)
        else:
            opened.export(to)
    if not quiet and not is_output:
        tell(f"report: {clean(to.absolute())}")
    return 0


def _check_one(state: str | None, *, failed: bool) -> None:
    if failed and state not in {None, "failed"}:
        raise ConfigurationError(f"--failed and --state {state} are two states: give one of them")
