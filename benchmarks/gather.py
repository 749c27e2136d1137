"""`asyncio.gather` of thousands of single waits: that each costs the same, however many there are.

Every `client.wait` is a call of its own, with a queue, a timer and a task, so whatever one of them does for all others
would show here as a cost that grows. The server is in the same process and on the real clock; analyses are ready
after three seconds, and it announces nothing. `cpu_ms` is what a wait costs, the server's part included.

    python -m benchmarks.gather [--waits 1000,3000,10000]
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import time
from collections import Counter

from benchmarks._trials import Row, verdict
from kallglot_async import KallglotClient
from kallglot_async.emulator import Emulator, Latency

WAITS = (1_000, 3_000, 10_000)
READY_AFTER = 3.0  # s
GROWTH_BAR = 2.0  # the largest run's cost of a wait over the smallest's


async def _gathered(number: int) -> Row:
    latency = Latency.uniform(READY_AFTER, READY_AFTER)
    async with (
        Emulator(plan="unlimited", rate_headers=False, adopt_unknown=True, latency=latency) as server,
        KallglotClient(server.api_key, base_url=server.base_url) as client,
    ):
        gc.collect()
        started, cpu = time.monotonic(), time.process_time()
        waits = (client.wait(f"ana_{place}", timeout=300.0) for place in range(number))
        found = await asyncio.gather(*waits, return_exceptions=True)
        cpu, seconds = time.process_time() - cpu, time.monotonic() - started
        lost = Counter(type(one).__name__ for one in found if isinstance(one, BaseException))
        return {
            "waits": number,
            "delivered": number - lost.total(),
            "lost": ", ".join(f"{count} {name}" for name, count in lost.items()) or None,
            "seconds": round(seconds, 1),
            "cpu_ms": round(1_000.0 * cpu / number, 2),
            "requests": server.journal.total,
        }


def run(waits: tuple[int, ...] = WAITS) -> list[Row]:
    """Return a row for each number of waits; the last says whether the cost of one has grown."""
    rows = [asyncio.run(_gathered(number)) for number in waits]
    growth = float(str(rows[-1]["cpu_ms"])) / float(str(rows[0]["cpu_ms"]))
    undelivered = sum(number - int(str(row["delivered"])) for number, row in zip(waits, rows, strict=True))
    rows[-1]["bar"] = verdict(("undelivered", undelivered, 0), ("growth", round(growth, 2), GROWTH_BAR))
    return [{"benchmark": "gather", **row} for row in rows]


def main() -> None:
    """Print the table."""
    from benchmarks.__main__ import provenance, table

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--waits", default=",".join(map(str, WAITS)), help="how many at once, separated by commas")
    arguments = parser.parse_args()
    print(table(run(tuple(map(int, arguments.waits.split(","))))))
    print(", ".join(f"{key} {value}" for key, value in provenance().items()))


if __name__ == "__main__":
    main()
