"""Where the waits of a client begin, and where they meet.

`IdSource`: which ids a call is for: those of any iterable, each checked and given once. `Waits` begins a wait: how it
goes where the call does not say. In `Claims` all waits under one key meet, so that an id is polled once however many
wait for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Collection, Iterable, Iterator, Mapping
from typing import TypeAlias

import anyio
import anyio.lowlevel
import msgspec

from kallglot_async import _clock, errors
from kallglot_async._checks import check_count, check_plain_callback, check_timeout, shown
from kallglot_async._clock import OneLoop
from kallglot_async._core.api.analyses import check_analysis_id
from kallglot_async._core.polling.pending import Creates, Entry
from kallglot_async._core.polling.schedule import PollSchedule
from kallglot_async._core.polling.trouble import FirstContact
from kallglot_async._core.polling.worth import InboxTrust, PollModel
from kallglot_async._events import await_told
from kallglot_async._waiting.call import OnProgress, WaitCall
from kallglot_async._waiting.endings import settled_at_once
from kallglot_async._waiting.following import Followers
from kallglot_async._wire.pipeline import Pipeline
from kallglot_async.errors import ConfigurationError, InvalidIdError
from kallglot_async.models import Analysis, Outcome, Outcomes
from kallglot_async.webhooks import WebhookInbox

__all__ = ["MAX_READY", "Claims", "IdSource", "Ids", "OnCreated", "OnOutcome", "WaitOptions", "Waits"]

Ids: TypeAlias = Iterable[str] | AsyncIterable[str]
OnOutcome: TypeAlias = Callable[[Outcome], object]
OnCreated: TypeAlias = Callable[[str, Analysis], object]

MAX_READY = 1_000  # outcomes that lie undelivered before a wait stops to take slots
_BREATH = 100  # ids pulled before others get their turn
_LEARNED = PollSchedule.learned()
_GIVEN_BEFORE = ""  # no id is empty


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
    on_progress: OnProgress | None
    from_add: bool
    max_ready: int
    heeds_inbox: bool


class IdSource:
    """The ids of one batch, each given once, and pulled one by one for as long as they are wanted.

    Of a collection the `total` is known. Anything else is pulled one by one as there is room for more. Something that
    is no id is given as the `InvalidIdError` it stands for, wherever it comes from.

    Args:
        ids: Any iterable or asynchronous iterable of analysis ids.
        remember: Whether ids of a lazy source are remembered, to give each once and to restore their order.
            That costs memory for each id; without it, repetitions are given again.
        check: Returns an id as plain text; raises `InvalidIdError` for what is none of the kind that is meant.

    Raises:
        ConfigurationError: It is one text, or nothing that can be iterated.

    Attributes:
        total: How many there are, where that is known.
        error: What the caller's iterable raised.
    """

    __slots__ = ("_awaited", "_check", "_is_stopped", "_order", "_plain", "_pulled", "_scope", "error", "total")

    def __init__(self, ids: Ids, *, remember: bool, check: Callable[[object], str] = check_analysis_id) -> None:
        self._check = check
        if isinstance(ids, str | bytes):
            raise ConfigurationError(f"ids is one text, {shown(ids)}: pass a list of ids, or use wait()")
        self._order: dict[str, str | InvalidIdError] | None = {} if remember else None
        # Where they come from: one of the two, as what need not be awaited is not.
        self._plain: Iterator[str | InvalidIdError] = iter(())
        self._awaited: AsyncGenerator[str | InvalidIdError, None] | None = None
        self.total: int | None = None
        if isinstance(ids, Collection):
            named = {item if isinstance(item, str) else item.id: item for item in map(self._checked, ids)}
            self._order, self._plain, self.total = named, iter(named.values()), len(named)
        elif isinstance(ids, AsyncIterable):
            self._awaited = self._await_each(ids)
        elif isinstance(ids, Iterable):
            self._plain = self._each(ids)
        else:
            raise ConfigurationError(f"ids is not iterable but {type(ids).__name__}: pass a list of ids")
        self._is_stopped, self._pulled = False, 0
        self._scope: anyio.CancelScope | None = None
        self.error: BaseException | None = None

    @property
    def ids(self) -> list[str]:
        """The ids that are remembered, in order: all of a collection, those that were pulled of anything else."""
        return list(self._order or ())

    def in_order(self, found: Mapping[str, Outcome | None]) -> Outcomes:
        """Return the outcomes in the order of the input."""
        ordered = map(found.get, found if self._order is None else self._order)
        return Outcomes(filter(None, ordered))

    # -- one by one

    def at_once(self) -> str | InvalidIdError | None:
        """Return the next one of a collection, for which nothing has to be awaited; None: it takes `next` to know."""
        # Now and then it takes `next`, which gives others their turn.
        if self.total is None or self._pulled % _BREATH == _BREATH - 1:
            return None
        self._pulled += 1
        return next(self._plain, None)

    async def next(self) -> str | InvalidIdError | None:
        """Return the next one; None: there are no more, the iterable raised, or nothing more is wanted."""
        while (item := await self._pull()) == _GIVEN_BEFORE:
            pass
        return item

    async def _pull(self) -> str | InvalidIdError | None:
        if self._is_stopped or self.error is not None:
            return None
        self._pulled += 1
        if self._pulled % _BREATH == 0:
            # A source that never awaits must not hold up everybody else.
            await anyio.lowlevel.checkpoint()
        try:
            if self._awaited is None:
                return next(self._plain, None)
            with anyio.CancelScope() as self._scope:
                return await anext(self._awaited, None)
        # The caller's own code: raised at the end, when what it gave before has its outcome.
        except Exception as error:
            self.error = error
        except asyncio.CancelledError as error:
            # Nobody cancelled us: the iterable awaited something that was cancelled, which is an error of its own.
            if _clock.is_cancelled():
                raise
            self.error = error
        return None

    def stop(self) -> None:
        """Want nothing more of an asynchronous iterable, which may take for ever; a plain one names the rest."""
        if self._awaited is not None:
            self._is_stopped = True
            if self._scope is not None:
                self._scope.cancel()

    async def aclose(self) -> None:
        """Let go of the iterable."""
        if self._awaited is not None:
            await self._awaited.aclose()

    def _each(self, ids: Iterable[str]) -> Iterator[str | InvalidIdError]:
        for id in ids:
            yield self._new(id)

    async def _await_each(self, ids: AsyncIterable[str]) -> AsyncGenerator[str | InvalidIdError, None]:
        async for id in ids:
            yield self._new(id)

    def _new(self, id: str) -> str | InvalidIdError:
        """Return the id, its error, or `_GIVEN_BEFORE`: a source of repetitions must not hold up everybody either."""
        item = self._checked(id)
        if self._order is not None:
            name = item if isinstance(item, str) else item.id
            if name in self._order:
                return _GIVEN_BEFORE
            self._order[name] = item
        return item

    def _checked(self, id: str) -> str | InvalidIdError:
        try:
            return self._check(id)
        except InvalidIdError as error:
            # It is kept and not raised: its frames would keep alive what they hold.
            return error.with_traceback(None)


# One for all such calls: nothing is pulled from it, so it never changes.
_NO_IDS = IdSource((), remember=False)  # of a call whose one id comes with it


class Waits:
    """Starts the wait calls of one client.

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
            max_in_flight=self.at_once(max_in_flight),
            schedule=schedule if schedule is not None else _LEARNED,
            on_progress=on_progress,
            from_add=from_add,
            max_ready=check_count("max_ready", max_ready),
            # Who names a schedule has it kept, whatever webhooks say.
            heeds_inbox=schedule is None,
        )

    def at_once(self, max_in_flight: int | None) -> int:
        """Return how many requests of one call there may be at once.

        Raises:
            ConfigurationError: It is no whole number from 1 up.
        """
        return self._max_in_flight if max_in_flight is None else check_count("max_in_flight", max_in_flight)

    def start(self, source: IdSource, options: WaitOptions) -> WaitCall:
        """Return a wait call, not entered yet."""
        return WaitCall(self._hub, self._pipeline, source, options)

    async def of_one(self, id: str, options: WaitOptions) -> Outcome:
        """Run a wait for one id to its end."""
        # Who polls it already has its place, if it was requested here.
        if id not in self._hub.creates or self._hub.owner_of(id) is not None:
            return await self.start(_NO_IDS, options).of_one(id)
        with self._pipeline.lane("analysis").admission.hold(options.timeout):
            return await self.start(_NO_IDS, options).of_one(id)

    def outcome_of(self, created: Analysis) -> Outcome | None:
        """Return the outcome of an analysis that was settled as it was created; None: it is to be waited for."""
        return settled_at_once(created, self._pipeline)

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
                    found[outcome.id] = outcome
                    if on_outcome is not None:
                        await await_told("on_outcome", on_outcome(outcome))
                        continue
                    # Nobody is told of each, so what has come together is taken together.
                    found.update((other.id, other) for other in finished.take_ready())
        except errors.IdSourceError as error:
            error.outcomes = source.in_order(found)
            raise
        return source.in_order(found)


