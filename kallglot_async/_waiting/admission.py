"""`Creator`: requests analyses. `Admission`: when one may be, so that none is paid for whose end nobody could see.

A request goes before polls. Where more come than the limit has room for, they would take every slot, and what they have
paid for would run out of time unseen: the more is asked for, the less is delivered (congestion collapse). So what has
to wait stands in line before it is requested, and not behind.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Self

from kallglot_async import _clock
from kallglot_async._clock import Alarm
from kallglot_async._core.api.operation import Operation
from kallglot_async._core.limit.ticket import Ticket
from kallglot_async._core.polling.pending import Creates
from kallglot_async._core.polling.worth import most_open
from kallglot_async._wire.limiter import Lane
from kallglot_async._wire.pipeline import Pipeline
from kallglot_async.errors import RateLimitedError
from kallglot_async.models import Analysis

__all__ = ["Admission", "Creator", "Place"]

_FOR_ANSWER = 5.0  # seconds of its time that a request keeps for itself: cut off, it may be paid for, and nobody knows


class Place:
    """That of an analysis which is being requested, or waited for by who has requested it.

    Args:
        admission: Where it is.
        lasts: Seconds within which it has to be seen settled; None: nobody has said.
    """

    __slots__ = ("_admission", "ends_at", "lasts")

    def __init__(self, admission: Admission, lasts: float | None) -> None:
        self._admission = admission
        self.lasts = lasts
        self.begin()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.leave()

    def begin(self) -> None:
        """Its time begins now."""
        self.ends_at: float = math.inf if self.lasts is None else _clock.now() + self.lasts

    def leave(self) -> None:
        """It is settled, given up, or was not requested after all. Twice is fine."""
        self._admission.leave(self)


class Admission:
    """The analyses that were requested here and are under way; and who wants to request another, in line."""

    __slots__ = ("_epoch", "_line", "_loop", "_places")

    def __init__(self) -> None:
        self._places: set[Place] = set()
        self._line: deque[Alarm] = deque()  # one for each who waits; the first is woken when a place is left
        self._loop: asyncio.AbstractEventLoop | None = None
        self._epoch = 0  # the lane's, when this loop began to be served

    @property
    def under_way(self) -> int:
        """How many have a place."""
        return len(self._places)

    def hold(self, lasts: float | None) -> Place:
        """Have a place for what is requested already."""
        self._places.add(place := Place(self, lasts))
        return place

    async def enter(self, lane: Lane, lasts: float | None, *, is_one_of_many: bool = False) -> Place:
        """Wait in line until one more may be requested, and take its place, which is to be left in any case.

        Args:
            lane: That of analyses.
            lasts: Seconds within which it has to be seen settled; None: as many as the others have.
            is_one_of_many: Whether it is of a batch.
        """
        self._serve(lane)
        next_at = partial(self._next_at, lane, lasts, is_one_of_many=is_one_of_many)
        if self._line or next_at() > _clock.now():
            await self._stand_in_line(lane, next_at)
        return self.hold(lasts)

    async def enter_within(self, seconds: float | None, lane: Lane, lasts: float | None) -> Place:
        """The same, for so many seconds at most; None: for ever.

        Raises:
            RateLimitedError: There was no place within that time.
        """
        self._serve(lane)
        try:
            async with asyncio.timeout(seconds):
                return await self.enter(lane, lasts)
        except TimeoutError:
            resets_in = lane.state().resets_in
        raise RateLimitedError(
            f"analyses.create waited {seconds:g} s for its turn: the rate limit is needed to look after the "
            f"{self.under_way} analyses that were requested before",
            operation="analyses.create",
            retry_after=resets_in,
            limit=lane.gate.window.limit,
            reset=resets_in,
        )

    def leave(self, place: Place) -> None:
        """Have one more requested, if somebody is in line."""
        self._places.discard(place)
        self._call_next()

    def _serve(self, lane: Lane) -> None:
        """Serve the running event loop: what began on one that is gone keeps nobody waiting here."""
        lane.enter()
        if lane.gate.epoch != self._epoch:
            for turn in self._line:
                _clock.call_in(self._loop, turn.ring)  # one that only stands still may run again: they line up anew
            self._places.clear()
            self._line.clear()
        self._loop, self._epoch = asyncio.get_running_loop(), lane.gate.epoch

    async def _stand_in_line(self, lane: Lane, next_at: Callable[[], float]) -> None:
        turn = Alarm()
        try:
            while True:
                if turn not in self._line:
                    self._line.append(turn)
                at = next_at() if self._line[0] is turn else math.inf
                if at <= _clock.now():
                    return
                await turn.sleep_until(at)
                self._serve(lane)
        finally:
            if turn in self._line:
                self._line.remove(turn)
            self._call_next()

    def _call_next(self) -> None:
        if self._line:
            self._line[0].ring()

    def _next_at(self, lane: Lane, lasts: float | None, *, is_one_of_many: bool) -> float:
        """Return when one more may be requested if none leaves before."""
        now = _clock.now()
        supply = lane.gate.supply(now)
        ends_at = min((place.ends_at for place in self._places), default=math.inf)
        if lasts is None:
            lasts = max((place.lasts for place in self._places if place.lasts is not None), default=math.inf)
        most = most_open(supply, lane.gate.lasting_rate(now), lasts, ends_at - now, is_one_of_many=is_one_of_many)
        # With none under way nothing would ever leave.
        return now if self.under_way < most or not self._places else now + supply.resets_in


class Creator:
    """Requests analyses for one client, each in its turn, and has the moment remembered: it helps to wait for them.

    Args:
        admission: Of all that is requested under one key.
        creates: What was requested under it.
        pipeline: How requests are sent.
        max_wait: Seconds that a request may wait for its turn; None: as long as it may take.
    """

    __slots__ = ("_admission", "_creates", "_lane", "_max_wait", "_pipeline")

    def __init__(self, admission: Admission, creates: Creates, pipeline: Pipeline, max_wait: float | None) -> None:
        self._admission = admission
        self._creates = creates
        self._pipeline = pipeline
        self._max_wait = max_wait
        self._lane = pipeline.lane("analysis")

    async def create(
        self,
        operation: Operation[Analysis],
        *,
        timeout: float | None,
        lasts: float | None = None,
        is_patient: bool = False,
    ) -> Analysis:
        """Request one analysis within `timeout` seconds, of which the wait for it may then last so many."""
        began, limits = _clock.now(), (timeout and timeout - min(_FOR_ANSWER, timeout / 2), self._max_wait)
        longest = min((seconds for seconds in limits if seconds is not None), default=None)
        with await self._admission.enter_within(longest, self._lane, lasts):
            left = None if timeout is None else max(0.0, timeout - (_clock.now() - began))
            return await self.send(operation, None, timeout=left, is_patient=is_patient)

    async def enter(self, lasts: float | None) -> Place:
        """Wait until one more of a batch may be requested."""
        return await self._admission.enter(self._lane, lasts, is_one_of_many=True)

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
