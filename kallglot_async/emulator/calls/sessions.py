"""The sessions that the emulated server holds: the calls that its analyses are about, and calls that go on.

A session that an analysis refers to is over. Its content is the story of its first analysis, so analysis,
transcript and recordings tell the same. Which revision all sessions speak is the emulator's `revision`, as
nothing in a `sess_` id tells it.

Not emulated: creating sessions, audio streams, and that an idle session ends by itself after 30 minutes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal

import msgspec

from kallglot_async.emulator.calls.story import Story
from kallglot_async.emulator.calls.transcripts import Utterance, utterances
from kallglot_async.emulator.clock import Clock
from kallglot_async.emulator.envelopes import not_found
from kallglot_async.emulator.routes import PREFIXES
from kallglot_async.emulator.seeding import is_well_formed, make_id
from kallglot_async.emulator.settings import Settings

SessionStatus = Literal["created", "active", "ended"]
"""How a session can be seeded. Revision A's `connecting` is too short to be emulated."""

Reason = Literal["completed", "customer_hangup", "agent_hangup", "error", "timeout"]
"""Why a session may end (revision A)."""

# Seconds between the end of a call and the request for its analysis, for calls that were over before.
_SINCE_THE_END = 10.0
# Seconds from the creation of a session to the beginning of its call.
_SET_UP = 3.0


class SessionRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The truth about one session, for tests. Times are seconds since the emulator started, also negative."""

    id: str
    status: str
    created_at: float
    started_at: float | None
    ended_at: float | None
    reason: str | None
    recordings: tuple[str, ...]
    """Ids, also of those that are not ready."""


class Session(msgspec.Struct, kw_only=True):
    """One call of the emulated server; the fields are those of its record."""

    id: str
    created_at: float
    started_at: float | None
    ended_at: float | None
    reason: str | None
    recordings: tuple[str, ...]
    spoken: tuple[Utterance, ...]
    """All that is said in it, if it goes on for long enough."""
    pace: float
    """Seconds of the call in one second of the clock."""

    @property
    def status(self) -> SessionStatus:
        """Where it stands."""
        if self.ended_at is not None:
            return "ended"
        return "created" if self.started_at is None else "active"

    def end(self, reason: str, now: float) -> None:
        """End the call; one that is over stays as it is."""
        if self.ended_at is None:
            self.ended_at, self.reason = now, reason

    def duration(self, now: float) -> float:
        """Seconds of the call, up to now while it goes on."""
        if self.started_at is None:
            return 0.0
        until = now if self.ended_at is None else self.ended_at
        return round((until - self.started_at) * self.pace, 1)

    def said(self, now: float) -> tuple[Utterance, ...]:
        """What was said until now."""
        heard = self.duration(now)
        return tuple(utterance for utterance in self.spoken if utterance.end <= heard)

    def record(self) -> SessionRecord:
        """A frozen picture of this session."""
        return msgspec.convert(self, SessionRecord, from_attributes=True)


class Sessions:
    """All sessions by id, and for tests their records: `emulator.sessions`.

    The seed decides ids and contents; all sessions speak one revision; a call goes on `speed` times faster than
    the clock, which is that of the run: there is none before the first.
    """

    __slots__ = ("_clock", "_owners", "_seed", "_seeded", "_sessions", "_settings")

    def __init__(self, settings: Settings, clock: Callable[[], Clock]) -> None:
        self._settings = settings
        self._seed = settings.seed
        self._clock = clock
        self.clear()

    def clear(self) -> None:
        """Forget every session."""
        # A session that nobody has asked for yet is no more than the moment at which it became known: a
        # benchmark seeds analyses by the hundred thousand.
        self._sessions: dict[str, Session | float] = {}
        self._owners: dict[str, str] = {}
        self._seeded = 0

    def __len__(self) -> int:
        return len(self._sessions)

    def __iter__(self) -> Iterator[SessionRecord]:
        # At one stroke: another thread may read while requests come.
        return iter([self[id] for id in list(self._sessions)])

    def __getitem__(self, id: str) -> SessionRecord:
        session = self.get(id)
        if session is None:
            raise KeyError(id)
        return session.record()

    def seed(self, count: int, *, status: SessionStatus = "ended", recordings: int | None = None) -> list[str]:
        """Make sessions without HTTP, credits or journal.

        Args:
            count: How many.
            status: "created", "active" (its call goes on from now on) or "ended".
            recordings: How many recordings each has once it is over; default: 3 in revision A, 1 in B.

        Returns:
            The ids, the same for the same seed.
        """
        now = self._clock().now()
        numbers = range(self._seeded, self._seeded + count)
        self._seeded += count
        ids = [make_id("sess", self._seed, "seeded", number) for number in numbers]
        for id in ids:
            self._add(id, now, status, recordings)
        return ids

    def get(self, id: str) -> Session | None:
        """The session with this id, if there is one."""
        session = self._sessions.get(id)
        return self._add(id, session, "ended", None) if isinstance(session, float) else session

    def find(self, id: str, now: float) -> Session:
        """The session that somebody asks for, or 404; `adopt_unknown` makes one of an id that nobody knew."""
        if self._settings.adopt_unknown and is_well_formed(id, "sess"):
            self.know(id, now)
        session = self.get(id)
        if session is None:
            raise not_found("session", id)
        return session

    def owner(self, recording_id: str) -> Session | None:
        """The session that a recording is of, if it is one of a session that was asked for."""
        id = self._owners.get(recording_id)
        return None if id is None else self.get(id)

    def know(self, id: str, now: float) -> None:
        """Take an id that nobody knew for a call that is over."""
        self._sessions.setdefault(id, float(now))

    def _add(self, id: str, now: float, status: SessionStatus, recordings: int | None) -> Session:
        seed, revision = self._seed, self._settings.revision
        if recordings is None:
            # As documented: A lists one for each channel, the sample of B holds one.
            recordings = 3 if revision == "a" else 1
        first_analysis = make_id(PREFIXES[revision], seed, id, 0)
        spoken = utterances(Story(seed, first_analysis, self._clock().moment(now).date()), seed, id)
        self._sessions[id] = session = Session(
            id=id,
            created_at=now,
            started_at=now if status == "active" else None,
            ended_at=None,
            reason=None,
            recordings=tuple(make_id("rec", seed, id, number) for number in range(recordings)),
            spoken=spoken,
            pace=self._settings.speed,
        )
        if status == "ended":
            # As long as what was said in it; a call that is watched lasts as long as it is watched.
            session.ended_at = now - _SINCE_THE_END
            session.started_at = session.ended_at - spoken[-1].end - 1.0
            session.created_at = session.started_at - _SET_UP
            session.reason, session.pace = "completed", 1.0
        self._owners.update(dict.fromkeys(session.recordings, id))
        return session
