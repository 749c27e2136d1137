"""What all wait calls under one key share: what was learned, and which call polls which id."""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict, deque
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

import msgspec

from kallglot_async import _clock
from kallglot_async._alarm import Watch
from kallglot_async._clock import OneLoop
from kallglot_async._core.polling.pending import Entry
from kallglot_async._core.polling.schedule import PollSchedule
from kallglot_async._core.polling.trouble import Probe
from kallglot_async._core.polling.worth import InboxTrust, PollModel
from kallglot_async.errors import ConfigurationError, KallglotError, RequestError
from kallglot_async.models import Analysis, Outcome, Progress
from kallglot_async.webhooks import WebhookInbox

__all__ = ["Caller", "Claimant", "Claims", "WaitOptions"]

_REMEMBERED = 3600.0  # seconds for which the moment of our own creates is remembered


class WaitOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How one wait call waits: plain values, checked by the client.

    Attributes:
        timeout: Seconds for each id; None for ever.
        total_timeout: Seconds for the whole call; None for ever.
        max_in_flight: Requests at once.
        schedule: How polls follow each other.
        on_progress: Called with a snapshot whenever a request has ended or an id followed elsewhere has its outcome.
        from_add: Whether `timeout` counts from the call, not from the first poll.
        max_ready: Outcomes that may lie undelivered before polling pauses.
        heeds_inbox: Whether polls are slow while webhooks are heard.
    """

    timeout: float | None
    total_timeout: float | None
    max_in_flight: int
    schedule: PollSchedule
    on_progress: Callable[[Progress], object] | None = None
    from_add: bool = False
    max_ready: int = 1_000
    heeds_inbox: bool = False


class Claimant(Protocol):
    """A wait call, as other calls of the same client see it."""

    loop: asyncio.AbstractEventLoop

    @property
    def is_stalled(self) -> bool:
        """Whether it polls nothing at present, as its caller does not take the outcomes that there are."""

    def on_followed(self) -> None:
        """Another call waits for an id that this one polls."""

    def own(self, id: str, known: Entry | None) -> None:
        """Poll the id from now on; `known`: what the call that polled it until now has seen."""

    def on_shared_outcome(self, outcome: Outcome) -> None:
        """The call that polled the id has its outcome."""

    def on_announced(self, id: str) -> None:
        """The server says that an id which this call polls has settled."""

    def on_silence(self) -> None:
        """Something has settled without its event, so that events are not to be trusted."""

    def entry_of(self, id: str) -> Entry | None:
        """Return what is known of an id that this call polls."""


class Caller(Protocol):
    """A wait call, as its own poller sees it.

    Attributes:
        watch: Rung whenever the end of an id may have moved.
        ready: The outcomes that the caller has not taken yet.
    """

    watch: Watch
    ready: deque[Outcome]

    def on_end(self, outcome: Outcome, known: Entry) -> None:
        """An id has its end; `known`: what its polls have seen."""

    def on_over(self, explain: Callable[[str], KallglotError]) -> None:
        """The call is over for all that is left of it; `explain` makes each id's error."""

    def on_answer(self) -> None:
        """A request has ended, with an answer or without one."""

    def on_stalled(self) -> None:
        """Polling pauses, as the caller is behind."""


class Prober(Protocol):
    """The poller of a wait call, as others see it while the API was never heard."""

    def wake(self) -> None:
        """Send what is due."""

    def on_unreached(self, error: RequestError) -> None:
        """Give up with this error."""


