"""Sessions of the caller's: with middlewares, behind a proxy, with a private CA, with a certificate of their own.

Each is an example that can be copied: what stands between the client and the network is aiohttp's to configure.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import traceback
from collections.abc import AsyncIterator
from io import BytesIO
from typing import Any

import aiohttp
import pytest
import trustme
from support.wire_faults import RawServer, analysis, answer, closing

from kallglot_async import ConfigurationError, ConnectionLostError, KallglotClient, ProxyError, TLSError

KEY = "sk_test_canary7Qx2"


def client_of(server: RawServer, **options: Any) -> KallglotClient:
    return KallglotClient(KEY, **({"base_url": server.base_url, "max_attempts": 1, "timeout": 10.0} | options))


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    """A certificate authority that no system knows."""
    return trustme.CA()


@pytest.fixture
def tls(ca: trustme.CA) -> ssl.SSLContext:
    """What a server of that authority speaks."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("127.0.0.1").configure_cert(context)
    return context


# Traces


async def test_a_borrowed_session_hears_in_its_traces_what_is_read() -> None:
    """Also of an answer that is there as a whole, and need not be awaited."""
    pieces: list[bytes] = []

    async def hear(_: object, __: object, params: aiohttp.TraceResponseChunkReceivedParams) -> None:
        pieces.append(params.chunk)

    trace = aiohttp.TraceConfig()
    trace.on_response_chunk_received.append(hear)
    async with (
        RawServer() as server,
        aiohttp.ClientSession(trace_configs=[trace]) as session,
        client_of(server, session=session) as client,
    ):
        found = await client.analyses.retrieve("ana_1")
    assert b"".join(pieces) == found.raw


# Middlewares


