"""A client in the life of a process: forks, loops in turn, exits with waits pending, collection, Ctrl-C."""

from __future__ import annotations

import asyncio
import json
import os
import signal

import pytest
from support.processes import half_ready, process, ready
from support.slow import beyond
from support.wire_faults import RawServer, analysis, answer

from kallglot_async.emulator import Emulator, Latency

posix = pytest.mark.skipif(os.name != "posix", reason="forks and signals of POSIX")

PREFACE = """
import asyncio, gc, os, sys, threading, warnings
from kallglot_async import KallglotClient, RateLimit

def client_of(**options):
    return KallglotClient("sk_test_emulator", base_url=sys.argv[1], **options)

async def fetch(client, id="ana_1"):
    assert (await client.analyses.retrieve(id, timeout=90.0)).id == id

ids = [f"ana_{number}" for number in range(50)]

async def begin(client):
    # Waits, a direct call and a stream, all of them under way.
    async def stream():
        async with client.as_completed(iter(ids)) as finished:
            async for _ in finished:
                pass
    calls = (client.wait_many(ids, timeout=None), client.wait("ana_x"), client.analyses.retrieve("ana_y"), stream())
    tasks = [asyncio.ensure_future(call) for call in calls]
    await fetch(client, "ana_z")  # asked for after all of those
    return tasks
"""


async def said_by(code: str, base_url: str) -> tuple[str, str]:
    """Run a program in a process of its own; return what it said on standard output and standard error."""
    async with process(base_url, code=PREFACE + code, stdin=asyncio.subprocess.DEVNULL) as child:
        out, err = await child.communicate()
    assert child.returncode == 0, err.decode()
    return out.decode(), err.decode()


FORK = """
async def child(client):
    await fetch(client, "ana_1")
    await client.aclose()

def main(client, runner):
    runner.run(fetch(client))
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            asyncio.run(child(client))
            status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    runner.run(fetch(client))
    runner.run(client.aclose())

with asyncio.Runner() as runner:
    main(client_of(), runner)
"""


@posix
async def test_a_fork_leaves_the_parents_connection_alone() -> None:
    """The child opens its own in a loop of its own; the parent goes on with the one it had."""
    async with RawServer(answer(analysis())) as server:
        assert await said_by(FORK, server.base_url) == ("", "")
        assert server.on_connection == [0, 1, 0]


LEFT_TO_A_CHILD = """
async def use_and_close(client):
    await fetch(client)
    await client.aclose()

def fork(client, runner):
    runner.run(fetch(client))
    pid = os.fork()
    if pid == 0:
        asyncio.run(use_and_close(client))
        sys.exit()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    runner.run(use_and_close(client))

runner = asyncio.Runner()  # not entered: a child that leaves it would close the loop of its parent
fork(client_of(), runner)
runner.close()
"""


@posix
@pytest.mark.slow
async def test_a_child_that_ends_warns_of_nothing_that_its_parent_holds() -> None:
    """It closed what was its own; the parent's is none of its business, also where it takes its last breath."""
    async with RawServer(answer(analysis())) as server:
        assert await said_by(LEFT_TO_A_CHILD, server.base_url) == ("", "")


LOOPS = """
async def once(client, number):
    # The limit leaves one of these in the queue, and the loop ends on it.
    asyncio.ensure_future(client.wait(f"ana_running_{number}"))
    task = asyncio.ensure_future(client.analyses.retrieve("ana_hang_on", timeout=None))
    await asyncio.sleep(0.05)
    assert client.stats.waiting_for == 1

client = client_of(rate_limit=RateLimit(2, 0.2))
for number in range(3):
    asyncio.run(once(client, number))
    assert client.stats.waiting_for == 0, client.stats
    asyncio.run(fetch(client))
    state = client.rate_limit
    assert (state.in_flight, state.waiting) == (0, 0), state
"""


@pytest.mark.slow
async def test_what_one_loop_left_unfinished_does_not_concern_the_next() -> None:
    """Six loops in turn with one client and one limit, half of them ended on calls in the queue and in flight."""
    async with Emulator(plan="unlimited", latency=Latency.after_polls(1), adopt_unknown=True) as emulator:
        assert await said_by(LOOPS, emulator.base_url) == ("", "")
        assert emulator.journal.max_within(0.2) <= 3  # the clock of another process begins a window elsewhere


