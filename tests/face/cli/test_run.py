"""One run of `kallglot` as a process: exit codes, Ctrl-C, closed pipes and full disks."""

import asyncio
import json
import os
import signal
from pathlib import Path

import pytest
from support.processes import finish, half_ready, posix, process, ready

from kallglot_async.emulator import Emulator, Latency


@posix
async def test_ctrl_c_leaves_what_had_settled():
    """Exit code 130, every settled line printed, no traceback, and a word on what was left."""
    async with half_ready() as server:
        ids = server.seed_analyses(20)
        settled = ready(server, ids)
        async with process("wait", *ids, server=server) as child:
            lines = [json.loads(await child.stdout.readline()) for _ in settled]
            child.send_signal(signal.SIGINT)
            out, err = await child.communicate()
        assert child.returncode == 130
        assert out == b""
        assert {line["id"] for line in lines if line["analysis"]["status"] == "complete"} == settled
        pending = len(ids) - len(settled)
        assert err.decode().splitlines()[-1] == f"interrupted: {len(settled)} fine, 0 failed, {pending} pending"
        assert b"Traceback" not in err


@pytest.mark.slow
@posix
@pytest.mark.parametrize("command", ["wait", "get"])
async def test_ctrl_c_while_standard_input_is_silent(command):
    """Nobody has to press return first; ids are asked for as they come."""
    async with half_ready() as server:
        ids = server.seed_analyses(20)
        id = ready(server, ids).pop()
        async with process(command, "-", "--quiet", server=server) as child:
            child.stdin.write(f"{id}\n".encode())
            line = json.loads(await child.stdout.readline())  # answered while standard input is open
            child.send_signal(signal.SIGINT)
            assert await child.wait() == 130
            assert await child.stderr.read() == b""
        assert line["id"] == id


@posix
@pytest.mark.parametrize("command", ["get", "wait"])
@pytest.mark.slow
async def test_a_reader_that_goes_away_ends_it_quietly(command):
    """As `| head -1` does: no message, no traceback, the exit code of a closed pipe."""
    async with Emulator(plan="unlimited", latency=Latency.immediate()) as server:
        ids = server.seed_analyses(200)  # more than the pipe holds: it must write after the reader has gone
        reading, writing = os.pipe()
        async with process(command, *ids, server=server, stdout=writing) as child:
            os.close(writing)
            first = await asyncio.to_thread(os.read, reading, 1)
            os.close(reading)
            assert await child.stderr.read() == b""
            assert await child.wait() == 141
        assert first == b"{"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.slow
async def test_a_full_disk_is_one_line():
    """Output that cannot be written is said, not thrown."""
    async with Emulator(plan="unlimited", latency=Latency.immediate()) as server:
        full = os.open("/dev/full", os.O_WRONLY)
        status, _, err = await finish("wait", *server.seed_analyses(1), server=server, stdout=full)
        os.close(full)
        assert (status, err) == (2, "kallglot: cannot write the output: No space left on device\n")
