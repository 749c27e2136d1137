"""The operations on analyses, how analyses are shown, and who is told when one of them has settled."""

from __future__ import annotations

from functools import partial
from typing import Any

from kallglot_async.emulator.analyses.create_request import read_order
from kallglot_async.emulator.analyses.results import components_a, failure_message, parts_b
from kallglot_async.emulator.analyses.store import Analysis, AnalysisStore
from kallglot_async.emulator.calls.sessions import Sessions
from kallglot_async.emulator.calls.story import Story
from kallglot_async.emulator.clock import Clock
from kallglot_async.emulator.envelopes import Answer, json_answer, not_found
from kallglot_async.emulator.ledger import Credits
from kallglot_async.emulator.request import Exchange
from kallglot_async.emulator.routes import PREFIXES
from kallglot_async.emulator.seeding import is_well_formed
from kallglot_async.emulator.settings import Settings
from kallglot_async.emulator.webhooks import WebhookSender

_SETTLED = frozenset({"complete", "completed", "failed"})


class AnalysisOperations:
    """Creates and retrieves analyses."""

    __slots__ = ("_clock", "_credits", "_sessions", "_settings", "_webhooks", "store")

    def __init__(
        self, settings: Settings, clock: Clock, *, sessions: Sessions, credits: Credits, webhooks: WebhookSender
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._sessions = sessions
        self._credits = credits
        self._webhooks = webhooks
        self.store = AnalysisStore(settings, self._on_added)

    def retrieve(self, exchange: Exchange) -> Answer:
        """Show an analysis as far as it is."""
        id, revision = exchange.id, exchange.revision
        analysis = self.store.get(id)
        if analysis is None and self._settings.adopt_unknown and is_well_formed(id, PREFIXES[revision]):
            analysis = self.store.adopt(id, revision, exchange.now)
        # Whether one revision's path serves the other's ids is not documented: here it does not.
        if analysis is None or analysis.order.revision != revision:
            raise not_found("analysis", id)
        # This retrieve may be what settles it, and that has to be announced.
        is_open = analysis.ready_at is None
        analysis.see(exchange.now)
        if is_open:
            self._watch(analysis)
        return json_answer(200, self._retrieved(analysis, exchange.now))

    def create(self, exchange: Exchange) -> Answer:
        """Begin an analysis, if session and fields can be used and a credit is left."""
        # Every well-formed id is one of ours: a session that nobody knew has ended and has a transcript.
        if not is_well_formed(exchange.id, "sess"):
            raise not_found("session", exchange.id)
        order = read_order(exchange.fields, exchange.revision)
        # After the fields have been checked: what is refused costs nothing. Revision A knows no credits.
        if order.revision == "b":
            self._credits.charge()
        return json_answer(202, self._created(self.store.create(exchange.id, order, exchange.now)))

    def decoy(self, exchange: Exchange) -> dict[str, Any]:
        """The body of an analysis that nobody asked for."""
        analysis = self.store.decoy(exchange.id, exchange.revision, exchange.now)
        if exchange.operation == "analyses.create":
            return self._created(analysis)
        return self._retrieved(analysis, exchange.now)

    def _on_added(self, analysis: Analysis) -> None:
        self._sessions.know(analysis.session_id, analysis.created_at)
        self._watch(analysis)

    def _watch(self, analysis: Analysis) -> None:
        """Have the analysis announced when it settles, once it is known when that is."""
        if analysis.ready_at is not None and self._webhooks.is_wanted(analysis.order.webhook_url):
            self._webhooks.schedule(analysis.ready_at, partial(self._announce, analysis))

    def _announce(self, analysis: Analysis) -> None:
        kind = "analysis.failed" if analysis.fails else "analysis.complete"
        data = self._retrieved(analysis, self._clock.now())
        self._webhooks.announce(kind, data, url=analysis.order.webhook_url)

    def _created(self, analysis: Analysis) -> dict[str, Any]:
        # Whatever the latency: the samples show no create that is settled at once.
        if analysis.order.revision == "b":
            return {**_head(analysis), "status": "processing"}
        estimate = self._settings.latency.estimate / self._settings.speed
        return {
            **_head(analysis),
            "status": "queued",
            "analyses": list(analysis.order.components),
            "language": analysis.order.language,
            "created_at": self._clock.iso(analysis.created_at),
            "estimated_completion": self._clock.iso(analysis.created_at + estimate),
        }

    def _retrieved(self, analysis: Analysis, now: float) -> dict[str, Any]:
        status = analysis.status(now)
        return self._a(analysis, status) if analysis.order.revision == "a" else self._b(analysis, status)

    def _a(self, analysis: Analysis, status: str) -> dict[str, Any]:
        """Revision A. `results` before completion is not documented: it is left out, like `completed_at`."""
        body = {**_head(analysis), "status": status}
        if status == "complete":
            body["results"] = components_a(self._story(analysis), analysis.order.components)
        elif status == "failed":
            # Only `error.message` is known, from the documented poller.
            body["error"] = {"message": failure_message(self._settings.seed, analysis.id)}
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
        body["error"] = failure_message(self._settings.seed, analysis.id) if status == "failed" else None
        body["created_at"] = self._clock.iso(analysis.created_at)
        body["completed_at"] = self._clock.iso(analysis.ready_at) if status in _SETTLED else None
        return body

    def _story(self, analysis: Analysis) -> Story:
        return Story(self._settings.seed, analysis.id, self._clock.moment(analysis.created_at).date())


def _head(analysis: Analysis) -> dict[str, Any]:
    return {"id": analysis.id, "object": "analysis", "session_id": analysis.session_id}
