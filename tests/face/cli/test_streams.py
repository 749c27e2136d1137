"""Standard streams that are closed, broken or odd: data goes where it can, exit codes stay, nothing is a traceback."""

import asyncio
import contextlib
import fcntl
import io
import json
import os
import struct
import subprocess
import sys
import termios

import pytest
from support.piecemeal import Piecemeal
from support.processes import ROOT, RUN, finish, posix, process, until

import kallglot_async
from kallglot_async import read_jsonl
from kallglot_async._durable.identity import Wish, settle
from kallglot_async._durable.schema import open_to_write
from kallglot_async.cli import main
from kallglot_async.emulator import Emulator, Latency

pytestmark = posix
slow = pytest.mark.slow


def at_once(**options):
    return Emulator(**{"plan": "unlimited", "latency": Latency.immediate()} | options)


def closing(*descriptors):
    """A program that closes standard streams and becomes `kallglot`, as a shell with `2>&-` makes one."""
    close = "; ".join(f"os.close({number})" for number in descriptors)
    return f"import os, sys; {close}; os.execv(sys.executable, [sys.executable, '-c', {RUN!r}, *sys.argv[1:]])"


@pytest.mark.parametrize(
    "argv",
    [
        ["wait"],
        ["get"],
        ["get", "-q"],
        ["wait", "-q"],
        ["show", "--json"],
    ],
)
@slow
async def test_without_standard_error_the_data_is_all_there(argv):
    """Nothing that is said to people gets into it, and the exit code is the usual one."""
    async with at_once() as server:
        [id] = server.seed_analyses(1)
        status, out, err = await finish(*argv, id, server=server, code=closing(2))
        assert (status, err) == (0, "")
        assert json.loads(out)["id"] == id
        status, out, err = await finish(*argv, "ana_unknown", server=server, code=closing(2))
        assert (status, err) == (1, "")
        assert json.loads(out)["error"]["type"] == "NotFoundError"


@slow
@pytest.mark.parametrize("argv", [["get", "ana_1", "--max-in-flight", "0"], ["wiat"], ["get"]])
async def test_without_standard_error_a_mistake_is_still_one(argv):
    """Exit code 2, and standard output stays empty."""
    async with at_once() as server:
        assert await finish(*argv, server=server, code=closing(2)) == (2, "", "")


@pytest.mark.parametrize(
    "argv",
    [
        ["analyze", "sess_1", "--analyses", "summary"],
        ["get", "ana_1"],
        ["wait", "ana_1"],
        ["show", "ana_1"],
        ["demo"],
    ],
)
@slow
async def test_without_standard_output_nothing_is_asked_for(argv):
    """What would be fetched, or paid for, could not be written: one line, exit code 2, no request."""
    async with at_once() as server:
        status, out, err = await finish(*argv, server=server, code=closing(1))
        assert (status, out) == (2, "")
        assert err == "kallglot: standard output is closed: there is nowhere to write to\n"
        assert server.journal.total == 0
        assert (await finish(*argv, server=server, code=closing(0, 1, 2)))[0] == 2


@slow
async def test_without_standard_output_a_recording_is_delivered(tmp_path):
    """Its data is the file."""
    async with at_once() as server:
        [session] = server.sessions.seed(1, recordings=1)
        [id] = server.sessions[session].recordings
        argv = ["recording", "download", id, "--to", str(tmp_path)]
        status, out, err = await finish(*argv, server=server, code=closing(1))
    assert (status, out) == (0, "")
    assert "Traceback" not in err
    assert [path.name for path in tmp_path.iterdir()] == [f"{id}.mp3"]


@slow
async def test_a_reader_of_messages_that_goes_away_costs_no_data():
    """Standard error is a pipe that nobody reads: every line is written all the same."""
    async with at_once() as server:
        ids = server.seed_analyses(3)
        reading, writing = os.pipe()
        os.close(reading)
        async with process("wait", *ids, "ana_unknown", server=server, stderr=writing) as child:
            os.close(writing)
            out = await child.stdout.read()
            assert await child.wait() == 1
    assert {json.loads(line)["id"] for line in out.splitlines()} == {*ids, "ana_unknown"}


def shell(text, **env):
    """Run a line of bash in which `$K` is the command."""
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error", "TERM": "xterm"} | env
    env |= {"PYTHON": sys.executable, "RUN": RUN}
    line = f'kallglot() {{ "$PYTHON" -c "$RUN" "$@"; }}; {text}'
    ran = subprocess.run(["bash", "-c", line], env=env, capture_output=True, text=True, timeout=60, check=False)  # noqa: S607
    return ran.returncode, ran.stdout, ran.stderr


@pytest.mark.parametrize("options", [{}, pytest.param({"PYTHONUNBUFFERED": "1"}, marks=slow)], ids=["", "unbuffered"])
@pytest.mark.parametrize(
    "argv",
    ["--help", *(pytest.param(argv, marks=slow) for argv in ("wait --help", "--version", "completion bash", ""))],
)
def test_help_for_a_reader_that_has_gone(argv, options):
    """The exit code of a closed pipe, as everywhere, and not a word."""
    # The reader has ended before anything is written.
    status, out, err = shell(f"( sleep 0.5; kallglot {argv} ) | true; echo ${{PIPESTATUS[0]}}", **options)
    assert (status, out, err) == (0, "141\n", "")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (name, value)
        for name in ("COLUMNS", "LINES")
        for value in ("00", "0", "1", "-1", "", "abc", "²", "99999999", "9" * 5000, "5 ", "1e9")
    ],
)
@slow
def test_a_terminal_of_odd_size_is_served(name, value):
    """Help, in whatever shape, and no endless folding."""
    for argv in ("--help", "wait --help"):
        status, out, err = shell(f"kallglot {argv}", **{name: value})
        assert (status, err) == (0, "")
        assert "w" in out
        assert "Usage: kallglot" in out


