"""A pending id: all that is known of it, what an answer adds to that, and the orders in which a queue keeps it.

An order does not forget an entry at once when it moves on: what is stale is dropped when it comes to the front, or by
`trim` once there is too much of it, so that nearly every operation takes O(1) or O(log n) on average.

Pure: no clock, no I/O; the moments of a `Sight` are the server's, all others the library's.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict, deque
from collections.abc import Mapping
from heapq import heapify, heappop, heappush, heapreplace
from math import inf

import msgspec

from kallglot_async._core.api.answers import RETRY_AFTER, parse_rate_figures, parse_retry_after
from kallglot_async.models import Analysis

__all__ = [
    "ANNOUNCED", "FIRM", "FLYING", "GONE", "HELD", "LATE", "LATE_LOOK", "LEARNED", "OVER", "Creates", "Entry", "Orders",
    "Sight", "Trouble",
]  # fmt: skip

# The states of an entry, the four that wait for a poll first. What is announced by the server goes at once. What is
# firm (a hint, a retry, a refused poll) is due at its key whatever the model says. What is held failed, and is due at
# its key if the client's retry budget lets it go then. What is over has had its last look and waits to be popped.
ANNOUNCED, FIRM, HELD, LEARNED, FLYING, OVER, GONE = range(7)

LATE = 0.25  # seconds after a deadline from which it was missed because the event loop stood still
LATE_LOOK = 1.0  # seconds that the last look may take that follows then

REMEMBERED = 3600.0  # seconds for which the moment of our own creates is kept
_TRIM_EVERY = 16  # entries that leave or move between two looks at how long the lines have become
_ALIKE = 2.0  # seconds: `Date`, the reset and `Retry-After` are each rounded to whole ones


class Trouble(msgspec.Struct, gc=False):
    """What an id has met since its last good answer."""

    since: float  # the moment of the first failure
    history: tuple[str, ...] = ()  # one line for each of the latest failures
    held: int = 0  # looks that the budget did not pay for
    missing_since: float | None = None  # the moment of the first 404
    missing: int = 0  # 404s


# There may be a million: nothing in one leads back to it, so the collector need not visit any; and two are the same
# only if they are one.
class Entry(msgspec.Struct, gc=False, eq=False):
    """One pending id, and all that is known of it."""

    id: str
    kind: str
    key: float  # when its next poll is due
    born_at: float  # the moment its age counts from
    seen_at: float | None  # the last moment it is known to have been running
    timeout: float | None
    state: int
    polls: int = 0  # sent, less those refused
    failures: int = 0  # transient failures since the last good answer
    refusals: int = 0  # polls that were refused since the last answer
    first_poll_at: float | None = None
    deadline: float | None = None  # the moment the wait for it ends: `timeout` seconds after its first poll
    last_status: str | None = None
    trouble: Trouble | None = None  # None: its last poll was answered
    unconfirmed: int | None = None  # answers since a webhook announced it; each found it running. None: not announced
    is_last: bool = False  # its time is over, and one late look is granted
    is_stale: bool = False  # its poll was out as that was granted: its answer may be from before

    def begin(self, at: float | None) -> None:
        """Have its time count from its first poll; None: that is still to come."""
        self.first_poll_at = at
        self.deadline = None if at is None or self.timeout is None else at + self.timeout

    def elapsed(self, now: float) -> float:
        """Seconds since its first poll; 0.0 where there was none."""
        return now - self.first_poll_at if self.first_poll_at is not None and now > self.first_poll_at else 0.0

    def is_late(self, now: float) -> bool:
        """Whether its deadline was missed by so much that nothing can have run at it, and it had no late look yet."""
        return not self.is_last and self.deadline is not None and now > self.deadline + LATE

    def is_owed_a_look(self, now: float) -> bool:
        """Whether the poll that has just landed, and did not find it settled, leaves its late look still to come."""
        return self.is_stale or self.is_late(now)

    def grant_late_look(self, now: float) -> None:
        """Have its time end anew, once a late look can have been answered."""
        self.is_last = True
        self.deadline = now + LATE_LOOK
        self.is_stale = self.in_flight

    @property
    def is_announced(self) -> bool:
        """Whether a webhook has said that it has settled."""
        return self.unconfirmed is not None

    def for_another(self, timeout: float | None, first_poll_at: float | None) -> Entry:
        """Return it as it goes on in another queue, where its time counts by that queue's timeout."""
        other = msgspec.structs.replace(self, timeout=timeout, state=FIRM, is_last=False, is_stale=False)
        other.begin(first_poll_at)
        return other

    def date(self, now: float, age: float | None) -> None:
        """Count its age from its creation, if the answer told; it has been running from then on."""
        if age is not None:
            self.born_at = now - age
            if self.seen_at is None:
                self.seen_at = self.born_at

    @property
    def in_flight(self) -> bool:
        """Whether a poll of it is unanswered."""
        return self.state == FLYING

    @property
    def was_answered(self) -> bool:
        """Whether the poll before the one that is out was answered."""
        return self.polls > 1 and not self.failures

    # `_Place` compares its entries where two keys are equal, as those of ids that were added in one moment are.
    def __lt__(self, other: Entry) -> bool:
        """Break ties between places."""
        return self.born_at < other.born_at


