"""After a poll that failed: whether its id is looked at again, when, and whose error it is.

Time ends a wait, and not a number of attempts. What passes (`api.meaning`) is looked at again until the id's deadline,
as long as this client has ever had an answer of the API: at first as the retry budget pays for it, and once that is
empty at a slow pace (`RetryPolicy.slow_delay`), one id of all at a time (`RetryBudget.next_look`). A client that never
had an answer may be talking to nobody: it sends one request at a time for all its waits, and its attempts, or
`STRANGER` seconds where something on the way answers for the API, end every one of them. One that had one doubts what
the API never says (`is_interlude`): a redirect for now, somebody else's JSON, a bare status, a certificate, a
refusal of a proxy.

A 404 is doubted: an id that was seen or created here is some replica's to catch up with, for `LAGGING` seconds; any
other may have been created elsewhere a moment ago, and is looked at once more after `UNSEEN` seconds. A 401 or 403
ends a call at once where nothing was accepted before; else once the next answer to another id is the same.

Pure: no clock (`now` is an argument), no randomness of its own, no I/O.
"""

from __future__ import annotations

from enum import Enum, auto
from math import inf
from typing import Protocol

import msgspec

from kallglot_async import errors
from kallglot_async._core.api.meaning import Suspicion, has_passing_status, is_interlude, meaning_of
from kallglot_async._core.api.operation import Operation
from kallglot_async._core.limit.retry import STRANGER, RetryPolicy
from kallglot_async._core.polling.pending import Entry, Trouble
from kallglot_async.models import Analysis

__all__ = ["End", "FirstContact", "Patience", "Probe", "Verdict", "stranded_at"]

LAGGING = 10.0  # seconds after the first 404 in which it only means "not visible here yet"
FIRST_GAP = 0.5  # seconds until an id that is not visible yet is looked at again; then twice that, ...
UNSEEN = 2.0  # seconds
HISTORY = 10  # failures of one id that are kept


class End(Enum):
    """What a failure ends."""

    NOTHING = auto()  # the id is looked at again
    ID = auto()
    CALL = auto()
    UNREACHED = auto()  # every call of a client that has never had an answer
    TIME = auto()  # its deadline is over too: it ends as a timeout, unless it is owed a late look


class Verdict(msgspec.Struct, frozen=True, gc=False):
    """What follows from one failure: an end, or another look after `again_in` seconds."""

    end: End
    again_in: float = 0.0
    is_held: bool = False  # the budget does not pay for it: look only as that lets one go


class Probe(msgspec.Struct, gc=False):
    """What a client has met that never had an answer."""

    since: float | None = None  # the moment of the first failure
    failures: int = 0
    history: tuple[str, ...] = ()  # one line for each of the latest failures
    next_at: float = -inf  # when the next request may go


class Prober(Protocol):
    """Polls the ids of one wait, as the others see it while the API was never heard."""

    def wake(self) -> None:
        """Send what is due."""

    def on_unreached(self, error: errors.RequestError) -> None:
        """Give up with this error."""


class FirstContact:
    """Before the API was ever heard: one poller of all asks at a time, and the others wait for how that ends."""

    __slots__ = ("_waiting", "probe", "prober")

    def __init__(self) -> None:
        self.prober: Prober | None = None  # whose poll is the one that is sent
        # A dictionary for its order: they go on in that in which they came.
        self._waiting: dict[Prober, None] = {}
        self.probe: Probe = Probe()

    def forget(self) -> list[Prober]:
        """Another loop is served: return those of the one before, which look again if that ever runs again."""
        left, self._waiting = [*self._waiting, *([] if self.prober is None else [self.prober])], {}
        self.prober = None
        return left

    def next_probe(self, poller: Prober) -> float:
        """When this poller may send, if it is the one that does; the others are told how that ends (infinity)."""
        if self.prober is None:
            self.prober, self.probe = poller, Probe()
        if self.prober is poller:
            return self.probe.next_at
        self._waiting[poller] = None
        return inf

    def on_reached(self) -> None:
        """The API has answered, or who asked it is gone: all go on."""
        # Emptied first: who is woken asks `next_probe` in turn, and may stand in line again.
        waiting, self._waiting, self.prober = self._waiting, {}, None
        for poller in waiting:
            poller.wake()

    def on_unreached(self, poller: Prober, error: errors.RequestError) -> None:
        """It is given up, for everybody who waited for it."""
        waiting, self._waiting, self.prober = self._waiting, {}, None
        for one in (poller, *waiting):
            one.on_unreached(error)

    def leave(self, poller: Prober) -> None:
        """It sends nothing more."""
        self._waiting.pop(poller, None)
        if self.prober is poller:
            self.on_reached()


