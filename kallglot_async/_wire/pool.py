"""`SessionPool`: aiohttp sessions, one for each event loop; every request of the client leaves through it.

A session belongs to the loop that made it. It is opened at first use, closed by `aclose`, and otherwise by the
loop's own shutdown, so that a client used in three successive `asyncio.run` calls leaves nothing open.
"""

from __future__ import annotations

import asyncio
import math
import os
import warnings
from collections.abc import AsyncGenerator, Coroutine, Mapping
from contextlib import asynccontextmanager
from itertools import cycle
from typing import Any, cast

import aiohttp
from aiohttp import hdrs
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.typedefs import LooseHeaders
from multidict import CIMultiDict
from yarl import URL

from kallglot_async import _clock, errors
from kallglot_async._config import ClientConfig, Secret
from kallglot_async._core.api.answers import COMMON_HEADERS, request_headers
from kallglot_async._core.api.operation import Operation, Response
from kallglot_async._wire.failures import LostError, UnsentError, raised_by_session, translate
from kallglot_async._wire.session import Connector, OpenSession, UnusedError, check_proxy
from kallglot_async._wire.stream import AnswerStream

__all__ = ["SILENCE", "SessionPool", "pool_of"]

SILENCE = 60.0  # seconds without a byte that end an attempt of who was asked to wait for ever

# What gateways add to an answer (cookies, policies, links) can be more than the 8,190 bytes a line and 128 lines that
# aiohttp takes. With these it is no larger than a body may be.
_LONGEST_LINE, _MOST_HEADERS = 65_536, 256

# Seconds after which a connection takes no more requests: it leads to one host of those that share the name, and by its
# polls a wait would hold it open for ever, were that host to lag behind the others, or to have left the name. One after
# the other has less, as those that were opened together are not to be opened together again.
_LIVES = range(30, 20, -1)
_MOST_IN_A_ROW = 3  # answers of 5xx, or of somebody else than the API, after which a connection is closed
# Seconds for which connections that have served are doubted: at first longer than the few attempts of a call take.
_DOUBT, _LONGEST_DOUBT = 10.0, 640.0
_STUCK = 5.0  # seconds without an answer, cut off, that are a loss: most answers are there in a tenth of that


class _CountingHandler(ResponseHandler):
    """A connection, and what is noted on it."""

    sent_at: float  # when its latest request went out
    failures: int  # in a row, once it has served
    until: float  # when it takes no more, likewise


class _Reuse:
    """Whether connections that have served may serve again.

    There are servers, and proxies before them, that drop each request but the first on a connection, or let it go
    unanswered; and some on the way forget a connection that is idle, and tell nobody. So a request that is lost on one
    that has served, as happens to anybody now and then, has the next ones go on fresh ones: for some seconds, and for
    twice as long each time, until one that was kept serves again. Where one has served meanwhile, silence is a server
    that is slow.
    """

    __slots__ = ("_lives", "_pause", "is_doubted", "served", "until")

    def __init__(self) -> None:
        self.is_doubted, self.served = False, 0  # the latter: how often one that had served did so again
        self.until, self._pause = -math.inf, 0.0
        self._lives = cycle(_LIVES)

    def on_lost(self) -> None:
        """A request was lost on one; of those that were under way on others too, only the first counts."""
        if (now := _clock.now()) >= self.until:
            self._pause = min(2 * self._pause, _LONGEST_DOUBT) or _DOUBT
            self.is_doubted, self.until = True, now + self._pause

    def on_answer(self, handler: _CountingHandler, status: int, body: bytes) -> None:
        """One has served. It does no more where it brings one failure after another, or is old.

        Its host may be the one that the name left, and what begins with a failure is closed at once: the next attempt
        may be let in by another host. A failure is a 5xx, or what is no answer of the API's at first glance: a page, a
        redirect, no error of its form.
        """
        # What the API says is JSON or text, and is nothing only where it is still working on it.
        if status < 300:
            # Mostly its first byte tells.
            is_page = body[:1] != b"{" and body[:64].lstrip().startswith(b"<")
            is_apis = not is_page and (len(body) > 0 or status in {202, 204})
        else:
            is_apis = status < 500 and status != 421 and (b'"error"' in body or status == 429)
        if hasattr(handler, "failures"):
            before, most = handler.failures, _MOST_IN_A_ROW
            self.is_doubted, self._pause, self.served = False, 0.0, self.served + 1
        else:
            before, most, handler.until = 0, 1, handler.sent_at + next(self._lives)
        handler.failures = 0 if is_apis else before + 1
        # A 421 says that it is the wrong host's, whatever is asked for on it.
        if handler.failures >= most or status == 421 or handler.sent_at >= handler.until:
            # Marked, not closed: it may be free already, and whoever takes it then takes another.
            handler.force_close()

    def refuses(self, connection: ResponseHandler) -> bool:
        """Whether this one may not."""
        return hasattr(connection, "failures") and _clock.now() < self.until


