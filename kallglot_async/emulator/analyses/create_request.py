"""What the body of `POST /v1/sessions/{id}/analysis` asks for, in both revisions.

Members that a revision does not name are ignored: whether they are rejected is not documented.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from kallglot_async.emulator.analyses.results import ComponentA, ComponentB
from kallglot_async.emulator.envelopes import invalid_field
from kallglot_async.emulator.request import read_form
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
    # The required one decides where a body has members of both.
    if "analyses" in fields:
        return "a"
    return "b" if "profile" in fields or "include" in fields else default


class _FormA(msgspec.Struct):
    analyses: tuple[ComponentA, ...] | None = None
    language: str | None = None
    custom_prompts: dict[str, Any] | None = None
    webhook_url: Annotated[str, msgspec.Meta(pattern="^https?://")] | None = None


class _FormB(msgspec.Struct):
    include: tuple[ComponentB, ...] | None = None
    profile: str | None = None


def read_order(fields: dict[str, Any], revision: Revision) -> Order:
    """The order in a body; one that cannot be used is a `Problem`, 422 with `param`."""
    if revision == "b":
        form_b = read_form(_FormB, fields, "b")
        components = DEFAULT_COMPONENTS["b"] if form_b.include is None else form_b.include
        return Order(revision="b", components=components, profile=form_b.profile or "default")
    form = read_form(_FormA, fields, "a")
    if not form.analyses:
        raise invalid_field("analyses", "The 'analyses' field is required.", "a", is_missing=True)
    return Order(revision="a", components=form.analyses, language=form.language or "en", webhook_url=form.webhook_url)
