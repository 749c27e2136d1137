"""A download outlasts what passes: lost connections that brought bytes, a storage that is busy, bodies cut short.

In virtual time where nothing is written to a file, so that pauses cost nothing.
"""

from __future__ import annotations

import asyncio
import io
import json
from typing import Any

import pytest
from support.answering import Answering, Request
from support.audio import AUDIO, ID, KEY, OFFERED, client_of, cut, known, of_b, part, redirect
from support.wire_faults import Connection, RawServer, Script, analysis, answer, closing

from kallglot_async import (
    ConnectionLostError,
    KallglotClient,
    KallglotError,
    RateLimitedError,
    ResponseBodyError,
    ServerError,
    UnexpectedRedirectError,
)

pytestmark = pytest.mark.looptime


def now() -> float:
    return asyncio.get_running_loop().time()


def crumbs(count: int, *headers: str) -> Script:
    """A server that gives so many bytes from where it is asked to begin, and then closes the connection."""

    async def script(connection: Connection) -> None:
        head = connection.server.requests[-1].lower()
        start = int(head.partition(b"range: bytes=")[2].partition(b"-")[0] or b"0")
        rest = len(AUDIO) - start
        content_range = (f"Content-Range: bytes {start}-{len(AUDIO) - 1}/{len(AUDIO)}",) if start else ()
        status = "206 Partial Content" if start else "200 OK"
        await connection.send(answer(AUDIO[start:][:count], *content_range, *headers, status=status, length=rest))
        connection.close()

    return script


def busy(status: str, *headers: str) -> bytes:
    return answer(b"CANARY", *headers, status=status)


BUSY = ["429 Too Many Requests", "503 Service Unavailable", "202 Accepted"]


# Attempts


