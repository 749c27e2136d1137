"""Open files that no forked child has: their locks are the parent's, and end with it."""

import fcntl
import os

import pytest

from kallglot_async._held import hold, let_go

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing is forked"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of threads in a process that forks
]


def locked(path):
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return descriptor


def in_a_child(question):
    """Ask a forked child, which lives on: return what it says, and what ends it."""
    (answer, answered), (stop, stopping) = os.pipe(), os.pipe()
    if (pid := os.fork()) == 0:
        try:
            os.close(stopping)
            os.write(answered, b"1" if question() else b"0")
            os.read(stop, 1)
        finally:
            # Whatever the question raises: it must not go on with the suite.
            os._exit(0)
    os.close(answered)
    said = os.read(answer, 1) == b"1"

    def end():
        os.close(stopping)
        os.waitpid(pid, 0)
        for descriptor in (answer, stop):
            os.close(descriptor)

    return said, end


def test_a_child_has_not_what_is_held(tmp_path):
    """It holds nobody up once the parent has closed it, and what it says to be its own is not."""
    descriptor = locked(tmp_path / "lock")
    hold(descriptor)
    said, end = in_a_child(lambda: let_go(descriptor))
    assert not said
    assert let_go(descriptor)
    assert not let_go(descriptor)
    os.close(descriptor)
    os.close(locked(tmp_path / "lock"))
    end()


def test_a_child_may_close_its_number(tmp_path):
    """Another file of the child must not be there in its place."""
    descriptor = locked(tmp_path / "lock")
    hold(descriptor)
    said, end = in_a_child(lambda: os.close(descriptor) is None)
    end()
    assert said
    assert let_go(descriptor)
    os.close(descriptor)


def test_what_was_let_go_is_left_as_it_is(tmp_path):
    """Its number may be another file's by then."""
    descriptor = locked(tmp_path / "lock")
    hold(descriptor)
    let_go(descriptor)
    said, end = in_a_child(lambda: os.path.samestat(os.fstat(descriptor), os.stat(tmp_path / "lock")))
    end()
    assert said
    os.close(descriptor)


def test_a_child_of_a_process_that_holds_nothing_opens_nothing(monkeypatch):
    """Each fork of whoever has imported this comes here, also where no file can be opened."""
    opened = []
    monkeypatch.setattr(os, "open", lambda *arguments: opened.append(arguments))
    said, end = in_a_child(lambda: not opened)
    end()
    assert said
