"""Which requests a fault hits."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from support.emulated import faulty

from kallglot_async.emulator import Fault
from kallglot_async.emulator.faults.plan import FaultBook

pytestmark = pytest.mark.looptime


def test_every_kind_and_every_selector_is_explained() -> None:
    """Where whoever declares one looks: in the docstring, which lists the kinds."""
    assert Fault.__doc__ is not None
    names = {*Fault.kinds, "rate", "id", "operation", "times", "after"}
    assert [name for name in sorted(names) if f"`{name}`" not in Fault.__doc__] == []


async def test_selectors_narrow_a_fault_down() -> None:
    """`id` and `operation` decide whom it hits, `after` spares the first, `times` ends it."""
    async with faulty() as (emulator, session, url):
        [other] = emulator.seed_analyses(1)
        emulator.add_fault(Fault(kind="status", status=500, id=url.rpartition("/")[2], after=1, times=2))
        emulator.add_fault(Fault(kind="status", status=502, operation="analyses.create"))
        statuses = []
        for _ in range(5):
            async with session.get(url) as response:
                statuses.append(response.status)
            async with session.get(f"{emulator.base_url}/analysis/{other}") as response:
                assert response.status == 200
        assert statuses == [200, 500, 500, 200, 200]
        async with session.post(emulator.base_url + "/sessions/sess_1/analysis", json={}) as response:
            assert response.status == 502
        assert [fault.status for fault, _ in emulator.faults()] == [502]
        emulator.clear_faults()
        assert emulator.faults() == []


async def test_a_create_is_selected_by_its_session() -> None:
    """The `id` of a fault is the session's where the request is a create."""
    async with faulty(Fault(kind="status", id="sess_1")) as (emulator, session, _):
        for name, status in (("sess_1", 503), ("sess_2", 202)):
            body = {"analyses": ["summary"]}
            async with session.post(f"{emulator.base_url}/sessions/{name}/analysis", json=body) as response:
                assert response.status == status


def test_rates_are_seeded_by_id_whatever_the_order() -> None:
    """About the asked-for share is hit, and which requests depends on seed and id, not on their order."""

    def hits(seed: int, ids: list[str]) -> set[tuple[str, int]]:
        book = FaultBook(seed, [Fault(kind="reset", rate=0.2)])
        turn = dict.fromkeys(ids, 0)
        found = set()
        for id in ids:
            if book.draw(id, "analyses.retrieve", throttle=False):
                found.add((id, turn[id]))
            turn[id] += 1
        return found

    ids = [f"ana_{number}" for number in range(500)] * 4
    assert 300 <= len(hits(0, ids)) <= 500
    assert hits(0, ids) == hits(0, list(reversed(ids)))
    assert hits(0, ids) != hits(1, ids)
    assert len({id for id, _ in hits(0, ids)}) > 200  # the turns of one id have different luck


def test_the_first_declared_fault_that_strikes_is_applied() -> None:
    """Faults for an id and faults for all keep the order of their declaration."""
    book = FaultBook(0)
    book.add(Fault(kind="reset", times=1))
    book.add(Fault(kind="close", id="ana_1", times=1))
    book.add(Fault(kind="close", id="ana_1", times=1))
    book.add(Fault(kind="hang"))
    drawn = [book.draw("ana_1", None, throttle=False) for _ in range(4)]
    assert [fault and fault.kind for fault in drawn] == ["reset", "close", "close", "hang"]
    assert book.draw("ana_1", None, throttle=True) is None
    assert [fault.kind for fault, _ in book.listing()] == ["hang"]
    assert book.draw(None, None, throttle=False) is not None


def test_reset_brings_back_the_faults_of_the_start() -> None:
    """Faults given at the start return with fresh counters; those added later are gone."""
    book = FaultBook(0, [Fault(kind="reset", times=1)])
    book.draw(None, None, throttle=False)
    book.add(Fault(kind="hang"))
    book.reset()
    assert [(fault.kind, hits) for fault, hits in book.listing()] == [("reset", 0)]


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": "meteor"},
        {"kind": "status", "operation": "analyses.paint"},
        {"kind": "status", "rate": 1.5},
        {"kind": "status", "status": 99},
        {"kind": "html", "status": 600},
        {"kind": "status", "times": 0},
        {"kind": "status", "after": -1},
        {"kind": "slow", "delay": -1.0},
        {"kind": "drip", "interval": -1.0},
        {"kind": "deep_json", "size": -1},
        {"kind": "slow", "takes_effect": False},
    ],
)
def test_senseless_faults_are_refused(fields: dict[str, Any]) -> None:
    """A fault that cannot be is an error where it is declared, in code as in JSON."""
    with pytest.raises(ValueError):
        Fault(**fields)
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(fields, Fault)


def test_faults_may_be_cleared_while_one_strikes() -> None:
    """By another thread: the request that it hits is hit, and the server goes on."""
    book = FaultBook(0, [Fault(kind="reset", id="ana_1", times=1)])

    class Asked(str):
        """An id whose comparison is the moment at which another thread clears the faults."""

        __slots__ = ()
        __hash__ = str.__hash__

        def __eq__(self, other: object) -> bool:
            book.clear()
            return str.__eq__(self, other)

    fault = book.draw(Asked("ana_1"), "analyses.retrieve", throttle=False)
    assert fault is not None
    assert fault.kind == "reset"
    assert book.listing() == []
