"""`Attempts`: what those of one direct request have shown, and what is told of them in the end."""

from __future__ import annotations

from typing import Generic, TypeVar

from kallglot_async import errors
from kallglot_async._clock import Deadline
from kallglot_async._core.api.meaning import is_under_way
from kallglot_async._core.api.operation import Operation
from kallglot_async._core.limit.retry import may_have_acted

__all__ = ["Attempts"]

T = TypeVar("T")


class Attempts(Generic[T]):
    """What the attempts of one direct request have shown so far, where the first did not succeed."""

    __slots__ = ("_conflicts", "deadline", "history", "is_patient", "is_uncertain", "operation", "slow_delays")

    def __init__(self, operation: Operation[T], deadline: Deadline, is_patient: bool) -> None:
        self.operation = operation
        self.deadline = deadline
        self.is_patient = is_patient
        self.is_uncertain = False  # whether an attempt may have been acted upon
        self.history: tuple[str, ...] = ()
        self.slow_delays = 0
        self._conflicts = 0

    @property
    def attempt(self) -> int:
        """The number of the attempt that comes next."""
        return len(self.history) + 1

    def on_failure(self, error: errors.RequestError) -> None:
        """An attempt ended with an error."""
        self.is_uncertain = self.is_uncertain or may_have_acted(error)
        self.history += (str(error),)
        self._conflicts += is_under_way(error)

    def failures(self, latest: errors.RequestError) -> int:
        """How many count, for what follows from the latest. A conflict is none, but the n-th waits as the n-th does."""
        return len(self.history) - (0 if is_under_way(latest) else self._conflicts)

    def tell(self, error: errors.RequestError) -> errors.RequestError:
        """Write the attempts on the error that ends the call."""
        error.attempts = len(self.history)
        error.history = self.history
        # Only then: of what surely was not done there is nothing that its key would lead to.
        if self.is_uncertain:
            error.idempotency_key = self.operation.idempotency_key
        return error
