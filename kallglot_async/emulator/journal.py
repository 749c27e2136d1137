"""The emulator's own record of what it was asked: the ground truth of tests."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from typing import overload

import msgspec


class JournalEntry(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One request."""

    number: int
    """Counted from 1."""
    at: float
    """Seconds since the emulator started, at the request's arrival."""
    method: str
    path: str
    operation: str | None
    """What was asked for, for example `analyses.retrieve`; None for a path that the API does not have."""
    id: str | None
    """The id in the path: of the analysis, session or recording that it is about."""
    analysis_id: str | None
    """The analysis that was retrieved, created or replayed; None if there was none."""
    status: int | None
    """Status that was answered; None when no status line was sent."""
    group: str | None
    """Endpoint group whose budget the request belongs to."""
    accepted: bool
    """Whether the rate limit let it pass (and charged it); False for 401, 429 and what no limit is asked about: a
    pre-signed link."""
    limit: int | None
    """`X-RateLimit-Limit` of the window that decided; None when no limit applied."""
    remaining: int | None
    """`X-RateLimit-Remaining` after this request."""
    reset: int | None
    """`X-RateLimit-Reset`, Unix seconds."""
    window: int | None
    """Number of the fixed window; None with other windows."""
    idempotency_key: str | None
    is_replay: bool
    """Whether the answer was repeated for an idempotency key."""
    fault: str | None
    """Kind of the fault that was applied."""


class Journal(Sequence[JournalEntry]):
    """The requests in the order of their arrival.

    Args:
        bound: How many entries are kept (the newest); None: all.
    """

    __slots__ = ("_entries", "total")

    def __init__(self, bound: int | None = None) -> None:
        self._entries: deque[JournalEntry] = deque(maxlen=bound)
        self.total = 0
        """Requests ever recorded, also those that a bound has dropped."""

    @overload
    def __getitem__(self, place: int) -> JournalEntry: ...
    @overload
    def __getitem__(self, place: slice) -> list[JournalEntry]: ...
    def __getitem__(self, place: int | slice) -> JournalEntry | list[JournalEntry]:
        if isinstance(place, slice):
            return list(self._entries)[place]
        return self._entries[place]

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[JournalEntry]:
        # At one stroke: another thread may read while requests come.
        return iter(list(self._entries))

    def __repr__(self) -> str:
        return f"<Journal {self.total} requests, {self.refused} refused>"

    def record(self, entry: JournalEntry) -> None:
        """Append one entry."""
        self._entries.append(entry)
        self.total += 1

    def requests(
        self,
        *,
        operation: str | None = None,
        id: str | None = None,
        status: int | None = None,
        fault: str | None = None,
    ) -> list[JournalEntry]:
        """The entries that match everything that is given."""
        asked = {"operation": operation, "id": id, "status": status, "fault": fault}
        wanted = {name: value for name, value in asked.items() if value is not None}
        return [entry for entry in self if all(getattr(entry, name) == value for name, value in wanted.items())]

    def statuses(self) -> dict[int | None, int]:
        """How often each status was answered; None counts requests that got no status line."""
        return dict(Counter(entry.status for entry in self))

    def faults(self) -> dict[str, int]:
        """How often each kind of fault was applied."""
        return dict(Counter(entry.fault for entry in self if entry.fault is not None))

    @property
    def refused(self) -> int:
        """Requests that were answered 429, by a limit or by a fault, as far as entries are kept."""
        return sum(entry.status == 429 for entry in self)

    def max_per_window(self, *, group: str | None = None, with_refused: bool = False) -> int:
        """The most requests in one fixed window of the server; 0 with other kinds of window.

        Args:
            group: Only requests of this endpoint group.
            with_refused: Count what was refused too, not only what was accepted.
        """
        counts = Counter(entry.window for entry in self._counted(group, with_refused) if entry.window is not None)
        return max(counts.values(), default=0)

    def max_within(self, seconds: float, *, group: str | None = None, with_refused: bool = False) -> int:
        """The most requests in any stretch shorter than `seconds`, wherever it begins.

        The end of the stretch is not part of it; the rest is as for `max_per_window`.
        """
        most, recent = 0, deque[float]()
        for entry in self._counted(group, with_refused):
            recent.append(entry.at)
            # A microsecond of tolerance: sums of floating-point seconds do not meet a window's end exactly.
            while recent[0] <= entry.at - seconds + 1e-6:
                recent.popleft()
            most = max(most, len(recent))
        return most

    def _counted(self, group: str | None, with_refused: bool) -> Iterator[JournalEntry]:
        for entry in self:
            if (with_refused or entry.accepted) and group in (None, entry.group):
                yield entry

    def clear(self) -> None:
        """Forget everything; numbers start at 1 again."""
        self._entries.clear()
        self.total = 0
