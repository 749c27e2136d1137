"""`Link`: one script on a Redis server, answered soon or not at all."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from importlib.resources import files
from types import TracebackType
from typing import Any, TypeVar

import msgspec

from kallglot_async import _clock
from kallglot_async._clock import ClosedWithLoop
from kallglot_async._core.limit.exchange import Reply
from kallglot_async.errors import ConfigurationError
from kallglot_async.shared.fetcher import Unreachable

try:
    from redis.asyncio import Redis
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff
    from redis.exceptions import InvalidResponse, NoScriptError, RedisError
except ModuleNotFoundError as _error:
    raise ConfigurationError("a shared rate limit needs its extra: pip install 'kallglot-async[redis]'") from _error

__all__ = ["Link"]

PATIENCE = 0.2  # seconds that an exchange may take, ...
TRIPS = 3  # ... or so many times what the last one took, with a server that is far away, ...
FIRST = 0.45  # ... but no more than this, which one that connects may take, too, ...
AWAY = 2.0  # ... unless the process goes on alone meanwhile: then nobody waits for it
STEP = 0.05  # seconds in each of which the loop has a turn, at least, to read the answer
SLACK = 0.05  # seconds after our patience is over that the server may still begin
MOST = 16  # exchanges at once, each on a connection of its own: of many keys in one process

# Not by a path: a package may lie in an archive.
_SCRIPT = files(__package__).joinpath("exchange.lua").read_text(encoding="utf-8")
_SHA = hashlib.sha1(_SCRIPT.encode(), usedforsecurity=False).hexdigest()
_log = logging.getLogger("kallglot_async.shared")

T = TypeVar("T")

# Whatever a URL says: how answers are read is the script's matter, retries are ours, and so is the time of anything.
_OURS = {
    "decode_responses": False, "encoding": "utf-8", "encoding_errors": "strict", "retry": Retry(NoBackoff(), 0),
    "socket_timeout": None, "socket_connect_timeout": None,
}  # fmt: skip


class Link:
    """One script on a Redis server, answered soon or not at all. It connects when it is first used.

    Args:
        url: The server's address.

    Attributes:
        is_told: Whether nobody answered, which was said, and nobody has since.

    Raises:
        ConfigurationError: An option of it cannot be used.
    """

    __slots__ = ("_ahead", "_loop", "_opened", "_patience", "_turns", "_url", "is_told")

    def __init__(self, url: str) -> None:
        self._url = url
        try:
            _client(url)
        except (TypeError, ValueError):
            raise ConfigurationError(
                "the URL of a shared rate limit has an option that redis-py does not know, or cannot use"
            ) from None
        # What is connected in each loop, and what closes it: redis-py's own types differ from release to release.
        self._opened: dict[asyncio.AbstractEventLoop, tuple[Any, ClosedWithLoop]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None  # the one that asked last
        self._turns = asyncio.Semaphore(MOST)  # of that loop
        self._ahead: float | None = None  # seconds by which the server's clock is ahead of ours, at least
        self._patience = PATIENCE
        self.is_told: bool = False

    def turn(self) -> _Turn:
        """Wait for a turn, and give whether there is use in asking: none where those before us in line found out so."""
        if self._loop is not asyncio.get_running_loop():
            self._loop, self._turns = asyncio.get_running_loop(), asyncio.Semaphore(MOST)
            self._ahead = None  # each has a clock of its own
        return _Turn(self, self._turns)

    async def exchange(self, keys: list[str], arguments: Callable[[str], list[str]], *, is_waited_for: bool) -> Reply:
        """Run the script, and return its answer; in a `turn`.

        Where a connection breaks behind the question, it may run twice: what was told is then told twice, and fewer
        requests go for a while.

        Args:
            keys: Its keys.
            arguments: Makes its arguments of its deadline, in seconds of the server's clock.
            is_waited_for: Whether requests wait for it; else the process goes on with its part meanwhile.

        Raises:
            Unreachable: No answer came in time, whatever the reason. The script will not run later.
        """
        try:
            until = _clock.now() + (FIRST if is_waited_for else AWAY)
            answer = await self._ask(keys, arguments, until)
            # Its deadline was over before it ran: the server's clock is not what it was.
            if not answer:
                self._ahead = None
                answer = await self._ask(keys, arguments, until)
            reply = _read(answer) if answer else None
        # A `TimeoutError` is an `OSError`, so this is whatever can be on the way; a mistake of ours passes.
        except (RedisError, OSError, EOFError) as error:
            self._ahead = None
            if not self.is_told:
                self.is_told = True
                # With its name: of some errors the text is a mere address.
                what = f"{type(error).__name__}: {error}"
                _log.warning("the shared rate limit cannot be reached (%s): this process goes on with its part", what)
            raise Unreachable from None
        if reply is None:
            raise Unreachable
        if self.is_told:
            self.is_told = False
            _log.info("the shared rate limit can be reached again")
        return reply

    async def aclose(self) -> None:
        """Close the connections of the running loop."""
        # Those of another loop can be closed in that one only.
        opened = self._opened.pop(asyncio.get_running_loop(), None)
        if opened is not None:
            await opened[1].aclose()

    async def _ask(self, keys: list[str], arguments: Callable[[str], list[str]], until: float) -> bytes:
        """Run the script, until then; once more where a connection that has served is of no use any more."""
        has_served, left = self._ahead is not None, until - _clock.now()
        try:
            return await _soon(self._run(keys, arguments), min(left, self._patience) if has_served else left)
        except TimeoutError:
            raise
        except (RedisError, OSError, EOFError):
            # Closed while it was idle; or its server is a replica by now, and another one stands at the address.
            await self._disconnect()
            if not has_served:
                raise
        return await _soon(self._run(keys, arguments), until - _clock.now())

    async def _run(self, keys: list[str], arguments: Callable[[str], list[str]]) -> bytes:
        if self._ahead is None:
            seconds, microseconds = await self._command("TIME")
            # Our clock is read behind the answer: the trip makes this too small, and the deadline early at worst.
            self._ahead = seconds + microseconds / 1e6 - _clock.now()
        began = _clock.now()
        # In the server's time, as no other is common to all. What it begins later it leaves undone: by then a process
        # has given up on the answer, and goes on with its part.
        deadline = f"{began + self._ahead + self._patience + SLACK:.6f}"
        rest: list[Any] = [len(keys), *keys, *arguments(deadline)]
        try:
            answer: bytes = await self._command("EVALSHA", _SHA, *rest)
        except NoScriptError:
            # It was started anew, or its scripts were flushed. Nothing has been run: ask once more, with the text.
            answer = await self._command("EVAL", _SCRIPT, *rest)
        self._patience = min(FIRST, max(PATIENCE, TRIPS * (_clock.now() - began)))
        return answer

    async def _disconnect(self) -> None:
        """Have the next exchange make a connection; those that are in use are others'."""
        # Whoever is asked next may have another clock.
        self._ahead = None
        opened = self._opened.get(asyncio.get_running_loop())
        if opened is not None:
            with suppress(RedisError, OSError):
                await _soon(opened[0].connection_pool.disconnect(inuse_connections=False), STEP)

    async def _command(self, *parts: Any) -> Any:
        """Return what the server answers; `RedisError` or `OSError` are all that it raises."""
        redis = await self._connected()
        try:
            return await redis.execute_command(*parts)
        except (RedisError, OSError, EOFError):
            raise
        except Exception as error:
            # What redis-py's parsers stumble over where something else listens there: `ValueError`, `IndexError`, ...
            raise InvalidResponse(f"no answer of a Redis server: {type(error).__name__}") from None

    async def _connected(self) -> Any:
        loop = asyncio.get_running_loop()
        if loop not in self._opened:
            for closed in [loop for loop in self._opened if loop.is_closed()]:
                self._opened.pop(closed)[1].abandon()
            redis = _client(self._url)
            _, with_loop = self._opened[loop] = redis, ClosedWithLoop(redis.aclose)
            await with_loop.guard()
        return self._opened[loop][0]


