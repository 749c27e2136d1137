"""The fault table, row by row: each fault meets the real client over loopback sockets.

A row is one test with several cases; `fault_bench.py` demands of every case what holds for all rows. The run
ends with the table of what the client did.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import resource
import socket
import ssl
import time
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from typing import Any

import aiohttp
import anyio
import msgspec
import pytest
import trustme
from support.addresses import Resolver, full_backlog
from support.audio import AUDIO, OFFERED, cut, known, part, redirect
from support.fault_bench import KEY, Bench, BenchOf, Case, Matrix, create, retrieve, wait
from support.wire_faults import Connection, Fault, RawServer, Script, analysis, answer, closing, dripping, late, silent

from kallglot_async import (
    APIError,
    AuthenticationError,
    ConflictError,
    ConnectError,
    ConnectionLostError,
    InsufficientCreditsError,
    InvalidRequestError,
    KallglotError,
    NotAttemptedError,
    NotFoundError,
    PermissionDeniedError,
    ProtocolError,
    ProxyError,
    RateLimitedError,
    RequestTimeoutError,
    ResponseBodyError,
    ResponseMismatchError,
    ResponseSchemaError,
    ResponseTooLargeError,
    ServerError,
    TLSError,
    UnexpectedRedirectError,
    WaitTimeoutError,
)
from kallglot_async.emulator import Latency
from kallglot_async.emulator.faults.bodies import gzip_bomb

MATRIX = Matrix()
HALF_A_MINUTE = 8
"""Requests after which a wait ends whose client was answered by a gateway alone, and for so long."""
case, transient, lasting, harmless = MATRIX.case, MATRIX.transient, MATRIX.lasting, MATRIX.harmless
OK = answer(analysis())


def now() -> float:
    return asyncio.get_running_loop().time()


@contextlib.contextmanager
def lasts(seconds: float, *, within: float = 0.2) -> Iterator[None]:
    """The block takes so many seconds of the loop's clock, however it ends."""
    started = now()
    yield
    assert now() - started == pytest.approx(seconds, abs=within)


# connect


