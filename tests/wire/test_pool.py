"""The transport on real loopback connections: what is kept, what is sent, what is closed, what is told.

Everything goes through the public client with one attempt, so that a request on the wire is an attempt.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import os
import pickle
import resource
import socket
import ssl
import subprocess
import sys
import threading
import tracemalloc
import warnings
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from traceback import TracebackException
from typing import Any

import aiohttp
import pytest
import trustme
from aiohttp.abc import AbstractResolver, ResolveResult
from support.processes import HEARD
from support.wire_faults import Connection, RawServer, Script, analysis, answer, closing, silent

from kallglot_async import (
    ConfigurationError,
    ConnectError,
    ConnectionLostError,
    KallglotClient,
    KallglotError,
    ProtocolError,
    ProxyError,
    ResponseMismatchError,
    ResponseTooLargeError,
    ServerError,
    TLSError,
    TransportError,
    UnexpectedRedirectError,
)
from kallglot_async.emulator import Emulator, Fault, Latency
from kallglot_async.emulator.faults.bodies import gzip_bomb

KEY = "sk_test_canary7Qx2"
MIB = 1024 * 1024
OK = answer(analysis())
DROP = closing()


def client_of(server: RawServer | str, **options: Any) -> KallglotClient:
    """A client without retries."""
    base_url = server if isinstance(server, str) else server.base_url
    return KallglotClient(KEY, base_url=base_url, **({"max_attempts": 1} | options))


async def failure_of(server: RawServer | str, **options: Any) -> KallglotError:
    """How one retrieve ends that must not succeed."""
    async with client_of(server, **options) as client:
        with pytest.raises(KallglotError) as caught:
            await client.analyses.retrieve("ana_1")
    return caught.value


def chunked(*chunks: bytes) -> bytes:
    """The beginning of a chunked answer, without its end."""
    body = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body


# Connections and sessions


async def test_requests_one_after_another_share_a_connection() -> None:
    """A connection is kept alive and used again."""
    async with RawServer() as server, client_of(server) as client:
        for _ in range(5):
            await client.analyses.retrieve("ana_1")
        assert server.on_connection == [0] * 5


async def test_a_connection_that_brings_one_5xx_after_another_is_closed() -> None:
    """Where a name has moved on to another host, the next request finds it; any other answer begins the count anew."""
    bad = answer(b"", status="503 Busy")
    async with RawServer(OK, bad, bad, OK, bad, bad, bad, OK, OK) as server, client_of(server) as client:
        for _ in range(9):
            with contextlib.suppress(ServerError):
                await client.analyses.retrieve("ana_1")
        assert server.on_connection == [0, 0, 0, 0, 0, 0, 0, 1, 1]


async def test_a_connection_that_begins_with_a_5xx_is_closed() -> None:
    """Of several hosts behind one name it has found one that fails: each attempt of a call is let in anew."""
    bad = answer(b"<html>", status="503 Busy")
    async with RawServer(bad, bad, OK, OK) as server, client_of(server, max_attempts=3) as client:
        for _ in range(2):
            await client.analyses.retrieve("ana_1")
        assert server.on_connection == [0, 1, 2, 2]


@pytest.mark.parametrize("body", [b"", b'{"error": {"code": "misdirected", "message": "No."}}'])
async def test_a_connection_that_is_said_to_be_misdirected_is_closed_at_once(body: bytes) -> None:
    """The next attempt goes on another (RFC 9110, 15.5.20)."""
    misdirected = answer(body, status="421 Misdirected Request")
    async with RawServer(OK, misdirected, OK) as server, client_of(server, max_attempts=2) as client:
        for _ in range(2):
            await client.analyses.retrieve("ana_1")
        assert server.on_connection == [0, 0, 1]


async def test_a_failing_connection_is_closed_whatever_its_answers_hold() -> None:
    """With a body, in pieces, or none: and what it brought is still read."""
    bodies = [answer(b"x" * 100_000, status="502 X"), answer(b"", "Connection: keep-alive", status="500 X")]
    bodies.append(b"HTTP/1.1 520 X\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
    async with RawServer(OK, *bodies, OK) as server, client_of(server) as client:
        await client.analyses.retrieve("ana_1")
        for _ in bodies:
            with pytest.raises(ServerError):
                await client.analyses.retrieve("ana_1")
        await client.analyses.retrieve("ana_1")
        assert server.on_connection == [0, 0, 0, 0, 1]


@pytest.mark.parametrize(
    "foreign",
    [
        answer(b"<html>welcome"),
        answer(b"<html>no such route", status="404 X"),
        answer(b'{"message": "no route matched"}', status="404 X"),
        answer(b"", status="403 X"),
        answer(b"", "Location: /login", status="302 X"),
        answer(b""),
    ],
)
async def test_a_connection_that_brings_no_answer_of_the_apis_is_closed(foreign: bytes) -> None:
    """It leads to a host that lost its routes, while others behind the same name are fine."""
    async with RawServer(OK, foreign, foreign, foreign, OK, OK) as server, client_of(server) as client:
        await client.analyses.retrieve("ana_1")
        for _ in range(3):
            with pytest.raises(KallglotError):
                await client.analyses.retrieve("ana_1")
        for _ in range(2):
            await client.analyses.retrieve("ana_1")
        assert server.on_connection == [0, 0, 0, 0, 1, 1]


@pytest.mark.parametrize(
    "own",
    [
        answer(b'{"error": {"code": "not_found", "message": "x", "type": "t"}}', status="404 X"),
        answer(b"", status="202 X"),
        answer(b"", "Retry-After: 0", status="429 X"),
        OK,
    ],
)
async def test_a_connection_that_brings_the_apis_answers_is_kept(own: bytes) -> None:
    """However often they say no."""
    async with RawServer(own, own, own, own, OK) as server, client_of(server, timeout=None) as client:
        for _ in range(4):
            with contextlib.suppress(KallglotError):
                await client.analyses.retrieve("ana_1")
        assert set(server.on_connection) == {0}


@pytest.mark.looptime
class TestKept:
    """A connection that has served is used again, unless requests are lost on such."""

    async def lose(self, client: KallglotClient) -> None:
        with pytest.raises(ConnectionLostError):
            await client.analyses.retrieve("ana_1")

    async def test_after_a_loss_fresh_ones_are_used_for_a_while(self) -> None:
        """Ten seconds, and twice as long if the next that was kept fails as well."""
        async with RawServer(OK, DROP, OK, DROP, OK, OK, OK) as server, client_of(server) as client:
            await client.analyses.retrieve("ana_1")
            await self.lose(client)
            await client.analyses.retrieve("ana_1")
            await asyncio.sleep(10.5)
            await self.lose(client)
            await client.analyses.retrieve("ana_1")
            await asyncio.sleep(10.5)
            await client.analyses.retrieve("ana_1")
            await asyncio.sleep(10.0)
            await client.analyses.retrieve("ana_1")
            assert server.on_connection == [0, 0, 1, 1, 2, 3, 3]

    async def test_one_that_serves_again_makes_good_for_it(self) -> None:
        """The next loss is the first again."""
        async with RawServer(OK, DROP, OK, OK, DROP, OK, OK, OK) as server, client_of(server) as client:
            await client.analyses.retrieve("ana_1")
            await self.lose(client)
            await client.analyses.retrieve("ana_1")
            await asyncio.sleep(10.5)
            await client.analyses.retrieve("ana_1")
            await self.lose(client)
            await client.analyses.retrieve("ana_1")
            await asyncio.sleep(10.5)
            for _ in range(2):
                await client.analyses.retrieve("ana_1")
            assert server.on_connection == [0, 0, 1, 1, 1, 2, 2, 2]

    async def test_a_loss_on_a_fresh_one_says_nothing_of_those(self) -> None:
        """It is the server's trouble, or the way's."""
        async with RawServer(DROP, OK, OK) as server, client_of(server) as client:
            await self.lose(client)
            for _ in range(2):
                await client.analyses.retrieve("ana_1")
            assert server.on_connection == [0, 1, 1]


async def test_a_connection_that_brings_text_is_kept() -> None:
    """Transcripts come as text too, and may begin as they like."""
    text = answer(b"[00:01] Good morning", "Content-Type: text/plain")
    async with RawServer(*[text] * 5) as server, client_of(server) as client:
        for _ in range(5):
            await client.sessions.transcript_text("sess_1")
        assert set(server.on_connection) == {0}


async def test_nothing_is_opened_before_the_first_request() -> None:
    """Making a client, entering it and leaving it touches no network."""
    async with RawServer() as server:
        async with client_of(server) as client:
            assert "on 0 event loops" in repr(client._pool)
        assert server.connections == 0


def test_a_client_can_be_made_without_an_event_loop() -> None:
    """A module may hold its client as a global."""
    client = client_of("http://127.0.0.1:9/v1")
    assert repr(client).startswith("<KallglotClient http://127.0.0.1:9/v1/ key=sk_test_***")


async def test_max_connections_bounds_what_is_open() -> None:
    """With `max_connections=2` no third connection is opened, however many requests there are at once."""
    async with RawServer() as server, client_of(server, max_connections=2) as client:
        await asyncio.gather(*(client.analyses.retrieve("ana_1") for _ in range(20)))
        assert len(server.requests) == 20
        assert server.connections == 2


async def test_closing_twice_and_using_it_again_is_fine() -> None:
    """`aclose` may be called twice, and a later call opens a new connection."""
    async with RawServer() as server:
        client = client_of(server)
        await client.analyses.retrieve("ana_1")
        await client.aclose()
        await client.aclose()
        assert (await client.analyses.retrieve("ana_1")).id == "ana_1"
        await client.aclose()
        assert server.on_connection == [0, 1]


def test_a_loop_that_has_closed_what_was_open_can_still_fetch() -> None:
    """What runs on its way out, such as a generator of the caller's that ends, has a session of its own again."""

    async def main() -> None:
        async with RawServer() as server, client_of(server) as client:
            await client.analyses.retrieve("ana_1")
            await asyncio.get_running_loop().shutdown_asyncgens()
            with pytest.warns(ResourceWarning, match="after loop.shutdown_asyncgens"):  # by asyncio, of our own
                await client.analyses.retrieve("ana_1")
            assert server.on_connection == [0, 1]

    asyncio.run(main())


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


