"""Values as the answers, and the bodies, of web frameworks: the real ones."""

from __future__ import annotations

import dataclasses
import inspect
import json
from typing import Annotated, Any

import aiohttp
import msgspec
import pytest
from aiohttp import web
from support.fetched import CANARY, VALUES, A, B, by_value, name_of
from support.lazily import lazily
from support.slow import beyond

from kallglot_async import KallglotError
from kallglot_async.models import Analysis, Outcomes, Session

fastapi, httpx, litestar = lazily("fastapi", "httpx", "litestar")
BATCH = Outcomes(VALUES[-2:])


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


async def test_fastapi_answers_with_outcomes_and_lists() -> None:
    """A batch is a list of records; values may be parts of other types."""
    app = fastapi.FastAPI()

    @app.get("/value")
    async def answer() -> dict[str, Outcomes | list[Analysis] | Session | None]:
        return {"batch": BATCH, "list": [A, B], "none": None}

    answered = (await asked(app)).json()
    assert answered == {"batch": BATCH.to_records(), "list": [A.to_dict(), B.to_dict()], "none": None}


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
