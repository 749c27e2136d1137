"""Events that have come by webhook, for waits that would otherwise only poll.

A receiver puts events in, waits listen for the analyses that they wait for. An announcement is a hint and no
result: who hears one asks the API, and who hears none goes on polling.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING

from kallglot_async.errors import ConfigurationError

if TYPE_CHECKING:
    from kallglot_async.webhooks import Event

__all__ = ["RecentKeys", "WebhookInbox"]


class RecentKeys:
    """A set that keeps the `bound` keys that were added or asked for last."""

    __slots__ = ("_bound", "_keys")

    def __init__(self, bound: int) -> None:
        if bound < 1:
            raise ConfigurationError(f"at least one must be remembered, not {bound}")
        self._bound = bound
        self._keys: OrderedDict[str, None] = OrderedDict()

    def __contains__(self, key: str) -> bool:
        if key not in self._keys:
            return False
        self._keys.move_to_end(key)
        return True

    def __len__(self) -> int:
        return len(self._keys)

    def add(self, key: str) -> None:
        """Remember a key; the one that was longest not asked for is forgotten where there is no room."""
        self._keys[key] = None
        self._keys.move_to_end(key)
        if len(self._keys) > self._bound:
            self._keys.popitem(last=False)


class WebhookInbox:
    """Takes in webhook events and tells waits that their analysis has settled.

    It may be shared by several clients on one event loop. It is not thread safe: use it where the loop runs.

    Args:
        remembered: How many event ids, and how many announced analyses, are remembered: the newest of each.

    Raises:
        ConfigurationError: `remembered` is less than 1.
    """

    __slots__ = ("_announced", "_listeners", "_seen", "is_heard")

    def __init__(self, *, remembered: int = 100_000) -> None:
        self._seen = RecentKeys(remembered)
        self._announced = RecentKeys(remembered)
        self._listeners: list[Callable[[str], object]] = []
        self.is_heard: bool = False  # whether anything was ever announced

    def __repr__(self) -> str:
        counts = f"events={len(self._seen)} announced={len(self._announced)} listeners={len(self._listeners)}"
        return f"<WebhookInbox {counts}>"

    def put(self, event: Event) -> bool:
        """Take in one event and tell every listener of the analysis that it says has settled.

        Events about anything else, and of types that nobody knows yet, are only remembered.

        Args:
            event: An event whose signature has been verified.

        Returns:
            False where an event with this id came before; then nobody is told.
        """
        if event.id in self._seen:
            return False
        if event.is_analysis_settled and (id := event.analysis_id) is not None:
            self._announced.add(id)
            self.is_heard = True
            for callback in tuple(self._listeners):
                if callback in self._listeners:  # one before it may have made it forget
                    callback(id)
        # Last: if a listener raises, the sender's next attempt must not be taken for a duplicate.
        self._seen.add(event.id)
        return True

    def has_announced(self, analysis_id: str) -> bool:
        """Whether an announcement has come already, which happens: events overtake the answer to a create."""
        return analysis_id in self._announced

    def listen(self, callback: Callable[[str], object]) -> None:
        """Have `callback` called with the id of every analysis that is announced from now on.

        It is called in the middle of `put`, so it must be quick and must not raise.

        Args:
            callback: To be given to `forget` when nobody waits any more. Twice the same is once.
        """
        if callback not in self._listeners:
            self._listeners.append(callback)

    def forget(self, callback: Callable[[str], object]) -> None:
        """Call `callback` no more; it is no error if it never listened."""
        if callback in self._listeners:
            self._listeners.remove(callback)
