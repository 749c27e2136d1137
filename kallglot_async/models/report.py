"""Revision B's parts: what `GET /v1/analyses/{id}` carries beside the fields both revisions share."""

from __future__ import annotations

from kallglot_async.models._base import Discreet, JSONValue, Model, one_line

__all__ = ["Compliance", "PartySentiment", "Performance", "Report"]


class PartySentiment(Discreet, frozen=True, kw_only=True, gc=False):
    """The sentiment of each party, in words."""

    customer: str | None = None
    agent: str | None = None

    def __repr__(self) -> str:
        known = [party for party in ("customer", "agent") if getattr(self, party) is not None]
        return f"<PartySentiment of {' and '.join(known) or 'nobody'}>"


class Compliance(Discreet, frozen=True, kw_only=True):
    """The compliance roll-up; `ok` is the only documented `status`, the type of a flag is undocumented."""

    status: str | None = None
    flags: tuple[JSONValue, ...] = ()

    def __repr__(self) -> str:
        return one_line(f"<Compliance {self.status}, {len(self.flags)} flags>")


class Performance(Model, frozen=True, kw_only=True, gc=False):
    """The agent's quality in one number, 0 to 1 (inferred)."""

    score: float | None = None


class Report(Discreet, frozen=True, kw_only=True):
    """What revision B alone has. `keywords` can be requested; how it answers is undocumented. `repr` shows no text."""

    call_id: str | None = None
    profile: str | None = None
    summary: str | None = None
    sentiment: PartySentiment | None = None
    compliance: Compliance | None = None
    performance: Performance | None = None
    keywords: JSONValue = None

    def __repr__(self) -> str:
        present = [name for name in self.__struct_fields__ if getattr(self, name) is not None]
        return f"<Report {', '.join(present) or 'empty'}>"
