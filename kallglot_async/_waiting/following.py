"""Where several calls want one id: one of them polls it, and the others follow.

In `Claims` all waits under one key meet, so that an id is polled once however many wait for it. `Followers`: who
follows which id, and who is to poll it in the place of the one that does. `Followed`: what one call waits for while
another polls it.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from contextlib import suppress
from heapq import heappop, heappush
from typing import TYPE_CHECKING

import msgspec

from kallglot_async import _clock, errors
from kallglot_async._clock import OneLoop
from kallglot_async._core.polling.pending import Creates, Entry
from kallglot_async._core.polling.trouble import FirstContact
from kallglot_async._core.polling.worth import InboxTrust, PollModel
from kallglot_async.models import Outcome
from kallglot_async.webhooks import WebhookInbox

if TYPE_CHECKING:
    from kallglot_async._waiting.call import WaitCall

__all__ = ["Claims", "Followed", "Followers"]


class Followed(msgspec.Struct, eq=False):
    """The ids of one call that another call polls.

    Attributes:
        ends: When the wait for each is over here, however long the other waits; infinity: never.
    """

    # Of an empty default msgspec makes a new one for each instance.
    ends: dict[str, float] = {}
    # Heaps; an end that is not the id's any more is dropped as it comes up.
    _in_order: list[tuple[float, str]] = []
    _to_look: list[tuple[float, str]] = []  # those of which nobody was told yet that a last look falls due

    def add(self, id: str, ends_at: float) -> None:
        """Follow an id until then; or, where it is followed, until another moment than before."""
        self.ends[id] = ends_at
        if ends_at < math.inf:
            heappush(self._in_order, (ends_at, id))
            heappush(self._to_look, (ends_at, id))

    def next_end(self) -> float:
        """Return when the next wait is over; infinity: none will be."""
        return self._first(self._in_order)

    def pop_due(self, now: float) -> tuple[float, str] | None:
        """Return the next wait that is over, as its end and its id, once each; None: there is none."""
        return heappop(self._in_order) if self.next_end() <= now else None

    def next_look(self) -> float:
        """Return the end of the next wait whose last look is still to come; infinity: there is none."""
        return self._first(self._to_look)

    def pop_look(self, until: float) -> str | None:
        """Return the next id whose wait is over by then, once each, for its last look; None: there is none."""
        return heappop(self._to_look)[1] if self.next_look() <= until else None

    def _first(self, heap: list[tuple[float, str]]) -> float:
        while heap and self.ends.get(heap[0][1]) != heap[0][0]:
            heappop(heap)
        return heap[0][0] if heap else math.inf


class Followers(dict[str, list["WaitCall"]]):
    """By id, the calls that wait for what another polls, in order of arrival."""

    __slots__ = ()

    def add(self, id: str, call: WaitCall) -> None:
        """`call` follows it."""
        self.setdefault(id, []).append(call)

    def remove(self, id: str, call: WaitCall) -> None:
        """`call` follows it no more."""
        if call in (followers := self.get(id, [])):
            followers.remove(call)
            if not followers:
                del self[id]

    def heir_of(self, id: str, owner: WaitCall, *, at_once: bool = False) -> WaitCall | None:
        """Return who follows it and polls it best in the place of `owner`; None where there is nobody.

        That is one on the loop that runs, with a caller who takes outcomes; with `at_once`, nobody else.
        """
        heir = min(self.get(id, ()), key=lambda one: _hindrances(one, owner), default=None)
        return None if heir is None or (at_once and any(_hindrances(heir, owner))) else heir


def _hindrances(call: WaitCall, owner: WaitCall) -> tuple[bool, bool]:
    """Why a call would not poll at once: its loop stands still, or its caller is behind."""
    return call.loop is not owner.loop, call.poller.is_ahead_of_caller


class Claims:
    """Where the wait calls under one key meet, so that an id is polled once however many wait for it.

    Args:
        model: How long analyses take, as far as learned.
        inbox: Where webhooks announce what has settled. One of the caller's is listened to while anybody waits.
        has_inbox: Whether it is the caller's, so that webhooks can be expected.
    """

    __slots__ = ("_followers", "_home", "_inbox", "_owners", "contact", "creates", "model", "trust")

    def __init__(self, model: PollModel, inbox: WebhookInbox, *, has_inbox: bool = False) -> None:
        self.model: PollModel = model
        self._inbox = inbox
        self.trust: InboxTrust = InboxTrust(has_inbox=has_inbox)
        self._home = OneLoop()
        self._owners: dict[str, WaitCall] = {}  # the call that polls an id
        self._followers = Followers()  # others that wait for it too
        self.contact: FirstContact = FirstContact()
        self.creates: Creates = Creates()
        if not has_inbox:
            inbox.listen(self._on_announced)  # the client's own: it lives as long, and nobody else's wait is in it

    def __len__(self) -> int:
        """How many ids are waited for."""
        return len(self._owners)

    def enter(self, loop: asyncio.AbstractEventLoop) -> None:
        """Serve the waits of this event loop from now on.

        Raises:
            ConfigurationError: Another loop, which runs, has waits here.
        """
        before = self._home.loop
        if before is loop:
            return
        if not self._owners:
            self._home.loop = None  # nobody's, so anybody's
        if self._home.enter(loop):  # those waits were a closed loop's, or the parent's of a fork
            # Their queues are never touched again, so nobody else would take their ids off the model.
            self.model.pending -= len(self._owners)
            self._owners.clear()
            self._followers.clear()
        for poller in self.contact.forget():
            _call_in(before, poller.wake)

    def claim(self, id: str, call: WaitCall) -> bool:
        """Make `call` the one that polls the id; False where another does, which `call` then follows.

        One on a loop that stands still is not followed, and its own followers are left to whoever polls now.

        Raises:
            ConfigurationError: Another loop, which runs, has waits here.
        """
        self.enter(call.loop)
        owner = self._owners.get(id)
        if owner is not None and owner.loop is call.loop:
            self._followers.add(id, call)
            # The caller of that one may be behind, and this one not: then it hands the id over.
            owner.poller.wake_stalled()
            return False
        if not self._owners and self.trust.has_inbox:
            self._inbox.listen(self._on_announced)
        self._owners[id] = call
        return True

    def take_announcement(self, id: str) -> bool:
        """Whether a webhook has said, before anybody waited for it, that an id has settled."""
        if not self._inbox.is_heard or not self._inbox.has_announced(id):
            return False
        if id in self.creates:  # else the event may be an old one
            self.trust.on_event(_clock.now())
        return True

    def _on_announced(self, id: str) -> None:
        if (owner := self._owners.get(id)) is None:
            return
        if self._home.runs_elsewhere():
            raise errors.ConfigurationError(
                "a webhook event came in another thread than the one that waits for its analysis: hand it over with "
                "loop.call_soon_threadsafe(client.settle, event)"
            )
        self.trust.on_event(_clock.now())
        self._tell(owner, owner.poller.on_announced, id)

    def on_silence(self, sent_at: float) -> None:
        """A poll found settled what no event had announced: from now on all calls poll as if there were no inbox."""
        if self.trust.on_silence(sent_at):
            for call in dict.fromkeys(self._owners.values()):
                self._tell(call, call.poller.wake)

    def _disown(self, id: str) -> None:
        self._owners.pop(id, None)
        if not self._owners and self.trust.has_inbox:
            self._inbox.forget(self._on_announced)

    def owner_of(self, id: str) -> WaitCall | None:
        """Return the call that polls the id."""
        return self._owners.get(id)

    def settle(self, outcome: Outcome, call: WaitCall) -> None:
        """The owner has an outcome that holds for everybody."""
        if self._owners.get(outcome.id) is not call:
            return
        self._disown(outcome.id)
        if self._followers:
            for follower in self._followers.pop(outcome.id, ()):
                self._tell(follower, follower.on_shared_outcome, outcome)

    def release(self, id: str, call: WaitCall, known: Entry) -> None:
        """The owner polls it no more: who follows best polls it from now on, and knows what the owner saw."""
        if self._owners.get(id) is not call:
            return  # left behind by a loop that is gone, and collected when another call owns the id
        heir = self._followers.heir_of(id, call) if self._followers else None
        if heir is None:
            self._disown(id)
            return
        self._followers.remove(id, heir)
        self._owners[id] = heir
        self._tell(heir, heir.own, id, known)

    def wanted_of(self, call: WaitCall) -> list[str]:
        """Return the ids that `call` polls and for which others wait who would poll them at once."""
        # Only where another would poll at once: two that are behind would pass an id to and fro.
        return [
            id
            for id in self._followers
            if self._owners.get(id) is call and self._followers.heir_of(id, call, at_once=True) is not None
        ]

    def _tell(self, call: WaitCall, callback: Callable[..., object], *facts: object) -> None:
        if call.loop is self._home.loop:
            callback(*facts)
        else:
            _call_in(call.loop, callback, *facts)

    def unfollow(self, id: str, call: WaitCall) -> None:
        """`call` waits no more for an id that another polls."""
        self._followers.remove(id, call)


def _call_in(loop: asyncio.AbstractEventLoop | None, callback: Callable[..., object], *facts: object) -> None:
    """Call back in a loop that stands still, once it runs again; never, where it is closed."""
    with suppress(RuntimeError):  # it is closed
        if loop is not None:
            loop.call_soon_threadsafe(callback, *facts)