class Patience:
    """Decides after each failed poll of one call.

    Args:
        policy: When the budget pays for another request.
    """

    __slots__ = ("_policy", "suspicion")

    def __init__(self, policy: RetryPolicy) -> None:
        self._policy = policy
        self.suspicion = Suspicion()

    def next_look(
        self,
        entry: Entry,
        operation: Operation[Analysis],
        error: errors.RequestError,
        now: float,
        *,
        probe: Probe,
        is_own: bool,
        is_accepted: bool,
    ) -> Verdict:
        """Note a failure on the entry, and say what follows.

        Args:
            entry: The id that was polled.
            operation: How.
            error: How that ended.
            now: The moment it ended.
            probe: What all waits of the client have met, for as long as none had an answer.
            is_own: Whether it was created here.
            is_accepted: Whether the API has ever accepted a request under this key.
        """
        trouble = entry.trouble = entry.trouble or Trouble(since=now)
        trouble.history = (*trouble.history, str(error))[-HISTORY:]
        error.attempts, error.history = entry.failures + 1, trouble.history
        meaning = meaning_of(error)
        # Of a client that was never answered nothing of the second kind is believed: there may be no API behind that
        # page.
        if meaning.passes or (self._policy.budget.is_reached and is_interlude(error)):
            is_over = entry.deadline is not None and now >= entry.deadline
            if is_over or entry.is_stale:
                return Verdict(End.TIME)
            if not self._policy.budget.is_reached:
                return self._before_any_answer(probe, operation, error, now)
            verdict = self._next_look_after(entry.failures + 1, trouble.held, operation, error)
            trouble.held += verdict.is_held
            return verdict
        if isinstance(error, errors.NotFoundError):
            # The API has judged this id, so the key was good: a refusal before it was not everybody's.
            self.suspicion.on_accepted()
            return _while_it_may_lag(entry, trouble, now, is_known=is_own or entry.last_status is not None)
        if isinstance(error, errors.TransportError) and not self._policy.budget.is_reached:
            return Verdict(End.UNREACHED)  # TLS, or a proxy that says no
        return Verdict(End.CALL if self.suspicion.on_failure(error, was_accepted=is_accepted) else End.ID)

    def _before_any_answer(
        self, probe: Probe, operation: Operation[Analysis], error: errors.RequestError, now: float
    ) -> Verdict:
        probe.since = now if probe.since is None else probe.since
        probe.failures += 1
        probe.history = (*probe.history, str(error))[-HISTORY:]
        error.attempts, error.history = probe.failures, probe.history
        is_used_up = probe.failures >= self._policy.max_attempts
        if is_used_up and (not has_passing_status(error) or now - probe.since >= STRANGER):
            return Verdict(End.UNREACHED)
        verdict = self._next_look_after(probe.failures, 0, operation, error)
        probe.next_at = now + verdict.again_in
        return verdict

    def _next_look_after(
        self, failures: int, held: int, operation: Operation[Analysis], error: errors.RequestError
    ) -> Verdict:
        delay = self._policy.next_delay(operation, error, failures, is_patient=True)
        if delay is not None:
            return Verdict(End.NOTHING, delay)
        return Verdict(End.NOTHING, self._policy.slow_delay(held), is_held=True)


def _while_it_may_lag(entry: Entry, trouble: Trouble, now: float, *, is_known: bool) -> Verdict:
    """Doubt a 404 for a while, but not where the id's time would be over before the next look."""
    first = trouble.missing_since is None
    if trouble.missing_since is None:
        trouble.missing_since = now
    if is_known:
        left = trouble.missing_since + LAGGING - now
        gap, doubts = min(left, FIRST_GAP * 2.0 ** min(trouble.missing, 10)), left > 0.0
    else:
        gap, doubts = UNSEEN, first
    trouble.missing += 1
    if not doubts or (entry.deadline is not None and now + gap >= entry.deadline):
        return Verdict(End.ID)
    return Verdict(End.NOTHING, gap)


def stranded_at(entry: Entry, paused_at: float, until: float) -> float | None:
    """When the wait for an id ends that a pause, up to `until`, keeps from its first poll for longer than its timeout.

    A timeout counts from the first poll. Here it counts from when that could have gone, or nothing would end the wait.
    """
    if entry.first_poll_at is not None or entry.timeout is None:
        return None
    at = max(entry.key, paused_at) + entry.timeout
    return at if at < until else None
