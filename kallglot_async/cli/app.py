"""The commands of `kallglot` and their help texts. Nothing here loads the transport before a command runs."""

from __future__ import annotations

from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter
from cyclopts.validators import Number

from kallglot_async import __version__
from kallglot_async.cli.batch_commands import batch as batch_commands
from kallglot_async.cli.options import Connection, File, Flag, Ids, Limits, Name, Names, Quiet, Seconds
from kallglot_async.cli.streams import has_output
from kallglot_async.cli.webhook import webhook
from kallglot_async.errors import ConfigurationError

__all__ = ["app"]

# Types of the emulator and of the tables, restated: `--help` need not load those. A test compares them.
Revision = Literal["a", "b"]
Shell = Literal["bash", "zsh", "fish"]
Table = Literal["analyses", "action_items", "topics", "segments", "key_moments", "all"]
TableFormat = Literal["parquet", "csv", "arrow"]

_EPILOGUE = """Exit codes: 0 all fine, 1 some ids gave nothing, 2 usage, configuration or a file, 130 Ctrl-C,
143 SIGTERM, 129 SIGHUP, 141 nobody reads the output.

Environment: KALLGLOT_API_KEY, KALLGLOT_BASE_URL, KALLGLOT_RATE_LIMIT_URL; KALLGLOT_LOG=debug shows each request.
Without an account: kallglot demo, kallglot emulator."""

app = App(
    name="kallglot",
    help="Fetch and wait for Kallglot call analyses.",
    help_epilogue=_EPILOGUE,
    help_format="markdown",
    version=__version__,
    result_action="return_value",
    suppress_keyboard_interrupt=False,
)

app.command(webhook)
app.command(batch_commands)

_FROM_ENVIRONMENT = Connection()
_DOCUMENTED = Limits()
_SOURCES = "[OPTIONS] IDS... | --file FILE | -"
_SESSIONS = "[OPTIONS] SESSIONS... | --file FILE | -"

Faults = Annotated[list[str] | None, Parameter(metavar="KIND[:KEY=VALUE,...]", negative=(), show_default=False)]
Stored = Annotated[Path, Parameter(name=["--file", "-f"], show_default=False)]


@app.command(usage=f"Usage: kallglot get {_SOURCES}")
def get(
    *ids: Ids,
    file: File = None,
    timeout: Seconds = 30.0,
    quiet: Quiet = False,
    connection: Connection = _FROM_ENVIRONMENT,
) -> int:
    """Fetch analyses as they stand now.

    Prints one JSON line for each id, as it arrives: {"id", "analysis" or "error", "polls", "elapsed"}.

    Args:
        ids: Ids of analyses, ana_... or anl_...; - reads them from standard input.
        file: A file with an id in each line; blank lines and those that start with # are skipped.
        timeout: Seconds for each id, once its first request may go; "none" for ever.
        quiet: Show no progress.
        connection: How to reach the API.
    """
    from kallglot_async.cli import get_and_wait
    from kallglot_async.cli.ids import open_source

    with open_source(ids, file) as source:
        return _run(get_and_wait.get(source, connection, timeout=timeout, quiet=quiet))


@app.command(usage=f"Usage: kallglot wait {_SOURCES}")
def wait(
    *ids: Ids,
    file: File = None,
    timeout: Seconds = 120.0,
    total_timeout: Seconds = None,
    quiet: Quiet = False,
    connection: Connection = _FROM_ENVIRONMENT,
) -> int:
    """Wait until analyses have settled.

    Prints one JSON line for each id, as it settles: {"id", "analysis" or "error", "polls", "elapsed"}. After
    Ctrl-C everything settled so far has been printed.

    Args:
        ids: Ids of analyses, ana_... or anl_...; - reads them from standard input as there is room for more.
        file: A file with an id in each line; blank lines and those that start with # are skipped.
        timeout: Seconds for each id, from its first poll; "none" for ever.
        total_timeout: Seconds for everything; what was read and is left then is reported with a WaitTimeoutError.
        quiet: Show no progress.
        connection: How to reach the API.
    """
    from kallglot_async.cli import get_and_wait
    from kallglot_async.cli.ids import open_source

    with open_source(ids, file) as source:
        return _run(get_and_wait.wait(source, connection, timeout=timeout, total_timeout=total_timeout, quiet=quiet))