class _Request(aiohttp.ClientRequest):
    """A request that is not sent on a connection that is doubted, or holds an answer that nobody asked for."""

    reuse: _Reuse  # the pool's
    unsent: dict[asyncio.Task[Any] | None, bool]  # likewise

    # As aiohttp's own, which goes through them one by one: here no caller can give another host.
    def update_headers(self, headers: LooseHeaders | None) -> None:
        self.headers = CIMultiDict({hdrs.HOST: self.url.host_port_subcomponent or ""})
        self.headers.extend(headers or {})

    def send(self, conn: Connection) -> Coroutine[Any, Any, aiohttp.ClientResponse]:
        # aiohttp asks the first when a connection is given back, and not when it is taken again: what came while it
        # lay idle would be read as the answer to this request (aiohttp issue 13656).
        handler = cast("_CountingHandler", conn.protocol)
        if handler.should_close or (self.reuse.is_doubted and self.reuse.refuses(handler)):
            # aiohttp closes the connection on the way out.
            raise UnusedError
        handler.sent_at = self.loop.time()
        self.unsent.pop(asyncio.current_task(self.loop), None)
        return super().send(conn)


class _Answer(aiohttp.ClientResponse):
    """An answer on a connection of ours: what `send_once` is for elsewhere, and two coroutines less for each."""

    reuse: _Reuse  # the pool's
    handler: _CountingHandler | None = None  # the connection that it came on, which may serve another request by now

    async def start(self, connection: Connection) -> aiohttp.ClientResponse:
        self.handler = handler = cast("_CountingHandler", connection.protocol)
        served = self.reuse.served
        try:
            return await super().start(connection)
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
            if hasattr(handler, "failures"):
                self.reuse.on_lost()
            raise LostError from None
        except (asyncio.CancelledError, TimeoutError):
            is_silent = self._loop.time() - handler.sent_at >= _STUCK and served == self.reuse.served
            if is_silent and hasattr(handler, "failures"):
                self.reuse.on_lost()
            raise


