"""The transport on real loopback connections: what is kept, what is sent, what is closed, what is told.

Everything goes through the public client with one attempt, so that a request on the wire is an attempt.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import tracemalloc
from dataclasses import dataclass

import pytest
from support.answering import Answering, Request
from support.one_attempt import KEY, OK, chunked, client_of, failure_of
from support.virtual import now
from support.wire_faults import Connection, RawServer, analysis, answer, closing

from kallglot_async import (
    ConnectionLostError,
    KallglotClient,
    KallglotError,
    ProtocolError,
    ResponseTooLargeError,
    ServerError,
    UnexpectedRedirectError,
)
from kallglot_async.emulator.faults.bodies import gzip_bomb

MIB = 1024 * 1024
DROP = closing()


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

    @pytest.mark.parametrize("is_serving", [True, False])
    async def test_silence_while_others_serve_is_a_server_that_is_slow(self, is_serving: bool) -> None:
        """One answer in a hundred that is slow, and given up, had a third of all requests go on fresh connections."""

        async def answered(request: Request) -> bytes:
            await asyncio.sleep(1e6 if request.id == "ana_slow" else 0.1)
            return answer(analysis(request.id))

        async with Answering(answered) as server, client_of(server.base_url) as client:
            await client.analyses.retrieve("ana_0")
            await asyncio.gather(client.analyses.retrieve("ana_1"), client.analyses.retrieve("ana_2"))
            assert server.connections == 2
            slow = asyncio.create_task(client.analyses.retrieve("ana_slow"))
            await asyncio.sleep(3.0)
            if is_serving:
                await client.analyses.retrieve("ana_3")
            await asyncio.sleep(3.0)
            slow.cancel()
            with pytest.raises(asyncio.CancelledError):
                await slow
            await client.analyses.retrieve("ana_4")
            assert server.connections == (2 if is_serving else 3)


@pytest.mark.looptime
async def test_connections_that_were_opened_together_do_not_end_together() -> None:
    """With TLS a hundred of them stood the loop still for a tenth of a second, twice a minute."""
    opened: dict[int, float] = {}

    async def answered(request: Request) -> bytes:
        opened.setdefault(request.connection, request.at)
        await asyncio.sleep(2.0)
        return answer(analysis())

    async def ask(client: KallglotClient) -> None:
        while now() < 40.0:
            await client.analyses.retrieve("ana_1")

    async with Answering(answered) as server, client_of(server.base_url) as client:
        await client.analyses.retrieve("ana_1")
        await asyncio.gather(*(ask(client) for _ in range(40)))
    again = [at for at in opened.values() if at > 10.0]
    assert len(again) == 40
    assert max(sum(at <= other < at + 1.0 for other in again) for at in again) < 30


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
