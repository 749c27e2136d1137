"""The analyses that there are, and how far they are."""

from __future__ import annotations

import math
import statistics
from typing import Any

import pytest
from support.emulated import settings

from kallglot_async.emulator import Latency
from kallglot_async.emulator.analyses.create_request import Order
from kallglot_async.emulator.analyses.store import AnalysisStore
from kallglot_async.emulator.seeding import is_well_formed


def store(**changes: Any) -> AnalysisStore:
    return AnalysisStore(settings(**changes))


def seeded(analyses: AnalysisStore, count: int) -> list[str]:
    return [analysis.id for analysis in analyses.seed(count, "a", 0.0)]


def test_log_normal_latency_has_the_asked_for_median_and_spread() -> None:
    """Over many ids the median and the deviation of the logarithm are those of the law."""
    analyses = store(latency=Latency.log_normal(median=25.0, sigma=0.6))
    waits = [analysis.ready_at - 100.0 for analysis in analyses.seed(4000, "a", 100.0) if analysis.ready_at]
    assert statistics.median(waits) == pytest.approx(25.0, rel=0.05)
    assert statistics.stdev(map(math.log, waits)) == pytest.approx(0.6, rel=0.05)


def test_after_polls_ignores_time() -> None:
    """Two retrieves see it unfinished however late they come, the third sees it complete, at once."""
    analyses = store(latency=Latency.after_polls(2))
    [analysis] = analyses.seed(1, "a", 0.0)
    assert analysis.record(1.0).ready_at is None
    seen = []
    for now in (1.0, 1e6, 1e6):
        analysis.see(now)
        seen.append(analysis.status(now))
    assert seen == ["queued", "processing", "complete"]
    assert analysis.record(2e6).ready_at == 1e6
    assert analysis.record(2e6).polls == 3


def test_the_failure_rate_is_a_share_of_the_ids() -> None:
    """About the asked-for share fails, none at 0 and all at 1."""
    for rate, low, high in ((0.0, 0, 0), (0.2, 340, 460), (1.0, 2000, 2000)):
        analyses = store(failure_rate=rate)
        analyses.seed(2000, "b", 0.0)
        assert low <= sum(analysis.fails for analysis in analyses) <= high


def test_ids_and_latencies_do_not_depend_on_the_order_of_creation() -> None:
    """Concurrent creations may come in any order: the same session gets the same analyses."""
    order = Order(revision="a", components=("summary",))
    sessions = [f"sess_{number}" for number in range(20)] * 2
    forward, backward = store(), store()
    one = {forward.create(session, order, 0.0).id for session in sessions}
    two = {backward.create(session, order, 0.0).id for session in reversed(sessions)}
    assert one == two
    assert len(one) == 40
    for id in one:
        first, second = forward.get(id), backward.get(id)
        assert first is not None
        assert second is not None
        assert first.record(0.0) == second.record(0.0)


def test_seeded_ids_differ_by_seed_and_continue() -> None:
    """The same seed gives the same ids, another seed others, and a second call new ones."""
    first, again, other = store(), store(), store(seed=1)
    ids = seeded(first, 50)
    assert ids == seeded(again, 50)
    assert not set(ids) & set(seeded(other, 50))
    assert not set(ids) & set(seeded(first, 50))
    assert len(list(first)) == 100
    assert all(is_well_formed(id, "ana") and len(id) == len("ana_01HDEF456789012") for id in ids)


def test_who_goes_through_it_is_not_interrupted_by_what_comes() -> None:
    """Another thread may serve a create meanwhile."""
    kept = store()
    ids = {analysis.id for analysis in kept.seed(3, "a", 0.0)}
    seen = set()
    for analysis in kept:
        kept.seed(1, "a", 0.0)
        seen.add(analysis.id)
    assert seen == ids
