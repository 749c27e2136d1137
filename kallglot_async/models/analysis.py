"""`Analysis`: one public value for both revisions of the contract."""

from __future__ import annotations

from typing import Literal

from kallglot_async.models._base import JSONValue, Model, OpenEnum, Timestamp, one_line
from kallglot_async.models.meta import Result
from kallglot_async.models.report import Report
from kallglot_async.models.results import Results

__all__ = ["SETTLED", "Analysis", "AnalysisStatus", "FailureDetail"]


class AnalysisStatus(OpenEnum):
    """Where an analysis stands. Unknown texts are kept and mean "not settled yet"."""

    QUEUED = "queued"
    PROCESSING = "processing"
    COMPLETE = "complete"
    COMPLETED = "completed"
    FAILED = "failed"


# Revision A says `complete`, revision B `completed`; neither is known to say the other's.
_COMPLETE = frozenset({AnalysisStatus.COMPLETE, AnalysisStatus.COMPLETED})
SETTLED = _COMPLETE | {AnalysisStatus.FAILED}


class FailureDetail(Model, frozen=True, kw_only=True):
    """Revision A's explanation of a failure. Keys beyond `message` are undocumented, and so is what they hold."""

    message: str | None = None
    code: JSONValue = None


class Analysis(Result, frozen=True, kw_only=True):
    """The analysis of one call, in either revision.

    What both revisions have carries one name. `results` is revision A's nested object (`ana_` ids),
    `report` holds revision B's parts (`anl_` ids); the other one is None. What is not there yet is
    None. Timestamps are aware; one that cannot be read is None.

    `repr`, also rich's, shows identity and status only, so that call text reaches no log by accident. A notebook
    that is asked to show an analysis shows its results.

    Attributes:
        id: The analysis id.
        status: The status as the API spells it; `is_settled` and its siblings read it for both revisions.
        session_id: The session that was analysed.
        object: Always `analysis`.
        results: Revision A's results.
        report: Revision B's parts.
        error: Why it failed: an object with a `message` (A) or a plain text (B); see `error_message`.
        created_at: When it was requested.
        completed_at: When it was finished.
        estimated_completion: A's create response: when it is expected to be finished.
        analyses: A's create response: the requested components.
        language: A's create response: the output language.
    """

    id: str
    object: Literal["analysis"]
    status: AnalysisStatus
    # From here on nothing is required: an analysis that lacks a field is worth more to its reader than an error.
    session_id: str | None = None
    results: Results | None = None
    report: Report | None = None
    error: FailureDetail | str | None = None
    created_at: Timestamp | None = None
    completed_at: Timestamp | None = None
    estimated_completion: Timestamp | None = None
    analyses: tuple[str, ...] = ()
    language: str | None = None

    @property
    def is_complete(self) -> bool:
        """Whether it finished successfully (`complete` or `completed`)."""
        return self.status in _COMPLETE

    @property
    def is_failed(self) -> bool:
        """Whether it ended without results."""
        return self.status == AnalysisStatus.FAILED

    @property
    def is_settled(self) -> bool:
        """Whether it is complete or failed. An unknown status is not settled."""
        return self.status in SETTLED

    @property
    def error_message(self) -> str | None:
        """The explanation of a failure, in either revision."""
        return self.error.message if isinstance(self.error, FailureDetail) else self.error

    @property
    def summary_text(self) -> str | None:
        """The summary in one text: A's `summary.brief`, B's `summary`."""
        if self.results is not None and self.results.summary is not None:
            return self.results.summary.brief
        return self.report.summary if self.report is not None else None

    def __repr__(self) -> str:
        return one_line(f"<Analysis {self.id} {self.status} session={self.session_id}>")

    def __rich_repr__(self) -> list[tuple[str, str | None]]:
        """Show rich, and its tracebacks with local variables, what `repr` shows."""
        return [("id", self.id), ("status", str(self.status)), ("session_id", self.session_id)]

    def _repr_html_(self) -> str:
        """Return the analysis as a table, for notebooks. Everything from the server is escaped."""
        from kallglot_async.models._html import analysis_html

        return analysis_html(self)
