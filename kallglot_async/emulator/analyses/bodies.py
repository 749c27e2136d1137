"""Analyses as the API shows them: one function per documented body."""

from __future__ import annotations

from typing import Any

from kallglot_async.emulator.analyses.results import components_a, failure_message, parts_b
from kallglot_async.emulator.analyses.store import Analysis
from kallglot_async.emulator.calls.story import Story
from kallglot_async.emulator.clock import Clock
from kallglot_async.emulator.settings import Settings

_SETTLED = frozenset({"complete", "completed", "failed"})


class Bodies:
    """Renders analyses."""

    __slots__ = ("_clock", "_estimate", "_seed")

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._seed = settings.seed
        self._clock = clock
        self._estimate = settings.latency.estimate / settings.speed

    def created(self, analysis: Analysis) -> dict[str, Any]:
        """The body of a 202: `queued` in revision A, `processing` in B."""
        # Whatever the latency: the samples show no create that is settled at once.
        if analysis.order.revision == "b":
            return {**_head(analysis), "status": "processing"}
        return {
            **_head(analysis),
            "status": "queued",
            "analyses": list(analysis.order.components),
            "language": analysis.order.language,
            "created_at": self._clock.iso(analysis.created_at),
            "estimated_completion": self._clock.iso(analysis.created_at + self._estimate),
        }

    def retrieved(self, analysis: Analysis, now: float) -> dict[str, Any]:
        """The body of a retrieve in the revision of the analysis."""
        status = analysis.status(now)
        return self._a(analysis, status) if analysis.order.revision == "a" else self._b(analysis, status)

    def _a(self, analysis: Analysis, status: str) -> dict[str, Any]:
        """Revision A. `results` before completion is not documented: it is left out, like `completed_at`."""
        body = {**_head(analysis), "status": status}
        if status == "complete":
            body["results"] = components_a(self._story(analysis), analysis.order.components)
        elif status == "failed":
            # Only `error.message` is known, from the documented poller.
            body["error"] = {"message": failure_message(self._seed, analysis.id)}
        body["created_at"] = self._clock.iso(analysis.created_at)
        if status in _SETTLED:
            body["completed_at"] = self._clock.iso(analysis.ready_at)
        return body

    def _b(self, analysis: Analysis, status: str) -> dict[str, Any]:
        """Revision B. What is unfinished or was not asked for is left out, except the nullable members."""
        body = {
            **_head(analysis),
            "status": status,
            "call_id": None,
            "profile": analysis.order.profile,
            "summary": None,
        }
        if status == "completed":
            body |= parts_b(self._story(analysis), analysis.order.components)
        body["error"] = failure_message(self._seed, analysis.id) if status == "failed" else None
        body["created_at"] = self._clock.iso(analysis.created_at)
        body["completed_at"] = self._clock.iso(analysis.ready_at) if status in _SETTLED else None
        return body

    def _story(self, analysis: Analysis) -> Story:
        return Story(self._seed, analysis.id, self._clock.moment(analysis.created_at).date())


def _head(analysis: Analysis) -> dict[str, Any]:
    return {"id": analysis.id, "object": "analysis", "session_id": analysis.session_id}
