"""The way of every request: limiter, transport, decoding; and for direct calls, the loop of attempts.

Two more ask the same policy and loop by themselves: a wait, whose next look is a matter of its queue
(`_core.polling.trouble`), and a download, which goes on where it was.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, TypeVar

import anyio
from msgspec import structs

from kallglot_async import _clock, errors
from kallglot_async._checks import check_timeout
from kallglot_async._clock import Deadlines
from kallglot_async._config import AsClient, AskedKey, ClientConfig, Secret, Timeout
from kallglot_async._core.api.answers import (
    RateFigures,
    date_of,
    figures_at,
    interpret,
    is_refused,
    named_wait,
    parse_credits,
    request_id_of,
)
from kallglot_async._core.api.meaning import has_passing_status, is_answer, is_interlude
from kallglot_async._core.api.operation import Operation, Response
from kallglot_async._core.limit.retry import STRANGER, RetryBudget, RetryPolicy, is_transient
from kallglot_async._core.limit.ticket import Ticket, Urgency
from kallglot_async._events import REQUESTS, Observer, RequestRecord
from kallglot_async._wire.attempts import Attempts
from kallglot_async._wire.failures import late, why_unsent
from kallglot_async._wire.keys import send_renewing
from kallglot_async._wire.limiter import Lane, RateLimiter
from kallglot_async._wire.pool import SILENCE, SessionPool
from kallglot_async.models import ClientStats, Result, RetryEvent, ThrottledEvent
from kallglot_async.models.meta import ResponseMeta, kept_of

__all__ = ["Pipeline"]

T = TypeVar("T")
_log = logging.getLogger("kallglot_async.pipeline")
_RE_ASK = 1.0  # seconds until who is not let go asks again: others may have been answered meanwhile
_DIRECT = Urgency.DIRECT  # looked up in an enumeration, a member costs as much as a call
_SMOOTHING = 0.2  # the weight of the newest answer in the round trip


class Pipeline:
    """Sends operations for one client.

    Args:
        config: The client's settings.
        pool: The transport.
        limiter: Shared by every request, and possibly by other clients.
        random: Uniform in [0, 1), for jitter.
        observer: Hears of every request.
        budget: The retry budget; shared by the views of one client.
    """

    __slots__ = (
        "_config", "_lanes", "_limiter", "_server_ahead", "budget", "deadlines", "is_accepted", "luck", "observer",
        "policy", "pool", "request_timeout", "round_trip",
    )  # fmt: skip

    def __init__(
        self,
        config: ClientConfig,
        pool: SessionPool,
        limiter: RateLimiter,
        random: Callable[[], float],
        observer: Observer,
        budget: RetryBudget,
    ) -> None:
        self._config = config
        self.pool: SessionPool = pool
        self._limiter = limiter
        self.luck: Callable[[], float] = random
        self._lanes: dict[str, Lane] = {}
        self.request_timeout: float = config.timeout or SILENCE  # seconds that one request of a wait may take
        self.deadlines: Deadlines = Deadlines(self.request_timeout)
        self.observer: Observer = observer
        self.budget: RetryBudget = budget
        self.policy: RetryPolicy = RetryPolicy(config.max_attempts, self.budget, random)
        self.is_accepted: bool = False  # whether the API has ever accepted a request under this key
        self.round_trip: float = 0.0  # seconds, smoothed over the answers so far
        self._server_ahead = 0.0  # seconds by which the server's clock is ahead of ours

    @property
    def key(self) -> Secret:
        """The key that requests are sent under, to be masked in what servers say."""
        return self._config.api_key

    def seconds_of(self, timeout: Timeout) -> float | None:
        """Return the seconds of one call.

        Raises:
            ConfigurationError: It is no number of seconds above 0.
        """
        return self._config.timeout if isinstance(timeout, AsClient) else check_timeout("timeout", timeout)

    def server_now(self) -> float:
        """Return the server's wall clock in Unix seconds, by the `Date` of its last answer."""
        return time.time() + self._server_ahead

    def stats(self, *, waiting_for: int) -> ClientStats:
        """Return what was done so far, over all the lanes that this client has used."""
        lanes = self._lanes.values()
        requests, refused = sum(lane.sent for lane in lanes), sum(lane.refused for lane in lanes)
        lost, in_flight = sum(lane.lost_count for lane in lanes), sum(lane.in_flight for lane in lanes)
        return ClientStats(
            requests=requests,
            answered=requests - refused - lost - in_flight,
            refused=refused,
            lost=lost,
            in_flight=in_flight,
            retries=self.budget.spent,
            retries_left=self.budget.left,
            waiting_for=waiting_for,
            round_trip=self.round_trip,
        )

    def lane(self, group: str) -> Lane:
        """Return the limiter's lane of an endpoint group under this client's key."""
        lane = self._lanes.get(group)
        if lane is None:
            lane = self._lanes[group] = self._limiter.lane(self._config.api_key, group)
        return lane

    async def run(
        self,
        operation: Operation[T],
        *,
        timeout: float | None,
        ticket: Ticket | None = None,
        is_patient: bool = False,
        on_answer: Callable[[], object] | None = None,
    ) -> T:
        """Send a direct request, with retries, until it succeeds, is given up, or `timeout` is over.

        The timeout covers everything: the queue at the limiter (unless a `ticket` was taken beforehand),
        every attempt and the pauses between them. Cancellation ends it at once; a request in flight loses
        its connection. With `is_patient` time and not attempts is the measure, once the API was heard. `on_answer`
        is called after each attempt that was answered, whatever the answer was.

        Raises:
            KallglotError: How the last attempt ended, with the history of all.
        """
        lane, deadline = self.lane(operation.group), self.deadlines.start(timeout)
        if timeout is None:
            operation = structs.replace(operation, is_endless=True)
        attempts: Attempts[T] | None = None  # from the first failure on
        is_sending = False
        try:
            with deadline:
                while True:
                    # Mostly a slot is free: then nothing is awaited, and no coroutine is made.
                    ticket = ticket or lane.try_acquire(_DIRECT) or await self.acquire(lane, operation, deadline.left())
                    is_sending = True
                    try:
                        attempt = attempts.attempt if attempts else 1
                        value, _ = await self.send(operation, lane, ticket, attempt=attempt, is_one_of_many=is_patient)
                    except errors.RequestError as error:
                        is_sending = False
                        if on_answer is not None and is_answer(error):
                            on_answer()
                        attempts = attempts or Attempts(operation, deadline, is_patient)
                        if not await self._may_go_on(attempts, error):
                            raise
                    else:
                        if on_answer is not None:
                            on_answer()
                        return value
                    # It is spent, whatever came of it: the next attempt stands in line for another.
                    ticket = None
        except errors.RequestError as error:
            # It is the same error: the cause that it has stays the only one.
            raise (attempts or Attempts(operation, deadline, is_patient)).tell(error) from error.__cause__
        except TimeoutError as over:
            # Raised below and not here: the cancellation that the deadline was is no context of it.
            cut_off = late(operation.name, timeout or 0.0, over, operation.name)
            failure = self._out_of_time(operation, timeout, cut_off.message, attempts.history if attempts else ())
        attempts = attempts or Attempts(operation, deadline, is_patient)
        if is_sending:
            # In the middle of a request, which the server may have acted upon: it counts as an attempt.
            attempts.on_failure(cut_off)
        raise attempts.tell(failure)

    async def _may_go_on(self, attempts: Attempts[Any], error: errors.RequestError) -> bool:
        """Return whether there is another attempt after this error, once it may go; the limiter's slot apart.

        What was refused for rate waits for that slot alone, unless it would come after the call's deadline.
        """
        if isinstance(error, errors.RateLimitedError):
            # Refused is not failed: it was not acted upon, costs no retry, and the limiter holds back the next one.
            return (error.retry_after or 0.0) <= attempts.deadline.left()
        attempts.on_failure(error)
        operation, failures = attempts.operation, attempts.failures(error)
        is_patient, left = self._is_patient(attempts, error), attempts.deadline.left()
        delay = self.policy.next_delay(operation, error, failures, within=left, is_patient=is_patient)
        if delay is not None:
            self.on_retry(operation, error, len(attempts.history), delay)
            await anyio.sleep(delay)
        elif is_patient:
            await self._be_let_go(attempts)
        return delay is not None or is_patient

    def _is_patient(self, attempts: Attempts[Any], error: errors.RequestError) -> bool:
        """Whether time is the measure: for who asked for that, once the API was heard, or something before it."""
        is_believed = self.budget.is_reached or (has_passing_status(error) and attempts.deadline.age() < STRANGER)
        # Of the latter, none is believed before the API was heard: `is_believed` says so.
        passes = is_transient(error) or is_interlude(error)
        return attempts.is_patient and is_believed and attempts.operation.is_repeatable and passes

    async def _be_let_go(self, attempts: Attempts[Any]) -> None:
        """Sleep until an attempt may go that the budget does not pay for."""
        key = _clock.now() + self.policy.slow_delay(attempts.slow_delays)
        attempts.slow_delays += 1
        while (at := self.budget.next_look(key)) > (now := _clock.now()):
            await _clock.sleep_until(min(at, now + _RE_ASK))
        self.budget.on_look(now)

    async def acquire(self, lane: Lane, operation: Operation[Any], left: float) -> Ticket:
        """Wait for a slot, unless there will be none in time."""
        patience = self._config.max_rate_wait
        until = _clock.now() + (left if patience is None else min(left, patience))
        try:
            # Not `left`: the call's own deadline ends that, and says so in its own words.
            async with asyncio.timeout(patience):
                return await lane.acquire(Urgency.DIRECT, until=until)
        except errors.RateLimitedError as error:
            error.operation = operation.name
            raise
        except TimeoutError:
            state = lane.state()
        raise errors.RateLimitedError(
            f"{operation.name} waited {patience:g} s for the rate limit, as long as max_rate_wait allows",
            operation=operation.name,
            retry_after=state.resets_in,
            limit=state.limit,
            reset=state.resets_in,
        )

    def send(
        self, operation: Operation[T], lane: Lane, ticket: Ticket, *, attempt: int = 1, is_one_of_many: bool = False
    ) -> Coroutine[Any, Any, tuple[T, Response]]:
        """Send one request on a slot that was granted; its value and the answer. No retries.

        One of many attempts takes no longer than a direct call may, so that another can follow; asking for a key apart.

        Raises:
            KallglotError: How it ended.
        """
        # No coroutine function: it would cost every request one coroutine more, around the one that is returned.
        is_observed = self.observer.callback.is_on or REQUESTS.isEnabledFor(logging.DEBUG)
        send = self._send_observed if is_observed else self._send
        if is_one_of_many:
            send = partial(self._send_in_time, send)
        if isinstance(key := self._config.api_key, AskedKey):
            return send_renewing(key, lane, ticket, lambda ticket: send(operation, lane, ticket, attempt))
        return send(operation, lane, ticket, attempt)

    async def _send_in_time(
        self,
        send: Callable[..., Coroutine[Any, Any, tuple[T, Response]]],
        operation: Operation[T],
        lane: Lane,
        ticket: Ticket,
        attempt: int,
    ) -> tuple[T, Response]:
        seconds = self.request_timeout
        try:
            with self.deadlines.start(seconds):
                return await send(operation, lane, ticket, attempt)
        # Before the next one, as some of them are timeouts too.
        except errors.RequestError:
            raise
        except TimeoutError as over:
            failure = late(operation.name, seconds, over, operation.name)
        raise failure  # outside the handler, as in `run`

    async def _send_observed(
        self, operation: Operation[T], lane: Lane, ticket: Ticket, attempt: int
    ) -> tuple[T, Response]:
        what = {"operation": operation.name, "method": operation.method, "path": operation.path, "attempt": attempt}
        record = RequestRecord(self.observer, **what)
        try:
            with record:
                value, response = await self._send(operation, lane, ticket, attempt)
                record.status = response.status
                record.request_id = request_id_of(response.headers, self._config.api_key)
                return value, response
        except errors.RateLimitedError:
            # Behind the end of the record: the answer is heard of before the pause that it brings.
            self.on_throttled(operation, lane)
            raise

    async def _send(self, operation: Operation[T], lane: Lane, ticket: Ticket, attempt: int) -> tuple[T, Response]:
        loop = asyncio.get_running_loop()
        started = loop.time()
        try:
            response = await self.pool.send(operation, self._config.api_key, self._config.headers)
        # A cancellation too: the server may have counted what was on its way.
        except BaseException as error:
            (lane.lost if why_unsent(error) is None else lane.unsent)(ticket)
            raise
        elapsed = loop.time() - started
        # The first one counts as a whole: there is nothing yet that it could be smoothed with.
        self.round_trip += (elapsed - self.round_trip) * (_SMOOTHING if self.round_trip else 1.0)
        wall_now = time.time()
        # Before the body is decoded: slot and limit are settled by status and headers, whatever else is wrong.
        figures = self.report(lane, ticket, response, wall_now)
        try:
            value = interpret(operation, response, key=self._config.api_key, wall_now=wall_now)
        except errors.ResponseMismatchError:
            # It may have been meant for somebody else: what mixed up one answer here may mix up the next.
            await self.pool.retire()
            raise
        except errors.RateLimitedError as refused:
            # It shows that the API is there, if it is no gateway; but nothing was done for us, so it pays no retry.
            self.budget.is_reached = self.budget.is_reached or refused.is_enveloped
            raise
        except errors.APIError as refused:
            if refused.is_enveloped and refused.status < 500:
                self.budget.on_answer()
            raise
        self.is_accepted = True
        # A whole one learns nothing from an answer: one call less for nearly every request.
        if not self.budget.is_whole:
            self.budget.on_answer()
        if isinstance(value, Result):
            self._have_know(value, response, figures, attempt, elapsed)
        return value, response

    def _have_know(
        self, value: Result, response: Response, figures: RateFigures | None, attempt: int, elapsed: float
    ) -> None:
        """Have a value know the answer that it came from."""
        left, used = parse_credits(response.headers)
        kept = kept_of(value)
        kept["told"] = ResponseMeta(
            status=response.status,
            request_id=request_id_of(response.headers, self._config.api_key),
            attempts=attempt,
            elapsed=elapsed,
            limit=None if figures is None else figures.limit,
            remaining=None if figures is None else figures.remaining,
            resets_in=None if figures is None else figures.resets_in,
            credits_remaining=left,
            credits_used=used,
        )
        if self._config.keep_raw:
            kept["raw"] = response.body

    def on_retry(self, operation: Operation[Any], error: errors.KallglotError, attempt: int, delay: float) -> None:
        """An attempt failed, and another follows in `delay` seconds: say so."""
        _log.debug("%s failed, next attempt in %.2f s: %s", operation.name, delay, error)
        self.observer.emit(
            RetryEvent, operation=operation.name, attempt=attempt, error=type(error).__name__, delay=delay
        )

    def on_throttled(self, operation: Operation[Any], lane: Lane) -> None:
        """A request was refused for rate, which the lane was told of: say so."""
        pause = lane.gate.paused_for(_clock.now())
        self.observer.emit(ThrottledEvent, operation=operation.name, group=operation.group, pause=pause)

    def report(self, lane: Lane, ticket: Ticket, response: Response, wall_now: float) -> RateFigures | None:
        """Tell the limiter what the answer says of the limit, and return its figures."""
        date = date_of(response.headers)
        if date is not None:
            self._server_ahead = date - wall_now
        figures = figures_at(response.headers, date, wall_now)
        was_refused = is_refused(response)
        if was_refused:
            pause = lane.refused_for(ticket, figures, named_wait(response, wall_now), luck=self.luck())
            _log.info("refused with %d: every request of this limit pauses for %.1f s", response.status, pause)
        elif figures is None and response.status >= 500:
            # A page of some gateway's, which does not know the API's limit: it ends no announced one, as an answer
            # without figures does.
            lane.lost(ticket, was_answered=True)
        else:
            lane.answered(ticket, figures)
        is_spent = was_refused or (figures is not None and not figures.remaining)
        if is_spent and (closed_for := lane.news_of_closing(_clock.now())):
            # With no deadline of its own, a wait would be silent for all that time.
            _log.warning("the rate limit lets no request go for %.0f s", closed_for)
        return figures

    def _out_of_time(
        self, operation: Operation[Any], timeout: float | None, what: str, history: tuple[str, ...]
    ) -> errors.RequestTimeoutError:
        state = self.lane(operation.group).state()
        queued = f"; {state.waiting} requests wait for the rate limit" if state.waiting else ""
        # Else who asked in vain for minutes would have to look into the history for the reason.
        before = f" (before that: {history[-1]})" if history else ""
        return errors.RequestTimeoutError(f"{what}{before}{queued}", operation=operation.name, timeout=timeout)
