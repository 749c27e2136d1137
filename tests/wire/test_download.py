"""The audio of recordings: what is sent where, what lands in the file, and what a broken connection leaves.

Downloads to a path write in threads, which a virtual clock cannot see: those tests run on the real one, and
nothing in them waits.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import gzip
import io
import json
import os
import tempfile
import tracemalloc
import warnings
from collections.abc import AsyncIterator
from pathlib import Path
from traceback import TracebackException
from typing import Any, NamedTuple

import aiohttp
import anyio
import pytest
from support.audio import AUDIO, ID, KEY, OFFERED, client_of, cut, known, of_b, part, redirect
from support.wire_faults import Connection, Fault, RawServer, answer, closing, silent

from kallglot_async import (
    AuthenticationError,
    ConfigurationError,
    ConnectionLostError,
    Download,
    InvalidIdError,
    InvalidResponseError,
    KallglotClient,
    KallglotError,
    NotFoundError,
    RequestTimeoutError,
    ResponseBodyError,
    ResponseTooLargeError,
    ServerError,
    UnexpectedRedirectError,
)
from kallglot_async._wire.sink import FileSink
from kallglot_async.emulator import Emulator
from kallglot_async.models import Channel

OF_AUDIO = {"a": "storage.fetch", "b": "recordings.audio"}


class Rig(NamedTuple):
    """An emulator with one recording, and a client of it."""

    emulator: Emulator
    client: KallglotClient
    id: str

    @property
    def operations(self) -> list[tuple[str | None, int | None]]:
        return [(entry.operation, entry.status) for entry in self.emulator.journal]


@contextlib.asynccontextmanager
async def rig(
    revision: Any, *faults: Fault, server: dict[str, Any] | None = None, **options: Any
) -> AsyncIterator[Rig]:
    settings: dict[str, Any] = {"revision": revision, "plan": "unlimited", "faults": faults, "api_key": KEY}
    async with (
        Emulator(**(settings | (server or {}))) as emulator,
        KallglotClient(KEY, base_url=emulator.base_url, **({"random": lambda: 0.0} | options)) as client,
    ):
        [session] = emulator.sessions.seed(1)
        yield Rig(emulator, client, emulator.sessions[session].recordings[0])


async def by_redirect(client: KallglotClient, to: Any) -> Download:
    """Revision A, in another format than the link is for: the API is asked, and redirects."""
    return await client.recordings.download(known("https://storage.example/mp3", format="mp3"), to, format="wav")


# The whole way


@pytest.mark.parametrize("revision", ["a", "b"])
async def test_audio_lands_in_a_file(revision: Any, tmp_path: Path) -> None:
    """By id, which costs a retrieve, and by recording, which does not; the bytes are the server's."""
    async with rig(revision) as (emulator, client, id):
        recording = await client.recordings.retrieve(id)
        assert (recording.id, recording.is_ready, recording.channel) == (id, True, Channel.MIXED)
        first = await client.recordings.download(id, tmp_path / "1.mp3")
        assert first == Download(
            id=id, path=str(tmp_path / "1.mp3"), bytes_written=int(recording.size or 0), content_type="audio/mpeg"
        )
        await client.recordings.download(recording, str(tmp_path / "2.mp3"))
        assert (tmp_path / "1.mp3").read_bytes() == (tmp_path / "2.mp3").read_bytes()
        assert (tmp_path / "1.mp3").stat().st_size == recording.size
        assert sorted(os.listdir(tmp_path)) == ["1.mp3", "2.mp3"]
        asked = [entry.operation for entry in emulator.journal]
        assert asked == ["recordings.retrieve"] * 2 + [OF_AUDIO[revision]] * 2
        assert {entry.status for entry in emulator.journal} == {200}


async def test_a_file_has_the_permissions_of_any_new_file(tmp_path: Path) -> None:
    """It is nobody's secret temporary file: the umask decides."""
    (tmp_path / "plain").write_bytes(b"")
    async with rig("b") as (_, client, id):
        await client.recordings.download(id, tmp_path / "x.mp3")
    assert (tmp_path / "x.mp3").stat().st_mode == (tmp_path / "plain").stat().st_mode