class SessionPool:
    """Connections to one base URL, kept alive and shared by everything a client does.

    Args:
        base_url: With a trailing slash.
        max_connections: Open connections at most, for each event loop.
        max_response_bytes: A larger body, after decompression, is an error.
        connect_timeout: Seconds for name resolution, for connecting, TLS included, and for a proxy to let through.
        trust_env: Whether proxies are taken from the environment.
        session: A session of the caller's, used as it is and never closed here.
        download_session: The same for the storage that pre-signed links lead to.
    """

    def __init__(
        self,
        base_url: str,
        *,
        max_connections: int,
        max_response_bytes: int,
        connect_timeout: float,
        trust_env: bool,
        session: aiohttp.ClientSession | None = None,
        download_session: aiohttp.ClientSession | None = None,
    ) -> None:
        self._base_url = base_url
        self._base = URL(base_url, encoded=True)
        self._root = self._base.raw_path
        self._max_connections = max_connections
        self._max_response_bytes = max_response_bytes
        self._trust_env = trust_env
        # No total: a call's deadline covers more than one request, and aiohttp's swallows a cancellation of the
        # caller's that comes in the same turn of the loop. No `connect`: it would count the wait for a free connection
        # of a busy pool, which is nobody's failure.
        self._timeout = aiohttp.ClientTimeout(total=None, connect=None, sock_connect=connect_timeout, sock_read=None)
        # Only for who has no deadline, or a dead connection would be its end: watching each byte has its cost.
        self._endless = aiohttp.ClientTimeout(total=None, connect=None, sock_connect=connect_timeout, sock_read=SILENCE)
        self._borrowed = OpenSession(session, COMMON_HEADERS) if session is not None else None
        self._for_storage = OpenSession(download_session) if download_session is not None else None
        self._sessions: dict[asyncio.AbstractEventLoop, OpenSession] = {}
        self._reuse = _Reuse()
        # Whose request is not sent yet, and whether it stands in line for a connection; of those on a session of the
        # caller's nobody knows.
        self._unsent: dict[asyncio.Task[Any] | None, bool] = {}

    def __repr__(self) -> str:
        return f"<SessionPool {self._base_url} on {len(self._sessions)} event loops>"

    async def send(self, operation: Operation[Any], key: Secret, headers: Mapping[str, str]) -> Response:
        """Send one request, exactly once, and return the complete answer of any status.

        The key goes into the headers of this request alone: a redirect or a proxy never sees it.

        Cancellation closes the connection that was in use.

        Raises:
            TransportError: No complete answer arrived.
            ResponseTooLargeError: The body is larger than allowed.
            ConfigurationError: The environment's proxy settings cannot be used.
        """
        # What is open already is found here, and not by `_lease`, which would be one coroutine more for each request.
        loop = asyncio.get_running_loop()
        lease, task = self._sessions.get(loop) if self._borrowed is None else None, asyncio.current_task(loop)
        if lease is None or lease.is_closed:
            lease = await self._lease(is_own=False)
        lease.in_flight += 1
        if self._borrowed is None:
            self._unsent[task] = lease.in_flight > self._max_connections
        failure: errors.KallglotError
        try:
            response = None
            while response is None:
                try:
                    # Awaited, not entered: `_read` leaves the connection free or closed, and leaving costs as much as
                    # sending.
                    response = await lease.session.request(
                        operation.method,
                        self._url(operation.path),
                        # Bound to no name: a traceback may show locals. `headers` are the client's, and hold no key.
                        headers={**lease.headers, **request_headers(operation, key), **headers, **operation.headers},
                        data=operation.body,
                        # The API redirects no such request: whoever does is not the one that the key is meant for.
                        allow_redirects=False,
                        # A session of the caller's may be set to raise; here every status is an answer.
                        raise_for_status=False,
                        timeout=self._endless if operation.is_endless else self._timeout,
                        middlewares=lease.middlewares if lease.needs_care else (),
                    )
                except UnusedError:
                    continue  # nothing was sent, and that connection is closed: take another one
            content = await _read(response, self._max_response_bytes, is_told=lease.needs_care)
            if content is not None:
                if isinstance(response, _Answer) and response.handler is not None:
                    self._reuse.on_answer(response.handler, response.status, content)
                return Response(response.status, response.headers, content)
            failure = errors.ResponseTooLargeError(
                f"{operation.name} was answered with more than {self._max_response_bytes} bytes",
                operation=operation.name,
                status=response.status,
                limit=self._max_response_bytes,
            )
        except asyncio.CancelledError as error:
            if _clock.is_cancelled():
                # Without its frames, which hold the request's headers.
                raise error.with_traceback(None) from self._why_unsent(task)
            # Nobody cancelled us: the session was closed while it looked up a name, or it is the caller's own code.
            is_closed = self._borrowed is None or lease.session.closed
            gone = translate(LostError(), operation.name, self._base_url)
            failure = gone if is_closed else raised_by_session(error)
        except (LostError, aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            failure = translate(error, operation.name, self._base_url)
        except Exception as error:
            if self._borrowed is None:
                raise
            failure = raised_by_session(error)
        finally:
            self._unsent.pop(task, None)
            lease.in_flight -= 1
            if lease.is_retired and not lease.in_flight:
                await lease.aclose()
        # Outside the handler: the foreign error, which may hold the key, is no context of ours.
        raise failure

    def _why_unsent(self, task: asyncio.Task[Any] | None) -> UnsentError | None:
        """Return what the request of this task waits for; None: it was sent."""
        if (is_in_line := self._unsent.get(task)) is None:
            return None
        if not is_in_line:
            return UnsentError("no connection had come about")
        return UnsentError(
            f"every connection was busy (max_connections={self._max_connections}); ask for less at once, or allow more"
        )

    @asynccontextmanager
    async def stream(
        self, name: str, url: str, *, key: Secret | None, ranges: Mapping[str, str], idle: float
    ) -> AsyncGenerator[AnswerStream, None]:
        """Send one GET, exactly once, and give the answer of any status as its body arrives.

        Without a key it is sent on connections of the pool's own, as a session of the caller's could add
        cookies or headers to it, unless one was given for the storage. Leaving before the end closes the connection.

        Args:
            name: The operation's name, for errors.
            url: The whole address.
            key: Goes into the headers of this request alone; None for a place that must not see it.
            ranges: Headers that ask for a part.
            idle: Seconds without a byte after which the answer is given up.

        Raises:
            TransportError: The answer did not begin; `AnswerStream.read` raises it where it does not end.
            ConfigurationError: The environment's proxy settings cannot be used.
        """
        lease = await self._lease(is_own=key is None)
        lease.in_flight += 1
        try:
            answer = await AnswerStream.open(
                lease.session,
                name,
                url,
                key=key,
                ranges=ranges,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._timeout.sock_connect, sock_read=idle),
                middlewares=lease.middlewares,
            )
            try:
                yield answer
            finally:
                answer.close()
        finally:
            lease.in_flight -= 1
            if lease.is_retired and not lease.in_flight:
                await lease.aclose()

    async def _lease(self, *, is_own: bool) -> OpenSession:
        borrowed = self._for_storage if is_own else self._borrowed
        lease = borrowed or self._sessions.get(asyncio.get_running_loop())
        # One of ours may have been closed by its loop on the way out, and is replaced; the caller's is never replaced.
        if lease is None or (lease.session.closed and lease is not borrowed):
            lease = await self._open()
        if lease.session.closed:
            raise errors.ConfigurationError("the session that was passed is closed: keep it open, or pass none")
        return lease

    def _url(self, path: str) -> URL:
        """Return the address of a path below the base URL; half the cost of parsing both as one text."""
        if "?" not in path:
            return self._base.with_path(self._root + path, encoded=True)
        return URL(self._base_url + path, encoded=True)

    async def retire(self) -> None:
        """Send what comes next on fresh connections; the old ones close once their requests have ended.

        A borrowed session keeps its connections: they are its owner's.
        """
        # Before the old ones are closed, which is awaited: who comes meanwhile must find none, and open another.
        own = self._sessions.pop(asyncio.get_running_loop(), None)
        if own is not None:
            own.is_retired = True
            if not own.in_flight:
                await own.aclose()

    async def aclose(self) -> None:
        """Close this loop's connections. Twice is fine, and a later request opens new ones."""
        own = self._sessions.pop(asyncio.get_running_loop(), None)
        if own is not None:
            await own.aclose()

    def __del__(self) -> None:
        """Let go of what nobody closed: warn, and close it on the loop it belongs to."""
        self._forget_closed_loops()
        for loop, own in list(self._sessions.items()):
            # A child that a fork made has its parent's by no doing of its own, and can close none of them.
            if own.session.closed or own.process != os.getpid():
                continue
            warnings.warn(
                f"a client of {self._base_url} was not closed: use `async with KallglotClient(...)`, or aclose()",
                ResourceWarning,
                source=self,
                stacklevel=2,
            )
            if loop.is_running():
                # Perhaps from another thread, or in the middle of the loop's own work: all that is safe is to ask it.
                asyncio.run_coroutine_threadsafe(own.aclose(), loop)

    async def _open(self) -> OpenSession:
        if self._trust_env:
            check_proxy(self._base_url)
        self._forget_closed_loops()
        own = self._sessions[asyncio.get_running_loop()] = OpenSession(self._open_session(), needs_care=self._trust_env)
        await own.guard()
        return own

    def _forget_closed_loops(self) -> None:
        """Let go of sessions whose loop ended without its usual clean-up: they can only be collected now."""
        for loop in [loop for loop in self._sessions if loop.is_closed()]:
            self._sessions.pop(loop).abandon()

    def _open_session(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=Connector(self._max_connections, self._timeout.sock_connect),
            # Views of other organizations share this session: no cookie may come from one and go out for another.
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=self._trust_env,
            headers=COMMON_HEADERS,
            # Classes of its own: aiohttp makes one for each request and answer, which have to find this pool's notes.
            request_class=type("Request", (_Request,), {"reuse": self._reuse, "unsent": self._unsent}),
            response_class=type("Answer", (_Answer,), {"reuse": self._reuse}),
            max_line_size=_LONGEST_LINE,
            max_field_size=_LONGEST_LINE,
            max_headers=_MOST_HEADERS,
        )


