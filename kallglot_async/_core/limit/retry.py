"""Which failures are worth another request, after how long, and how many retries a client may spend.

Three attempts in all, full jitter, and a budget that all calls of a client share: the AWS SDKs' standard
mode. Delay before attempt n + 1: U(0, min(cap, base * 2^(n - 1))), after "Exponential Backoff And Jitter"
(AWS Architecture Blog, 2015). A time the server named stands in its place, and a tenth of that delay is added to it,
so that clients who were told the same come apart.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from kallglot_async import errors
from kallglot_async._core.api.operation import Operation

__all__ = ["RetryBudget", "RetryPolicy", "is_transient", "may_have_acted"]

BASE_DELAY = 0.5  # seconds
LONGEST_DELAY = 8.0  # seconds

_TRANSIENT_STATUSES = frozenset({408, 425, 500, 502, 503, 504})
_PERMANENT: tuple[type[errors.KallglotError], ...] = (
    errors.TLSError,
    errors.ResponseTooLargeError,
    errors.ResponseSchemaError,
    errors.UnexpectedRedirectError,
)


def is_transient(error: errors.KallglotError) -> bool:
    """Whether the same request may well succeed a moment later. Refusals for rate are not judged here."""
    if isinstance(error, _PERMANENT):
        return False
    if isinstance(error, errors.ProxyError):
        return error.status is None  # refused by a proxy that was reached is final, 407 above all
    if isinstance(error, errors.ConflictError):
        return error.code == "idempotency_conflict"
    if isinstance(error, errors.APIError):
        return error.status in _TRANSIENT_STATUSES
    return isinstance(error, errors.TransportError | errors.InvalidResponseError)


def may_have_acted(error: errors.KallglotError) -> bool:
    """Whether the server may have done what was asked, although the answer does not say so."""
    if isinstance(error, errors.ConnectError | errors.ProxyError | errors.TLSError):
        return False  # never sent
    if isinstance(error, errors.APIError):
        return error.status >= 500 or error.code == "idempotency_conflict"
    return isinstance(error, errors.TransportError | errors.InvalidResponseError)


class RetryBudget:
    """How many retries the calls of one client may still spend, shared by all of them.

    Full, it holds `capacity` retries. A retry takes one, a request that succeeds gives back a tenth of one:
    once it is empty, a client in an outage sends at most 1.1 times the requests it was asked for.
    """

    __slots__ = ("_capacity", "_tenths", "spent")

    def __init__(self, capacity: int = 50) -> None:
        self._capacity = 10 * capacity
        self.spent = 0
        self._tenths = self._capacity  # whole numbers, so that ten answers pay for one retry exactly

    @property
    def left(self) -> float:
        """Retries that could be spent now."""
        return self._tenths / 10

    def spend(self) -> bool:
        """Take one retry; False where there is none."""
        if self._tenths < 10:
            return False
        self._tenths -= 10
        self.spent += 1
        return True

    def on_success(self) -> None:
        """A request succeeded."""
        if self._tenths < self._capacity:
            self._tenths += 1


class RetryPolicy:
    """Decides after a failed attempt; it holds the rules, the budget holds the state.

    Args:
        max_attempts: Requests in all, the first included.
        budget: What the client may still spend on retries.
        random: Uniform in [0, 1).
    """

    __slots__ = ("_budget", "_random", "max_attempts")

    def __init__(self, max_attempts: int, budget: RetryBudget, random: Callable[[], float]) -> None:
        self.max_attempts = max_attempts
        self._budget = budget
        self._random = random

    def next_delay(
        self, operation: Operation[Any], error: errors.KallglotError, failures: int, *, within: float = math.inf
    ) -> float | None:
        """Return the seconds to wait before the next attempt, or None to give up.

        Args:
            operation: What was attempted.
            error: How the attempt ended.
            failures: Attempts that failed so far, this one included.
            within: Seconds that are left; a later attempt is none, and takes nothing from the budget.
        """
        if not operation.is_repeatable or failures >= self.max_attempts or not is_transient(error):
            return None
        delay = self._random() * min(LONGEST_DELAY, BASE_DELAY * 2.0 ** min(failures - 1, 30))
        named = error.retry_after if isinstance(error, errors.APIError) else None
        if named is not None:
            delay = named + delay * 0.1
        return delay if delay <= within and self._budget.spend() else None

    def on_success(self) -> None:
        """A request succeeded: the budget refills a little."""
        self._budget.on_success()
