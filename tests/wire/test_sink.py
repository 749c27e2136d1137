"""What a download replaces and what it does not, whose permissions a file has, and what a full disk says."""

from __future__ import annotations

import asyncio
import os
import resource
import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from support.audio import AUDIO, OFFERED, client_of, of_b, part
from support.processes import posix
from support.wire_faults import RawServer, answer

from kallglot_async import ConfigurationError, Download

pytestmark = posix


async def download(path: Any, *scripts: Any, **options: Any) -> Download:
    async with RawServer(*(scripts or (answer(AUDIO, *OFFERED),))) as server, client_of(server) as client:
        return await client.recordings.download(of_b(), path, **options)


async def refused(path: Any, **options: Any) -> OSError:
    """The error of a download that is refused before any request."""
    async with RawServer(answer(AUDIO)) as server, client_of(server) as client:
        with pytest.raises(OSError) as caught:  # which, the caller looks at
            await client.recordings.download(of_b(), path, **options)
        assert server.requests == []
        return caught.value


def bind(path: Path) -> None:
    # A relative name, as that of an address is short.
    before = os.getcwd()
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path.name)
    finally:
        os.chdir(before)


@pytest.mark.parametrize("overwrite", [True, False])
@pytest.mark.parametrize(
    ("make", "kind"), [(os.mkfifo, FileExistsError), (os.mkdir, IsADirectoryError), (bind, FileExistsError)]
)
async def test_only_regular_files_are_replaced(
    make: Callable[[Path], None], kind: type[OSError], overwrite: bool, tmp_path: Path
) -> None:
    """A FIFO, a directory, a socket: refused at once, named, and still there; also behind a link."""
    make(tmp_path / "x")
    (tmp_path / "link").symlink_to(tmp_path / "x")
    mode = (tmp_path / "x").stat().st_mode
    for name in ("x", "link"):
        error = await refused(tmp_path / name, overwrite=overwrite)
        assert (type(error), error.filename) == (kind, str(tmp_path / name))
    assert (tmp_path / "x").stat().st_mode == mode
    assert sorted(os.listdir(tmp_path)) == ["link", "x"]


async def test_a_relative_path_is_of_the_directory_in_which_it_began(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process may go elsewhere meanwhile, as one does that becomes a daemon."""
    there = tmp_path / "there"
    there.mkdir()
    monkeypatch.chdir(tmp_path)
    got = await download("x.mp3", on_progress=lambda received, total: os.chdir(there))
    assert (got.path, os.listdir(there)) == ("x.mp3", [])
    assert (tmp_path / "x.mp3").read_bytes() == AUDIO


async def test_what_is_open_already_is_not_replaced(tmp_path: Path) -> None:
    """The file behind it is somebody's log; audio goes into the file object."""
    (tmp_path / "log").write_bytes(b"before")
    with (tmp_path / "log").open("ab") as opened:
        error = await refused(Path(f"/dev/fd/{opened.fileno()}"), overwrite=True)
    assert isinstance(error, FileExistsError)
    assert "pass the file object" in str(error)
    assert (tmp_path / "log").read_bytes() == b"before"
    assert os.listdir(tmp_path) == ["log"]


@pytest.mark.parametrize("device", ["/dev/null", "/dev/full", "/dev/stdin"])
async def test_a_device_is_not_replaced(device: str) -> None:
    """As root it could be, and the machine would be short of one."""
    error = await refused(device, overwrite=True)
    assert isinstance(error, FileExistsError)


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o444, 0o777])
async def test_the_permissions_of_what_is_replaced_are_kept(mode: int, tmp_path: Path) -> None:
    """And nobody sees the audio meanwhile who could not see the file before."""
    target, seen = tmp_path / "x", []
    target.write_bytes(b"old")
    target.chmod(mode)
    await download(
        target,
        overwrite=True,
        on_progress=lambda *_: seen.append(stat.S_IMODE((tmp_path / "x.part").stat().st_mode)),
    )
    assert set(seen) == {mode | 0o600}
    assert (stat.S_IMODE(target.stat().st_mode), target.read_bytes()) == (mode, AUDIO)


