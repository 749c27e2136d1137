"""`RetrieveCall`: fetches many analyses as they stand, concurrently, without waiting for any to settle."""

from __future__ import annotations

from collections.abc import Coroutine, Mapping
from typing import Any

from kallglot_async import _clock, errors
from kallglot_async._clock import Baton
from kallglot_async._core.api.analyses import retrieve_analysis
from kallglot_async._core.limit.ticket import Ticket, Urgency
from kallglot_async._waiting.batch import Batch
from kallglot_async._waiting.waits import IdSource, OnOutcome
from kallglot_async._wire.pipeline import Pipeline
from kallglot_async.models import Analysis, Outcome, Outcomes

__all__ = ["RetrieveCall"]

_AHEAD = Urgency.AHEAD  # looked up in an enumeration, a member costs as much as a call


class RetrieveCall:
    """One `retrieve_many`: workers that pull ids from one source and fetch them."""

    __slots__ = ("_batch", "_baton", "_headers", "_is_told", "_pipeline", "_timeout")

    def __init__(
        self,
        pipeline: Pipeline,
        source: IdSource,
        timeout: float | None,
        on_outcome: OnOutcome | None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._pipeline = pipeline
        self._headers = headers  # the caller's
        self._batch = Batch(pipeline, source, on_outcome)
        self._is_told = on_outcome is not None
        self._timeout = timeout
        self._baton = Baton()

    async def run(self, workers: int) -> Outcomes:
        await self._batch.run(workers, self._work)
        return self._batch.outcomes()

    async def _work(self) -> None:
        # One worker at a time, so that a batch stands in line once, as a wait does, however many workers it has.
        lane, turn = self._batch.lane, self._baton
        while True:
            if turn.is_taken:
                await turn.wait()
            turn.is_taken = True
            try:
                if (id := await self._batch.next_id()) is None:
                    return
                ticket = lane.try_acquire(_AHEAD) or await lane.acquire(_AHEAD)
            finally:
                turn.pass_on()
            outcome = await self._fetch(id, ticket)
            if self._is_told:
                await self._batch.keep(outcome)
            else:
                self._batch.note(outcome)

    async def _fetch(self, id: str, ticket: Ticket) -> Outcome:
        operation, started = retrieve_analysis(id, is_checked=True), ticket.sent_at
        if self._headers is not None:
            operation = operation.with_headers(self._headers)

        def send(ticket: Ticket) -> Coroutine[Any, Any, Analysis]:
            return self._pipeline.run(operation, timeout=self._timeout, ticket=ticket)

        try:
            analysis = await self._batch.send(id, _AHEAD, send, ticket)
        except errors.NotAttemptedError as error:
            return Outcome(id=id, error=error)
        except errors.KallglotError as error:
            polls = error.attempts if isinstance(error, errors.RequestError) else 0
            return Outcome(id=id, error=error, polls=polls, elapsed=_clock.now() - started)
        polls = 1 if (meta := analysis.meta) is None else meta.attempts
        return Outcome(id=id, analysis=analysis, polls=polls, elapsed=_clock.now() - started)
