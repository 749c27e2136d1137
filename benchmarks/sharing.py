"""One limit, many processes: alone, ours over Redis, and two limiter libraries over the same Redis.

    python -m benchmarks.sharing [alone ours paced limits pyrate-limiter faults] [--processes 4 20] [--quick]

A server allows 600 requests in each window of 10 s; so many processes fetch 2,000 settled analyses under one key
(`retrieve_many`), and one of them makes a direct call every 250 ms beside. Twenty fetch 4,000, as with 100 each they
end before two windows have seen all of them from beginning to end. `paced` waits for them (`wait_many`), which keeps
an even pace where the others spend ahead of it. They start together. `least_used` is of the emptiest window in which
all were at work; `share` the largest by the smallest number of requests in one, of the processes that make no direct
calls; `commands` what Redis counted for each request that was granted, a script's own commands included;
`queued` the 95th percentile of what a direct call takes beyond its request. `faults` do what `paced` does while Redis
is stopped, hung (SIGSTOP), restarted empty, or restarted with what it had written earlier; `silence` is the longest
time in which the server heard nothing.

Real time, real sockets, a real `redis-server`. Exit code 1 where a bar is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from importlib.util import find_spec
from typing import Any

from benchmarks._sharing_child import LIMIT, PERIOD
from benchmarks._trials import Row, verdict
from kallglot_async.emulator import Emulator, Latency

CANDIDATES = {"alone": None, "ours": None, "paced": None, "limits": "limits", "pyrate-limiter": "pyrate_limiter"}
MOST_COMMANDS = {4: 0.4, 20: 2.0}
MOST_UNUSED, MOST_SHARE, MOST_QUEUED, MOST_SILENCE = 0.05, 1.2, 0.020, 0.5
FAULT_AT, FAULT_FOR = 6.0, 4.0  # seconds


class Redis:
    """A server of our own on a free port, that ends with the benchmark."""

    def __init__(self, folder: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.folder = folder
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it with what is on its disk, and wait until it answers."""
        self._process = await asyncio.create_subprocess_exec(
            "redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", self.folder,
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
        while not await self.ask("PING"):  # noqa: ASYNC110  # it tells nobody
            await asyncio.sleep(0.02)

    async def ask(self, *words: str) -> str:
        """Return what a command answers; nothing where nobody does."""
        client = await asyncio.create_subprocess_exec(
            "redis-cli", "-p", str(self.port), *words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        out, _ = await client.communicate()
        return out.decode() if client.returncode == 0 else ""

    async def commands(self) -> int:
        """Return how many it has run so far."""
        return sum(
            int(line.split("calls=")[1].split(",")[0])
            for line in (await self.ask("INFO", "commandstats")).splitlines()
            if "calls=" in line and not line.startswith(("cmdstat_info", "cmdstat_ping"))
        )

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    async def stop(self) -> None:
        """End it at once; what it has not written is gone."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()


async def stopped(redis: Redis) -> None:
    """It is gone, and comes back with nothing."""
    await redis.stop()
    await asyncio.sleep(FAULT_FOR)
    await redis.start()


async def hung(redis: Redis) -> None:
    """It answers nothing, and then everything at once."""
    redis.signal(signal.SIGSTOP)
    await asyncio.sleep(FAULT_FOR)
    redis.signal(signal.SIGCONT)


async def restarted_empty(redis: Redis) -> None:
    """It has lost everything, within a moment."""
    await redis.stop()
    await redis.start()


async def restarted_old(redis: Redis) -> None:
    """It is back at what was true some seconds before."""
    await redis.ask("SAVE")
    await asyncio.sleep(FAULT_FOR)
    await redis.stop()
    await redis.start()


FAULTS: dict[str, Callable[[Redis], Awaitable[None]]] = {
    "stopped": stopped,
    "hung": hung,
    "restarted empty": restarted_empty,
    "restarted old": restarted_old,
}


@contextlib.asynccontextmanager
async def children(
    candidate: str, processes: int, ids: int, url: str, redis: str
) -> AsyncIterator[list[asyncio.subprocess.Process]]:
    """Start them, wait until all are ready, and end whoever has not ended."""
    started = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-m", "benchmarks._sharing_child", candidate, f"p{place}", str(ids // processes), url,
            redis, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )
        for place in range(processes)
    ]  # fmt: skip
    try:
        for child in started:
            assert child.stdout is not None
            await child.stdout.readline()
        yield started
    finally:
        for child in started:
            if child.returncode is None:
                child.kill()
            await child.wait()


async def measure(candidate: str, processes: int, *, ids: int, fault: str | None = None) -> Row:
    """Return one line of the table."""
    with tempfile.TemporaryDirectory() as folder:
        redis = Redis(folder)
        await redis.start()
        try:
            async with Emulator(
                rate_limit=(LIMIT, float(PERIOD)), adopt_unknown=True, latency=Latency.immediate(), journal_bound=None
            ) as server:
                async with children(candidate, processes, ids, server.base_url, redis.url) as started:
                    before = await redis.commands()
                    for child in started:
                        assert child.stdin is not None
                        child.stdin.write(b"\n")
                    if fault is not None:
                        await asyncio.sleep(FAULT_AT)
                        await FAULTS[fault](redis)
                    told = [json.loads((await child.communicate())[0]) for child in started]
                commands = None if fault else await redis.commands() - before
                return row(candidate, processes, ids, fault, server, told, commands)
        finally:
            await redis.stop()


def row(
    candidate: str,
    processes: int,
    ids: int,
    fault: str | None,
    server: Emulator,
    told: list[dict[str, Any]],
    commands: int | None,
) -> Row:
    """Return one line: what the server has seen, and what the processes say."""
    polls = [entry for entry in server.journal if entry.status == 200 and "direct" not in entry.path]
    served = Counter(entry.window for entry in server.journal if entry.status == 200)
    by_process = {name: [entry for entry in polls if f"_{name}x" in entry.path] for name in names(processes)}
    first = max((entries[0].window or 0 for entries in by_process.values() if entries), default=0)
    last = min((entries[-1].window or 0 for entries in by_process.values() if entries), default=0)
    full = range(first + 1, last)  # windows in which every process was at work from beginning to end
    # Direct calls of the first process take what its polls would have had.
    others = [entries for name, entries in by_process.items() if name != "p0"]
    shares = [[sum(entry.window == window for entry in entries) for entries in others] for window in full]
    requests = len(server.journal)
    refused = sum(entry.status == 429 for entry in server.journal)
    ends = min((entries[-1].at for entries in by_process.values() if entries), default=0.0)
    moments = [entry.at for entry in server.journal if entry.at <= ends]
    silence = max((after - before for before, after in itertools.pairwise(moments)), default=0.0)
    queued = [seconds for report in told for seconds in report["queued"]]
    found: Row = {
        "benchmark": "sharing",
        "candidate": candidate if fault is None else f"{candidate}, Redis {fault}",
        "processes": processes,
        "delivered": sum(report["done"] for report in told),
        "refused_%": round(100.0 * refused / max(1, requests), 2),
        "least_used": min((served[window] / LIMIT for window in full), default=None),
        "share": max((max(share) / max(1, min(share)) for share in shares), default=None),
        "commands": None if commands is None else round(commands / max(1, requests - refused), 2),
        "queued_ms": round(1000 * statistics.quantiles(queued, n=20)[-1], 1) if len(queued) > 1 else None,
        "silence_s": round(silence, 2),
        "wall_s": round(polls[-1].at - polls[0].at, 1) if polls else None,
    }
    found["bar"] = (
        bar(found, candidate, processes, ids, is_fault=fault is not None) if candidate in ("ours", "paced") else ""
    )
    return found


def names(processes: int) -> list[str]:
    """Return what the processes are called."""
    return [f"p{place}" for place in range(processes)]


def bar(found: Row, candidate: str, processes: int, ids: int, *, is_fault: bool) -> str:
    """Return "met", or by what a bar is missed."""
    checks: list[tuple[str, Any, float]] = [
        ("undelivered", ids // processes * processes - int(str(found["delivered"])), 0),
        ("refused %", found["refused_%"], 0),
    ]
    if is_fault:
        checks.append(("silence", found["silence_s"], MOST_SILENCE))
        return verdict(*checks)
    checks.append(("commands", found["commands"], MOST_COMMANDS.get(processes, 2.0)))
    checks.append(("queued", found["queued_ms"], 1000 * MOST_QUEUED))
    if isinstance(used := found["least_used"], float):
        checks.append(("unused", round(1 - used, 3), MOST_UNUSED))
    if processes >= 20 and isinstance(share := found["share"], float):
        checks.append(("share", round(share, 2), MOST_SHARE))
    return verdict(*checks)


async def run(candidates: list[str], processes: list[int], *, is_quick: bool = False) -> list[Row]:
    """Return every line; a library that is not installed is said to be so."""
    rows: list[Row] = []
    for number in processes:
        ids = 700 if is_quick else 200 * max(10, number)
        for candidate in candidates:
            if candidate == "faults":
                rows += [await measure("paced", number, ids=ids, fault=fault) for fault in FAULTS]
            elif (library := CANDIDATES[candidate]) and find_spec(library) is None:
                rows.append({"benchmark": "sharing", "candidate": candidate, "bar": "not installed"})
            else:
                rows.append(await measure(candidate, number, ids=ids))
            print(rows[-1], file=sys.stderr, flush=True)
    return rows


def main() -> None:
    """Print the table."""
    from benchmarks.__main__ import provenance, table

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("candidates", nargs="*", choices=[*CANDIDATES, "faults", []])
    parser.add_argument("--processes", nargs="+", type=int, default=[4, 20])
    parser.add_argument("--quick", action="store_true", help="700 ids instead of 2,000 or 4,000: a look, not a figure")
    arguments = parser.parse_args()
    if shutil.which("redis-server") is None:
        raise SystemExit("redis-server is not installed")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # whoever ends it ends its servers, too
    chosen = arguments.candidates or [*CANDIDATES, "faults"]
    rows = asyncio.run(run(chosen, arguments.processes, is_quick=arguments.quick))
    print(table(rows))
    print(", ".join(f"{key} {value}" for key, value in provenance().items()))
    if any(str(row.get("bar", "")).startswith("missed") for row in rows):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
