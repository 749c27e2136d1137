"""What a part is at each moment, on disk: the file, its record, and the name that it takes at the end."""

import errno
import os
import stat

import pytest
from support.processes import posix

from kallglot_async._wire import part_file
from kallglot_async._wire.part_file import PartFile

RECORD = b'{"etag": "1"}'


@pytest.fixture
def target(tmp_path):
    """Where the download is to be."""
    return tmp_path / "x.mp3"


def left(target):
    """Return what is in the directory, each file with its bytes."""
    return {path.name: path.read_bytes() for path in target.parent.iterdir()}


def begun(target, data=b"abc", *, mode=None):
    """Return a part that holds this much of what its record says."""
    part = PartFile(target, mode)
    part.begin(RECORD)
    part.append(data)
    return part


@pytest.mark.parametrize("name", ["x" * 255, "x" * 246, "語" * 84, "é" * 125 + ".mp3"])
class TestALongName:
    def test_it_is_gone_on_with_and_becomes_the_file(self, tmp_path, name):
        """Where the name has room for itself, and none for an ending: the part's is another, and the same each time."""
        target = tmp_path / name
        begun(target).close(is_kept=True)
        assert all(file.endswith((".part", ".part.json")) for file in left(target))
        part = PartFile(target, None)
        assert (part.size, part.record) == (3, RECORD)
        part.become(target, mode=None, overwrite=False)
        assert left(target) == {name: b"abc"}

    def test_another_name_that_begins_alike_has_another_part(self, tmp_path, name):
        """What is cut off tells them apart."""
        first, second = begun(tmp_path / name), begun(tmp_path / f"{name[:-1]}y", b"other")
        assert first.size == 3
        assert len(left(tmp_path / name)) == 4
        first.close(is_kept=False)
        second.close(is_kept=False)


@posix
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of threads in a process that forks
def test_a_forked_child_holds_up_no_other_download(target):
    """As a worker of a pool that was made in the middle of this one: it has the file, too, and lives on."""
    part = begun(target)
    (answer, answered), (stop, stopping) = os.pipe(), os.pipe()
    if (pid := os.fork()) == 0:
        os.close(stopping)
        os.write(answered, b"1")
        os.read(stop, 1)
        os._exit(0)
    os.read(answer, 1)
    part.close(is_kept=True)
    again = PartFile(target, None)
    assert again.size == 3
    again.close(is_kept=False)
    os.close(stopping)
    os.waitpid(pid, 0)
    for descriptor in (answer, answered, stop):
        os.close(descriptor)


def test_a_file_that_cannot_be_replaced_is_written_over(target, monkeypatch):
    """As one that is a mount of its own: else no download into it would ever end."""
    target.write_bytes(b"a longer one, of before")
    number = target.stat().st_ino

    def busy(*paths):
        raise OSError(errno.EBUSY, "Device or resource busy")

    monkeypatch.setattr(os, "replace", busy)
    begun(target).become(target, mode=0o644, overwrite=True)
    assert left(target) == {"x.mp3": b"abc"}
    assert target.stat().st_ino == number


class TestGoingOn:
    def test_a_new_one_is_empty_and_of_nothing_known(self, target):
        part = PartFile(target, None)
        assert (part.size, part.record, part.is_open) == (0, None, True)
        part.close(is_kept=False)
        assert left(target) == {}

    def test_what_was_kept_is_appended_to_and_is_of_what_it_was(self, target):
        begun(target).close(is_kept=True)
        part = PartFile(target, None)
        assert (part.size, part.record) == (3, RECORD)
        part.append(b"def")
        part.close(is_kept=True)
        assert left(target) == {"x.mp3.part": b"abcdef", "x.mp3.part.json": RECORD}

    @pytest.mark.parametrize("record", [b"other", None])
    def test_beginning_anew_forgets_the_bytes_and_what_they_were_of(self, target, record):
        """A shorter one leaves no end of the longer; what nobody could go on with has no record."""
        part = begun(target, b"a long one")
        part.begin(record)
        part.append(b"new")
        assert part.record == record
        part.close(is_kept=True)
        records = {} if record is None else {"x.mp3.part.json": record}
        assert left(target) == {"x.mp3.part": b"new"} | records

    def test_no_record_ever_stands_beside_bytes_of_something_else(self, target, monkeypatch):
        """Whenever the process ends: the old record goes before the old bytes, the new one comes after."""
        part = begun(target)
        moments = []

        class Watched:
            def __getattr__(self, name):
                moments.append((name, left(target)))
                return getattr(file, name)

        file = part._file
        monkeypatch.setattr(part, "_file", Watched())
        part.begin(b"other")
        assert moments == [("seek", {"x.mp3.part": b"abc"}), ("truncate", {"x.mp3.part": b"abc"})]
        file.close()

    def test_a_write_that_takes_a_part_of_it_is_gone_on_with(self, target, monkeypatch):
        """As a full disk, or a signal, may leave it."""
        part = PartFile(target, None)
        written = []

        class Narrow:
            def write(self, data):
                written.append(bytes(data[:2]))
                return len(data[:2])

        file = part._file
        monkeypatch.setattr(part, "_file", Narrow())
        part.append(b"abcde")
        assert written == [b"ab", b"cd", b"e"]
        file.close()


