"""The analyses that the emulated server holds, and how far each of them is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Literal

import msgspec

from kallglot_async.emulator.analyses.latency import Latency
from kallglot_async.emulator.seeding import fraction, make_id

Revision = Literal["a", "b"]
"""The two documented revisions of the API."""

PREFIXES: dict[Revision, str] = {"a": "ana", "b": "anl"}
"""Id prefix by revision."""

DEFAULT_COMPONENTS: dict[Revision, tuple[str, ...]] = {
    # As in the two complete samples; what revision B includes by default is not documented.
    "a": ("sentiment", "summary", "action_items", "quality", "topics"),
    "b": ("summary", "sentiment", "compliance", "performance"),
}
"""What an analysis holds that was not asked for anything in particular."""

# Share of the latency that an analysis of revision A spends as "queued"; not documented.
_QUEUED_SHARE = 0.15


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What a request for an analysis asks for."""

    revision: Revision
    components: tuple[str, ...]
    language: str = "en"
    profile: str = "default"
    webhook_url: str | None = None


class AnalysisRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The truth about one analysis, for tests. Times are seconds since the emulator started."""

    id: str
    session_id: str
    revision: Revision
    status: str
    """What a retrieve would be told now."""
    created_at: float
    ready_at: float | None
    """When it settles (or settled); None while that depends on polls that have not come yet."""
    fails: bool
    """Whether it ends as failed."""
    polls: int
    """How many retrieves it has answered."""


class Analysis:
    """One analysis of the emulated server."""

    __slots__ = ("created_at", "fails", "id", "order", "polls", "polls_left", "ready_at", "session_id")

    def __init__(
        self,
        *,
        id: str,
        session_id: str,
        order: Order,
        created_at: float,
        latency: Latency,
        speed: float,
        seed: int,
    ) -> None:
        seconds = latency.seconds(fraction(seed, "latency", id))
        self.id = id
        self.session_id = session_id
        self.order = order
        self.created_at = created_at
        self.ready_at: float | None = None if seconds is None else created_at + seconds / speed
        self.polls_left = latency.polls
        self.polls = 0
        self.fails = False

    def see(self, now: float) -> None:
        """Count one retrieve; under `after_polls` the last of them makes the analysis ready."""
        self.polls += 1
        if self.ready_at is None:
            if self.polls_left <= 0:
                self.ready_at = now
            self.polls_left -= 1

    def status(self, now: float) -> str:
        """The status in the words of the analysis's own revision."""
        if self.ready_at is not None and now >= self.ready_at:
            if self.fails:
                return "failed"
            return "complete" if self.order.revision == "a" else "completed"
        if self.order.revision == "b":
            return "processing"
        return "queued" if self._is_queued(now) else "processing"

    def _is_queued(self, now: float) -> bool:
        if self.ready_at is None:
            return self.polls <= 1
        return now - self.created_at < _QUEUED_SHARE * (self.ready_at - self.created_at)

    def record(self, now: float) -> AnalysisRecord:
        """A frozen picture of this analysis."""
        return AnalysisRecord(
            id=self.id,
            session_id=self.session_id,
            revision=self.order.revision,
            status=self.status(now),
            created_at=self.created_at,
            ready_at=self.ready_at,
            fails=self.fails,
            polls=self.polls,
        )


class AnalysisStore:
    """All analyses by id.

    Ids depend on the seed, the session and how many analyses that session has had, never on the order in
    which sessions come: concurrent creations give the same ids in every run.

    Args:
        seed: Decides ids, latencies and outcomes.
        latency: How long analyses take.
        failure_rate: Share of analyses that end as failed, 0 to 1.
        speed: Divides every latency.
        on_added: Called with every new analysis.
    """

    __slots__ = ("_analyses", "_failure_rate", "_latency", "_on_added", "_per_session", "_seed", "_seeded", "_speed")

    def __init__(
        self,
        *,
        seed: int,
        latency: Latency,
        failure_rate: float,
        speed: float,
        on_added: Callable[[Analysis], None] | None = None,
    ) -> None:
        self._on_added = on_added
        self._seed = seed
        self._latency = latency
        self._failure_rate = failure_rate
        self._speed = speed
        self._analyses: dict[str, Analysis] = {}
        self._per_session: Counter[str] = Counter()
        self._seeded = 0

    def __len__(self) -> int:
        return len(self._analyses)

    def __iter__(self) -> Iterator[Analysis]:
        return iter(self._analyses.values())

    def get(self, id: str) -> Analysis | None:
        """The analysis with this id, if there is one."""
        return self._analyses.get(id)

    def create(self, session_id: str, order: Order, now: float) -> Analysis:
        """A new analysis of a session; it is under way from now on."""
        number = self._per_session[session_id]
        self._per_session[session_id] += 1
        prefix = PREFIXES[order.revision]
        return self._add(make_id(prefix, self._seed, session_id, number), session_id, order, now)

    def seed(self, count: int, revision: Revision, now: float) -> list[str]:
        """Create analyses of sessions of their own; returns the ids."""
        order = Order(revision=revision, components=DEFAULT_COMPONENTS[revision])
        numbers = range(self._seeded, self._seeded + count)
        self._seeded += count
        return [self.create(make_id("sess", self._seed, number), order, now).id for number in numbers]

    def adopt(self, id: str, revision: Revision, now: float) -> Analysis:
        """Take an id that was never created for one that was requested just now."""
        order = Order(revision=revision, components=DEFAULT_COMPONENTS[revision])
        return self._add(id, make_id("sess", self._seed, "adopted", id), order, now)

    def decoy(self, id: str, revision: Revision, now: float) -> Analysis:
        """Another analysis than the one asked for: settled, plausible, and not in the store."""
        order = Order(revision=revision, components=DEFAULT_COMPONENTS[revision])
        return self._make(
            make_id(PREFIXES[revision], self._seed, "decoy", id),
            make_id("sess", self._seed, "decoy", id),
            order,
            now,
            Latency.immediate(),
        )

    def _add(self, id: str, session_id: str, order: Order, now: float) -> Analysis:
        analysis = self._make(id, session_id, order, now, self._latency)
        analysis.fails = fraction(self._seed, "fails", id) < self._failure_rate
        self._analyses[id] = analysis
        if self._on_added is not None:
            self._on_added(analysis)
        return analysis

    def _make(self, id: str, session_id: str, order: Order, now: float, latency: Latency) -> Analysis:
        return Analysis(
            id=id,
            session_id=session_id,
            order=order,
            created_at=now,
            latency=latency,
            speed=self._speed,
            seed=self._seed,
        )
