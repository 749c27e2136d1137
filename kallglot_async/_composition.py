"""What a client is put together from: settings to parts, and what a client shares with its views."""

from __future__ import annotations

from collections.abc import Callable

import aiohttp

from kallglot_async._config import ClientConfig, Secret
from kallglot_async._core.polling import PollModel
from kallglot_async._core.retry import RetryBudget
from kallglot_async._inbox import WebhookInbox
from kallglot_async._limiter import RateLimiter
from kallglot_async._observer import Observer, OnEvent
from kallglot_async._pool import SessionPool
from kallglot_async._wait_hub import WaitHub
from kallglot_async.errors import ConfigurationError
from kallglot_async.models import RateLimit

__all__ = ["UNCHANGED", "Shared", "Unchanged", "callable_or_none", "limiter_of", "pool_of"]

_READ_TIMEOUT = 60.0  # seconds without a byte, for a client that was asked to wait for ever


class Unchanged:
    """Stands for "as the client has it", because None means something else."""

    def __repr__(self) -> str:
        return "the client's"


UNCHANGED = Unchanged()


class Shared:
    """What a client and its views have in common."""

    __slots__ = ("_hubs", "_model", "budget", "has_inbox", "inbox", "observer", "pool", "random")

    def __init__(
        self, pool: SessionPool, random: Callable[[], float], observer: Observer, inbox: WebhookInbox | None
    ) -> None:
        self.pool = pool
        self.random = random
        self.observer = observer
        self.has_inbox = inbox is not None
        self.inbox = WebhookInbox() if inbox is None else inbox
        self.budget = RetryBudget()
        self._model = PollModel()
        self._hubs: dict[Secret, WaitHub] = {}

    def hub(self, key: Secret) -> WaitHub:
        """Return where the waits under one key meet."""
        if key not in self._hubs:
            self._hubs[key] = WaitHub(self._model, self.random, self.inbox)
        return self._hubs[key]


def callable_or_none(name: str, value: OnEvent | None) -> OnEvent | None:
    """Return a callback, or raise `ConfigurationError` where it is none."""
    if value is not None and not callable(value):
        raise ConfigurationError(f"{name} is called with records, so it is a function, not {type(value).__name__}")
    return value


def limiter_of(rate_limit: RateLimit | RateLimiter | None) -> RateLimiter:
    """Return the limiter that a `rate_limit` argument stands for, or raise `ConfigurationError`."""
    if isinstance(rate_limit, RateLimiter):
        return rate_limit
    if rate_limit is not None and not isinstance(rate_limit, RateLimit):
        raise ConfigurationError(f"rate_limit is a RateLimit or a RateLimiter, not {type(rate_limit).__name__}")
    return RateLimiter(rate_limit)


def pool_of(config: ClientConfig, session: aiohttp.ClientSession | None) -> SessionPool:
    """Return the pool of a client, or raise `ConfigurationError` where the session is none."""
    if session is not None and not isinstance(session, aiohttp.ClientSession):
        raise ConfigurationError(f"session is an aiohttp.ClientSession, not {type(session).__name__}")
    return SessionPool(
        config.base_url,
        max_connections=config.max_connections,
        max_response_bytes=config.max_response_bytes,
        read_timeout=_READ_TIMEOUT if config.timeout is None else None,
        connect_timeout=config.connect_timeout,
        trust_env=config.trust_env,
        session=session,
    )
