"""`Admission`: when one more analysis may be requested, so that none is paid for whose end nobody could see.

A request goes before polls. Where more come than the limit has room for, they would take every slot, and what they have
paid for would run out of time unseen: the more is asked for, the less is delivered (congestion collapse). So what has
to wait stands in line before it is requested, and not behind.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from kallglot_async import _clock
from kallglot_async._clock import Alarm
from kallglot_async._core.polling.worth import Throughput, has_room, need_of
from kallglot_async.errors import RateLimitedError

if TYPE_CHECKING:
    from kallglot_async._wire.limiter import Lane

__all__ = ["Admission", "Place"]

_RE_ASK = 1.0  # seconds until somebody in line looks again where no renewal of the limit is known
_UNSURE = 3.0  # seconds by which a window may be open later than is known: rounding, the guard, an answer's way
_LONGEST_ADVICE = 60.0  # seconds; places are left all along, however far the renewal of a limit is
_USUAL = 120.0  # seconds that a wait takes which is not told how long


class Place:
    """That of an analysis which is being requested, or waited for by who has requested it.

    Attributes:
        need: Requests/s that have to be kept for it.
        ends_at: When it has to be seen settled.
        is_waited_for: Whether somebody waits for its end, and has said for how long.
    """

    __slots__ = ("_admission", "ends_at", "is_waited_for", "need")

    def __init__(self, admission: Admission, need: float, ends_at: float, *, is_waited_for: bool) -> None:
        self._admission = admission
        self.need: float = need
        self.ends_at: float = ends_at
        self.is_waited_for: bool = is_waited_for

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.leave()

    def leave(self) -> None:
        """It is settled, given up, or was not requested after all. Twice is fine."""
        self._admission.leave(self)


class Admission:
    """The analyses that were requested here and are under way; and who wants to request another, in line.

    Args:
        lane: That of analyses.
    """

    __slots__ = ("_entered", "_lane", "_line", "_places", "_throughput")

    def __init__(self, lane: Lane) -> None:
        self._lane = lane
        self._places: set[Place] = set()
        self._entered = 0  # requests for analyses so far, of batches as well
        self._throughput = Throughput()
        self._line: deque[Alarm] = deque()  # one for each who waits; the first is woken when a place is left

    @property
    def under_way(self) -> int:
        """How many have a place."""
        return len(self._places)

    def hold(self, lasts: float | None, *, is_one_of_many: bool = False) -> Place:
        """Have a place, in turn or not, for what has to be seen settled in so many seconds; None: it has for ever."""
        return self._take(need_of(lasts, is_one_of_many=is_one_of_many), lasts, is_waited_for=True)

    async def enter(self, lasts: float | None, *, is_one_of_many: bool = False) -> Place:
        """Wait in line until one more may be requested, and take its place, which is to be left in any case.

        Args:
            lasts: Seconds within which it has to be seen settled; None: nobody knows.
            is_one_of_many: Whether it is of a batch.
        """
        self._lane.enter()
        if self._line or self._next_at(lasts, is_one_of_many) > _clock.now():
            await self._stand_in_line(lasts, is_one_of_many)
        return self._enter(lasts, is_one_of_many)

    async def enter_within(self, seconds: float | None, lasts: float | None) -> Place:
        """The same, for so many seconds at most; None: for ever.

        Raises:
            RateLimitedError: There was no place within that time.
        """
        self._lane.enter()
        if not self._line and self._next_at(lasts, False) <= _clock.now():
            return self._enter(lasts, False)
        try:
            async with asyncio.timeout(seconds):
                return await self.enter(lasts)
        except TimeoutError:
            state = self._lane.state()
        raise RateLimitedError(
            f"analyses.create waited {seconds:g} s for its turn: the rate limit is needed to look after the "
            f"{self.under_way} analyses that were requested before",
            operation="analyses.create",
            retry_after=min(state.resets_in or _RE_ASK, _LONGEST_ADVICE),
            limit=state.limit,
            reset=state.resets_in,
        )

    def leave(self, place: Place) -> None:
        """Have one more requested, if somebody is in line."""
        self._places.discard(place)
        self._call_next()

    def forget(self, loop: asyncio.AbstractEventLoop | None) -> None:
        """Another event loop is served: what began on this one keeps nobody waiting. None: it is gone."""
        for turn in self._line:
            _clock.call_in(loop, turn.ring)  # once it runs again, they line up anew
        self._places.clear()
        self._line.clear()
        self._throughput = Throughput()  # the clock may be another one

    async def _stand_in_line(self, lasts: float | None, is_one_of_many: bool) -> None:
        turn = Alarm()
        try:
            while True:
                if turn not in self._line:
                    self._line.append(turn)
                at = self._next_at(lasts, is_one_of_many) if self._line[0] is turn else math.inf
                if at <= _clock.now():
                    return
                await turn.sleep_until(at)
                self._lane.enter()
        finally:
            if turn in self._line:
                self._line.remove(turn)
            self._call_next()

    def _call_next(self) -> None:
        if self._line:
            with suppress(RuntimeError):  # its loop is closed: whoever comes next on another finds an empty line
                self._line[0].ring()

    def _enter(self, lasts: float | None, is_one_of_many: bool) -> Place:
        self._entered += 1
        is_told = lasts is not None or is_one_of_many
        return self._take(self._need(lasts, is_one_of_many), lasts, is_waited_for=is_told)

    def _take(self, need: float, lasts: float | None, *, is_waited_for: bool) -> Place:
        ends_at = math.inf if lasts is None else _clock.now() + lasts
        place = Place(self, need, ends_at, is_waited_for=is_waited_for)
        self._places.add(place)
        return place

    def _need(self, lasts: float | None, is_one_of_many: bool) -> float:
        """Requests/s to be kept for one more.

        Where nobody knows, as for those that are waited for: who has requested one may wait for it next. While nobody
        waits, as for a usual wait, or whoever requests many before the first wait would be let in with all of them.
        """
        if lasts is not None or is_one_of_many:
            return need_of(lasts, is_one_of_many=is_one_of_many)
        needs = [place.need for place in self._places if place.is_waited_for]
        return sum(needs) / len(needs) if needs else need_of(_USUAL, is_one_of_many=False)

    def _measured(self, now: float, lasts: float | None) -> float:
        """Return the requests/s that polls and requests for analyses had of late; infinity where they lack none."""
        lane = self._lane
        return self._throughput.rate(
            now,
            self._entered + lane.sent - lane.direct,
            period=lane.gate.window.renewal.period,
            lasts=lasts or _USUAL,
            waits_since=lane.polls_wait_since(),
        )

    def _next_at(self, lasts: float | None, is_one_of_many: bool) -> float:
        """Return when one more may be requested if none leaves before."""
        now, places = _clock.now(), self._places
        if not places:
            return now  # nobody would ever leave
        supply, need = self._lane.gate.supply(now), self._need(lasts, is_one_of_many)
        # A batch has time: it keeps to what is left of the window, and delivers the sooner what is done.
        rate = supply.rate if is_one_of_many else min(self._lane.gate.lasting_rate(now), self._measured(now, lasts))
        renewed_at = now + supply.resets_in + _UNSURE
        ending = sum(place.ends_at <= renewed_at for place in places if place.ends_at < math.inf)
        needed = need + sum(place.need for place in places)
        is_brief = not is_one_of_many and lasts is not None and lasts <= supply.resets_in
        if has_room(supply, rate, needed, under_way=len(places), ending=ending, is_brief=is_brief):
            return now
        return now + (supply.resets_in if 0.0 < supply.resets_in < math.inf else _RE_ASK)
