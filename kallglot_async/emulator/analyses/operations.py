"""The operations of the emulated API and the state that they share."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from kallglot_async.emulator import envelopes
from kallglot_async.emulator.analyses.bodies import Views
from kallglot_async.emulator.analyses.create_request import read_json, read_order, revision_of
from kallglot_async.emulator.analyses.store import PREFIXES, Analysis, AnalysisStore, Revision
from kallglot_async.emulator.calls.operations import Neighbours
from kallglot_async.emulator.clock import Clock
from kallglot_async.emulator.envelopes import Answer, Problem
from kallglot_async.emulator.ledger import KEY_LIFE, Credits, IdempotencyStore, fingerprint
from kallglot_async.emulator.request import Exchange
from kallglot_async.emulator.seeding import is_well_formed
from kallglot_async.emulator.settings import Settings
from kallglot_async.emulator.webhooks import WebhookSender


class Service:
    """Analyses and their neighbours, credits and idempotency keys of one organization.

    Args:
        settings: What was asked for.
        clock: Turns moments into timestamps.
        webhooks: Sends the events.
    """

    __slots__ = ("_clock", "_keys", "_settings", "_views", "_webhooks", "analyses", "credits", "neighbours")

    def __init__(self, settings: Settings, clock: Clock, webhooks: WebhookSender) -> None:
        self._settings = settings
        self._clock = clock
        self._webhooks = webhooks
        self._views = Views(seed=settings.seed, clock=clock, estimate=settings.latency.estimate / settings.speed)
        self._keys = IdempotencyStore(KEY_LIFE / settings.speed)
        self.credits = Credits(settings.credits)
        self.neighbours = Neighbours(settings, clock)
        self.analyses = AnalysisStore(
            seed=settings.seed,
            latency=settings.latency,
            failure_rate=settings.failure_rate,
            speed=settings.speed,
            on_added=self._watch,
        )

    def perform(self, exchange: Exchange, body: bytes | Problem, content_type: str) -> Answer:
        """Do what the request wants and answer it genuinely.

        Args:
            exchange: The request; its revision is set here where only the body tells it.
            body: The request's body, or why it could not be read.
            content_type: Media type of the body.
        """
        try:
            if exchange.route is None:
                raise envelopes.no_such_route(exchange.path)
            if exchange.operation is None:
                raise envelopes.wrong_method(exchange.method, exchange.route.method)
            if exchange.operation == "analyses.retrieve":
                return self._retrieve(exchange)
            if (answer := self.neighbours.read(exchange)) is not None:
                return answer
            if isinstance(body, Problem):
                raise body
            if exchange.operation == "sessions.end":
                fields = read_json(body, content_type)
                return self._once(exchange, fields, lambda: self.neighbours.end(exchange, fields))
            return self._create(exchange, body, content_type)
        except Problem as problem:
            return problem.answer(exchange.revision, exchange.request_id)

    def seed_analyses(self, count: int, revision: Revision, now: float) -> list[str]:
        """Analyses of sessions of their own; returns the ids of the analyses."""
        ids = self.analyses.seed(count, revision, now)
        for id in ids:
            if (analysis := self.analyses.get(id)) is not None:
                self.neighbours.sessions.know(analysis.session_id, now)
        return ids

    def decoy(self, exchange: Exchange) -> dict[str, Any]:
        """The body of an analysis, or the identity of a neighbour, that nobody asked for."""
        if (other := self.neighbours.decoy(exchange)) is not None:
            return other
        analysis = self.analyses.decoy(exchange.id, exchange.revision, exchange.now)
        if exchange.operation == "analyses.create":
            return self._views.created(analysis)
        return self._views.retrieved(analysis, exchange.now)

    def _retrieve(self, exchange: Exchange) -> Answer:
        id, revision = exchange.id, exchange.revision
        analysis = self.analyses.get(id)
        if analysis is None and self._settings.adopt_unknown and is_well_formed(id, PREFIXES[revision]):
            analysis = self.analyses.adopt(id, revision, exchange.now)
            self.neighbours.sessions.know(analysis.session_id, exchange.now)
        # Whether one revision's path serves the other's ids is not documented: here it does not.
        if analysis is None or analysis.order.revision != revision:
            raise envelopes.not_found("analysis", id)
        is_open = analysis.ready_at is None
        analysis.see(exchange.now)
        if is_open:
            self._watch(analysis)
        return envelopes.analysis_answer(200, self._views.retrieved(analysis, exchange.now))

    def _create(self, exchange: Exchange, body: bytes, content_type: str) -> Answer:
        fields = read_json(body, content_type)
        exchange.revision = revision_of(fields, self._settings.revision)
        # Every well-formed id is one of ours: a session that nobody knew has ended and has a transcript.
        if not is_well_formed(exchange.id, "sess"):
            raise envelopes.not_found("session", exchange.id)
        return self._once(exchange, fields, lambda: self._created(exchange, fields))

    def _once(self, exchange: Exchange, fields: dict[str, Any], act: Callable[[], Answer]) -> Answer:
        """Do it, or repeat the answer of the first time under an idempotency key."""
        if exchange.key is None:
            return act()
        mark = fingerprint(exchange.path, fields)
        if (kept := self._keys.find(exchange.key, mark, exchange.now)) is not None:
            return kept
        answer = act()
        self._keys.keep(exchange.key, mark, answer, exchange.now, answered_at=exchange.now + _delay(exchange))
        return answer

    def _created(self, exchange: Exchange, fields: dict[str, Any]) -> Answer:
        order = read_order(fields, exchange.revision)
        if order.revision == "b":
            self.credits.charge()
        self.neighbours.sessions.know(exchange.id, exchange.now)
        analysis = self.analyses.create(exchange.id, order, exchange.now)
        return envelopes.analysis_answer(202, self._views.created(analysis))

    def _watch(self, analysis: Analysis) -> None:
        """Have the analysis announced when it settles, once it is known when that is."""
        if analysis.ready_at is not None and self._webhooks.is_wanted(analysis.order.webhook_url):
            self._webhooks.schedule(analysis.ready_at, partial(self._announce, analysis))

    def _announce(self, analysis: Analysis) -> None:
        kind = "analysis.failed" if analysis.fails else "analysis.complete"
        data = self._views.retrieved(analysis, self._clock.now())
        self._webhooks.announce(kind, data, url=analysis.order.webhook_url)


def _delay(exchange: Exchange) -> float:
    """Seconds until the answer leaves; until then the request is in flight for its idempotency key."""
    fault = exchange.fault
    return fault.delay if fault is not None and fault.kind == "slow" else 0.0
