"""Latency laws, progress, and the plausibility and determinism of results."""

from __future__ import annotations

import datetime
import math
import statistics
from typing import Any

import pytest

from kallglot_async.emulator import Latency
from kallglot_async.emulator.analyses import results
from kallglot_async.emulator.analyses.bodies import Bodies
from kallglot_async.emulator.analyses.create_request import Order
from kallglot_async.emulator.analyses.results import COMPONENTS_A, COMPONENTS_B, components_a
from kallglot_async.emulator.analyses.store import AnalysisStore
from kallglot_async.emulator.calls.story import SCENARIOS, Story
from kallglot_async.emulator.clock import Clock
from kallglot_async.emulator.seeding import fraction, is_well_formed, make_id

DAY = datetime.date(2026, 3, 26)
LABELS = {"positive", "neutral", "negative"}


def store(**changes: Any) -> AnalysisStore:
    options: dict[str, Any] = {"seed": 0, "latency": Latency.log_normal(), "failure_rate": 0.0, "speed": 1.0}
    return AnalysisStore(**(options | changes))


def seeded(analyses: AnalysisStore, count: int) -> list[str]:
    return [analysis.id for analysis in analyses.seed(count, "a", 0.0)]


def stories(count: int = 200) -> list[Story]:
    return [Story(0, f"ana_{number}", DAY) for number in range(count)]


def test_log_normal_latency_has_the_asked_for_median_and_spread() -> None:
    """Over many ids the median and the deviation of the logarithm are those of the law."""
    analyses = store(latency=Latency.log_normal(median=25.0, sigma=0.6))
    waits = [analysis.ready_at - 100.0 for analysis in analyses.seed(4000, "a", 100.0) if analysis.ready_at]
    assert statistics.median(waits) == pytest.approx(25.0, rel=0.05)
    assert statistics.stdev(map(math.log, waits)) == pytest.approx(0.6, rel=0.05)


def test_uniform_latency_stays_between_its_bounds() -> None:
    """Quantiles map evenly onto the interval; equal bounds make it a constant; immediate is zero."""
    assert Latency.uniform(2.0, 4.0).seconds(0.25) == 2.5
    assert Latency.uniform(3.0, 3.0).seconds(0.9) == 3.0
    assert Latency.immediate().seconds(0.9) == 0.0
    assert Latency.after_polls(2).seconds(0.9) is None


@pytest.mark.parametrize(
    "make",
    [
        lambda: Latency.log_normal(median=0.0),
        lambda: Latency.log_normal(sigma=-1.0),
        lambda: Latency.log_normal(median=math.nan),
        lambda: Latency.uniform(3.0, 2.0),
        lambda: Latency.uniform(-1.0, 2.0),
        lambda: Latency.after_polls(-1),
    ],
)
def test_senseless_latencies_are_refused(make: Any) -> None:
    """A law that cannot be is an error where it is made."""
    with pytest.raises(ValueError):
        make()


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
    assert len(first) == 100
    assert all(is_well_formed(id, "ana") and len(id) == len("ana_01HDEF456789012") for id in ids)


def test_hashes_are_the_same_on_every_machine() -> None:
    """Seeds are a promise: these figures never change between versions or platforms."""
    assert make_id("ana", 0, "sess_x", 0) == "ana_017D97JAEGB04EC"
    assert fraction(7, "latency", "ana_1") == 0.28835459776060873
    assert 0.0 < fraction(0) < 1.0


@pytest.mark.parametrize("revision", ["a", "b"])
def test_a_view_depends_on_seed_and_id_only(revision: Any) -> None:
    """Rendered twice or by another emulator the body is the same; another seed tells another story."""
    bodies = []
    for seed in (0, 0, 1):
        clock = Clock(lambda: 0.0, epoch=1_800_000_000.0)
        analyses = store(latency=Latency.immediate())
        analysis = analyses.adopt("ana_1" if revision == "a" else "anl_1", revision, 0.0)
        bodies.append(Bodies(seed=seed, clock=clock).retrieved(analysis, 1.0))
    assert bodies[0] == bodies[1] != bodies[2]


def test_all_scenarios_and_outcomes_occur() -> None:
    """A few hundred analyses show every kind of call, several outcomes and all three trends."""
    told = stories(600)
    assert {story.scenario.name for story in told} == {scenario.name for scenario in SCENARIOS}
    assert {story.outcome for story in told} == {"resolved", "follow_up", "escalated", "unresolved"}
    assert {results.sentiment(story)["trend"] for story in told} == {"improving", "declining", "stable"}
    assert len({results.summary(story)["brief"] for story in told}) > 500


