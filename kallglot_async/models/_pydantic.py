"""Values as pydantic, and with it FastAPI, takes them: as instances, as stored JSON, and with a schema.

The only place that knows pydantic, and it is loaded by pydantic only. Values stay what they are: pydantic checks that
something is one, or makes one of plain data, and writes it as `to_dict` does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from pydantic_core import SchemaSerializer, core_schema

from kallglot_async.errors import KallglotError, RecordError
from kallglot_async.models._base import JSONValue, Model
from kallglot_async.models.outcome import Outcome, Outcomes

__all__ = ["SERIALIZER", "model_schema", "outcomes_schema"]

_ERROR = {
    "title": "Error",
    "type": "object",
    "properties": {
        "type": {"type": "string", "description": "The class of the error."},
        "message": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string"},
        "request_id": {"type": "string"},
        "retry_after": {"type": "number", "description": "Seconds."},
    },
    "required": ["type", "message"],
}
_REF = "#/$defs/"


def model_schema(kind: type[Model]) -> core_schema.CoreSchema:
    """Return how pydantic takes a kind of value."""
    return _schema(kind, kind.from_json, lambda value: value.to_dict(), lambda: _json_schema(kind))


def outcomes_schema() -> core_schema.CoreSchema:
    """Return how pydantic takes `Outcomes`: as a list of records."""

    def read(data: bytes) -> Outcomes:
        records: list[JSONValue] = msgspec.json.decode(data)
        return Outcomes(Outcome.from_json(msgspec.json.encode(record)) for record in records)

    def schema() -> dict[str, Any]:
        return {"title": "Outcomes", "type": "array", "items": _json_schema(Outcome)}

    return _schema(Outcomes, read, Outcomes.to_records, schema)


def _schema(
    kind: type, read: Callable[[bytes], Any], write: Callable[[Any], Any], json_schema: Callable[[], dict[str, Any]]
) -> core_schema.CoreSchema:
    def check(value: object) -> object:
        if isinstance(value, kind):
            return value
        try:
            return read(msgspec.json.encode(value))
        except (RecordError, TypeError, UnicodeError, RecursionError) as error:
            # Of ours it names the path and no value; of msgspec's, only the type.
            what = str(error) if isinstance(error, RecordError) else f"no {kind.__name__} and no plain data"
        # Outside the handler: what was raised there may quote the value, and is no context of this.
        raise ValueError(what)

    return core_schema.no_info_plain_validator_function(
        check,
        ref=f"{kind.__module__}.{kind.__qualname__}",
        serialization=core_schema.plain_serializer_function_ser_schema(write),
        metadata={"pydantic_js_functions": [lambda _schema, _handler: json_schema()]},
    )


def _json_schema(kind: type[Model]) -> dict[str, Any]:
    """Return the JSON schema of a kind of value in one piece, as its parts have no place of their own."""
    schema = msgspec.json.schema(kind, schema_hook=_error_schema, ref_template=_REF + "{name}")
    parts: dict[str, Any] = schema.pop("$defs", {})
    whole: dict[str, Any] = _in_one_piece(schema, parts)
    return whole


def _error_schema(kind: type) -> dict[str, Any]:
    if issubclass(kind, KallglotError):
        return _ERROR
    raise NotImplementedError


def _in_one_piece(schema: Any, parts: dict[str, Any]) -> Any:
    if isinstance(schema, list):
        return [_in_one_piece(part, parts) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _in_one_piece(parts[schema["$ref"].removeprefix(_REF)], parts)
    # The documented texts, as examples: to a validator made of this schema any other would be an error.
    if "enum" in schema and "title" in schema:
        return {"title": schema["title"], "type": "string", "examples": schema["enum"]}
    return {name: _in_one_piece(part, parts) for name, part in schema.items()}


def _plain(value: Any) -> JSONValue:
    return value.to_records() if isinstance(value, Outcomes) else value.to_dict()


# As JSON alone: a `model_dump` gives back what the model holds, as it does of everything that pydantic does not know.
SERIALIZER = SchemaSerializer(
    core_schema.any_schema(serialization=core_schema.plain_serializer_function_ser_schema(_plain, when_used="json"))
)
"""Writes a value, or an error, where no type says what it is."""
