"""What an inbox is worth: how far polls may rely on webhooks, and when to look again at what they announce too early.

An inbox may be silent: another worker has the event, the secret is wrong, the endpoint is down. So it has to earn
that polling is slow, with an event for something that is waited for, and loses that with an analysis that is found
settled without one. The ids that wait meanwhile keep their places; only the moment of their next look moves.

Pure: no clock, no randomness, no I/O.
"""

from __future__ import annotations

from math import inf

from kallglot_async._core.polling.pending import ANNOUNCED, Entry

__all__ = ["InboxTrust", "next_echo"]

SLOW_GAP = 60.0  # s after which an id is looked at that no event has come for; then twice its age, ...
SLOWEST_GAP = 300.0  # ... but no later than this after the last look
FIRST_ECHO = (
    1.0  # s after which an announcement is looked at again that the API does not confirm; twice as long each time
)
MAX_ECHOES = 30  # doublings: beyond any schedule, and far from what a float can hold


class InboxTrust:
    """Whether the events of one inbox make polls unnecessary, as far as can be seen.

    Args:
        has_inbox: Whether events can be expected at all; if not, polls never rely on them.
    """

    __slots__ = ("_since", "has_inbox")

    def __init__(self, *, has_inbox: bool = False) -> None:
        self.has_inbox: bool = has_inbox
        self._since = inf

    @property
    def is_trusted(self) -> bool:
        """Whether polls are slow at present."""
        return self._since < inf

    def on_event(self, now: float) -> None:
        """An event has come for something that is waited for."""
        if self.has_inbox:
            self._since = min(self._since, now)

    def on_silence(self, sent_at: float) -> bool:
        """A poll that was sent at `sent_at` found settled what no event had announced.

        Returns:
            Whether that ends the trust. A poll from before it does not: that overtook its event, as many do.
        """
        is_lost = self._since <= sent_at and self.is_trusted
        if is_lost:
            self._since = inf
        return is_lost

    def next_look(self, entry: Entry) -> float:
        """The moment before which a look that is due is not worth a request, as an event would come first."""
        if not self.is_trusted or entry.state == ANNOUNCED or entry.is_announced or entry.trouble is not None:
            return -inf
        seen_at = entry.born_at if entry.seen_at is None else entry.seen_at
        return seen_at + max(SLOW_GAP, min(SLOWEST_GAP, seen_at - entry.born_at))


def next_echo(entry: Entry, now: float) -> float:
    """When to look again at what was announced and is found running: after 1, 2, 4, 8 s and so on; infinity: never."""
    return inf if entry.unconfirmed is None else now + FIRST_ECHO * 2.0 ** min(entry.unconfirmed, MAX_ECHOES)
