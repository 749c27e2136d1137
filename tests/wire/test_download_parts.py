"""What a download that ends early leaves in the directory, and who goes on with it.

Files are written in threads, which a virtual clock cannot see: these run on the real one, and nothing in them waits.
"""

from __future__ import annotations

import asyncio
import errno
import json
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from support.audio import AUDIO, ID, KEY, OFFERED, client_of, cut, known, of_b, part, redirect
from support.processes import posix, process, until
from support.wire_faults import Connection, RawServer, answer, closing, silent

from kallglot_async import (
    ConnectionLostError,
    Download,
    KallglotError,
    NotFoundError,
    RequestTimeoutError,
    ResponseTooLargeError,
)
from kallglot_async._wire import part_file

LEFT = ["x.mp3.part", "x.mp3.part.json"]
DATED = ("Accept-Ranges: bytes", "Last-Modified: Thu, 26 Mar 2026 11:04:20 GMT", "Date: Thu, 26 Mar 2026 11:05:20 GMT")


async def interrupted(path: Path, *headers: str, count: int = 1000, **options: Any) -> None:
    """Download so many bytes to a file, and lose the connection for good."""
    async with RawServer(cut(count, *(headers or OFFERED))) as server, client_of(server, max_attempts=1) as client:
        with pytest.raises(ConnectionLostError):
            await client.recordings.download(of_b(), path, **options)


async def again(path: Path, *scripts: Any, **options: Any) -> tuple[Download, list[bytes]]:
    """Download to that file with a new client; returns what it gave, and the requests."""
    async with RawServer(*scripts) as server, client_of(server) as client:
        return await client.recordings.download(of_b(), path, **options), server.requests


def stall(count: int) -> Any:
    async def script(connection: Connection) -> None:
        await connection.send(answer(AUDIO[:count], *OFFERED, length=len(AUDIO)))
        await silent(connection)

    return script


@pytest.mark.parametrize("count", [1, 1000, len(AUDIO) - 1])
@pytest.mark.parametrize("offer", [OFFERED, DATED])
async def test_the_next_run_goes_on_with_what_came(count: int, offer: tuple[str, ...], tmp_path: Path) -> None:
    """Every byte that arrived is in the part; the next request asks for the rest of that version."""
    await interrupted(tmp_path / "x.mp3", *offer, count=count)
    assert sorted(os.listdir(tmp_path)) == LEFT
    assert (tmp_path / LEFT[0]).read_bytes() == AUDIO[:count]
    got, requests = await again(tmp_path / "x.mp3", part(count) if offer is OFFERED else tail(count))
    assert f"Range: bytes={count}-\r\nIf-Range: {offer[1].partition(': ')[2]}\r\n".encode() in requests[0]
    assert (got.bytes_written, got.resumed, got.restarted) == (len(AUDIO), 1, 0)
    assert (tmp_path / "x.mp3").read_bytes() == AUDIO
    assert os.listdir(tmp_path) == ["x.mp3"]


def tail(count: int) -> bytes:
    """The rest by a server that has dates and no tags."""
    content_range = f"Content-Range: bytes {count}-{len(AUDIO) - 1}/{len(AUDIO)}"
    return answer(AUDIO[count:], content_range, *DATED, status="206 Partial Content")


async def test_it_goes_on_over_several_runs(tmp_path: Path) -> None:
    """A run that fails again leaves more than it found."""
    await interrupted(tmp_path / "x.mp3")
    middle = answer(
        AUDIO[1000:3000],
        f"Content-Range: bytes 1000-{len(AUDIO) - 1}/{len(AUDIO)}",
        *OFFERED,
        status="206 Partial Content",
        length=len(AUDIO) - 1000,
    )
    with pytest.raises(KallglotError):
        await again(tmp_path / "x.mp3", closing(middle), closing(reset=True))
    assert (tmp_path / LEFT[0]).stat().st_size == 3000
    await again(tmp_path / "x.mp3", part(3000))
    assert (tmp_path / "x.mp3").read_bytes() == AUDIO


async def test_a_part_that_is_complete_is_only_confirmed(tmp_path: Path) -> None:
    """The process ended between the last byte and the name: the 416 names its length."""
    await interrupted(tmp_path / "x.mp3", *OFFERED[:2], count=len(AUDIO) - 1)
    (tmp_path / LEFT[0]).write_bytes(AUDIO)
    over = answer(b"", f"Content-Range: bytes */{len(AUDIO)}", status="416 Range Not Satisfiable")
    got, requests = await again(tmp_path / "x.mp3", over)
    assert (len(requests), got.bytes_written) == (1, len(AUDIO))
    assert (tmp_path / "x.mp3").read_bytes() == AUDIO
    assert os.listdir(tmp_path) == ["x.mp3"]