class Sight(msgspec.Struct, frozen=True, gc=False):
    """What a good answer says of an analysis's time: how old it is, how long it took, when to look again.

    Seconds from its creation, from there to its completion, and until the next look; None for what was not told.
    """

    age: float | None = None
    took: float | None = None
    hint_in: float | None = None

    @classmethod
    def of(cls, analysis: Analysis, headers: Mapping[str, str], *, server_now: float) -> Sight:
        """Read an answer that came at `server_now`, in Unix seconds on the server's clock."""
        age = took = hint = None
        # Less than 0 is rounding: `created_at` may have the fraction of a second that `Date` cuts off.
        created, completed, expected = analysis.created_at, analysis.completed_at, analysis.estimated_completion
        if created is not None:
            age = server_now - created.timestamp()
            if age < 0.0:
                age = 0.0
            if completed is not None:
                took = (completed - created).total_seconds()
                if took < 0.0:
                    took = 0.0
        # Asked first: nearly no answer has one, and to tell a hint from the rest of a window the rate figures are read
        # again.
        if RETRY_AFTER in headers:
            hint = _hint_of(headers, server_now)
        if hint is None and expected is not None and (ahead := expected.timestamp() - server_now) > 0.0:
            hint = ahead
        return cls(age, took, hint)


def _hint_of(headers: Mapping[str, str], server_now: float) -> float | None:
    """Read `Retry-After`, but where it names the rest of the rate-limit window: that is no hint.

    Limiters of many frameworks put it on every answer, and an id that kept to it would be looked at once a window.
    """
    hint = parse_retry_after(headers, wall_now=server_now)
    figures = parse_rate_figures(headers, wall_now=server_now)
    if hint is not None and figures is not None and abs(hint - figures.resets_in) <= _ALIKE:
        return None
    return hint


class Creates:
    """What was created here, under one key: when, and when it is expected to be done."""

    __slots__ = ("_of",)

    def __init__(self) -> None:
        self._of: OrderedDict[str, tuple[float, float | None]] = OrderedDict()  # the moment, and seconds from there

    def __contains__(self, id: str) -> bool:
        """Whether it was created here; what is older than an hour is forgotten with the next create."""
        return id in self._of

    def on_created(self, created: Analysis, now: float, *, server_now: float) -> None:
        """An analysis has just been created; `server_now` is the server's clock in Unix seconds."""
        age = 0.0
        # A repeated create is answered with what was created then, maybe minutes ago.
        if created.created_at is not None:
            # A second less: the moment is often cut to a whole one, and what is of now would seem to be older.
            age = max(0.0, server_now - created.created_at.timestamp() - 1.0)
        estimate = created.estimated_completion
        takes = None if estimate is None else estimate.timestamp() - server_now + age
        self._of[created.id] = now - age, takes
        while self._of and next(iter(self._of.values()))[0] < now - REMEMBERED:
            self._of.popitem(last=False)

    def times_of(self, id: str, now: float) -> tuple[float | None, float | None]:
        """Return the seconds since it was created here, and until it is done by the server's own estimate.

        None where it was not, or is forgotten; and where the server gave none when asked.
        """
        if (found := self._of.get(id)) is None:
            return None, None
        created_at, takes = found
        return now - created_at, None if takes is None else created_at + takes - now