class TestTheEnd:
    @pytest.mark.parametrize("has_locks", [True, False])
    def test_it_takes_the_name_and_leaves_nothing(self, target, has_locks, monkeypatch):
        monkeypatch.setattr(part_file, "_HAS_LOCKS", has_locks and part_file._HAS_LOCKS)
        part = begun(target)
        part.become(target, mode=None, overwrite=False)
        assert (left(target), part.is_open) == ({"x.mp3": b"abc"}, False)
        part.close(is_kept=False)  # twice is fine, and takes nothing away
        assert left(target) == {"x.mp3": b"abc"}

    @pytest.mark.parametrize("has_links", [True, False])
    def test_a_name_that_is_taken_is_replaced_only_when_told(self, target, has_links, monkeypatch):
        """Also on a file system that has no links, where a rename would replace it."""

        def no_link(*_):
            raise OSError(errno.EPERM, "no links here")

        if not has_links:
            monkeypatch.setattr(os, "link", no_link)
        target.write_bytes(b"mine")
        part = begun(target)
        with pytest.raises(FileExistsError):
            part.become(target, mode=None, overwrite=False)
        assert left(target)["x.mp3"] == b"mine"
        part.become(target, mode=None, overwrite=True)
        assert left(target) == {"x.mp3": b"abc"}

    def test_without_links_a_free_name_is_taken_by_renaming(self, target, monkeypatch):
        def no_link(*_):
            raise OSError(errno.EPERM, "no links here")

        monkeypatch.setattr(os, "link", no_link)
        begun(target).become(target, mode=None, overwrite=False)
        assert left(target) == {"x.mp3": b"abc"}

    @posix
    @pytest.mark.parametrize(("mode", "meanwhile"), [(0o400, 0o600), (0o640, 0o640), (0o4755, 0o755)])
    def test_nobody_else_sees_it_meanwhile_than_who_sees_what_it_replaces(self, target, mode, meanwhile):
        """We can write to it all the same; the very permissions come with the name."""
        part = begun(target, mode=mode)
        path = target.with_name("x.mp3.part")
        assert stat.S_IMODE(path.stat().st_mode) == meanwhile
        part.become(target, mode=mode, overwrite=True)
        assert stat.S_IMODE(target.stat().st_mode) == mode

    @posix
    def test_permissions_that_are_the_same_are_not_set(self, target, monkeypatch):
        """On a share of the network all files have the same, and setting them is refused."""

        def refuse(*_):
            raise PermissionError(errno.EPERM, "no permissions here")

        target.write_bytes(b"mine")
        monkeypatch.setattr(os, "chmod", refuse)
        mode = target.stat().st_mode
        begun(target, mode=mode).become(target, mode=mode, overwrite=True)
        assert left(target) == {"x.mp3": b"abc"}

    def test_what_is_not_kept_goes_with_its_record(self, target):
        begun(target).close(is_kept=False)
        assert left(target) == {}


class TestWhoElseIsThere:
    @posix
    def test_a_second_one_is_refused_until_the_first_has_ended(self, target):
        """And takes nothing from it."""
        first = begun(target)
        with pytest.raises(FileExistsError, match="another download"):
            PartFile(target, None)
        assert left(target) == {"x.mp3.part": b"abc", "x.mp3.part.json": RECORD}
        first.close(is_kept=True)
        PartFile(target, None).close(is_kept=True)

    @posix
    @pytest.mark.parametrize("name", ["x.mp3.part", "x.mp3.part.json"])
    def test_a_link_is_never_followed(self, target, name):
        """Whoever put it there would have us write into what it shows; an empty part is not left either."""
        other = target.with_name("other")
        other.write_bytes(b"theirs")
        target.with_name(name).symlink_to(other)
        with pytest.raises(OSError):
            PartFile(target, None)
        assert set(left(target)) == {"other", name}
        assert other.read_bytes() == b"theirs"

    def test_a_record_is_read_up_to_its_bound(self, target):
        """Whatever lies there under that name."""
        target.with_name("x.mp3.part.json").write_bytes(b"x" * 65_537)
        part = PartFile(target, None)
        assert part.record == b"x" * 65_536
        part.close(is_kept=False)

    @posix
    def test_a_part_that_is_a_finished_file_too_is_let_go(self, target):
        """Its process was killed between the two: the finished one keeps its bytes."""
        target.write_bytes(b"whole")
        os.link(target, target.with_name("x.mp3.part"))
        part = PartFile(target, None)
        assert part.size == 0
        part.append(b"new")
        assert left(target) == {"x.mp3": b"whole", "x.mp3.part": b"new"}
        part.close(is_kept=False)
