"""What all wait calls of one client share: what was learned, and which call polls which id."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol

from kallglot_async import _clock
from kallglot_async._core.polling import Entry, PollModel, PollSchedule
from kallglot_async._pipeline import Pipeline
from kallglot_async.models import Analysis, Outcome, Progress

__all__ = ["WaitHub", "WaitOptions", "Waiter"]

_REMEMBERED = 3600.0  # seconds for which the moment of our own creates is remembered
_GRACE = 10.0  # seconds after our own create during which a 404 only means "not visible yet"


class WaitOptions:
    """How one wait call waits: plain values, checked by the client."""

    __slots__ = ("from_add", "max_in_flight", "on_progress", "schedule", "timeout", "total_timeout")

    def __init__(
        self,
        *,
        timeout: float | None,
        total_timeout: float | None,
        max_in_flight: int,
        schedule: PollSchedule,
        on_progress: Callable[[Progress], object] | None,
        from_add: bool = False,
    ) -> None:
        self.from_add = from_add  # whether the timeout counts from the call, not from the first poll
        self.timeout = timeout
        self.total_timeout = total_timeout
        self.max_in_flight = max_in_flight
        self.schedule = schedule
        self.on_progress = on_progress


class Waiter(Protocol):
    """A wait call, as other calls of the same client see it."""

    def own(self, id: str) -> None:
        """Poll the id from now on."""

    def on_shared_outcome(self, outcome: Outcome) -> None:
        """The call that polled the id has its outcome."""

    def entry_of(self, id: str) -> Entry | None:
        """Return what is known of an id that this call polls."""


class WaitHub:
    """Where the wait calls of one client meet, so that an id is polled once however many wait for it."""

    __slots__ = ("_created", "_followers", "_owners", "model", "pipeline", "random")

    def __init__(self, pipeline: Pipeline, random: Callable[[], float]) -> None:
        self.pipeline = pipeline
        self.random = random
        self.model = PollModel()
        self._owners: dict[str, Waiter] = {}  # the call that polls an id
        self._followers: dict[str, list[Waiter]] = {}  # others that wait for it too, in order of arrival
        self._created: OrderedDict[str, tuple[float, float | None]] = OrderedDict()

    def __len__(self) -> int:
        """How many ids are waited for."""
        return len(self._owners)

    def on_created(self, created: Analysis) -> None:
        """This client has just created an analysis."""
        now = _clock.now()
        estimate = created.estimated_completion
        takes = None if estimate is None else estimate.timestamp() - self.pipeline.server_now()
        self._created[created.id] = now, takes
        while self._created and next(iter(self._created.values()))[0] < now - _REMEMBERED:
            self._created.popitem(last=False)

    def age_of(self, id: str) -> float | None:
        """Return the seconds since this client created it; None where it did not, or long ago."""
        found = self._created.get(id)
        return None if found is None else _clock.now() - found[0]

    def due_in(self, id: str) -> float | None:
        """Return the seconds until it is done by the server's own estimate; None where it gave none when asked."""
        found = self._created.get(id)
        return None if found is None or found[1] is None else found[0] + found[1] - _clock.now()

    def may_not_be_visible_yet(self, id: str) -> bool:
        """Whether a 404 may only mean that our own create has not spread yet."""
        age = self.age_of(id)
        return age is not None and age < _GRACE

    def claim(self, id: str, call: Waiter) -> bool:
        """Make `call` the one that polls the id; False where another does, which `call` then follows."""
        if id in self._owners:
            self._followers.setdefault(id, []).append(call)
            return False
        self._owners[id] = call
        return True

    def owner_of(self, id: str) -> Waiter | None:
        """Return the call that polls the id."""
        return self._owners.get(id)

    def settle(self, outcome: Outcome) -> None:
        """The owner has an outcome that holds for everybody."""
        self._owners.pop(outcome.id, None)
        for call in self._followers.pop(outcome.id, ()):
            call.on_shared_outcome(outcome)

    def release(self, id: str) -> None:
        """The owner waits no more: the first that follows polls it from now on."""
        self._owners.pop(id, None)
        followers = self._followers.get(id)
        if not followers:
            return
        heir = followers.pop(0)
        if not followers:
            del self._followers[id]
        self._owners[id] = heir
        heir.own(id)

    def unfollow(self, id: str, call: Waiter) -> None:
        """`call` waits no more for an id that another polls."""
        followers = self._followers.get(id, [])
        if call in followers:
            followers.remove(call)
        if not followers:
            self._followers.pop(id, None)