def test_sentiment_is_consistent() -> None:
    """Scores stay within -1 and 1, labels follow them, and key moments point at existing segments."""
    for story in stories():
        sentiment = results.sentiment(story)
        ids = [segment["id"] for segment in sentiment["segments"]]
        assert ids[0] == "seg_001"
        assert len(ids) == len(set(ids)) >= 4
        assert -1 <= sentiment["overall"] <= 1
        assert {segment["label"] for segment in sentiment["segments"]} | {sentiment["label"]} <= LABELS
        assert all(-1 <= segment["score"] <= 1 for segment in sentiment["segments"])
        assert {moment["segment_id"] for moment in sentiment["key_moments"]} <= set(ids)
        assert not [s for s in sentiment["segments"] if str(s["score"]) == "-0.0"]


def test_quality_adds_up() -> None:
    """Talk ratios sum to 100, the score stays within 0 and 100."""
    qualities = [results.quality(story) for story in stories()]
    assert {sum(quality["talk_ratio"].values()) for quality in qualities} == {100}
    assert all(0 <= quality["score"] <= 100 for quality in qualities)
    assert len({quality["score"] for quality in qualities}) > 20


def test_texts_are_filled_in() -> None:
    """No placeholder is left, due dates are dates after the call, and topics lose confidence."""
    for story in stories():
        summary, items, topics = results.summary(story), results.action_items(story), results.topics(story)
        texts = [summary["brief"], *summary["key_points"], *(item["description"] for item in items)]
        assert not [text for text in texts if "{" in text]
        dates = [datetime.date.fromisoformat(item["due_date"]) for item in items if item["due_date"]]
        assert all(date > DAY for date in dates)
        assert {item["assignee"] for item in items} <= {"agent", "customer"}
        confidences = [topic["confidence"] for topic in topics]
        assert confidences == sorted(confidences, reverse=True)
        assert 0 < confidences[-1] <= confidences[0] < 1


@pytest.mark.parametrize("component", COMPONENTS_A)
def test_each_component_of_revision_a_can_be_had_alone(component: str) -> None:
    """Only what was requested is in the results."""
    assert list(components_a(Story(0, "ana_1", DAY), (component,))) == [component]


@pytest.mark.parametrize("component", COMPONENTS_B)
def test_each_part_of_revision_b_can_be_had_alone(component: str) -> None:
    """Only what was requested is there; keywords have no documented place and add nothing."""
    clock = Clock(lambda: 0.0, epoch=0.0)
    analyses = store(latency=Latency.immediate())
    analysis = analyses.create("sess_1", Order(revision="b", components=(component,)), 0.0)
    body = Bodies(seed=0, clock=clock).retrieved(analysis, 1.0)
    present = {name for name in COMPONENTS_B if body.get(name) is not None}
    assert present == ({component} - {"keywords"})


def shape(value: Any) -> Any:
    """Member names and kinds of values, without the values."""
    if isinstance(value, dict):
        return {name: shape(member) for name, member in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return type(value).__name__


def complete_body(revision: Any) -> dict[str, Any]:
    clock = Clock(lambda: 0.0, epoch=1_774_523_400.0)
    id = "ana_01HDEF456789012" if revision == "a" else "anl_01HDEF456789012"
    analysis = store(latency=Latency.immediate()).adopt(id, revision, 0.0)
    return Bodies(seed=0, clock=clock).retrieved(analysis, 0.0)


def test_a_complete_analysis_of_revision_a_has_the_documented_shape() -> None:
    """Every member of the documented sample is there with its kind of value, and no other."""
    body = complete_body("a")
    assert body["created_at"] == "2026-03-26T11:10:00Z"
    body["results"]["action_items"] = [i for i in body["results"]["action_items"] if i["due_date"]]
    assert shape(body) == {
        "id": "str",
        "object": "str",
        "session_id": "str",
        "status": "str",
        "results": {
            "sentiment": {
                "overall": "float",
                "label": "str",
                "trend": "str",
                "segments": [{"id": "str", "score": "float", "label": "str"}],
                "key_moments": [{"segment_id": "str", "type": "str", "description": "str"}],
            },
            "summary": {"brief": "str", "key_points": ["str"], "outcome": "str"},
            "action_items": [
                {"description": "str", "assignee": "str", "due_date": "str", "priority": "str"},
            ],
            "quality": {
                "score": "int",
                "talk_ratio": {"agent": "int", "customer": "int"},
                "interruptions": "int",
                "average_response_time": "float",
                "hold_time": "int",
                "dead_air_instances": "int",
            },
            "topics": [{"name": "str", "confidence": "float"}],
        },
        "created_at": "str",
        "completed_at": "str",
    }


def test_a_completed_analysis_of_revision_b_has_the_documented_shape() -> None:
    """Every member of the documented sample is there with its kind of value, and no other."""
    assert shape(complete_body("b")) == {
        "id": "str",
        "object": "str",
        "session_id": "str",
        "call_id": "NoneType",
        "profile": "str",
        "status": "str",
        "summary": "str",
        "sentiment": {"customer": "str", "agent": "str"},
        "compliance": {"status": "str", "flags": []},
        "performance": {"score": "float"},
        "error": "NoneType",
        "created_at": "str",
        "completed_at": "str",
    }