async def test_another_format_is_had_by_the_documented_redirect(tmp_path: Path) -> None:
    """Revision A: the API redirects to a link, which is asked without the key."""
    async with rig("a") as (emulator, client, id):
        got = await client.recordings.download(id, tmp_path / "x.wav", format="wav")
        assert got.content_type == "audio/wav"
        assert (tmp_path / "x.wav").read_bytes()[:4] == b"RIFF"
        asked = [(entry.operation, entry.status) for entry in emulator.journal]
        assert asked == [("recordings.retrieve", 200), ("recordings.download", 302), ("storage.fetch", 200)]


async def test_revision_b_has_no_choice_of_format() -> None:
    """It says so instead of delivering something else."""
    async with rig("b") as (_, client, id):
        with pytest.raises(ConfigurationError, match="mp3 only"):
            await client.recordings.download(id, io.BytesIO(), format="wav")


@pytest.mark.looptime
async def test_progress_is_told_and_counts_up() -> None:
    """Bytes so far and in all, ending with everything."""
    seen: list[tuple[int, int | None]] = []
    async with rig("b") as (_, client, id):
        target = io.BytesIO()
        got = await client.recordings.download(id, target, on_progress=lambda *progress: seen.append(progress))
        counts = [received for received, _ in seen]
        assert counts == sorted(counts)
        assert seen[-1] == (got.bytes_written, got.bytes_written)
        assert len(target.getvalue()) == got.bytes_written


async def test_what_a_callback_raises_ends_the_download(tmp_path: Path) -> None:
    """As it is, and there is no file; a TimeoutError of the callback is not taken for ours."""

    def fail(received: int, total: int | None) -> None:
        raise TimeoutError("mine")

    async with rig("b") as (_, client, id):
        with pytest.raises(TimeoutError, match="mine") as caught:
            await client.recordings.download(id, tmp_path / "x", on_progress=fail, timeout=20)
        assert not isinstance(caught.value, KallglotError)
    assert not (tmp_path / "x").exists()


@pytest.mark.looptime
async def test_a_file_object_is_written_from_where_it_stands() -> None:
    """What was there stays; it is neither closed nor rewound."""
    async with rig("a") as (_, client, id):
        target = io.BytesIO(b"head")
        target.seek(0, io.SEEK_END)
        got = await client.recordings.download(id, target)
        assert target.getvalue()[:4] == b"head"
        assert target.tell() == 4 + got.bytes_written
        assert got.path is None


# Faults


@pytest.mark.parametrize("revision", ["a", "b"])
@pytest.mark.parametrize("kind", ["cut_body", "cut_chunked", "reset_in_body"])
async def test_a_cut_connection_is_resumed(revision: Any, kind: Any, tmp_path: Path) -> None:
    """The next request asks for the rest, and the file is whole."""
    async with rig(revision, Fault(kind=kind, operation=OF_AUDIO[revision], times=1)) as (emulator, client, id):  # type: ignore[arg-type]
        whole = io.BytesIO()
        got = await client.recordings.download(id, tmp_path / "x.mp3")
        await client.recordings.download(id, whole)
        assert (got.resumed, got.restarted) == (1, 0)
        assert (tmp_path / "x.mp3").read_bytes() == whole.getvalue()
        statuses = [entry.status for entry in emulator.journal.requests(operation=OF_AUDIO[revision])]
        assert statuses == [200, 206, 200]


@pytest.mark.parametrize("revision", ["a", "b"])
async def test_without_ranges_it_begins_again(revision: Any, tmp_path: Path) -> None:
    """A server that offers no parts sends all of it once more, and nothing is doubled in the file."""
    fault = Fault(kind="cut_body", operation=OF_AUDIO[revision], times=1, headers={"Accept-Ranges": None})  # type: ignore[arg-type]
    async with rig(revision, fault) as (emulator, client, id):
        whole = io.BytesIO()
        got = await client.recordings.download(id, tmp_path / "x.mp3")
        await client.recordings.download(id, whole)
        assert (got.resumed, got.restarted) == (0, 1)
        assert (tmp_path / "x.mp3").read_bytes() == whole.getvalue()
        statuses = [entry.status for entry in emulator.journal.requests(operation=OF_AUDIO[revision])]
        assert statuses == [200, 200, 200]