async def _read(response: aiohttp.ClientResponse, limit: int, *, is_told: bool) -> bytes | None:
    """Return the body, or None where it is larger than `limit` bytes after decompression; `is_told`: to traces.

    A connection whose answer was read to its end is free for the next request; any other is closed.
    """
    try:
        length = response.content_length
        # Only a body that is not compressed is as long as it says, and can be read without counting.
        if length is None or hdrs.CONTENT_ENCODING in response.headers:
            return await _read_chunks(response, limit)
        if length > limit:
            return None
        # Nearly all are there as a whole, and nothing has to be awaited; but the traces of a session hear `read` alone.
        return response.content.read_nowait() if response.content.is_eof() and not is_told else await response.read()
    except (aiohttp.ClientError, OSError):
        if response.status < 400:
            raise
    finally:
        if not response.closed:
            response.close()
    # Status and headers say what has to be done, a pause above all; only the explanation is lost.
    return b""


async def _read_chunks(response: aiohttp.ClientResponse, limit: int) -> bytes | None:
    chunks: list[bytes] = []
    size = 0
    # Counted as it is unpacked, which aiohttp does without a limit: a megabyte of gzip can be a gigabyte.
    async for chunk in response.content.iter_any():
        size += len(chunk)
        if size > limit:
            return None
        chunks.append(chunk)
    return b"".join(chunks)


def pool_of(
    config: ClientConfig, session: aiohttp.ClientSession | None, download_session: aiohttp.ClientSession | None
) -> SessionPool:
    """Return the pool of a client, or raise `ConfigurationError` where a session is none."""
    for name, given in (("session", session), ("download_session", download_session)):
        if given is not None and not isinstance(given, aiohttp.ClientSession):
            raise errors.ConfigurationError(f"{name} is an aiohttp.ClientSession, not {type(given).__name__}")
    return SessionPool(
        config.base_url,
        max_connections=config.max_connections,
        max_response_bytes=config.max_response_bytes,
        connect_timeout=config.connect_timeout,
        trust_env=config.trust_env,
        session=session,
        download_session=download_session,
    )
