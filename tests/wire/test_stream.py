"""An answer whose body is still arriving: what is asked for, what comes, and what a lost connection is called."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping

import aiohttp
import pytest
from support.one_attempt import KEY, assert_holds_nothing_foreign, chunked
from support.wire_faults import RawServer, Script, answer, closing

from kallglot_async import ConnectionLostError, errors
from kallglot_async._config import Secret
from kallglot_async._wire.stream import AnswerStream


@contextlib.asynccontextmanager
async def opened(
    script: Script, path: str = "/audio", *, ranges: Mapping[str, str] = {}
) -> AsyncIterator[tuple[RawServer, AnswerStream]]:
    async with RawServer(script) as server, aiohttp.ClientSession() as session:
        stream = await AnswerStream.open(
            session,
            "recordings.download",
            f"{server.origin}{path}",
            key=Secret(KEY),
            ranges=ranges,
            timeout=aiohttp.ClientTimeout(),
            middlewares=(),
        )
        try:
            yield server, stream
        finally:
            stream.close()


async def test_a_link_is_asked_for_letter_by_letter() -> None:
    """A pre-signed one is signed as it stands: quoted anew it would be refused."""
    link = "/a%2fb%2Fc/x.mp3?X-Sig=a%2Bb+c%3D&k=%7e~"
    async with opened(answer(b""), link, ranges={"Range": "bytes=5-"}) as (server, stream):
        head = server.requests[0].decode()
        assert head.startswith(f"GET {link} HTTP/1.1\r\n")
        assert "\r\nRange: bytes=5-\r\n" in head
        assert repr(stream) == "<AnswerStream 200>"


@pytest.mark.parametrize("status", ["206 Partial Content", "302 Found", "404 No"])
async def test_any_status_is_an_answer(status: str) -> None:
    """What to do with it is not decided here: a redirect is not followed, and nothing is raised."""
    async with opened(answer(b"abc", "Location: /elsewhere", status=status)) as (server, stream):
        assert (stream.status, stream.headers["location"]) == (int(status[:3]), "/elsewhere")
        assert b"".join([piece async for piece in pieces(stream)]) == b"abc"
        assert len(server.requests) == 1


async def pieces(stream: AnswerStream) -> AsyncIterator[bytes]:
    while piece := await stream.read():
        yield piece


@pytest.mark.parametrize("start", [b"", b"HTTP/1.1 200 OK\r\nConte"])
async def test_no_answer_is_an_error_of_ours(start: bytes) -> None:
    """Without the transport's, which may hold the key."""
    with pytest.raises(ConnectionLostError) as caught:
        async with opened(closing(start)):
            pass
    assert caught.value.operation == "recordings.download"
    assert_holds_nothing_foreign(caught.value)


async def test_what_came_before_the_connection_was_lost_is_not_lost() -> None:
    """It is given as it arrives, and the error comes after it."""
    got = b""
    async with opened(closing(chunked(b"some", b"more"))) as (_, stream):
        with pytest.raises(errors.TransportError) as caught:
            async for piece in pieces(stream):
                got += piece
    assert got == b"somemore"
    assert_holds_nothing_foreign(caught.value)
