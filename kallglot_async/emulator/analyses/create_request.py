"""Reading the body of `POST /v1/sessions/{id}/analysis` in both revisions.

Members that a revision does not name are ignored: whether they are rejected is not documented.
"""

from __future__ import annotations

from typing import Any

import msgspec

from kallglot_async.emulator.analyses.results import COMPONENTS_A, COMPONENTS_B
from kallglot_async.emulator.analyses.store import DEFAULT_COMPONENTS, Order, Revision
from kallglot_async.emulator.envelopes import invalid_field, invalid_request


def read_json(body: bytes, content_type: str) -> dict[str, Any]:
    """The JSON object of a request; an empty body counts as `{}`.

    Raises:
        Problem: 400, for anything that is not a JSON object sent as `application/json`.
    """
    if not body.strip():
        return {}
    if content_type != "application/json":
        raise invalid_request("Content-Type must be application/json.")
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise invalid_request("The request body is not valid JSON.") from None
    if not isinstance(value, dict):
        raise invalid_request("The request body must be a JSON object.")
    return value


def revision_of(fields: dict[str, Any], default: Revision) -> Revision:
    """Which revision a body speaks: `analyses` is A's member, `profile` and `include` are B's."""
    if "analyses" in fields:
        return "a"
    return "b" if "profile" in fields or "include" in fields else default


def read_order(fields: dict[str, Any], revision: Revision) -> Order:
    """The order in a body.

    Raises:
        Problem: 422 with `param`, for a member that is missing or has a value it cannot have.
    """
    if revision == "b":
        include = _names(fields, "include", COMPONENTS_B, revision)
        components = DEFAULT_COMPONENTS["b"] if include is None else include
        return Order(revision="b", components=components, profile=_text(fields, "profile", revision) or "default")
    analyses = _names(fields, "analyses", COMPONENTS_A, revision)
    if not analyses:
        raise invalid_field("analyses", "The 'analyses' field is required.", revision, is_missing=True)
    prompts = fields.get("custom_prompts")
    if prompts is not None and not isinstance(prompts, dict):
        raise invalid_field("custom_prompts", "The 'custom_prompts' field must be an object.", revision)
    return Order(
        revision="a",
        components=analyses,
        language=_text(fields, "language", revision) or "en",
        webhook_url=_url(fields, "webhook_url", revision),
    )


def _names(fields: dict[str, Any], param: str, allowed: tuple[str, ...], revision: Revision) -> tuple[str, ...] | None:
    value = fields.get(param)
    if value is None:
        return None
    if not isinstance(value, list):
        raise invalid_field(param, f"The '{param}' field must be an array of strings.", revision)
    for name in value:
        if name not in allowed:
            text = f"The '{param}' field has an unknown member: {name!r}."
            raise invalid_field(param, text, revision)
    return tuple(value)


def _text(fields: dict[str, Any], param: str, revision: Revision) -> str | None:
    value = fields.get(param)
    if value is not None and not isinstance(value, str):
        raise invalid_field(param, f"The '{param}' field must be a string.", revision)
    return value


def _url(fields: dict[str, Any], param: str, revision: Revision) -> str | None:
    value = _text(fields, param, revision)
    if value is not None and not value.startswith(("https://", "http://")):
        raise invalid_field(param, f"The '{param}' field must be a URL.", revision)
    return value
