"""What became of each id of a batch, and how far a batch has come."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from io import BufferedIOBase
from os import PathLike
from types import SimpleNamespace
from typing import IO, TYPE_CHECKING, Literal, Self, TypeAlias, overload

from kallglot_async.errors import KallglotError
from kallglot_async.models._base import JSONValue, KnownToPydantic, Model
from kallglot_async.models.analysis import Analysis
from kallglot_async.models.rate_limit import RateLimitState

if TYPE_CHECKING:
    import pyarrow
else:
    # So that hints can be had without the extra, and without loading it.
    pyarrow = SimpleNamespace(Table=object)

__all__ = ["Lines", "Outcome", "Outcomes", "Progress", "TableName"]

Lines: TypeAlias = str | PathLike[str] | IO[bytes] | IO[str] | BufferedIOBase
"""A file of lines: its path, or a file object; those of `gzip.open` are no `IO` to type checkers."""

TableName: TypeAlias = Literal["analyses", "action_items", "topics", "segments", "key_moments"]


class Outcome(Model, frozen=True, kw_only=True):
    """What became of one id: exactly one of `analysis` and `error` is set.

    Attributes:
        id: The id as it was given; `<type>` for what is no text. From `analyze_many` it is the session's.
        analysis: The analysis, or None.
        error: Why there is none, or None. A failed analysis is an `AnalysisFailedError` that carries it.
        polls: How often it was asked for, failed requests included and those refused for rate not. Requesting it, as
            `analyze_many` does, is not asking for it.
        elapsed: Seconds from the first of those to its end; 0.0 where there was none.
    """

    id: str
    analysis: Analysis | None = None
    error: KallglotError | None = None
    polls: int = 0
    elapsed: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether there is an analysis."""
        return self.error is None

    def unwrap(self) -> Analysis:
        """Return the analysis.

        Raises:
            KallglotError: The error of this outcome.
        """
        if self.error is not None:
            raise self.error
        if self.analysis is None:
            raise KallglotError(f"the outcome of {self.id} holds neither an analysis nor an error")
        return self.analysis

    def to_json(self) -> bytes:
        """Return the outcome as one line of JSON, as `Outcomes.to_jsonl` and the `kallglot` command write it.

        An error is `{"type": ..., "message": ..., ...}`: its class, and what is set of its plain fields.
        """
        from kallglot_async.models.records import encode_outcome

        return encode_outcome(self)

    @classmethod
    def from_json(cls, data: bytes | str) -> Self:
        """Return the outcome that `to_json` has written.

        Raises:
            RecordError: It is not JSON, or no outcome.
        """
        from kallglot_async.models.records import outcome_of

        return outcome_of(data, cls)