async def test_cookies_are_not_kept() -> None:
    """A cookie that the server sets is not sent back."""
    async with RawServer(answer(analysis(), "Set-Cookie: track=1; Path=/")) as server:
        # By name: cookies of numeric hosts are never kept by anybody.
        async with client_of(f"http://localhost:{server.port}/v1") as client:
            for _ in range(2):
                await client.analyses.retrieve("ana_1")
        assert len(server.requests) == 2
        assert not any(b"cookie" in request.lower() for request in server.requests)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_not_followed(status: int) -> None:
    """A redirect to another host is an error, and the other host never hears of it."""
    async with RawServer() as other:
        async with RawServer(answer(b"", f"Location: {other.base_url}/", status=f"{status} Moved")) as server:
            error = await failure_of(server, max_attempts=3)
            assert isinstance(error, UnexpectedRedirectError)
            assert (error.status, len(server.requests)) == (status, 1)
        assert other.connections == 0


async def test_the_key_travels_in_one_header_only() -> None:
    """`Authorization` carries the key, once, and nothing else does."""
    async with RawServer() as server, client_of(server) as client:
        await client.analyses.retrieve("ana_1")
        assert server.requests[0].count(KEY.encode()) == 1
        assert f"\r\nAuthorization: Bearer {KEY}\r\n".encode() in server.requests[0]