async def test_a_recording_that_changed_begins_again() -> None:
    """`If-Range` brings the new version whole, and the old bytes are gone."""
    scripts = (cut(1000, *OFFERED), answer(b"new audio", "Accept-Ranges: bytes", 'ETag: "v2"'))
    async with RawServer(*scripts) as server, client_of(server) as client:
        target = io.BytesIO()
        got = await client.recordings.download(of_b(), target)
        assert target.getvalue() == b"new audio"
        assert (got.resumed, got.restarted) == (0, 1)
        assert b"Range: bytes=1000-\r\n" in server.requests[1]
        assert b'If-Range: "v1"\r\n' in server.requests[1]


async def test_it_goes_on_more_than_once() -> None:
    """Every attempt continues where the one before stopped, until the attempts are used up."""
    middle = answer(
        AUDIO[1000:3000],
        f"Content-Range: bytes 1000-{len(AUDIO) - 1}/{len(AUDIO)}",
        *OFFERED,
        length=len(AUDIO) - 1000,
        status="206 Partial Content",
    )
    async with RawServer(cut(1000, *OFFERED), closing(middle), part(3000)) as server, client_of(server) as client:
        target = io.BytesIO()
        got = await client.recordings.download(of_b(), target)
        assert target.getvalue() == AUDIO
        assert got.resumed == 2
    async with RawServer(cut(1000, *OFFERED)) as server, client_of(server, max_attempts=2) as client:
        with pytest.raises(ConnectionLostError) as caught:
            await client.recordings.download(of_b(), io.BytesIO())
        assert caught.value.attempts == len(caught.value.history) == len(server.requests) == 2


async def test_a_wrong_part_is_not_appended() -> None:
    """A server that sends another part than it was asked for costs an attempt, not the audio."""
    async with (
        RawServer(cut(1000, *OFFERED), part(999), answer(AUDIO, *OFFERED)) as server,
        client_of(server) as client,
    ):
        target = io.BytesIO()
        assert (await client.recordings.download(of_b(), target)).restarted == 1
        assert target.getvalue() == AUDIO
        assert b"Range:" not in server.requests[2]


async def test_nothing_left_to_ask_for_is_the_end() -> None:
    """A chunked body cut right behind its last byte: the 416 names our own length."""
    chunked = f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n{OFFERED[0]}\r\n{OFFERED[1]}\r\n\r\n5\r\naudio\r\n"
    over = answer(b"", "Content-Range: bytes */5", status="416 Range Not Satisfiable")
    async with RawServer(closing(chunked.encode()), over) as server, client_of(server) as client:
        target = io.BytesIO()
        assert (await client.recordings.download(of_b(), target)).bytes_written == 5
        assert target.getvalue() == b"audio"
    wrong = answer(b"", "Content-Range: bytes */4", status="416 Range Not Satisfiable")
    async with RawServer(closing(chunked.encode()), wrong, answer(b"other")) as server, client_of(server) as client:
        target = io.BytesIO()
        await client.recordings.download(of_b(), target)
        assert target.getvalue() == b"other"


async def test_the_rest_that_comes_with_200_is_the_rest() -> None:
    """As some gateways and hubs answer a range: taken for the whole, the file would be its own end."""
    rest = f"Content-Range: bytes 1000-{len(AUDIO) - 1}/{len(AUDIO)}"
    async with (
        RawServer(cut(1000, *OFFERED), answer(AUDIO[1000:], rest, *OFFERED)) as server,
        client_of(server) as client,
    ):
        target = io.BytesIO()
        got = await client.recordings.download(of_b(), target)
        assert target.getvalue() == AUDIO
        assert (got.resumed, got.restarted, len(server.requests)) == (1, 0, 2)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (answer(b"<html>", "Content-Type: text/html"), ResponseBodyError),
        (answer(b"{}", "Content-Type: application/json"), ResponseBodyError),
        (answer(b""), ResponseBodyError),
        (answer(b"x", "Content-Encoding: gzip"), ResponseBodyError),
        (answer(b"", status="204 No Content"), ResponseBodyError),
        (answer(b"no", status="503 Service Unavailable"), ServerError),
        (answer(AUDIO, "Content-Range: bytes 5-9/10", status="206 Partial Content"), ResponseBodyError),
        (closing(b"\x15\x03\x01 garbage\r\n\r\n"), KallglotError),
        (closing(), ConnectionLostError),
    ],
)
async def test_what_is_no_audio_is_retried_and_then_an_error(
    body: Any, error: type[KallglotError], tmp_path: Path
) -> None:
    """Three attempts, a typed error, and no file; where a later attempt works, so does the download."""
    async with RawServer(body) as server, client_of(server) as client:
        with pytest.raises(error):
            await client.recordings.download(of_b(), tmp_path / "x")
        assert len(server.requests) == 3
    assert os.listdir(tmp_path) == []
    async with RawServer(body, answer(AUDIO)) as server, client_of(server) as client:
        assert (await client.recordings.download(of_b(), tmp_path / "x")).bytes_written == len(AUDIO)


