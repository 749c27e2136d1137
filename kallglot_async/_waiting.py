"""Waiting: `wait`, `wait_many` and `as_completed` are one engine, `WaitCall`.

A wait call owns one `PollQueue` (which id is polled when), and a few workers that take turns at it: the one
whose turn it is sleeps until a poll is due, takes a slot at the limiter, and passes the turn on before it
sends. So there is no task for a pending id, and never more than `max_in_flight` requests at once.

Everything lives in the task group of the call. What calls of one client share is in `WaitHub`: what was
learned of how long analyses take, and which call polls which id, so that an id is polled once however many
wait for it.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import OrderedDict, deque
from collections.abc import Callable
from contextlib import aclosing
from types import TracebackType
from typing import Self

import anyio
import anyio.lowlevel

from kallglot_async import _clock, errors
from kallglot_async._batch import Alarm, IdSource
from kallglot_async._core.headers import parse_retry_after
from kallglot_async._core.ids import check_analysis_id
from kallglot_async._core.messages import Response, retrieve_analysis
from kallglot_async._core.polling import Entry, PollModel, PollQueue, PollSchedule
from kallglot_async._core.rate_limit import Ticket, Urgency
from kallglot_async._pipeline import Pipeline
from kallglot_async.models import Analysis, Outcome, Progress

__all__ = ["WaitCall", "WaitHub", "WaitOptions"]

_log = logging.getLogger("kallglot_async.waiting")

_WINDOW = 10_000  # ids pending or undelivered at once; the rest stay in the caller's iterable
_BREATH = 100  # ids pulled from a source that never awaits, before others get their turn
_GRACE = 10.0  # seconds after our own create during which a 404 only means "not visible yet"
_SHORTEST_LEAD = 0.1  # seconds before a deadline at which the last look is sent, at least
_RE_ASK = 0.05  # seconds after which a slot that nothing was worth is asked for again
_BATCH_ENDING = (errors.AuthenticationError, errors.InsufficientCreditsError, errors.PermissionDeniedError)


class WaitOptions:
    """How one wait call waits: plain values, checked by the client."""

    __slots__ = ("max_in_flight", "on_progress", "schedule", "timeout", "total_timeout")

    def __init__(
        self,
        *,
        timeout: float | None,
        total_timeout: float | None,
        max_in_flight: int,
        schedule: PollSchedule,
        on_progress: Callable[[Progress], object] | None,
    ) -> None:
        self.timeout = timeout
        self.total_timeout = total_timeout
        self.max_in_flight = max_in_flight
        self.schedule = schedule
        self.on_progress = on_progress


class WaitHub:
    """What all wait calls of one client share."""

    __slots__ = ("_created", "followers", "model", "owners", "pipeline", "random")

    def __init__(self, pipeline: Pipeline, random: Callable[[], float]) -> None:
        self.pipeline = pipeline
        self.random = random
        self.model = PollModel()
        self.owners: dict[str, WaitCall] = {}  # the call that polls an id
        self.followers: dict[str, list[WaitCall]] = {}  # others that wait for it too
        self._created: OrderedDict[str, float] = OrderedDict()

    def on_created(self, id: str) -> None:
        """This client has just created an analysis: it may not be visible everywhere yet."""
        now = _clock.now()
        self._created[id] = now
        while self._created and next(iter(self._created.values())) < now - _GRACE:
            self._created.popitem(last=False)

    def may_not_be_visible_yet(self, id: str) -> bool:
        """Whether a 404 may only mean that the create has not spread yet."""
        return self._created.get(id, -math.inf) > _clock.now() - _GRACE


class WaitCall:
    """One call that waits for many ids: an async context manager around an async iterator of outcomes.

    Leaving the context, by whatever way, ends every task of the call and lets go of every id; requests in
    flight are cancelled. Outcomes are delivered as they settle. Enter and leave it in the same task.
    """

    def __init__(self, hub: WaitHub, source: IdSource, options: WaitOptions) -> None:
        self._hub = hub
        self._pipeline = hub.pipeline
        self._lane = hub.pipeline.lane("analysis")
        self._source = source
        self._options = options
        self._queue = PollQueue(
            hub.model,
            schedule=options.schedule,
            timeout=options.timeout,
            random=hub.random,
            lead=_SHORTEST_LEAD,
        )
        self._entries: dict[str, Entry] = {}  # polled by this call
        self._joined: dict[str, float] = {}  # polled by another call of this client: id to when we joined
        self._join_deadlines: deque[tuple[float, str]] = deque()
        self._ready: deque[Outcome] = deque()
        self._is_fed = False  # the source has given all it will give
        self._source_error: Exception | None = None
        self._ending: Callable[[str], errors.KallglotError] | None = None  # why the rest is not waited for
        self._ends_at = math.inf
        self._taken = self._settled = self._failed = self._requests = 0
        self._in_flight = self._workers = self._idle = 0
        self._turn = anyio.Lock(fast_acquire=True)
        # One sleeper each: the worker whose turn it is, the deadline watch, the feeder, the consumer.
        self._due, self._deadline, self._room, self._delivery = Alarm(), Alarm(), Alarm(), Alarm()
        self._group = anyio.create_task_group()

    # -- the caller's side

    async def __aenter__(self) -> Self:
        if self._options.total_timeout is not None:
            self._ends_at = _clock.now() + self._options.total_timeout
        await self._group.__aenter__()
        self._group.start_soon(self._feed)
        self._group.start_soon(self._watch_deadlines)
        self._start_worker()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self._let_go()
        self._group.cancel_scope.cancel()
        # The body's own exception is not the group's business: it passes as it is, not inside a group.
        await self._group.__aexit__(None, None, None)
        return False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Outcome:
        while not self._ready:
            if self._is_over:
                self._group.cancel_scope.cancel()
                if self._source_error is not None:
                    failure, self._source_error = self._source_error, None
                    raise errors.IdSourceError(f"the iterable of ids raised {failure!r}") from failure
                raise StopAsyncIteration
            await self._delivery.sleep_until()
        self._room.ring()
        return self._ready.popleft()

    def progress(self) -> Progress:
        """Return a snapshot of how far the call has come."""
        pending = len(self._entries) + len(self._joined)
        return Progress(
            total=self._source.total if not self._is_fed else self._taken,
            settled=self._settled,
            failed=self._failed,
            pending=pending,
            requests=self._requests,
            rate_limit=self._lane.state(),
        )

    @property
    def _is_over(self) -> bool:
        return self._is_fed and not self._entries and not self._joined

    # -- ids in

    async def _feed(self) -> None:
        """Pull ids while there is room for them."""
        try:
            async with aclosing(aiter(self._source)) as ids:
                async for item in ids:
                    self._take(item)
                    if self._taken % _BREATH == 0:
                        await anyio.lowlevel.checkpoint()
                    while len(self._entries) + len(self._joined) + len(self._ready) >= _WINDOW:
                        await self._room.sleep_until()
                    if self._ending is not None and self._source.is_async:
                        break  # it may take for ever to say what is not waited for any more
        except Exception as error:  # the caller's own code: delivered to the caller at the end
            self._source_error = error
        self._is_fed = True
        self._wake_all()

    def _take(self, id: str | errors.InvalidIdError) -> None:
        if isinstance(id, errors.InvalidIdError):
            self._taken += 1
            self._deliver(Outcome(id=id.id, error=id))
            return
        if id in self._entries or id in self._joined:
            return
        self._taken += 1
        if self._ending is not None:
            self._deliver(Outcome(id=id, error=self._ending(id)))
        elif id in self._hub.owners:
            self._join(id)
        else:
            self._own(id)

    def _own(self, id: str) -> None:
        self._hub.owners[id] = self
        self._entries[id] = self._queue.add(id, check_analysis_id(id).name, _clock.now())
        self._due.ring()

    def _join(self, id: str) -> None:
        """Another call of this client polls it already: wait for that one's answer."""
        self._hub.followers.setdefault(id, []).append(self)
        now = self._joined[id] = _clock.now()
        if self._options.timeout is not None:
            self._join_deadlines.append((now + self._options.timeout, id))
            self._deadline.ring()

    # -- polls

    def _start_worker(self) -> None:
        self._workers += 1
        self._idle += 1
        self._group.start_soon(self._work)

    async def _work(self) -> None:
        while True:
            async with self._turn:
                job = await self._next_job()
            if job is None:
                return
            self._idle -= 1
            has_more = len(self._queue) > self._in_flight or not self._is_fed
            if not self._idle and has_more and self._workers < self._options.max_in_flight:
                self._start_worker()
            await self._poll(*job)
            self._idle += 1

    async def _next_job(self) -> tuple[Entry, Ticket] | None:
        """Sleep until a poll is worth a slot, take the slot, and choose the id to spend it on."""
        while not self._is_over:
            now = _clock.now()
            slot = self._queue.next_slot(now, self._lane.supply(now))
            if slot is None or slot.at > now:
                await self._due.sleep_until(math.inf if slot is None else slot.at)
                continue
            urgency = Urgency.AHEAD if slot.ahead else Urgency.PACED
            ticket = self._lane.try_acquire(urgency) or await self._queue_for_slot(urgency)
            if ticket is None:
                continue
            now = _clock.now()
            entry = self._queue.take(now, self._lane.supply(now))
            if entry is not None:
                self._in_flight += 1
                self._deadline.ring()  # a first poll starts a deadline
                return entry, ticket
            self._lane.unsent(ticket, urgency)
            await self._due.sleep_until(now + _RE_ASK)
        return None

    async def _queue_for_slot(self, urgency: Urgency) -> Ticket | None:
        """Wait in line; None where a last look falls due meanwhile, which may go ahead of the pace."""
        deadline = self._queue.next_deadline()
        if urgency is Urgency.AHEAD or deadline is None:
            return await self._lane.acquire(urgency)
        patience = max(_RE_ASK, deadline - self._queue.lead - _clock.now())
        with anyio.move_on_after(patience):
            return await self._lane.acquire(urgency)
        return None

    async def _poll(self, entry: Entry, ticket: Ticket) -> None:
        """Send one poll and report its answer to the queue."""
        operation = retrieve_analysis(entry.id)
        patience = self._patience(entry)
        try:
            async with asyncio.timeout(patience):
                analysis, response = await self._pipeline.send(operation, self._lane, ticket)
        except errors.RateLimitedError:
            self._requests += 1
            self._queue.on_refused(entry, _clock.now())
        except errors.RequestError as error:
            self._requests += isinstance(error, errors.APIError | errors.InvalidResponseError)
            self._on_failure(entry, error)
        except TimeoutError:
            text = f"a poll was not answered within {patience or 0.0:g} s"
            self._on_failure(entry, errors.RequestTimeoutError(text, operation=operation.name, timeout=patience))
        else:
            self._requests += 1
            self._on_answer(entry, analysis, response)
        finally:
            self._in_flight -= 1
            self._due.ring()
            self._deadline.ring()
            self._report_progress()

    def _patience(self, entry: Entry) -> float | None:
        """Seconds that a poll may take: the request's own limit, or less where a deadline comes first."""
        now = _clock.now()
        patience = self._pipeline.request_timeout or math.inf
        if entry.deadline is not None:
            patience = min(patience, entry.deadline - now)
        patience = max(0.0, min(patience, self._ends_at - now))
        return patience if patience < math.inf else None

    def _on_answer(self, entry: Entry, analysis: Analysis, response: Response) -> None:
        now = _clock.now()
        entry.data = None
        entry.last_status = analysis.status.value
        self._queue.lead = max(_SHORTEST_LEAD, 2.0 * self._pipeline.round_trip)
        if not analysis.is_settled:
            age, hint = self._when(analysis, response)
            self._queue.on_pending(entry, now, age=age, hint_in=hint)
            return
        took = None
        if analysis.created_at is not None and analysis.completed_at is not None:
            took = max(0.0, (analysis.completed_at - analysis.created_at).total_seconds())
        self._queue.on_settled(entry, now, took=took)
        if analysis.is_failed:
            reason = analysis.error_message or "no reason given"
            error = errors.AnalysisFailedError(f"analysis {analysis.id} failed", analysis=analysis)
            _log.debug("analysis %s failed (%d characters of reason)", analysis.id, len(reason))
            self._end(entry, error=error)
        else:
            self._end(entry, analysis=analysis)

    def _when(self, analysis: Analysis, response: Response) -> tuple[float | None, float | None]:
        """Return the age of a pending analysis, and the seconds after which the server would be asked again."""
        wall_now = self._pipeline.server_now()
        age = hint = None
        if analysis.created_at is not None:
            age = max(0.0, wall_now - analysis.created_at.timestamp())
        if "Retry-After" in response.headers:
            hint = parse_retry_after(response.headers, wall_now=wall_now)
        elif analysis.estimated_completion is not None:
            ahead = analysis.estimated_completion.timestamp() - wall_now
            hint = ahead if ahead > 0 else None
        return age, hint

    def _on_failure(self, entry: Entry, error: errors.RequestError) -> None:
        now = _clock.now()
        if isinstance(error, errors.NotFoundError) and self._hub.may_not_be_visible_yet(entry.id):
            self._queue.on_pending(entry, now)
            return
        history = (*(entry.data if isinstance(entry.data, tuple) else ()), str(error))
        entry.data = history
        delay = self._pipeline.policy.next_delay(retrieve_analysis(entry.id), error, entry.failures + 1)
        if delay is not None:
            self._queue.on_failed(entry, now, now + delay)
            return
        if entry.deadline is not None and now >= entry.deadline:
            return  # the deadline watch reports it as what it is: a timeout
        error.attempts, error.history = len(history), history
        self._queue.discard(entry)
        self._end(entry, error=error)
        if isinstance(error, _BATCH_ENDING):
            self._abandon(lambda id: _not_attempted(id, error))

    # -- deadlines

    async def _watch_deadlines(self) -> None:
        """Report every id whose time is over, at that time."""
        while not self._is_over:
            now = _clock.now()
            while (entry := self._queue.pop_expired(now)) is not None:
                self._end(entry, error=self._timed_out(entry.id, entry))
            while self._join_deadlines and self._join_deadlines[0][0] <= now:
                self._expire_joined(self._join_deadlines.popleft()[1])
            if self._ends_at <= now:
                self._ends_at = math.inf
                self._abandon(lambda id: self._timed_out(id, None))
            self._give_up_on_paused(now)
            await self._deadline.sleep_until(self._next_moment())

    def _next_moment(self) -> float:
        moments = [self._ends_at]
        deadline = self._queue.next_deadline()
        if deadline is not None:
            moments.append(deadline)
        if self._join_deadlines:
            moments.append(self._join_deadlines[0][0])
        return min(moments)

    def _give_up_on_paused(self, now: float) -> None:
        """End at once what the server's own pause outlasts: no poll can be answered before its deadline."""
        pause = self._lane.state().paused_for if self._queue.next_deadline() is not None else 0.0
        while pause and (deadline := self._queue.next_deadline()) is not None and deadline < now + pause:
            entry = self._queue.pop_expired(deadline)
            if entry is None:
                return
            error = self._timed_out(entry.id, entry)
            error.retry_after = pause
            self._end(entry, error=error)

    def _expire_joined(self, id: str) -> None:
        if id in self._entries:  # taken over meanwhile from the call that polled it
            entry = self._entries[id]
            self._queue.discard(entry)
            self._end(entry, error=self._timed_out(id, entry))
        elif id in self._joined:
            owner = self._hub.owners.get(id)
            entry_there = owner._entries.get(id) if owner is not None else None
            self._unfollow(id)
            error = self._timed_out(id, entry_there)
            self._deliver(Outcome(id=id, error=error, polls=error.polls, elapsed=error.elapsed))

    def _timed_out(self, id: str, entry: Entry | None) -> errors.WaitTimeoutError:
        entry = entry or self._entries.get(id)
        polls, elapsed, status = 0, 0.0, None
        if entry is not None:
            polls, status = entry.polls, entry.last_status
            if entry.first_poll_at is not None:
                elapsed = max(0.0, _clock.now() - entry.first_poll_at)
        seen = f"last seen {status}" if status else "never answered"
        return errors.WaitTimeoutError(
            f"analysis {id} was not settled after {elapsed:.1f} s and {polls} polls ({seen}); wait for it again",
            id=id,
            last_status=status,
            polls=polls,
            elapsed=elapsed,
        )

    # -- outcomes out

    def _end(
        self, entry: Entry, *, analysis: Analysis | None = None, error: errors.KallglotError | None = None
    ) -> None:
        """The id has its outcome: tell this call's consumer and everybody who follows."""
        if self._entries.pop(entry.id, None) is None:
            return  # reported already
        now = _clock.now()
        started = entry.first_poll_at if entry.first_poll_at is not None else now
        outcome = Outcome(
            id=entry.id, analysis=analysis, error=error, polls=entry.polls, elapsed=max(0.0, now - started)
        )
        self._hub.owners.pop(entry.id, None)
        if isinstance(error, errors.WaitTimeoutError):
            self._hand_over(entry.id)
        else:
            for call in self._hub.followers.pop(entry.id, ()):
                call._on_joined_outcome(outcome)
        self._deliver(outcome)

    def _deliver(self, outcome: Outcome) -> None:
        if outcome.error is None or isinstance(outcome.error, errors.AnalysisFailedError):
            self._settled += 1
        else:
            self._failed += 1
        self._ready.append(outcome)
        self._delivery.ring()
        self._room.ring()
        if self._is_over:
            self._wake_all()

    def _on_joined_outcome(self, outcome: Outcome) -> None:
        if self._joined.pop(outcome.id, None) is not None:
            self._deliver(outcome)
            self._report_progress()

    def _abandon(self, explain: Callable[[str], errors.KallglotError]) -> None:
        """End every id that is left, with the error that `explain` gives for it."""
        self._ending = explain
        for entry in list(self._entries.values()):
            error = explain(entry.id)
            self._queue.discard(entry)
            self._end(entry, error=error)
        for id in list(self._joined):
            self._unfollow(id)
            self._deliver(Outcome(id=id, error=explain(id)))
        self._wake_all()

    # -- sharing ids between the calls of one client

    def _let_go(self) -> None:
        """Leave every id to the calls that still want it."""
        for id in list(self._joined):
            self._unfollow(id)
        for id, entry in list(self._entries.items()):
            self._queue.discard(entry)
            self._hub.owners.pop(id, None)
            self._hand_over(id)
        self._entries.clear()

    def _unfollow(self, id: str) -> None:
        self._joined.pop(id, None)
        followers = self._hub.followers.get(id, [])
        if self in followers:
            followers.remove(self)
        if not followers:
            self._hub.followers.pop(id, None)

    def _hand_over(self, id: str) -> None:
        """Let the first that follows an id poll it from now on."""
        followers = self._hub.followers.get(id)
        if not followers:
            return
        heir = followers.pop(0)
        if not followers:
            del self._hub.followers[id]
        heir._joined.pop(id, None)
        heir._own(id)

    # -- everybody awake

    def _wake_all(self) -> None:
        for alarm in (self._due, self._deadline, self._room, self._delivery):
            alarm.ring()

    def _report_progress(self) -> None:
        callback = self._options.on_progress
        if callback is None:
            return
        try:
            callback(self.progress())
        except Exception:  # the caller's own code must not cost the batch
            self._options.on_progress = None
            _log.exception("on_progress raised and is not called again")


def _not_attempted(id: str, reason: errors.KallglotError) -> errors.NotAttemptedError:
    return errors.NotAttemptedError(
        f"analysis {id} was not attempted: the batch ended with {type(reason).__name__}", id=id, reason=reason
    )
