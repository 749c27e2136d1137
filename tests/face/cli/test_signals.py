"""What a service manager, a container's stop and a terminal that is closed do to a command: what Ctrl-C does."""

import asyncio
import json
import os
import signal
import termios

import pytest
from support.processes import RUN, finish, half_ready, posix, process, ready, until

from kallglot_async.cli import signals
from kallglot_async.emulator import Emulator, Fault, Latency

pytestmark = posix
HINT = "nothing is requested twice by another run with --batch "
slow = pytest.mark.slow


def never():
    return Emulator(plan="unlimited", latency=Latency.uniform(1e6, 1e6))


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGHUP, marks=slow)])
async def test_what_had_settled_is_printed(number):
    """Every settled line, the count of what was pending, no traceback, and the exit code of the signal."""
    async with half_ready() as server:
        ids = server.seed_analyses(20)
        settled = ready(server, ids)
        async with process("wait", *ids, server=server) as child:
            lines = [json.loads(await child.stdout.readline()) for _ in settled]
            child.send_signal(number)
            out, err = await child.communicate()
    assert (child.returncode, out) == (128 + number, b"")
    assert {line["id"] for line in lines} == settled
    left = len(ids) - len(settled)
    assert err.decode().splitlines()[-1] == f"interrupted: {len(settled)} fine, 0 failed, {left} pending"


@slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
async def test_nothing_is_paid_for_twice(number):
    """The name of the batch is said with its first request, so that another run creates nothing, even after a kill."""
    async with never() as server:
        argv = ["analyze", "sess_1", "sess_2", "sess_3", "--analyses", "summary"]
        async with process(*argv, server=server) as child:
            hint = (await child.stderr.readline()).decode()
            await until(lambda: len(server.analyses()) == 3)
            child.send_signal(number)
            await child.communicate()
        assert hint.startswith(HINT)
        name = hint.removeprefix(HINT).rstrip()
        again = await finish(*argv, "--batch", name, "--total-timeout", "0.5", server=server)
        assert again[0] == 1
        assert HINT not in again[2]  # who gave the name knows it
        assert len(server.analyses()) == 3


@slow
async def test_the_quiet_hear_the_name_when_they_are_interrupted():
    """`--quiet` is silent when all is well, and not when money would be lost."""
    argv = ["analyze", "sess_1", "--analyses", "summary", "-q"]
    async with never() as server, process(*argv, server=server) as child:
        await until(lambda: server.analyses())
        child.terminate()
        _, err = await child.communicate()
    assert child.returncode == 143
    assert err.decode().startswith(HINT)


@slow
@pytest.mark.parametrize("argv", [["get"], ["wait"], ["analyze", "--analyses", "summary"]])
async def test_what_is_pending_is_counted_before_anything_has_settled(argv):
    """Each id once, however often it was given; of a file or a pipe as many as were taken in."""
    hang = Fault(kind="hang")
    ids = ["sess_1", "sess_2", "sess_1"] if argv[0] == "analyze" else ["ana_1", "ana_2", "ana_1"]
    async with Emulator(plan="unlimited", faults=[hang]) as server, process(*argv, *ids, server=server) as child:
        await until(lambda: server.journal.total)  # the first goes alone, to learn the limit
        child.terminate()
        _, err = await child.communicate()
    assert child.returncode == 143
    assert err.decode().splitlines()[-1] == "interrupted: 0 fine, 0 failed, 2 pending"


@slow
@pytest.mark.parametrize("argv", [["get", "-"], ["wait", "-"], ["analyze", "-", "--analyses", "summary"], ["demo"]])
async def test_every_command_ends(argv):
    """Also while standard input is silent, and while nothing has been asked for."""
    async with never() as server, process(*argv, server=server) as child:
        if argv == ["demo"]:
            await child.stderr.readline()
        else:
            child.stdin.write(b"sess_1\n" if argv[0] == "analyze" else b"ana_unknown\n")
            await until(lambda: server.journal.total)
        child.terminate()
        _, err = await child.communicate()
        assert child.returncode == 143
        assert b"Traceback" not in err


@slow
@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM])
async def test_the_emulator_ends_as_after_ctrl_c(number):
    """Exit code 0, and its count."""
    async with process("emulator", "--json") as child:
        await child.stdout.readline()
        child.send_signal(number)
        out, err = await child.communicate()
    assert (child.returncode, out, err) == (0, b"", b"stopped after 0 requests, 0 refused\n")


@slow
async def test_under_nohup_a_terminal_may_close():
    """A signal that is ignored from the start stays ignored."""
    code = (
        "import os, signal, sys; signal.signal(signal.SIGHUP, signal.SIG_IGN); "
        f"os.execv(sys.executable, [sys.executable, '-c', {RUN!r}, *sys.argv[1:]])"
    )
    async with never() as server:
        [id] = server.seed_analyses(1)
        async with process("wait", id, "--timeout", "3", server=server, code=code) as child:
            await until(lambda: server.journal.total)
            child.send_signal(signal.SIGHUP)
            out, _ = await child.communicate()
    assert child.returncode == 1
    assert json.loads(out)["error"]["type"] == "WaitTimeoutError"


@slow
async def test_a_second_signal_does_not_wait():
    """Whoever asks twice wants it now."""
    code = """
import asyncio, sys
from kallglot_async.cli.signals import run_until_signal
async def stubborn():
    print("ready", flush=True)
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            print("not yet", flush=True)
run_until_signal(stubborn())
"""
    async with process(code=code) as child:
        assert await child.stdout.readline() == b"ready\n"
        child.terminate()
        assert await child.stdout.readline() == b"not yet\n"
        child.terminate()
        await child.wait()
    assert child.returncode == -signal.SIGTERM


def test_handlers_do_not_stay_behind(capsys):
    """A program that calls `main` keeps its own way with signals."""

    async def answer():
        assert signal.getsignal(signal.SIGTERM) is not before
        return 7

    before = signal.getsignal(signal.SIGTERM)
    assert signals.run_until_signal(answer()) == 7
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_cancellation_that_no_signal_caused_is_passed_on():
    """It is not taken for one."""

    async def give_up():
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        signals.run_until_signal(give_up())


@pytest.mark.slow
async def test_a_stopped_terminal_holds_up_nothing():
    """After Ctrl-S: data go on coming, the bar waits for nobody, and the command ends when it is asked to."""
    leader, follower = os.openpty()
    async with half_ready() as server:
        ids = server.seed_analyses(20)
        settled = ready(server, ids)
        async with process("wait", *ids, server=server, stderr=follower) as child:
            await asyncio.to_thread(os.read, leader, 1)  # the bar is there
            termios.tcflow(follower, termios.TCOOFF)
            for _ in settled:
                await child.stdout.readline()
            child.send_signal(signal.SIGTERM)
            assert await child.wait() == 128 + signal.SIGTERM
    os.close(follower)
    os.close(leader)
