"""What the emulated API does with a request: authenticate, limit, perform, spoil, record, answer.

A fault is drawn after authentication and after the limit, because a server counts what it then fails to answer.
"""

from __future__ import annotations

import asyncio
import hmac
import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec
from aiohttp import web
from multidict import CIMultiDict

from kallglot_async.emulator import envelopes
from kallglot_async.emulator.analyses.create_request import revision_of
from kallglot_async.emulator.analyses.operations import AnalysisOperations
from kallglot_async.emulator.calls.operations import SessionOperations
from kallglot_async.emulator.calls.recordings import RecordingOperations
from kallglot_async.emulator.calls.sessions import Sessions
from kallglot_async.emulator.clock import Clock
from kallglot_async.emulator.envelopes import Answer, Problem
from kallglot_async.emulator.faults.bodies import replaced, spoiled
from kallglot_async.emulator.faults.plan import Fault, FaultBook
from kallglot_async.emulator.faults.wire import faulty_response, plain_response
from kallglot_async.emulator.journal import Journal
from kallglot_async.emulator.ledger import KEY_LIFE, Credits, IdempotencyStore, fingerprint
from kallglot_async.emulator.limits.announcing import Announcing
from kallglot_async.emulator.limits.budget import Figures, Limits, Verdict
from kallglot_async.emulator.limits.plans import PlanName
from kallglot_async.emulator.limits.windows import WindowKind
from kallglot_async.emulator.request import Exchange, read_body
from kallglot_async.emulator.routes import Operation
from kallglot_async.emulator.seeding import make_id
from kallglot_async.emulator.settings import Settings
from kallglot_async.emulator.webhooks import DeliveryLog, WebhookSender

# What the message of a 429 and a storm without a numeric `Retry-After` say, as the documentation's sample
# does.
_DOCUMENTED_WAIT = 30

# Which member of an answer says what it is about, and the prefix of the ids there; an analysis has more to swap.
_DECOYS: dict[str | None, tuple[str, str]] = {
    "sessions.retrieve": ("id", "sess"),
    "sessions.end": ("id", "sess"),
    "sessions.transcript": ("session_id", "sess"),
    "sessions.recordings": ("session_id", "sess"),
    "recordings.retrieve": ("id", "rec"),
}


class EmulatorState(msgspec.Struct, frozen=True, kw_only=True):
    """Where the emulator stands."""

    uptime: float
    """Seconds since the start."""
    wall_time: float
    """Unix seconds on the server's clock, skew included."""
    plan: PlanName
    window: WindowKind
    rate_limit: tuple[int, float] | None
    """What replaces the plan's limits: requests and seconds."""
    seed: int
    analyses: dict[str, int]
    """How many analyses have each status."""
    requests: int
    """Requests recorded."""
    refused: int
    """Requests answered 429."""
    statuses: dict[int, int]
    """How often each status was answered."""
    credits_used: int
    credits_remaining: int
    """A large number when credits are not counted."""
    faults: int
    """How many faults are declared."""


