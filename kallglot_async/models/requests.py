"""What can be asked for in the request of an analysis, in each revision of the contract."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal, Required, TypeAlias, TypedDict

__all__ = ["AnalysisRequestA", "AnalysisRequestB", "Kind"]

Kind: TypeAlias = Literal["wait", "retrieve", "analyze"]
"""What a batch does with its ids: wait for analyses, fetch them as they stand, or request those of sessions."""


class AnalysisRequestA(TypedDict, total=False):
    """Revision A; `analyses` makes it one.

    Attributes:
        analyses: Components: `sentiment`, `summary`, `action_items`, `quality`, `topics`, `compliance`.
        language: Output language; the API's default is `en`.
        webhook_url: Where the API sends the result besides.
        custom_prompts: Prompts by component.
    """

    analyses: Required[Iterable[str]]
    language: str | None
    webhook_url: str | None
    custom_prompts: Mapping[str, str] | None


class AnalysisRequestB(TypedDict, total=False):
    """Revision B: one API credit each, when it succeeds.

    Attributes:
        profile: The analysis profile; the API's default is `default`.
        include: Components: `summary`, `sentiment`, `compliance`, `keywords`, `performance`.
    """

    profile: str | None
    include: Iterable[str] | None