class Outcomes(KnownToPydantic, Sequence[Outcome]):
    """Exactly one outcome for each distinct id, in the order of the input: found by place, or by id.

    A response type of FastAPI. Litestar is told how, as errors are no structs:
    `type_encoders={KallglotError: KallglotError.to_dict, Outcomes: Outcomes.to_records}`.
    """

    __slots__ = ("_by_id", "_items")

    def __init__(self, outcomes: Iterable[Outcome] = ()) -> None:
        self._items = tuple(outcomes)
        # Made when an id is first asked for: most who have outcomes go through them.
        self._by_id: dict[str, Outcome] | None = None

    @overload
    def __getitem__(self, key: int | str) -> Outcome: ...
    @overload
    def __getitem__(self, key: slice) -> Outcomes: ...
    def __getitem__(self, key: int | str | slice) -> Outcome | Outcomes:
        if isinstance(key, str):
            return self._ids()[key]
        return Outcomes(self._items[key]) if isinstance(key, slice) else self._items[key]

    def __contains__(self, item: object) -> bool:
        return item in self._ids() if isinstance(item, str) else item in self._items

    def __len__(self) -> int:
        return len(self._items)

    def __eq__(self, other: object) -> bool:
        return self._items == other._items if isinstance(other, Outcomes) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._items)

    # Pickle's protocols 0 and 1, which some queues use, know nothing of slots.
    def __reduce__(self) -> tuple[type[Outcomes], tuple[tuple[Outcome, ...]]]:
        return Outcomes, (self._items,)

    def __repr__(self) -> str:
        return f"<Outcomes of {len(self)} ids: {len(self.analyses)} analyses, {len(self.errors)} errors>"

    def _repr_html_(self) -> str:
        """Return counts, failures and the first rows as HTML, for notebooks. Everything from the server is escaped."""
        from kallglot_async.models._html import outcomes_html

        return outcomes_html(self)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: object) -> object:
        from kallglot_async.models._pydantic import outcomes_schema

        return outcomes_schema()

    def _ids(self) -> dict[str, Outcome]:
        if self._by_id is None:
            self._by_id = {outcome.id: outcome for outcome in self._items}
        return self._by_id

    def get(self, id: str) -> Outcome | None:
        """Return the outcome of an id; None where it is not among them."""
        return self._ids().get(id)

    @property
    def analyses(self) -> list[Analysis]:
        """The analyses of all outcomes that have one, in order."""
        return [outcome.analysis for outcome in self._items if outcome.analysis is not None]

    @property
    def failed(self) -> Outcomes:
        """The outcomes that have an error, in order."""
        return Outcomes(outcome for outcome in self._items if outcome.error is not None)

    @property
    def errors(self) -> dict[str, KallglotError]:
        """The error of every id that has one, in order."""
        return {outcome.id: outcome.error for outcome in self._items if outcome.error is not None}

    def raise_for_errors(self) -> None:
        """Raise all errors together; do nothing where there are none.

        Raises:
            ExceptionGroup: Every error of the batch.
        """
        errors = list(self.errors.values())
        if errors:
            raise ExceptionGroup(f"{len(errors)} of {len(self)} ids ended with an error", errors)

    def to_records(self) -> list[dict[str, JSONValue]]:
        """Return each outcome as plain data, as `Outcome.to_dict` does: for `json`, a template, a data frame."""
        return [outcome.to_dict() for outcome in self._items]

    def to_json(self) -> bytes:
        """Return all outcomes as one JSON array of what `Outcome.to_json` gives."""
        return b"[" + b",".join(outcome.to_json() for outcome in self._items) + b"]"

    def to_jsonl(self, to: Lines) -> None:
        """Write one line of JSON for each outcome; `read_jsonl` reads them back.

        Args:
            to: A path, whose file is replaced once the new one is whole, or a file object of bytes or text, such as
                that of `gzip.open`, which is not closed.

        Raises:
            ConfigurationError: There is nothing to write to, or the path ends as those of compressed files do.
            OSError: The file cannot be written; what stood under that path is intact.
        """
        from kallglot_async.models.records import write_jsonl

        write_jsonl(self._items, to)

    def to_csv(self, to: Lines, *, table: TableName = "analyses", exact: bool = False) -> None:
        """Write a table of the outcomes as CSV in UTF-8: a line for each outcome, whatever became of it, or each item.

            outcomes.to_csv("analyses.csv")
            outcomes.to_csv("to-do.csv", table="action_items")

        The columns are those of `kallglot_async.tables`, whatever the data is. What a spreadsheet would take for a
        formula gets an apostrophe in front, see `kallglot_async.tables.text`.

        Args:
            to: A path, whose file is replaced once the new one is whole, or a file object of bytes or text, which is
                not closed.
            table: `analyses`, or `action_items`, `topics`, `segments`, `key_moments`, by `analysis_id` and `n`.
            exact: Leave every text as it is, for programs alone.

        Raises:
            ConfigurationError: There is no such table, or nothing to write to, or the path ends as those of compressed
                files do.
            OSError: The file cannot be written.
        """
        from kallglot_async.tables import write_csv

        write_csv(self._items, to, table=table, exact=exact)

    def to_arrow(self, table: TableName = "analyses") -> pyarrow.Table:
        """Return a table of the outcomes, which polars, pandas and duckdb take as it is. Needs the extra `arrow`.

            polars.DataFrame(outcomes.to_arrow())

        The columns are those of `kallglot_async.tables`, whatever the data is; failures are rows of `analyses` too.

        Args:
            table: `analyses`, or `action_items`, `topics`, `segments`, `key_moments`, by `analysis_id` and `n`.

        Raises:
            ConfigurationError: There is no such table, or the extra is not installed.
        """
        from kallglot_async.tables import analyses_table

        return analyses_table(self._items, table)

    def to_html(self, *, title: str = "Call analyses", today: date | None = None) -> str:
        """Return a self-contained page for people: nothing is loaded, no script is in it, a printer takes it too.

        It shows what was analysed and what was not and why, sentiment, quality, talk share, topics, days, everything
        that is to be done, and the worst and best calls. A page of a thousand analyses has some 150 kB; ten thousand
        take about a second. Whatever the server sent is text in it, never markup.

            Path("report.html").write_text(outcomes.to_html(title="Last week"), encoding="utf-8")

        Args:
            title: The page's heading.
            today: An action item is overdue that was due before that day. Default: today, where this machine is.
        """
        from kallglot_async.report import report_html

        return report_html(self._items, title=title, today=today)


class Progress(Model, frozen=True, kw_only=True, gc=False):
    """A snapshot of a batch.

    Attributes:
        total: How many distinct ids there are, or None while a lazy source is still giving them.
        settled: Ids that ended with an analysis, failed analyses included.
        failed: Ids that ended with any other error.
        pending: Ids taken from the source that have no outcome yet.
        requests: Requests answered for this batch so far, refused ones included. Those of another call that polls
            the same id are its own.
        rate_limit: What the limiter knew at this moment.
    """

    total: int | None
    settled: int
    failed: int
    pending: int
    requests: int
    rate_limit: RateLimitState