@slow
@pytest.mark.parametrize("width", [0, 1, 2, 3, 7, 9, 65535])
async def test_help_on_a_terminal_that_is_hardly_one(width):
    """It is whole, and it ends."""
    leader, follower = os.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
    streams = {"stdin": follower, "stdout": follower, "stderr": follower}
    code = f"import os; os.environ['TERM'] = 'xterm'; os.environ.pop('COLUMNS', None); {RUN}"
    async with process("wait", "--help", code=code, **streams) as child:
        os.close(follower)
        shown = await asyncio.to_thread(_everything, leader)
        assert await child.wait() == 0
    os.close(leader)
    assert b"Traceback" not in shown
    assert b"Usage" in shown


@pytest.mark.parametrize("term", ["dumb", "unknown", "DUMB"])
@slow
async def test_a_terminal_that_cannot_redraw_gets_plain_lines(term):
    """No cursor is moved; data and summary are there."""
    async with at_once() as server:
        ids = server.seed_analyses(3)
        leader, follower = os.openpty()
        streams = {"stdin": follower, "stdout": follower, "stderr": follower}
        code = f"import os; os.environ['TERM'] = {term!r}; {RUN}"
        async with process("wait", *ids, server=server, code=code, **streams) as child:
            os.close(follower)
            shown = await asyncio.to_thread(_everything, leader)
            assert await child.wait() == 0
        os.close(leader)
    assert b"\x1b" not in shown
    lines = shown.decode().split("\r\n")
    assert {json.loads(line)["id"] for line in lines if line.startswith("{")} == set(ids)
    assert "done: 3 fine, 0 failed" in lines


def _everything(leader):
    shown = b""
    try:
        while piece := os.read(leader, 65536):
            shown += piece
    except OSError:  # EIO: the last process has closed its side
        pass
    return shown


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_what_an_encoding_does_not_know_is_escaped(encoding, monkeypatch, tmp_path):
    """The name of a file, and a script for a shell, where standard output is not in UTF-8, as a pipe on Windows."""
    with contextlib.closing(open_to_write(tmp_path / "日.kallglot")) as connection:
        settle(connection, Wish.of("wait", {}), tmp_path)
    for argv, shown in (
        (["batch", "status", str(tmp_path / "日.kallglot")], b"\\u65e5.kallglot: wait"),
        (["completion", "zsh"], b"_kallglot"),
    ):
        out = io.BytesIO()
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(out, encoding=encoding))
        assert main(argv) == 0
        assert shown in out.getvalue()


@pytest.mark.parametrize("room", [1_000_000, 50])
def test_what_is_taken_in_pieces_is_written_to_its_end(room, monkeypatch, stored, capsys):
    """And where the disk is full in the middle of a line, that is an error."""
    [id, *_] = (outcome.id for outcome in read_jsonl("outcomes.jsonl") if outcome.ok)
    with contextlib.closing(open_to_write(stored / "b")) as connection:
        settle(connection, Wish.of("wait", {}), stored)
        connection.execute("INSERT INTO item (id) VALUES (?)", (id,))
    out = Piecemeal(room)
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(out, write_through=True))
    code = main(["batch", "export", "b", "--state", "left"])
    if room == 50:
        assert (code, len(out.written)) == (2, 50)
        assert capsys.readouterr().err == "kallglot: cannot write the output: No space left on device\n"
    else:
        assert (code, json.loads(out.written)["id"]) == (0, id)


@slow
async def test_streams_that_are_not_waited_for_are_waited_for_all_the_same():
    """As where a program in front of it, or beside it at a terminal, has made them so: no id and no line is lost."""
    (ids_out, ids_in), (out, written) = os.pipe(), os.pipe()
    for descriptor in (ids_out, written):
        os.set_blocking(descriptor, False)
    async with at_once() as server:
        ids = server.seed_analyses(200)
        async with process("get", "-", "-q", server=server, stdin=ids_out, stdout=written) as child:
            os.close(ids_out)
            os.close(written)
            for id in ids:
                os.write(ids_in, f"{id}\n".encode())
                if id == ids[0]:
                    await until(lambda: server.journal.total)  # it asks for more, and there is nothing yet
            os.close(ids_in)
            await until(lambda: _bytes_in(out) > 30_000)  # pages of it are not filled
            with os.fdopen(out, "rb") as lines:
                shown = await asyncio.to_thread(lines.readlines)
            assert (await child.stderr.read(), await child.wait()) == (b"", 0)
    assert {json.loads(line)["id"] for line in shown} == set(ids)


def _bytes_in(pipe):
    return struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)))[0]


def test_version_says_nothing_else():
    """With every stream in order, the first line of all."""
    assert shell("kallglot --version") == (0, f"{kallglot_async.__version__}\n", "")