class FirstContact:
    """Before the API was ever heard: one poller of all asks at a time, and the others wait for how that ends."""

    __slots__ = ("_waiting", "probe", "prober")

    def __init__(self) -> None:
        self.prober: Prober | None = None  # whose poll is the one that is sent
        self._waiting: dict[Prober, None] = {}
        self.probe: Probe = Probe()

    def forget(self, before: asyncio.AbstractEventLoop | None) -> None:
        """Another loop is served: those of the one before look again, if that ever runs again."""
        left, self._waiting = [*self._waiting, *([] if self.prober is None else [self.prober])], {}
        self.prober = None
        for poller in left:
            _call_in(before, poller.wake)

    def next_probe(self, poller: Prober) -> float:
        """When this poller may send, if it is the one that does; the others are told how that ends (infinity)."""
        if self.prober is None:
            self.prober, self.probe = poller, Probe()
        if self.prober is poller:
            return self.probe.next_at
        self._waiting[poller] = None
        return math.inf

    def on_reached(self) -> None:
        """The API has answered, or who asked it is gone: all go on."""
        waiting, self._waiting, self.prober = self._waiting, {}, None
        for poller in waiting:
            poller.wake()

    def on_unreached(self, poller: Prober, error: RequestError) -> None:
        """It is given up, for everybody who waited for it."""
        waiting, self._waiting, self.prober = self._waiting, {}, None
        for one in (poller, *waiting):
            one.on_unreached(error)

    def leave(self, poller: Prober) -> None:
        """It sends nothing more."""
        self._waiting.pop(poller, None)
        if self.prober is poller:
            self.on_reached()


