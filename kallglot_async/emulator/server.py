"""The emulator as users hold it: a server on this machine with the lifetime of an `async with`."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from typing import Literal, Self

from aiohttp import web

from kallglot_async.emulator.analyses.latency import Latency
from kallglot_async.emulator.analyses.store import AnalysisRecord
from kallglot_async.emulator.api import Api, EmulatorState
from kallglot_async.emulator.calls.sessions import Sessions
from kallglot_async.emulator.clock import Clock
from kallglot_async.emulator.faults.plan import Fault
from kallglot_async.emulator.journal import Journal
from kallglot_async.emulator.limits.plans import Balancing, HeaderForm, PlanName, StrangerPace
from kallglot_async.emulator.limits.windows import BucketReset, WindowKind
from kallglot_async.emulator.routes import Revision
from kallglot_async.emulator.settings import Settings
from kallglot_async.emulator.webhooks import DeliveryLog

# aiohttp reports requests that are no HTTP here; with its own logger they would end up on stderr.
_logger = logging.getLogger("kallglot_async.emulator")
_logger.addHandler(logging.NullHandler())

# Seconds that a request in progress is given when the emulator closes; what faults hold back is let go at
# once.
_SHUTDOWN = 1.0


class Emulator:
    """A server that behaves as the API's documentation promises, on a loopback address, with no real account.

    Use it as `async with Emulator(...) as emulator:`, point a client at `emulator.base_url` with
    `emulator.api_key`, and judge by `emulator.journal`. Everything that looks random follows from `seed` and
    the ids alone. Durations run on the event loop's clock, so a virtual-time loop drives them.

    Args:
        plan: Rate limits of "free", "starter", "pro" or "unlimited", per endpoint group and overall.
        seed: Decides ids, latencies, failures, contents, and which requests a fault's `rate` hits.
        host: A numeric loopback address.
        port: TCP port; 0 takes a free one.
        api_key: The key that is accepted; must begin with `sk_test_`.
        rate_limit: (requests, seconds) for the analysis group instead of the plan's limits, with no overall
            limit; None: the plan's.
        window: How requests are counted: "fixed" (aligned to the server's wall clock), "fixed_from_first" (a
            window begins with a request), "sliding" (a log of the last period), "sliding_counter" (two fixed
            buckets, interpolated) or "token_bucket".
        burst: Tokens that a bucket holds; None: as many as the limit.
        bucket_reset: What a bucket announces as its reset: when it is "full" again, or its "next" token.
        second_limit: (requests, seconds) of a limit over all requests, in fixed windows, that is enforced beside
            the others and that no header announces: it refuses while `Remaining` is shown as it is, with a
            `Retry-After` of its own. With `plan="unlimited"` it is a limit that nothing announces.
        nodes: How many servers answer, each with counters of its own (the whole limit on each).
        balancing: Which of them a request comes to: "round_robin", or "random" (by `seed`).
        stranger: Share of the analysis group's limit that somebody else under the same key asks for; may be
            above 1.
        stranger_pace: How those requests come: "steady" (in equal steps), at "random", or in "bursts" of eight
            or so (both by `seed`).
        rate_headers: What answers carry of `X-RateLimit-*`. True or "whole": `Reset` in whole Unix seconds,
            rounded up; "floor": rounded down; "fractional"; "milliseconds"; "delta": whole seconds from now,
            rounded up; "delta_fractional"; "no_remaining": limit and reset only; "repeated": a line of each for
            every limit that counts the request, the plan's overall one and the second too; "joined": the same
            as `a, b` in one line; False or "none". A plan without limits has none to send.
        retry_after: `Retry-After` of a 429: "auto" for whole seconds until a request is accepted (at least
            1), "fractional" for exactly those, "date" for that moment as an HTTP date, None for none; anything
            else is sent as it is.
        body_retry_after: Field `retry_after` of a 429's error: "auto" as for the header, seconds, or None for no
            such field.
        date_header: Whether answers carry `Date`.
        latency: How long analyses take; default `Latency.log_normal(median=25.0, sigma=0.6)`.
        failure_rate: Share of analyses that end as failed, 0 to 1.
        adopt_unknown: Whether a well-formed `ana_` or `anl_` id that was never created is taken for one that
            was requested at its first retrieve.
        revision: What a create request without `analyses`, `profile` and `include` speaks, and the words of
            errors before the revision is known; and what sessions, transcripts and recordings speak.
        credits: API credits, one per analysis created in revision B, 402 when used up; None: never used up.
        speed: Divides windows, latencies and the life of idempotency keys: 20 makes a minute last 3 s.
        clock_skew: Seconds that the server's wall clock (`Date`, `X-RateLimit-Reset`, timestamps) is ahead.
        faults: Declared from the start and again after `reset`.
        journal_bound: How many journal entries are kept; None: all.
        clock: Source of monotonic seconds; None: the event loop's.
        epoch: Unix seconds at the start; None: now. Fix it to make window boundaries reproducible.
        webhook_url: Where events of all analyses go, on a numeric loopback address; None: nowhere. The
            `webhook_url` of a request in revision A works besides, if it is on such an address too.
        webhook_secret: What deliveries are signed with.
        webhook_duplicates: Share of events that are delivered twice, 0 to 1.
        webhook_losses: Share of deliveries that are never sent, 0 to 1.
        webhook_reorder: Whether deliveries are held back for different times, up to 10 s.

    Raises:
        ValueError: A live key, a host beyond loopback, or a setting that makes no sense.
    """

    def __init__(
        self,
        *,
        plan: PlanName = "pro",
        seed: int = 0,
        host: str = "127.0.0.1",
        port: int = 0,
        api_key: str = "sk_test_emulator",
        rate_limit: tuple[int, float] | None = None,
        window: WindowKind = "fixed",
        burst: int | None = None,
        bucket_reset: BucketReset = "full",
        second_limit: tuple[int, float] | None = None,
        nodes: int = 1,
        balancing: Balancing = "round_robin",
        stranger: float = 0.0,
        stranger_pace: StrangerPace = "steady",
        rate_headers: HeaderForm | bool = True,
        retry_after: int | float | str | None = "auto",
        body_retry_after: float | Literal["auto"] | None = None,
        date_header: bool = True,
        latency: Latency | None = None,
        failure_rate: float = 0.0,
        adopt_unknown: bool = False,
        revision: Revision = "a",
        credits: int | None = None,
        speed: float = 1.0,
        clock_skew: float = 0.0,
        faults: Iterable[Fault] = (),
        journal_bound: int | None = None,
        clock: Callable[[], float] | None = None,
        epoch: float | None = None,
        webhook_url: str | None = None,
        webhook_secret: str = "emulated-webhook-secret",  # noqa: S107  # it guards nothing
        webhook_duplicates: float = 0.0,
        webhook_losses: float = 0.0,
        webhook_reorder: bool = False,
    ) -> None:
        # Whatever is named above, and checked by `Settings`, under the same name.
        options = {name: value for name, value in locals().items() if name != "self"}
        options |= {"latency": latency or Latency.log_normal(), "faults": tuple(faults)}
        self._settings = Settings(**options)
        self.deliveries = DeliveryLog()
        """Every webhook delivery of this run, with its attempts; readable after closing too."""
        # The clock by a function, as each run has one of its own.
        self.sessions = Sessions(self._settings, lambda: self._running.clock)
        """The sessions of this run: seed more, look one up by its id, or go through all."""
        self._api: Api | None = None
        self._runner: web.ServerRunner | None = None
        self._sending: asyncio.Task[None] | None = None
        # The one that was asked for, until there is a listener.
        self._port = port

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        where = f"{self._settings.host}:{self._port}" if self._runner else "closed"
        return f"<Emulator {where} plan={self._settings.plan} window={self._settings.window}>"

    async def start(self) -> None:
        """Listen, with nothing of an earlier run left; `async with` does this.

        Raises:
            RuntimeError: It is running already.
            OSError: The port is taken.
        """
        if self._runner is not None:
            raise RuntimeError("the emulator is running already")
        settings = self._settings
        clock = Clock(
            settings.clock or asyncio.get_running_loop().time,
            epoch=time.time() if settings.epoch is None else settings.epoch,
            skew=settings.clock_skew,
        )
        # A clock and an API of its own for each run: an event loop's time means nothing in the next loop.
        self._api = Api(settings, clock, deliveries=self.deliveries, sessions=self.sessions)
        # Cancelling handlers when their client goes keeps a hang from outliving the connection.
        server = web.Server(self._handle, handler_cancellation=True, access_log=None, logger=_logger)
        runner = web.ServerRunner(server, shutdown_timeout=_SHUTDOWN)
        await runner.setup()
        try:
            await web.TCPSite(runner, settings.host, settings.port, backlog=1024).start()
        except BaseException:
            await runner.cleanup()
            raise
        self._runner = runner
        self._port = int(runner.addresses[0][1])
        self._sending = asyncio.create_task(self._api.webhooks.run(), name="emulated webhooks")

    async def aclose(self) -> None:
        """Stop listening and sending, close every connection; twice is fine. The journal stays readable."""
        sending, self._sending = self._sending, None
        if sending is not None:
            # Waited for and not awaited: a cancellation of our caller's must not be taken for the sender's.
            sending.cancel()
            await asyncio.wait([sending])
            if not sending.cancelled():
                # It ends by cancellation only: anything else is a defect to be shown.
                sending.result()
        runner, self._runner = self._runner, None
        if runner is None:
            return
        # Before the clean-up, which waits for the handlers that faults hold back.
        self._running.stop()
        await runner.cleanup()

    @property
    def base_url(self) -> str:
        """What a client takes as its base URL, `http://127.0.0.1:PORT/v1`; only while it is running."""
        return self.origin + "/v1"

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        if self._runner is None:
            raise RuntimeError("the emulator is not running; use it in 'async with'")
        host = self._settings.host
        return f"http://[{host}]:{self._port}" if ":" in host else f"http://{host}:{self._port}"

    @property
    def api_key(self) -> str:
        """The key that is accepted."""
        return self._settings.api_key

    @property
    def journal(self) -> Journal:
        """Every request of this run, in order; readable after closing too."""
        return self._running.journal

    @property
    def now(self) -> float:
        """Seconds since the start, the scale of all times in journal and records."""
        return self._running.clock.now()

    def seed_analyses(self, count: int, *, revision: Revision = "a") -> list[str]:
        """Create analyses without HTTP, credits or journal; they are under way from now on.

        Args:
            count: How many, each of a session of its own.
            revision: "a" for `ana_` ids, "b" for `anl_` ids.

        Returns:
            The ids, the same for the same seed.
        """
        api = self._running
        return [analysis.id for analysis in api.analyses.store.seed(count, revision, api.clock.now())]

    def analysis(self, id: str) -> AnalysisRecord:
        """The truth about one analysis.

        Raises:
            KeyError: There is none with this id.
        """
        api = self._running
        analysis = api.analyses.store.get(id)
        if analysis is None:
            raise KeyError(id)
        return analysis.record(api.clock.now())

    def analyses(self) -> list[AnalysisRecord]:
        """The truth about all analyses, in the order of their creation."""
        api = self._running
        now = api.clock.now()
        return [analysis.record(now) for analysis in api.analyses.store]

    def add_fault(self, fault: Fault) -> None:
        """Declare a fault; of several that match a request the first declared one is applied."""
        self._running.faults.add(fault)

    def clear_faults(self) -> None:
        """Take all faults away."""
        self._running.faults.clear()

    def faults(self) -> list[tuple[Fault, int]]:
        """The faults that are still declared, each with how often it has struck."""
        return self._running.faults.listing()

    def reset(self) -> None:
        """Forget analyses, journal, budgets, credits and keys; declare the faults of the start again."""
        self._running.reset()

    def state(self) -> EmulatorState:
        """Counts and figures of this moment."""
        return self._running.state()

    @property
    def _running(self) -> Api:
        if self._api is None:
            raise RuntimeError("the emulator has not been started; use it in 'async with'")
        return self._api

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        # Of its own, so that a benchmark can put a network, or another service's dialect, in front of the API.
        return await self._running.handle(request)