@pytest.mark.parametrize("links", [1, 3])
async def test_the_target_of_a_link_is_replaced(links: int, tmp_path: Path) -> None:
    """In its own directory, through any number of links, which stay links."""
    (tmp_path / "there").mkdir()
    (tmp_path / "here").mkdir()
    target = tmp_path / "there" / "x"
    target.write_bytes(b"old")
    target.chmod(0o640)
    path = target
    for number in range(links):
        link = tmp_path / "here" / f"link{number}"
        link.symlink_to(Path("..") / path.relative_to(tmp_path))
        path = link
    got = await download(path, overwrite=True)
    assert (got.path, path.is_symlink(), target.is_symlink()) == (str(path), True, False)
    assert (target.read_bytes(), stat.S_IMODE(target.stat().st_mode)) == (AUDIO, 0o640)
    assert os.listdir(tmp_path / "there") == ["x"]
    assert len(os.listdir(tmp_path / "here")) == links


async def test_without_overwrite_a_link_is_a_file_that_exists(tmp_path: Path) -> None:
    """To a file, and to nothing; with it, the latter makes what it names."""
    (tmp_path / "file").write_bytes(b"mine")
    (tmp_path / "to_file").symlink_to("file")
    (tmp_path / "to_nothing").symlink_to("new")
    for name in ("to_file", "to_nothing"):
        assert isinstance(await refused(tmp_path / name), FileExistsError)
    await download(tmp_path / "to_nothing", overwrite=True)
    assert (tmp_path / "new").read_bytes() == AUDIO
    assert (tmp_path / "to_nothing").is_symlink()
    (tmp_path / "round").symlink_to("round")
    assert "round" in str(await refused(tmp_path / "round", overwrite=True))


async def test_what_becomes_something_else_meanwhile_is_kept(tmp_path: Path) -> None:
    """A file that turned into a directory, and a link that leads elsewhere by then."""
    target = tmp_path / "x"

    def turn(*_: object) -> None:
        if target.is_file():
            target.unlink()
            target.mkdir()

    target.write_bytes(b"old")
    with pytest.raises(IsADirectoryError):
        await download(target, overwrite=True, on_progress=turn)
    assert target.is_dir()
    link = tmp_path / "link"
    link.symlink_to("one")

    def lead_elsewhere(*_: object) -> None:
        link.unlink()
        link.symlink_to("two")

    with pytest.raises(FileExistsError, match="another place"):
        await download(link, overwrite=True, on_progress=lead_elsewhere)
    assert not (tmp_path / "one").exists()
    assert not (tmp_path / "two").exists()


async def test_a_full_disk_names_the_file_and_keeps_what_it_holds(tmp_path: Path) -> None:
    """The system's own error has no name; with room again, the next download goes on."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(OSError) as caught:  # its number depends on the limit
            await download(tmp_path / "x")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.filename == str(tmp_path / "x")
    assert str(tmp_path / "x") in str(caught.value)
    assert (tmp_path / "x.part").read_bytes() == AUDIO[:4096]
    got = await download(tmp_path / "x", part(4096))
    assert (got.resumed, (tmp_path / "x").read_bytes()) == (1, AUDIO)


@pytest.fixture
def full() -> Iterator[BinaryIO]:
    with open("/dev/full", "wb", buffering=0) as file:
        yield file


async def test_a_full_disk_names_the_file_of_a_file_object(full: BinaryIO) -> None:
    """Where it has a name: `/dev/full` is a disk without room."""
    with pytest.raises(OSError, match="No space left") as caught:
        await download(full)
    assert caught.value.filename == "/dev/full"


async def test_a_directory_that_is_missing_is_named(tmp_path: Path) -> None:
    """Before any request."""
    assert str(tmp_path / "no" / "x") in str(await refused(tmp_path / "no" / "x"))
    (tmp_path / "file").write_bytes(b"")
    assert isinstance(await refused(tmp_path / "file" / "x", overwrite=True), NotADirectoryError)


async def test_downloads_side_by_side_do_not_meet(tmp_path: Path) -> None:
    """Twenty at once into one directory, each whole, and nothing else there."""
    async with RawServer(answer(AUDIO, *OFFERED)) as server, client_of(server) as client:
        calls = [client.recordings.download(of_b(), tmp_path / f"x{number}") for number in range(20)]
        await asyncio.gather(*calls)
    assert len(os.listdir(tmp_path)) == 20
    assert {(tmp_path / name).read_bytes() for name in os.listdir(tmp_path)} == {AUDIO}


async def test_a_file_object_that_awaits_what_was_cancelled_has_failed() -> None:
    """Nobody has cancelled the call, and so it does not look like that."""

    class Broken:
        async def write(self, data: bytes) -> None:
            cancelled = asyncio.get_running_loop().create_future()
            cancelled.cancel()
            await cancelled

    with pytest.raises(ConfigurationError, match="awaited something that was cancelled"):
        await download(Broken())
