"""How far a batch has come, and what its outcome makes of an id."""

from __future__ import annotations

from typing import Literal, TypeAlias

from kallglot_async import errors
from kallglot_async._core.api.meaning import Whom, Whose, meaning_of
from kallglot_async.errors import ConfigurationError, KallglotError
from kallglot_async.models import Outcome
from kallglot_async.models._base import Model

__all__ = ["ENDED", "BatchReport", "State", "check_state", "state_of"]

State: TypeAlias = Literal["left", "asked", "created", "done", "failed", "given_up", "uncertain"]
"""What has become of an id.

`left`: nothing yet. `asked`: its analysis is being requested. `created`: it was, and is paid for. `done`: the analysis
is in the file. `failed`: for good. `given_up`: its time was over, or something that passes stood in the way; the next
run takes it up. `uncertain`: the request of its analysis was interrupted so long ago that to repeat it may pay twice.
"""

ENDED: tuple[State, ...] = ("done", "failed", "given_up", "uncertain")
"""The states in which an id has an outcome in the file."""


class BatchReport(Model, frozen=True, kw_only=True):
    """How far a batch has come: `total` is the sum of `done`, `failed`, `given_up`, `left` and `uncertain`.

    Attributes:
        total: Distinct ids in the file.
        done: Ids whose analysis is in the file.
        failed: Ids that failed for good: impossible ids, failed analyses, and what the API refused.
        given_up: Ids whose time was over, or that met something that passes. The next run takes them up.
        left: Ids that have not had their turn, or are under way.
        uncertain: Sessions whose request was interrupted more than 24 hours ago: whether an analysis was created, and
            paid for, nobody can say. `pay_again` requests them anew.
        refused: Refusals for rate of this client during the run; 0 in a status.
        elapsed: Seconds that the run took; 0.0 in a status.
        reason: The error that ended the run before its end: a 401, 402 or 403. None in a status, and where the total
            timeout did.
    """

    total: int = 0
    done: int = 0
    failed: int = 0
    given_up: int = 0
    left: int = 0
    uncertain: int = 0
    refused: int = 0
    elapsed: float = 0.0
    reason: KallglotError | None = None

    @property
    def is_complete(self) -> bool:
        """Whether there is nothing left that another run could do."""
        return self.done + self.failed == self.total


def state_of(outcome: Outcome) -> State:
    """Return what an outcome makes of its id: what the API has said of the id itself is final, all else may pass."""
    match outcome.error:
        case None:
            return "done"
        case errors.NotAttemptedError():
            return "left"
        case errors.WaitTimeoutError():
            return "given_up"
        case errors.InvalidIdError() | errors.AnalysisFailedError():
            return "failed"
        case error:
            meaning = meaning_of(error)
            is_final = meaning.whose is Whose.API and meaning.whom is Whom.ID and not meaning.passes
            return "failed" if is_final else "given_up"


def check_state(state: object, *known: State) -> State:
    """Return a state that is one of those.

    Raises:
        ConfigurationError: It is not.
    """
    for name in known:
        if state == name:
            return name
    raise ConfigurationError(f"state is one of {', '.join(known)}, not {state!r}")