@app.command(usage=f"Usage: kallglot analyze {_SESSIONS}")
def analyze(
    *sessions: Annotated[str, Parameter(name="SESSIONS", show_default=False)],
    file: File = None,
    analyses: Names = None,
    language: Name = None,
    include: Names = None,
    profile: Name = None,
    batch: Name = None,
    timeout: Seconds = 120.0,
    total_timeout: Seconds = None,
    quiet: Quiet = False,
    connection: Connection = _FROM_ENVIRONMENT,
) -> int:
    """Request the analyses of finished sessions and wait until they have settled.

    Prints one JSON line for each session, as its analysis settles: {"id", "analysis" or "error", "polls", "elapsed"},
    where "id" is the session's. After Ctrl-C everything settled so far has been printed. Without --analyses each
    request that succeeds costs an API credit.

    Args:
        sessions: Ids of sessions, sess_...; - reads them from standard input as there is room for more.
        file: A file with an id in each line; blank lines and those that start with # are skipped.
        analyses: Components, separated by commas (revision A): sentiment, summary, action_items, quality, topics,
            compliance.
        language: Output language (revision A).
        include: Components, separated by commas (revision B): summary, sentiment, compliance, keywords, performance.
        profile: Analysis profile (revision B).
        batch: A name for this batch. Run again under the same name within a day, it creates and costs nothing twice.
            Default: a new name, which is said at the start, or, with --quiet, where it does not come to its end.
        timeout: Seconds for each analysis, from its first poll; "none" for ever.
        total_timeout: Seconds for everything.
        quiet: Show no progress.
        connection: How to reach the API.
    """
    from kallglot_async.cli import analyze as command
    from kallglot_async.cli.ids import open_source

    request = command.wish(analyses, language, include, profile)
    with open_source(sessions, file) as source:
        return _run(
            command.analyze(
                source,
                connection,
                request=request,
                batch=batch,
                timeout=timeout,
                total_timeout=total_timeout,
                quiet=quiet,
            )
        )


@app.command
def show(
    id: str,
    /,
    *,
    json: Flag = False,
    timeout: Seconds = 30.0,
    connection: Connection = _FROM_ENVIRONMENT,
) -> int:
    """Show an analysis as it stands now, for people: summary, sentiment, action items and all the rest.

    Args:
        id: Id of an analysis, ana_... or anl_...
        json: Print one JSON line instead, {"id", "analysis" or "error"}.
        timeout: Seconds for the whole call; "none" for ever.
        connection: How to reach the API.
    """
    from kallglot_async.cli.show import show as run_show

    return _run(run_show(id, connection, timeout=timeout, as_json=json))


@app.command
def transcript(
    session: str,
    /,
    *,
    format: Literal["json", "text", "srt", "vtt"] = "json",
    timeout: Seconds = 30.0,
    connection: Connection = _FROM_ENVIRONMENT,
) -> int:
    """Print what was said in a session.

    As JSON, one line: {"id", "transcript" and "lines", or "error"}. Text and subtitles are revision A's alone.

    Args:
        session: Id of a session, sess_...
        format: JSON, plain text, or subtitles.
        timeout: Seconds for the whole call; "none" for ever.
        connection: How to reach the API.
    """
    from kallglot_async.cli.transcript import transcript as run_transcript

    return _run(run_transcript(session, connection, format=format, timeout=timeout))


recording = App(name="recording", help="Fetch the audio of recordings.")
app.command(recording)


@recording.command(usage="Usage: kallglot recording download [OPTIONS] IDS...")
def download(
    *ids: Annotated[str, Parameter(name="IDS", required=True)],
    to: Annotated[Path, Parameter(metavar="DIR")] = Path(),
    format: Literal["mp3", "wav", "ogg"] | None = None,
    overwrite: Flag = False,
    skip_existing: Flag = False,
    timeout: Seconds = None,
    quiet: Quiet = False,
    connection: Connection = _FROM_ENVIRONMENT,
) -> int:
    """Download recordings, each into a file that is named after it.

    Prints one JSON line for each id: {"id", "download", "skipped" or "error"}. A file appears once it is whole; what
    was interrupted stays as NAME.part, and the next run goes on with it. With --skip-existing the same command can be
    run again for what is missing.

    Args:
        ids: Ids of recordings, rec_...
        to: The directory, which must exist.
        format: Another format than the recording has (revision A).
        overwrite: Replace files that exist.
        skip_existing: Leave files that exist as they are, and call that fine. Without it and --overwrite, each is an
            error.
        timeout: Seconds for each download; default: as long as bytes keep coming.
        quiet: Show no progress.
        connection: How to reach the API.
    """
    from kallglot_async.cli.recording import download as run_download

    call = run_download(
        ids,
        connection,
        to=to,
        format=format,
        overwrite=overwrite,
        skip_existing=skip_existing,
        timeout=timeout,
        quiet=quiet,
    )
    return _run(call, needs_output=False)


