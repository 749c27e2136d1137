"""Ways out: whatever way a program takes out of a client, nothing is left unclosed, and nothing unsaid.

One process for each kind of event loop, with every warning an error. It goes through all scenarios with a client for
each, and what a scenario says on stderr is counted up to the line that ends it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trustme
from support.processes import HEARD
from support.wire_faults import RawServer

from kallglot_async.emulator import Emulator, Fault, Latency

_SCENARIOS = """
import asyncio, gc, logging, os, signal, sys, weakref
from kallglot_async import ConnectionLostError, KallglotClient

loop_kind, plain_url, tls_url = sys.argv[1:]
if loop_kind == "uvloop":
    from uvloop import new_event_loop
else:
    from asyncio import new_event_loop
logging.getLogger("asyncio").setLevel("ERROR")  # a slow machine is not the subject
kept = []

def run(main):
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(main)

def make(url=plain_url):
    client = KallglotClient("sk_test_emulator", base_url=url, random=lambda: 0.0)
    kept.append(client)  # past the end of its loop, as a global would be
    return client

async def fetch(client):
    got = await asyncio.gather(*(client.analyses.retrieve("ana_1") for _ in range(3)))
    assert {analysis.id for analysis in got} == {"ana_1"}

def three_runs_closed():
    async def main(client):
        await fetch(client)
        await client.aclose()
    client = make()
    for _ in range(3):
        run(main(client))

def three_runs_not_closed():
    client = make()
    for _ in range(3):
        run(fetch(client))

def three_runs_over_tls():
    client = make(tls_url)
    for _ in range(3):
        run(fetch(client))

def closed_twice():
    async def main(client):
        await fetch(client)
        await client.aclose()
        await client.aclose()
        await fetch(client)
        async with client:
            await fetch(client)
        await asyncio.gather(client.aclose(), fetch(client), client.aclose())
    run(main(make()))

def left_in_flight():
    async def main(client):
        await fetch(client)
        kept.append(asyncio.create_task(client.analyses.retrieve("ana_hang")))
        await asyncio.sleep(0.02)
    client = make()
    run(main(client))
    run(fetch(client))

def wait_unfinished():
    async def main(client):
        kept.append(asyncio.create_task(client.wait_many(["ana_1", "ana_hang"])))
        await asyncio.sleep(0.02)
    client = make()
    run(main(client))
    run(fetch(client))

def raised_inside():
    async def main(client):
        async with client:
            await fetch(client)
            raise LookupError
    client = make()
    try:
        run(main(client))
    except LookupError:
        pass
    run(fetch(client))

def interrupted():
    async def main(client):
        await fetch(client)
        asyncio.get_running_loop().call_later(0.02, signal.raise_signal, signal.SIGINT)
        await client.analyses.retrieve("ana_hang")
    client = make()
    try:
        run(main(client))
    except KeyboardInterrupt:
        pass
    run(fetch(client))

def exited():
    async def main(client):
        await fetch(client)
        sys.exit(3)
    try:
        run(main(make()))
    except SystemExit:
        pass

def cancelled():
    async def main(client):
        async with client:
            for _ in range(3):
                try:
                    async with asyncio.timeout(0.02):
                        await client.analyses.retrieve("ana_hang")
                except TimeoutError:
                    pass
    run(main(make()))

def mismatch():
    async def main(client):
        await fetch(client)
        assert (await client.analyses.retrieve("ana_wrong")).id == "ana_wrong"
        gc.collect()
        await client.aclose()
        gc.collect()
    run(main(make()))

def lost():
    async def main(client):
        for _ in range(3):
            try:
                await client.analyses.retrieve("ana_lost")
            except ConnectionLostError:
                pass
            else:
                raise AssertionError("it was lost")
        gc.collect()
    run(main(make()))

def loops_are_forgotten():
    async def main(client):
        await fetch(client)
        return weakref.ref(asyncio.get_running_loop())
    client = make()
    loops = [run(main(client)) for _ in range(3)]
    gc.collect()
    # What served last may remember its loop; nothing needs to remember more than that.
    assert [loop() for loop in loops[:-1]] == [None, None]

def collected():
    async def main():
        client = make()
        kept.clear()
        await fetch(client)
        del client
        gc.collect()
        await asyncio.sleep(0.02)
    run(main())

