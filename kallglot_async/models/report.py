"""Revision B's parts: what `GET /v1/analyses/{id}` carries beside the fields both revisions share."""

from __future__ import annotations

from kallglot_async.models._base import JSONValue, Model

__all__ = ["Compliance", "PartySentiment", "Performance", "Report"]


class PartySentiment(Model, frozen=True, kw_only=True, gc=False):
    """The sentiment of each party, in words."""

    customer: str | None = None
    agent: str | None = None


class Compliance(Model, frozen=True, kw_only=True):
    """The compliance roll-up; `ok` is the only documented `status`, the type of a flag is undocumented."""

    status: str | None = None
    flags: tuple[JSONValue, ...] = ()


class Performance(Model, frozen=True, kw_only=True, gc=False):
    """The agent's quality in one number, 0 to 1 (inferred)."""

    score: float | None = None


class Report(Model, frozen=True, kw_only=True):
    """What revision B alone has. `keywords` can be requested; how it answers is undocumented."""

    call_id: str | None = None
    profile: str | None = None
    summary: str | None = None
    sentiment: PartySentiment | None = None
    compliance: Compliance | None = None
    performance: Performance | None = None
    keywords: JSONValue = None
