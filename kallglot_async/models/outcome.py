"""What became of each id of a batch, and how far a batch has come."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import overload

from kallglot_async.errors import KallglotError
from kallglot_async.models._base import Model
from kallglot_async.models.analysis import Analysis
from kallglot_async.models.rate_limit import RateLimitState

__all__ = ["Outcome", "Outcomes", "Progress"]


class Outcome(Model, frozen=True, kw_only=True):
    """What became of one id: exactly one of `analysis` and `error` is set.

    Attributes:
        id: The id as it was given; `<type>` for what is no text. From `analyze_many` it is the session's.
        analysis: The analysis, or None.
        error: Why there is none, or None. A failed analysis is an `AnalysisFailedError` that carries it.
        polls: How many requests were sent for it, failed ones included and refused ones (429) not.
        elapsed: Seconds from its first request to its end; 0.0 where there was none.
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


class Outcomes(Sequence[Outcome]):
    """Exactly one outcome for each distinct id, in the order of the input."""

    __slots__ = ("_items",)

    def __init__(self, outcomes: Iterable[Outcome] = ()) -> None:
        self._items = tuple(outcomes)

    @overload
    def __getitem__(self, index: int) -> Outcome: ...
    @overload
    def __getitem__(self, index: slice) -> Outcomes: ...
    def __getitem__(self, index: int | slice) -> Outcome | Outcomes:
        if isinstance(index, slice):
            return Outcomes(self._items[index])
        return self._items[index]

    def __len__(self) -> int:
        return len(self._items)

    def __eq__(self, other: object) -> bool:
        return self._items == other._items if isinstance(other, Outcomes) else NotImplemented

    # Pickle's protocols 0 and 1, which some queues use, know nothing of slots.
    def __reduce__(self) -> tuple[type[Outcomes], tuple[tuple[Outcome, ...]]]:
        return Outcomes, (self._items,)

    def __repr__(self) -> str:
        return f"<Outcomes of {len(self)} ids: {len(self.analyses)} analyses, {len(self.errors)} errors>"

    @property
    def analyses(self) -> list[Analysis]:
        """The analyses of all outcomes that have one, in order."""
        return [outcome.analysis for outcome in self._items if outcome.analysis is not None]

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