async def test_the_version_is_told_in_the_user_agent() -> None:
    """A server's log can name this library."""
    async with RawServer() as server, client_of(server) as client:
        await client.analyses.retrieve("ana_1")
        assert b"\r\nUser-Agent: kallglot-async/" in server.requests[0]


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


async def test_a_connection_that_went_stale_is_replaced_without_a_failure() -> None:
    """A server that closes an idle connection costs no attempt."""

    async def answer_and_close(connection: Connection) -> None:
        await connection.send(OK)
        connection.close()

    async with RawServer(answer_and_close) as server, client_of(server) as client:
        for _ in range(3):
            await client.analyses.retrieve("ana_1")
            await asyncio.sleep(0.01)  # the close arrives
        assert server.on_connection == [0, 1, 2]


async def test_unsolicited_bytes_never_become_somebody_elses_answer() -> None:
    """A second answer nobody asked for is not served to the next request."""
    async with RawServer(OK + answer(analysis("ana_9"))) as server, client_of(server, max_attempts=3) as client:
        for _ in range(3):
            assert (await client.analyses.retrieve("ana_1")).id == "ana_1"


# The size of a body


@dataclass
class _Flood:
    """Sends chunks for as long as somebody takes them."""

    head: bytes
    sent: int = 0

    async def __call__(self, connection: Connection) -> None:
        await connection.send(self.head)
        block = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
        while self.sent < 512 and not connection.writer.is_closing():
            await connection.send(block)
            self.sent += 1


@pytest.mark.parametrize("status", ["200 OK", "500 Oops"])
async def test_a_body_with_a_length_over_the_cap_is_not_read(status: str) -> None:
    """`Content-Length` is enough to refuse, before a byte of the body has come."""
    head = answer(b"", status=status, length=MIB + 1)
    async with RawServer(head) as server:
        error = await failure_of(server, max_response_bytes=MIB, max_attempts=3)
        assert isinstance(error, ResponseTooLargeError)
        assert (error.limit, error.status) == (MIB, int(status[:3]))
        assert len(server.requests) == 1


