"""`kallglot demo`: a few hundred analyses, one rate limit, and the emulator's own count of what it took."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import anyio
import msgspec
from rich.console import Console
from rich.table import Table

from kallglot_async import KallglotClient
from kallglot_async.cli.card import analysis_card
from kallglot_async.cli.progress import Display, open_display, show_progress
from kallglot_async.cli.streams import write_line
from kallglot_async.cli.text import clean, complain
from kallglot_async.emulator import Emulator, Journal, PlanName
from kallglot_async.errors import ConfigurationError, KallglotError
from kallglot_async.models import Analysis, Outcomes
from kallglot_async.models.records import encode_line
from kallglot_async.report import write_report

__all__ = ["SPEED", "DemoReport", "demo_emulator", "run_demo"]

# The plan and the latency are the documented ones; 20 makes the minute of its 150 requests last 3 s, so that 300
# analyses, which need 600 requests (4 windows), take some 12 s. What a user sees is what the real API would show
# in some 4 minutes.
SPEED = 20.0
_PLAN: PlanName = "pro"
_PER_MINUTE = 150  # what that plan allows for analyses
_CREATING = 16  # creates in flight
_COMPONENTS = ("sentiment", "summary", "action_items", "quality", "topics")


class DemoReport(msgspec.Struct, frozen=True, kw_only=True):
    """What the demo found. Everything about requests is from the emulator's journal."""

    analyses: int
    delivered: int
    requests: int
    creates: int
    polls: int
    refused: int
    polls_per_analysis: float
    seconds: float
    speed: float
    errors: dict[str, str]
    sample: Analysis | None
    page: str | None = None


def demo_emulator(*, seed: int) -> Emulator:
    """Return the emulator of the demo, not started yet."""
    return Emulator(plan=_PLAN, seed=seed, speed=SPEED)


async def run_demo(
    emulator: Emulator, *, analyses: int, speed: float, as_json: bool, quiet: bool, report: Path | None = None
) -> int:
    """Create the analyses, wait for all, print the report, and return the exit code.

    Args:
        emulator: Not started yet.
        analyses: How many.
        speed: The emulator's, for the report.
        as_json: Whether the report is one JSON object.
        quiet: Whether no progress is shown.
        report: Where the page about it goes; None for none.
    """
    # Twenty times the time that the limit needs for two requests each; after that it ends, and says so.
    patience = 60.0 + 20 * (2 * analyses / _PER_MINUTE) * 60.0 / speed
    async with emulator:
        client = KallglotClient(emulator.api_key, base_url=emulator.base_url, timeout=patience)
        async with client:
            started = time.monotonic()
            with open_display("creating", quiet=quiet, keeps=True) as display:
                display.say(
                    f"Emulator at {emulator.base_url}: plan {_PLAN}, {_PER_MINUTE} requests a minute for analyses; "
                    f"its time runs {speed:g} times faster."
                )
                ids, errors = await _create(client, analyses, display)
            with open_display("waiting", quiet=quiet, keeps=True) as display:
                outcomes = await client.wait_many(
                    ids, timeout=None, total_timeout=patience, on_progress=show_progress(display)
                )
            seconds = time.monotonic() - started
        found = _report(analyses, outcomes, errors, emulator.journal, seconds, speed)
    if report is not None:
        found = msgspec.structs.replace(found, page=_write_page(outcomes, report))
    if as_json:
        write_line(encode_line(found))
    else:
        console = Console(highlight=False, markup=False, emoji=False)
        _print(found, console)
    return 0 if found.delivered == analyses else 1


def _write_page(outcomes: Outcomes, path: Path) -> str | None:
    """Write the page and return where it is; that it cannot be written takes nothing from what was delivered."""
    try:
        return str(write_report(outcomes, path, title="Kallglot demo"))
    except OSError as error:
        complain(f"no report: cannot write {path}: {error.strerror or error}")
    except ConfigurationError as error:
        complain(f"no report: {error}")
    return None


async def _create(client: KallglotClient, count: int, display: Display) -> tuple[list[str], dict[str, str]]:
    """Create the analyses, some at a time, and return their ids and the errors by session."""
    ids: list[str] = []
    errors: dict[str, str] = {}
    sessions = iter(f"sess_demo{number:06d}" for number in range(1, count + 1))

    async def work() -> None:
        for session in sessions:
            try:
                created = await client.analyses.create(session, analyses=_COMPONENTS)
                ids.append(created.id)
            except KallglotError as error:
                errors[session] = str(error)
            display.update(len(ids) + len(errors), count, f"{len(errors)} failed" if errors else "")

    async with anyio.create_task_group() as group:
        for _ in range(min(_CREATING, count)):
            group.start_soon(work)
    return ids, errors


def _report(
    count: int, outcomes: Outcomes, errors: dict[str, str], journal: Journal, seconds: float, speed: float
) -> DemoReport:
    polls = len(journal.requests(operation="analyses.retrieve"))
    return DemoReport(
        analyses=count,
        delivered=len(outcomes.analyses),
        requests=journal.total,
        creates=len(journal.requests(operation="analyses.create")),
        polls=polls,
        refused=journal.refused,
        polls_per_analysis=round(polls / count, 2),
        seconds=round(seconds, 1),
        speed=speed,
        errors=errors | {id: str(error) for id, error in outcomes.errors.items()},
        sample=max(outcomes.analyses, key=_telling, default=None),
    )


def _telling(analysis: Analysis) -> tuple[int, int, str]:
    """How much an analysis has to show; the id settles a draw, so that a seed shows the same one every time."""
    results = analysis.results
    if results is None:
        return 0, 0, analysis.id
    moments = len(results.sentiment.key_moments) if results.sentiment is not None else 0
    dated = sum(item.due_date is not None for item in results.action_items)
    return moments + dated, len(results.action_items), analysis.id


def _print(report: DemoReport, console: Console) -> None:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    for name, figure in _figures(report):
        table.add_row(name, figure)
    console.print(table)
    for id, message in list(report.errors.items())[:3]:
        console.print(f"not delivered: {clean(id)}: {clean(message)}", soft_wrap=True)
    if report.sample is not None:
        console.print()
        console.print(analysis_card(report.sample, console))
    if report.page is not None:
        console.print(f"\nA report of all {report.delivered}, for a browser: {clean(report.page)}", soft_wrap=True)


def _figures(report: DemoReport) -> Iterator[tuple[str, str]]:
    real = report.seconds * report.speed
    yield "Delivered", f"{report.delivered} of {report.analyses}"
    yield "Requests", f"{report.requests}: {report.creates} to create, {report.polls} to poll"
    yield "Refused", f"{report.refused} (answered 429, as the emulator counted)"
    yield "Polls", f"{report.polls_per_analysis:.2f} for each analysis"
    yield "Time", f"{report.seconds:.1f} s, which stand for {real / 60:.1f} minutes of the API's own time"
