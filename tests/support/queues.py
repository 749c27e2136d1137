"""What a poll queue wants, in a form that tests can compare."""

from __future__ import annotations

from kallglot_async._core.polling.queue import PollQueue
from kallglot_async._core.polling.schedule import Supply


def plan(queue: PollQueue, now: float, supply: Supply) -> tuple[float, bool] | None:
    """Return when the queue wants its next slot, and whether ahead of the pace; None: it wants none."""
    slot = queue.next_slot(now, supply)
    return None if slot is None else (slot.at, slot.ahead)