async def test_a_body_of_exactly_the_cap_is_fine() -> None:
    """The cap is inclusive."""
    body = analysis().ljust(4096)
    for framing in (answer(body), chunked(body) + b"0\r\n\r\n", answer(gzip.compress(body), "Content-Encoding: gzip")):
        async with RawServer(framing) as server, client_of(server, max_response_bytes=4096) as client:
            assert (await client.analyses.retrieve("ana_1")).id == "ana_1"
        async with RawServer(framing) as server:
            assert isinstance(await failure_of(server, max_response_bytes=4095), ResponseTooLargeError)


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
    ],
    ids=["chunked", "chunked with a length", "until close"],
)
async def test_an_endless_body_is_cut_off_at_the_cap(head: bytes) -> None:
    """A body of unknown length is read up to the cap, and its connection closed."""
    flood = _Flood(head)
    async with RawServer(flood) as server:
        error = await failure_of(server, max_response_bytes=MIB)
        # Two framings at once may also be refused as what they are.
        assert isinstance(error, ResponseTooLargeError | ProtocolError)
        assert isinstance(error, ResponseTooLargeError) or b"Content-Length" in head
    assert flood.sent < 512


@pytest.mark.parametrize("status", [200, 500])
async def test_a_gzip_bomb_costs_less_than_twice_the_cap(status: int) -> None:
    """A megabyte that unpacks to a gigabyte is stopped near the cap, by measured growth."""
    cap = 4 * MIB
    bomb = gzip_bomb(1024 * MIB)
    assert len(bomb) < 2 * MIB
    script = answer(bomb, "Content-Encoding: gzip", status=f"{status} X")
    async with RawServer(script) as server, client_of(server, max_response_bytes=cap) as client:
        tracemalloc.start()
        try:
            before, _ = tracemalloc.get_traced_memory()
            with pytest.raises(ResponseTooLargeError):
                await client.analyses.retrieve("ana_1")
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak - before < 2 * cap


# What failures are called, and what they hold


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def tls(authority: trustme.CA) -> ssl.SSLContext:
    """A server context whose certificate nobody trusts."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


def assert_holds_nothing_foreign(error: KallglotError) -> None:
    """No transport object and no key anywhere on the error, its chain or its pickle."""
    assert error.__cause__ is None
    assert error.__context__ is None
    again = pickle.loads(pickle.dumps(error))  # noqa: S301  # our own bytes
    assert (str(again), vars(again)) == (str(error), vars(error))
    for text in (repr(error), str(error), repr(error.args), repr(vars(error))):
        assert KEY not in text
    modules = {type(value).__module__.partition(".")[0] for value in (*error.args, *vars(error).values())}
    assert "aiohttp" not in modules


LOST: dict[str, tuple[Script, type[TransportError]]] = {
    "closed before any byte": (closing(), ConnectionLostError),
    "reset before any byte": (closing(reset=True), ConnectionLostError),
    "closed in the headers": (closing(b"HTTP/1.1 200 OK\r\nConte"), ConnectionLostError),
    "reset in the headers": (closing(b"HTTP/1.1 200 OK\r\nConte", reset=True), ConnectionLostError),
    "reset in the body": (closing(answer(b'{"id":', length=99), reset=True), ConnectionLostError),
    "short body": (closing(answer(b'{"id":', length=99)), ConnectionLostError),
    "cut chunked body": (closing(chunked(b'{"id":')), ConnectionLostError),
    "garbage instead of a status line": (closing(b"\x15\x03\x01 hello\r\n\r\n"), ProtocolError),
    "another protocol's status line": (closing(b"HTTP/9 2\r\n\r\n"), ProtocolError),
    "status of five digits": (closing(answer(b"", status="99999 X")), ProtocolError),
    "two lengths": (closing(answer(b"{}", "Content-Length: 7")), ProtocolError),
    "negative length": (closing(answer(b"{}", length=-1)), ProtocolError),
    "absurd length": (closing(answer(b"{}", length=10**30)), ProtocolError),
    "bad chunk size": (closing(chunked(b"{") + b"ZZ\r\n}\r\n"), ProtocolError),
    "header without end": (closing(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000), ProtocolError),
    "endless headers": (closing(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 50_000), ProtocolError),
    "control character in a header": (closing(b"HTTP/1.1 200 OK\r\nX: \x00\r\n\r\n"), ProtocolError),
    "not gzip": (answer(b"plain", "Content-Encoding: gzip"), ProtocolError),
    "more than gzip": (answer(gzip.compress(b"{}") + b"more", "Content-Encoding: gzip"), ProtocolError),
    "unknown compression": (answer(b"x", "Content-Encoding: br"), ProtocolError),
}


@pytest.mark.parametrize("name", LOST)
async def test_broken_answers_have_a_name_and_hold_nothing(name: str) -> None:
    """Each way of breaking an answer is one typed error, one request, and no foreign object."""
    script, kind = LOST[name]
    async with RawServer(script) as server:
        error = await failure_of(server)
        assert isinstance(error, kind)
        assert type(error) in {ConnectionLostError, ProtocolError}
        assert len(server.requests) == 1
    assert error.operation == "analyses.retrieve"
    assert_holds_nothing_foreign(error)


@pytest.mark.parametrize("name", ["not gzip", "more than gzip", "unknown compression"])
async def test_an_answer_that_cannot_be_unpacked_was_not_cut_off(name: str) -> None:
    """What is told is what a gateway's people have to look at."""
    async with RawServer(LOST[name][0]) as server:
        assert "Content-Encoding" in str(await failure_of(server))