@pytest.mark.parametrize("count", [50_000, 10_000, 1_700])
async def test_an_attempt_that_brings_bytes_starts_the_count_anew(count: int) -> None:
    """Three, eleven and sixty-one lost connections with three attempts and a budget of fifty retries."""
    async with RawServer(crumbs(count, *OFFERED)) as server, client_of(server) as client:
        target = io.BytesIO()
        got = await client.recordings.download(of_b(), target)
        assert target.getvalue() == AUDIO
        assert (got.resumed, got.restarted) == (len(server.requests) - 1, 0)
        assert len(server.requests) == -(-len(AUDIO) // count)
        assert client.stats.retries == 0  # it is the rest, and no extra traffic


async def test_connections_that_lose_what_follows_their_first_request_cost_one_attempt() -> None:
    """After the first loss on one that was kept, none of the others that were is tried."""
    served: set[int] = set()

    def dropping(request: Request) -> bytes | None:
        if request.connection in served:
            return None
        served.add(request.connection)
        return answer(AUDIO) if request.path.endswith("/audio") else answer(analysis(request.id))

    async with Answering(dropping) as server, KallglotClient(KEY, base_url=server.base_url) as client:
        await client.analyses.retrieve("ana_0")
        await client.analyses.retrieve("ana_0")
        # During the seconds of doubt, so each on a fresh one; and all of these are tried again behind them.
        await asyncio.gather(*(client.analyses.retrieve(f"ana_{number}") for number in range(5)))
        await asyncio.sleep(11.0)
        server.requests.clear()
        await client.recordings.download(of_b(), io.BytesIO())
        assert len(server.requests) == 2


async def test_attempts_in_between_that_bring_nothing_are_counted_by_themselves() -> None:
    """One that brought bytes is the first of three; a third in a row ends it, and its history is of those three."""
    reset = closing(reset=True)
    one, two = crumbs(1000, *OFFERED), crumbs(2000, *OFFERED)
    scripts = (reset, reset, one, reset, two, reset, crumbs(10**6, *OFFERED))
    async with RawServer(*scripts) as server, client_of(server) as client:
        target = io.BytesIO()
        assert (await client.recordings.download(of_b(), target)).resumed == 2
        assert target.getvalue() == AUDIO
    async with RawServer(reset, one, reset, two, reset, reset) as server, client_of(server) as client:
        with pytest.raises(ConnectionLostError) as caught:
            await client.recordings.download(of_b(), io.BytesIO())
        assert (len(server.requests), caught.value.attempts, len(caught.value.history)) == (6, 3, 3)


async def test_bytes_that_come_again_each_time_are_no_progress() -> None:
    """A server that cannot go on, or has another version at each attempt, ends it after three."""
    count = 0

    async def another(connection: Connection) -> None:
        nonlocal count
        count += 1
        head = ("Accept-Ranges: bytes", f'ETag: "v{count}"')
        await connection.send(answer(AUDIO[:1000], *head, length=len(AUDIO)))
        connection.close()

    for script in (cut(1000), another):
        async with RawServer(script) as server, client_of(server) as client:
            with pytest.raises(ConnectionLostError):
                await client.recordings.download(of_b(), io.BytesIO())
            assert len(server.requests) == 3


async def test_a_way_that_gives_bytes_is_not_asked_in_a_loop() -> None:
    """Half a second from one interruption to the next attempt, on average."""
    async with RawServer(crumbs(10_000, *OFFERED)) as server, client_of(server, random=lambda: 0.5) as client:
        started = now()
        await client.recordings.download(of_b(), io.BytesIO())
        assert now() - started == pytest.approx(0.5 * (len(server.requests) - 1), abs=0.1)


async def test_a_deadline_ends_what_gets_further_too() -> None:
    """`timeout` is for everything."""
    async with RawServer(crumbs(100, *OFFERED)) as server, client_of(server, random=lambda: 0.9) as client:
        started = now()
        with pytest.raises(KallglotError):
            await client.recordings.download(of_b(), io.BytesIO(), timeout=5)
        assert 4 <= now() - started <= 5.1


# A storage that is busy


async def stored(*scripts: Script, target: io.BytesIO | None = None, size: int | None = None, **options: Any) -> Any:
    """Download from a storage with these answers; returns what it gave, its requests and the seconds it took."""
    timeout = options.pop("timeout", None)
    async with RawServer(*scripts) as storage, RawServer() as api, client_of(api, **options) as client:
        started = now()
        link = known(f"{storage.origin}/x?sig=1", size=size)
        got = await client.recordings.download(link, target or io.BytesIO(), timeout=timeout)
        assert not any(KEY.encode() in request for request in storage.requests)
        return got, len(storage.requests), now() - started


@pytest.mark.parametrize("status", BUSY)
@pytest.mark.parametrize("times", [1, 2, 7])
async def test_a_busy_storage_is_waited_out(status: str, times: int) -> None:
    """By its `Retry-After`, however often, also with one attempt alone."""
    scripts = [busy(status, "Retry-After: 2")] * times + [answer(AUDIO)]
    got, asked, seconds = await stored(*scripts, max_attempts=1)
    assert (got.bytes_written, asked) == (len(AUDIO), times + 1)
    assert seconds == pytest.approx(2 * times, abs=0.1)


@pytest.mark.parametrize("status", BUSY)
async def test_a_date_is_waited_for_too(status: str) -> None:
    """By the storage's own clock."""
    date = ("Date: Thu, 26 Mar 2026 11:04:20 GMT", "Retry-After: Thu, 26 Mar 2026 11:04:50 GMT")
    assert (await stored(busy(status, *date), answer(AUDIO)))[2] == pytest.approx(30, abs=0.1)


@pytest.mark.parametrize("status", BUSY)
async def test_a_pause_in_the_middle_costs_no_byte(status: str) -> None:
    """What came before it is kept."""
    target = io.BytesIO()
    got, asked, seconds = await stored(cut(1000, *OFFERED), busy(status, "Retry-After: 9"), part(1000), target=target)
    assert (target.getvalue(), got.resumed, got.restarted, asked) == (AUDIO, 1, 0, 3)
    assert seconds == pytest.approx(9, abs=0.1)


@pytest.mark.parametrize(
    ("status", "kind"), list(zip(BUSY, (RateLimitedError, ServerError, ResponseBodyError), strict=True))
)
async def test_a_pause_beyond_the_deadline_fails_now(status: str, kind: type[KallglotError]) -> None:
    """With the time that it named, and without a word of its body."""
    started = now()
    with pytest.raises(kind) as caught:
        await stored(busy(status, "Retry-After: 60"), answer(AUDIO), timeout=59)
    assert now() - started < 1
    assert getattr(caught.value, "retry_after", None) == 60
    assert "CANARY" not in str(caught.value)


@pytest.mark.parametrize("status", BUSY)
async def test_a_storage_that_is_busy_for_ever_ends_it(status: str) -> None:
    """After an hour of named pauses; after the attempts where it names none."""
    started = now()
    with pytest.raises(KallglotError):
        await stored(busy(status, "Retry-After: 600"))
    assert now() - started == pytest.approx(3600, abs=1)
    with pytest.raises(KallglotError) as caught:
        await stored(busy(status))
    assert getattr(caught.value, "attempts", None) == 3


async def test_a_busy_api_path_is_waited_out_alike() -> None:
    """Revision B's audio comes from the API itself: 503 with a time is no attempt there either."""
    scripts = [busy(BUSY[1], "Retry-After: 3")] * 4 + [answer(AUDIO)]
    async with RawServer(*scripts) as server, client_of(server, max_attempts=1) as client:
        started = now()
        await client.recordings.download(of_b(), io.BytesIO())
        assert now() - started == pytest.approx(12, abs=0.1)
        assert client.stats.in_flight == 0


async def test_a_refusal_of_the_api_beyond_the_deadline_fails_now() -> None:
    """As every direct call does, and with the time that it named."""
    async with RawServer(busy(BUSY[0], "Retry-After: 60")) as server, client_of(server) as client:
        started = now()
        with pytest.raises(RateLimitedError) as caught:
            await client.recordings.download(of_b(), io.BytesIO(), timeout=59)
        assert (caught.value.retry_after, len(server.requests)) == (60, 1)
        assert now() - started < 1


async def test_a_refusal_behind_a_redirect_is_the_storages() -> None:
    """The API redirects, the storage is busy: its pause is kept to, and the limiter hears nothing of it."""
    async with (
        RawServer(busy(BUSY[0], "Retry-After: 5"), answer(AUDIO)) as storage,
        RawServer(redirect(f"{storage.origin}/x")) as api,
        client_of(api) as client,
    ):
        started = now()
        recording = known("https://storage.example/mp3", format="mp3")
        await client.recordings.download(recording, io.BytesIO(), format="wav")
        assert now() - started == pytest.approx(5, abs=0.1)
        assert client.stats.refused == 0


# Redirects of a storage


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Moved", "308 Moved"])
async def test_one_redirect_of_a_storage_is_followed_without_the_key(status: str) -> None:
    """To wherever it keeps the bytes; the range goes along."""
    async with RawServer(cut(1000, *OFFERED), part(1000)) as far:
        moved = answer(b"", f"Location: {far.origin}/elsewhere?sig=2", status=status)
        target = io.BytesIO()
        got, asked, _ = await stored(moved, target=target)
        assert (target.getvalue(), got.resumed, asked) == (AUDIO, 1, 2)
        assert [b"Range: bytes=1000-" in request for request in far.requests] == [False, True]
        assert not any(b"authorization" in request.lower() for request in far.requests)


@pytest.mark.parametrize("to", ["http://storage.example/x", "ftp://127.0.0.1/x", "https://u:p@h/x", ""])
async def test_a_storages_redirect_elsewhere_is_refused(to: str) -> None:
    """Not encrypted, another scheme, a user name, no target: not followed, and not tried again."""
    with pytest.raises(UnexpectedRedirectError):
        await stored(redirect(to), answer(AUDIO))


async def test_a_second_redirect_of_a_storage_is_refused() -> None:
    """One is followed; a circle is none."""
    async with RawServer() as far:
        far.script(redirect(f"{far.origin}/again"), answer(AUDIO))
        with pytest.raises(UnexpectedRedirectError):
            await stored(redirect(f"{far.origin}/x"))
        assert len(far.requests) == 1


# Whole


def unsized(count: int, *headers: str) -> Script:
    """A body without a length, which ends where the connection does."""
    head = "\r\n".join(["HTTP/1.1 200 OK", "Content-Type: audio/mpeg", "Connection: close", *headers])
    return closing(f"{head}\r\n\r\n".encode() + AUDIO[:count])


@pytest.mark.parametrize("count", [1, 40_000, len(AUDIO) - 1])
async def test_a_body_without_a_length_is_whole_only_at_its_size(count: int) -> None:
    """A connection closed early is not taken for the end; three attempts, then an error."""
    with pytest.raises(ConnectionLostError, match=f"{count} of {len(AUDIO)} bytes"):
        await stored(unsized(count), size=len(AUDIO))
    target = io.BytesIO()
    _, asked, _ = await stored(unsized(count), unsized(len(AUDIO)), target=target, size=len(AUDIO))
    assert (target.getvalue(), asked) == (AUDIO, 2)


async def test_a_body_without_a_length_is_resumed() -> None:
    """Where the server offers that, nothing comes twice."""
    target = io.BytesIO()
    got, _, _ = await stored(unsized(1000, *OFFERED[:2]), part(1000), target=target, size=len(AUDIO))
    assert (target.getvalue(), got.resumed, got.restarted) == (AUDIO, 1, 0)


async def test_a_length_below_the_size_is_refused_before_the_body() -> None:
    """It is not whole, however exactly it keeps to its own length."""
    with pytest.raises(ResponseBodyError, match=f"1000 bytes, although the recording has {len(AUDIO)}"):
        await stored(answer(AUDIO[:1000]), size=len(AUDIO))
    got, asked, _ = await stored(answer(AUDIO[:1000]), answer(AUDIO), size=len(AUDIO))
    assert (got.bytes_written, asked) == (len(AUDIO), 2)


async def test_without_a_size_the_end_is_believed() -> None:
    """As in a list of revision B; and more than the size is no fault."""
    assert (await stored(unsized(1000), size=None))[0].bytes_written == 1000
    assert (await stored(unsized(1000), size=999))[0].bytes_written == 1000


async def test_the_size_is_found_out_with_the_link() -> None:
    """By id: the retrieve says both."""
    async with RawServer(unsized(1000)) as storage:
        fields = {"id": ID, "object": "recording", "status": "ready", "download_url": f"{storage.origin}/x"}
        async with RawServer(answer(json.dumps(fields | {"size": 2000}).encode())) as api, client_of(api) as client:
            with pytest.raises(ConnectionLostError, match="1000 of 2000"):
                await client.recordings.download(ID, io.BytesIO())
