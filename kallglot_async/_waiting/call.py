"""Waiting: `wait`, `wait_many` and `as_completed` are one engine, `WaitCall`.

A wait call pulls ids from its source, has them polled by its `Poller`, and delivers one outcome for each. Ids
that another call of the same client polls already are followed instead, and taken over when that call leaves.
Everything lives in the task group of the call; where there is one id, by `wait` or by `wait_many`, in the task of its
caller.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable
from contextlib import aclosing
from contextvars import copy_context
from types import TracebackType
from typing import TYPE_CHECKING, Self

import anyio
from anyio.abc import TaskGroup

from kallglot_async import _clock, errors
from kallglot_async._checks import shown
from kallglot_async._clock import Alarm, Deadline, Watch
from kallglot_async._core.polling.pending import LATE, LATE_LOOK, Entry
from kallglot_async._core.polling.worth import is_worth_last_look
from kallglot_async._events import PlainCallback
from kallglot_async._waiting.endings import elapsed_of, polls_of, timed_out
from kallglot_async._waiting.following import Followed
from kallglot_async._waiting.poller import Poller
from kallglot_async._wire.pipeline import Pipeline
from kallglot_async.models import Outcome, Progress, SettledEvent

if TYPE_CHECKING:
    from kallglot_async._waiting.waits import Claims, IdSource, WaitOptions

__all__ = ["OnProgress", "WaitCall", "is_settled"]

OnProgress = Callable[[Progress], object]

_AT_ONCE = 64  # a smaller collection is taken in without a task; no await of that can suspend (`IdSource.next`)
_WINDOW = 10_000  # ids pending or undelivered at once; the rest stay in the caller's iterable


def is_settled(outcome: Outcome) -> bool:
    """Whether an id counts as settled, as `Progress` has it, and not as failed: a failed analysis has settled."""
    return outcome.error is None or isinstance(outcome.error, errors.AnalysisFailedError)


class WaitCall:
    """One call that waits for many ids: an async context manager around an async iterator of outcomes.

    Leaving the context, by whatever way, ends every task of the call and lets go of every id; requests in
    flight are cancelled. Outcomes are delivered as they settle. Enter and leave it in the same task.
    """

    def __init__(self, hub: Claims, pipeline: Pipeline, source: IdSource, options: WaitOptions) -> None:
        self._hub = hub
        self._pipeline = pipeline
        self._source = source
        self._options = options
        self._on_progress: PlainCallback[Progress] | None = None
        if options.on_progress is not None:
            self._on_progress = PlainCallback("on_progress", options.on_progress, "kallglot_async.waiting")
        self._group: TaskGroup | None = None  # None: the caller's own task does everything
        self._task: asyncio.Task[object] | None = None  # that entered the block
        self.ready: deque[Outcome] = deque()  # not taken yet
        self.watch: Watch = Watch(self._on_time, self._on_broken)
        self.poller: Poller = Poller(hub, pipeline, options, self)
        self._followed = Followed()  # what another call polls
        self._is_fed = self._is_over = False  # the source has given all it will give; and all of it has its outcome
        self._is_entered = self._is_left = False
        self._is_ending = False  # the last looks before the end of the whole call were due
        self._ending: Callable[[str], errors.KallglotError] | None = None  # why the rest is not waited for
        self._taken = self._settled = self._failed = 0
        self._broken: Exception | None = None  # what the watch raised, until the caller has heard of it
        self._alone: Deadline | None = None  # what ends the polling in `of_one`
        self._room = Alarm()  # the sleeper is the feeder
        self._delivery = Alarm()  # the sleepers are the consumers

    # -- the caller's side

    async def of_one(self, id: str | errors.InvalidIdError) -> Outcome:
        """Wait for an id in the caller's own task, in place of entering a block with tasks for many."""
        self._enter()
        try:
            self._take(id)
            self._is_fed = True
            while not self.ready:
                if self._broken is not None:
                    raise self._broken
                if self.poller.entries:
                    await self._poll_alone()
                else:  # another call polls it
                    await self._delivery.sleep_until()
            return self.ready.popleft()
        finally:
            self._let_go()

    async def _poll_alone(self) -> None:
        """Poll in the caller's own task, until there is an outcome, from here or from elsewhere."""
        # As a scope that others can end, it costs a tenth of anyio's. It stays known: once left, it ends nothing.
        self._alone = scope = Deadline(self.loop)
        try:
            with scope:
                await self.poller.work()
        except TimeoutError:
            if not scope.is_over:
                raise

    def _enter(self) -> None:
        self.loop: asyncio.AbstractEventLoop = _clock.running_loop()
        # The caller's: what it waits for may be told of in another's task, or by a timer.
        self._context = copy_context()
        # Refused here, a second loop is told as what it is. Refused as an id is claimed, it would be taken for an error
        # of the source, or come out of the task group.
        self._pipeline.lane("analysis").enter()
        self._hub.enter(self.loop)
        self._is_entered = True
        if self._options.total_timeout is not None:
            self.poller.ends_at = _clock.now() + self._options.total_timeout

    async def __aenter__(self) -> Self:
        if self._is_entered:
            raise errors.ConfigurationError("this wait was entered before: call as_completed again for another one")
        self._enter()
        self._task = asyncio.current_task()
        # By hand: it lives as long as the caller's block, which no `async with` in here can span.
        self._group = group = await anyio.create_task_group().__aenter__()
        self.poller.start(group)
        if (self._source.total or _AT_ONCE) < _AT_ONCE:
            await self._feed()
        else:
            group.start_soon(self._feed)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        # First, and awaiting nothing: who else wants these ids polls them from now on.
        self._let_go()
        if self._task is not asyncio.current_task():
            # By a generator that was left early, say, which the loop closes in a task of its own: to cancel the group
            # would be to cancel whoever entered it. What is in flight has its answer, and every task then its end.
            self._source.stop()
            self.ready.clear()
            self._room.ring()
        elif self._group is not None:
            self._group.cancel_scope.cancel()
            # The body's own exception is not the group's business: it passes as it is, not inside a group.
            await self._group.__aexit__(None, None, None)
        return False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Outcome:
        if not self._is_entered:
            raise errors.ConfigurationError(
                "outcomes come inside its block: `async with client.as_completed(ids) as finished:`, "
                "then `async for outcome in finished`"
            )
        while not self.ready:
            if self._broken is not None:
                # Told once, as what the source raises below: who takes outcomes again is told of the end.
                broken, self._broken = self._broken, None
                raise broken
            if self._is_left:
                raise StopAsyncIteration
            if self._is_over:
                if self._source.error is not None:
                    failure, self._source.error = self._source.error, None
                    raise errors.IdSourceError(f"the iterable of ids raised {shown(failure)}") from failure
                raise StopAsyncIteration
            if _clock.running_loop() is not self.loop:
                raise errors.ConfigurationError("outcomes are taken on the event loop that their block was entered on")
            await self._delivery.sleep_until()
        self._on_taken()
        return self.ready.popleft()

    def take_ready(self) -> list[Outcome]:
        """Return all outcomes that have not been taken yet, without waiting for one."""
        taken = list(self.ready)
        # First: what is stalled is told by how many there are.
        self._on_taken()
        self.ready.clear()
        return taken

    def _on_taken(self) -> None:
        """There is room again, for ids and for outcomes."""
        if not self._is_fed:
            self._room.ring()
        if not self._is_over:
            self.poller.wake_stalled()

    def progress(self) -> Progress:
        """Return a snapshot of how far the call has come."""
        return Progress(
            total=self._taken if self._is_fed else self._source.total,
            settled=self._settled,
            failed=self._failed,
            pending=self._pending,
            requests=self.poller.requests,
            rate_limit=self._pipeline.lane("analysis").state(),
        )

    @property
    def _pending(self) -> int:
        return len(self.poller.entries) + len(self._followed.ends)

    # -- ids in

    async def _feed(self) -> None:
        """Pull ids while there is room for them."""
        try:
            async with aclosing(self._source):
                while (item := self._source.at_once() or await self._source.next()) is not None:
                    # It came in the very turn: nobody here would ever poll it, or let go of it.
                    if self._is_left:
                        break
                    self._take(item)
                    # The first condition is there for speed: what was never taken in cannot be pending.
                    while self._taken >= _WINDOW and self._pending + len(self.ready) >= _WINDOW:
                        await self._room.sleep_until()
        # The caller's own code, as it was let go of.
        except Exception as error:
            self._source.error = self._source.error or error
        self._is_fed = True
        self._finish_if_over()
        self._delivery.ring()

    def _take(self, id: str | errors.InvalidIdError) -> None:
        if isinstance(id, errors.InvalidIdError):
            self._taken += 1
            self._deliver(Outcome(id=id.id, error=id))
        elif id not in self.poller.entries and id not in self._followed.ends:
            self._taken += 1
            if self._ending is not None:
                self._deliver(Outcome(id=id, error=self._ending(id)))
            elif self._hub.claim(id, self):
                self.poller.add(id)
            else:
                self._follow(id)

    def _follow(self, id: str, ends_at: float | None = None) -> None:
        if ends_at is None:
            timeout = self._options.timeout
            # From now on, as it has no first poll of its own to count from.
            ends_at = math.inf if timeout is None else _clock.now() + timeout
        self._followed.add(id, ends_at)
        self.watch.ring()

    def on_stalled(self) -> None:
        """The caller is behind: what others wait for too, they poll from now on, and are followed."""
        # But what is in flight: its answer comes first, and another request for it would be one too many.
        for id in self._hub.wanted_of(self):
            if not self.poller.entries[id].in_flight and (known := self.poller.discard(id)) is not None:
                self._follow(id, known.deadline)
                self._hub.release(id, self, known)
                # It is another's now, so this only puts us in line behind.
                self._hub.claim(id, self)

    # -- told by `Claims`, for other calls of the client

    def own(self, id: str, known: Entry) -> None:
        """The call that polled the id polls it no more: poll it from now on, as it was left."""
        self.poller.adopt(known, ends_at=self._followed.ends.pop(id))
        # Who waits for this one alone polls it now.
        self._delivery.ring()

    def on_shared_outcome(self, outcome: Outcome) -> None:
        """The call that polls the id has its outcome."""
        if self._followed.ends.pop(outcome.id, None) is not None:
            self._deliver(outcome)
            self.on_answer()

    # -- time

    def _on_time(self) -> float:
        """End what is over at this moment: ids, followed ids, the whole call. Return when to look again."""
        now = _clock.now()
        next_end = self.poller.next_end(now)
        if self._followed.ends:
            next_end = min(next_end, self._next_follow_look(now), self._next_follow_end(now))
        if self.poller.ends_at <= now and self._ending is None and not self.poller.grant_late_looks(now):
            closed_for = self._pipeline.lane("analysis").closed_for(now)
            self.on_over(lambda id: timed_out(id, self._known(id), closed_for=closed_for))
        if self._ending is not None:
            return next_end
        return min(next_end, self._next_last_look(now), self.poller.ends_at)

    def _next_last_look(self, now: float) -> float:
        """Have what was polled looked at once more, shortly before the whole call is over; return when.

        Infinity once done. As of an id's own time: what was never polled has no last look.
        """
        if not self._is_ending and self.poller.ends_at - self.poller.lead <= now:
            self._is_ending = True
            self.poller.look_at(*(entry for entry in self.poller.entries.values() if entry.polls))
            for id in self._followed.ends:
                self._have_looked_at(id)
        return math.inf if self._is_ending else self.poller.ends_at - self.poller.lead

    def _next_follow_look(self, now: float) -> float:
        """Have each followed id looked at once more, shortly before the wait for it is over here; return the next."""
        while (id := self._followed.pop_look(now + self.poller.lead)) is not None:
            self._have_looked_at(id)
        return self._followed.next_look() - self.poller.lead

    def _have_looked_at(self, id: str) -> None:
        """Have it looked at by the call that polls it, as that one's own polls go."""
        owner, known = self._hub.owner_of(id), self._known(id)
        if owner is not None and known is not None and is_worth_last_look(known, _clock.now()):
            owner.poller.look_at(known)

    def _next_follow_end(self, now: float) -> float:
        """End every followed id whose time is over, and return the moment at which to come back for the next."""
        while (due := self._followed.pop_due(now)) is not None:
            at, id = due
            # Nothing here ran: whoever polls it has a late look, and the outcome of that is ours too.
            if now > at + LATE:
                self._followed.add(id, now + LATE_LOOK)
                continue
            error = timed_out(id, self._known(id), closed_for=self._pipeline.lane("analysis").closed_for(now))
            self._forget(id)
            self._deliver(Outcome(id=id, error=error, polls=error.polls, elapsed=error.elapsed))
        return self._followed.next_end()

    def _on_broken(self, error: Exception) -> None:
        self._broken = error
        self._wake()

    def _known(self, id: str) -> Entry | None:
        owner = self._hub.owner_of(id)
        return owner.poller.entries.get(id) if owner is not None else None

    # -- outcomes out

    def on_end(self, outcome: Outcome, known: Entry) -> None:
        """An id that this call polls has its end; `known`: what its polls have seen."""
        if outcome.error is not None and isinstance(outcome.error, errors.WaitTimeoutError):
            # This call's time is over; others may have more.
            self._hub.release(outcome.id, self, known)
        else:
            self._hub.settle(outcome, self)
        self._deliver(outcome)

    def _deliver(self, outcome: Outcome) -> None:
        self._settled += is_settled(outcome)
        self._failed += not is_settled(outcome)
        self.ready.append(outcome)
        if self._pipeline.observer.callback.is_on:
            name = None if outcome.error is None else type(outcome.error).__name__
            told = {"id": outcome.id, "error": name, "polls": outcome.polls, "elapsed": outcome.elapsed}
            self._context.copy().run(self._pipeline.observer.emit, SettledEvent, **told)
        self._wake()
        self._finish_if_over()

    def _wake(self) -> None:
        """Wake who takes the outcomes, and whoever polls for one id alone out of a request that is not needed."""
        self._delivery.ring()
        # Not out of its own doing: that task sees by itself that there is an outcome.
        if self._alone is not None and asyncio.current_task() is not self._alone.task:
            self._alone.expire()

    def on_over(self, explain: Callable[[str], errors.KallglotError]) -> None:
        """End every id that is left, and every one still to come, with the error that `explain` gives for it."""
        if self._ending is not None:
            return
        self._ending = explain
        self._source.stop()
        for id in [*self.poller.entries, *self._followed.ends]:
            known, error = self._known(id), explain(id)
            self._forget(id)
            self._deliver(Outcome(id=id, error=error, polls=polls_of(known), elapsed=elapsed_of(known)))
        # The source has ids left, maybe: the feeder goes on, so that each of them has the same end.
        self._room.ring()

    def _forget(self, id: str) -> None:
        """Wait for an id no more, and leave it to the calls that still want it."""
        if (known := self.poller.discard(id)) is not None:
            self._hub.release(id, self, known)
        elif self._followed.ends.pop(id, None) is not None:
            self._hub.unfollow(id, self)

    def _let_go(self) -> None:
        self._is_left = True
        if not self._is_over:
            self._stop()
        self._delivery.ring()
        for id in [*self.poller.entries, *self._followed.ends]:
            self._forget(id)

    def _finish_if_over(self) -> None:
        if self._is_fed and not self.poller.entries and not self._followed.ends:
            self._is_over = True
            self._stop()

    def _stop(self) -> None:
        self.poller.stop()
        self.watch.stop()

    def on_answer(self) -> None:
        if self._on_progress is not None:
            self._context.copy().run(self._on_progress.tell, self.progress)
