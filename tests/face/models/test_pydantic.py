"""Values in models of pydantic, and in what is made of those: the real one."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from typing import Any

import pytest
from support.fetched import VALUES, by_value, name_of
from support.lazily import lazily

from kallglot_async import KallglotClient, NotFoundError, WebhookInbox, models, resources
from kallglot_async.models import (
    Analysis,
    Model,
    Outcome,
    Outcomes,
    Recording,
    RecordingPage,
    Report,
    Results,
    Session,
    Transcript,
)
from kallglot_async.receivers import WebhookApp, aiohttp_handler

pydantic = lazily("pydantic")


def test_the_schema_says_what_comes() -> None:
    """Every kind of value has one, in one piece; documented texts are examples, as others may come."""
    for kind in (Analysis, Session, Transcript, Recording, RecordingPage, Results, Report, Outcome, Outcomes):
        schema = pydantic.TypeAdapter(kind).json_schema()
        assert "$ref" not in json.dumps(schema), kind
        assert schema["title"] == kind.__name__
    schema = pydantic.TypeAdapter(Analysis).json_schema()
    assert set(schema["properties"]) == set(Analysis.__struct_fields__)
    assert schema["required"] == ["id", "object", "status"]
    assert "complete" in schema["properties"]["status"]["examples"]
    assert "enum" not in schema["properties"]["status"]
    outcome = pydantic.TypeAdapter(Outcomes).json_schema()["items"]
    assert set(outcome["properties"]) == {"id", "analysis", "error", "polls", "elapsed"}
    assert outcome["properties"]["error"]["anyOf"][0]["required"] == ["type", "message"]


@by_value
def test_pydantic_models_hold_values(value: Any) -> None:
    """As they are; as JSON they go out and come in again."""
    holder = pydantic.create_model("Holder", value=(type(value), ...))
    held = holder(value=value)
    assert held.value is value
    assert held.model_dump() == {"value": value.to_dict()}
    assert holder.model_validate_json(held.model_dump_json()).value == value


WRONG = [object(), {"x": object()}, b"\xff", "\ud800", [[]], 10**400, float("nan")]


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: type(wrong).__name__)
@pytest.mark.parametrize("kind", [Analysis, Outcome, Outcomes, Results])
def test_pydantic_refuses_what_is_no_value(kind: Any, wrong: Any) -> None:
    """With its own error, whatever it is."""
    with pytest.raises(pydantic.ValidationError):
        pydantic.TypeAdapter(kind).validate_python(wrong)


def test_pydantic_checks_the_arguments_of_every_call() -> None:
    """`validate_call` finds the types of all of them, and passes on what fits."""
    check: Any = pydantic.validate_call(config=pydantic.ConfigDict(arbitrary_types_allowed=True))
    for kind in (KallglotClient, resources.Analyses, resources.Sessions, resources.Recordings, WebhookApp, Outcomes):
        for name, function in inspect.getmembers(kind, inspect.isfunction):
            if name == "__init__" or not name.startswith("_"):
                check(function)
    assert check(aiohttp_handler)(WebhookInbox(), "whsec_x")
    with pytest.raises(pydantic.ValidationError):
        check(aiohttp_handler)(WebhookInbox(), "whsec_x", seen=object())


@pytest.mark.slow
def test_pydantic_is_loaded_by_those_who_use_it() -> None:
    """Nobody else pays for it."""
    code = (
        "import sys; from kallglot_async import Analysis, Outcomes; import kallglot_async._client;"
        'Analysis.from_json(b\'{"id":"x","object":"analysis","status":"y"}\').to_dict();'
        "assert not any(name.startswith('pydantic') for name in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_model_can_be_asked_for_its_schema() -> None:
    """One that cannot would fail in somebody's route, at import."""
    for name in models.__all__:
        kind = getattr(models, name)
        if isinstance(kind, type) and issubclass(kind, Model) and kind.__struct_fields__:
            assert pydantic.TypeAdapter(kind).json_schema()["type"] == "object"


@pytest.mark.parametrize("value", [*VALUES, Outcomes(VALUES[-2:]), NotFoundError("gone", status=404)], ids=name_of)
def test_a_value_is_written_where_no_type_says_what_it_is(value: Any) -> None:
    """In a field of a model that holds anything."""
    plain = value.to_records() if isinstance(value, Outcomes) else value.to_dict()
    held = pydantic.create_model("Holder", value=(Any, ...))(value=[value])
    assert json.loads(held.model_dump_json()) == {"value": [plain]}
    assert held.model_dump()["value"][0] is value  # of which the model can be made again


def test_no_class_of_values_has_a_serializer_of_its_own() -> None:
    """Pydantic up to 2.8 would take that for the one of `TypeAdapter(Outcomes)`, and then could write none."""
    for kind in (Outcomes, Outcome, Analysis):
        assert "__pydantic_serializer__" not in vars(kind)
        assert hasattr(kind, "__pydantic_serializer__")


def test_without_pydantic_nothing_is_there_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor an error, for those who look at everything that a value has, as mocks do."""
    monkeypatch.delitem(sys.modules, "kallglot_async.models._pydantic", raising=False)
    monkeypatch.setitem(sys.modules, "pydantic_core", None)
    for value in (VALUES[0], Outcomes(), NotFoundError("gone")):
        assert not hasattr(value, "__pydantic_serializer__")
