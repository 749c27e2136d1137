"""`Creator`: requests analyses for one client, each when there is room for it (`Admission`)."""

from __future__ import annotations

from collections.abc import Callable

from kallglot_async import _clock
from kallglot_async._core.api.operation import Operation
from kallglot_async._core.limit.ticket import Ticket
from kallglot_async._core.polling.pending import Creates
from kallglot_async._wire.admission import Place
from kallglot_async._wire.pipeline import Pipeline
from kallglot_async.models import Analysis

__all__ = ["Creator"]

_FOR_ANSWER = 5.0  # seconds of its time that a request keeps for itself: cut off, it may be paid for, and nobody knows


class Creator:
    """Requests analyses for one client, each in its turn, and has the moment remembered: it helps to wait for them.

    Args:
        creates: What was requested under its key.
        pipeline: How requests are sent.
        max_wait: Seconds that a request may wait for its turn; None: as long as it may take.
    """

    __slots__ = ("_admission", "_creates", "_max_wait", "_pipeline")

    def __init__(self, creates: Creates, pipeline: Pipeline, max_wait: float | None) -> None:
        self._creates = creates
        self._pipeline = pipeline
        self._max_wait = max_wait
        self._admission = pipeline.lane("analysis").admission

    async def create(
        self,
        operation: Operation[Analysis],
        *,
        timeout: float | None,
        lasts: float | None = None,
        is_patient: bool = False,
    ) -> Analysis:
        """Request one analysis once it is its turn, within `timeout` seconds in all.

        Args:
            operation: The request.
            timeout: Seconds for the turn and the request with its retries; None for ever.
            lasts: Seconds that the wait for the analysis may take then; None: nobody knows.
            is_patient: As for `Pipeline.run`.

        Raises:
            RateLimitedError: Its turn did not come in time.
            KallglotError: How the request ended.
        """
        if timeout is None:
            with await self._admission.enter_within(self._max_wait, lasts):
                return await self.send(operation, None, timeout=None, is_patient=is_patient)
        began, longest = _clock.now(), timeout - min(_FOR_ANSWER, timeout / 2)
        if self._max_wait is not None:
            longest = min(longest, self._max_wait)
        with await self._admission.enter_within(longest, lasts):
            left = max(0.0, timeout - (_clock.now() - began))
            return await self.send(operation, None, timeout=left, is_patient=is_patient)

    async def wait_for_room(self, lasts: float | None) -> None:
        """Wait until one more of a batch may be requested."""
        (await self._admission.enter(lasts, is_one_of_many=True)).leave()

    def hold(self, lasts: float | None) -> Place:
        """Have a place for one more of a batch."""
        return self._admission.hold(lasts, is_one_of_many=True)

    async def send(
        self,
        operation: Operation[Analysis],
        ticket: Ticket | None,
        *,
        timeout: float | None,
        is_patient: bool,
        on_answer: Callable[[], object] | None = None,
    ) -> Analysis:
        """Request one that has its place, on the slot that was taken, or the next."""
        created = await self._pipeline.run(
            operation, timeout=timeout, ticket=ticket, is_patient=is_patient, on_answer=on_answer
        )
        self._creates.on_created(created, _clock.now(), server_now=self._pipeline.server_now())
        return created
