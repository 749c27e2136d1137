"""Sessions: whose they are, how long each step of connecting may take, and proxies on the way."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest
from support.addresses import Resolver, full_backlog
from support.one_attempt import KEY, OK, assert_holds_nothing_foreign, client_of, failure_of
from support.wire_faults import RawServer, Script, analysis, answer, closing, silent

from kallglot_async import (
    ConfigurationError,
    ConnectError,
    ConnectionLostError,
    KallglotClient,
    ResponseMismatchError,
    ServerError,
)


async def test_a_borrowed_session_is_used_and_never_closed() -> None:
    """A session of the caller's carries the requests and outlives the client."""
    async with RawServer() as server, aiohttp.ClientSession(headers={"X-Mine": "yes"}) as session:
        async with client_of(server, session=session) as client:
            await client.analyses.retrieve("ana_1")
        assert not session.closed
        assert b"\r\nX-Mine: yes\r\n" in server.requests[0]


async def test_a_borrowed_session_keeps_its_connections_after_a_mismatch() -> None:
    """An answer for another id costs the owner of a borrowed session nothing."""
    async with RawServer(answer(analysis("ana_2"))) as server, aiohttp.ClientSession() as session:
        error = await failure_of(server, session=session)
        assert isinstance(error, ResponseMismatchError)
        assert not session.closed


async def test_a_borrowed_session_that_raises_for_status_does_not_hide_the_status() -> None:
    """`raise_for_status=True` on the caller's session turns no 503 into something else."""
    async with (
        RawServer(answer(b"{}", status="503 Unavailable")) as server,
        aiohttp.ClientSession(raise_for_status=True) as session,
    ):
        error = await failure_of(server, session=session)
    assert isinstance(error, ServerError)
    assert error.status == 503


async def test_a_borrowed_session_that_is_closed_is_a_configuration_error() -> None:
    """A public call raises our own errors only, also where the caller's session is closed already."""
    session = aiohttp.ClientSession()
    await session.close()
    async with RawServer() as server, client_of(server, session=session) as client:
        with pytest.raises(ConfigurationError):
            await client.analyses.retrieve("ana_1")
        assert client.rate_limit.in_flight == 0


# Once and only once


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
@pytest.mark.parametrize("reused", [False, True], ids=["fresh", "reused"])
@pytest.mark.parametrize("attempts", [1, 3])
async def test_a_lost_connection_costs_exactly_the_counted_requests(reset: bool, reused: bool, attempts: int) -> None:
    """aiohttp's own second GET does not happen: the server sees each counted attempt once."""
    scripts: list[Script] = [OK] * reused + [closing(reset=reset)]
    async with (
        RawServer(*scripts) as server,
        client_of(server, max_attempts=attempts, random=lambda: 0.0) as client,
    ):
        if reused:
            await client.analyses.retrieve("ana_1")
        with pytest.raises(ConnectionLostError) as caught:
            await client.analyses.retrieve("ana_1")
        assert caught.value.attempts == len(caught.value.history) == attempts
        assert len(server.requests) == reused + attempts


@pytest.mark.looptime
async def test_connecting_that_hangs_ends_with_the_connect_timeout() -> None:
    """`connect_timeout` ends an attempt that gets no connection, well before the call's own deadline."""
    with full_backlog() as base_url:
        started = asyncio.get_running_loop().time()
        error = await failure_of(base_url, connect_timeout=4.0)
        assert isinstance(error, ConnectError)
        assert asyncio.get_running_loop().time() - started == pytest.approx(4.0, abs=0.1)
    assert_holds_nothing_foreign(error)


@pytest.mark.looptime
async def test_a_name_look_up_that_hangs_ends_with_the_connect_timeout() -> None:
    """`connect_timeout` covers name resolution, as its documentation says."""
    loop = asyncio.get_running_loop()
    loop.getaddrinfo = lambda *_, **__: asyncio.Event().wait()  # type: ignore[method-assign]
    started = loop.time()
    error = await failure_of("http://localhost:9/v1", connect_timeout=4.0, timeout=30.0)
    assert loop.time() - started == pytest.approx(4.0, abs=0.1)
    assert isinstance(error, ConnectError)


