"""What the journal tells, and its arithmetic."""

from __future__ import annotations

import asyncio

import pytest
from support.emulated import A_BODY, CREATE, EPOCH, serving

from kallglot_async.emulator.journal import Journal, JournalEntry

pytestmark = pytest.mark.looptime


def entry(number: int, at: float, **changes: object) -> JournalEntry:
    fields: dict[str, object] = {
        "number": number,
        "at": at,
        "method": "GET",
        "path": "/v1/analysis/ana_1",
        "operation": "analyses.retrieve",
        "id": "ana_1",
        "analysis_id": "ana_1",
        "status": 200,
        "group": "analysis",
        "accepted": True,
        "limit": 2,
        "remaining": 1,
        "reset": 60,
        "window": int(at // 60),
        "idempotency_key": None,
        "is_replay": False,
        "fault": None,
    }
    return JournalEntry(**(fields | changes))  # type: ignore[arg-type]  # fields by name


async def test_the_journal_tells_what_was_asked() -> None:
    """Each request is recorded with moment, operation, ids, status, and the figures its headers had."""
    async with serving(rate_limit=(9, 60.0)) as client:
        await asyncio.sleep(2)
        _, headers, body = await client.post(CREATE, A_BODY)
        [entry] = client.emulator.journal
        assert (entry.number, entry.at, entry.method, entry.status) == (1, 2.0, "POST", 202)
        assert entry.path == "/v1" + CREATE
        assert entry.operation == "analyses.create"
        assert (entry.id, entry.analysis_id) == ("sess_01HXYZ123456789", body["id"])
        assert (entry.group, entry.accepted, entry.fault) == ("analysis", True, None)
        assert (entry.limit, entry.remaining) == (9, 8)
        assert str(entry.reset) == headers["X-RateLimit-Reset"]
        assert entry.window == int(EPOCH) // 60


def test_journal_counts_per_window_and_within_any_stretch() -> None:
    """The maxima tell fixed windows from sliding stretches, and what was accepted from what was seen."""
    journal = Journal()
    for number, (at, accepted) in enumerate([(50, True), (55, True), (61, True), (62, False), (200, True)], 1):
        journal.record(entry(number, at, accepted=accepted, status=200 if accepted else 429))
    assert journal.max_per_window() == 2
    assert journal.max_per_window(with_refused=True, group="analysis") == 2
    assert journal.max_within(60.0) == 3
    assert journal.max_within(60.0, with_refused=True) == 4
    assert journal.max_within(5.0) == 1
    assert journal.max_within(60.0, group="recordings") == 0
    assert journal.max_per_window(group="recordings") == 0
    assert journal.refused == 1
    assert journal.statuses() == {200: 4, 429: 1}


def test_journal_keeps_everything_unless_it_is_bounded() -> None:
    """A bound drops the oldest entries but not their number; selections combine all their conditions."""
    journal = Journal(bound=2)
    journal.record(entry(1, 1))
    journal.record(entry(2, 2, id="ana_2", fault="reset", status=None))
    journal.record(entry(3, 3, operation="analyses.create", id="sess_1", status=202))
    assert (journal.total, len(journal)) == (3, 2)
    assert [e.number for e in journal] == [2, 3]
    assert [e.number for e in journal[0:]] == [2, 3]
    assert journal[-1].number == 3
    assert [e.number for e in journal.requests(operation="analyses.retrieve")] == [2]
    assert [e.number for e in journal.requests(fault="reset", id="ana_2")] == [2]
    assert journal.requests(status=202, id="ana_2") == []
    assert journal.faults() == {"reset": 1}
    assert repr(journal) == "<Journal 3 requests, 0 refused>"
    journal.clear()
    assert (journal.total, list(journal)) == (0, [])


def test_who_goes_through_it_is_not_interrupted_by_what_comes() -> None:
    """Between two entries a test may send a request, and another thread may serve one."""
    journal = Journal()
    for number in range(3):
        journal.record(entry(number, 1.0))
    seen = []
    for one in journal:
        journal.record(entry(9, 2.0))
        seen.append(one.number)
    assert seen == [0, 1, 2]
    assert len(journal) == 6