async def test_an_answer_that_was_not_unpacked_says_how_it_is_packed() -> None:
    """Of two encodings one over the other nothing is undone."""
    script = answer(zlib.compress(gzip.compress(analysis())), "Content-Encoding: gzip, deflate")
    async with RawServer(script) as server:
        assert "with Content-Encoding gzip, deflate" in str(await failure_of(server))


@pytest.mark.parametrize(
    "script",
    [
        closing(),
        closing(chunked(b"{")),
        closing(b"?\r\n\r\n"),
        answer(b"", length=MIB),
        answer(b""),
        answer(b"", status="401 X"),
    ],
    ids=["lost", "cut", "garbage", "too large", "empty", "refused"],
)
async def test_a_traceback_with_locals_does_not_show_the_key(script: Script) -> None:
    """An error reporter that captures the local variables of every frame finds no key."""
    async with RawServer(script) as server:
        error = await failure_of(server, max_response_bytes=1000)
    report = "".join(TracebackException.from_exception(error, capture_locals=True).format())
    assert "_wire/pipeline.py" in report
    assert KEY not in report


async def test_errors_of_the_api_hold_nothing_either() -> None:
    """A key that the server echoes is masked in the error, wherever the echo is."""
    echo = f'{{"error":{{"message":"bad key {KEY}","code":"{KEY}","param":"{KEY}","request_id":"{KEY}"}}}}'
    async with RawServer(answer(echo.encode(), status="401 No")) as server:
        error = await failure_of(server)
    assert "bad key sk_test_***" in str(error)
    assert_holds_nothing_foreign(error)


@pytest.mark.parametrize("header", ["X-Request-ID", "Date", "Retry-After"])
async def test_a_key_echoed_in_a_header_is_masked_too(header: str) -> None:
    """No response header carries the key into an error."""
    async with RawServer(answer(b"", f"{header}: {KEY}", status="400 No")) as server:
        assert_holds_nothing_foreign(await failure_of(server))


async def test_a_refused_connection_says_where_and_why() -> None:
    """Nobody listens: a `ConnectError` with host, port and the system's reason."""
    async with RawServer() as server:
        pass
    error = await failure_of(server)
    assert isinstance(error, ConnectError)
    assert f"127.0.0.1:{server.port}: " in str(error)
    assert "refused" in str(error)
    assert_holds_nothing_foreign(error)


async def test_a_name_that_does_not_resolve_is_named() -> None:
    """`.invalid` never resolves: a `ConnectError` with the name."""
    error = await failure_of("https://kallglot.invalid/v1")
    assert isinstance(error, ConnectError)
    assert "kallglot.invalid does not resolve" in str(error)
    assert_holds_nothing_foreign(error)


@pytest.mark.parametrize(
    ("found", "told"),
    [
        ([], "it has no address that can be used here"),
        (UnicodeError("label empty or too long"), "label empty or too long"),
        (RuntimeError("can't start new thread"), "can't start new thread"),
    ],
)
async def test_a_look_up_that_finds_nothing_or_cannot_be_made(
    monkeypatch: pytest.MonkeyPatch, found: Any, told: str
) -> None:
    """Also one that aiohttp does not take for an error of the look-up: a connection error that says why."""

    async def look_up(*_: object, **__: object) -> Any:
        if isinstance(found, Exception):
            raise found
        return found

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", look_up)
    error = await failure_of("https://kallglot.invalid/v1")
    assert isinstance(error, ConnectError)
    assert f"kallglot.invalid does not resolve: {told}" in str(error)
    assert_holds_nothing_foreign(error)


@contextlib.contextmanager
def full_backlog() -> Iterator[str]:
    """A port whose queue of connections is full, so that connecting to it hangs."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"


@pytest.mark.looptime
async def test_connecting_that_hangs_ends_with_the_connect_timeout() -> None:
    """`connect_timeout` ends an attempt that gets no connection, well before the call's own deadline."""
    with full_backlog() as base_url:
        started = asyncio.get_running_loop().time()
        error = await failure_of(base_url, connect_timeout=4.0)
        assert isinstance(error, ConnectError)
        assert asyncio.get_running_loop().time() - started == pytest.approx(4.0, abs=0.1)
    assert_holds_nothing_foreign(error)


class _Resolver(AbstractResolver):
    """Resolves every name to the given addresses, or hangs without any."""

    def __init__(self, *hosts: str) -> None:
        self._hosts = hosts

    async def resolve(self, host: str, port: int = 0, family: int = 0) -> list[ResolveResult]:
        if not self._hosts:
            await asyncio.Event().wait()
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in self._hosts
        ]

    async def close(self) -> None:
        pass


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
        connector = aiohttp.TCPConnector(resolver=_Resolver("::1", "127.0.0.1"))
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            client_of(f"http://localhost:{server.port}/v1", session=session) as client,
        ):
            assert (await client.analyses.retrieve("ana_1")).id == "ana_1"


