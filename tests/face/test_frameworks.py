"""Values as the answers, and the bodies, of web frameworks: the real ones."""

from __future__ import annotations

import dataclasses
import inspect
import json
import subprocess
import sys
from typing import Annotated, Any

import aiohttp
import msgspec
import pytest
from aiohttp import web
from support.lazily import lazily
from support.payloads import PAYLOADS
from support.slow import beyond

from kallglot_async import KallglotClient, KallglotError, NotFoundError, WebhookInbox, models, resources
from kallglot_async._core.api.analyses import Revision, decode_analysis
from kallglot_async._core.api.recordings import decode_recording, decode_recording_page
from kallglot_async._core.api.sessions import decode_session, decode_transcript
from kallglot_async.models import (
    Analysis,
    Model,
    Outcome,
    Outcomes,
    Recording,
    RecordingPage,
    Report,
    ResponseMeta,
    Results,
    Session,
    Transcript,
)
from kallglot_async.models.meta import kept_of
from kallglot_async.receivers import WebhookApp, aiohttp_handler

fastapi, httpx, litestar, pydantic = lazily("fastapi", "httpx", "litestar", "pydantic")

CANARY = "req_CANARY"


def fetched(value: Any, raw: bytes) -> Any:
    """As if it had come over the wire: with all that a value keeps beside its fields."""
    kept_of(value).update(told=ResponseMeta(status=200, request_id=CANARY, elapsed=0.5), raw=raw)
    assert value.meta.request_id == CANARY
    return value


def payload(name: str) -> bytes:
    return (PAYLOADS / f"{name}.json").read_bytes()


A = fetched(decode_analysis(payload("analysis_complete.a"), Revision.A), payload("analysis_complete.a"))
B = fetched(decode_analysis(payload("analysis_completed.b"), Revision.B), payload("analysis_completed.b"))
VALUES: list[Any] = [
    A,
    B,
    A.results,
    B.report,
    fetched(decode_session(payload("session_created.b")), payload("session_created.b")),
    fetched(decode_transcript(payload("transcript.a")), payload("transcript.a")),
    fetched(decode_recording(payload("recording.b")), payload("recording.b")),
    fetched(decode_recording_page(payload("recordings.b")), payload("recordings.b")),
    Outcome(id="ana_1", analysis=A, polls=2, elapsed=1.5),
    Outcome(id="ana_2", error=NotFoundError("gone", status=404, request_id="req_1")),
]
BATCH = Outcomes(VALUES[-2:])


def name_of(value: Any) -> str:
    return f"{type(value).__name__}-{getattr(value, 'id', '')}"


by_value = pytest.mark.parametrize("value", VALUES, ids=name_of)


async def asked(app: Any, method: str = "GET", **options: Any) -> httpx.Response:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://x") as client:
        return await client.request(method, "/value", **options)


# FastAPI


@by_value
@pytest.mark.parametrize("is_typed", [True, False])
async def test_a_route_of_fastapi_answers_with_the_value(value: Any, is_typed: bool) -> None:
    """With or without an annotation: all fields, as they are stored, and nothing else."""
    app = fastapi.FastAPI()

    async def answer() -> Any:
        return value

    answer.__annotations__["return"] = type(value) if is_typed else inspect.Signature.empty
    app.get("/value")(answer)
    answered = await asked(app)
    assert (answered.status_code, answered.json()) == (200, value.to_dict())
    assert CANARY not in answered.text
    if is_typed:
        documented = app.openapi()["paths"]["/value"]["get"]["responses"]["200"]["content"]["application/json"]
        assert documented["schema"] == {"$ref": f"#/components/schemas/{type(value).__name__}"}


@pytest.mark.parametrize("value", [*VALUES, BATCH, NotFoundError("gone", status=404)], ids=name_of)
async def test_a_value_may_be_where_no_type_says_what_it_is(value: Any) -> None:
    """In a route that returns `dict[str, Any]`, and in a field of a model that holds anything."""
    app = fastapi.FastAPI()

    @app.get("/value")
    async def answer() -> dict[str, Any]:
        return {"value": value}

    plain = value.to_records() if isinstance(value, Outcomes) else value.to_dict()
    answered = await asked(app)
    assert (answered.status_code, answered.json()) == (200, {"value": plain})
    held = pydantic.create_model("Holder", value=(Any, ...))(value=[value])
    assert json.loads(held.model_dump_json()) == {"value": [plain]}