class Claims:
    """Where the wait calls under one key meet, so that an id is polled once however many wait for it.

    Args:
        model: How long analyses take, as far as learned.
        inbox: Where webhooks announce what has settled. One of the caller's is listened to while anybody waits.
        has_inbox: Whether it is the caller's, so that webhooks can be expected.
    """

    __slots__ = ("_followers", "_home", "_inbox", "_owners", "contact", "creates", "model", "trust")

    def __init__(self, model: PollModel, inbox: WebhookInbox, *, has_inbox: bool = False) -> None:
        self.model: PollModel = model
        self._inbox = inbox
        self.trust: InboxTrust = InboxTrust(has_inbox=has_inbox)
        self._home = OneLoop()
        self._owners: dict[str, WaitCall] = {}  # the call that polls an id
        self._followers = Followers()  # others that wait for it too
        self.contact: FirstContact = FirstContact()
        self.creates: Creates = Creates()
        if not has_inbox:
            # The client's own: it lives as long as we do, and nobody else's wait is in it.
            inbox.listen(self._on_announced)

    def __len__(self) -> int:
        """How many ids are waited for."""
        return len(self._owners)

    def enter(self, loop: asyncio.AbstractEventLoop) -> None:
        """Serve the waits of this event loop from now on.

        Raises:
            ConfigurationError: Another loop, which runs, has waits here.
        """
        if (before := self._home.loop) is loop:
            return
        if not self._owners:
            self._home.loop = None  # nobody's, so anybody's
        # True: those waits were a closed loop's, or the parent's of a fork.
        if self._home.enter(loop):
            # Their queues are never touched again, so nobody else would take their ids off the model.
            self.model.pending -= len(self._owners)
            self._owners.clear()
            self._followers.clear()
        for poller in self.contact.forget():
            _clock.call_in(before, poller.wake)

    def claim(self, id: str, call: WaitCall) -> bool:
        """Make `call` the one that polls the id; False where another does, which `call` then follows.

        One on a loop that stands still is not followed, and its own followers are left to whoever polls now.

        Raises:
            ConfigurationError: Another loop, which runs, has waits here.
        """
        self.enter(call.loop)
        owner = self._owners.get(id)
        if owner is not None and owner.loop is call.loop:
            self._followers.add(id, call)
            # The caller of that one may be behind, and this one not: then it hands the id over.
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
        # Else the event may be an old one, and no sign that the next will come.
        if id in self.creates:
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

    def release(self, id: str, call: WaitCall, known: Entry) -> None:
        """The owner polls it no more: who follows best polls it from now on, and knows what the owner saw."""
        if self._owners.get(id) is not call:
            # Left behind by a loop that is gone, and collected when another call owns the id.
            return
        heir = self._followers.heir_of(id, call) if self._followers else None
        if heir is None:
            self._disown(id)
            return
        self._followers.remove(id, heir)
        self._owners[id] = heir
        self._tell(heir, heir.own, id, known)

    def wanted_of(self, call: WaitCall) -> list[str]:
        """Return the ids that `call` polls and for which others wait who would poll them at once."""
        # Only where another would poll at once: two that are behind would pass an id to and fro.
        return [
            id
            for id in self._followers
            if self._owners.get(id) is call and self._followers.heir_of(id, call, at_once=True) is not None
        ]

    def _tell(self, call: WaitCall, callback: Callable[..., object], *facts: object) -> None:
        if call.loop is self._home.loop:
            callback(*facts)
        else:
            _clock.call_in(call.loop, callback, *facts)

    def unfollow(self, id: str, call: WaitCall) -> None:
        """`call` waits no more for an id that another polls."""
        self._followers.remove(id, call)