async def test_tls_spoken_to_a_plain_port_is_a_tls_error() -> None:
    """An https URL on a port that speaks HTTP: a `TLSError` with a hint, and no second attempt."""
    async with Emulator() as emulator:
        error = await failure_of(emulator.base_url.replace("http:", "https:"), max_attempts=3)
    assert isinstance(error, TLSError)
    assert "check base_url" in str(error)
    assert error.attempts == 1
    assert_holds_nothing_foreign(error)


@pytest.mark.looptime
async def test_a_handshake_that_hangs_ends_with_the_connect_timeout() -> None:
    """A port that never answers the TLS handshake: a `ConnectError` after `connect_timeout`."""
    async with RawServer() as server:
        started = asyncio.get_running_loop().time()
        error = await failure_of(f"https://127.0.0.1:{server.port}/v1", connect_timeout=4.0)
        assert asyncio.get_running_loop().time() - started == pytest.approx(4.0, abs=0.1)
        assert server.requests == []
    assert isinstance(error, ConnectError)


async def test_a_certificate_nobody_trusts_is_a_tls_error(tls: ssl.SSLContext) -> None:
    """An untrusted certificate: a `TLSError` that says so, and the request is never sent."""
    async with RawServer(tls=tls) as server:
        error = await failure_of(server, max_attempts=3)
        assert server.requests == []
    assert isinstance(error, TLSError)
    assert "local issuer certificate" in str(error)
    assert error.attempts == 1
    assert_holds_nothing_foreign(error)


# Proxies


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """An environment without proxies and netrc of its own."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    return monkeypatch


@pytest.fixture
def netrc(environment: pytest.MonkeyPatch) -> Path:
    """The user's netrc, with an entry for every host."""
    path = Path(os.environ["NETRC"])
    path.write_text("default login me password secret\n")
    path.chmod(0o600)
    return path


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


async def test_a_proxy_that_is_not_there_is_named_without_credentials(environment: pytest.MonkeyPatch) -> None:
    """A proxy that refuses the connection: a `ProxyError` that names the proxy, not the API, and no password."""
    async with RawServer() as proxy:
        pass
    environment.setenv("HTTPS_PROXY", f"http://me:secret@127.0.0.1:{proxy.port}")
    error = await failure_of("https://api.kallglot.invalid/v1", trust_env=True)
    assert isinstance(error, ProxyError)
    assert error.proxy == f"127.0.0.1:{proxy.port}"
    assert error.status is None
    assert "secret" not in f"{error!r}{error}{vars(error)}"
    assert_holds_nothing_foreign(error)


@pytest.mark.parametrize("status", [407, 401, 429])
async def test_a_proxys_refusal_is_not_the_apis(environment: pytest.MonkeyPatch, status: int) -> None:
    """A status on CONNECT is a `ProxyError`, is not retried, and the proxy sees no key."""
    async with RawServer(answer(b"", "Proxy-Authenticate: Basic", status=f"{status} No")) as proxy:
        environment.setenv("HTTPS_PROXY", f"http://me:secret@127.0.0.1:{proxy.port}")
        error = await failure_of("https://api.kallglot.invalid/v1", trust_env=True, max_attempts=3)
        assert len(proxy.requests) == 1
        assert proxy.requests[0].startswith(b"CONNECT api.kallglot.invalid:443 ")
        assert KEY.encode() not in proxy.requests[0]
    assert isinstance(error, ProxyError)
    assert (error.status, error.attempts) == (status, 1)
    assert error.proxy in {"", f"127.0.0.1:{proxy.port}"}
    assert "secret" not in f"{error!r}{error}{vars(error)}"
    assert_holds_nothing_foreign(error)


async def test_a_proxy_that_hangs_up_on_connect_is_a_typed_error(environment: pytest.MonkeyPatch) -> None:
    """A proxy that closes instead of answering CONNECT is a transport error like any other, and is asked once."""
    async with RawServer(closing()) as proxy:
        environment.setenv("HTTPS_PROXY", proxy.origin)
        error = await failure_of("https://api.kallglot.invalid/v1", trust_env=True)
    assert isinstance(error, TransportError)
    assert_holds_nothing_foreign(error)
    assert proxy.connections == 1


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