THREAD = """
def work():
    async def main():
        await begin(client_of())
        begun.set()
        await asyncio.sleep(60)
    asyncio.run(main())

begun = threading.Event()
threading.Thread(target=work, daemon=True).start()
assert begun.wait(60)
"""
EXITS = {
    "the loop's main returns": ("asyncio.run(begin(client_of()))", 0),
    "the program exits in the loop": (
        "async def main():\n    await begin(client_of())\n    sys.exit(7)\nasyncio.run(main())",
        7,
    ),
    "the client is closed before": (
        "async def main():\n    async with client_of() as client:\n        await begin(client)\nasyncio.run(main())",
        0,
    ),
    "the loop is never closed": (
        "loop = asyncio.new_event_loop()\nkept = loop.run_until_complete(begin(client_of()))",
        0,
    ),
    "the loop is closed at once": (
        "loop = asyncio.new_event_loop()\nkept = loop.run_until_complete(begin(client_of()))\nloop.close()",
        0,
    ),
    "a daemon thread goes on": (THREAD, 0),
}


@pytest.mark.parametrize("name", beyond(1, EXITS))
async def test_an_exit_with_waits_pending_is_quiet(name: str) -> None:
    """No traceback, and one warning at most."""
    code, status = EXITS[name]
    async with Emulator(plan="unlimited", latency=Latency.uniform(1000.0, 2000.0), adopt_unknown=True) as emulator:
        shown = PREFACE + 'warnings.simplefilter("default")\n' + code  # told, not raised
        async with process(emulator.base_url, code=shown, stdin=asyncio.subprocess.DEVNULL) as child:
            out, err = await child.communicate()
        assert emulator.journal.total > 0
    assert (child.returncode, out) == (status, b"")
    assert b"Traceback" not in err
    # A task that had not begun when its loop ended is anyio's to mention.
    mentioned = (b"was never awaited", b"Enable tracemalloc")
    lines = [line for line in err.splitlines() if b"Warning: " in line and not any(text in line for text in mentioned)]
    assert len(lines) <= 1, err.decode()


COLLECTED = """
def complaints(main):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        main()
        gc.collect()
    return [(one.category.__name__, str(one.message)) for one in caught]

async def drop():
    client = client_of()
    await fetch(client)
    tasks = await begin(client)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    del client, task, tasks
    gc.collect()
    await asyncio.sleep(0.05)

import json
print(json.dumps(complaints(lambda: asyncio.run(drop()))))
"""


@pytest.mark.slow
async def test_a_client_that_is_dropped_warns_once_and_names_the_remedy() -> None:
    """Also where waits were cancelled on it before."""
    async with Emulator(plan="unlimited", latency=Latency.uniform(1000.0, 2000.0), adopt_unknown=True) as emulator:
        out, err = await said_by(COLLECTED, emulator.base_url)
    assert err == ""
    [(category, message)] = json.loads(out)
    assert category == "ResourceWarning"
    assert "async with KallglotClient" in message
    assert "aclose()" in message


# From where a run takes over, with all that it loads: before that, the interpreter itself reports the interruption.
# A loop that the signal meets while asyncio makes it is asyncio's to warn of, and users do not see that.
RUN = """
import sys, warnings, kallglot_async._client, kallglot_async.cli.get_and_wait
from kallglot_async.cli import main, run

warnings.simplefilter("ignore", ResourceWarning)
begin = run.fill_closed

def say_ready():
    print("ready", file=sys.stderr, flush=True)
    begin()

run.fill_closed = say_ready
raise SystemExit(main())
"""
MOMENTS = (0.1, 0.02, 0.05, 0.2, 0.3, 0.45, 0.6)
INTERRUPTED = [(command, moment) for command in ("wait", "get") for moment in MOMENTS]


@posix
@pytest.mark.parametrize(("command", "moment"), INTERRUPTED)
@pytest.mark.slow
async def test_ctrl_c_at_any_moment_is_quiet_and_keeps_what_had_settled(command: str, moment: float) -> None:
    """Exit code 130, no traceback, and one whole line for each id that had an answer."""
    async with half_ready() as server:
        ids = server.seed_analyses(20)
        settled = ready(server, ids)
        async with process(command, *ids, server=server, code=RUN, stdin=asyncio.subprocess.DEVNULL) as child:
            assert await child.stderr.readline() == b"ready\n"
            await asyncio.sleep(moment)
            if child.returncode is None:
                child.send_signal(signal.SIGINT)
            out, error = await child.communicate()
    found, err = [json.loads(line)["id"] for line in out.splitlines()], error.decode()
    # Once all is said and done the signal meets the interpreter on its way out.
    assert child.returncode == 130 or (err == "done: 20 fine, 0 failed\n" and len(found) == 20), err
    assert "Traceback" not in err
    assert len(set(found)) == len(found)
    assert set(found) <= (settled if command == "wait" else set(ids))
    if "interrupted" in err:
        assert f"interrupted: {len(found)} fine" in err