async def test_the_cap_ends_a_download(tmp_path: Path) -> None:
    """At once by the announced length, while it arrives without one; not retried, nothing left."""
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\naudio\r\n5\r\naudio\r\n0\r\n\r\n"
    for script in (answer(AUDIO), chunked):
        async with RawServer(script) as server, client_of(server) as client:
            with pytest.raises(ResponseTooLargeError) as caught:
                await client.recordings.download(of_b(), tmp_path / "x", max_bytes=9)
            assert caught.value.limit == 9
            assert len(server.requests) == 1
    assert os.listdir(tmp_path) == []


@pytest.mark.looptime
async def test_a_refusal_for_rate_pauses_and_is_not_counted() -> None:
    """Revision B's audio counts against the recordings' limit: 429 is waited out as everywhere."""
    fault = Fault(kind="throttle", operation="recordings.audio", times=1, retry_after=7)
    async with rig("b", fault, max_attempts=1) as (emulator, client, id):
        started = asyncio.get_running_loop().time()
        await client.recordings.download(id, io.BytesIO())
        assert asyncio.get_running_loop().time() - started >= 7
        assert [entry.status for entry in emulator.journal] == [200, 429, 200]
        assert client.stats.in_flight == 0


@pytest.mark.untraced
@pytest.mark.looptime
async def test_downloads_keep_to_the_limit_and_storage_is_none_of_it() -> None:
    """The API's requests take the recordings' slots; pre-signed links take none."""
    async with rig("a", server={"plan": "pro"}) as (emulator, client, id):
        recording = await client.recordings.retrieve(id)
        for _ in range(20):
            await client.recordings.download(recording, io.BytesIO())
        assert client.stats.requests == 1
        assert {entry.group for entry in emulator.journal.requests(operation="storage.fetch")} == {None}
    async with rig("b", server={"plan": "pro"}) as (emulator, client, id):
        for _ in range(20):
            await client.recordings.download(id, io.BytesIO())
        assert emulator.journal.refused == 0
        assert client.stats.requests == client.stats.answered == 40


@pytest.mark.looptime
async def test_a_silent_server_is_left_and_asked_again() -> None:
    """No byte for as long as the client's timeout ends an attempt, although the download has no deadline."""

    async def stall(connection: Connection) -> None:
        await connection.send(answer(AUDIO[:1000], *OFFERED, length=len(AUDIO)))
        await silent(connection)

    async with RawServer(stall, part(1000)) as server, client_of(server, timeout=5.0) as client:
        started = asyncio.get_running_loop().time()
        target = io.BytesIO()
        assert (await client.recordings.download(of_b(), target)).resumed == 1
        assert target.getvalue() == AUDIO
        assert 5 <= asyncio.get_running_loop().time() - started < 7


@pytest.mark.looptime
async def test_a_deadline_ends_it_at_once() -> None:
    """Also where bytes keep coming."""

    async def drip(connection: Connection) -> None:
        await connection.send(answer(b"", *OFFERED, length=len(AUDIO)))
        with contextlib.suppress(ConnectionError):
            while not connection.writer.is_closing():
                await connection.send(b"x")
                await asyncio.sleep(0.5)

    async with RawServer(drip) as server, client_of(server) as client:
        started = asyncio.get_running_loop().time()
        with pytest.raises(RequestTimeoutError, match="4 s") as caught:
            await client.recordings.download(of_b(), io.BytesIO(), timeout=4)
        assert caught.value.timeout == 4
        assert asyncio.get_running_loop().time() - started == pytest.approx(4, abs=0.1)
        assert client.stats.in_flight == 0