@pytest.mark.usefixtures("netrc")
async def test_a_netrc_entry_that_collides_is_a_configuration_error() -> None:
    """With `trust_env`, a default entry in netrc is named as the reason, and nothing is sent."""
    async with RawServer() as server, client_of(server, trust_env=True) as client:
        with pytest.raises(ConfigurationError, match=r"netrc.*trust_env=False") as caught:
            await client.analyses.retrieve("ana_1")
        assert server.requests == []
        assert client.rate_limit.in_flight == 0
    assert_holds_nothing_foreign(caught.value)


# Ways out: one process for each kind of event loop, with every warning an error. It goes through all scenarios
# with a client for each, and what a scenario says on stderr is counted up to the line that ends it.

_SCENARIOS = """
import asyncio, gc, logging, os, signal, sys, weakref
from kallglot_async import ConnectionLostError, KallglotClient

loop_kind, plain_url, tls_url = sys.argv[1:]
if loop_kind == "uvloop":
    from uvloop import new_event_loop
else:
    from asyncio import new_event_loop
logging.getLogger("asyncio").setLevel("ERROR")  # a slow machine is not the subject
kept = []

def run(main):
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(main)

def make(url=plain_url):
    client = KallglotClient("sk_test_emulator", base_url=url, random=lambda: 0.0)
    kept.append(client)  # past the end of its loop, as a global would be
    return client

async def fetch(client):
    got = await asyncio.gather(*(client.analyses.retrieve("ana_1") for _ in range(3)))
    assert {analysis.id for analysis in got} == {"ana_1"}

def three_runs_closed():
    async def main(client):
        await fetch(client)
        await client.aclose()
    client = make()
    for _ in range(3):
        run(main(client))

def three_runs_not_closed():
    client = make()
    for _ in range(3):
        run(fetch(client))

def three_runs_over_tls():
    client = make(tls_url)
    for _ in range(3):
        run(fetch(client))

def closed_twice():
    async def main(client):
        await fetch(client)
        await client.aclose()
        await client.aclose()
        await fetch(client)
        async with client:
            await fetch(client)
        await asyncio.gather(client.aclose(), fetch(client), client.aclose())
    run(main(make()))

def left_in_flight():
    async def main(client):
        await fetch(client)
        kept.append(asyncio.create_task(client.analyses.retrieve("ana_hang")))
        await asyncio.sleep(0.02)
    client = make()
    run(main(client))
    run(fetch(client))

def wait_unfinished():
    async def main(client):
        kept.append(asyncio.create_task(client.wait_many(["ana_1", "ana_hang"])))
        await asyncio.sleep(0.02)
    client = make()
    run(main(client))
    run(fetch(client))

def raised_inside():
    async def main(client):
        async with client:
            await fetch(client)
            raise LookupError
    client = make()
    try:
        run(main(client))
    except LookupError:
        pass
    run(fetch(client))

def interrupted():
    async def main(client):
        await fetch(client)
        asyncio.get_running_loop().call_later(0.02, signal.raise_signal, signal.SIGINT)
        await client.analyses.retrieve("ana_hang")
    client = make()
    try:
        run(main(client))
    except KeyboardInterrupt:
        pass
    run(fetch(client))

def exited():
    async def main(client):
        await fetch(client)
        sys.exit(3)
    try:
        run(main(make()))
    except SystemExit:
        pass

def cancelled():
    async def main(client):
        async with client:
            for _ in range(3):
                try:
                    async with asyncio.timeout(0.02):
                        await client.analyses.retrieve("ana_hang")
                except TimeoutError:
                    pass
    run(main(make()))

def mismatch():
    async def main(client):
        await fetch(client)
        assert (await client.analyses.retrieve("ana_wrong")).id == "ana_wrong"
        gc.collect()
        await client.aclose()
        gc.collect()
    run(main(make()))

def lost():
    async def main(client):
        for _ in range(3):
            try:
                await client.analyses.retrieve("ana_lost")
            except ConnectionLostError:
                pass
            else:
                raise AssertionError("it was lost")
        gc.collect()
    run(main(make()))

def loops_are_forgotten():
    async def main(client):
        await fetch(client)
        return weakref.ref(asyncio.get_running_loop())
    client = make()
    loops = [run(main(client)) for _ in range(3)]
    gc.collect()
    # What served last may remember its loop; nothing needs to remember more than that.
    assert [loop() for loop in loops[:-1]] == [None, None]

def collected():
    async def main():
        client = make()
        kept.clear()
        await fetch(client)
        del client
        gc.collect()
        await asyncio.sleep(0.02)
    run(main())

def loops_closed_by_hand():
    # Loops that are closed without `shutdown_asyncgens`: aiohttp may complain, but no descriptor may stay.
    def open_descriptors():
        gc.collect()
        return len(os.listdir("/proc/self/fd"))
    before = open_descriptors()
    client = make()
    kept.clear()
    for _ in range(4):
        loop = new_event_loop()
        loop.run_until_complete(fetch(client))
        loop.close()
        del loop
    client = None
    assert open_descriptors() <= before + 3, (before, open_descriptors())

for name in %r:
    try:
        globals()[name]()
    except Exception as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
    kept.clear()
    gc.collect()
    print("==", name, file=sys.stderr)
"""