def test_without_pydantic_nothing_is_there_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor an error, for those who look at everything that a value has, as mocks do."""
    monkeypatch.delitem(sys.modules, "kallglot_async.models._pydantic")
    monkeypatch.setitem(sys.modules, "pydantic_core", None)
    for value in (A, BATCH, NotFoundError("gone")):
        assert not hasattr(value, "__pydantic_serializer__")


async def test_fastapi_answers_with_outcomes_and_lists() -> None:
    """A batch is a list of records; values may be parts of other types."""
    app = fastapi.FastAPI()

    @app.get("/value")
    async def answer() -> dict[str, Outcomes | list[Analysis] | Session | None]:
        return {"batch": BATCH, "list": [A, B], "none": None}

    answered = (await asked(app)).json()
    assert answered == {"batch": BATCH.to_records(), "list": [A.to_dict(), B.to_dict()], "none": None}


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


async def test_fastapi_takes_a_stored_value_as_a_body() -> None:
    """And answers 422 to what is none, without its text."""
    app = fastapi.FastAPI()

    @app.post("/value")
    async def take(value: Annotated[Analysis, fastapi.Body()]) -> str | None:
        return value.summary_text

    assert (await asked(app, "POST", json=A.to_dict())).json() == A.summary_text
    for wrong in (
        {"id": "x", "object": "analysis", "status": ["y"]}, {"id": "x"}, [], 5, None, "x", {"object": "a session"},
        {"id": "x", "object": "analysis", "status": "complete", "results": {"quality": {"score": "85"}}},
    ):  # fmt: skip
        refused = await asked(app, "POST", json=wrong)
        assert refused.status_code == 422, wrong


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


# Litestar


@pytest.mark.parametrize(
    "value", beyond(4, [value for value in VALUES if getattr(value, "error", None) is None]), ids=name_of
)
async def test_a_route_of_litestar_answers_with_the_value(value: Any) -> None:
    """Without any help: values are structs of msgspec; with a schema."""

    async def answer() -> Any:
        return value

    answer.__annotations__["return"] = type(value)
    app = litestar.Litestar([litestar.get("/value")(answer)], logging_config=None)
    answered = await asked(app)
    assert (answered.status_code, msgspec.json.decode(answered.content, type=type(value))) == (200, value)
    assert CANARY not in answered.text
    schemas: Any = app.openapi_schema.to_schema()["components"]
    assert type(value).__name__ in schemas["schemas"]


async def test_litestar_answers_with_errors_and_batches_once_told_how() -> None:
    """Two encoders for what is no struct."""

    @litestar.get("/value")
    async def answer() -> Outcomes:
        return BATCH

    app = litestar.Litestar(
        [answer],
        type_encoders={KallglotError: KallglotError.to_dict, Outcomes: Outcomes.to_records},
        logging_config=None,
    )
    assert (await asked(app)).json() == BATCH.to_records()


async def test_litestar_takes_a_value_as_a_body() -> None:
    """As it takes any struct."""

    @litestar.post("/value")
    async def take(data: litestar.params.JSONBody[Analysis]) -> str:
        return str(data.summary_text)

    app = litestar.Litestar([take], logging_config=None)
    assert (await asked(app, "POST", json=A.to_dict())).text == A.summary_text
    assert (await asked(app, "POST", json={"id": 5})).status_code == 400


# aiohttp


@pytest.mark.parametrize("value", [*VALUES, BATCH], ids=lambda value: name_of(value))
async def test_a_handler_of_aiohttp_answers_with_the_value(value: Any) -> None:
    """Its JSON is the body."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=value.to_json(), content_type="application/json")

    app = web.Application()
    app.router.add_get("/value", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    try:
        async with aiohttp.ClientSession() as session, session.get(f"http://{host}:{port}/value") as answered:
            assert await answered.json() == json.loads(value.to_json())
    finally:
        await runner.cleanup()


# Whoever encodes


@by_value
def test_no_encoder_sees_anything_internal(value: Any) -> None:
    """Neither `vars` nor dataclasses, FastAPI's encoder, msgspec or its structs."""
    shown = [vars(value), fastapi.encoders.jsonable_encoder(value), msgspec.structs.asdict(value), value.to_dict()]
    if getattr(value, "error", None) is None:
        shown += [msgspec.to_builtins(value), msgspec.json.decode(msgspec.json.encode(value))]
    fields = set(type(value).__struct_fields__)
    for view in shown:
        assert set(view) <= fields
        assert CANARY not in repr(view)
    assert fastapi.encoders.jsonable_encoder(value) == vars(value) == value.to_dict()
    assert not dataclasses.is_dataclass(value)
    with pytest.raises(AttributeError):
        value.note = 1


def test_every_model_can_be_asked_for_its_schema() -> None:
    """One that cannot would fail in somebody's route, at import."""
    for name in models.__all__:
        kind = getattr(models, name)
        if isinstance(kind, type) and issubclass(kind, Model) and kind.__struct_fields__:
            assert pydantic.TypeAdapter(kind).json_schema()["type"] == "object"
