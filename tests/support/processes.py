"""`kallglot` as a process of its own, and emulators that a process can be watched with."""

import asyncio
import contextlib
import os
import sys
from pathlib import Path

import pytest

import kallglot_async
from kallglot_async.emulator import Emulator, Latency

ROOT = Path(kallglot_async.__file__).parents[1]
RUN = "from kallglot_async.cli import main; raise SystemExit(main())"

# What is ignored stays ignored in a child: under `nohup`, or where a shell runs the tests in its background.
HEARD = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
"""


posix = pytest.mark.skipif(os.name != "posix", reason="signals and terminals of POSIX")


@contextlib.asynccontextmanager
async def process(*argv, server=None, code=RUN, more_env=None, **options):
    """Start a command in a process that treats every warning as an error, and end it if the test does not.

    It hears Ctrl-C and a terminal that is closed, whatever these tests were told to ignore.
    """
    env = {name: value for name, value in os.environ.items() if not name.startswith("KALLGLOT_")}
    env |= {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error", "TERM": "xterm"}
    if server is not None:
        env |= {"KALLGLOT_API_KEY": server.api_key, "KALLGLOT_BASE_URL": server.base_url}
    env |= more_env or {}
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), asyncio.subprocess.PIPE)
    limits = {"limit": 2**20}
    code = HEARD + code if os.name == "posix" else code
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", code, *argv, env=env, **pipes | limits | options)
    try:
        yield child
    finally:
        if child.returncode is None:
            child.kill()
        await child.communicate()


async def finish(*argv, **options):
    async with process(*argv, **options) as child:
        out, err = await child.communicate()
        return child.returncode, (out or b"").decode(), err.decode()


async def end_of_reader(*argv, **options):
    """Run a command whose reader goes away after one byte, as `| head -1` does; return byte, error and code."""
    reading, writing = os.pipe()
    async with process(*argv, stdout=writing, **options) as child:
        os.close(writing)
        first = await asyncio.to_thread(os.read, reading, 1)
        os.close(reading)
        return first, await child.stderr.read(), await child.wait()


def read_terminal(leader, is_enough=lambda shown: False):
    """Return what is written to a pseudo-terminal, until it is enough or its last process has closed it."""
    shown = b""
    with contextlib.suppress(OSError):  # EIO: the last process has closed its side
        while not is_enough(shown) and (piece := os.read(leader, 65536)):
            shown += piece
    return shown


async def until(condition):
    """Wait for what an emulator shows."""
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110  # the emulator is asked, it tells nobody
            await asyncio.sleep(0.01)


def at_once(**options):
    """Create answers estimate 30 s, whatever the latency; sped up, nobody waits for that."""
    return Emulator(**{"plan": "unlimited", "latency": Latency.immediate(), "speed": 1e4} | options)


def half_ready():
    """An emulator with analyses that are ready at once or in ages: the spread is that wide, the seed is chosen."""
    return Emulator(plan="unlimited", latency=Latency.log_normal(median=60.0, sigma=100.0), seed=6)


def ready(server, ids):
    """The ids that are ready at once; the others take more than an hour."""
    ready_at = {id: server.analysis(id).ready_at - server.now for id in ids}
    at_once = {id for id, seconds in ready_at.items() if seconds < 0.05}
    assert 3 < len(at_once) < len(ids) - 3
    assert all(ready_at[id] > 3600 for id in ids if id not in at_once)
    return at_once
