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
from kallglot_async._core.api.meaning import Whom, is_under_way, meaning_of
from kallglot_async._core.api.operation import Operation

__all__ = ["RetryBudget", "RetryPolicy", "is_transient", "may_have_acted"]

BASE_DELAY = 0.5  # seconds
LONGEST_DELAY = 8.0  # seconds
STRANGER = 30.0  # seconds for which a gateway's "not now" is believed before the API itself was ever heard
SLOW_GAP = 10.0  # seconds, on average, until what the budget does not pay for is tried again; doubled, to a minute

_SHORTEST_GAP, _LONGEST_GAP = 0.05, 60.0  # seconds between two looks that the budget does not pay for
_VAIN = 5  # looks in a row with no answer meanwhile, after which nobody is taken to be there
_AT_ONCE = 30  # looks that go before their own pace, once two in a row met nothing
_RAMP = 0.9  # by which each answer brings such looks nearer, once they come a second apart


def is_transient(error: errors.KallglotError) -> bool:
    """Whether the same request may well succeed a moment later. Refusals for rate are not judged here."""
    meaning = meaning_of(error)
    return meaning.passes and meaning.whom is not Whom.LIMIT


def may_have_acted(error: errors.KallglotError) -> bool:
    """Whether the server may have done what was asked, although the answer does not say so."""
    if isinstance(error, errors.ConnectError | errors.ProxyError | errors.TLSError):
        return False  # never sent
    if isinstance(error, errors.APIError):
        return error.status >= 500 or error.status in {408, 499} or error.code == "idempotency_conflict"
    return isinstance(error, errors.TransportError | errors.InvalidResponseError)


class RetryBudget:
    """How many requests beyond those asked for the calls of one client may send, shared by all of them.

    Full, it holds `capacity` retries. A retry takes one, an answer of the API (a refusal for rate is none, and neither
    is a 5xx) gives back a tenth of one: once it is empty, calls send at most 1.1 times the requests that they were
    asked for. An empty budget ends no wait: besides, its ids are looked at again as `next_look` allows, one of all in
    each gap. Once `_VAIN` looks in a row met nothing, nobody is taken to be there, and the gap doubles with each, to a
    minute; with the first answer it falls to 0.9 s, and by a tenth with each that follows, so that nobody storms back.
    Of an API that fails now and then some of so many looks are answered: there each id has its turn.

    Attributes:
        spent: Retries in all.
        is_reached: Whether the API has ever answered this client.
        is_whole: Whether there is nothing that an answer would give back, nor tell.
    """

    __slots__ = (
        "_at_once", "_capacity", "_gap", "_looked_at", "_tenths", "_unanswered", "is_reached", "is_whole", "spent",
    )  # fmt: skip

    def __init__(self, capacity: int = 50) -> None:
        self._capacity = 10 * capacity
        self.spent: int = 0
        self.is_reached: bool = False
        self.is_whole: bool = False
        # In whole tenths, so that ten answers pay for one retry exactly: as floats, ten times 0.1 is less than 1.
        self._tenths = self._capacity
        self._gap = _SHORTEST_GAP
        self._looked_at = -math.inf
        self._unanswered = 0  # looks since anything was answered
        self._at_once = 0  # looks that need not wait for their own pace

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
        self.is_whole = False
        return True

    def on_answer(self) -> None:
        """The API has answered a request."""
        self.is_reached = True
        self._unanswered = 0
        if self._gap > _SHORTEST_GAP:
            self._gap = max(_SHORTEST_GAP, _RAMP * min(1.0, self._gap))
        if self._tenths < self._capacity:
            self._tenths += 1
        self.is_whole = self._tenths == self._capacity and self._gap == _SHORTEST_GAP

    def next_look(self, key: float) -> float:
        """When an id may be looked at again that the budget does not pay for; `key`: when it is due by its own pace.

        Once an outage is over, no id waits for its own pace any more: what one has met, others have met as well.
        """
        at = self._looked_at + self._gap
        return at if (self._gap > _SHORTEST_GAP or self._at_once) and not self.is_vain else max(key, at)

    @property
    def is_vain(self) -> bool:
        """Whether nobody is taken to be there."""
        return self._unanswered >= _VAIN

    def on_look(self, now: float) -> None:
        """One is."""
        self.is_whole = False
        if self.is_vain:
            self._gap = min(_LONGEST_GAP, 2.0 * self._gap)
        self._at_once = _AT_ONCE if self._unanswered else max(0, self._at_once - 1)
        self._unanswered += 1
        self._looked_at = now


class RetryPolicy:
    """Decides after a failed attempt; it holds the rules, the budget holds the state.

    Args:
        max_attempts: Requests in all, the first included.
        budget: What the client may still spend on retries.
        random: Uniform in [0, 1).
    """

    __slots__ = ("_random", "budget", "max_attempts")

    def __init__(self, max_attempts: int, budget: RetryBudget, random: Callable[[], float]) -> None:
        self.max_attempts: int = max_attempts
        self.budget: RetryBudget = budget
        self._random = random

    def next_delay(
        self,
        operation: Operation[Any],
        error: errors.KallglotError,
        failures: int,
        *,
        within: float = math.inf,
        is_patient: bool = False,
    ) -> float | None:
        """Return the seconds to wait before the next attempt, or None to give up.

        Args:
            operation: What was attempted.
            error: How the attempt ended.
            failures: Attempts that failed so far, this one included.
            within: Seconds that are left; a later attempt is none, and takes nothing from the budget.
            is_patient: Whether time and not attempts is the measure, as it is in a wait, of an error that passes.
        """
        # Refused because an earlier one, whose answer was lost, is still being done: that costs no attempt either.
        is_counted = not (is_patient or (is_under_way(error) and self.max_attempts > 1))
        is_last = is_counted and failures >= self.max_attempts
        if is_last or not operation.is_repeatable or not (is_patient or is_transient(error)):
            return None
        longest = _LONGEST_GAP if is_patient else LONGEST_DELAY
        # Who has time never asks again at once: more than the first few attempts would go into the same trouble.
        luck = 0.5 + 0.5 * self._random() if is_patient else self._random()
        # Bounded before it is a power: a patient wait may fail so often that a float cannot hold it.
        delay = luck * min(longest, BASE_DELAY * 2.0 ** min(failures - 1, 30))
        named = error.retry_after if isinstance(error, errors.APIError | errors.InvalidResponseError) else None
        if named is not None:
            # A direct call keeps to it or gives up; a wait that kept to an hour would be parked.
            named = min(named, _LONGEST_GAP) if is_patient else named
            # What is under way takes its time: a server that names hardly any is not asked in a loop.
            delay = max(named, delay if is_under_way(error) else 0.0) + delay * 0.1
        return delay if delay <= within and self.budget.spend() else None

    def slow_delay(self, before: int) -> float:
        """Return the seconds to wait where the budget pays for nothing; `before`: how often that was so before.

        They grow only while nobody is there: else an id would be parked for what all others meet now and then, too.
        """
        doublings = min(before, 10) if self.budget.is_vain else 0
        return min(_LONGEST_GAP, SLOW_GAP * 2.0**doublings) * (0.5 + self._random())

    def on_success(self) -> None:
        """A request was answered as it should be."""
        self.budget.on_answer()