async def test_a_refusal_whose_body_is_lost_is_still_one() -> None:
    """The status is its class, not a lost connection; but without its words it may be a gateway's, and is retried."""
    refusal = closing(answer(b"{", status="401 Unauthorized", length=100))
    async with RawServer(refusal) as server, client_of(server) as client:
        with pytest.raises(AuthenticationError):
            await client.recordings.download(of_b(), io.BytesIO())
        assert len(server.requests) == 3


# Credentials


async def test_the_storage_never_sees_the_key() -> None:
    """By link and by redirect: no key, no cookie; the emulator's storage refuses either with 400."""
    async with RawServer(answer(AUDIO)) as storage, RawServer(redirect(f"{storage.origin}/x?sig=1")) as api:
        async with client_of(api) as client:
            await client.recordings.download(known(f"{storage.origin}/direct"), io.BytesIO())
            await by_redirect(client, io.BytesIO())
        assert f"Bearer {KEY}".encode() in api.requests[0]
        assert len(storage.requests) == 2
        for request in storage.requests:
            assert KEY.encode() not in request
            assert b"authorization" not in request.lower()
            assert b"cookie" not in request.lower()


async def test_a_session_of_the_callers_does_not_go_to_the_storage() -> None:
    """Its cookies and default headers are for the API: a link is asked on a connection of the client's own."""
    async with RawServer(answer(AUDIO)) as storage, RawServer(redirect(f"{storage.origin}/x")) as api:
        headers = {"Authorization": "Bearer CANARY", "X-API-Key": "CANARY"}
        jar = aiohttp.CookieJar(unsafe=True)
        async with aiohttp.ClientSession(headers=headers, cookies={"session": "CANARY"}, cookie_jar=jar) as session:
            async with client_of(api, session=session) as client:
                await by_redirect(client, io.BytesIO())
            assert not session.closed
        assert b"CANARY" in api.requests[0]
        assert b"CANARY" not in storage.requests[0]


@pytest.mark.parametrize("target", ["http://storage.example/x", "ftp://127.0.0.1/x", ""])
async def test_an_unencrypted_redirect_is_refused(target: str, tmp_path: Path) -> None:
    """It is not followed, not retried, and nothing is left."""
    async with RawServer(redirect(target)) as server, client_of(server) as client:
        with pytest.raises(UnexpectedRedirectError, match=r"recordings\.download"):
            await by_redirect(client, tmp_path / "x")
        assert len(server.requests) == 1
    assert os.listdir(tmp_path) == []


async def test_only_one_redirect_of_each_is_followed() -> None:
    """The API's to a storage and one of the storage's; a second one is refused, and so is one of revision B's path."""
    async with RawServer() as storage:
        storage.script(redirect(f"{storage.origin}/y"), redirect("https://127.0.0.1:9/"), answer(b"never"))
        async with RawServer(redirect(f"{storage.origin}/x")) as api, client_of(api) as client:
            with pytest.raises(UnexpectedRedirectError):
                await by_redirect(client, io.BytesIO())
            with pytest.raises(UnexpectedRedirectError, match="not expected"):
                await client.recordings.download(of_b(), io.BytesIO())
        assert len(storage.requests) == 2


@pytest.mark.looptime
async def test_an_expired_link_is_asked_for_anew() -> None:
    """A recording that was retrieved long ago works: its link is refused, a new one is fetched and used."""
    async with rig("a", max_attempts=1) as (emulator, client, id):
        recording = await client.recordings.retrieve(id)
        await asyncio.sleep(3600)
        got = await client.recordings.download(recording, io.BytesIO())
        assert got.bytes_written == recording.size
        asked = [(entry.operation, entry.status) for entry in emulator.journal]
        assert asked[1:] == [("storage.fetch", 403), ("recordings.retrieve", 200), ("storage.fetch", 200)]


