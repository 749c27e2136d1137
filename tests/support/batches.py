"""Batches of outcomes as the emulator tells them: both revisions, failures, over as many days as wanted."""

import datetime
from collections.abc import Iterable, Iterator
from typing import Any, get_args

import msgspec

from kallglot_async.emulator.analyses.results import ComponentB, components_a, failure_message, parts_b
from kallglot_async.emulator.calls.story import Story
from kallglot_async.errors import AnalysisFailedError, NotFoundError, WaitTimeoutError
from kallglot_async.models import Analysis, Outcome
from kallglot_async.report import report_html

COMPONENTS_A = ("sentiment", "summary", "action_items", "quality", "topics")
FIRST_DAY = datetime.datetime(2026, 3, 2, 9, tzinfo=datetime.UTC)
TODAY = datetime.date(2026, 3, 20)


def outcomes(count: int, *, days: int = 1, revisions: str = "a", failures: bool = True) -> Iterator[Outcome]:
    """Give that many outcomes; about one in thirty has no analysis, for one of three reasons."""
    for number in range(count):
        yield outcome(
            number,
            moment=FIRST_DAY + datetime.timedelta(days=number * days // count, seconds=number % 30_000),
            revision=revisions[number % len(revisions)],
            fails=failures and number % 29 == 7,
        )


def outcome(number: int, *, moment: datetime.datetime, revision: str, fails: bool) -> Outcome:
    """One outcome; the number decides everything that is told."""
    prefix = {"a": "ana_", "b": "anl_"}[revision]
    id = f"{prefix}01BATCH{number:08d}"
    polls, elapsed = 1 + number % 3, 2.5 + number % 40
    if fails and number % 3:
        error = [
            WaitTimeoutError("still processing after 120 s", id=id, last_status="processing", polls=polls),
            NotFoundError("no such analysis (404 not_found)", status=404, code="not_found", request_id=f"req_{number}"),
        ][number % 2]
        return Outcome(id=id, error=error, polls=polls, elapsed=elapsed)
    body: dict[str, Any] = {
        "id": id,
        "object": "analysis",
        "session_id": f"sess_{number:012d}",
        "created_at": moment,
        "completed_at": moment + datetime.timedelta(seconds=elapsed),
    }
    story = Story(7, id, moment.date())
    if fails:
        failed = msgspec.convert({**body, "status": "failed", "error": {"message": failure_message(7, id)}}, Analysis)
        error = AnalysisFailedError(f"{id} failed: {failed.error_message}", analysis=failed)
        return Outcome(id=id, error=error, polls=polls, elapsed=elapsed)
    if revision == "a":
        analysis = msgspec.convert(
            {**body, "status": "complete", "results": components_a(story, COMPONENTS_A)}, Analysis
        )
    else:
        analysis = msgspec.convert(
            {**body, "status": "completed", "report": {"profile": "default", **parts_b(story, get_args(ComponentB))}},
            Analysis,
        )
    return Outcome(id=id, analysis=analysis, polls=polls, elapsed=elapsed)


def page(outcomes: Iterable[Outcome], **options: Any) -> str:
    """Return the report of a batch, as seen on that day."""
    return report_html(outcomes, **{"today": TODAY} | options)