@app.command
def emulator(
    *,
    port: Annotated[int, Parameter(metavar="N", validator=Number(gte=0, lte=65535))] = 0,
    seed: Annotated[int, Parameter(metavar="N")] = 0,
    latency_median: Annotated[float, Parameter(metavar="SECONDS", validator=Number(gte=0))] = 25.0,
    latency_sigma: Annotated[float, Parameter(metavar="SIGMA", validator=Number(gte=0, lte=10))] = 0.6,
    failure_rate: Annotated[float, Parameter(metavar="SHARE")] = 0.0,
    speed: Annotated[float, Parameter(metavar="FACTOR")] = 1.0,
    revision: Revision = "a",
    credits: Annotated[int | None, Parameter(metavar="N")] = None,
    adopt_unknown: Flag = False,
    analyses: Annotated[int, Parameter(metavar="N", validator=Number(gte=0))] = 0,
    webhook_url: Annotated[str | None, Parameter(metavar="URL")] = None,
    webhook_secret: Annotated[str, Parameter(metavar="TEXT")] = "emulated-webhook-secret",  # noqa: S107  # it guards nothing
    fault: Faults = None,
    json: Flag = False,
    quiet: Quiet = False,
    limits: Limits = _DOCUMENTED,
) -> int:
    """Run an emulator of the API on this machine until Ctrl-C.

    Prints where it is and which key it takes. Being stopped by Ctrl-C or SIGTERM is how it ends: exit code 0.

    Args:
        port: Port on 127.0.0.1; 0 takes a free one.
        seed: Decides ids, durations, failures and contents.
        latency_median: Seconds in which half of the analyses are ready; 0: at once.
        latency_sigma: Spread of the durations: standard deviation of their logarithm.
        failure_rate: Share of analyses that end as failed, 0 to 1.
        speed: Divides rate-limit windows and durations: 20 makes a minute last 3 s.
        revision: What a create request that leaves it open speaks; ids are ana_... (a) or anl_... (b).
        credits: API credits before 402; default: never used up.
        adopt_unknown: Take any well-formed id for one that was requested when it is first asked for.
        analyses: Start with that many analyses under way, and print their ids.
        webhook_url: Where the events of all analyses go: an endpoint on this machine, such as
            http://127.0.0.1:8000/webhooks/kallglot. Default: nowhere.
        webhook_secret: What these are signed with.
        fault: What goes wrong, and for which requests; may be given several times. For example
            status:status=503,rate=0.2 or reset:times=3,operation=analyses.retrieve. An unknown kind is
            answered with the list of kinds.
        json: Say where it is as one JSON line.
        quiet: Say nothing when it ends.
        limits: How requests are limited.
    """
    from kallglot_async.cli.serve import choices_of_fault, serve
    from kallglot_async.emulator import Emulator, Latency
    from kallglot_async.emulator.faults.parsing import parse_fault

    try:
        # A median of 0 has no logarithm.
        law = Latency.log_normal(median=latency_median, sigma=latency_sigma) if latency_median else Latency.immediate()
        server = Emulator(
            port=port,
            seed=seed,
            latency=law,
            failure_rate=failure_rate,
            speed=speed,
            revision=revision,
            credits=credits,
            adopt_unknown=adopt_unknown,
            webhook_url=webhook_url,
            webhook_secret=webhook_secret,
            faults=[parse_fault(text) for text in fault or ()],
            **limits.options(),
        )
    except ValueError as error:
        raise ConfigurationError(f"{error}{choices_of_fault(str(error))}") from None
    try:
        return _run(serve(server, analyses=analyses, revision=revision, as_json=json, quiet=quiet))
    # Where the event loop handles no signals, as on Windows.
    except KeyboardInterrupt:
        return 0
    except OSError as error:
        # Nobody reads where it is: that is not the port's doing.
        if isinstance(error, BrokenPipeError):
            raise
        raise ConfigurationError(f"cannot listen on port {port}: {error.strerror or error}") from None


