"""The right to write: one at a time, gone with its process, refused where there are no locks."""

import errno
import fcntl
import os
import signal
import subprocess
import sys

import pytest
from support.processes import ROOT, posix, process

from kallglot_async import BatchFileError, BatchInUseError
from kallglot_async._durable.lock import WriterLock

pytestmark = posix


def test_one_at_a_time(path):
    """Also within one process; once released, it can be had again, and nothing stays."""
    lock = WriterLock(path)
    with pytest.raises(BatchInUseError, match=r"nightly\.kallglot is being written to by another run"):
        WriterLock(path)
    lock.release()
    WriterLock(path).release()
    assert os.listdir(path.parent) == []


def test_a_link_is_the_file_it_leads_to(path):
    """One lock, whatever the file is called."""
    link = path.with_name("tonight")
    link.symlink_to(path)
    lock = WriterLock(link)
    with pytest.raises(BatchInUseError):
        WriterLock(path)
    lock.release()
    assert os.listdir(path.parent) == ["tonight"]


HOLDING = """
import sys, time
from pathlib import Path
from kallglot_async._durable.lock import WriterLock
lock = WriterLock(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


async def test_a_kill_leaves_no_lock(path):
    """What stays of it is a file that holds nobody up."""
    async with process(str(path), code=HOLDING) as child:
        assert await child.stdout.readline() == b"held\n"
        with pytest.raises(BatchInUseError):
            WriterLock(path)
        child.send_signal(signal.SIGKILL)
        await child.wait()
    assert os.listdir(path.parent) == ["nightly.kallglot-lock"]
    WriterLock(path).release()


FORKING = """
import os, sys, signal
from pathlib import Path
from kallglot_async._durable.lock import WriterLock
lock = WriterLock(Path(sys.argv[1]))
if os.fork() == 0:
    lock.release()
    print("forked", flush=True)
    sys.stdin.read()
    os._exit(0)
sys.stdin.read()
"""


def test_a_forked_child_has_no_lock(path):
    """It gives none away, and where its parent is killed, whoever comes next has it, though the child lives on."""
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", FORKING, str(path)], env=env, **pipes) as parent:
        assert parent.stdout.readline() == b"forked\n"
        with pytest.raises(BatchInUseError):
            WriterLock(path)
        parent.kill()
        parent.wait()
        WriterLock(path).release()
        # Its child lives until its input ends, which is now.


def test_a_lock_that_was_removed_meanwhile_is_no_lock(path, monkeypatch):
    """Whoever waited for the file that its holder removes takes the next one."""
    real, taken = fcntl.flock, []

    def flock(descriptor, how):
        if not taken:
            os.unlink(f"{path}-lock")
        taken.append(descriptor)
        real(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", flock)
    lock = WriterLock(path)
    assert len(taken) == 2
    with pytest.raises(BatchInUseError):
        WriterLock(path)
    lock.release()


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_refused(path, monkeypatch, number):
    """As some network shares are; the error says what to do."""

    def flock(descriptor, how):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(BatchFileError, match=r"cannot lock .*: .*; name a file on a local disk") as caught:
        WriterLock(path)
    assert not isinstance(caught.value, BatchInUseError)