class _Line(deque[Entry]):
    """Entries in the order in which they came, or are to go."""

    __slots__ = ()

    def drop_latest(self, entry: Entry) -> None:
        """Search from the right, where what has just been sent is."""
        for i in range(len(self) - 1, -1, -1):
            if self[i] is entry:
                del self[i]
                return

    def trim(self, room: int) -> None:
        if len(self) > room:
            kept = [entry for entry in self if entry.state != GONE]
            self.clear()
            self.extend(kept)


class _Place(msgspec.Struct, gc=False, order=True):
    """An entry's place in a heap."""

    key: float
    entry: Entry


class _ByKey(list[_Place]):
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
        # A place stays behind as its entry moves on (taking it out would be a search): its own key tells a stale one.
        entry = place.entry
        # Both heaps may have one of the same key: which of them counts, its state tells.
        return entry.key == place.key and entry.state <= LEARNED and (entry.state == HELD) == self._is_held


class _Held(_ByKey):
    """Entries that are held after a failure, by key; the others have a `_ByKey`."""

    __slots__ = ()
    _is_held = True


class _BySight:
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


def _ends_at(entry: Entry) -> float:
    return inf if entry.deadline is None else entry.deadline


class _Endings:
    """Last looks and deadlines. One timeout for all, so both come in the order of the first polls: no heap."""

    __slots__ = ("_ahead", "_ending", "_over")

    def __init__(self) -> None:
        self._ahead = _Line()  # the last look is still to come
        self._ending = _Line()  # the last look is sent or missed, the deadline still to come
        self._over = _Line()  # the last look is answered: ends at once

    def start(self, entry: Entry) -> None:
        """Take in one more; nearly always it ends last. An heir, whose time began before, has to find its place."""
        line = self._ahead
        if not line or _ends_at(line[-1]) <= _ends_at(entry):
            line.append(entry)
        else:
            line.insert(bisect_right(line, _ends_at(entry), key=_ends_at), entry)

    def drop(self, entry: Entry) -> None:
        """Its deadline moves: it has to be started anew."""
        for line in (self._ahead, self._ending, self._over):
            line.drop_latest(entry)

    # Out of whichever line it is in: where its last look fell due while that poll was out, it has moved on.
    def undo_start(self, entry: Entry) -> None:
        self._ahead.drop_latest(entry)
        self._ending.drop_latest(entry)

    def undo_last_look(self, entry: Entry) -> None:
        self._ending.drop_latest(entry)
        # In front, where it was taken from: all that stand there end later.
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
            else:
                # In flight as its last look falls due: that poll is its last look.
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
            line.trim(room)


class Orders:
    """Where the entries of one queue stand: who waits, and for what; who was seen when; whose time ends when."""

    __slots__ = ("_untrimmed", "asleep", "by_key", "by_sight", "endings", "held", "live", "new")

    def __init__(self) -> None:
        self.new = _Line()  # of unknown age and never polled: first come, first looked at
        self.by_key = _ByKey()  # all others that wait ...
        self.asleep = _ByKey()  # ... but those that are due, and whose event will come first, ...
        self.held = _Held()  # ... and those whose poll failed, and which the budget has to let go
        self.by_sight = _BySight()
        self.endings = _Endings()
        self.live: int = 0  # ids that are pending
        self._untrimmed = 0

    def wait(self, entry: Entry, key: float, state: int) -> None:
        """Have it wait for a poll until `key`."""
        entry.key = key
        entry.state = state
        (self.held if state == HELD else self.by_key).push(entry)
        self.trim()

    def trim(self) -> None:
        """Drop what is gone or has moved on once it outnumbers the living: O(1) for each that leaves or moves."""
        self._untrimmed = (self._untrimmed + 1) % _TRIM_EVERY
        if self._untrimmed:
            return
        # The 64: a short line costs less than looking for what is stale in it.
        room = self.live + self.live // 4 + 64
        for line in (self.new, self.by_key, self.asleep, self.held, self.by_sight, self.endings):
            line.trim(room)