async def test_a_recording_that_changed_comes_whole(tmp_path: Path) -> None:
    """The server says so by 200, and nothing of the old version stays."""
    await interrupted(tmp_path / "x.mp3")
    got, _ = await again(tmp_path / "x.mp3", answer(b"new", *OFFERED[:1], 'ETag: "v2"'))
    assert (got.bytes_written, got.resumed, got.restarted) == (3, 0, 1)
    assert (tmp_path / "x.mp3").read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["x.mp3"]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda part, record: record.unlink(),
        lambda part, record: record.write_bytes(record.read_bytes()[:-9]),
        lambda part, record: record.write_bytes(b"\xff\x00"),
        lambda part, record: record.write_bytes(record.read_bytes().replace(ID.encode(), b"rec_other")),
        lambda part, record: record.write_bytes(record.read_bytes().replace(b'\\"v1\\"', b'\\"v1\\r\\nX: y\\"')),
        lambda part, record: part.write_bytes(AUDIO + b"more"),
        lambda part, record: part.write_bytes(b""),
        lambda part, record: part.unlink(),
    ],
)
async def test_a_stale_part_is_removed(spoil: Any, tmp_path: Path) -> None:
    """Of something else, unreadable, forged, too long, empty: the audio comes whole, and is right."""
    await interrupted(tmp_path / "x.mp3")
    spoil(tmp_path / LEFT[0], tmp_path / LEFT[1])
    got, requests = await again(tmp_path / "x.mp3", answer(AUDIO, *OFFERED))
    assert b"Range:" not in requests[0]
    assert (got.resumed, got.restarted) == (0, 0)
    assert (tmp_path / "x.mp3").read_bytes() == AUDIO
    assert os.listdir(tmp_path) == ["x.mp3"]


async def test_a_stale_part_is_removed_though_nothing_replaces_it(tmp_path: Path) -> None:
    """A run that gets nowhere does not hand on what nobody can go on with."""
    await interrupted(tmp_path / "x.mp3")
    (tmp_path / LEFT[0]).write_bytes(AUDIO + b"more")
    with pytest.raises(ConnectionLostError):
        await again(tmp_path / "x.mp3", closing())
    assert os.listdir(tmp_path) == []


async def test_another_format_or_recording_does_not_go_on_with_it(tmp_path: Path) -> None:
    """The same path, but other bytes."""
    for changes, wish in (({"id": "rec_2"}, None), ({}, "mp3")):
        await interrupted(tmp_path / "x.mp3")
        recording = known(f"/v1/recordings/{ID}/audio", **changes)
        async with RawServer(answer(AUDIO)) as server, client_of(server) as client:
            await client.recordings.download(recording, tmp_path / "x.mp3", format=wish)
            assert b"Range:" not in server.requests[0]
        assert (tmp_path / "x.mp3").read_bytes() == AUDIO
        (tmp_path / "x.mp3").unlink()


async def test_what_nobody_could_go_on_with_is_not_left(tmp_path: Path) -> None:
    """No offer of parts, a weak tag, no byte at all."""
    for headers in (("Content-Type: audio/mpeg",), ("Accept-Ranges: bytes", 'ETag: W/"v1"')):
        await interrupted(tmp_path / "x.mp3", *headers)
        assert os.listdir(tmp_path) == []
    await interrupted(tmp_path / "x.mp3", *OFFERED, count=0)
    assert os.listdir(tmp_path) == []


async def test_hopeless_ends_leave_nothing(tmp_path: Path) -> None:
    """The audio is gone, too large, or somebody else made a file of that name."""
    with pytest.raises(ResponseTooLargeError):
        await again(tmp_path / "x.mp3", answer(AUDIO, *OFFERED), max_bytes=9)
    assert os.listdir(tmp_path) == []
    await interrupted(tmp_path / "x.mp3")
    with pytest.raises(NotFoundError):
        gone = b'{"error": {"code": "not_found", "message": "no such recording"}}'
        await again(tmp_path / "x.mp3", answer(gone, status="404 Not Found"))
    assert os.listdir(tmp_path) == []
    await interrupted(tmp_path / "x.mp3")
    with pytest.raises(FileExistsError):
        await again(tmp_path / "x.mp3", part(1000), on_progress=lambda *_: (tmp_path / "x.mp3").write_bytes(b"mine"))
    assert (os.listdir(tmp_path), (tmp_path / "x.mp3").read_bytes()) == (["x.mp3"], b"mine")


