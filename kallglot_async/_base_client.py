"""`BaseClient`: what every client has, whatever it asks for: settings, parts, views, figures, and its end."""

from __future__ import annotations

import os
import random as _random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Self, get_type_hints

import aiohttp

from kallglot_async import _clock, resources
from kallglot_async._checks import check_plain_callback
from kallglot_async._config import (
    AS_CLIENT,
    RATE_LIMIT_URL_VARIABLE,
    ApiKey,
    AsClient,
    ClientConfig,
    Secret,
    Timeout,
    resolve_config,
    secret_of,
)
from kallglot_async._core.api.free_request import free_request
from kallglot_async._core.limit.retry import RetryBudget
from kallglot_async._core.polling.worth import PollModel
from kallglot_async._events import Observer, OnEvent
from kallglot_async._logging import LOG_VARIABLE, log_as_told
from kallglot_async._waiting.creator import Creator
from kallglot_async._waiting.waits import Claims, Waits
from kallglot_async._wire.limiter import RateLimiter, limiter_of
from kallglot_async._wire.pipeline import Pipeline
from kallglot_async._wire.pool import SessionPool, pool_of
from kallglot_async.errors import ConfigurationError
from kallglot_async.models import ClientStats, JSONValue, RateLimit, RateLimitState, RawResponse
from kallglot_async.resources.analyses import Analyses
from kallglot_async.webhooks import Event, WebhookInbox

__all__ = ["BaseClient"]


@dataclass(slots=True)
class Shared:
    """What a client and its views have in common."""

    pool: SessionPool
    random: Callable[[], float]
    observer: Observer
    inbox: WebhookInbox
    has_inbox: bool  # whether it is the caller's, so that webhooks can be expected
    budget: RetryBudget = field(default_factory=RetryBudget)
    model: PollModel = field(default_factory=PollModel)
    hubs: dict[Secret, Claims] = field(default_factory=dict)

    def hub(self, key: Secret) -> Claims:
        """Return where the waits under one key meet."""
        # By key: the same id of two organizations is two analyses, and an answer must not pass between them.
        if key not in self.hubs:
            self.hubs[key] = Claims(self.model, self.inbox, has_inbox=self.has_inbox)
        return self.hubs[key]


if TYPE_CHECKING:
    from builtins import property as Part  # in another descriptor pyright finds no property of a protocol
else:

    class Part:
        """A part of a client, made when it is first used. Of the class it is the part's, which mocks are made by."""

        def __init__(self, make: Callable[..., object]) -> None:
            self.make = make
            self.__doc__ = make.__doc__

        def __get__(self, client: BaseClient | None, owner: type[BaseClient]) -> object:
            if client is None:
                return get_type_hints(self.make)["return"]
            # The next look finds it without this method.
            part = vars(client)[self.make.__name__] = self.make(client)
            return part