_QUIET = [
    "three_runs_closed",
    "three_runs_not_closed",
    "three_runs_over_tls",
    "closed_twice",
    "left_in_flight",
    "wait_unfinished",
    "raised_inside",
    "interrupted",
    "exited",
    "cancelled",
    "mismatch",
    "lost",
    "loops_are_forgotten",
]
_LOUD = ["collected", "loops_closed_by_hand"]


@contextlib.contextmanager
def servers(tls: ssl.SSLContext) -> Iterator[tuple[str, str]]:
    """An emulator and a TLS server in a thread of their own, for other processes to talk to."""
    ready, urls = threading.Event(), list[str]()

    async def serve(stop: asyncio.Event) -> None:
        faults = [
            Fault(kind="hang", id="ana_hang"),
            # One wrong answer for each of the two processes.
            Fault(kind="wrong_id", id="ana_wrong", rate=0.5, times=2),
            Fault(kind="reset", id="ana_lost"),
        ]
        async with (
            Emulator(plan="unlimited", adopt_unknown=True, latency=Latency.immediate(), faults=faults) as emulator,
            RawServer(tls=tls) as secure,
        ):
            urls.extend([emulator.base_url, secure.base_url])
            ready.set()
            await stop.wait()

    loop, stop = asyncio.new_event_loop(), asyncio.Event()
    thread = threading.Thread(target=lambda: loop.run_until_complete(serve(stop)))
    thread.start()
    try:
        ready.wait()
        yield urls[0], urls[1]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


@pytest.fixture
def said(authority: trustme.CA, tls: ssl.SSLContext, tmp_path: Path) -> Callable[[str, list[str]], dict[str, str]]:
    """Run scenarios one after another in a process; return what each left on stderr, and what came at the `exit`."""
    certificate = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(certificate))
    environ = os.environ | {"SSL_CERT_FILE": str(certificate), "PYTHONPATH": str(Path(__file__).parents[2])}

    def run(loop: str, names: list[str]) -> dict[str, str]:
        with servers(tls) as urls:
            process = subprocess.run(
                [sys.executable, "-X", "dev", "-W", "error", "-c", HEARD + _SCENARIOS % (names,), loop, *urls],
                env=environ,
                stderr=subprocess.PIPE,
                text=True,
                timeout=100,
                check=False,
            )
        found, rest = {}, process.stderr
        for name in names:
            found[name], _, rest = rest.partition(f"== {name}\n")
        return found | {"exit": rest + "!" * process.returncode}

    return run


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.slow
def test_no_way_out_leaves_a_warning(loop: str, said: Callable[[str, list[str]], dict[str, str]]) -> None:
    """Whatever way a program takes out of a client, nothing is said of anything unclosed or unfinished."""
    assert said(loop, _QUIET) == dict.fromkeys([*_QUIET, "exit"], "")


@pytest.mark.slow
def test_what_is_left_unclosed_is_said_once(said: Callable[[str, list[str]], dict[str, str]]) -> None:
    """A client that is dropped in mid-loop is worth one warning that names the remedy, and none of aiohttp's.

    Where a loop ends without its usual clean-up, its connections end with the client at the latest.
    """
    found = said("asyncio", _LOUD)  # in a process of their own: what they leave may be said at any later moment
    text = found["collected"]
    assert text.count("ResourceWarning: ") == 1
    assert "async with KallglotClient(...)" in text
    assert "aclose()" in text
    assert "nclosed" not in text
    assert "AssertionError" not in found["loops_closed_by_hand"]


def _without_descriptors(send: Any) -> None:
    """Run in a process of its own: take away every descriptor that a connection would need."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    taken: list[socket.socket] = []

    async def main() -> str:
        async with client_of("http://127.0.0.1:9/v1") as client:
            with pytest.raises(ConnectError):  # opens the session; nobody listens there
                await client.analyses.retrieve("ana_1")
            with contextlib.suppress(OSError):
                while True:
                    taken.append(socket.socket())
            try:
                await client.analyses.retrieve("ana_1")
            except ConnectError as error:
                return str(error)
            finally:
                for one in taken:
                    one.close()
        return "succeeded"

    send(asyncio.run(main()))


def test_exhausted_descriptors_are_named_as_such() -> None:
    """A process that may open no more files is told so, and what to do."""
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # fork with threads: the child only runs this
        child = os.fork()
    if child == 0:
        try:
            _without_descriptors(lambda text: os.write(writing, text.encode()))
        finally:
            os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with os.fdopen(reading) as stream:
        assert "too many open files: raise the limit or lower max_connections" in stream.read()
