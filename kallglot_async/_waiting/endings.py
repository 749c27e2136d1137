"""What is told of an id when the wait for it is over."""

from __future__ import annotations

from kallglot_async import _clock, errors
from kallglot_async._config import Secret
from kallglot_async._core.api.answers import one_line
from kallglot_async._core.polling.pending import Entry
from kallglot_async._wire.pipeline import Pipeline
from kallglot_async.models import Analysis, Outcome, SettledEvent

__all__ = ["analysis_failed", "elapsed_of", "not_attempted", "polls_of", "settled_at_once", "timed_out"]

_WORTH_TELLING = 1.0  # seconds that a limit is spent: less is the usual pace
_LONGEST_REASON = 200  # characters of the API's reason for a failure


def analysis_failed(analysis: Analysis, key: Secret) -> errors.AnalysisFailedError:
    """Return the error for an analysis that has failed, with the API's reason in its text."""
    reason = one_line(analysis.error_message, key, longest=_LONGEST_REASON)
    text = f"analysis {analysis.id} failed{': ' * bool(reason)}{reason or ''}"
    return errors.AnalysisFailedError(text, analysis=analysis)


def settled_at_once(created: Analysis, pipeline: Pipeline) -> Outcome | None:
    """Return the outcome of what the answer to its create shows as settled, and say so; None: it is waited for.

    A create may be answered with what became of an earlier one, or by a server that is quick. That answer is not
    documented to have results: where it has none, or does not say of which session it is, the analysis is fetched.
    """
    has_results = created.results is not None or created.report is not None
    if created.session_id is None or not (created.is_failed or (created.is_complete and has_results)):
        return None
    failure = analysis_failed(created, pipeline.key) if created.is_failed else None
    name = None if failure is None else type(failure).__name__
    pipeline.observer.emit(SettledEvent, id=created.id, error=name, polls=0, elapsed=0.0)
    return Outcome(id=created.id, analysis=None if failure else created, error=failure)


def polls_of(entry: Entry | None) -> int:
    """Return how often an id was polled."""
    return entry.polls if entry is not None else 0


def elapsed_of(entry: Entry | None) -> float:
    """Return the seconds since the first poll of an id; 0.0 where there was none."""
    return 0.0 if entry is None else entry.elapsed(_clock.now())


def timed_out(
    id: str, entry: Entry | None, *, retry_after: float | None = None, closed_for: float = 0.0
) -> errors.WaitTimeoutError:
    """Return the error for an id whose time is over, with what its last poll showed.

    Args:
        id: The id.
        entry: What is known of it.
        retry_after: Seconds that a refusal's pause still has to run, where that is why.
        closed_for: Seconds until the rate limit lets anything go at all.
    """
    polls, elapsed = polls_of(entry), elapsed_of(entry)
    status = entry.last_status if entry is not None else None
    is_seen = entry is not None and entry.polls > 0 and entry.seen_at is not None
    seen = f"last seen {status}" if status is not None else "last seen running" if is_seen else "never answered"
    if entry is not None and entry.trouble is not None:
        seen += f"; its last poll failed: {entry.trouble.history[-1]}"
    if entry is not None and entry.refusals:
        seen += f"; polls refused for the rate limit: {entry.refusals}"
    if retry_after is not None:
        seen += f"; the rate limit allows the next poll in {retry_after:.0f} s"
    elif closed_for >= _WORTH_TELLING:
        seen += f"; the rate limit is spent for another {closed_for:.0f} s"
    return errors.WaitTimeoutError(
        f"analysis {id} was not settled after {elapsed:.1f} s and {polls} poll{'s' * (polls != 1)} ({seen}); "
        "wait for it again",
        id=id,
        last_status=status,
        polls=polls,
        elapsed=elapsed,
        retry_after=retry_after,
    )


def not_attempted(id: str, reason: errors.KallglotError) -> errors.NotAttemptedError:
    """Return the error of an id that did not get its turn."""
    return errors.NotAttemptedError(
        f"{id} was not attempted: the batch ended with {type(reason).__name__}", id=id, reason=reason
    )
