"""Where several calls want one id: one of them polls it, and the others follow.

`Followed`: what one call waits for while another polls it. `Followers`: who follows which id, and who is to poll it in
the place of the one that does. A wait whose ids nobody else wants passes nothing of this.
"""

from __future__ import annotations

import math
from heapq import heappop, heappush
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from kallglot_async._waiting.call import WaitCall

__all__ = ["Followed", "Followers"]


class Followed(msgspec.Struct, eq=False):
    """The ids of one call that another call polls.

    Attributes:
        ends: When the wait for each is over here, however long the other waits; infinity: never.
    """

    # Of an empty default msgspec makes a new one for each instance.
    ends: dict[str, float] = {}
    # Heaps; an end that is not the id's any more is dropped as it comes up.
    _in_order: list[tuple[float, str]] = []
    _to_look: list[tuple[float, str]] = []  # those of which nobody was told yet that a last look falls due

    def add(self, id: str, ends_at: float) -> None:
        """Follow an id until then; or, where it is followed, until another moment than before."""
        self.ends[id] = ends_at
        if ends_at < math.inf:
            heappush(self._in_order, (ends_at, id))
            heappush(self._to_look, (ends_at, id))

    def next_end(self) -> float:
        """Return when the next wait is over; infinity: none will be."""
        return self._first(self._in_order)

    def pop_due(self, now: float) -> tuple[float, str] | None:
        """Return the next wait that is over, as its end and its id, once each; None: there is none."""
        return heappop(self._in_order) if self.next_end() <= now else None

    def next_look(self) -> float:
        """Return the end of the next wait whose last look is still to come; infinity: there is none."""
        return self._first(self._to_look)

    def pop_look(self, until: float) -> str | None:
        """Return the next id whose wait is over by then, once each, for its last look; None: there is none."""
        return heappop(self._to_look)[1] if self.next_look() <= until else None

    def _first(self, heap: list[tuple[float, str]]) -> float:
        while heap and self.ends.get(heap[0][1]) != heap[0][0]:
            heappop(heap)
        return heap[0][0] if heap else math.inf


class Followers(dict[str, list["WaitCall"]]):
    """By id, the calls that wait for what another polls, in order of arrival."""

    __slots__ = ()

    def add(self, id: str, call: WaitCall) -> None:
        """`call` follows it."""
        self.setdefault(id, []).append(call)

    def remove(self, id: str, call: WaitCall) -> None:
        """`call` follows it no more."""
        if call in (followers := self.get(id, [])):
            followers.remove(call)
            if not followers:
                del self[id]

    def heir_of(self, id: str, owner: WaitCall, *, at_once: bool = False) -> WaitCall | None:
        """Return who follows it and polls it best in the place of `owner`; None where there is nobody.

        That is one on the loop that runs, with a caller who takes outcomes; with `at_once`, nobody else.
        """
        followers = self.get(id, ())
        # Nearly always the first: of thousands who end in one moment, each would ask all the others.
        heir = next((one for one in followers if not any(_hindrances(one, owner))), None)
        if heir is None and followers and not at_once:
            heir = min(followers, key=lambda one: _hindrances(one, owner))
        return heir


def _hindrances(call: WaitCall, owner: WaitCall) -> tuple[bool, bool]:
    """Why a call would not poll at once: its loop stands still, or its caller is behind."""
    return call.loop is not owner.loop, call.poller.is_ahead_of_caller
