"""`Fetcher`: asks the others for one lane, while somebody waits there or has something to tell."""

from __future__ import annotations

import asyncio
import hashlib
import math
import os
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import msgspec

from kallglot_async import _clock
from kallglot_async._clock import Alarm, ClosedWithLoop
from kallglot_async._config import Secret
from kallglot_async._core.limit.exchange import Ask, Reply
from kallglot_async._core.limit.lease import Lease
from kallglot_async._wire.keys import load
from kallglot_async._wire.limiter import Lane
from kallglot_async.errors import ConfigurationError
from kallglot_async.models import RateLimit

__all__ = ["Fetcher", "Port", "Shares", "Unreachable"]

_PREFIX = "kallglot:limit:2"  # of hashes; another layout of theirs has another number


class Unreachable(Exception):  # nobody raises it out of this folder
    """The server did not answer, or not in time."""


class Port(Protocol):
    """The way to where all processes agree: `Link`."""

    def turn(self) -> AbstractAsyncContextManager[bool]:
        """Wait until there is room for an exchange, and give whether there is use in one."""

    async def exchange(self, keys: list[str], arguments: Callable[[str], list[str]], *, is_waited_for: bool) -> Reply:
        """Return what the script has answered, or raise `Unreachable`."""


class Shares:
    """What all lanes of one shared limiter have in common.

    Args:
        link: To the server.
        token: What the limiter is known by, in whichever process a fork takes it to.
        horizon: Seconds that slots are taken for in advance.
        limit: A ceiling over all processes.
        name: Who shares; None: everybody with the same key.
    """

    __slots__ = ("horizon", "limit", "link", "name", "token")

    def __init__(self, link: Port, token: str, horizon: float, limit: RateLimit | None, name: str | None) -> None:
        self.link: Port = link
        self.token: str = token
        self.horizon: float = horizon
        self.limit: RateLimit | None = limit
        self.name: str | None = name

    @property
    def process(self) -> str:
        """What this process is known by; never a number, which the script would read as one."""
        return f"p{self.token}-{os.getpid()}"

    def keys(self, key: Secret, group: str) -> list[str]:
        """Return the names of the hashes of one group, and of the ceiling. The API key is in neither."""
        # The words keep them apart: no name that is chosen can be what a key is hashed as.
        named = f"key {key.reveal()}" if self.name is None else f"name {self.name}"
        # One slot of a cluster, by the braces: a script may touch no keys of two.
        digest = hashlib.sha256(f"kallglot_async {named}".encode()).hexdigest()[:32]
        return [f"{_PREFIX}:{{{digest}}}:{group}", f"{_PREFIX}:{{{digest}}}:ceiling"]


class Fetcher:
    """Asks the others for one lane, and tells them of it.

    There is a task while somebody waits there, while slots are held, or while the others cannot be reached; none else.
    And none once its loop has begun to close what is open in it: what `asyncio.run` cancels then asks nobody any more.

    Args:
        lane: Who waits.
        lease: What they may have.
        shares: How to ask.
        key: Under which key.
        group: For which endpoints.
    """

    __slots__ = ("_alarm", "_ended", "_group", "_key", "_lane", "_lease", "_loop", "_shares", "_task", "_with_loop")

    def __init__(self, lane: Lane, lease: Lease, shares: Shares, key: Secret, group: str) -> None:
        self._lane, self._lease, self._shares, self._key, self._group = lane, lease, shares, key, group
        self._alarm = Alarm()
        self._task: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ended: asyncio.AbstractEventLoop | None = None  # the one that is closing
        self._with_loop: tuple[asyncio.AbstractEventLoop, ClosedWithLoop] | None = None

    def ring(self) -> None:
        """Somebody waits, or there is something to tell: look whether it is time to ask."""
        loop = _clock.running_loop()
        if self._task is not None and self._loop is loop and not self._task.done():
            self._alarm.ring()
        elif self._ended is not loop and self._next_ask() < math.inf:
            # Whoever slept at the old alarm did so in a loop that may be gone.
            self._alarm, self._loop = Alarm(), loop
            self._task = loop.create_task(self._run(), name=f"kallglot shared rate limit: {self._group}")

    async def aclose(self) -> None:
        """Give back what is held, and ask no more, in this loop."""
        # A task of another loop can be neither cancelled nor waited for from here.
        if self._loop is not asyncio.get_running_loop():
            self._task = None
            return
        await self._stop()
        if self._lease.can_leave():
            await self._exchange(is_leaving=True)
        self._loop = None
        if self._with_loop is not None:
            await self._with_loop[1].aclose()
        self._ended = self._with_loop = None

    async def _stop(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait({task})

    async def _end(self) -> None:
        self._ended = asyncio.get_running_loop()
        if self._loop is self._ended:
            await self._stop()

    async def _guard(self) -> None:
        """Have it end with the running loop."""
        loop, before = asyncio.get_running_loop(), self._with_loop
        if before is None or before[0] is not loop:
            if before is not None:
                before[1].abandon()
            self._with_loop = loop, ClosedWithLoop(self._end)
            await self._with_loop[1].guard()

    def _next_ask(self) -> float:
        return self._lease.next_ask(_clock.now(), self._lane.waiting_by_urgency)

    async def _run(self) -> None:
        await self._guard()
        # Between the last look and the end there is no await: who comes then finds no task, and starts another.
        while (at := self._next_ask()) < math.inf:
            if at > _clock.now():
                await self._alarm.sleep_until(at)
            else:
                await self._exchange()

    async def _exchange(self, *, is_leaving: bool = False) -> None:
        # First what may take long: what is granted lapses by the moment of asking.
        is_known = await self._knows_key()
        async with self._shares.link.turn() as is_useful:
            # Whom to share with is not known without a key: as when nobody answers, it goes on with its part.
            await self._ask(is_possible=is_known and is_useful, is_leaving=is_leaving)
        self._lane.look_again()

    async def _ask(self, *, is_possible: bool, is_leaving: bool) -> None:
        asked_at = _clock.now()
        asked = self._lease.ask(asked_at, self._lane.waiting_by_urgency, is_leaving=is_leaving)
        shares = self._shares
        try:
            if not is_possible:
                raise Unreachable
            reply = await shares.link.exchange(
                shares.keys(self._key, self._group),
                lambda deadline: arguments_of(asked, shares, deadline),
                is_waited_for=not asked.is_back,
            )
        except Unreachable:
            self._lease.on_silence(asked, _clock.now())
        except Exception:
            # A mistake of ours: the loop will report it, and nobody waits for ever.
            self._lease.on_silence(asked, _clock.now())
            self._lane.look_again()
            raise
        else:
            now = _clock.now()
            self._lease.on_reply(asked, reply, asked_at, now)
            if reply.pause > 0:
                self._lane.gate.pause(now, now + reply.pause)

    async def _knows_key(self) -> bool:
        """Whether there is a key, where a function of the caller's is asked for it."""
        try:
            await load(self._key)
        except ConfigurationError:
            # The request that waits will say so itself.
            return False
        return True


def arguments_of(asked: Ask, shares: Shares, deadline: str) -> list[str]:
    """Return what the script takes, in its order."""
    limit = shares.limit
    # An empty text is no number to Lua, so there is no ceiling.
    ceiling = ("", "") if limit is None else (str(limit.requests), str(limit.per))
    return [shares.process, deadline, str(shares.horizon), *ceiling, msgspec.json.encode(asked).decode()]
