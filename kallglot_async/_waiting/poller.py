"""`Poller`: polls the ids of one wait call, each when it is worth a request, until each has its end.

It owns one `PollQueue` (which id is polled when) and a few workers that take turns at it: the one whose turn
it is sleeps until a poll is due, takes a slot at the limiter, and passes the turn on before it sends. So there
is no task for a pending id, and never more than `max_in_flight` requests at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import anyio
from anyio.abc import TaskGroup

from kallglot_async import _clock, errors
from kallglot_async._alarm import Alarm
from kallglot_async._core.api.analyses import retrieve_analysis
from kallglot_async._core.api.headers import parse_retry_after
from kallglot_async._core.api.ids import check_analysis_id
from kallglot_async._core.api.operation import Response
from kallglot_async._core.limit.retry import is_transient
from kallglot_async._core.limit.ticket import Ticket, Urgency
from kallglot_async._core.polling.pending import Entry
from kallglot_async._core.polling.queue import FRESH, PollQueue
from kallglot_async._core.polling.schedule import Slot, Supply
from kallglot_async._waiting.claims import Claims, WaitOptions
from kallglot_async._wire.pipeline import Pipeline
from kallglot_async.models import Analysis, Outcome, PollEvent

__all__ = ["Poller", "elapsed_of", "polls_of", "timed_out"]

_SHORTEST_LEAD = 0.1  # seconds before a deadline at which the last look is sent, at least
_LOOK_AGAIN = 0.5  # seconds between two looks at a poll that is not due, while no rate is known
_GRACE = 10.0  # seconds after the first 404 for what was created here in which it only means "not visible yet"
_ECHO = 2.0  # seconds after which an announced analysis that the API still shows running is looked at again
_OUTAGE_GAP = 10.0  # seconds, on average, until an id is looked at again while the server fails; then twice that, ...
_LONGEST_GAP = 60.0  # seconds, on average, as far as that grows
_HISTORY = 10  # failures of one id that are kept
_RE_ASK = 0.05  # seconds after which a slot that nothing was worth is asked for again


class Poller:
    """Polls ids until each has its end, and reports every end once.

    Args:
        hub: What all wait calls under one key share.
        pipeline: How requests are sent.
        options: How this call waits.
        group: Where its workers run.
        on_end: Called with the outcome of an id that has its end.
        on_answer: Called after every answer or failure.
        on_time: Called whenever `next_end` may have moved.
    """

    def __init__(
        self,
        hub: Claims,
        pipeline: Pipeline,
        options: WaitOptions,
        group: TaskGroup,
        *,
        on_end: Callable[[Outcome], None],
        on_answer: Callable[[], None],
        on_time: Callable[[], None],
    ) -> None:
        self._hub = hub
        self._pipeline = pipeline
        self._lane = pipeline.lane("analysis")
        self._group = group
        self._max_in_flight = options.max_in_flight
        self._on_end = on_end
        self._on_answer = on_answer
        self._on_time = on_time
        self._queue = PollQueue(
            hub.model,
            schedule=options.schedule,
            timeout=options.timeout,
            lead=_SHORTEST_LEAD,
            from_add=options.from_add,
        )
        self._turn = anyio.Lock(fast_acquire=True)
        self._due = Alarm()  # the sleeper is the worker whose turn it is
        self._in_flight = self._workers = self._idle = 0
        self._is_stopped = False
        self._answers = 0  # good ones
        self._failing: dict[str, int] = {}  # ids whose last poll failed: the good answers there had been by then
        self._missing: dict[str, float] = {}  # ids of our own creates, by the moment of their first 404
        self._announced: set[str] = set()  # by a webhook, and no answer since has shown them settled
        self.entries: dict[str, Entry] = {}
        self.ends_at = math.inf  # nothing is polled after this moment, on the library's clock
        self.requests = 0

    def start(self) -> None:
        """Start the first worker."""
        self._start_worker()

    def stop(self) -> None:
        """There is nothing more to come: workers end once they have nothing in flight."""
        self._is_stopped = True
        self._due.ring()

    def add(self, id: str) -> None:
        """Poll one more id."""
        kind, now = check_analysis_id(id).name, _clock.now()
        age, due_in = self._hub.age_of(id), self._hub.due_in(id)
        self.entries[id] = self._queue.add(id, kind, now, age=age, due_in=due_in)
        if self._hub.has_announced(id):
            self.on_announced(id)
        self._due.ring()
        self._on_time()

    def on_announced(self, id: str) -> None:
        """A webhook says that it has settled: one request confirms it, at once."""
        entry = self.entries.get(id)
        if entry is not None:
            self._announced.add(id)
            self._queue.on_told(entry, _clock.now())
            self._due.ring()

    def discard(self, id: str) -> Entry | None:
        """Poll an id no more; returns what is known of it, or None where it was not polled here."""
        entry = self._forget(id)
        if entry is not None:
            self._queue.discard(entry)
            self._due.ring()
        return entry

    def _forget(self, id: str) -> Entry | None:
        """Drop everything that is noted of an id; returns its entry, or None where it was not polled here."""
        self._announced.discard(id)
        self._failing.pop(id, None)
        self._missing.pop(id, None)
        return self.entries.pop(id, None)

    # -- workers

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
            if not self._idle and len(self._queue) > self._in_flight and self._workers < self._max_in_flight:
                self._start_worker()
            await self._poll(*job)
            self._idle += 1

    async def _next_job(self) -> tuple[Entry, Ticket] | None:
        """Sleep until a poll is worth a slot, take the slot, and choose the id to spend it on."""
        while not self._is_stopped:
            now = _clock.now()
            supply = self._lane.supply(now)
            slot = self._queue.next_slot(now, supply)
            if slot is None or slot.at > now:
                await self._due.sleep_until(self._look_again_at(now, slot, supply))
                continue
            urgency = Urgency.AHEAD if slot.ahead else Urgency.PACED
            ticket = self._lane.try_acquire(urgency) or await self._queue_for_slot(urgency)
            if ticket is None:
                continue
            now = _clock.now()
            entry = self._queue.take(now, self._lane.supply(now))
            if entry is not None:
                self._in_flight += 1
                if entry.polls == 1:
                    self._on_time()  # a first poll starts a deadline
                return entry, ticket
            self._lane.unsent(ticket)
            await self._due.sleep_until(now + _RE_ASK)
        return None

    def _look_again_at(self, now: float, slot: Slot | None, supply: Supply) -> float:
        """When to look again at a poll that is not due: other calls of the client may have changed that by then.

        They settle ids at the limiter's rate at most, so that is how fast a poll for freshness can come nearer.
        """
        if slot is None:
            return math.inf
        drained_in = supply.seconds_per_request(1.0 + FRESH) * self._hub.model.pending
        patience = max(_RE_ASK, drained_in) if math.isfinite(supply.rate) else _LOOK_AGAIN
        return min(slot.at, now + patience)

    async def _queue_for_slot(self, urgency: Urgency) -> Ticket | None:
        """Wait in line; None where a last look falls due meanwhile, which may go ahead of the pace."""
        deadline = self._queue.next_deadline()
        if urgency is Urgency.AHEAD or deadline is None:
            return await self._lane.acquire(urgency)
        patience = max(_RE_ASK, deadline - self._queue.lead - _clock.now())
        with anyio.move_on_after(patience):
            return await self._lane.acquire(urgency)
        return None

    # -- polls

    async def _poll(self, entry: Entry, ticket: Ticket) -> None:
        """Send one poll and report its answer to the queue."""
        operation = retrieve_analysis(entry.id)
        patience = self._patience(entry)
        try:
            async with self._pipeline.deadline(patience):
                analysis, response = await self._pipeline.send(
                    operation, self._lane, ticket, attempt=entry.failures + 1
                )
        except errors.RateLimitedError:
            self.requests += 1
            self._queue.on_refused(entry, _clock.now())
        except errors.RequestError as error:
            self.requests += isinstance(error, errors.APIError | errors.InvalidResponseError)
            self._on_failure(entry, error)
        except errors.KallglotError as error:
            self._queue.discard(entry)
            self._end(entry, error=error)  # not this request's: a session that is closed, say
        except TimeoutError:
            text = f"a poll was not answered within {patience or 0.0:g} s"
            self._on_failure(entry, errors.RequestTimeoutError(text, operation=operation.name, timeout=patience))
        else:
            self.requests += 1
            self._on_analysis(entry, analysis, response)
        finally:
            self._in_flight -= 1
            self._due.ring()
            self._on_time()
            self._on_answer()

    def _patience(self, entry: Entry) -> float | None:
        """Seconds that a poll may take: the request's own limit, or less where a deadline comes first."""
        now = _clock.now()
        patience = self._pipeline.request_timeout or math.inf
        if entry.deadline is not None:
            patience = min(patience, entry.deadline - now)
        patience = max(0.0, min(patience, self.ends_at - now))
        return patience if patience < math.inf else None

    def _on_analysis(self, entry: Entry, analysis: Analysis, response: Response) -> None:
        now = _clock.now()
        self._answers += 1
        self._failing.pop(entry.id, None)
        entry.data = None
        entry.last_status = analysis.status.value
        self._pipeline.observer.emit(
            PollEvent, id=entry.id, status=analysis.status.value, polls=entry.polls, elapsed=elapsed_of(entry)
        )
        self._queue.lead = max(_SHORTEST_LEAD, self._pipeline.round_trip)
        age, hint = self._when(analysis, response)
        if not analysis.is_settled:
            self._queue.on_pending(entry, now, age=age, hint_in=hint)
            if entry.id in self._announced:  # the event overtook what the API shows, or was not true
                self._announced.discard(entry.id)
                self._queue.on_told(entry, now + _ECHO)
            return
        took = None
        if analysis.created_at is not None and analysis.completed_at is not None:
            took = max(0.0, (analysis.completed_at - analysis.created_at).total_seconds())
        self._queue.on_settled(entry, now, age=age, took=took)
        if analysis.is_failed:
            error = errors.AnalysisFailedError(f"analysis {analysis.id} failed", analysis=analysis)
            self._end(entry, error=error)
        else:
            self._end(entry, analysis=analysis)

    def _when(self, analysis: Analysis, response: Response) -> tuple[float | None, float | None]:
        """Return the analysis's age, and the seconds after which the server would be asked again."""
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
        if self.entries.get(entry.id) is not entry:
            return  # it had its end while this poll was out
        if isinstance(error, errors.NotFoundError) and self._may_not_be_visible_yet(entry, now):
            self._queue.on_pending(entry, now)
            return
        history = (*(entry.data if isinstance(entry.data, tuple) else ()), str(error))[-_HISTORY:]
        entry.data = history
        operation = retrieve_analysis(entry.id)
        self._failing.setdefault(entry.id, self._answers)
        delay = self._pipeline.policy.next_delay(operation, error, entry.failures + 1)
        if delay is None and is_transient(error) and self._may_look_again(entry):
            # No retry, but another look, at a pace that adds nothing to what is offered: waiting is what this is for.
            delay = min(_LONGEST_GAP, _OUTAGE_GAP * 2.0 ** min(entry.failures, 10)) * (0.5 + self._hub.random())
        if delay is not None:
            self._pipeline.on_retry(operation, error, entry.failures + 1, delay)
            self._queue.on_failed(entry, now, now + delay)
            return
        if entry.deadline is not None and now >= entry.deadline:
            return  # the deadline watch reports it as what it is: a timeout
        error.attempts, error.history = len(history), history
        self._queue.discard(entry)
        self._end(entry, error=error)

    def _may_look_again(self, entry: Entry) -> bool:
        """Whether a poll that failed, and is not retried, is no reason to give the id up."""
        if not self._answers:
            return False  # a server that never answered this call is not offered more than retries
        has_attempts = entry.failures + 1 < self._pipeline.policy.max_attempts  # only the retry budget was empty
        was_seen = entry.last_status is not None and entry.deadline is not None
        is_outage = self._answers == self._failing[entry.id]  # nobody has had an answer since it began to fail
        return has_attempts or was_seen or is_outage

    def _may_not_be_visible_yet(self, entry: Entry, now: float) -> bool:
        """Whether a 404 may only mean that our own create has not spread yet."""
        if entry.last_status is not None or self._hub.age_of(entry.id) is None:
            return False
        return now - self._missing.setdefault(entry.id, now) < _GRACE

    # -- ends

    def next_end(self, now: float) -> float:
        """Report every id whose time is over, and return the moment at which to come back for the next."""
        while (entry := self._queue.pop_expired(now)) is not None:
            self._end(entry, error=timed_out(entry.id, entry))
        self._give_up_on_paused(now)
        deadline = self._queue.next_deadline()
        return math.inf if deadline is None else deadline

    def _give_up_on_paused(self, now: float) -> None:
        """End at once what the server's own pause outlasts: no poll can be answered before its deadline."""
        pause = self._lane.paused_for(now)
        while pause and (deadline := self._queue.next_deadline()) is not None and deadline < now + pause:
            entry = self._queue.pop_expired(deadline)
            if entry is None:
                return
            error = timed_out(entry.id, entry)
            error.retry_after = pause
            self._end(entry, error=error)

    def _end(
        self, entry: Entry, *, analysis: Analysis | None = None, error: errors.KallglotError | None = None
    ) -> None:
        """Report the end of an id, unless it was discarded meanwhile."""
        if self.entries.get(entry.id) is not entry:
            return
        self._forget(entry.id)
        self._on_end(Outcome(id=entry.id, analysis=analysis, error=error, polls=entry.polls, elapsed=elapsed_of(entry)))


def polls_of(entry: Entry | None) -> int:
    """Return how often an id was polled."""
    return entry.polls if entry is not None else 0


def elapsed_of(entry: Entry | None) -> float:
    """Return the seconds since the first poll of an id; 0.0 where there was none."""
    if entry is None or entry.first_poll_at is None:
        return 0.0
    return max(0.0, _clock.now() - entry.first_poll_at)


def timed_out(id: str, entry: Entry | None) -> errors.WaitTimeoutError:
    """Return the error for an id whose time is over, with what its last poll showed."""
    polls, elapsed = polls_of(entry), elapsed_of(entry)
    status = entry.last_status if entry is not None else None
    seen = f"last seen {status}" if status is not None else "never answered"
    if entry is not None and isinstance(entry.data, tuple):
        seen += f"; its last poll failed: {entry.data[-1]}"
    return errors.WaitTimeoutError(
        f"analysis {id} was not settled after {elapsed:.1f} s and {polls} polls ({seen}); wait for it again",
        id=id,
        last_status=status,
        polls=polls,
        elapsed=elapsed,
    )