@pytest.mark.parametrize("how", ["cancel", "timeout", "callback"])
async def test_other_ends_keep_it(how: str, tmp_path: Path) -> None:
    """A cancellation, a deadline, an error of the caller's own: neither hidden files nor a lost byte."""
    begun = asyncio.Event()

    def show(received: int, total: int | None) -> None:
        begun.set()
        if how == "callback":
            raise ValueError

    async with RawServer(stall(1000)) as server, client_of(server) as client:
        seconds = 0.5 if how == "timeout" else None
        call = client.recordings.download(of_b(), tmp_path / "x.mp3", on_progress=show, timeout=seconds)
        task = asyncio.ensure_future(call)
        await begun.wait()
        if how == "cancel":
            task.cancel()
        with pytest.raises((asyncio.CancelledError, RequestTimeoutError, ValueError)):
            await task
        assert client.stats.in_flight == 0
    assert sorted(os.listdir(tmp_path)) == LEFT
    await again(tmp_path / "x.mp3", part(1000))
    assert (tmp_path / "x.mp3").read_bytes() == AUDIO
    assert os.listdir(tmp_path) == ["x.mp3"]


async def test_the_record_holds_no_link(tmp_path: Path) -> None:
    """Who has a pre-signed link can listen to the call: neither it nor the key is written down."""
    async with (
        RawServer(cut(1000, *OFFERED)) as storage,
        RawServer(redirect(f"{storage.origin}/x?sig=CANARY")) as api,
        client_of(api, max_attempts=1) as client,
    ):
        recording = known("https://storage.example/CANARY", format="mp3")
        with pytest.raises(ConnectionLostError):
            await client.recordings.download(recording, tmp_path / "x.mp3", format="wav")
    text = (tmp_path / LEFT[1]).read_text()
    assert json.loads(text) == {
        "recording": ID,
        "format": "wav",
        "validator": '"v1"',
        "total": len(AUDIO),
        "content_type": "audio/mpeg",
    }
    assert KEY not in text


async def test_one_download_at_a_time_has_a_path(tmp_path: Path) -> None:
    """The second is refused before any request, and harms nothing of the first."""
    async with RawServer(stall(1000)) as server, client_of(server) as client:
        begun = asyncio.Event()
        first = asyncio.ensure_future(
            client.recordings.download(of_b(), tmp_path / "x.mp3", on_progress=lambda *_: begun.set())
        )
        await begun.wait()
        for overwrite in (False, True):
            with pytest.raises(FileExistsError, match="under way"):
                await client.recordings.download(of_b(), tmp_path / "x.mp3", overwrite=overwrite)
        assert len(server.requests) == 1
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
    assert (tmp_path / LEFT[0]).read_bytes() == AUDIO[:1000]


@pytest.mark.parametrize("name", LEFT)
@pytest.mark.parametrize("make", [lambda path: path.symlink_to(path.with_name("victim")), os.mkfifo, os.mkdir])
async def test_something_else_of_that_name_is_in_the_way(make: Any, name: str, tmp_path: Path) -> None:
    """A link is not followed, a FIFO not waited for: who may write to the directory cannot lead the audio elsewhere."""
    (tmp_path / "victim").write_bytes(b"mine")
    make(tmp_path / name)
    async with RawServer(answer(AUDIO)) as server, client_of(server) as client:
        with pytest.raises(OSError, match=name.replace(".", r"\.")):
            await client.recordings.download(of_b(), tmp_path / "x.mp3")
        assert server.requests == []
    assert (tmp_path / "victim").read_bytes() == b"mine"
    assert sorted(os.listdir(tmp_path)) == ["victim", name]


async def test_a_part_that_is_a_finished_file_too_is_let_go(tmp_path: Path) -> None:
    """A process that was killed between giving the name and removing the other one left one file with two names."""
    await interrupted(tmp_path / "x.mp3")
    os.link(tmp_path / LEFT[0], tmp_path / "other")
    await again(tmp_path / "x.mp3", answer(AUDIO, *OFFERED))
    assert (tmp_path / "other").read_bytes() == AUDIO[:1000]
    assert (tmp_path / "x.mp3").read_bytes() == AUDIO
    assert sorted(os.listdir(tmp_path)) == ["other", "x.mp3"]


