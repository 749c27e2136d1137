"""What a body or a batch may cost in memory: measured in processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MIB = 2**20
CAP = 16 * MIB  # the default of max_response_bytes

# The server is a process of its own, so that what it needs is not counted.
BOMB = """
import asyncio, json, resource, sys
from kallglot_async import KallglotClient, ResponseTooLargeError, WaitTimeoutError

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)

async def main(url):
    async with KallglotClient("sk_test_emulator", base_url=url, timeout=60.0) as client:
        await client.analyses.retrieve("ana_warm")  # everything is loaded and connected
        before, ends = peak(), []
        for _ in range(3):
            try:
                await client.analyses.retrieve("ana_bomb")
            except ResponseTooLargeError as error:
                ends.append(error.limit)
        assert (await client.analyses.retrieve("ana_warm")).is_complete
        print(json.dumps({"ends": ends, "grown": peak() - before}))

asyncio.run(main(sys.argv[1]))
"""

SERVER = """
import asyncio, sys
from kallglot_async.emulator import Emulator, Fault, Latency

async def main():
    fault = Fault(kind="gzip_bomb", id="ana_bomb", size=2**30)
    async with Emulator(plan="unlimited", adopt_unknown=True, latency=Latency.immediate(), faults=[fault]) as emulator:
        print(emulator.base_url, flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)

asyncio.run(main())
"""

# The highest resident size of the process, after a warm-up that fills the window of 10,000 pending ids; a server in
# the same process that keeps nothing. An impossible id needs no request, so many more of those fit into a test.
STREAM = """
import asyncio, json, resource, sys
from kallglot_async import KallglotClient

def body_of(path):
    id = path.rsplit(b"/", 1)[1]
    return b'{"id":"' + id + b'","object":"analysis","status":"complete","results":{}}'

class Responder(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        body = body_of(data.split(b" ", 2)[1])
        self.transport.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: %d\\r\\n\\r\\n" % len(body) + body)

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)

async def consume(client, count, prefix):
    ids = (f"{prefix}_{number:09}" for number in range(count))
    seen = 0
    async with client.as_completed(ids, max_in_flight=16) as finished:
        async for outcome in finished:
            seen += outcome.ok == (prefix == "ana")
    assert seen == count

async def main(prefix, counts):
    server = await asyncio.get_running_loop().create_server(Responder, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    async with KallglotClient("sk_test_emulator", base_url=url) as client:
        peaks = []
        for count in counts:
            await consume(client, count, prefix)
            peaks.append(peak())
        print(json.dumps(peaks))
    server.close()

asyncio.run(main(sys.argv[1], [int(count) for count in sys.argv[2:]]))
"""


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT)}


def said_by(code: str, *arguments: str, timeout: float) -> object:
    """Run code in a process of its own and return the JSON that it prints."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
def test_a_gigabyte_in_a_megabyte_costs_less_than_twice_the_cap() -> None:
    """A megabyte of gzip that unpacks to a gibibyte is an error near the cap, for the process as a whole."""
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER], env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with server:
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        found = said_by(BOMB, url, timeout=25.0)
        server.communicate()  # it ends when its standard input does
    assert isinstance(found, dict)
    assert found["ends"] == [CAP] * 3
    assert found["grown"] < 2 * CAP, f"{found['grown'] / MIB:.1f} MiB"


def grown(prefix: str, first: int, then: int, *, timeout: float) -> float:
    """Return the MiB that a process grows by for `then` ids, once it has had `first`."""
    found = said_by(STREAM, prefix, str(first), str(then), timeout=timeout)
    assert isinstance(found, list)
    return (found[1] - found[0]) / MIB


@pytest.mark.slow
def test_ten_times_the_outcomes_need_no_more_memory() -> None:
    """`as_completed` holds what is pending and undelivered; what was delivered is gone."""
    assert grown("wrong", 20_000, 200_000, timeout=28.0) < 4.0


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_ten_times_the_waits_need_no_more_memory() -> None:
    """The same for ids that are polled, where a list of the ids alone would show."""
    assert grown("ana", 12_000, 120_000, timeout=280.0) < 4.0
