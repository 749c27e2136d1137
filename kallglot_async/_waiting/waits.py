"""Where the waits of a client begin, and where they meet.

`Waits` begins them: how a call waits where it does not say, and what is created to be waited for. In `Claims` all waits
under one key meet, so that an id is polled once however many wait for it. `Shared` is what a client and its views have
in common.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import msgspec

from kallglot_async import _clock, errors
from kallglot_async._checks import check_count, check_plain_callback, check_timeout
from kallglot_async._clock import OneLoop
from kallglot_async._config import Secret
from kallglot_async._core.api.operation import Operation
from kallglot_async._core.limit.retry import RetryBudget
from kallglot_async._core.limit.ticket import Ticket
from kallglot_async._core.polling.pending import Entry
from kallglot_async._core.polling.schedule import PollSchedule
from kallglot_async._core.polling.trouble import FirstContact
from kallglot_async._core.polling.worth import InboxTrust, PollModel
from kallglot_async._events import Observer, await_told
from kallglot_async._waiting.batch import IdSource, OnOutcome
from kallglot_async._waiting.call import OnProgress, WaitCall
from kallglot_async._wire.pipeline import Pipeline
from kallglot_async._wire.pool import SessionPool
from kallglot_async.models import Analysis, Outcome, Outcomes, Progress
from kallglot_async.webhooks import WebhookInbox

__all__ = ["MAX_READY", "Claims", "Shared", "WaitOptions", "Waits"]

_LEARNED = PollSchedule.learned()
_NO_IDS = IdSource((), remember=False)  # of a call whose one id comes with it
_REMEMBERED = 3600.0  # seconds for which the moment of our own creates is remembered

MAX_READY = 1_000  # outcomes that lie undelivered before a wait stops to take slots


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
    max_ready: int = MAX_READY
    heeds_inbox: bool = False


class Waits:
    """Starts the wait calls of one client, and creates what they may wait for.

    Args:
        hub: What all wait calls under one key share.
        pipeline: How requests are sent.
        max_in_flight: Requests of one call at once, where the call does not say.
    """

    __slots__ = ("_hub", "_max_in_flight", "_pipeline")

    def __init__(self, hub: Claims, pipeline: Pipeline, max_in_flight: int) -> None:
        self._hub = hub
        self._pipeline = pipeline
        self._max_in_flight = max_in_flight

    def options(
        self,
        timeout: float | None,
        total_timeout: float | None,
        max_in_flight: int | None,
        schedule: PollSchedule | None,
        *,
        on_progress: OnProgress | None = None,
        from_add: bool = False,
        max_ready: int = MAX_READY,
    ) -> WaitOptions:
        """Return how a call waits.

        Raises:
            ConfigurationError: Something of it cannot be used.
        """
        if schedule is not None and not isinstance(schedule, PollSchedule):
            raise errors.ConfigurationError(f"schedule is a PollSchedule, not {type(schedule).__name__}")
        if on_progress is not None:
            check_plain_callback("on_progress", on_progress)
        return WaitOptions(
            timeout=check_timeout("timeout", timeout),
            total_timeout=check_timeout("total_timeout", total_timeout),
            max_in_flight=self._max_in_flight if max_in_flight is None else check_count("max_in_flight", max_in_flight),
            schedule=schedule if schedule is not None else _LEARNED,
            on_progress=on_progress,
            from_add=from_add,
            max_ready=check_count("max_ready", max_ready),
            heeds_inbox=schedule is None,
        )

    def start(self, source: IdSource, options: WaitOptions) -> WaitCall:
        """Return a wait call, not entered yet."""
        return WaitCall(self._hub, self._pipeline, source, options)

    async def of_one(self, id: str, options: WaitOptions) -> Outcome:
        """Run a wait for one id to its end."""
        return await self.start(_NO_IDS, options).of_one(id)

    async def create(
        self,
        operation: Operation[Analysis],
        ticket: Ticket | None = None,
        *,
        timeout: float | None,
        is_patient: bool = False,
        on_answer: Callable[[], object] | None = None,
    ) -> Analysis:
        """Request an analysis, on a slot if one was taken; the moment of its creation helps to wait for it."""
        created = await self._pipeline.run(
            operation, timeout=timeout, ticket=ticket, is_patient=is_patient, on_answer=on_answer
        )
        self._hub.on_created(created, server_now=self._pipeline.server_now())
        return created

    async def collect(self, source: IdSource, options: WaitOptions, on_outcome: OnOutcome | None = None) -> Outcomes:
        """Run a wait call to its end and return all outcomes in the order of the input.

        What an `on_outcome` that is a coroutine function returns is awaited before the next outcome is taken.

        Raises:
            IdSourceError: The source raised; the outcomes so far are on the error.
        """
        waiting = self.start(source, options)
        if source.total == 1 and (only := source.at_once()) is not None:
            outcome = await waiting.of_one(only)
            if on_outcome is not None:
                await await_told("on_outcome", on_outcome(outcome))
            return Outcomes((outcome,))
        found: dict[str, Outcome] = {}
        try:
            async with waiting as finished:
                async for outcome in finished:
                    found.setdefault(outcome.id, outcome)
                    if on_outcome is not None:
                        await await_told("on_outcome", on_outcome(outcome))
                        continue
                    for other in finished.take_ready():
                        found.setdefault(other.id, other)
        except errors.IdSourceError as error:
            error.outcomes = source.in_order(found)
            raise
        return source.in_order(found)


@dataclass(slots=True)
class Shared:
    """What a client and its views have in common."""

    pool: SessionPool
    random: Callable[[], float]
    observer: Observer
    inbox: WebhookInbox
    has_inbox: bool  # whether it is the caller's, so that webhooks can be expected
    budget: RetryBudget = field(default_factory=RetryBudget)
    model: PollModel = field(default_factory=PollModel)
    hubs: dict[Secret, Claims] = field(default_factory=dict)

    def hub(self, key: Secret) -> Claims:
        """Return where the waits under one key meet."""
        # By key: the same id of two organizations is two analyses, and an answer must not pass between them.
        if key not in self.hubs:
            self.hubs[key] = Claims(self.model, self.inbox, has_inbox=self.has_inbox)
        return self.hubs[key]


class Claims:
    """Where the wait calls under one key meet, so that an id is polled once however many wait for it.

    Args:
        model: How long analyses take, as far as learned.
        inbox: Where webhooks announce what has settled. One of the caller's is listened to while anybody waits.
        has_inbox: Whether it is the caller's, so that webhooks can be expected.
    """

    __slots__ = ("_created", "_followers", "_home", "_inbox", "_owners", "contact", "model", "trust")

    def __init__(self, model: PollModel, inbox: WebhookInbox, *, has_inbox: bool = False) -> None:
        self.model: PollModel = model
        self._inbox = inbox
        self.trust: InboxTrust = InboxTrust(has_inbox=has_inbox)
        self._home = OneLoop()
        self._owners: dict[str, WaitCall] = {}  # the call that polls an id
        self._followers: dict[str, list[WaitCall]] = {}  # others that wait for it too, in order of arrival
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
            # Their queues are never touched again, so nobody else would take their ids off the model.
            self.model.pending -= len(self._owners)
            self._owners.clear()
            self._followers.clear()
        for poller in self.contact.forget():
            _call_in(before, poller.wake)

    def claim(self, id: str, call: WaitCall) -> bool:
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
            owner.poller.wake_stalled()
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
            raise errors.ConfigurationError(
                "a webhook event came in another thread than the one that waits for its analysis: hand it over with "
                "loop.call_soon_threadsafe(client.settle, event)"
            )
        self.trust.on_event(_clock.now())
        self._tell(owner, owner.poller.on_announced, id)

    def on_silence(self, sent_at: float) -> None:
        """A poll found settled what no event had announced: from now on all calls poll as if there were no inbox."""
        if self.trust.on_silence(sent_at):
            for call in dict.fromkeys(self._owners.values()):
                self._tell(call, call.poller.wake)

    def _disown(self, id: str) -> None:
        self._owners.pop(id, None)
        if not self._owners and self.trust.has_inbox:
            self._inbox.forget(self._on_announced)

    def owner_of(self, id: str) -> WaitCall | None:
        """Return the call that polls the id."""
        return self._owners.get(id)

    def settle(self, outcome: Outcome, call: WaitCall) -> None:
        """The owner has an outcome that holds for everybody."""
        if self._owners.get(outcome.id) is not call:
            return
        self._disown(outcome.id)
        if self._followers:
            for follower in self._followers.pop(outcome.id, ()):
                self._tell(follower, follower.on_shared_outcome, outcome)

    def release(self, id: str, call: WaitCall, known: Entry | None = None) -> None:
        """The owner waits no more: the first that follows polls it from now on, and knows what the owner saw."""
        if self._owners.get(id) is not call:
            return  # left behind by a loop that is gone, and collected when another call owns the id
        followers = self._followers.get(id)
        if not followers:
            self._disown(id)
            return
        self._inherit(id, self._best_heir(followers, call), known)

    def followed_of(self, call: WaitCall) -> list[str]:
        """Return the ids that `call` polls and for which others wait who could poll them as well."""
        return [
            id
            for id, followers in self._followers.items()
            if self._owners.get(id) is call and not self._best_heir(followers, call).poller.is_ahead_of_caller
        ]

    def swap(self, id: str, call: WaitCall, known: Entry) -> None:
        """The owner polls an id no more, as its caller is behind, and waits from now on for what a follower sees."""
        followers = self._followers[id]
        heir = self._best_heir(followers, call)
        followers.append(call)
        self._inherit(id, heir, known)

    def _best_heir(self, followers: list[WaitCall], call: WaitCall) -> WaitCall:
        """Return the first that would poll at once: on the loop that runs, and with a caller who takes outcomes."""
        return min(followers, key=lambda one: (one.loop is not call.loop, one.poller.is_ahead_of_caller))

    def _inherit(self, id: str, heir: WaitCall, known: Entry | None) -> None:
        followers = self._followers[id]
        followers.remove(heir)
        if not followers:
            del self._followers[id]
        self._owners[id] = heir
        self._tell(heir, heir.own, id, known)

    def _tell(self, call: WaitCall, callback: Callable[..., object], *facts: object) -> None:
        if call.loop is self._home.loop:
            callback(*facts)
        else:
            _call_in(call.loop, callback, *facts)

    def unfollow(self, id: str, call: WaitCall) -> None:
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