async def test_a_dead_address_beside_a_live_one_does_not_matter() -> None:
    """IPv6 where nobody listens, IPv4 where the server is: the request succeeds."""
    async with RawServer() as server:
        connector = aiohttp.TCPConnector(resolver=Resolver("::1", "127.0.0.1"))
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            client_of(f"http://localhost:{server.port}/v1", session=session) as client,
        ):
            assert (await client.analyses.retrieve("ana_1")).id == "ana_1"


@pytest.mark.looptime
async def test_a_handshake_that_hangs_ends_with_the_connect_timeout() -> None:
    """A port that never answers the TLS handshake: a `ConnectError` after `connect_timeout`."""
    async with RawServer() as server:
        started = asyncio.get_running_loop().time()
        error = await failure_of(f"https://127.0.0.1:{server.port}/v1", connect_timeout=4.0)
        assert asyncio.get_running_loop().time() - started == pytest.approx(4.0, abs=0.1)
        assert server.requests == []
    assert isinstance(error, ConnectError)


async def test_the_environments_proxy_is_ignored_by_default(environment: pytest.MonkeyPatch) -> None:
    """Without `trust_env` no proxy sees a request."""
    async with RawServer() as proxy, RawServer() as server:
        environment.setenv("HTTP_PROXY", proxy.origin)
        async with client_of(server) as client:
            await client.analyses.retrieve("ana_1")
        assert (proxy.connections, len(server.requests)) == (0, 1)


async def test_the_environments_proxy_is_used_where_it_is_trusted(environment: pytest.MonkeyPatch) -> None:
    """With `trust_env` the request goes through the proxy."""
    async with RawServer() as proxy, RawServer() as server:
        environment.setenv("HTTP_PROXY", proxy.origin)
        async with client_of(server, trust_env=True) as client:
            await client.analyses.retrieve("ana_1")
        assert (len(proxy.requests), server.connections) == (1, 0)


@pytest.mark.looptime
@pytest.mark.parametrize("timeout", [30.0, None])
async def test_a_proxy_that_does_not_answer_connect_ends_with_the_connect_timeout(
    environment: pytest.MonkeyPatch, timeout: float | None
) -> None:
    """It took the whole of the call's time; without any, for ever."""
    async with RawServer(silent) as proxy:
        environment.setenv("HTTPS_PROXY", proxy.origin)
        url = "https://api.kallglot.invalid/v1"
        started = asyncio.get_running_loop().time()
        error = await failure_of(url, trust_env=True, connect_timeout=4.0, timeout=timeout)
        assert asyncio.get_running_loop().time() - started == pytest.approx(4.0, abs=0.1)
        assert len(proxy.requests) == 1
    assert isinstance(error, ConnectError)
    assert_holds_nothing_foreign(error)


@pytest.mark.parametrize("scheme", ["socks5", "SOCKS5h", "ftp"])
async def test_a_proxy_of_another_kind_is_a_configuration_error(environment: pytest.MonkeyPatch, scheme: str) -> None:
    """Not a proxy that cannot be reached; and where none is asked, it is none."""
    async with RawServer() as server:
        environment.setenv("HTTP_PROXY", f"{scheme}://me:secret@127.0.0.1:9")
        error = await failure_of(server, trust_env=True)
        assert isinstance(error, ConfigurationError)
        assert "speaks no HTTP" in str(error)
        assert "secret" not in f"{error!r}{error}{vars(error)}"
        environment.setenv("NO_PROXY", "127.0.0.1")
        async with client_of(server, trust_env=True) as client:
            await client.analyses.retrieve("ana_1")


@pytest.mark.parametrize(
    "proxy", ["me:secret@127.0.0.1:9", "localhost:9", "http:localhost:9", "http://127.1:9", "secret"]
)
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_proxy_without_a_scheme_is_a_configuration_error(
    environment: pytest.MonkeyPatch, scheme: str, proxy: str
) -> None:
    """Other programs take a host and a port; a second try, or a wait, would find nothing else."""
    environment.setenv(f"{scheme.upper()}_PROXY", proxy)
    async with KallglotClient(KEY, base_url=f"{scheme}://127.0.0.1:9/v1", trust_env=True) as client:
        for call in (client.analyses.retrieve("ana_1"), client.wait("ana_1", timeout=2.0)):
            with pytest.raises(ConfigurationError, match=r"proxy.*http://host:port") as caught:
                await call
            assert "secret" not in f"{caught.value!r}{caught.value}"
            assert_holds_nothing_foreign(caught.value)
        assert client.rate_limit.in_flight == 0
