"""A pending id: all that is known of it, in one record."""

from __future__ import annotations

import msgspec

__all__ = ["ANNOUNCED", "FIRM", "FLYING", "GONE", "HELD", "LATE", "LATE_LOOK", "LEARNED", "OVER", "Entry", "Trouble"]

# The states of an entry, the four that wait for a poll first. What is announced by the server goes at once. What is
# firm (a hint, a retry, a refused poll) is due at its key whatever the model says. What is held failed, and is due at
# its key if the client's retry budget lets it go then. What is over has had its last look and waits to be popped.
ANNOUNCED, FIRM, HELD, LEARNED, FLYING, OVER, GONE = range(7)

LATE = 0.25  # seconds after a deadline from which it was missed because the event loop stood still
LATE_LOOK = 1.0  # seconds that the last look may take that follows then


class Trouble(msgspec.Struct, gc=False):
    """What an id has met since its last good answer."""

    since: float  # the moment of the first failure
    history: tuple[str, ...] = ()  # one line for each of the latest failures
    held: int = 0  # looks that the budget did not pay for
    missing_since: float | None = None  # the moment of the first 404
    missing: int = 0  # 404s


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
            self.born_at = now - age if age > 0.0 else now
            if self.seen_at is None:
                self.seen_at = self.born_at

    @property
    def in_flight(self) -> bool:
        """Whether a poll of it is unanswered."""
        return self.state == FLYING

    def __lt__(self, other: Entry) -> bool:
        """Break ties between places."""
        return self.born_at < other.born_at
