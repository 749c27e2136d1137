"""A file that is there whole or not at all."""

import errno
import os
import stat
import threading
from pathlib import Path, PureWindowsPath

import pytest
from support.processes import posix

from kallglot_async import ConfigurationError
from kallglot_async._whole_file import descriptor_of, whole_file


def test_a_file_appears_when_it_is_whole(tmp_path):
    """Not before, and nothing else stays."""
    target = tmp_path / "out"
    with whole_file(target) as file:
        file.write(b"half")
        file.flush()
        assert not target.exists()
    assert target.read_bytes() == b"half"
    assert os.listdir(tmp_path) == ["out"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_what_fails_leaves_what_was_there(tmp_path, error):
    """The old file as it was, or no file; and nothing beside it."""
    old, new = tmp_path / "old", tmp_path / "new"
    old.write_bytes(b"old")
    for target in (old, new):
        with pytest.raises(error), whole_file(target) as file:
            file.write(b"half")
            raise error
    assert old.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["old"]


@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".XZ", ".zip", ".zst"])
def test_a_name_that_promises_compression_is_refused(tmp_path, suffix):
    """Whoever reads it by that name finds text; nothing is written, and what is there stays."""
    target = tmp_path / f"outcomes.jsonl{suffix}"
    target.write_bytes(b"old")
    with pytest.raises(ConfigurationError, match=rf"not compressed: leave out {suffix}"), whole_file(target):
        pass
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == [target.name]


@pytest.mark.parametrize("name", ["x" * 255, "語" * 83, "é" * 127])
def test_a_name_of_the_longest_kind_can_be_written(tmp_path, name):
    """The file beside has a name of its own length, which counts bytes and not characters."""
    target = tmp_path / name
    with whole_file(target) as file:
        file.write(b"1")
    assert target.read_bytes() == b"1"


def test_a_directory_that_is_not_there_is_named(tmp_path):
    """Before anything is written, by the name that the caller gave."""
    with pytest.raises(FileNotFoundError) as caught, whole_file(tmp_path / "no" / "out"):
        pytest.fail("there is no file to write to")
    assert caught.value.filename == str(tmp_path / "no" / "out")


@posix
def test_who_may_read_a_file_stays_as_it_was(tmp_path):
    """Calls are in it: replacing it shows it to nobody else. A link stays a link."""
    target, link = tmp_path / "out", tmp_path / "link"
    target.write_bytes(b"")
    target.chmod(0o600)
    link.symlink_to(target)
    with whole_file(link) as file:
        file.write(b"1")
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert link.is_symlink()
    assert target.read_bytes() == b"1"


@posix
def test_permissions_that_are_the_same_are_not_set(tmp_path, monkeypatch):
    """On a share of the network all files have the same, and setting them is refused."""

    def refuse(*_):
        raise PermissionError(errno.EPERM, "no permissions here")

    (tmp_path / "out").write_bytes(b"")
    monkeypatch.setattr(os, "chmod", refuse)
    with whole_file(tmp_path / "out") as file:
        file.write(b"1")
    assert (tmp_path / "out").read_bytes() == b"1"


@posix
@pytest.mark.parametrize("name", ["/dev/fd/{}", "/proc/self/fd/{}"])
def test_what_is_open_already_is_written_to_and_not_replaced(tmp_path, name):
    """As `/dev/stdout` behind `>>` is: what stands there before, stays."""
    target = tmp_path / "out"
    target.write_bytes(b"before ")
    with target.open("ab") as opened:
        for word in (b"first ", b"second"):
            with whole_file(Path(name.format(opened.fileno()))) as file:
                file.write(word)
        assert not opened.closed
    assert target.read_bytes() == b"before first second"
    assert os.listdir(tmp_path) == ["out"]


def test_standard_streams_have_their_numbers():
    """By their names, on any system; a file of such a name elsewhere is a file."""
    names = ("stdin", "stdout", "stderr", "fd/0", "null")
    assert [descriptor_of(Path(f"/dev/{name}")) for name in names] == [0, 1, 2, 0, None]
    assert descriptor_of(Path("dev/stdout")) is None
    assert descriptor_of(PureWindowsPath("C:/dev/stdout")) == 1  # made absolute, as the paths of tables are


@pytest.mark.parametrize("older", [b"", b"shorter", b"a longer one than the new one"])
def test_a_file_that_cannot_be_replaced_is_written_over(tmp_path, monkeypatch, older):
    """One of the host's that a container has mounted: what was made for it is not lost, and nothing stays beside it."""
    target = tmp_path / "out"
    target.write_bytes(older)
    number = target.stat().st_ino

    def busy(self, target):
        raise OSError(errno.EBUSY, "Device or resource busy")

    monkeypatch.setattr(Path, "replace", busy)
    with whole_file(target) as file:
        file.write(b"the new one")
        file.flush()
        assert target.read_bytes() == older
    assert (target.read_bytes(), target.stat().st_ino) == (b"the new one", number)
    assert os.listdir(tmp_path) == ["out"]


@posix
def test_a_pipe_is_written_to_and_not_replaced(tmp_path):
    """As `--output /dev/stdout` is, and any device."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    with whole_file(pipe) as file:
        file.write(b"1")
    reader.join()
    assert read == [b"1"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)