@pytest.mark.parametrize("has_locks", [True, False])
async def test_without_locks_it_goes_on_alike(has_locks: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that knows none, and Windows, where an open file can be neither renamed nor removed."""

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "no locks here")

    monkeypatch.setattr("fcntl.flock", refuse)
    monkeypatch.setattr(part_file, "_HAS_LOCKS", has_locks)
    await interrupted(tmp_path / "x.mp3")
    await again(tmp_path / "x.mp3", part(1000))
    await interrupted(tmp_path / "y.mp3", "Content-Type: audio/mpeg")
    assert (tmp_path / "x.mp3").read_bytes() == AUDIO
    assert os.listdir(tmp_path) == ["x.mp3"]


async def test_a_part_that_gets_its_name_meanwhile_is_not_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another download ended between our opening of its part and our lock: what we hold is its finished file."""
    (tmp_path / LEFT[0]).write_bytes(b"theirs")

    def end(*_: object) -> None:
        monkeypatch.undo()
        (tmp_path / LEFT[0]).rename(tmp_path / "theirs.mp3")

    monkeypatch.setattr("fcntl.flock", end)
    await again(tmp_path / "x.mp3", answer(AUDIO, *OFFERED))
    assert (tmp_path / "theirs.mp3").read_bytes() == b"theirs"
    assert (tmp_path / "x.mp3").read_bytes() == AUDIO


@pytest.mark.untraced
def test_threads_that_want_the_same_file_do_not_mix(tmp_path: Path) -> None:
    """Whoever is second is refused or comes later; what stands there is whole at every moment, and nothing else is."""
    target, ended = tmp_path / "x.mp3", []

    async def loop(letter: bytes) -> None:
        async with RawServer(answer(letter * 200_000, *OFFERED)) as server, client_of(server) as client:
            for _ in range(20):
                try:
                    await client.recordings.download(of_b(), target, overwrite=True)
                    ended.append("whole")
                except FileExistsError:
                    ended.append("refused")
                if target.exists():
                    found = target.read_bytes()
                    assert (len(found), len(set(found))) == (200_000, 1)

    with ThreadPoolExecutor(4) as threads:
        for future in [threads.submit(asyncio.run, loop(letter)) for letter in (b"a", b"b", b"c", b"d")]:
            future.result()
    assert len(ended) == 80
    assert "whole" in ended
    assert os.listdir(tmp_path) == ["x.mp3"]


KILLED = """
import asyncio, sys
from kallglot_async import KallglotClient

async def main():
    async with KallglotClient() as client:
        await client.recordings.download(sys.argv[1], sys.argv[2])

asyncio.run(main())
"""


class Served:
    """The address and the key, as `process` hands them on."""

    api_key = KEY

    def __init__(self, server: RawServer) -> None:
        self.base_url = server.base_url


@posix
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
@pytest.mark.slow
async def test_a_process_that_is_ended_leaves_a_part_and_no_litter(number: int, tmp_path: Path) -> None:
    """Whatever the signal, and although nobody handles it: the next process goes on."""
    body = json.dumps(
        {"id": ID, "object": "recording", "status": "ready", "download_url": f"/v1/recordings/{ID}/audio"}
    )
    target = tmp_path / "x.mp3"
    async with (
        RawServer(answer(body.encode()), stall(1000)) as server,
        process(ID, str(target), server=Served(server), code=KILLED) as child,
    ):
        await until(lambda: (tmp_path / LEFT[0]).exists() and (tmp_path / LEFT[0]).stat().st_size == 1000)
        child.send_signal(number)
        await child.communicate()
    assert sorted(os.listdir(tmp_path)) == LEFT
    got, requests = await again(target, part(1000))
    assert b"Range: bytes=1000-" in requests[0]
    assert (got.resumed, target.read_bytes(), os.listdir(tmp_path)) == (1, AUDIO, ["x.mp3"])


@pytest.mark.parametrize("status", ["412 Precondition Failed", "416 Range Not Satisfiable", "501 Not Implemented"])
async def test_a_part_that_is_refused_is_had_by_the_whole(status: str, tmp_path: Path) -> None:
    """Else each run would ask for the same part again, and none would ever end."""
    await interrupted(tmp_path / "x.mp3")
    got, requests = await again(tmp_path / "x.mp3", answer(b"", status=status), answer(AUDIO, *OFFERED))
    assert (got.bytes_written, got.restarted) == (len(AUDIO), 1)
    assert [b"Range:" in request for request in requests] == [True, False]
    assert os.listdir(tmp_path) == ["x.mp3"]