class Api:
    """The emulated API of one organization behind its key, limits and faults."""

    def __init__(self, settings: Settings, clock: Clock, *, deliveries: DeliveryLog, sessions: Sessions) -> None:
        self.settings = settings
        self.clock = clock
        self.journal = Journal(settings.journal_bound)
        self.faults = FaultBook(settings.seed, settings.faults)
        self.webhooks = WebhookSender(settings, clock, deliveries)
        self._announcing = Announcing(settings)
        self._sessions = sessions
        self._stop = asyncio.Event()
        self.reset()

    def reset(self) -> None:
        """Forget analyses, journal, budgets, credits and keys; the faults are those of the start again.

        The clock goes on: times are still counted from the start of the emulator.
        """
        settings = self.settings
        self.journal.clear()
        self.faults.reset()
        self.webhooks.reset()
        self.credits = Credits(settings.credits)
        self._sessions.clear()
        self.analyses = AnalysisOperations(
            settings, self.clock, sessions=self._sessions, credits=self.credits, webhooks=self.webhooks
        )
        sessions = SessionOperations(settings, self.clock, self._sessions)
        self._recordings = recordings = RecordingOperations(settings, self.clock, self._sessions)
        self._operations: dict[Operation, Callable[[Exchange], Answer]] = {
            "analyses.create": self.analyses.create,
            "analyses.retrieve": self.analyses.retrieve,
            "sessions.retrieve": sessions.retrieve,
            "sessions.end": sessions.end,
            "sessions.transcript": sessions.transcript,
            "sessions.recordings": recordings.page,
            "recordings.retrieve": recordings.retrieve,
            "recordings.download": recordings.download,
            "recordings.audio": recordings.audio,
            "storage.fetch": recordings.fetch,
        }
        self._keys = IdempotencyStore(KEY_LIFE / settings.speed)
        self._limits = Limits(settings)

    def stop(self) -> None:
        """Let go of every exchange that a fault holds back, because the emulator closes."""
        self._stop.set()

    def state(self) -> EmulatorState:
        """A picture of the emulator now."""
        now, settings, journal = self.clock.now(), self.settings, self.journal
        return EmulatorState(
            uptime=now,
            wall_time=self.clock.wall(),
            plan=settings.plan,
            window=settings.window,
            rate_limit=settings.rate_limit,
            seed=settings.seed,
            analyses=dict(Counter(analysis.status(now) for analysis in self.analyses.store)),
            requests=journal.total,
            refused=journal.refused,
            statuses={status: count for status, count in journal.statuses().items() if status is not None},
            credits_used=self.credits.used,
            credits_remaining=self.credits.remaining,
            faults=len(self.faults.listing()),
        )

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Serve one request of the API.

        Once the body is there nothing is awaited until the answer is decided and recorded, so requests are
        served one after the other in the order in which they arrived whole, and the journal has that order.
        """
        body = await read_body(request)
        exchange = Exchange(
            request, body, number=self.journal.total + 1, clock=self.clock, default=self.settings.revision
        )
        answer = self._decide(exchange)
        if answer is not None:
            answer = answer.with_headers(self._headers(exchange, answer))
        # Before it is sent: whatever a client has heard of is in the journal then, and what it never hears of, too.
        self.journal.record(exchange.entry(answer))
        if exchange.fault is None:
            return plain_response(answer)
        return await faulty_response(request, answer, exchange.fault, self._stop)

    def _decide(self, exchange: Exchange) -> Answer | None:
        """The answer that will be sent; None when a fault sends nothing of one."""
        if exchange.is_public:
            # From here on it goes by the recording: that is what a fault selects.
            exchange.id = self._recordings.linked(exchange.id)
        else:
            try:
                self._authenticate(exchange)
            except Problem as problem:
                return problem.answer(exchange.revision, exchange.request_id)
            if (refusal := self._refusal(exchange)) is not None:
                return refusal
        exchange.fault = fault = self.faults.draw(exchange.id, exchange.operation, throttle=False)
        if fault is None or fault.is_effective:
            exchange.genuine = self._perform(exchange)
        return exchange.genuine if fault is None else self._faulty(exchange, fault)

    def _perform(self, exchange: Exchange) -> Answer:
        """Do what the request wants and answer it genuinely."""
        try:
            if exchange.route is None:
                raise envelopes.no_such_route(exchange.path)
            if exchange.operation is None:
                message, allow = f"Method {exchange.method} is not allowed here.", exchange.route.method
                raise Problem(405, "invalid_request_error", "method_not_allowed", message, allow=allow)
            act = self._operations[exchange.operation]
            # A GET has no use for its body, so one that cannot be read does no harm.
            if exchange.method == "GET":
                return act(exchange)
            # Also where nothing comes of them: what is no JSON is refused.
            fields = exchange.fields
            if exchange.operation == "analyses.create":
                exchange.revision = revision_of(fields, exchange.revision)
            if exchange.key is None:
                return act(exchange)
            # A request whose answer a fault holds back is in flight for its key, as one that takes long would be.
            fault = exchange.fault
            delay = fault.delay if fault is not None and fault.kind == "slow" else 0.0
            mark = fingerprint(exchange.path, fields)
            return self._keys.once(exchange.key, mark, lambda: act(exchange), now=exchange.now, delay=delay)
        except Problem as problem:
            return problem.answer(exchange.revision, exchange.request_id)

    def _faulty(self, exchange: Exchange, fault: Fault) -> Answer | None:
        """What a fault leaves of the answer; the operation was not asked where the request has no effect."""
        if fault.is_silent:
            return None
        if (replacement := replaced(fault, exchange.request_id)) is not None or exchange.genuine is None:
            return replacement
        return spoiled(fault, exchange.genuine, lambda: self._decoy(exchange))

    def _decoy(self, exchange: Exchange) -> dict[str, Any]:
        """What makes an answer one about something else than was asked for."""
        if exchange.operation in _DECOYS:
            member, prefix = _DECOYS[exchange.operation]
            return {member: make_id(prefix, self.settings.seed, "decoy", exchange.id)}
        return self.analyses.decoy(exchange)

    def _authenticate(self, exchange: Exchange) -> None:
        headers = exchange.headers
        scheme, _, key = headers.get("Authorization", "").partition(" ")
        key = key.strip() if scheme.lower() == "bearer" else headers.get("X-API-Key", "")
        # The secret of a real account: say that this is the wrong place for it.
        if key.startswith("sk_live_"):
            message = "This is an emulator: it accepts test keys (sk_test_...) only."
            raise Problem(401, "authentication_error", "invalid_api_key", message)
        if not hmac.compare_digest(_bytes(key), _bytes(self.settings.api_key)):
            raise envelopes.problem_for(401)
        exchange.is_known = True

    def _refusal(self, exchange: Exchange) -> Answer | None:
        """A 429, by a declared storm or by the budget; None when the request may go on."""
        exchange.fault = fault = self.faults.draw(exchange.id, exchange.operation, throttle=True)
        if fault is not None:
            return self._throttled(exchange, fault)
        exchange.verdict = verdict = self._limits.admit(exchange.group, exchange.wall)
        if verdict.accepted:
            return None
        told = self._announcing.retry_after(verdict, exchange.wall)
        seconds = math.ceil(max(1.0, verdict.retry_in))
        return envelopes.rate_limited(told, seconds, told_in_body=self._announcing.body_retry_after(verdict))

    def _throttled(self, exchange: Exchange, fault: Fault) -> Answer:
        told = fault.retry_after
        seconds = _DOCUMENTED_WAIT
        if isinstance(told, int | float) and 0 < told < math.inf:
            seconds = math.ceil(told)
        # The figures of a used-up window, so that a client which believes headers more than the status waits too.
        if (limit := self._limits.limit(exchange.group)) is not None:
            figures = Figures(limit, 0, math.ceil(exchange.wall + seconds))
            exchange.verdict = Verdict(accepted=False, figures=(figures,), retry_in=seconds)
        return envelopes.rate_limited(None if told is None else str(told), seconds)

    def _headers(self, exchange: Exchange, answer: Answer) -> CIMultiDict[str]:
        headers = CIMultiDict(
            {
                "Content-Type": answer.content_type,
                "Date": self.clock.http_date(),
                "Server": "kallglot-emulator",
                "X-Request-ID": exchange.request_id,
            }
        )
        if not self.settings.date_header:
            del headers["Date"]
        headers.extend(self._announcing.rate_headers(exchange.verdict, exchange.wall))
        # Credit headers are documented for authenticated answers of revision B.
        if exchange.is_known and exchange.revision == "b":
            headers.update(self.credits.headers())
        # What an operation says of its own answer wins.
        headers.update(answer.headers)
        if exchange.fault is not None:
            # Behind all others: they are sent as the fault wants them.
            for name, value in exchange.fault.headers.items():
                headers.popall(name, None)
                if value is not None:
                    headers[name] = value
        return headers


def _bytes(key: str) -> bytes:
    # How aiohttp decodes a header that is no UTF-8; and a comparison of texts takes ASCII alone.
    return key.encode("utf-8", "surrogateescape")
