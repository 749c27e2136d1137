"""`Poller`: polls the ids of one wait call, each when it is worth a request, until each has its end.

It owns one `PollQueue` (which id is polled when) and a few workers that take turns at it: the one whose turn
it is sleeps until a poll is due, takes a slot at the limiter, and passes the turn on before it sends. So there
is no task for a pending id, and never more than `max_in_flight` requests at once.
"""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING

import anyio
from anyio.abc import TaskGroup

from kallglot_async import _clock, errors
from kallglot_async._clock import Alarm, Baton
from kallglot_async._core.api.analyses import retrieve_analysis, revision_of
from kallglot_async._core.api.meaning import is_answer, is_still_running
from kallglot_async._core.api.operation import Response
from kallglot_async._core.limit.ticket import Ticket, Urgency
from kallglot_async._core.polling.pending import LATE, LATE_LOOK, Entry, Sight
from kallglot_async._core.polling.queue import PollQueue
from kallglot_async._core.polling.trouble import End, Patience, stranded_at
from kallglot_async._core.polling.worth import RE_ASK, look_again_at
from kallglot_async._waiting.endings import analysis_failed, not_attempted, timed_out
from kallglot_async._wire.failures import late
from kallglot_async._wire.pipeline import Pipeline
from kallglot_async.models import Analysis, AnalysisStatus, Outcome, PollEvent
from kallglot_async.models.analysis import SETTLED

if TYPE_CHECKING:
    from kallglot_async._waiting.call import WaitCall
    from kallglot_async._waiting.waits import Claims, WaitOptions

__all__ = ["Poller"]

_DIRECT, _AHEAD, _PACED = Urgency  # looked up in it, a member costs as much as a call
_FOR_TWO = 10.0  # seconds before a deadline that leave time for another poll where one is stuck
_SHORTEST_LEAD = 0.1  # seconds before a deadline at which the last look is sent, at least, ...
_LEAD = 1.5  # ... and in round trips: after just one, its answer would come as the time is over


