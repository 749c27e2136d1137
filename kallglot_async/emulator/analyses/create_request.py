"""What the body of `POST /v1/sessions/{id}/analysis` asks for, in both revisions.

Members that a revision does not name are ignored: whether they are rejected is not documented.
"""

from __future__ import annotations

from typing import Any

import msgspec

from kallglot_async.emulator.analyses.results import COMPONENTS_A, COMPONENTS_B
from kallglot_async.emulator.envelopes import invalid_field
from kallglot_async.emulator.routes import Revision

DEFAULT_COMPONENTS: dict[Revision, tuple[str, ...]] = {
    # As in the two complete samples; what revision B includes by default is not documented.
    "a": ("sentiment", "summary", "action_items", "quality", "topics"),
    "b": ("summary", "sentiment", "compliance", "performance"),
}
"""What an analysis holds that was not asked for anything in particular."""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What a request for an analysis asks for."""

    revision: Revision
    components: tuple[str, ...]
    language: str = "en"
    profile: str = "default"
    webhook_url: str | None = None

    @classmethod
    def default(cls, revision: Revision) -> Order:
        """What one asks for who asks for nothing in particular."""
        return cls(revision=revision, components=DEFAULT_COMPONENTS[revision])


def revision_of(fields: dict[str, Any], default: Revision) -> Revision:
    """Which revision a body speaks: `analyses` is A's member, `profile` and `include` are B's."""
    if "analyses" in fields:  # the required one decides where a body has members of both
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
    url = _text(fields, "webhook_url", revision)
    if url is not None and not url.startswith(("https://", "http://")):
        raise invalid_field("webhook_url", "The 'webhook_url' field must be a URL.", revision)
    language = _text(fields, "language", revision) or "en"
    return Order(revision="a", components=analyses, language=language, webhook_url=url)


def _names(fields: dict[str, Any], param: str, allowed: tuple[str, ...], revision: Revision) -> tuple[str, ...] | None:
    value = fields.get(param)
    if value is None:
        return None
    if not isinstance(value, list):
        raise invalid_field(param, f"The '{param}' field must be an array of strings.", revision)
    for name in value:
        if name not in allowed:
            raise invalid_field(param, f"The '{param}' field has an unknown member: {name!r}.", revision)
    return tuple(value)


def _text(fields: dict[str, Any], param: str, revision: Revision) -> str | None:
    value = fields.get(param)
    if value is not None and not isinstance(value, str):
        raise invalid_field(param, f"The '{param}' field must be a string.", revision)
    return value
