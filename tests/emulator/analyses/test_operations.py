"""Creating and retrieving analyses, and how they are shown, as a bare HTTP client sees it."""

from __future__ import annotations

import asyncio
from typing import Any, get_args

import pytest
from support.emulated import A_BODY, B_BODY, CREATE, REVISIONS, serving

from kallglot_async.emulator import Latency
from kallglot_async.emulator.analyses.results import ComponentB

pytestmark = pytest.mark.looptime


async def test_revision_a_life_cycle() -> None:
    """Create answers 202 `queued` with an estimate; the analysis is queued, processing, then complete."""
    async with serving(latency=Latency.uniform(20.0, 20.0)) as client:
        status, _, created = await client.post(CREATE, A_BODY)
        assert status == 202
        assert created == {
            "id": created["id"],
            "object": "analysis",
            "session_id": "sess_01HXYZ123456789",
            "status": "queued",
            "analyses": ["sentiment", "summary"],
            "language": "en",
            "created_at": "2027-01-15T08:00:00Z",
            "estimated_completion": "2027-01-15T08:00:20Z",
        }
        assert created["id"].startswith("ana_")
        seen = []
        for _ in range(3):
            _, _, body = await client.get(f"/analysis/{created['id']}")
            seen.append(body["status"])
            await asyncio.sleep(10)
        assert seen == ["queued", "processing", "complete"]
        assert set(body) == {"id", "object", "session_id", "status", "results", "created_at", "completed_at"}
        assert set(body["results"]) == {"sentiment", "summary"}
        assert body["completed_at"] == "2027-01-15T08:00:20Z"


async def test_revision_b_life_cycle() -> None:
    """Create answers 202 `processing`; the analysis is processing, then completed, flat and nullable."""
    async with serving(latency=Latency.uniform(20.0, 20.0)) as client:
        status, _, created = await client.post(CREATE, B_BODY)
        assert status == 202
        assert created == {
            "id": created["id"],
            "object": "analysis",
            "session_id": "sess_01HXYZ123456789",
            "status": "processing",
        }
        assert created["id"].startswith("anl_")
        _, _, pending = await client.get(f"/analyses/{created['id']}")
        assert pending["status"] == "processing"
        assert [pending[name] for name in ("call_id", "summary", "error", "completed_at")] == [None] * 4
        await asyncio.sleep(20)
        _, _, body = await client.get(f"/analyses/{created['id']}")
        assert body["status"] == "completed"
        assert isinstance(body["summary"], str)
        assert 0 <= body["performance"]["score"] <= 1
        assert "sentiment" not in body
        assert "compliance" not in body
        assert body["profile"] == "default"


async def test_pending_analyses_of_revision_a_have_no_results() -> None:
    """Until it settles an analysis carries neither results nor a completion time."""
    async with serving(latency=Latency.after_polls(1)) as client:
        [id] = client.emulator.seed_analyses(1)
        _, _, body = await client.get(f"/analysis/{id}")
        assert set(body) == {"id", "object", "session_id", "status", "created_at"}


@pytest.mark.parametrize(("revision", "path"), [("a", "analysis"), ("b", "analyses")])
async def test_failed_analyses_say_why(revision: Any, path: str) -> None:
    """A failed analysis has an error object with a message in A and an error string in B, and no results."""
    async with serving(failure_rate=1.0) as client:
        [id] = client.emulator.seed_analyses(1, revision=revision)
        _, _, body = await client.get(f"/{path}/{id}")
        assert body["status"] == "failed"
        assert body["completed_at"] is not None
        message = body["error"]["message"] if revision == "a" else body["error"]
        assert message.endswith(".")
        assert body.get("results") is None
        assert body.get("summary") is None


@pytest.mark.parametrize(("path", "id"), [("analysis", "ana_x-1"), ("analyses", "anl_9")])
async def test_unknown_ids_can_be_adopted(path: str, id: str) -> None:
    """With `adopt_unknown` a well-formed id of the path's revision is under way from its first retrieve."""
    async with serving(adopt_unknown=True, latency=Latency.uniform(5.0, 5.0)) as client:
        await asyncio.sleep(3)
        assert (await client.get(f"/{path}/{id}"))[2]["status"] in {"queued", "processing"}
        assert client.emulator.analysis(id).created_at == 3.0
        await asyncio.sleep(5)
        assert (await client.get(f"/{path}/{id}"))[2]["status"].startswith("complete")
        for bad in ("sess_1", "ana_" + "x" * 200, "anl_%20", "ana"):
            assert (await client.get(f"/{path}/{bad}"))[0] == 404


def shape(value: Any) -> Any:
    """Member names and kinds of values, without the values."""
    if isinstance(value, dict):
        return {name: shape(member) for name, member in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return type(value).__name__


async def complete_body(revision: Any, **options: Any) -> dict[str, Any]:
    path, id = ("analysis", "ana_01HDEF456789012") if revision == "a" else ("analyses", "anl_01HDEF456789012")
    async with serving(adopt_unknown=True, epoch=1_774_523_400.0, **options) as client:
        _, _, body = await client.get(f"/{path}/{id}")
        return body


@REVISIONS
async def test_a_view_depends_on_seed_and_id_only(revision: Any) -> None:
    """Rendered by another emulator the body is the same; another seed tells another story."""
    bodies = [await complete_body(revision, seed=seed) for seed in (0, 0, 1)]
    assert bodies[0] == bodies[1] != bodies[2]
    assert bodies[0] != bodies[2] | {"session_id": bodies[0]["session_id"]}


@pytest.mark.parametrize("component", get_args(ComponentB))
async def test_each_part_of_revision_b_can_be_had_alone(component: str) -> None:
    """Only what was requested is there; keywords have no documented place and add nothing."""
    async with serving() as client:
        _, _, created = await client.post(CREATE, {"include": [component]})
        _, _, body = await client.get(f"/analyses/{created['id']}")
    present = {name for name in get_args(ComponentB) if body.get(name) is not None}
    assert present == ({component} - {"keywords"})


async def test_a_complete_analysis_of_revision_a_has_the_documented_shape() -> None:
    """Every member of the documented sample is there with its kind of value, and no other."""
    body = await complete_body("a")
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


async def test_a_completed_analysis_of_revision_b_has_the_documented_shape() -> None:
    """Every member of the documented sample is there with its kind of value, and no other."""
    assert shape(await complete_body("b")) == {
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