@case("connect", "name does not resolve")
async def _(bench: Bench) -> None:
    async def look_up(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    asyncio.get_running_loop().getaddrinfo = look_up  # type: ignore[assignment,method-assign]
    client = await bench.client("https://kallglot.invalid/v1")
    error = await bench.fails(ConnectError, retrieve(client, "ana_1"), attempts=3)
    assert "kallglot.invalid does not resolve" in str(error)


@case("connect", "look-up hangs")
async def _(bench: Bench) -> None:
    asyncio.get_running_loop().getaddrinfo = lambda *_, **__: asyncio.Event().wait()  # type: ignore[method-assign]
    client = await bench.client("https://kallglot.invalid/v1", connect_timeout=2.0)
    with lasts(6.0):
        error = await bench.fails(ConnectError, retrieve(client, "ana_1"), attempts=3)
    assert "kallglot.invalid" in str(error)


@case("connect", "refused")
async def _(bench: Bench) -> None:
    server = await bench.server()
    server.stop_listening()
    client = await bench.client(server)
    error = await bench.fails(ConnectError, create(client, "ana_1"), attempts=3, idempotency_key=None)
    assert f"127.0.0.1:{server.port}" in str(error)
    assert "refused" in str(error)
    assert bench.requests == 0


@case("connect", "refused at first, then there")
async def _(bench: Bench) -> None:
    server = await bench.server()
    server.stop_listening()
    client = await bench.client(server, random=lambda: 1.0)
    call = asyncio.create_task(create(client, "ana_1"))
    await asyncio.sleep(1.0)  # attempts at 0, 0.5 and 1.5 s
    await bench.server(port=server.port)
    await bench.succeeds(call)
    assert bench.requests == 1


@case("connect", "unreachable")
async def _(bench: Bench) -> None:
    # A multicast address takes no TCP connection: the kernel says so without sending anything.
    client = await bench.client("https://224.0.0.1/v1", connect_timeout=1.0)
    error = await bench.fails(ConnectError, retrieve(client, "ana_1"), attempts=3)
    assert "unreachable" in str(error) or "too long" in str(error)


@case("connect", "hangs, ended by connect_timeout")
async def _(bench: Bench) -> None:
    with full_backlog() as base_url:
        client = await bench.client(base_url, connect_timeout=4.0)
        with lasts(12.0):
            error = await bench.fails(ConnectError, retrieve(client, "ana_1"), attempts=3)
    assert "connecting took too long" in str(error)


@case("connect", "hangs, ended by the deadline")
async def _(bench: Bench) -> None:
    with full_backlog() as base_url:
        client = await bench.client(base_url, connect_timeout=4.0, timeout=6.0)
        with lasts(6.0):
            await bench.fails(RequestTimeoutError, retrieve(client, "ana_1"), attempts=2, timeout=6.0)


@case("connect", "hangs, during a wait")
async def _(bench: Bench) -> None:
    with full_backlog() as base_url:
        client = await bench.client(base_url, connect_timeout=4.0)
        with lasts(5.0):
            await bench.fails(WaitTimeoutError, client.wait("ana_1", timeout=5.0), last_status=None)


@contextlib.contextmanager
def no_descriptors() -> Iterator[Callable[[], None]]:
    """This process may open nothing more; gives what ends that early."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

    def restore() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    resource.setrlimit(resource.RLIMIT_NOFILE, (1, hard))
    try:
        yield restore
    finally:
        restore()


@case("connect", "descriptors exhausted for ever")
async def _(bench: Bench) -> None:
    server = await bench.server()
    client = await bench.client(server)
    with no_descriptors():
        error = await bench.fails(ConnectError, retrieve(client, "ana_1"), attempts=3)
    assert "too many open files" in str(error)
    assert bench.requests == 0
    await retrieve(client, "ana_1")


@case("connect", "descriptors exhausted for a second")
async def _(bench: Bench) -> None:
    server = await bench.server()
    client = await bench.client(server, random=lambda: 1.0)
    with no_descriptors() as restore:
        asyncio.get_running_loop().call_later(1.0, restore)
        await bench.succeeds(retrieve(client, "ana_1"))
    assert bench.requests == 1


@case("connect", "dead IPv6 beside live IPv4")
async def _(bench: Bench) -> None:
    server = await bench.server()
    connector = aiohttp.TCPConnector(resolver=Resolver("::1", "127.0.0.1"))
    async with aiohttp.ClientSession(connector=connector) as session:
        client = await bench.client(f"http://localhost:{server.port}/v1", session=session)
        await bench.succeeds(retrieve(client, "ana_1"))
    assert bench.requests == 1


@MATRIX.of("connect")
async def test_connect(case: Case, bench_of: BenchOf) -> None:
    """No connection: retried, then a connection error that says why, and never later than the deadline."""
    await bench_of("connect", case)


# TLS


AUTHORITY = trustme.CA()


def certificate(*names: str, **life: Any) -> ssl.SSLContext:
    """A server's context with a certificate of the test's authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    AUTHORITY.issue_cert(*names, **life).configure_cert(context)
    return context


@contextlib.asynccontextmanager
async def trusting() -> AsyncIterator[aiohttp.ClientSession]:
    """A session that trusts the test's authority."""
    context = ssl.create_default_context()
    AUTHORITY.configure_trust(context)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as session:
        yield session


async def refused_by_tls(bench: Bench, server: RawServer | str, told: str, **options: Any) -> None:
    """Once, with a hint, and the request is never sent."""
    client = await bench.client(server, **options)
    error = await bench.fails(TLSError, create(client, "ana_1"), attempts=1, idempotency_key=None)
    assert told in str(error)
    assert "check base_url" in str(error)
    assert bench.requests == 0


@case("TLS", "good certificate")
async def _(bench: Bench) -> None:
    server = await bench.server(tls=certificate("127.0.0.1"))
    async with trusting() as session:
        client = await bench.client(server, session=session)
        await bench.succeeds(retrieve(client, "ana_1"))


@case("TLS", "untrusted")
async def _(bench: Bench) -> None:
    await refused_by_tls(bench, await bench.server(tls=certificate("127.0.0.1")), "issuer")


@case("TLS", "expired")
async def _(bench: Bench) -> None:
    past = datetime.now(UTC) - timedelta(days=1)
    tls = certificate("127.0.0.1", not_before=past - timedelta(days=30), not_after=past)
    async with trusting() as session:
        await refused_by_tls(bench, await bench.server(tls=tls), "expired", session=session)


@case("TLS", "wrong host")
async def _(bench: Bench) -> None:
    async with trusting() as session:
        server = await bench.server(tls=certificate("elsewhere.example"))
        await refused_by_tls(bench, server, "not valid for '127.0.0.1'", session=session)


@case("TLS", "spoken to a plain port")
async def _(bench: Bench) -> None:
    emulator = await bench.emulator()
    await refused_by_tls(bench, emulator.base_url.replace("http:", "https:"), "TLS")


@case("TLS", "plain HTTP spoken to a TLS port")
async def _(bench: Bench) -> None:
    server = await bench.server(tls=certificate("127.0.0.1"))
    client = await bench.client(server.base_url.replace("https:", "http:"))
    # The alert that the port answers is no HTTP; whether it or the close is seen first is the kernel's choice.
    await bench.fails_with((ProtocolError, ConnectionLostError), retrieve(client, "ana_1"), attempts=3)


@case("TLS", "no common version")
async def _(bench: Bench) -> None:
    async def alert(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(65536)
        writer.write(b"\x15\x03\x03\x00\x02\x02\x46")  # a fatal alert: protocol_version
        writer.close()

    async with await asyncio.start_server(alert, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        await refused_by_tls(bench, f"https://127.0.0.1:{port}/v1", "TLSV1_ALERT_PROTOCOL_VERSION")


@case("TLS", "closed in the handshake")
async def _(bench: Bench) -> None:
    accepted = 0

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal accepted
        accepted += 1
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        client = await bench.client(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1")
        await bench.fails_with((ConnectError, ConnectionLostError), retrieve(client, "ana_1"), attempts=3)
    assert accepted == 3


@case("TLS", "handshake hangs")
async def _(bench: Bench) -> None:
    server = await bench.server(silent)  # the handshake is no request: not even its head comes to an end
    client = await bench.client(server.base_url.replace("http:", "https:"), connect_timeout=2.0)
    with lasts(6.0):
        await bench.fails(ConnectError, retrieve(client, "ana_1"), attempts=3)


@case("TLS", "ends a batch? no: every id is told")
async def _(bench: Bench) -> None:
    server = await bench.server(tls=certificate("127.0.0.1"))
    client = await bench.client(server)
    outcomes = await bench.succeeds(client.wait_many(["ana_1", "ana_2", "ana_3"]))
    assert [type(outcome.error) for outcome in outcomes] == [TLSError] * 3


@case("TLS", "closed in the handshake, as by a balancer that has too much to do")
async def _(bench: Bench) -> None:
    async def close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.write(bytes([21, 3, 3, 0, 2, 1, 0]))  # the alert close_notify (RFC 8446, 6.1)
        writer.close()

    async with await asyncio.start_server(close, "127.0.0.1", 0) as server:
        client = await bench.client(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1")
        await bench.fails(ConnectError, create(client, "ana_1"), attempts=3, idempotency_key=None)


@case("TLS", "expires in the middle of a wait, and is renewed")
async def _(bench: Bench) -> None:
    past = datetime.now(UTC) - timedelta(days=1)
    tls = certificate("127.0.0.1")
    async with trusting() as session:
        server = await bench.server(answer(analysis(status="processing"), "Connection: close"), tls=tls)
        client = await bench.client(server, session=session)
        waiting = asyncio.create_task(client.wait("ana_1", timeout=120.0))
        await asyncio.sleep(1.0)
        AUTHORITY.issue_cert("127.0.0.1", not_before=past - timedelta(days=30), not_after=past).configure_cert(tls)
        await bench.fails(TLSError, retrieve(client, "ana_1"), attempts=1)
        seen = bench.requests
        await asyncio.sleep(30.0)
        assert bench.requests == seen
        AUTHORITY.issue_cert("127.0.0.1").configure_cert(tls)
        server.heal()
        assert (await bench.succeeds(waiting)).is_complete


@MATRIX.of("TLS")
async def test_tls(case: Case, bench_of: BenchOf) -> None:
    """A certificate or handshake that is not acceptable: one attempt, a TLS error with a hint, but in a wait."""
    await bench_of("TLS", case)


# proxy


async def behind(bench: Bench, port: int, **options: Any) -> Any:
    """A client of the API behind the proxy at this port, which wants a password."""
    bench.environment.setenv("HTTPS_PROXY", f"http://me:hunter2@127.0.0.1:{port}")
    return await bench.client("https://api.kallglot.invalid/v1", trust_env=True, **options)


@case("proxy", "refused")
async def _(bench: Bench) -> None:
    proxy = await bench.server()
    proxy.stop_listening()
    client = await behind(bench, proxy.port)
    error = await bench.fails(ProxyError, create(client, "ana_1"), attempts=3, status=None, idempotency_key=None)
    assert error.proxy == f"127.0.0.1:{proxy.port}"
    assert error.proxy in str(error)
    assert "hunter2" not in f"{error!r}{error}{vars(error)}"


@case("proxy", "hangs on CONNECT")
async def _(bench: Bench) -> None:
    proxy = await bench.server(silent)
    client = await behind(bench, proxy.port, timeout=5.0)
    with lasts(5.0):
        await bench.fails(RequestTimeoutError, retrieve(client, "ana_1"), attempts=1)


@case("proxy", "hangs up on CONNECT")
async def _(bench: Bench) -> None:
    proxy = await bench.server(closing())
    client = await behind(bench, proxy.port)
    await bench.fails_with((ConnectError, ConnectionLostError, ProxyError), retrieve(client, "ana_1"), attempts=3)
    assert bench.requests == 3


@case("proxy", "accepts, then the tunnel ends")
async def _(bench: Bench) -> None:
    proxy = await bench.server(closing(b"HTTP/1.1 200 Connection established\r\n\r\n"))
    client = await behind(bench, proxy.port)
    await bench.fails_with((ConnectError, ConnectionLostError, ProxyError), retrieve(client, "ana_1"), attempts=3)


def _connect_is_refused(status: int) -> Callable[[Bench], Awaitable[None]]:
    async def run(bench: Bench) -> None:
        proxy = await bench.server(answer(b"", "Proxy-Authenticate: Basic", status=f"{status} No"))
        client = await behind(bench, proxy.port)
        error = await bench.fails(ProxyError, create(client, "ana_1"), attempts=1, status=status, idempotency_key=None)
        assert proxy.requests[0].startswith(b"CONNECT api.kallglot.invalid:443 ")
        assert KEY.encode() not in proxy.requests[0]
        assert "hunter2" not in f"{error!r}{error}{vars(error)}"

    return run


for _status in (407, 401, 402, 403, 404, 429):
    case("proxy", f"{_status} on CONNECT")(_connect_is_refused(_status))


@case("proxy", "503 on CONNECT")
async def _(bench: Bench) -> None:
    proxy = await bench.server(answer(b"", status="503 No route to the API"))
    client = await behind(bench, proxy.port)
    await bench.fails(ProxyError, create(client, "ana_1"), attempts=3, status=503, idempotency_key=None)
    assert bench.requests == 3


@case("proxy", "403 on CONNECT ends no batch")
async def _(bench: Bench) -> None:
    proxy = await bench.server(answer(b"", status="403 No"))
    client = await behind(bench, proxy.port)
    outcomes = await bench.succeeds(client.wait_many(["ana_1", "ana_2"]))
    assert [type(outcome.error) for outcome in outcomes] == [ProxyError] * 2


@MATRIX.of("proxy")
async def test_proxy(case: Case, bench_of: BenchOf) -> None:
    """A proxy's refusal is typed, shows no password, and is never read as the API's own status."""
    await bench_of("proxy", case)


# loss: `transient` runs each against a GET, a POST and a poll


LOSSES: dict[str, Fault] = {
    "reset before any byte": Fault(kind="reset"),
    "closed before any byte": Fault(kind="close"),
    "reset in the headers": Fault(kind="reset_in_head"),
    "reset in the body": Fault(kind="reset_in_body"),
    "body shorter than its length": Fault(kind="cut_body"),
    "chunked body cut": Fault(kind="cut_chunked"),
}

for _name, _fault in LOSSES.items():
    transient("loss", _name, ConnectionLostError, _fault)


def _on_a_reused_connection(fault: Fault) -> Callable[[Bench], Awaitable[None]]:
    async def run(bench: Bench) -> None:
        emulator = await bench.emulator()
        client = await bench.client(emulator)
        await retrieve(client, bench.id)
        emulator.add_fault(fault)
        await bench.fails(ConnectionLostError, retrieve(client, bench.id), attempts=3)
        assert bench.requests == 4

    return run


def _lost_create(fault: Fault) -> Callable[[Bench], Awaitable[None]]:
    async def run(bench: Bench) -> None:
        emulator = await bench.emulator()
        emulator.add_fault(Fault(kind=fault.kind, takes_effect=True, times=2))
        client = await bench.client(emulator)
        created = await bench.succeeds(create(client, ""))
        assert [record.id for record in emulator.analyses()] == [bench.id, created.id]
        assert len({entry.idempotency_key for entry in emulator.journal}) == 1
        assert bench.requests == 3

    return run


def _create_of_unknown_outcome(fault: Fault) -> Callable[[Bench], Awaitable[None]]:
    async def run(bench: Bench) -> None:
        emulator = await bench.emulator()
        emulator.add_fault(Fault(kind=fault.kind, takes_effect=True))
        client = await bench.client(emulator)
        error = await bench.fails(ConnectionLostError, create(client, ""), attempts=3)
        assert error.idempotency_key == emulator.journal[0].idempotency_key
        assert f"repeat safely with idempotency_key={error.idempotency_key!r}" in str(error)
        emulator.clear_faults()
        again = await client.analyses.create("sess_1", analyses=["summary"], idempotency_key=error.idempotency_key)
        assert [record.id for record in emulator.analyses()] == [bench.id, again.id]

    return run


for _name, _fault in LOSSES.items():
    case("loss", f"{_name}, on a reused connection")(_on_a_reused_connection(_fault))
    case("loss", f"{_name}, after the server created it")(_lost_create(_fault))
    case("loss", f"{_name}, whether it was created stays unknown")(_create_of_unknown_outcome(_fault))


def _cut_anywhere(*, reset: bool) -> Callable[[Bench], Awaitable[None]]:
    async def run(bench: Bench) -> None:
        # Every byte of an answer is a place where it can end; the server counts what arrived.
        for place in range(0, len(OK), 7):
            cut = closing(OK[:place], reset=reset)
            server = await bench.server(cut, cut, OK)
            client = await bench.client(server)
            await retrieve(client, "ana_1")
            assert len(server.requests) == 3
        bench.did.append("success")

    return run


case("loss", "reset at every seventh byte, twice")(_cut_anywhere(reset=True))
case("loss", "closed at every seventh byte, twice")(_cut_anywhere(reset=False))


@MATRIX.of("loss")
async def test_loss(case: Case, bench_of: BenchOf) -> None:
    """A connection that ends too early costs exactly the counted requests, and is retried with one key."""
    await bench_of("loss", case)


# slow


SLOW: dict[str, Fault] = {
    "no answer": Fault(kind="hang"),
    "one byte of the body a second": Fault(kind="drip", interval=1.0),
    "one byte of the headers a second": Fault(kind="drip_head", interval=1.0),
    "answer after 99 s": Fault(kind="slow", delay=99.0),
}


def _ended_by_the_deadline(fault: Fault, call: Any) -> Callable[[Bench], Awaitable[None]]:
    async def run(bench: Bench) -> None:
        emulator = await bench.emulator(fault)
        client = await bench.client(emulator, timeout=5.0)
        with lasts(5.0):
            error = await bench.fails(RequestTimeoutError, call(client, bench.id), attempts=1, timeout=5.0)
        assert (error.idempotency_key is not None) == (call is create)
        assert bench.requests == 1
        emulator.clear_faults()
        await retrieve(client, bench.id)

    return run


def _slow_poll(fault: Fault) -> Callable[[Bench], Awaitable[None]]:
    async def run(bench: Bench) -> None:
        emulator = await bench.emulator(fault)
        client = await bench.client(emulator, timeout=5.0)
        with lasts(40.0):
            await bench.fails_with((WaitTimeoutError, RequestTimeoutError), client.wait(bench.id, timeout=40.0))

    return run


def _slow_once(fault: Fault) -> Callable[[Bench], Awaitable[None]]:
    async def run(bench: Bench) -> None:
        emulator = await bench.emulator(msgspec.structs.replace(fault, times=1))
        client = await bench.client(emulator, timeout=5.0)
        await bench.succeeds(client.wait(bench.id, timeout=60.0))
        assert bench.requests == 2

    return run


for _name, _fault in SLOW.items():
    case("slow", f"{_name}, retrieve")(_ended_by_the_deadline(_fault, retrieve))
    case("slow", f"{_name}, create")(_ended_by_the_deadline(_fault, create))
    case("slow", f"{_name} to one poll of a wait")(_slow_once(_fault))


@case("slow", "no answer to any poll of a wait")
async def _(bench: Bench) -> None:
    emulator = await bench.emulator(Fault(kind="hang"))
    client = await bench.client(emulator, timeout=30.0)
    with lasts(20.0):
        await bench.fails(WaitTimeoutError, client.wait(bench.id, timeout=20.0), last_status=None)


@case("slow", "one byte at a time, in time")
async def _(bench: Bench) -> None:
    client = await bench.client(await bench.server(dripping(OK, 0.05)))
    with lasts(0.05 * len(OK), within=0.5):
        await bench.succeeds(retrieve(client, "ana_1"))
    assert bench.requests == 1


@case("slow", "answer after 3 s, in time")
async def _(bench: Bench) -> None:
    client = await bench.client(await bench.server(late(OK, 3.0)))
    with lasts(3.0):
        await bench.succeeds(retrieve(client, "ana_1"))


@case("slow", "the end of an unsized body is not noticed")
async def _(bench: Bench) -> None:
    async def never_close(connection: Connection) -> None:
        await connection.send(b"HTTP/1.1 200 OK\r\n\r\n" + analysis())
        await silent(connection)

    client = await bench.client(await bench.server(never_close), timeout=5.0)
    with lasts(5.0):
        await bench.fails(RequestTimeoutError, retrieve(client, "ana_1"), attempts=1)


@case("slow", "silence for a minute, without a deadline")
async def _(bench: Bench) -> None:
    client = await bench.client(await bench.server(silent, OK), timeout=None)
    with lasts(60.0, within=1.0):
        await bench.succeeds(retrieve(client, "ana_1"))
    assert bench.requests == 2


@case("slow", "loop blocked past the deadline, then cancelled", is_virtual=False)
async def _(bench: Bench) -> None:
    emulator = await bench.emulator(Fault(kind="hang"))
    client = await bench.client(emulator, timeout=1.0)
    task = asyncio.create_task(retrieve(client, bench.id))
    while not bench.requests:  # noqa: ASYNC110  # until it is on its way: a busy machine takes a while for that
        await asyncio.sleep(0)
    time.sleep(1.0)  # noqa: ASYNC251  # blocking the loop is the subject
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    bench.did.append("CancelledError")
    assert bench.requests == 1


@MATRIX.of("slow")
async def test_slow(case: Case, bench_of: BenchOf) -> None:
    """Slowness is stopped by the deadline; where time is left, the request is repeated."""
    await bench_of("slow", case)


# status


lasting("status", "401", AuthenticationError, Fault(kind="status", status=401), status=401)
lasting("status", "402", InsufficientCreditsError, Fault(kind="status", status=402), status=402)
lasting("status", "403", PermissionDeniedError, Fault(kind="status", status=403), status=403)
lasting("status", "404", NotFoundError, Fault(kind="status", status=404), in_wait=2, status=404)
for _code in (400, 422):
    _body = '{"error":{"code":"parameter_invalid","message":"no","param":"include[0]","request_id":"req_1"}}'
    lasting(
        "status",
        str(_code),
        InvalidRequestError,
        Fault(kind="status", status=_code, body=_body),
        param="include[0]",
        request_id="req_1",
        code="parameter_invalid",
    )
lasting("status", "409 of another kind", ConflictError, Fault(kind="status", status=409, body="{}"), code=None)
lasting("status", "redirect", UnexpectedRedirectError, Fault(kind="redirect"), status=302)
for _code in (500, 502, 503, 504):
    transient(
        "status", str(_code), ServerError, Fault(kind="status", status=_code), in_wait=HALF_A_MINUTE, status=_code
    )


def _ends_the_batch(status: int, kind: type[APIError], how: str) -> Callable[[Bench], Awaitable[None]]:
    async def run(bench: Bench) -> None:
        emulator = await bench.emulator(latency=Latency.uniform(50.0, 60.0))
        ids = emulator.seed_analyses(200)
        emulator.add_fault(Fault(kind="status", status=status, after=20))
        client = await bench.client(emulator, max_connections=4, max_in_flight=4)
        many = client.wait_many if how == "wait_many" else client.analyses.retrieve_many
        outcomes = await bench.succeeds(many(ids))
        assert [outcome.id for outcome in outcomes] == ids
        told = {type(outcome.error) for outcome in outcomes if outcome.error is not None}
        assert told == {kind, NotAttemptedError}
        assert bench.requests <= 20 + 4 + 1  # the first is one id's own matter until another hears the same

    return run


for _code, _kind in ((401, AuthenticationError), (403, PermissionDeniedError)):
    for _how in ("wait_many", "retrieve_many"):
        case("status", f"{_code} in the middle of {_how}")(_ends_the_batch(_code, _kind, _how))


@case("status", "402: what is paid for is still waited for")
async def _(bench: Bench) -> None:
    emulator = await bench.emulator(credits=1, revision="b", latency=Latency.uniform(20.0, 20.0))
    client = await bench.client(emulator)
    paid = await client.analyses.create("sess_1", include=["summary"])
    waiting = asyncio.create_task(client.wait(paid.id))
    await asyncio.sleep(1.0)
    await bench.fails(
        InsufficientCreditsError,
        client.analyses.create("sess_2", include=["summary"]),
        attempts=1,
        idempotency_key=None,
    )
    assert (await bench.succeeds(waiting)).is_complete


@case("status", "404 right after the own create")
async def _(bench: Bench) -> None:
    emulator = await bench.emulator(latency=Latency.uniform(20.0, 20.0))
    client = await bench.client(emulator)
    created = await create(client, "")
    emulator.add_fault(Fault(kind="status", status=404, times=2, operation="analyses.retrieve"))
    assert (await bench.succeeds(client.wait(created.id))).is_complete


@case("status", "404 for ever after the own create")
async def _(bench: Bench) -> None:
    emulator = await bench.emulator(latency=Latency.uniform(20.0, 20.0))
    client = await bench.client(emulator)
    created = await create(client, "")
    emulator.add_fault(Fault(kind="status", status=404, operation="analyses.retrieve"))
    started = now()
    await bench.fails(NotFoundError, client.wait(created.id))
    assert now() - started < 60.0


CONFLICT = '{"error":{"code":"idempotency_conflict","type":"invalid_request_error","message":"in progress"}}'


@case("status", "409 idempotency_conflict, twice")
async def _(bench: Bench) -> None:
    fault = Fault(kind="status", status=409, body=CONFLICT, headers={"Retry-After": "4"}, times=2)
    emulator = await bench.emulator(fault)
    client = await bench.client(emulator)
    with lasts(8.0):
        await bench.succeeds(create(client, ""))
    assert len({entry.idempotency_key for entry in emulator.journal}) == 1
    assert bench.requests == 3


@case("status", "409 idempotency_conflict, for ever")
async def _(bench: Bench) -> None:
    emulator = await bench.emulator(Fault(kind="status", status=409, body=CONFLICT, headers={"Retry-After": "4"}))
    client = await bench.client(emulator)
    with lasts(28.0):  # and not for its 30 s: the next answer would come too late
        error = await bench.fails(ConflictError, create(client, ""), attempts=8, code="idempotency_conflict")
    assert error.idempotency_key == emulator.journal[0].idempotency_key


THROTTLED: dict[str, tuple[Any, str, float]] = {
    # fault: (Retry-After, plan, seconds in which nobody sends)
    "429 with Retry-After: 30": (30, "unlimited", 30.0),
    "429 with only X-RateLimit-Reset": (None, "pro", 29.0),
    "429 with neither": (None, "unlimited", 30.0),
    "429 with Retry-After: -1": (-1, "unlimited", 0.0),
    "429 with Retry-After: 1.5": (1.5, "unlimited", 1.5),
    "429 with Retry-After: soon": ("soon", "unlimited", 30.0),
    "429 with an empty Retry-After": ("", "unlimited", 30.0),
    "429 with Retry-After: 9e9": ("9e9", "unlimited", 30.0),
}


def _everybody_pauses(told: Any, plan: str, least: float) -> Callable[[Bench], Awaitable[None]]:
    async def run(bench: Bench) -> None:
        emulator = await bench.emulator(Fault(kind="throttle", retry_after=told, times=1, after=1), plan=plan)
        client = await bench.client(emulator, max_connections=10, max_attempts=1, timeout=None)
        await retrieve(client, bench.id)
        calls = [asyncio.create_task(retrieve(client, bench.id)) for _ in range(3)]
        await asyncio.sleep(0.5)
        calls += [asyncio.create_task(client.wait(bench.id, timeout=None)), asyncio.create_task(create(client, ""))]
        await bench.succeeds(asyncio.gather(*calls))
        [refused] = emulator.journal.requests(status=429)
        later = [entry.at for entry in emulator.journal if entry.at > refused.at]
        assert min(later) - refused.at >= least - 0.01

    return run


for _name, _told in THROTTLED.items():
    case("status", _name)(_everybody_pauses(*_told))


@case("status", "429, the wake-up is spread")
async def _(bench: Bench) -> None:
    emulator = await bench.emulator(plan="pro")
    client = await bench.client(emulator, max_connections=20, timeout=None)
    await retrieve(client, bench.id)
    emulator.add_fault(Fault(kind="throttle", retry_after=10, times=20))
    emulator.add_fault(Fault(kind="slow", delay=1.0))
    await bench.succeeds(asyncio.gather(*(retrieve(client, bench.id) for _ in range(20))))
    assert emulator.journal.refused == 20
    later = sorted(entry.at for entry in emulator.journal)[21:]
    assert later[0] >= 10.0
    assert later[1] >= later[0] + 1.0  # one tests the water, the others follow its answer


@case("status", "429 beyond the deadline")
async def _(bench: Bench) -> None:
    emulator = await bench.emulator(Fault(kind="throttle", retry_after=30))
    client = await bench.client(emulator)
    with lasts(0.0):
        await bench.fails(
            RateLimitedError, client.analyses.retrieve(bench.id, timeout=10.0), status=429, retry_after=30.0
        )
    with lasts(0.0):
        await bench.fails(WaitTimeoutError, client.wait(bench.id, timeout=10.0))
    assert bench.requests == 1


@case("status", "429 with a Retry-After of a week")
async def _(bench: Bench) -> None:
    emulator = await bench.emulator(Fault(kind="throttle", retry_after=604_800))
    client = await bench.client(emulator)
    with lasts(0.0):
        await bench.fails(RateLimitedError, retrieve(client, bench.id), retry_after=86_400.0)


@case("status", "429 with Retry-After as a date")
async def _(bench: Bench) -> None:
    epoch = 1_900_000_000.0
    told = formatdate(epoch + 20, usegmt=True)
    emulator = await bench.emulator(Fault(kind="throttle", retry_after=told, times=1), epoch=epoch)
    client = await bench.client(emulator)
    started = now()
    await bench.succeeds(retrieve(client, bench.id))
    assert 19.0 <= now() - started <= 30.0


PAUSES: dict[str, float] = {"7": 7.0, "2.5": 2.5, "0": 0.0, "-5": 0.0, "soon": 0.0, "": 0.0, "1e3": 0.0, "\u0663": 0.0}


def _pauses(told: str, seconds: float) -> Callable[[Bench], Awaitable[None]]:
    async def run(bench: Bench) -> None:
        head = answer(b"{}", status="503 X").replace(b"\r\n\r\n", b"\r\nRetry-After: " + told.encode() + b"\r\n\r\n")
        await bench.server(head, OK)
        client = await bench.client(bench.servers[-1])
        with lasts(seconds):
            await bench.succeeds(retrieve(client, "ana_1"))
        assert bench.requests == 2

    return run


for _text, _seconds in PAUSES.items():
    case("status", f"503 with Retry-After: {_text!a}")(_pauses(_text, _seconds))


@case("status", "503 with a Retry-After beyond the deadline")
async def _(bench: Bench) -> None:
    emulator = await bench.emulator(Fault(kind="status", headers={"Retry-After": "99999999999"}))
    client = await bench.client(emulator)
    with lasts(0.0):
        await bench.fails(ServerError, create(client, ""), attempts=1, retry_after=86_400.0)


@case("status", "503 for ever, ended by the deadline")
async def _(bench: Bench) -> None:
    emulator = await bench.emulator(Fault(kind="status"))
    client = await bench.client(emulator, random=lambda: 1.0, max_attempts=99, timeout=10.0)
    started = now()
    error = await bench.fails(ServerError, retrieve(client, bench.id), attempts=5)
    assert now() - started <= 10.0
    assert all("503" in line for line in error.history)


@case("status", "redirect to another host: it sees nothing")
async def _(bench: Bench) -> None:
    other = await bench.server()
    server = await bench.server(answer(b"", f"Location: {other.base_url}/", status="307 Moved"))
    client = await bench.client(server)
    await bench.fails(UnexpectedRedirectError, create(client, ""), attempts=1, status=307)
    assert (other.connections, len(server.requests)) == (0, 1)


@MATRIX.of("status")
async def test_status(case: Case, bench_of: BenchOf) -> None:
    """Every status has its class, and only those are repeated that may get better."""
    await bench_of("status", case)


# body


transient("body", "HTML page with 200", ResponseBodyError, Fault(kind="html"), status=200)
transient("body", "HTML page with 502", ServerError, Fault(kind="html", status=502), in_wait=HALF_A_MINUTE, status=502)
transient("body", "empty", ResponseBodyError, Fault(kind="empty"))
transient("body", "broken JSON", ResponseBodyError, Fault(kind="broken_json"))
transient("body", "bad UTF-8", ResponseBodyError, Fault(kind="bad_utf8"))
transient("body", "deep nesting", ResponseBodyError, Fault(kind="deep_json"))
transient("body", "another analysis", ResponseMismatchError, Fault(kind="wrong_id"))
lasting("body", "null", ResponseSchemaError, Fault(kind="null"))
lasting("body", "gzip bomb", ResponseTooLargeError, Fault(kind="gzip_bomb"))

DRIFT: dict[str, dict[str, Any]] = {
    "unknown fields": {"extra": {"deep": [1, None]}, "v2": True},
    "missing optionals": {"results": None, "created_at": None, "session_id": None},
    "nulls for lists": {"results": {"topics": None, "action_items": None, "summary": {"key_points": None}}},
    "85.0 for 85": {"results": {"quality": {"overall_score": 85.0}}},
    "85 for 85.0": {"results": {"sentiment": {"score": 1}}},
    "a naive timestamp": {"created_at": "2026-01-01T00:00:00"},
    "a timestamp that is none": {"created_at": "yesterday"},
    "results that are a list": {"results": ["the caller's secret"]},
    "a metric that is a text": {"results": {"quality": {"score": "85"}}},
}
for _name, _changes in DRIFT.items():
    harmless("body", _name, answer(analysis(**_changes)), then=lambda it: it.id == "ana_1" or pytest.fail(it.id))

WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "a required field missing": ({"status": ...}, "status"),
    "a required field of the wrong type": ({"status": 7}, "status"),
    "an id that is a list": ({"id": ["the caller's secret"]}, "$.id"),
    "an object of another kind": ({"object": "session"}, "object"),
}


def _wrong_shape(changes: dict[str, Any], path: str, call: Any) -> Callable[[Bench], Awaitable[None]]:
    async def run(bench: Bench) -> None:
        await bench.server(answer(analysis(**changes)) if ... not in changes.values() else _without_status())
        client = await bench.client(bench.servers[-1])
        error = await bench.fails(ResponseSchemaError, call(client, "ana_1"), attempts=1)
        assert path in str(error)
        assert "secret" not in f"{error}{error!r}{error.history}"

    return run


def _without_status() -> bytes:
    return answer(analysis().replace(b'"status": "complete", ', b""))


for _name, (_changes, _path) in WRONG.items():
    for _call in (retrieve, create, wait):
        case("body", f"{_name}, {_call.__name__}")(_wrong_shape(_changes, _path, _call))


@case("body", "gzip bomb of a gigabyte: memory")
async def _(bench: Bench) -> None:
    mib = 1024 * 1024
    server = await bench.server(answer(gzip_bomb(1024 * mib), "Content-Encoding: gzip"))
    client = await bench.client(server, max_response_bytes=4 * mib)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        await bench.fails(ResponseTooLargeError, retrieve(client, "ana_1"), attempts=1, limit=4 * mib)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak - before < 2 * 4 * mib


@case("body", "another analysis, then a fresh connection")
async def _(bench: Bench) -> None:
    server = await bench.server(OK, answer(analysis("ana_9")), OK)
    client = await bench.client(server)
    await retrieve(client, "ana_1")
    await bench.succeeds(retrieve(client, "ana_1"))
    assert server.on_connection == [0, 0, 1]


@MATRIX.of("body")
async def test_body(case: Case, bench_of: BenchOf) -> None:
    """A body that cannot be used is a typed error without the body; drift costs nothing."""
    await bench_of("body", case)


# polling


def status(value: str, **changes: Any) -> bytes:
    return answer(analysis(status=value, **({"results": None} | changes)))


@case("polling", "never terminal")
async def _(bench: Bench) -> None:
    server = await bench.server(status("processing"))
    client = await bench.client(server)
    with lasts(120.0):
        await bench.fails(WaitTimeoutError, client.wait("ana_1"), last_status="processing", id="ana_1")


@case("polling", "goes backwards")
async def _(bench: Bench) -> None:
    server = await bench.server(status("processing"), status("queued"), status("processing"), OK, status("queued"))
    client = await bench.client(server)
    assert (await bench.succeeds(client.wait("ana_1"))).is_complete
    assert bench.requests == 4


@case("polling", "settled, then pending again for somebody else")
async def _(bench: Bench) -> None:
    server = await bench.server(OK, status("processing"))
    client = await bench.client(server)
    outcomes = await bench.succeeds(client.wait_many(["ana_1", "ana_1"]))
    assert [outcome.id for outcome in outcomes] == ["ana_1"]
    assert bench.requests == 1


@case("polling", "unknown status")
async def _(bench: Bench) -> None:
    server = await bench.server(status("archiving"), status("ARCHIVING"), OK)
    client = await bench.client(server)
    assert (await bench.succeeds(client.wait("ana_1"))).is_complete
    assert bench.requests == 3


@case("polling", "unknown status for ever")
async def _(bench: Bench) -> None:
    emulator = await bench.emulator(Fault(kind="unknown_status"))
    client = await bench.client(emulator)
    with lasts(30.0):
        await bench.fails(WaitTimeoutError, client.wait(bench.id, timeout=30.0), last_status="archiving")


def _is_final(text: str) -> Callable[[Bench], Awaitable[None]]:
    async def run(bench: Bench) -> None:
        for id in ("ana_1", "anl_1"):
            server = await bench.server(answer(analysis(id, status=text)))
            client = await bench.client(server)
            assert (await bench.succeeds(client.wait(id))).is_complete

    return run


for _text in ("complete", "completed"):
    case("polling", f"status {_text}")(_is_final(_text))


def _cancelled(how: str, seconds: float) -> Callable[[Bench], Awaitable[None]]:
    async def run(bench: Bench) -> None:
        emulator = await bench.emulator(latency=Latency.uniform(1.0, 40.0), rate_limit=(300, 10.0))
        ids = emulator.seed_analyses(1000)
        client = await bench.client(emulator, max_connections=50)
        before = asyncio.all_tasks()
        kept: list[Any] = []

        async def batch() -> None:
            await client.wait_many(ids, on_outcome=kept.append)

        await cancel_by(how, batch, seconds)
        for _ in range(5):
            await asyncio.sleep(0)
        tasks = {task for task in asyncio.all_tasks() - before if "RequestHandler" not in repr(task)}
        assert not tasks
        assert client.rate_limit.in_flight == client.rate_limit.waiting == client.stats.waiting_for == 0
        assert len({outcome.id for outcome in kept}) == len(kept)
        assert all(outcome.analysis is not None for outcome in kept)
        if seconds > 30.0:
            assert len(kept) > 100
        sent = bench.requests
        await asyncio.sleep(60.0)
        assert bench.requests == sent
        outcomes = await bench.succeeds(client.wait_many(ids[:20]))
        assert not outcomes.errors

    return run


async def cancel_by(how: str, call: Callable[[], Awaitable[None]], seconds: float) -> None:
    if how == "scope":
        with anyio.move_on_after(seconds) as scope:
            await call()
        assert scope.cancelled_caught
    elif how == "timeout":
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(seconds):
                await call()
    else:
        task = asyncio.ensure_future(call())
        await asyncio.sleep(seconds)
        if how == "turns":
            for _ in range(int(seconds * 1000) % 97):
                await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


for _how, _seconds in (("task", 0.0), ("turns", 0.011), ("scope", 7.3), ("timeout", 21.7), ("turns", 33.033)):
    _name = f"batch of 1,000 cancelled by {_how} after {_seconds} s"
    case("polling", _name, is_slow=_seconds > 10.0)(_cancelled(_how, _seconds))


@MATRIX.of("polling")
async def test_polling(case: Case, bench_of: BenchOf) -> None:
    """A wait ends with what settled, by its deadline, or by its cancellation, and leaves nothing behind."""
    await bench_of("polling", case)


# outage


@case("outage", "every request fails for a minute, retrieve")
async def _(bench: Bench) -> None:
    emulator = await bench.emulator(Fault(kind="status"))
    client = await bench.client(emulator, max_connections=20)
    offered = 150

    async def call() -> None:
        with pytest.raises(ServerError):
            await retrieve(client, bench.id)

    async with asyncio.TaskGroup() as group:
        for _ in range(offered):
            group.create_task(call())
            await asyncio.sleep(0.4)
    bench.did.append(f"{bench.requests} requests for {offered} calls")
    assert bench.requests == offered + 50
    assert sum(entry.at >= 30.0 for entry in emulator.journal) <= 1.1 * offered / 2
    emulator.clear_faults()
    await bench.succeeds(retrieve(client, bench.id))


@case("outage", "every connection is refused for a minute, create")
async def _(bench: Bench) -> None:
    server = await bench.server()
    server.stop_listening()
    client = await bench.client(server, max_connections=20)
    attempts = 0
    for _ in range(100):
        error = await bench.fails(ConnectError, create(client, ""))
        attempts += error.attempts
    assert attempts == 100 + 50
    bench.did[:] = [f"{attempts} attempts for 100 calls"]


@case("outage", "every poll of a batch fails")
async def _(bench: Bench) -> None:
    emulator = await bench.emulator(Fault(kind="status"))
    ids = emulator.seed_analyses(300)
    client = await bench.client(emulator, max_connections=20)
    with lasts(31.75):  # the API was never heard: one request at a time asks for all
        outcomes = await bench.succeeds(client.wait_many(ids))
    assert [outcome.id for outcome in outcomes] == ids
    assert {type(outcome.error) for outcome in outcomes} == {ServerError}
    assert bench.requests == HALF_A_MINUTE


PASSING: dict[str, Fault] = {
    "503": Fault(kind="status"),
    "520": Fault(kind="html", status=520),
    "499": Fault(kind="html", status=499),
    "425": Fault(kind="html", status=425),
    "a firewall's 403": Fault(kind="html", status=403),
    "an empty 401": Fault(kind="status", status=401, body=""),
    "a proxy's 400": Fault(kind="html", status=400),
    "a gateway's 404": Fault(kind="html", status=404),
    "pages with 200": Fault(kind="html"),
    "resets": Fault(kind="reset"),
    "another's answers": Fault(kind="wrong_id"),
}


def _outlasted(fault: Fault, how: str) -> Callable[[Bench], Awaitable[None]]:
    async def run(bench: Bench) -> None:
        emulator = await bench.emulator()
        client = await bench.client(emulator, random=lambda: 0.5, max_connections=20)
        await retrieve(client, bench.id)
        loop = asyncio.get_running_loop()
        emulator.add_fault(fault)
        loop.call_later(10.0, emulator.clear_faults)
        if how == "wait":
            await bench.succeeds(client.wait(bench.id))
        elif how == "analyze_many":
            found = await bench.succeeds(client.analyze_many([f"sess_{n}" for n in range(30)], analyses=["summary"]))
            assert len(found.analyses) == len(emulator.analyses()) - 1 == 30
        else:
            found = await bench.succeeds(client.wait_many(emulator.seed_analyses(100)))
            assert len(found.analyses) == 100
        bench.did[:] = ["all delivered"]
        assert bench.requests <= 1 + 100 + 50 + 100 + 20

    return run


for _place, (_name, _fault) in enumerate(PASSING.items()):
    for _how in ("wait", "wait_many", "analyze_many"):
        # Every run has each fault once, and the batch, which has many polls to lose, with the first and the last.
        _is_slow = _how != ("wait_many" if _place % 10 == 0 else "wait" if _place % 2 else "analyze_many")
        case("outage", f"ten seconds of {_name} as it begins", call=_how, is_slow=_is_slow)(_outlasted(_fault, _how))


@case("status", "403 for one id of a batch: its own matter")
async def _(bench: Bench) -> None:
    emulator = await bench.emulator()
    ids = emulator.seed_analyses(30)
    emulator.add_fault(Fault(kind="status", status=403, id=ids[7]))
    client = await bench.client(emulator)
    outcomes = await bench.succeeds(client.wait_many(ids))
    assert [type(error) for error in outcomes.errors.values()] == [PermissionDeniedError]
    assert len(outcomes.analyses) == 29


@case("status", "404 of a replica that lags")
async def _(bench: Bench) -> None:
    emulator = await bench.emulator(latency=Latency.uniform(20.0, 20.0))
    client = await bench.client(emulator)
    emulator.add_fault(Fault(kind="status", status=404, after=2, times=3))
    assert (await bench.succeeds(client.wait(bench.id))).is_complete


@case("status", "404 of what another process creates a moment later")
async def _(bench: Bench) -> None:
    emulator = await bench.emulator(Fault(kind="status", status=404, times=1))
    client = await bench.client(emulator)
    with lasts(2.0):
        await bench.succeeds(client.wait(bench.id))


@case("status", "429 with a pause beyond every timeout, met by a batch")
async def _(bench: Bench) -> None:
    emulator = await bench.emulator(Fault(kind="throttle", retry_after=86_400))
    client = await bench.client(emulator)
    ids = emulator.seed_analyses(20)
    with lasts(30.0):
        outcomes = await bench.succeeds(client.wait_many(ids, timeout=30.0))
    assert {type(error) for error in outcomes.errors.values()} == {WaitTimeoutError}
    assert all(error.retry_after > 80_000 for error in outcomes.errors.values())  # type: ignore[attr-defined]
    assert bench.requests == 1
    emulator.clear_faults()


@case("outage", "a minute of it in the middle of a batch", is_slow=True)
async def _(bench: Bench) -> None:
    emulator = await bench.emulator(latency=Latency.uniform(30.0, 60.0))
    ids = emulator.seed_analyses(100)
    client = await bench.client(emulator, max_connections=20)
    loop = asyncio.get_running_loop()
    loop.call_later(20.0, emulator.add_fault, Fault(kind="reset"))
    loop.call_later(80.0, emulator.clear_faults)
    outcomes = await bench.succeeds(client.wait_many(ids, timeout=300.0))
    assert [outcome.id for outcome in outcomes] == ids
    bench.did[:] = [f"{len(outcomes.analyses)} of 100 delivered"]
    assert len(outcomes.analyses) == 100
    # A healthy minute would have taken some 20 looks at each; the retry budget is spent once.
    assert len(emulator.journal.requests(fault="reset")) <= 50 + 6 * 100


@MATRIX.of("outage")
async def test_outage(case: Case, bench_of: BenchOf) -> None:
    """An outage costs at most the retry budget on top of what was offered, and needs no restart."""
    await bench_of("outage", case)


# clock


def _skewed(skew: float, call: str) -> Callable[[Bench], Awaitable[None]]:
    async def run(bench: Bench) -> None:
        emulator = await bench.emulator(clock_skew=skew, plan="pro", latency=Latency.uniform(25.0, 25.0))
        client = await bench.client(emulator)
        if call == "wait":
            started = now()
            assert (await bench.succeeds(client.wait(bench.id))).is_complete
            assert 25.0 <= now() - started <= 40.0
            return
        emulator.add_fault(Fault(kind="throttle", retry_after=None, times=1))
        started = now()
        await bench.succeeds(client.analyses.retrieve(bench.id, timeout=60.0))
        assert 28.0 <= now() - started <= 45.0

    return run


for _skew in (-3600.0, 3600.0):
    case("clock", f"server's clock {_skew:+g} s off, wait")(_skewed(_skew, "wait"))
    case("clock", f"server's clock {_skew:+g} s off, 429 with a reset only")(_skewed(_skew, "throttle"))


def _dated(skew: float) -> Callable[[Bench], Awaitable[None]]:
    async def run(bench: Bench) -> None:
        told = formatdate(time.time() + skew + 10, usegmt=True)
        emulator = await bench.emulator(Fault(kind="status", headers={"Retry-After": told}, times=1), clock_skew=skew)
        client = await bench.client(emulator)
        with lasts(10.0, within=2.1):
            await bench.succeeds(retrieve(client, bench.id))

    return run


for _skew in (-3600.0, 3600.0):
    case("clock", f"server's clock {_skew:+g} s off, Retry-After as a date")(_dated(_skew))


@MATRIX.of("clock")
async def test_clock(case: Case, bench_of: BenchOf) -> None:
    """Waits follow the monotonic clock, and the server's times count only as differences from its `Date`."""
    await bench_of("clock", case)


# download


async def _fetch(bench: Bench, *scripts: Script, size: int | None = None, **options: Any) -> Awaitable[Any]:
    """The call that fetches a recording from a storage with these answers."""
    storage = await bench.server(*scripts)
    client = await bench.client(await bench.server())
    recording = known(f"{storage.origin}/x?sig=1", size=size)
    return client.recordings.download(recording, io.BytesIO(), **options)


@case("download", "lost ten times, each time further on")
async def _(bench: Bench) -> None:
    rest = [
        closing(
            answer(
                AUDIO[start : start + 9000],
                f"Content-Range: bytes {start}-{len(AUDIO) - 1}/{len(AUDIO)}",
                *OFFERED,
                status="206 Partial Content",
                length=len(AUDIO) - start,
            )
        )
        for start in range(9000, 90_001, 9000)
    ]
    got = await bench.succeeds(await _fetch(bench, cut(9000, *OFFERED), *rest, part(99_000)))
    assert (got.bytes_written, got.resumed, got.restarted) == (len(AUDIO), 11, 0)


@case("download", "lost for ever, never further on")
async def _(bench: Bench) -> None:
    await bench.fails(ConnectionLostError, await _fetch(bench, cut(9000)), attempts=3)


for _status, _kind in (("429 Too Many Requests", RateLimitedError), ("503 Service Unavailable", ServerError)):
    _busy = answer(b"", "Retry-After: 20", status=_status)

    @case("download", f"storage answers {_status[:3]} with Retry-After, five times")
    async def _(bench: Bench, busy: bytes = _busy) -> None:
        with lasts(100.0):
            await bench.succeeds(await _fetch(bench, *[busy] * 5, answer(AUDIO)))
        assert bench.requests == 6

    @case("download", f"storage answers {_status[:3]} with Retry-After beyond the deadline")
    async def _(bench: Bench, busy: bytes = _busy, kind: type[KallglotError] = _kind) -> None:
        with lasts(0.0):
            await bench.fails(kind, await _fetch(bench, busy, timeout=19.0), attempts=0, retry_after=20.0)
        assert bench.requests == 1


@case("download", "shorter than the recording, without a length")
async def _(bench: Bench) -> None:
    short = closing(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + AUDIO[:9000])
    await bench.fails(ConnectionLostError, await _fetch(bench, short, size=len(AUDIO)), attempts=3)


@case("download", "shorter than the recording, with a length")
async def _(bench: Bench) -> None:
    await bench.fails(ResponseBodyError, await _fetch(bench, answer(AUDIO[:9000]), size=len(AUDIO)), attempts=3)


@case("download", "storage redirects to an unencrypted host")
async def _(bench: Bench) -> None:
    await bench.fails(UnexpectedRedirectError, await _fetch(bench, redirect("http://storage.example/x")), attempts=1)
    assert bench.requests == 1


@case("download", "storage redirects once")
async def _(bench: Bench) -> None:
    there = await bench.server(answer(AUDIO))
    await bench.succeeds(await _fetch(bench, redirect(f"{there.origin}/x")))
    assert KEY.encode() not in there.requests[0]


@MATRIX.of("download")
async def test_download(case: Case, bench_of: BenchOf) -> None:
    """What was received counts: attempts are those without a byte more, and a busy storage is waited out."""
    await bench_of("download", case)