def loops_closed_by_hand():
    # Loops that are closed without `shutdown_asyncgens`: aiohttp may complain, but no descriptor may stay.
    def open_descriptors():
        gc.collect()
        return len(os.listdir("/proc/self/fd"))
    before = open_descriptors()
    client = make()
    kept.clear()
    for _ in range(4):
        loop = new_event_loop()
        loop.run_until_complete(fetch(client))
        loop.close()
        del loop
    client = None
    assert open_descriptors() <= before + 3, (before, open_descriptors())

for name in %r:
    try:
        globals()[name]()
    except Exception as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
    kept.clear()
    gc.collect()
    print("==", name, file=sys.stderr)
"""

_QUIET = [
    "three_runs_closed",
    "three_runs_not_closed",
    "three_runs_over_tls",
    "closed_twice",
    "left_in_flight",
    "wait_unfinished",
    "raised_inside",
    "interrupted",
    "exited",
    "cancelled",
    "mismatch",
    "lost",
    "loops_are_forgotten",
]
_LOUD = ["collected", "loops_closed_by_hand"]


@contextlib.contextmanager
def servers(tls: ssl.SSLContext) -> Iterator[tuple[str, str]]:
    """An emulator and a TLS server in a thread of their own, for other processes to talk to."""
    ready, urls = threading.Event(), list[str]()

    async def serve(stop: asyncio.Event) -> None:
        faults = [
            Fault(kind="hang", id="ana_hang"),
            # One wrong answer for each of the two processes.
            Fault(kind="wrong_id", id="ana_wrong", rate=0.5, times=2),
            Fault(kind="reset", id="ana_lost"),
        ]
        async with (
            Emulator(plan="unlimited", adopt_unknown=True, latency=Latency.immediate(), faults=faults) as emulator,
            RawServer(tls=tls) as secure,
        ):
            urls.extend([emulator.base_url, secure.base_url])
            ready.set()
            await stop.wait()

    loop, stop = asyncio.new_event_loop(), asyncio.Event()
    thread = threading.Thread(target=lambda: loop.run_until_complete(serve(stop)))
    thread.start()
    try:
        ready.wait()
        yield urls[0], urls[1]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


@pytest.fixture
def said(authority: trustme.CA, tls: ssl.SSLContext, tmp_path: Path) -> Callable[[str, list[str]], dict[str, str]]:
    """Run scenarios one after another in a process; return what each left on stderr, and what came at the `exit`."""
    certificate = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(certificate))
    environ = os.environ | {"SSL_CERT_FILE": str(certificate), "PYTHONPATH": str(Path(__file__).parents[2])}

    def run(loop: str, names: list[str]) -> dict[str, str]:
        with servers(tls) as urls:
            process = subprocess.run(
                [sys.executable, "-X", "dev", "-W", "error", "-c", HEARD + _SCENARIOS % (names,), loop, *urls],
                env=environ,
                stderr=subprocess.PIPE,
                text=True,
                timeout=100,
                check=False,
            )
        found, rest = {}, process.stderr
        for name in names:
            found[name], _, rest = rest.partition(f"== {name}\n")
        return found | {"exit": rest + "!" * process.returncode}

    return run


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.slow
def test_no_way_out_leaves_a_warning(loop: str, said: Callable[[str, list[str]], dict[str, str]]) -> None:
    """Whatever way a program takes out of a client, nothing is said of anything unclosed or unfinished."""
    assert said(loop, _QUIET) == dict.fromkeys([*_QUIET, "exit"], "")


@pytest.mark.slow
def test_what_is_left_unclosed_is_said_once(said: Callable[[str, list[str]], dict[str, str]]) -> None:
    """A client that is dropped in mid-loop is worth one warning that names the remedy, and none of aiohttp's.

    Where a loop ends without its usual clean-up, its connections end with the client at the latest.
    """
    found = said("asyncio", _LOUD)  # in a process of their own: what they leave may be said at any later moment
    text = found["collected"]
    assert text.count("ResourceWarning: ") == 1
    assert "async with KallglotClient(...)" in text
    assert "aclose()" in text
    assert "nclosed" not in text
    assert "AssertionError" not in found["loops_closed_by_hand"]
