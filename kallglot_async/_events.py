"""`Observer`: tells the caller's `on_event` what a client does, and survives what that raises."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from kallglot_async.models import ClientEvent

__all__ = ["Observer", "OnEvent"]

OnEvent = Callable[[ClientEvent], object]
_log = logging.getLogger("kallglot_async.events")


class Observer:
    """Passes on records, in the order in which things happen. Without a callback it costs one comparison.

    Args:
        on_event: The caller's; if it raises, that is logged once and it is not called again.
    """

    __slots__ = ("_on_event", "is_on")

    def __init__(self, on_event: OnEvent | None) -> None:
        self._on_event = on_event
        self.is_on = on_event is not None  # whether anybody listens, so that a record is worth making

    def emit(self, kind: Callable[..., ClientEvent], **fields: object) -> None:
        """Make a record of now and pass it on."""
        if self._on_event is None:
            return
        try:
            self._on_event(kind(at=time.time(), **fields))
        except (Exception, asyncio.CancelledError):
            # The caller's own code must not cost a request; nor fill a log with one traceback for each.
            self._on_event, self.is_on = None, False
            _log.exception("on_event raised and is not called again")
