"""`Waits`: what a client waits with: how its calls wait where they do not say, and where they meet."""

from __future__ import annotations

from collections.abc import Callable

from kallglot_async import errors
from kallglot_async._checks import check_count, check_plain_callback, check_timeout
from kallglot_async._core.api.operation import Operation
from kallglot_async._core.limit.ticket import Ticket
from kallglot_async._core.polling.schedule import PollSchedule
from kallglot_async._events import await_told
from kallglot_async._waiting.batch import OnOutcome
from kallglot_async._waiting.call import OnProgress, WaitCall
from kallglot_async._waiting.claims import Claims, WaitOptions
from kallglot_async._waiting.source import IdSource
from kallglot_async._wire.pipeline import Pipeline
from kallglot_async.models import Analysis, Outcome, Outcomes

__all__ = ["MAX_READY", "Waits"]

_LEARNED = PollSchedule.learned()
_NO_IDS = IdSource((), remember=False)  # of a call whose one id comes with it

MAX_READY = 1_000  # outcomes that lie undelivered before a wait stops to take slots


class Waits:
    """Starts the wait calls of one client, and creates what they may wait for.

    Args:
        hub: What all wait calls under one key share.
        pipeline: How requests are sent.
        max_in_flight: Requests of one call at once, where the call does not say.
    """

    __slots__ = ("_hub", "_max_in_flight", "_pipeline")

    def __init__(self, hub: Claims, pipeline: Pipeline, max_in_flight: int) -> None:
        self._hub = hub
        self._pipeline = pipeline
        self._max_in_flight = max_in_flight

    def options(
        self,
        timeout: float | None,
        total_timeout: float | None,
        max_in_flight: int | None,
        schedule: PollSchedule | None,
        *,
        on_progress: OnProgress | None = None,
        from_add: bool = False,
        max_ready: int = MAX_READY,
    ) -> WaitOptions:
        """Return how a call waits.

        Raises:
            ConfigurationError: Something of it cannot be used.
        """
        if schedule is not None and not isinstance(schedule, PollSchedule):
            raise errors.ConfigurationError(f"schedule is a PollSchedule, not {type(schedule).__name__}")
        if on_progress is not None:
            check_plain_callback("on_progress", on_progress)
        return WaitOptions(
            timeout=check_timeout("timeout", timeout),
            total_timeout=check_timeout("total_timeout", total_timeout),
            max_in_flight=self._max_in_flight if max_in_flight is None else check_count("max_in_flight", max_in_flight),
            schedule=schedule if schedule is not None else _LEARNED,
            on_progress=on_progress,
            from_add=from_add,
            max_ready=check_count("max_ready", max_ready),
            heeds_inbox=schedule is None,
        )

    def start(self, source: IdSource, options: WaitOptions) -> WaitCall:
        """Return a wait call, not entered yet."""
        return WaitCall(self._hub, self._pipeline, source, options)

    async def of_one(self, id: str, options: WaitOptions) -> Outcome:
        """Run a wait for one id to its end."""
        return await self.start(_NO_IDS, options).of_one(id)

    async def create(
        self,
        operation: Operation[Analysis],
        ticket: Ticket | None = None,
        *,
        timeout: float | None,
        is_patient: bool = False,
        on_answer: Callable[[], object] | None = None,
    ) -> Analysis:
        """Request an analysis, on a slot if one was taken; the moment of its creation helps to wait for it."""
        created = await self._pipeline.run(
            operation, timeout=timeout, ticket=ticket, is_patient=is_patient, on_answer=on_answer
        )
        self._hub.on_created(created, server_now=self._pipeline.server_now())
        return created

    async def collect(self, source: IdSource, options: WaitOptions, on_outcome: OnOutcome | None = None) -> Outcomes:
        """Run a wait call to its end and return all outcomes in the order of the input.

        What an `on_outcome` that is a coroutine function returns is awaited before the next outcome is taken.

        Raises:
            IdSourceError: The source raised; the outcomes so far are on the error.
        """
        found: dict[str, Outcome] = {}
        waiting = self.start(source, options)
        if source.total == 1 and (only := source.at_once()) is not None:
            outcome = await waiting.of_one(only)
            found[outcome.id] = outcome
            if on_outcome is not None:
                await await_told("on_outcome", on_outcome(outcome))
            return source.in_order(found)
        try:
            async with waiting as finished:
                async for outcome in finished:
                    found.setdefault(outcome.id, outcome)
                    if on_outcome is not None:
                        await await_told("on_outcome", on_outcome(outcome))
                        continue
                    for other in finished.take_ready():
                        found.setdefault(other.id, other)
        except errors.IdSourceError as error:
            error.outcomes = source.in_order(found)
            raise
        return source.in_order(found)
