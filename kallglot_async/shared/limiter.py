"""`SharedRateLimiter`: one rate limit for every process that names the same Redis server."""

from __future__ import annotations

import secrets
from collections.abc import Hashable
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from kallglot_async._checks import check_seconds, check_text, shown
from kallglot_async._config import Secret
from kallglot_async._core.limit.gate import Gate
from kallglot_async._core.limit.lease import Lease
from kallglot_async._wire.limiter import Lane, RateLimiter
from kallglot_async.errors import ConfigurationError
from kallglot_async.models import RateLimit
from kallglot_async.shared.fetcher import Fetcher, Shares

__all__ = ["SharedRateLimiter"]

LEAST_HORIZON = 0.1  # seconds; a shorter one would be mostly exchanges


class SharedRateLimiter(RateLimiter):
    """One rate limit for every process that names the same Redis server.

        async with SharedRateLimiter("redis://127.0.0.1:6379/0") as limiter:
            async with KallglotClient(rate_limit=limiter) as client: ...

    It learns the limit as a `RateLimiter` does, and what one process learns holds for all: figures, pauses, and the
    one request that opens a window anew. Who waits, waits in its own process; slots are taken for `horizon` seconds in
    advance, so that a request costs less than half of an exchange with the server. People go before polls, and
    processes with polls share evenly.

    A server that is away, hangs or has lost everything stops nobody: within half a second each process goes on with
    its part of the rate that was last known, and asks again a second later.

    It may be used without `async with`: it connects when it is first needed, and closes its connections in `aclose`
    or when a client that uses it is closed and nothing is under way.

    Args:
        url: The server: `redis://`, `rediss://` or `unix://`, with user and password where it wants them.
        limit: A ceiling over all requests of all processes together, or None. It gives a fifth ahead of its pace. Give
            every process the same: one without keeps to none, and one with a lower limit has hardly a part.
        name: Who shares: every process with the same name. Default: every process with the same API key, of which
            the server sees a digest.
        horizon: Seconds that slots are taken for in advance, from 0.1 to 60. Default 1.0. A longer one costs fewer
            commands, and shares what changes more slowly. With a `limit` it is no longer than a tenth of its `per`, but
            for 0.1: of the ceiling, somewhat more than half is used.

    Raises:
        ConfigurationError: An argument cannot be used, or the extra `redis` is not installed. Nothing was sent.
    """

    __slots__ = ("_fetchers", "_link", "_shares")

    def __init__(
        self, url: str, *, limit: RateLimit | None = None, name: str | None = None, horizon: float = 1.0
    ) -> None:
        if limit is not None and not isinstance(limit, RateLimit):
            raise ConfigurationError(f"limit is a RateLimit, not {type(limit).__name__}")
        if name is not None:
            check_text("name", name)
        if not LEAST_HORIZON <= check_seconds("horizon", horizon) <= 60.0:
            raise ConfigurationError(f"horizon is from 0.1 to 60 seconds, not {horizon!r}")
        url = _check_url(url)
        from kallglot_async.shared.link import Link  # says what is missing where the extra is not installed

        # Without the limit: the ceiling holds over all processes here, and is kept by the script.
        super().__init__()
        self.limit = limit
        self._link = Link(url)
        if limit is not None:
            # A slot of a ceiling is kept out of it for as long as it may lie unused: four horizons, beside its period.
            horizon = min(horizon, max(LEAST_HORIZON, limit.per / 10))
        self._shares = Shares(self._link, secrets.token_hex(8), float(horizon), limit, name)
        self._fetchers: list[Fetcher] = []

    async def aclose(self) -> None:
        """Ask no more, and close the connections of this event loop. A later call opens them again."""
        for fetcher in self._fetchers:
            await fetcher.aclose()
        await self._link.aclose()

    async def aleave(self) -> None:
        """Leave the running loop, and close what was opened there, where nothing is under way."""
        self.leave()
        if not any(lane.in_flight or lane.waiting for lane in self._lanes.values()):
            await self.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def _new_lane(self, key: Hashable, group: str) -> Lane:
        assert isinstance(key, Secret)  # noqa: S101  # a client's; others have no use for it
        shares, limit = self._shares, self.limit
        # The lease rings its fetcher, which is made of the lane that is made of the lease: they meet here.
        fetchers: list[Fetcher] = []
        ceiling = {} if limit is None else {"ceiling": limit.requests / limit.per}
        lease = Lease(shares.horizon, lambda: fetchers[0].ring(), **ceiling)
        lane = Lane(Gate((), lease), self._home)
        fetchers.append(Fetcher(lane, lease, shares, key, group))
        lane.on_dry = fetchers[0].ring
        self._fetchers += fetchers
        return lane


def _check_url(url: object) -> str:
    """Return the address of a Redis server.

    Raises:
        ConfigurationError: It is none. What stands before an @ is never shown.
    """
    if not isinstance(url, str):
        raise ConfigurationError(f"the URL of a shared rate limit is text, not {type(url).__name__}")
    try:
        parts = urlsplit(url.strip())
        port, scheme = parts.port, parts.scheme
    except ValueError:
        raise ConfigurationError("the URL of a shared rate limit cannot be read as a URL") from None
    if scheme not in {"redis", "rediss", "unix"}:
        raise ConfigurationError(
            f"the URL of a shared rate limit begins with redis://, rediss:// or unix://, not {shown(scheme + ':')}"
        )
    if port == 0 or (scheme != "unix" and not parts.hostname) or (scheme == "unix" and not parts.path):
        raise ConfigurationError("the URL of a shared rate limit names no server: write redis://host:6379/0")
    return url.strip()
