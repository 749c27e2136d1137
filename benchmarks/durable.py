"""Batches in a file: what a kill costs, and whether the file ever is the bottleneck.

    python -m benchmarks.durable [kills creates million rows] [--quick] [--seed 1]

kills    A run over 7,050 ids is killed (SIGKILL) at 50 random moments. Lost and repeated rows, and repeated fetches.
creates  The same while analyses are requested: how many were created twice.
million  1,000,000 ids: seconds and memory of the import, seconds from opening the file to the first request, and of a
         status from another process meanwhile.
rows     Outcomes written per second, each on the disk, as a run writes them.

Exit code 1 where a bar is missed. Servers listen on 127.0.0.1, and everything ends with the command.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec

from benchmarks.__main__ import table
from benchmarks._durable_child import KEY
from benchmarks.samples import COMPLETE_A
from kallglot_async import BatchFile, KallglotClient
from kallglot_async._durable.runner import Run, RunOptions
from kallglot_async._durable.schema import open_to_write
from kallglot_async._durable.writer import Writer
from kallglot_async.emulator import Emulator, Fault, Latency
from kallglot_async.models import Analysis, Outcome, RateLimitState

IN_FLIGHT = 64  # of a client that is not told otherwise: what a kill may cost
ROUND_TRIP = 0.03  # seconds, so that something is in flight
SPEED = 100.0  # so that nobody waits for what a create estimates; a key then lives for 14 minutes


@contextlib.asynccontextmanager
async def child(*words: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Start one of those, and end it if it does not end by itself."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks._durable_child", *words,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


# -- kills


async def kill_at_random(
    server: Emulator, path: Path, kills: int, source: random.Random, *, requests: int
) -> list[int]:
    """Kill a run so often, and let the last one end; return what each kill has cost in repeated requests.

    `requests` is what the batch takes when nothing goes wrong; some of them are left for the run that ends.
    """
    costs = []
    most = int(1.6 * requests / kills)  # half of it on average: the last kill comes when 80 % is done
    for _ in range(kills):
        answered, written = server.journal.total, BatchFile(path).status().done
        moment = answered + source.randint(1, most)
        async with child("run", str(path), server.base_url) as process:
            while server.journal.total < moment and process.returncode is None:  # noqa: ASYNC110  # it tells nobody
                await asyncio.sleep(0.002)
            await asyncio.sleep(source.uniform(0.0, ROUND_TRIP))
            process.send_signal(signal.SIGKILL)
            assert await process.wait() == -signal.SIGKILL
        await asyncio.sleep(2 * ROUND_TRIP)  # what was on its way to the server
        sent = server.journal.total - answered
        costs.append(sent - (BatchFile(path).status().done - written))
    async with child("run", str(path), server.base_url) as process:
        assert await process.wait() == 0
    return costs


async def kills(*, quick: bool, seed: int) -> list[dict[str, object]]:
    """Kill a run over ids that have settled."""
    number, times = (400, 4) if quick else (7_050, 50)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "kills.kallglot")
        slow = Fault(kind="slow", delay=ROUND_TRIP)
        async with Emulator(plan="unlimited", latency=Latency.immediate(), faults=[slow]) as server:
            ids = server.seed_analyses(number)
            async with KallglotClient(KEY, base_url=server.base_url) as client, client.open_batch(path) as batch:
                await batch.add(ids)
            costs = await kill_at_random(server, path, times, random.Random(seed), requests=number)
            found = Counter(outcome.id for outcome in BatchFile(path).outcomes("done"))
            repeated = server.journal.total - number
    lost, twice = len(set(ids) - set(found)), sum(found.values()) - len(found)
    return [
        _row("kills", "ids", number),
        _row("kills", "kills", times),
        _row("kills", "ids lost", lost, 0),
        _row("kills", "rows twice", twice, 0),
        _row("kills", "fetches repeated, in all", repeated),
        _row("kills", "fetches repeated a kill, mean", sum(costs) / len(costs)),
        _row("kills", "fetches repeated a kill, most", max(costs), IN_FLIGHT),
    ]


async def creates(*, quick: bool, seed: int) -> list[dict[str, object]]:
    """Kill a run that requests analyses."""
    number, times = (200, 4) if quick else (1_500, 25)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "creates.kallglot")
        slow = Fault(kind="slow", delay=ROUND_TRIP)
        server = Emulator(plan="unlimited", latency=Latency.immediate(), faults=[slow], speed=SPEED)
        async with server, KallglotClient(KEY, base_url=server.base_url) as client:
            async with client.open_batch(path, analyses=["summary"]) as batch:
                await batch.add(f"sess_{number}" for number in range(number))
            await kill_at_random(server, path, times, random.Random(seed), requests=2 * number)
            done = Counter(outcome.id for outcome in BatchFile(path).outcomes("done"))
            created = Counter(record.session_id for record in server.analyses())
            replayed = sum(entry.is_replay for entry in server.journal)
    return [
        _row("creates", "sessions", number),
        _row("creates", "kills", times),
        _row("creates", "sessions lost", number - len(done), 0),
        _row("creates", "created twice", sum(created.values()) - len(created), 0),
        _row("creates", "requests that brought back what was created before", replayed),
    ]


# -- figures


async def million(*, quick: bool, seed: int) -> list[dict[str, object]]:
    """Import, reopen, and look from outside."""
    number = 50_000 if quick else 1_000_000
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "million.kallglot")
        async with child("import", str(path), str(number)) as process:
            out, _ = await process.communicate()
        seconds, work, peak = map(float, out.split())
        async with Emulator(plan="unlimited", latency=Latency.immediate(), adopt_unknown=True) as server:
            async with child("reopen", str(path), server.base_url) as process:
                assert process.stdin is not None
                assert process.stdout is not None
                first = float(await process.stdout.readline())
                looks = []
                while len(looks) < 20:
                    began = time.perf_counter()
                    report = await asyncio.to_thread(BatchFile(path).status)
                    looks.append(time.perf_counter() - began)
                    assert report.total == number
                    await asyncio.sleep(0.05)
                process.stdin.close()
                assert await process.wait() == 0
            assert 0 < BatchFile(path).status().done < number
    return [
        _row("million", "ids", number),
        _row("million", "import, s", seconds, 10.0),
        _row("million", "import, s of CPU", work),
        _row("million", "peak of the import, MiB", peak, 64.0),
        _row("million", "open to first request, s", first, 0.1),
        _row("million", "status from another process, s, median", sorted(looks)[len(looks) // 2]),
    ]


async def rows(*, quick: bool, seed: int) -> list[dict[str, object]]:
    """Write the outcomes of a run that costs nothing else."""
    number = 2_000 if quick else 50_000
    analysis = msgspec.json.decode(COMPLETE_A, type=Analysis)
    client: Any = SimpleNamespace(rate_limit=RateLimitState())
    options = RunOptions(timeout=None, total_timeout=None, max_in_flight=None, on_progress=None, only_listed=False)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "rows.kallglot")
        writer = Writer(path, lambda: open_to_write(path))
        await writer.start()
        ids = [f"ana_{place}" for place in range(number)]
        query = "INSERT INTO item (id) VALUES (?)"
        await writer.call(lambda connection: connection.executemany(query, ((id,) for id in ids)))
        run = Run(client, writer, options)
        began = time.perf_counter()
        for id in ids:
            await run.keep(Outcome(id=id, analysis=analysis, polls=1, elapsed=1.0))
        report = await run.report()
        took = time.perf_counter() - began
        await writer.aclose()
    assert report.done == number
    return [
        _row("rows", "outcomes", number),
        _row("rows", "written a second", number / took, 2_000.0, is_met=number / took >= 2_000.0),
        _row("rows", "commits a second of this disk, alone", _commits_a_second()),
    ]


def _commits_a_second() -> float:
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.closing(open_to_write(Path(folder, "alone"))) as connection,
    ):
        began = time.perf_counter()
        for number in range(200):
            connection.execute("INSERT INTO batch (key, value) VALUES (?, '')", (number,))
        return 200 / (time.perf_counter() - began)


def _row(
    scene: str, figure: str, value: float, bar: float | None = None, *, is_met: bool | None = None
) -> dict[str, object]:
    is_met = (bar is None or value <= bar) if is_met is None else is_met
    return {"scene": scene, "figure": figure, "value": value, "bar": bar, "": "" if is_met else "missed"}


SCENES = {"kills": kills, "creates": creates, "million": million, "rows": rows}


def main() -> int:
    """Run the chosen scenes."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.durable", description=__doc__.partition("\n")[0])
    parser.add_argument("scenes", nargs="*", choices=[*SCENES, []], help="which to run; default: all")
    parser.add_argument("--quick", action="store_true", help="small: a look, not a figure")
    parser.add_argument("--seed", type=int, default=1, help="decides the moments of the kills")
    arguments = parser.parse_args()
    found: list[dict[str, object]] = []
    for name in arguments.scenes or SCENES:
        found += asyncio.run(SCENES[name](quick=arguments.quick, seed=arguments.seed))
    print(table(found))
    return int(any(row[""] for row in found))


if __name__ == "__main__":
    raise SystemExit(main())