class Poller:
    """Polls ids until each has its end, and reports every end once.

    Args:
        hub: What all wait calls under one key share.
        pipeline: How requests are sent.
        options: How this call waits.
        call: Whose ids these are.
    """

    def __init__(self, hub: Claims, pipeline: Pipeline, options: WaitOptions, call: WaitCall) -> None:
        self._hub = hub
        self._pipeline = pipeline
        self._lane = pipeline.lane("analysis")
        self._group: TaskGroup | None = None  # where its workers run; None: in the task of the caller
        self._options = options
        self._call = call
        self._queue = PollQueue(
            hub.model,
            schedule=options.schedule,
            timeout=options.timeout,
            lead=self.lead,
            from_add=options.from_add,
            budget=pipeline.budget,
            trust=hub.trust if options.heeds_inbox else None,
        )
        self._patience: Patience | None = None  # from the first failure on
        self._baton = Baton()
        self._due = Alarm()  # the sleeper is the worker whose turn it is
        self._in_flight = self._workers = self._idle = 0
        self.is_stopped: bool = False
        self._had_late_looks = False
        self.entries: dict[str, Entry] = {}
        self.ends_at: float = math.inf  # nothing is polled after this moment, on the library's clock
        self.requests: int = 0

    def stop(self) -> None:
        """There is nothing more to come: workers end once they have nothing in flight."""
        self.is_stopped = True
        if self._hub.contact.prober is not None:
            self._hub.contact.leave(self)
        self._due.ring()

    def add(self, id: str) -> None:
        """Poll one more id."""
        kind, now = revision_of(id), _clock.now()
        age, due_in = self._hub.creates.times_of(id, now)
        self.entries[id] = self._queue.add(id, kind, now, age=age, due_in=due_in)
        if self._hub.take_announcement(id):
            self.on_announced(id)
        self._ring()

    def adopt(self, known: Entry, *, ends_at: float | None) -> None:
        """Poll an id from now on that another call has polled; `ends_at`: when the wait for it is over here."""
        self.entries[known.id] = self._queue.adopt(known, _clock.now(), ends_at=ends_at)
        self._ring()

    def _ring(self) -> None:
        """There is one id more."""
        self._due.ring()
        # Else who polls it keeps the watch.
        if self._group is not None:
            self._call.watch.ring()

    def on_announced(self, id: str) -> None:
        """A webhook says that it has settled: one request confirms it, at once."""
        if (entry := self.entries.get(id)) is not None:
            entry.unconfirmed = 0
            self.look_at(entry)

    def look_at(self, *entries: Entry) -> None:
        """Look at them now, whatever the schedule says; those in flight are looked at."""
        # The newest first: of those that were never polled, each is then found where the search for it begins.
        for entry in reversed(entries):
            self._queue.on_announced(entry, _clock.now())
        self._due.ring()

    def wake_stalled(self) -> None:
        """Go on, or hand over, where polling pauses: an outcome was taken, or another call follows an id."""
        if self.is_ahead_of_caller:
            self._due.ring()

    def discard(self, id: str) -> Entry | None:
        """Poll an id no more; returns what is known of it, or None where it was not polled here."""
        entry = self.entries.pop(id, None)
        if entry is not None:
            self._queue.discard(entry)
            self._due.ring()
        return entry

    def wake(self) -> None:
        """Look again at what is due: events are not to be trusted, or the API was heard for the first time."""
        self._due.ring()

    def on_unreached(self, error: errors.RequestError) -> None:
        """This client has never had an answer, and the one request that tried for all is given up: so is the call."""
        for entry in list(self.entries.values()):
            # A copy for each: whoever raises or marks one of them must not change what is told of the others.
            self._fail(entry, copy.copy(error), _clock.now())
        self._call.on_over(lambda _: copy.copy(error))

    # -- workers

    def start(self, group: TaskGroup) -> None:
        """Poll in this group with one worker more: at first with one, and each that is busy starts the next."""
        self._group = group
        self._workers += 1
        self._idle += 1
        group.start_soon(self.work)

    async def work(self) -> None:
        """Poll what is worth it, until there is nothing more to come."""
        while not self.is_stopped:
            if self._baton.is_taken:
                await self._baton.wait()
            self._baton.is_taken = True
            try:
                job = await self._next_job()
            finally:
                self._baton.pass_on()
            if job is None:
                return
            self._idle -= 1
            self._in_flight += 1
            is_short = not self._idle and self._workers < self._options.max_in_flight
            if self._group is not None and is_short and len(self._queue) > self._in_flight:
                self.start(self._group)
            await self._poll(*job)
            self._idle += 1

    async def _next_job(self) -> tuple[Entry, Ticket] | None:
        """Sleep until a poll is worth a slot, take the slot, and choose the id to spend it on."""
        budget = self._pipeline.budget
        while not self.is_stopped:
            now = _clock.now()
            if (self.is_ahead_of_caller or not budget.is_reached) and (at := self._paused_until(now)) > now:
                await self._sleep_until(at, now)
                continue
            supply = self._lane.gate.supply(now)
            slot = self._queue.next_slot(now, supply)
            if slot is None or slot.at > now:
                again_at = look_again_at(now, supply, self._hub.model.pending)
                await self._sleep_until(math.inf if slot is None else min(slot.at, again_at), now)
                continue
            # Who waits for a last look waits as for a direct request: after the deadline it is worth nothing.
            is_last = slot.why == "last look" or (slot.entry.polls > 0 and now >= self.ends_at - self.lead)
            urgency = _DIRECT if is_last else _AHEAD if slot.ahead else _PACED
            if (ticket := self._lane.try_acquire(urgency, now)) is not None:
                return self._queue.spend(slot, now), ticket
            self._keep_watch(now)
            if (ticket := await self._queue_for_slot(urgency)) is None:
                continue
            now = _clock.now()
            # Asked anew: in line much may have passed, and another id, or none, is worth the slot now.
            if (entry := self._queue.take(now, self._lane.gate.supply(now))) is not None:
                return entry, ticket
            self._lane.unsent(ticket)
            # Not at once: with the slot given back, the same question would have the same answer without end.
            await self._sleep_until(now + RE_ASK, now)
        return None

    async def _sleep_until(self, moment: float, now: float) -> None:
        self._keep_watch(now)
        await self._due.sleep_until(moment)

    def _keep_watch(self, now: float) -> None:
        """Have the watch look where a time is over before it would, or where a pause may be longer than what is left.

        While a poll is out, its own deadline sees to that.
        """
        deadline, seen_to = self._queue.next_deadline(), self._call.watch.at
        is_sooner = self.ends_at - self._queue.lead < seen_to or (deadline is not None and deadline < seen_to)
        if is_sooner or self._lane.gate.paused_for(now):
            self._call.watch.ring()

    def _paused_until(self, now: float) -> float:
        """When to send again where the caller is behind, or where another poll asks for all."""
        if self.is_ahead_of_caller and (at := self._last_look_at()) > now:
            # Whoever is held back must not be the one that asks for all the others.
            self._hub.contact.leave(self)
            self._call.on_stalled()
            return at
        if self._pipeline.budget.is_reached or not (len(self._queue) or self._in_flight):
            return -math.inf
        # A client that never had an answer sends one request at a time: with nobody there, more were in vain.
        return math.inf if self._in_flight else self._hub.contact.next_probe(self)

    @property
    def is_ahead_of_caller(self) -> bool:
        """Whether what is undelivered, and what is in flight, is as much as the caller wants to have before it."""
        return len(self._call.ready) + self._in_flight >= self._options.max_ready

    def _last_look_at(self) -> float:
        deadline = self._queue.next_deadline()
        return (self.ends_at if deadline is None else min(deadline, self.ends_at)) - self._queue.lead

    async def _queue_for_slot(self, urgency: Urgency) -> Ticket | None:
        """Wait in line; None where a last look falls due meanwhile, which goes before all polls."""
        last_look_at = math.inf if urgency is _DIRECT else self._last_look_at()
        # For a moment at least: of a last look that is overdue and cannot go, this would be asked again without a
        # pause.
        with anyio.move_on_after(max(RE_ASK, last_look_at - _clock.now())):
            return await self._lane.acquire(urgency)
        return None

    # -- polls

    async def _poll(self, entry: Entry, ticket: Ticket) -> None:
        """Send one poll and report its answer to the queue."""
        operation = retrieve_analysis(entry.id, is_checked=True)
        patience = self._seconds_for(entry, ticket.sent_at)
        try:
            with self._pipeline.deadlines.start(patience):
                analysis, response = await self._pipeline.send(
                    operation, self._lane, ticket, attempt=entry.failures + 1
                )
        # In this order: each is of the kind of a later one, and so is a request that timed out of the last.
        except errors.RateLimitedError:
            self.requests += 1
            self._queue.on_refused(entry, _clock.now())
            # The pause may be longer than what is left.
            self._call.watch.ring()
        except errors.RequestError as error:
            self.requests += is_answer(error)
            if isinstance(error, errors.InvalidResponseError) and is_still_running(error):
                self._pipeline.budget.on_answer()
                if self._patience is not None:
                    self._patience.suspicion.on_accepted()
                self._queue.on_pending(entry, _clock.now(), hint_in=error.retry_after)
            else:
                self._on_failure(entry, error)
        except errors.KallglotError as error:
            # It is not this request's: of a session that is closed, say.
            self._fail(entry, error, _clock.now())
        except TimeoutError as over:
            self._on_failure(entry, late("a poll", patience, over, operation.name))
        else:
            self.requests += 1
            self._on_analysis(entry, analysis, response, ticket.sent_at)
        finally:
            self._in_flight -= 1
            if self._hub.contact.prober is not None and self._pipeline.budget.is_reached:
                self._hub.contact.on_reached()
            if not self.is_stopped:
                self._due.ring()
            # Last: who is told of progress is to see what this answer has changed.
            self._call.on_answer()

    def _seconds_for(self, entry: Entry, now: float) -> float:
        """Seconds that a poll may take: the request's own limit, or less where a deadline comes first."""
        at = self.ends_at if entry.deadline is None or entry.deadline > self.ends_at else entry.deadline
        way, left = self._pipeline, at - now
        if way.request_timeout <= left:
            return way.request_timeout
        # On a connection whose other end is gone it would be the last: where polls are answered quickly, there is time
        # for two. The second has all that is left then, and so has a first one: how long polls take is not known yet.
        return left / 2.0 if entry.was_answered and left > max(_FOR_TWO, 8.0 * way.round_trip) else max(0.0, left)

    def _on_analysis(self, entry: Entry, analysis: Analysis, response: Response, sent_at: float) -> None:
        now = _clock.now()
        if self._patience is not None:
            self._patience.suspicion.on_accepted()
        if self._pipeline.observer.callback.is_on:
            status, elapsed = analysis.status.value, entry.elapsed(now)
            self._pipeline.observer.emit(PollEvent, id=entry.id, status=status, polls=entry.polls, elapsed=elapsed)
        self._queue.lead = self.lead
        sight = Sight.of(analysis, response.headers, server_now=self._pipeline.server_now())
        if analysis.status not in SETTLED:
            entry.last_status = analysis.status.value
            self._queue.on_pending(entry, now, age=sight.age, hint_in=sight.hint_in)
            return
        # What had settled before its first look may have had its event before anybody listened.
        if self._options.heeds_inbox and entry.seen_at is not None and not entry.is_announced:
            self._hub.on_silence(sent_at)
        self._queue.on_settled(entry, now, age=sight.age, took=sight.took)
        failure = analysis_failed(analysis, self._pipeline.key) if analysis.status == AnalysisStatus.FAILED else None
        self._end(entry, now, analysis=None if failure else analysis, error=failure)

    def _on_failure(self, entry: Entry, error: errors.RequestError) -> None:
        now = _clock.now()
        self._queue.lead = self.lead
        if self.entries.get(entry.id) is not entry:
            # It had its end while this poll was out.
            return
        operation = retrieve_analysis(entry.id, is_checked=True)
        is_own, is_accepted = entry.id in self._hub.creates, self._pipeline.is_accepted
        self._patience = self._patience or Patience(self._pipeline.policy)
        verdict = self._patience.next_look(
            entry, operation, error, now, probe=self._hub.contact.probe, is_own=is_own, is_accepted=is_accepted
        )
        if verdict.end is End.NOTHING:
            self._pipeline.on_retry(operation, error, entry.failures + 1, verdict.again_in)
            self._queue.on_failed(entry, now, now + verdict.again_in, is_held=verdict.is_held)
        elif verdict.end is End.UNREACHED:
            self._hub.contact.on_unreached(self, error)
        elif verdict.end is End.TIME:
            # The watch over deadlines reports it as what it is.
            self._queue.on_given_up(entry, now)
        else:
            self._fail(entry, error, now)
        if verdict.end is End.CALL:
            # After its own end: the id that met the refusal keeps it, and the others name it as their reason.
            self._call.on_over(lambda id: not_attempted(id, error))

    # -- ends

    def next_end(self, now: float) -> float:
        """Report every id whose time is over, and return the moment at which to come back for the next."""
        while (entry := self._queue.pop_expired(now)) is not None:
            self._end(entry, now, error=timed_out(entry.id, entry, closed_for=self._lane.closed_for(now)))
        timeout = self._options.timeout
        # At the latest in so long, whatever is known now: that another call was refused is told to nobody here.
        next_at = math.inf if timeout is None else now + timeout
        if pause := self._lane.gate.paused_for(now):
            next_at = min(next_at, self._give_up_on_paused(now, pause))
        deadline = self._queue.next_deadline()
        return next_at if deadline is None else min(next_at, deadline)

    @property
    def lead(self) -> float:
        """Seconds before a deadline at which the last look is sent."""
        lead = _LEAD * self._pipeline.round_trip
        # A comparison: `max` costs five times as much, for every poll.
        return lead if lead > _SHORTEST_LEAD else _SHORTEST_LEAD

    def grant_late_looks(self, now: float) -> bool:
        """Whether the call's end was missed, as nothing here ran: then every id has a last look, within a second."""
        if self._had_late_looks or now <= self.ends_at + LATE:
            return False
        self._had_late_looks = True
        self.ends_at = now + LATE_LOOK
        for entry in self.entries.values():
            # The answer on its way may be from before, so another look follows it.
            entry.is_stale = entry.in_flight
        self.look_at(*self.entries.values())
        return True

    def _give_up_on_paused(self, now: float, pause: float) -> float:
        """End at once what the server's own pause outlasts: no poll can be answered before its deadline.

        Returns:
            When to come back for what it keeps from a first poll.
        """
        while (entry := self._queue.pop_hopeless(now + pause)) is not None:
            self._end(entry, now, error=timed_out(entry.id, entry, retry_after=pause))
        next_at, paused_at = math.inf, self._lane.gate.paused_at
        if self._options.timeout is None or now + pause <= paused_at + self._options.timeout:
            return next_at
        for entry in list(self.entries.values()):
            if (at := stranded_at(entry, paused_at, now + pause)) is not None and at > now:
                next_at = min(next_at, at)
            elif at is not None:
                self._fail(entry, timed_out(entry.id, entry, retry_after=pause), now)
        return next_at

    def _fail(self, entry: Entry, error: errors.KallglotError, now: float) -> None:
        """Give up an id that is still in the queue."""
        self._queue.discard(entry)
        self._end(entry, now, error=error)

    def _end(
        self, entry: Entry, now: float, *, analysis: Analysis | None = None, error: errors.KallglotError | None = None
    ) -> None:
        """Report the end of an id, unless it was discarded meanwhile."""
        if self.entries.get(entry.id) is not entry:
            return
        del self.entries[entry.id]
        elapsed = entry.elapsed(now)
        outcome = Outcome(id=entry.id, analysis=analysis, error=error, polls=entry.polls, elapsed=elapsed)
        self._call.on_end(outcome, entry)
