"""Analyses as the API shows them."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from support.emulated import settings

from kallglot_async.emulator import Latency
from kallglot_async.emulator.analyses.bodies import Bodies
from kallglot_async.emulator.analyses.create_request import Order
from kallglot_async.emulator.analyses.results import ComponentB
from kallglot_async.emulator.analyses.store import AnalysisStore
from kallglot_async.emulator.clock import Clock


def store(**changes: Any) -> AnalysisStore:
    return AnalysisStore(settings(**changes))


@pytest.mark.parametrize("revision", ["a", "b"])
def test_a_view_depends_on_seed_and_id_only(revision: Any) -> None:
    """Rendered twice or by another emulator the body is the same; another seed tells another story."""
    bodies = []
    for seed in (0, 0, 1):
        clock = Clock(lambda: 0.0, epoch=1_800_000_000.0)
        analyses = store(latency=Latency.immediate())
        analysis = analyses.adopt("ana_1" if revision == "a" else "anl_1", revision, 0.0)
        bodies.append(Bodies(settings(seed=seed), clock).retrieved(analysis, 1.0))
    assert bodies[0] == bodies[1] != bodies[2]


@pytest.mark.parametrize("component", get_args(ComponentB))
def test_each_part_of_revision_b_can_be_had_alone(component: str) -> None:
    """Only what was requested is there; keywords have no documented place and add nothing."""
    clock = Clock(lambda: 0.0, epoch=0.0)
    analyses = store(latency=Latency.immediate())
    analysis = analyses.create("sess_1", Order(revision="b", components=(component,)), 0.0)
    body = Bodies(settings(), clock).retrieved(analysis, 1.0)
    present = {name for name in get_args(ComponentB) if body.get(name) is not None}
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
    return Bodies(settings(), clock).retrieved(analysis, 0.0)


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