class Claims:
    """Where the wait calls under one key meet, so that an id is polled once however many wait for it.

    Args:
        model: How long analyses take, as far as learned.
        random: Uniform in [0, 1), for jitter.
        inbox: Where webhooks announce what has settled. One of the caller's is listened to while anybody waits.
        has_inbox: Whether it is the caller's, so that webhooks can be expected.
    """

    __slots__ = (
        "_created",
        "_followers",
        "_home",
        "_inbox",
        "_owners",
        "contact",
        "model",
        "random",
        "trust",
    )

    def __init__(
        self, model: PollModel, random: Callable[[], float], inbox: WebhookInbox, *, has_inbox: bool = False
    ) -> None:
        self.model: PollModel = model
        self.random: Callable[[], float] = random
        self._inbox = inbox
        self.trust: InboxTrust = InboxTrust(has_inbox=has_inbox)
        self._home = OneLoop()
        self._owners: dict[str, Claimant] = {}  # the call that polls an id
        self._followers: dict[str, list[Claimant]] = {}  # others that wait for it too, in order of arrival
        self.contact: FirstContact = FirstContact()
        self._created: OrderedDict[str, tuple[float, float | None]] = OrderedDict()
        if not has_inbox:
            inbox.listen(self._on_announced)  # the client's own: it lives as long, and nobody else's wait is in it

    def __len__(self) -> int:
        """How many ids are waited for."""
        return len(self._owners)

    def on_created(self, created: Analysis, *, server_now: float) -> None:
        """An analysis has just been created under this key; `server_now` is the server's clock in Unix seconds."""
        now = _clock.now()
        age = 0.0
        if created.created_at is not None:  # a repeated create is answered with what was created then
            age = max(0.0, server_now - created.created_at.timestamp() - 1.0)  # timestamps have whole seconds
        estimate = created.estimated_completion
        takes = None if estimate is None else estimate.timestamp() - server_now + age
        self._created[created.id] = now - age, takes
        while self._created and next(iter(self._created.values()))[0] < now - _REMEMBERED:
            self._created.popitem(last=False)

    def times_of(self, id: str) -> tuple[float | None, float | None]:
        """Return the seconds since it was created here, and until it is done by the server's own estimate.

        None where it was not, or long ago; and where the server gave none when asked.
        """
        if (found := self._created.get(id)) is None:
            return None, None
        (created_at, takes), now = found, _clock.now()
        return now - created_at, None if takes is None else created_at + takes - now

    def enter(self, loop: asyncio.AbstractEventLoop) -> None:
        """Serve the waits of this event loop from now on.

        Raises:
            ConfigurationError: Another loop, which runs, has waits here.
        """
        before = self._home.loop
        if before is loop:
            return
        if not self._owners:
            self._home.loop = None  # nobody's, so anybody's
        if self._home.enter(loop):  # those waits were a closed loop's, or the parent's of a fork
            self.model.pending -= len(self._owners)
            self._owners.clear()
            self._followers.clear()
        self.contact.forget(before)

    def claim(self, id: str, call: Claimant) -> bool:
        """Make `call` the one that polls the id; False where another does, which `call` then follows.

        One on a loop that stands still is not followed, and its own followers are left to whoever polls now.

        Raises:
            ConfigurationError: Another loop, which runs, has waits here.
        """
        if self._home.loop is not call.loop:
            self.enter(call.loop)
        owner = self._owners.get(id)
        if owner is not None and owner.loop is call.loop:
            self._followers.setdefault(id, []).append(call)
            owner.on_followed()
            return False
        if not self._owners and self.trust.has_inbox:
            self._inbox.listen(self._on_announced)
        self._owners[id] = call
        return True

    def take_announcement(self, id: str) -> bool:
        """Whether a webhook has said, before anybody waited for it, that an id has settled."""
        if not self._inbox.is_heard or not self._inbox.has_announced(id):
            return False
        if id in self._created:  # else the event may be an old one
            self.trust.on_event(_clock.now())
        return True

    def _on_announced(self, id: str) -> None:
        if (owner := self._owners.get(id)) is None:
            return
        if self._home.runs_elsewhere():
            raise ConfigurationError(
                "a webhook event came in another thread than the one that waits for its analysis: hand it over with "
                "loop.call_soon_threadsafe(client.settle, event)"
            )
        self.trust.on_event(_clock.now())
        self._tell(owner, owner.on_announced, id)

    def on_silence(self, sent_at: float) -> None:
        """A poll found settled what no event had announced: from now on all calls poll as if there were no inbox."""
        if self.trust.on_silence(sent_at):
            for call in dict.fromkeys(self._owners.values()):
                self._tell(call, call.on_silence)

    def _disown(self, id: str) -> None:
        self._owners.pop(id, None)
        if not self._owners and self.trust.has_inbox:
            self._inbox.forget(self._on_announced)

    def owner_of(self, id: str) -> Claimant | None:
        """Return the call that polls the id."""
        return self._owners.get(id)

    def settle(self, outcome: Outcome, call: Claimant) -> None:
        """The owner has an outcome that holds for everybody."""
        if self._owners.get(outcome.id) is not call:
            return
        self._disown(outcome.id)
        if self._followers:
            for follower in self._followers.pop(outcome.id, ()):
                self._tell(follower, follower.on_shared_outcome, outcome)

    def release(self, id: str, call: Claimant, known: Entry | None = None) -> None:
        """The owner waits no more: the first that follows polls it from now on, and knows what the owner saw."""
        if self._owners.get(id) is not call:
            return  # left behind by a loop that is gone, and collected when another call owns the id
        followers = self._followers.get(id)
        if not followers:
            self._disown(id)
            return
        self._inherit(id, self._best_heir(followers, call), known)

    def followed_of(self, call: Claimant) -> list[str]:
        """Return the ids that `call` polls and for which others wait who could poll them as well."""
        return [
            id
            for id, followers in self._followers.items()
            if self._owners.get(id) is call and not self._best_heir(followers, call).is_stalled
        ]

    def swap(self, id: str, call: Claimant, known: Entry) -> None:
        """The owner polls an id no more, as its caller is behind, and waits from now on for what a follower sees."""
        followers = self._followers[id]
        heir = self._best_heir(followers, call)
        followers.append(call)
        self._inherit(id, heir, known)

    def _best_heir(self, followers: list[Claimant], call: Claimant) -> Claimant:
        """Return the first that would poll at once: on the loop that runs, and with a caller who takes outcomes."""
        return min(followers, key=lambda one: (one.loop is not call.loop, one.is_stalled))

    def _inherit(self, id: str, heir: Claimant, known: Entry | None) -> None:
        followers = self._followers[id]
        followers.remove(heir)
        if not followers:
            del self._followers[id]
        self._owners[id] = heir
        self._tell(heir, heir.own, id, known)

    def _tell(self, call: Claimant, callback: Callable[..., object], *facts: object) -> None:
        if call.loop is self._home.loop:
            callback(*facts)
        else:
            _call_in(call.loop, callback, *facts)

    def unfollow(self, id: str, call: Claimant) -> None:
        """`call` waits no more for an id that another polls."""
        followers = self._followers.get(id, [])
        if call in followers:
            followers.remove(call)
        if not followers:
            self._followers.pop(id, None)


def _call_in(loop: asyncio.AbstractEventLoop | None, callback: Callable[..., object], *facts: object) -> None:
    """Call back in a loop that stands still, once it runs again; never, where it is closed."""
    with suppress(RuntimeError):  # it is closed
        if loop is not None:
            loop.call_soon_threadsafe(callback, *facts)
