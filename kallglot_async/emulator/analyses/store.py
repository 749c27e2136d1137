"""The analyses that the emulated server holds, and how far each of them is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

import msgspec

from kallglot_async.emulator.analyses.create_request import Order
from kallglot_async.emulator.routes import PREFIXES, Revision
from kallglot_async.emulator.seeding import fraction, make_id
from kallglot_async.emulator.settings import Settings

# Share of the latency that an analysis of revision A spends as "queued"; not documented.
_QUEUED_SHARE = 0.15


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


class Analysis(msgspec.Struct, kw_only=True):
    """One analysis of the emulated server; the fields are those of its record."""

    id: str
    session_id: str
    order: Order
    created_at: float
    ready_at: float | None
    fails: bool
    polls_left: int
    """How many more retrieves see it unfinished, where polls decide and not time."""
    polls: int = 0

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
        words = {"revision": self.order.revision, "status": self.status(now)}
        return msgspec.convert(msgspec.structs.asdict(self) | words, AnalysisRecord)


class AnalysisStore:
    """All analyses by id.

    Ids depend on the seed, the session and how many analyses that session has had, never on the order in
    which sessions come: concurrent creations give the same ids in every run. `on_added` hears of every new one.
    """

    __slots__ = ("_analyses", "_on_added", "_per_session", "_seed", "_seeded", "_settings")

    def __init__(self, settings: Settings, on_added: Callable[[Analysis], None] = lambda analysis: None) -> None:
        self._settings = settings
        self._seed = settings.seed
        self._on_added = on_added
        self._analyses: dict[str, Analysis] = {}
        self._per_session: Counter[str] = Counter()
        self._seeded = 0

    def __iter__(self) -> Iterator[Analysis]:
        # At one stroke: another thread may read while requests come.
        return iter(list(self._analyses.values()))

    def get(self, id: str) -> Analysis | None:
        """The analysis with this id, if there is one."""
        return self._analyses.get(id)

    def create(self, session_id: str, order: Order, now: float) -> Analysis:
        """A new analysis of a session; it is under way from now on."""
        number = self._per_session[session_id]
        self._per_session[session_id] += 1
        return self._add(make_id(PREFIXES[order.revision], self._seed, session_id, number), session_id, order, now)

    def seed(self, count: int, revision: Revision, now: float) -> list[Analysis]:
        """Create analyses of sessions of their own."""
        numbers = range(self._seeded, self._seeded + count)
        self._seeded += count
        order = Order.default(revision)
        return [self.create(make_id("sess", self._seed, number), order, now) for number in numbers]

    def adopt(self, id: str, revision: Revision, now: float) -> Analysis:
        """Take an id that was never created for one that was requested just now."""
        return self._add(id, make_id("sess", self._seed, "adopted", id), Order.default(revision), now)

    def decoy(self, id: str, revision: Revision, now: float) -> Analysis:
        """Another analysis than the one asked for: settled, plausible, and not in the store."""
        other = make_id(PREFIXES[revision], self._seed, "decoy", id)
        session_id = make_id("sess", self._seed, "decoy", id)
        analysis = self._new(other, session_id, Order.default(revision), now)
        return msgspec.structs.replace(analysis, ready_at=now, fails=False)

    def _add(self, id: str, session_id: str, order: Order, now: float) -> Analysis:
        self._analyses[id] = analysis = self._new(id, session_id, order, now)
        self._on_added(analysis)
        return analysis

    def _new(self, id: str, session_id: str, order: Order, now: float) -> Analysis:
        latency = self._settings.latency
        seconds = latency.seconds(fraction(self._seed, "latency", id))
        return Analysis(
            id=id,
            session_id=session_id,
            order=order,
            created_at=now,
            ready_at=None if seconds is None else now + seconds / self._settings.speed,
            # By the id, so that the same ones fail at whatever rate, and more of them at a higher one.
            fails=fraction(self._seed, "fails", id) < self._settings.failure_rate,
            polls_left=latency.polls,
        )