class BaseClient:
    """What every client has, whatever it asks for. `KallglotClient` documents the arguments."""

    def __init__(
        self,
        api_key: ApiKey | None = None,
        *,
        base_url: str | None = None,
        timeout: float | None = 30.0,
        max_attempts: int = 3,
        rate_limit: RateLimit | RateLimiter | None = None,
        max_connections: int = 100,
        max_in_flight: int = 64,
        max_response_bytes: int = 16 * 1024 * 1024,
        max_rate_wait: float | None = None,
        connect_timeout: float = 10.0,
        trust_env: bool = False,
        keep_raw: bool = True,
        default_headers: Mapping[str, str] | None = None,
        user_agent_suffix: str | None = None,
        session: aiohttp.ClientSession | None = None,
        download_session: aiohttp.ClientSession | None = None,
        inbox: WebhookInbox | None = None,
        on_event: OnEvent | None = None,
        random: Callable[[], float] = _random.random,  # noqa: TID251  # the default source of jitter
    ) -> None:
        key = secret_of(api_key) if api_key is not None else None
        api_key = None  # no frame of ours holds the key as text
        config = resolve_config(
            api_key=key,
            base_url=base_url,
            environ=os.environ,
            default_headers=default_headers,
            user_agent_suffix=user_agent_suffix,
            timeout=timeout,
            max_attempts=max_attempts,
            max_connections=max_connections,
            max_in_flight=max_in_flight,
            max_response_bytes=max_response_bytes,
            max_rate_wait=max_rate_wait,
            connect_timeout=connect_timeout,
            trust_env=trust_env,
            keep_raw=keep_raw,
        )
        log_as_told(os.environ.get(LOG_VARIABLE, ""))
        check_plain_callback("on_event", on_event)
        if not callable(random):
            raise ConfigurationError(f"random is a function without arguments, not {type(random).__name__}")
        has_inbox = inbox is not None
        inbox = WebhookInbox() if inbox is None else inbox  # `settle` needs one in any case
        shared = Shared(pool_of(config, session, download_session), random, Observer(on_event), inbox, has_inbox)
        self._assemble(config, shared, _limiter_of(rate_limit, os.environ.get(RATE_LIMIT_URL_VARIABLE, "")))

    def _assemble(self, config: ClientConfig, shared: Shared, limiter: RateLimiter) -> None:
        self._config, self._shared, self._limiter, self._pool = config, shared, limiter, shared.pool
        self._is_view = False  # a view closes nothing: the client whose connections it uses does
        self._pipeline = Pipeline(config, shared.pool, limiter, shared.random, shared.observer, shared.budget)
        self._hub = shared.hub(config.api_key)
        self._waits = Waits(self._hub, self._pipeline, config.max_in_flight)
        self._creator = Creator(self._hub.creates, self._pipeline, config.max_rate_wait)

    @Part
    def analyses(self) -> Analyses:
        """Fetches and requests analyses."""
        return Analyses(self._pipeline, self._waits, self._creator)

    @Part
    def sessions(self) -> resources.Sessions:
        """Fetches and ends sessions, and fetches their transcripts and recordings' list."""
        return resources.Sessions(self._pipeline)

    @Part
    def recordings(self) -> resources.Recordings:
        """Fetches recordings, and downloads their audio."""
        return resources.Recordings(self._pipeline, self._config)

    async def request(
        self,
        method: str,
        path: str,
        *,
        json: JSONValue = None,
        params: Mapping[str, str | float | bool] | None = None,
        idempotency_key: str | None = None,
        extra_headers: Mapping[str, str] | None = None,
        timeout: Timeout = AS_CLIENT,
    ) -> RawResponse:
        """Send a request for which there is no method, and return status, headers and body of a 2xx answer.

            status, headers, body = await client.request("GET", "agents", params={"limit": 10})

        It passes the same limiter as any other call, is retried as they are, and fails with the same errors. Retried
        are a GET, and others with an `idempotency_key`, which the API has to know for that path. What it costs, the
        API's documentation says. After a cancellation it is unknown whether the server has acted.

        Args:
            method: `GET`, `POST`, `PUT`, `PATCH` or `DELETE`.
            path: Below the base URL, for example `agents/agt_1`, without a query.
            json: What is sent as JSON; None: no body.
            params: The query: texts, numbers and truth values (`true`, `false`).
            idempotency_key: Sent with every attempt. Default: none.
            extra_headers: Headers besides those of the client.
            timeout: Seconds for the whole call, the queue at the limiter included; None for ever. Default:
                the client's.

        Raises:
            ConfigurationError: It cannot be sent like that. Nothing was.
            KallglotError: Any other way it can fail; see `errors`.
        """
        operation = free_request(method, path, json=json, params=params, idempotency_key=idempotency_key)
        seconds = self._pipeline.seconds_of(timeout)
        return await self._pipeline.run(operation.with_headers(extra_headers), timeout=seconds)

    def with_options(
        self,
        *,
        api_key: ApiKey | None = None,
        timeout: float | AsClient | None = AS_CLIENT,
        max_attempts: int | AsClient = AS_CLIENT,
        max_in_flight: int | AsClient = AS_CLIENT,
        max_rate_wait: float | AsClient | None = AS_CLIENT,
        rate_limit: RateLimit | RateLimiter | None = None,
        extra_headers: Mapping[str, str] | None = None,
    ) -> Self:
        """Return a view of this client with other options: cheap, for one call or for one tenant.

            analysis = await client.with_options(timeout=2.0, max_attempts=1).analyses.retrieve(id)

        It shares connections, retry budget, inbox and what was learned of analyses; under the same key also the
        limiter, and two waits for one id are one poller. Closing a view closes nothing. Of a subclass it has the
        attributes as they are now, without a call of the constructor.

        Args:
            api_key: Another organization's key: its limits are its own.
            timeout: As for the client; each of these is the client's where it is left out.
            max_attempts: As for the client.
            max_in_flight: As for the client.
            max_rate_wait: As for the client.
            rate_limit: Another ceiling or limiter, in the place of the client's.
            extra_headers: Headers that are sent besides those of the client, and win over them. For one call that
                takes `extra_headers`, give it those.

        Raises:
            ConfigurationError: An option cannot be used.
        """
        key = AS_CLIENT if api_key is None else secret_of(api_key)
        api_key = None  # no frame of ours holds the key as text
        view = object.__new__(type(self))  # not by its constructor, which reads the environment and opens a pool
        config = self._config.changed(
            api_key=key,
            timeout=timeout,
            max_attempts=max_attempts,
            max_in_flight=max_in_flight,
            max_rate_wait=max_rate_wait,
        )
        config = config.with_headers(extra_headers)
        view._assemble(config, self._shared, self._limiter if rate_limit is None else limiter_of(rate_limit))
        view._is_view = True
        for name in vars(self).keys() - vars(view).keys():
            # What a subclass keeps on its clients goes along; what is made of a client at first use does not.
            if not any(hasattr(vars(kind).get(name), "__get__") for kind in type(self).__mro__):
                vars(view)[name] = vars(self)[name]
        return view

    def settle(self, event: Event) -> bool:
        """Take in a verified webhook event: whoever waits for its analysis fetches it at once, with one request.

        For a receiver of your own; those in `receivers` put events into an `inbox`, which does the same. An event
        is a hint and no result: one that comes too early, twice or not at all costs a request at most.

        Args:
            event: What `webhooks.construct_event` has returned.

        Returns:
            False where an event with this id came before.
        """
        return self._shared.inbox.put(event)

    @property
    def rate_limit(self) -> RateLimitState:
        """What is known now of the rate limit for analyses."""
        return self._pipeline.lane("analysis").state()

    @property
    def stats(self) -> ClientStats:
        """What was done so far, in the groups of endpoints that this client has used.

        Requests are counted by the limiter, so clients and views that share one under the same key count together.
        """
        return self._pipeline.stats(waiting_for=len(self._hub))

    async def aclose(self) -> None:
        """Close the connections of this event loop. Twice is fine; a later call opens new ones.

        What still runs loses its connection, and goes on with a new one where its request may be repeated.
        """
        _clock.running_loop()
        if not self._is_view:
            await self._pool.aclose()
            await self._limiter.aleave()

    async def __aenter__(self) -> Self:
        _clock.running_loop()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._config.base_url} key={self._config.api_key} {self._limiter}>"


def _limiter_of(rate_limit: RateLimit | RateLimiter | None, url: str) -> RateLimiter:
    """Return the limiter of a client: its argument wins, and a `RateLimit` is a ceiling on what the environment names.

    Raises:
        ConfigurationError: The argument is neither, the URL cannot be used, or its extra is not installed.
    """
    limiter = limiter_of(rate_limit)
    # A limiter that was given is shared as its owner wants it.
    if not url or limiter is rate_limit:
        return limiter
    from kallglot_async.shared import SharedRateLimiter  # with its transport: only where one is named

    return SharedRateLimiter(url, limit=limiter.limit)