@pytest.mark.parametrize("status", ["403 Forbidden", "404 Not Found", "400 Bad Request"])
async def test_a_link_that_is_refused_at_once_is_an_error(status: str) -> None:
    """One new link and no more: a storage that refuses a link of this moment will refuse the next."""
    fresh = {"id": ID, "object": "recording", "status": "ready"}
    async with RawServer(answer(b"<Error>CANARY</Error>", status=status)) as storage:
        body = json.dumps(fresh | {"download_url": f"{storage.origin}/new"}).encode()
        async with RawServer(answer(body)) as api, client_of(api) as client:
            with pytest.raises(KallglotError) as caught:
                await client.recordings.download(known(f"{storage.origin}/old"), io.BytesIO())
            assert "CANARY" not in str(caught.value)
            assert (len(api.requests), len(storage.requests)) == (1, 2)


async def test_a_new_link_goes_on_where_the_old_one_stopped() -> None:
    """A link that expires in the middle costs a retrieve, not the bytes."""
    fresh = {"id": ID, "object": "recording", "status": "ready"}
    scripts = (cut(1000, *OFFERED), answer(b"", status="403 Forbidden"), part(1000))
    async with RawServer(*scripts) as storage:
        body = json.dumps(fresh | {"download_url": f"{storage.origin}/new"}).encode()
        async with RawServer(answer(body)) as api, client_of(api) as client:
            target = io.BytesIO()
            got = await client.recordings.download(known(f"{storage.origin}/old"), target)
            assert (target.getvalue(), got.resumed, len(api.requests)) == (AUDIO, 1, 1)


# Files


async def test_an_existing_file_is_kept_unless_asked(tmp_path: Path) -> None:
    """Before anything is sent; with `overwrite` it is replaced at the end, in one step."""
    target = tmp_path / "x.mp3"
    target.write_bytes(b"mine")
    async with rig("b") as (emulator, client, id):
        with pytest.raises(FileExistsError):
            await client.recordings.download(id, target)
        assert (target.read_bytes(), emulator.journal.total) == (b"mine", 0)
        emulator.add_fault(Fault(kind="status", status=404, times=1))
        with pytest.raises(NotFoundError):
            await client.recordings.download(id, target, overwrite=True)
        assert target.read_bytes() == b"mine"
        await client.recordings.download(id, target, overwrite=True)
        assert target.read_bytes() != b"mine"
    assert os.listdir(tmp_path) == ["x.mp3"]