class _Turn:
    """One of so many at once. No generator, which a loop that ends would close before the task that is inside it."""

    __slots__ = ("_link", "_turns")

    def __init__(self, link: Link, turns: asyncio.Semaphore) -> None:
        self._link, self._turns = link, turns

    async def __aenter__(self) -> bool:
        was_told = self._link.is_told
        await self._turns.acquire()
        return was_told or not self._link.is_told

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._turns.release()


def _client(url: str) -> Any:
    # Version 3 of the protocol, which newer releases begin with, is nothing that Redis 5 knows.
    redis: Any = Redis.from_url(url, protocol=2)
    # Set behind the URL's options, which would win over what is given by name. An object: it connects when it is used.
    redis.connection_pool.connection_kwargs |= _OURS
    redis.connection_pool.make_connection()
    return redis


def _read(answer: bytes) -> Reply:
    try:
        return msgspec.json.decode(answer, type=Reply)
    except (msgspec.DecodeError, TypeError, UnicodeError):
        raise InvalidResponse("it does not answer what it was asked") from None


async def _soon(work: Awaitable[T], patience: float) -> T:
    """Wait for it for so many seconds.

    Time is counted in turns of the loop: one that was blocked for long would take its own absence for the server's.

    Raises:
        TimeoutError: It took longer.
    """
    task = asyncio.ensure_future(work)
    try:
        for _ in range(round(patience / STEP)):
            await asyncio.wait({task}, timeout=STEP)
            if task.done():
                return task.result()
    finally:
        if not task.done():
            # Waited for and not awaited: its cancellation must not be taken for the caller's.
            task.cancel()
            await asyncio.wait({task})
    raise TimeoutError("no answer")