async def test_a_borrowed_session_keeps_its_middlewares() -> None:
    """They see each request that the client sends, in their order, and what they add is sent."""
    seen = []

    async def sign(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        seen.append(f"sign {request.method}")
        request.headers["X-Signature"] = "s"
        response = await handler(request)
        seen.append(f"signed {response.status}")
        return response

    async def count(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        seen.append("count")
        return await handler(request)

    async with (
        RawServer() as server,
        aiohttp.ClientSession(middlewares=(sign, count)) as session,
        client_of(server, session=session) as client,
    ):
        await client.analyses.retrieve("ana_1")
    assert seen == ["sign GET", "count", "signed 200"]
    assert b"\r\nX-Signature: s\r\n" in server.requests[0]


async def test_ours_are_there_with_theirs() -> None:
    """A request that lost its connection is not repeated behind the limiter's back."""

    async def passing(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        return await handler(request)

    async with (
        RawServer(closing()) as server,
        aiohttp.ClientSession(middlewares=(passing,)) as session,
        client_of(server, session=session) as client,
    ):
        with pytest.raises(ConnectionLostError):
            await client.analyses.retrieve("ana_1")
        assert len(server.requests) == client.stats.requests == 1


# Certificates


async def test_a_private_ca_is_known_to_a_session(ca: trustme.CA, tls: ssl.SSLContext) -> None:
    """Example: the API behind a TLS inspection. Without it, the certificate is refused, with a hint."""
    async with RawServer(tls=tls) as server:
        async with client_of(server) as client:
            with pytest.raises(TLSError):
                await client.analyses.retrieve("ana_1")
        context = ssl.create_default_context()
        ca.configure_trust(context)  # with a file: context.load_verify_locations("ca.pem")
        async with (
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as session,
            client_of(server, session=session) as client,
        ):
            assert (await client.analyses.retrieve("ana_1")).id == "ana_1"


async def test_a_client_may_have_a_certificate(ca: trustme.CA, tls: ssl.SSLContext) -> None:
    """Example: mTLS. A gateway that asks for a certificate lets in who has one, and nobody else."""
    tls.verify_mode = ssl.CERT_REQUIRED
    ca.configure_trust(tls)
    async with RawServer(tls=tls) as server:
        for has_certificate in (False, True):
            context = ssl.create_default_context()
            ca.configure_trust(context)
            if has_certificate:
                # with files: context.load_cert_chain("client.pem", "client.key")
                ca.issue_cert("client@example.org").configure_cert(context)
            async with (
                aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as session,
                client_of(server, session=session) as client,
            ):
                if has_certificate:
                    assert (await client.wait("ana_1")).id == "ana_1"
                else:
                    with pytest.raises((TLSError, ConnectionLostError)):
                        await client.analyses.retrieve("ana_1")
        assert len(server.requests) == 1


# Proxies


class Proxy:
    """Opens tunnels for those who know its password."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            self.asked.append(head)
            if "Proxy-Authorization: Basic dXNlcjpodXNo" not in head:
                writer.write(b"HTTP/1.1 407 Who\r\nContent-Length: 0\r\n\r\n")
            else:
                host, _, port = head.split(" ")[1].partition(":")
                there, back = await asyncio.open_connection(host, int(port))
                writer.write(b"HTTP/1.1 200 Connected\r\n\r\n")
                await asyncio.gather(pipe(reader, back), pipe(there, writer))
        writer.close()


async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


@contextlib.asynccontextmanager
async def proxying(word: str = "hush") -> AsyncIterator[tuple[Proxy, str]]:
    proxy = Proxy()
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    async with server:
        yield proxy, f"http://user:{word}@127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_a_session_may_go_through_a_proxy(ca: trustme.CA, tls: ssl.SSLContext) -> None:
    """Example: a company's proxy. It opens a tunnel, and never sees the key."""
    context = ssl.create_default_context()
    ca.configure_trust(context)
    async with proxying() as (proxy, address), RawServer(tls=tls) as server:
        async with (
            aiohttp.ClientSession(
                proxy=address,  # http://user:password@host:port
                connector=aiohttp.TCPConnector(ssl=context),
            ) as session,
            client_of(server, session=session) as client,
        ):
            assert (await client.analyses.retrieve("ana_1")).id == "ana_1"
        [asked] = proxy.asked
        assert asked.startswith(f"CONNECT 127.0.0.1:{server.port} HTTP/1.1\r\n")
        assert KEY not in asked


async def test_a_proxy_that_refuses_is_named_without_its_password(ca: trustme.CA, tls: ssl.SSLContext) -> None:
    """And is not taken for the API."""
    async with proxying("wrong") as (_, address), RawServer(tls=tls) as server:
        async with (
            aiohttp.ClientSession(proxy=address) as session,
            client_of(server, session=session) as client,
        ):
            with pytest.raises(ProxyError) as caught:
                await client.analyses.retrieve("ana_1")
        assert caught.value.status == 407
        assert "wrong" not in f"{caught.value} {vars(caught.value)}"
        assert server.requests == []


# The storage


def recording(storage: RawServer) -> bytes:
    link = f"{storage.origin}/audio?signature=1"
    return answer(json.dumps({"id": "rec_1", "object": "recording", "status": "ready", "download_url": link}).encode())


async def test_downloads_may_have_a_session_of_their_own(ca: trustme.CA, tls: ssl.SSLContext) -> None:
    """Example: a storage with a private CA. Its session's headers go there, the API's do not, and it stays open."""
    context = ssl.create_default_context()
    ca.configure_trust(context)
    async with RawServer(answer(b"audio"), tls=tls) as storage, RawServer() as server:
        server.script(recording(storage))
        async with client_of(server) as client:
            with pytest.raises(TLSError):
                await client.recordings.download("rec_1", BytesIO())
        async with (
            aiohttp.ClientSession(
                headers={"X-Storage": "yes"}, connector=aiohttp.TCPConnector(ssl=context)
            ) as downloads,
            aiohttp.ClientSession(headers={"X-API": "yes"}) as session,
        ):
            async with client_of(server, session=session, download_session=downloads) as client:
                target = BytesIO()
                await client.recordings.download("rec_1", target)
                assert target.getvalue() == b"audio"
            assert not downloads.closed
        [request] = storage.requests
        assert b"X-Storage: yes" in request
        assert b"X-API" not in request
        assert KEY.encode() not in request
        assert b"X-Storage" not in b"".join(server.requests)


async def test_a_session_for_downloads_that_cannot_be_used_is_named() -> None:
    """One that is none before any I/O, one that is closed when it is needed."""
    for wrong in (5, "session", object(), aiohttp.ClientSession):
        with pytest.raises(ConfigurationError, match="download_session is an aiohttp"):
            KallglotClient(KEY, download_session=wrong)  # type: ignore[arg-type]
    session = aiohttp.ClientSession()
    await session.close()
    async with RawServer(answer(b"audio")) as storage, RawServer() as server:
        server.script(recording(storage), answer(analysis()))
        async with client_of(server, download_session=session) as client:
            with pytest.raises(ConfigurationError, match="closed"):
                await client.recordings.download("rec_1", BytesIO())
            assert (await client.analyses.retrieve("ana_1")).id == "ana_1"  # the API has connections of its own


@pytest.fixture(autouse=True)
def _no_proxy_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)


# What theirs raise


@pytest.mark.parametrize("kind", [LookupError, asyncio.CancelledError])
async def test_what_a_middleware_raises_is_each_ids_own_error(kind: type[BaseException]) -> None:
    """By the class of what was raised, which is the cause; what others have is not lost, and no key is shown."""

    async def picky(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        if request.url.name == "ana_2":
            raise kind("no")
        return await handler(request)

    async with (
        RawServer(*(answer(analysis(id)) for id in ("ana_1", "ana_1", "ana_1"))) as server,
        aiohttp.ClientSession(middlewares=(picky,)) as session,
        client_of(server, session=session) as client,
    ):
        for call in (client.wait_many, client.analyses.retrieve_many):
            outcomes = await call(["ana_1", "ana_2"])
            assert outcomes[0].ok
            error = outcomes[1].error
            assert type(error) is ConfigurationError
            assert f"raised {kind.__name__}" in str(error)
            assert type(error.__cause__) is kind
            shown = traceback.TracebackException.from_exception(error, capture_locals=True)
            assert KEY not in "".join(shown.format())
        assert (client.stats.in_flight, client.stats.waiting_for) == (0, 0)


async def test_authorization_of_a_session_is_named_as_what_is_in_the_way() -> None:
    """It is another one than the key's, and the environment has nothing to do with it."""

    async def other(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        raise ValueError("Cannot combine AUTHORIZATION header with AUTH argument")  # as aiohttp does for auth=

    async with (
        RawServer() as server,
        aiohttp.ClientSession(middlewares=(other,)) as session,
        client_of(server, session=session) as client,
    ):
        with pytest.raises(ConfigurationError, match="auth= of a session of yours"):
            await client.analyses.retrieve("ana_1")
