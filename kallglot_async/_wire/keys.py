"""Keys that a function of the caller's is asked for: at first use, and again, once a request, after a 401."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import NamedTuple, TypeVar

import anyio

from kallglot_async._clock import is_cancelled
from kallglot_async._config import AskedKey, Secret
from kallglot_async._core.limit.ticket import Ticket, Urgency
from kallglot_async._wire.failures import UnsentError
from kallglot_async._wire.limiter import Lane
from kallglot_async.errors import AuthenticationError, ConfigurationError

__all__ = ["KeyInUse", "load", "renew", "send_renewing"]

T = TypeVar("T")


class KeyInUse(NamedTuple):
    """Which of its answers a request goes with."""

    asks: int
    version: int


async def load(key: Secret) -> KeyInUse | None:
    """Return which key a request is about to go with; it is asked for where there is none yet. None: it never changes.

    Raises:
        ConfigurationError: Whoever is asked raised, or answered with what is no key.
    """
    if not isinstance(key, AskedKey):
        return None
    if not key.asks:
        # Looked at again within: whoever waited for the turn finds the key that another one asked for.
        async with _turn(key):
            if not key.asks:
                await _ask(key)
    return KeyInUse(key.asks, key.version)


async def renew(key: Secret, used: KeyInUse | None) -> bool:
    """Ask again, as the key that was used is refused, and return whether there is another one now.

    Those who are refused at once ask once.

    Raises:
        ConfigurationError: As for `load`.
    """
    if used is None or not isinstance(key, AskedKey):
        return False
    async with _turn(key):
        # Else somebody has asked since, who was refused in the same moment.
        if key.asks == used.asks:
            await _ask(key)
    # By what it answered, not by whether it was asked: the same key again would be refused again.
    return key.version != used.version


async def send_renewing(key: AskedKey, lane: Lane, ticket: Ticket, send: Callable[[Ticket], Awaitable[T]]) -> T:
    """Send a request with a key that is asked for, and once more, on another slot, where it is refused and has changed.

    Raises:
        KallglotError: How it ended.
    """
    try:
        used = await _unsent_meanwhile(load(key))
    except BaseException:
        lane.unsent(ticket)
        raise
    try:
        return await send(ticket)
    except AuthenticationError:
        if not await _unsent_meanwhile(renew(key, used)):
            raise
    # Outside the handler: the refusal of the old key is no context of whatever the new one meets.
    return await send(await lane.acquire(Urgency.DIRECT))


async def _unsent_meanwhile(asking: Awaitable[T]) -> T:
    """Await what is asked for a key; a cancellation says that nothing was on its way."""
    try:
        return await asking
    except asyncio.CancelledError as error:
        raise error from UnsentError("api_key was still being asked for the key")


def _turn(key: AskedKey) -> anyio.Lock:
    """Return what lets one ask at a time; locks belong to an event loop."""
    loop = asyncio.get_running_loop()
    if key.turn is None or key.turn[0] is not loop:
        key.turn = loop, anyio.Lock()
    lock: anyio.Lock = key.turn[1]
    return lock


async def _ask(key: AskedKey) -> None:
    try:
        answer = key.ask()
        answer = await answer if inspect.isawaitable(answer) else answer
    except ConfigurationError:
        raise
    except (Exception, asyncio.CancelledError) as error:
        # Where nobody cancelled us, whoever is asked awaited something that was cancelled: an error of its own.
        if isinstance(error, asyncio.CancelledError) and is_cancelled():
            raise
        failure = ConfigurationError(f"api_key was asked for the key and raised {type(error).__name__}")
        # Without its frames, which may hold the key.
        failure.__cause__ = error.with_traceback(None)
    else:
        secret = Secret(answer)
        del answer  # no frame of ours holds the key as text
        key.renew(secret)
        return
    # Not in the handler: there it would get the original as its context, and with that the frames that hold the key.
    raise failure
