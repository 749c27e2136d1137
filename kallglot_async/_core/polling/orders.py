"""The orders in which a poll queue keeps the pending ids: by key, by sight, by deadline.

None of these orders forgets an entry at once when it moves on: what is stale is dropped when it comes to the front,
or by `trim` once there is too much of it, so that every operation takes O(1) or O(log n) on average.
"""

from __future__ import annotations

from collections import deque
from heapq import heapify, heappop, heappush, heapreplace
from math import inf

import msgspec

from kallglot_async._core.polling.pending import GONE, HELD, LEARNED, Entry

__all__ = ["ByKey", "BySight", "Endings", "Held", "remove_latest", "trim"]


class _Place(msgspec.Struct, gc=False, order=True):
    """An entry's place in a heap."""

    key: float
    entry: Entry


class ByKey(list[_Place]):
    """Entries that wait, by key: a heap of their places."""

    __slots__ = ()
    _is_held = False

    def push(self, entry: Entry) -> None:
        heappush(self, _Place(entry.key, entry))

    def put_back(self, entry: Entry) -> None:
        """Give the first a new place, by the key that it has now."""
        heapreplace(self, _Place(entry.key, entry))

    def first(self) -> Entry | None:
        """The one due first, once those that have moved on are dropped."""
        while self:
            if self._is_current(place := self[0]):
                return place.entry
            heappop(self)
        return None

    def drop_first(self) -> None:
        heappop(self)

    def trim(self, room: int) -> None:
        if len(self) > room:
            self[:] = [place for place in self if self._is_current(place)]
            heapify(self)

    def _is_current(self, place: _Place) -> bool:
        entry = place.entry
        return entry.key == place.key and entry.state <= LEARNED and (entry.state == HELD) == self._is_held


class Held(ByKey):
    """Entries that are held after a failure, by key; the others have a `ByKey`."""

    __slots__ = ()
    _is_held = True


class BySight:
    """The entries with a learned key, in the order in which they were last seen."""

    __slots__ = ("_entries", "_seen_at")

    def __init__(self) -> None:
        # Two deques: a pair would cost 72 bytes, and the time is the same object as the entry's own.
        self._entries: deque[Entry] = deque()
        self._seen_at: deque[float | None] = deque()

    def append(self, entry: Entry) -> None:
        self._entries.append(entry)
        self._seen_at.append(entry.seen_at)

    def put_back(self, entry: Entry) -> None:
        self._entries.appendleft(entry)
        self._seen_at.appendleft(entry.seen_at)

    def first(self) -> Entry | None:
        """The one seen longest ago, once those that have moved on are dropped."""
        while self._entries:
            entry = self._entries[0]
            if entry.state == LEARNED and entry.seen_at == self._seen_at[0]:
                return entry
            self.pop()
        return None

    def pop(self) -> None:
        self._entries.popleft()
        self._seen_at.popleft()

    def trim(self, room: int) -> None:
        if len(self._entries) > room:
            pairs = zip(self._entries, self._seen_at, strict=True)
            kept = [entry for entry, at in pairs if entry.state == LEARNED and entry.seen_at == at]
            self._entries = deque(kept)
            self._seen_at = deque(entry.seen_at for entry in kept)


class Endings:
    """Last looks and deadlines. One timeout for all, so both come in the order of the first polls: no heap."""

    __slots__ = ("_ahead", "_ending", "_over")

    def __init__(self) -> None:
        self._ahead: deque[Entry] = deque()  # the last look is still to come
        self._ending: deque[Entry] = deque()  # the last look is sent or missed, the deadline still to come
        self._over: deque[Entry] = deque()  # the last look is answered: ends at once

    def start(self, entry: Entry) -> None:
        """Take in one more; nearly always it ends last. An heir, whose time began before, has to find its place."""
        line, deadline = self._ahead, entry.deadline or inf
        if not line or (line[-1].deadline or inf) <= deadline:
            line.append(entry)
            return
        place = len(line) - 1
        while place and (line[place - 1].deadline or inf) > deadline:
            place -= 1
        line.insert(place, entry)

    def restart(self, entry: Entry) -> None:
        """Its deadline has moved: its last look is still to come."""
        for line in (self._ahead, self._ending, self._over):
            remove_latest(line, entry)
        self.start(entry)

    def undo_start(self, entry: Entry) -> None:
        remove_latest(self._ahead, entry)
        remove_latest(self._ending, entry)

    def undo_last_look(self, entry: Entry) -> None:
        remove_latest(self._ending, entry)
        self._ahead.appendleft(entry)

    def end(self, entry: Entry) -> None:
        self._over.append(entry)

    def next_last_look(self, now: float, lead: float) -> tuple[float, Entry | None]:
        while self._ahead:
            entry = self._ahead[0]
            at = (entry.deadline or 0.0) - lead
            if entry.state == GONE:
                self._ahead.popleft()
            elif at > now or entry.state <= LEARNED:
                return at, entry
            else:  # in flight as its last look falls due: that poll is its last look
                self.take_last_look()
        return inf, None

    def take_last_look(self) -> None:
        self._ending.append(self._ahead.popleft())

    def next_deadline(self) -> float | None:
        for line in (self._over, self._ending, self._ahead):
            while line and line[0].state == GONE:
                line.popleft()
        if self._over:
            return self._over[0].seen_at  # past: at once
        ending = self._ending[0].deadline if self._ending else None
        ahead = self._ahead[0].deadline if self._ahead else None
        return ahead if ending is None or (ahead is not None and ahead < ending) else ending

    def pop_expired(self, now: float) -> Entry | None:
        at = self.next_deadline()
        if at is None or at > now:
            return None
        if self._over:
            return self._over.popleft()
        return self._ending.popleft() if self._ending else self._ahead.popleft()

    def trim(self, room: int) -> None:
        for line in (self._ahead, self._ending):
            trim(line, room)


def trim(line: deque[Entry], room: int) -> None:
    if len(line) > room:
        kept = [entry for entry in line if entry.state != GONE]
        line.clear()
        line.extend(kept)


def remove_latest(line: deque[Entry], entry: Entry) -> None:
    """Search from the right, where what has just been sent is."""
    for i in range(len(line) - 1, -1, -1):
        if line[i] is entry:
            del line[i]
            return