@app.command
def demo(
    *,
    analyses: Annotated[int, Parameter(metavar="N", validator=Number(gte=1))] = 300,
    seed: Annotated[int, Parameter(metavar="N")] = 0,
    report: Annotated[Path | None, Parameter(metavar="FILE", show_default=False)] = None,
    json: Flag = False,
    quiet: Quiet = False,
) -> int:
    """Create some hundred analyses on an emulator and wait for all, with time running 20 times faster.

    Prints what was delivered, how many requests that took, how many were refused, and one of the analyses, and writes
    a report of all that a browser shows. Needs no account and no network. Exit code 1 if anything was not delivered.

    Args:
        analyses: How many.
        seed: Decides ids, durations and contents.
        report: The file of the report. Default: kallglot-demo.html in this directory; none with --json.
        json: Print one JSON object instead.
        quiet: Show no progress.
    """
    from kallglot_async.cli.demo import SPEED, demo_emulator, run_demo

    if report is None and not json:
        report = Path("kallglot-demo.html")
    emulator = demo_emulator(seed=seed)
    return _run(run_demo(emulator, analyses=analyses, speed=SPEED, report=report, as_json=json, quiet=quiet))


@app.command(usage="Usage: kallglot report [OPTIONS] FILE | -")
def report(
    file: Stored,
    *,
    output: Annotated[Path, Parameter(name=["--output", "-o"], metavar="FILE")] = Path("report.html"),
    title: Annotated[str, Parameter(metavar="TEXT")] = "Call analyses",
    open: Flag = False,
    quiet: Quiet = False,
) -> int:
    """Make a page for people of outcomes that get, wait or analyze have printed.

    One self-contained HTML file: counts, sentiment, quality, topics, what is to be done, failures, worst and best
    calls. Needs no network and no key.

    Args:
        file: The file of JSON lines; - reads them from standard input.
        output: The page; - is standard output. A file of that name is replaced, once the new one is whole.
        title: The page's heading.
        open: Show it in the browser; not for standard output.
        quiet: Do not say where it is.
    """
    from kallglot_async.cli.report import report as make

    return make(file, output, title=title, show=open, quiet=quiet)


@app.command(usage="Usage: kallglot export [OPTIONS] FILE | - --to OUT")
def export(
    file: Stored,
    *,
    to: Annotated[Path, Parameter(name=["--to"], metavar="OUT")],
    table: Annotated[list[Table] | None, Parameter(negative=(), show_default=False)] = None,
    format: TableFormat | None = None,
    exact: Flag = False,
    quiet: Quiet = False,
) -> int:
    """Make tables of outcomes that get, wait or analyze have printed: Parquet, Arrow or CSV.

    Reads them once, as a stream, in bounded memory; each file is there whole or not at all. Parquet and Arrow need the
    extra arrow. Needs no network and no key.

    Args:
        file: The file of JSON lines; - reads them from standard input.
        to: The table, for example out.parquet; - is standard output, and needs --format. A file of that name is
            replaced, once the new one is whole. Of several tables, the first is in it, and the others are beside it:
            out.topics.parquet.
        table: Which one; may be given several times. Default: analyses, of which each outcome is a row, failures too.
        format: Default: what the name of OUT ends with.
        exact: In CSV, leave texts as they are that a spreadsheet would take for formulas; they get an apostrophe in
            front otherwise.
        quiet: Do not say where they are.
    """
    from kallglot_async.cli.export import export as make

    return make(file, to, tables=table or ["analyses"], format=format, exact=exact, quiet=quiet)


@app.command
def completion(shell: Shell, /) -> int:
    """Print a script that makes a shell complete the commands and options of kallglot.

    For bash: kallglot completion bash > ~/.local/share/bash-completion/completions/kallglot

    Args:
        shell: Whose script.
    """
    from kallglot_async.cli.completion import script_for

    print(script_for(app, shell))
    return 0


def _run(command: Coroutine[Any, Any, int], *, needs_output: bool = True) -> int:
    """Run a command's coroutine; Ctrl-C and its like cancel it.

    Raises:
        ConfigurationError: There is no standard output, and what the command would fetch, or pay for, goes there.
    """
    from kallglot_async.cli.signals import run_until_signal

    if needs_output and not has_output():
        # Else Python would warn that it was never awaited.
        command.close()
        raise ConfigurationError("standard output is closed: there is nowhere to write to")
    return run_until_signal(command)