@pytest.mark.parametrize("has_links", [True, False])
async def test_a_file_made_meanwhile_is_kept(has_links: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever was first keeps the name, also on file systems without links."""
    if not has_links:

        def refuse(*_: object, **__: object) -> None:
            raise OSError(1, "no links here")

        monkeypatch.setattr(os, "link", refuse)
    async with rig("b") as (_, client, id):
        await client.recordings.download(id, tmp_path / "fine")
        with pytest.raises(FileExistsError):
            await client.recordings.download(
                id, tmp_path / "x", on_progress=lambda *_: (tmp_path / "x").write_bytes(b"mine")
            )
    assert (tmp_path / "x").read_bytes() == b"mine"
    assert sorted(os.listdir(tmp_path)) == ["fine", "x"]


async def test_a_cancelled_download_leaves_no_file(tmp_path: Path) -> None:
    """Wherever it is cancelled: no file, no litter, no open connection, and the next download is whole."""
    async with rig("b") as (_, client, id):
        steps = 0
        for turns in (0, 1, 2, 5, 10, 20, 40, 80, 160):
            task = asyncio.ensure_future(client.recordings.download(id, tmp_path / f"x{turns}"))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
                steps += 1
            target = tmp_path / f"x{turns}"
            kept = [f"{target.name}.part", f"{target.name}.part.json"]
            assert sorted(os.listdir(tmp_path)) in ([target.name], kept, [])
            assert target.exists() is not task.cancelled()
            if task.cancelled():
                await client.recordings.download(id, target)
            assert os.listdir(tmp_path) == [target.name]
            target.unlink()
        assert client.stats.in_flight == 0
        assert (await client.recordings.download(id, io.BytesIO())).bytes_written > 0
        assert steps < 9


@pytest.mark.untraced
async def test_a_large_body_is_not_held_in_memory(tmp_path: Path) -> None:
    """It is written as it comes, in pieces."""
    size = 32 * 1024 * 1024

    async def send(connection: Connection) -> None:
        await connection.send(answer(b"", *OFFERED, length=size))
        piece = bytes(64 * 1024)
        for _ in range(size // len(piece)):
            await connection.send(piece)

    async with RawServer(send) as server, client_of(server) as client:
        tracemalloc.start()
        await client.recordings.download(of_b(), tmp_path / "x")
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 8 * 1024 * 1024
    assert (tmp_path / "x").stat().st_size == size


async def test_targets_that_cannot_take_bytes_are_refused(tmp_path: Path) -> None:
    """A directory, a missing directory, a text file, something else: before anything is sent."""
    async with rig("b") as (emulator, client, id):
        with pytest.raises(IsADirectoryError):
            await client.recordings.download(id, tmp_path)
        with pytest.raises(FileNotFoundError):
            await client.recordings.download(id, tmp_path / "no" / "x")
        with tempfile.NamedTemporaryFile("w") as wrapped:
            for target in (io.StringIO(), wrapped, 5, None):
                with pytest.raises(ConfigurationError, match="takes bytes"):
                    await client.recordings.download(id, target)  # type: ignore[arg-type]
        for name in ("", "a\0b", tmp_path / "\ud800"):
            with pytest.raises(ConfigurationError, match="to is the name of a file"):
                await client.recordings.download(id, name)
        for options in ({"timeout": 0}, {"max_bytes": 0}, {"format": "flac"}):
            with pytest.raises(ConfigurationError):
                await client.recordings.download(id, io.BytesIO(), **options)
        for wrong in ("sess_1", "rec_", "rec_a/b"):
            with pytest.raises(InvalidIdError):
                await client.recordings.download(wrong, io.BytesIO())
        assert emulator.journal.total == 0


async def test_a_disk_that_is_full_is_the_callers_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes out as it is, is not retried, and leaves nothing."""

    def full(self: object, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(FileSink, "_write", full)
    async with rig("b") as (emulator, client, id):
        with pytest.raises(OSError, match="No space"):
            await client.recordings.download(id, tmp_path / "x")
        assert emulator.journal.total == 2
    assert os.listdir(tmp_path) == []


class Trickle(io.RawIOBase):
    """A raw file that takes at most seven bytes at a time and cannot go back."""

    def __init__(self) -> None:
        self.taken = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.taken += bytes(data[:7])
        return min(7, len(data))


async def test_a_file_object_may_take_less_at_a_time() -> None:
    """What it did not take is offered again."""
    async with RawServer(answer(b"some audio of a call")) as server, client_of(server) as client:
        target = Trickle()
        await client.recordings.download(of_b(), target)
        assert bytes(target.taken) == b"some audio of a call"


class Full(io.RawIOBase):
    """A raw file that takes nothing, and says so in its way."""

    def __init__(self, says: int | None) -> None:
        self.says = says

    def writable(self) -> bool:
        return True

    def write(self, _: Any) -> int | None:
        return self.says


@pytest.mark.parametrize("says", [0, None])
async def test_a_file_object_that_takes_nothing_ends_the_download(says: int | None) -> None:
    """A full pipe that does not block: what it is offered must not be lost, nor offered for ever."""
    async with RawServer(answer(b"audio")) as server, client_of(server) as client:
        with pytest.raises(BlockingIOError, match="takes nothing now"):
            await client.recordings.download(of_b(), Full(says))
        assert len(server.requests) == 1


async def test_a_file_object_that_cannot_go_back_cannot_begin_again() -> None:
    """It can go on, though; where everything would have to come again, the error says what to pass."""
    async with RawServer(cut(1000, *OFFERED), part(1000)) as server, client_of(server) as client:
        target = Trickle()
        assert (await client.recordings.download(of_b(), target)).resumed == 1
        assert bytes(target.taken) == AUDIO
    async with RawServer(cut(1000), answer(AUDIO)) as server, client_of(server) as client:
        with pytest.raises(ConfigurationError, match="can seek"):
            await client.recordings.download(of_b(), Trickle())


async def test_a_temporary_file_can_begin_again() -> None:
    """`tempfile` and opened files seek."""
    async with RawServer(cut(1000), answer(b"whole")) as server, client_of(server) as client:
        with tempfile.TemporaryFile() as target:
            target.write(b"head")
            await client.recordings.download(of_b(), target)
            target.seek(0)
            assert target.read() == b"headwhole"


async def test_any_object_that_seeks_can_begin_again(tmp_path: Path) -> None:
    """Also a wrapper that is no `io` class, and a file of anyio, whose methods are to be awaited."""
    (tmp_path / "x").write_bytes(b"head")
    script = cut(1000), answer(b"whole"), cut(1000), answer(b"whole")
    async with RawServer(*script) as server, client_of(server) as client:
        with tempfile.NamedTemporaryFile() as target:
            target.write(b"head")
            await client.recordings.download(of_b(), target)
            target.seek(0)
            assert target.read() == b"headwhole"
        async with await anyio.open_file(tmp_path / "x", "ab") as file:
            await client.recordings.download(of_b(), file)
        assert (tmp_path / "x").read_bytes() == b"headwhole"
        assert len(server.requests) == 4


class Later:
    """Takes bytes once it is awaited, seven at most at a time."""

    def __init__(self) -> None:
        self.taken = b""

    async def write(self, data: bytes) -> int:
        await asyncio.sleep(0)
        self.taken += data[:7]
        return min(7, len(data))


async def test_a_file_object_that_is_awaited_has_every_byte() -> None:
    """What `write` returns is awaited: nothing is called written that is not, and no coroutine is left over."""
    async with RawServer(answer(b"some audio of a call"), cut(10), answer(b"x")) as server, client_of(server) as client:
        assert (await client.recordings.download(of_b(), target := Later())).bytes_written == len(target.taken) == 20
        assert target.taken == b"some audio of a call"
        with pytest.raises(ConfigurationError, match="can seek"):
            await client.recordings.download(of_b(), Later())


async def test_a_compressing_file_says_that_it_seeks_and_does_not() -> None:
    """That of `gzip` raises once it is to go back: the error says what to pass."""
    async with RawServer(cut(1000), answer(AUDIO)) as server, client_of(server) as client:
        with gzip.open(io.BytesIO(), "wb") as target, pytest.raises(ConfigurationError, match="can seek"):
            await client.recordings.download(of_b(), target)


@pytest.mark.parametrize("status", ["processing", "failed"])
async def test_audio_that_is_not_there_is_an_error_that_says_so(status: str, tmp_path: Path) -> None:
    """One retrieve tells, and nothing is asked of the storage."""
    body = json.dumps({"id": ID, "object": "recording", "status": status}).encode()
    async with RawServer(answer(body)) as server, client_of(server) as client:
        with pytest.raises(InvalidResponseError, match=status):
            await client.recordings.download(ID, tmp_path / "x")
        assert len(server.requests) == 1
    assert os.listdir(tmp_path) == []


async def test_nothing_is_leaked_after_failures() -> None:
    """No warning of an open connection or an unread response."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for script in (cut(10), answer(b"<html>", "Content-Type: text/html"), answer(AUDIO, status="500 Oops")):
            async with RawServer(script) as server, client_of(server) as client:
                with pytest.raises(KallglotError):
                    await client.recordings.download(of_b(), io.BytesIO())
                assert client.stats.in_flight == 0
        gc.collect()


async def test_the_key_is_in_no_error() -> None:
    """Nor in its context or its locals, whatever went wrong."""
    for script in (cut(10), closing(), answer(f'{{"error":{{"message":"{KEY}"}}}}'.encode(), status="401 No")):
        async with RawServer(script) as server, client_of(server, max_attempts=1) as client:
            with pytest.raises(KallglotError) as caught:
                await client.recordings.download(of_b(), io.BytesIO())
            text = "".join(TracebackException.from_exception(caught.value, capture_locals=True).format())
            assert KEY not in str(caught.value)
            # The script of this test holds it, and is a local of this test's own frame.
            assert KEY not in "".join(line for line in text.splitlines() if "script = " not in line)
