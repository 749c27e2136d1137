"""Determinism without order."""

from __future__ import annotations

from kallglot_async.emulator.seeding import fraction, make_id


def test_hashes_are_the_same_on_every_machine() -> None:
    """Seeds are a promise: these figures never change between versions or platforms."""
    assert make_id("ana", 0, "sess_x", 0) == "ana_017D97JAEGB04EC"
    assert fraction(7, "latency", "ana_1") == 0.28835459776060873
    assert 0.0 < fraction(0) < 1.0
