"""`OpenSession`: an aiohttp session in use, whose it is, and how it ends; and what sessions of ours are made with."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

import aiohttp
import anyio
from aiohttp.abc import ResolveResult
from aiohttp.client_middlewares import ClientHandlerType, ClientMiddlewareType
from aiohttp.client_proto import ResponseHandler
from aiohttp.tracing import Trace

from kallglot_async._clock import ClosedWithLoop
from kallglot_async._wire.failures import LostError
from kallglot_async.errors import ConfigurationError

__all__ = ["Connector", "OpenSession", "UnusedError", "check_proxy", "send_once"]

_CLOSE_TIMEOUT = 5.0  # seconds that closing may take, under a cancelled scope too


class UnusedError(Exception):
    """A connection that is not to be used any more was taken; nothing was sent on it."""


async def send_once(request: aiohttp.ClientRequest, handler: ClientHandlerType) -> aiohttp.ClientResponse:
    """Keep aiohttp from silently repeating an idempotent request that lost its connection.

    A repeated request would be unknown to the limiter and to the attempt count. A connection that never
    came about (`ClientConnectorError`) was not sent, and passes.
    """
    try:
        while True:
            try:
                return await handler(request)
            except UnusedError:
                continue  # nothing was sent, and that connection is closed: take another one
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
        raise LostError from None


class _Resolver(aiohttp.ThreadedResolver):
    """The system's resolver with a time limit: aiohttp's `sock_connect` begins only after the look-up.

    Its `connect` would cover the look-up, but also the wait for a free connection of a busy pool. What goes wrong is an
    `OSError`, which aiohttp takes for the name.
    """

    def __init__(self, timeout: float | None) -> None:
        super().__init__()
        self._seconds = timeout

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        try:
            async with asyncio.timeout(self._seconds):
                found = await super().resolve(host, port, family)
        # aiohttp would let it pass, and it would look as if connecting had taken too long.
        except TimeoutError:
            raise OSError(None, "the look-up took too long") from None
        # There is no thread for it, or no name can be like that.
        except (RuntimeError, UnicodeError) as error:
            raise OSError(None, str(error)) from None
        # aiohttp relies on one; those of IPv6 it leaves out where this machine has none.
        if not found:
            raise OSError(None, "it has no address that can be used here")
        return found


class Connector(aiohttp.TCPConnector):
    """Makes connections, each step of which has the seconds that a request gives for connecting."""

    def __init__(self, limit: int, connect_timeout: float | None) -> None:
        super().__init__(limit=limit, resolver=_Resolver(connect_timeout))

    # Not public, and the only place: aiohttp waits for ever for what a proxy says to CONNECT.
    async def _create_proxy_connection(
        self, req: aiohttp.ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout
    ) -> tuple[asyncio.BaseTransport, ResponseHandler]:
        async with asyncio.timeout(timeout.sock_connect):
            return await super()._create_proxy_connection(req, traces, timeout)


def check_proxy(base_url: str) -> None:
    """Refuse an environment's proxy that does not speak HTTP, which would look like one that is not there.

    Raises:
        ConfigurationError: It is a SOCKS proxy, for example. It is not shown: there may be a password in it.
    """
    from urllib.request import getproxies, proxy_bypass  # loads a good deal, for who asks the environment

    scheme, host = urlsplit(base_url).scheme, urlsplit(base_url).hostname or ""
    spoken, mark, _ = getproxies().get(scheme, "").partition("://")
    if mark and spoken.lower() not in {"http", "https"} and not proxy_bypass(host):
        raise ConfigurationError(
            "the environment's proxy speaks no HTTP: write one as http://host:port, use trust_env=False, or pass a "
            "session whose connector knows it"
        )


class OpenSession:
    """A session in use, and how to close it if it is ours.

    Attributes:
        headers: The common ones that it does not send by itself.
        needs_care: Whether its requests have to go through the middlewares, and reading is traced: it is the caller's,
            or there may be a proxy on the way, which aiohttp would ask twice too.
        middlewares: What each of its requests goes through.

    Once guarded, it is closed by its event loop on the way out, as a client that nobody closed has to be.
    """

    __slots__ = (
        "_with_loop", "headers", "in_flight", "is_closed", "is_retired", "middlewares", "needs_care", "process",
        "session",
    )  # fmt: skip

    def __init__(
        self, session: aiohttp.ClientSession, headers: Mapping[str, str] = {}, *, needs_care: bool = True
    ) -> None:
        self.session = session
        self.headers = headers
        self.needs_care = needs_care
        # A session's own, which those of a request take the place of, stay around ours. aiohttp has no public name for
        # them; a session that was made otherwise has none.
        own: Sequence[ClientMiddlewareType] = getattr(session, "_middlewares", ())
        self.middlewares = (*own, send_once)
        self.process = os.getpid()
        self.in_flight = 0
        self.is_retired = self.is_closed = False
        self._with_loop = ClosedWithLoop(self._close)

    async def guard(self) -> None:
        await self._with_loop.guard()

    async def aclose(self) -> None:
        # A caller who is being cancelled still closes what it opened, but not for as long as a peer likes.
        with anyio.CancelScope(shield=True), anyio.move_on_after(_CLOSE_TIMEOUT):
            await self._with_loop.aclose()

    def abandon(self) -> None:
        self._with_loop.abandon()

    async def _close(self) -> None:
        # Before the await: `send` asks for it, and must not choose a session that is about to be closed.
        self.is_closed = True
        await self.session.close()
