"""What processes that share nothing make of one limit: `python -m benchmarks.independent [--quick]`.

So many clients under one key, each with a limiter of its own as a process has it, begin at the same moment to work
through ids without an end, 50 ms away from a server that counts in fixed windows. Once they have nothing but the
server's figures, once each has `RateLimit(limit // N, per)` besides. Virtual time, real sockets.

`refused %` counts every request from the first one on; `use` is the share of the limit that was accepted in the windows
after the first two, and `smallest share` what the least served client got in them, of what the best served got.
"""

from __future__ import annotations

import argparse
import asyncio
import random
from collections import Counter
from collections.abc import Iterator
from itertools import count

from benchmarks._peer_server import PeerServer
from benchmarks._trials import EPOCH, Row, in_virtual_time, mean
from kallglot_async import KallglotClient, RateLimit
from kallglot_async.emulator import Latency

ROUND_TRIP = 0.05
LIMITS = ((600, 10.0), (150, 60.0))
PROCESSES = (1, 4, 20)
FIRST_WINDOWS, WINDOWS = 2, 12
Figures = dict[str, float]


def measure(limit: tuple[int, float], processes: int, seed: int, *, has_ceiling: bool) -> Figures:
    """Return the figures of one run."""
    requests, per = limit
    draw = random.Random(seed)

    def ids_of(process: int) -> Iterator[str]:
        return (f"ana_{process}x{number}" for number in count())

    async def work(server: PeerServer, process: int) -> None:
        ceiling = RateLimit(requests // processes, per) if has_ceiling else None
        async with (
            KallglotClient(server.api_key, base_url=server.base_url, rate_limit=ceiling) as client,
            client.as_completed(ids_of(process), timeout=None) as finished,
        ):
            async for outcome in finished:
                outcome.unwrap()

    async def main() -> Figures:
        server = PeerServer(
            round_trip=ROUND_TRIP,
            seed=seed,
            rate_limit=limit,
            latency=Latency.immediate(),
            adopt_unknown=True,
            epoch=EPOCH + draw.uniform(0.0, per),
        )
        async with server:
            workers = [asyncio.create_task(work(server, process)) for process in range(processes)]
            await asyncio.wait(workers, timeout=WINDOWS * per)
            for worker in workers:
                worker.cancel()
            ended = await asyncio.gather(*workers, return_exceptions=True)
            assert all(isinstance(end, asyncio.CancelledError) for end in ended), ended
            return figures(server, requests, processes)

    return in_virtual_time(main)


def figures(server: PeerServer, requests: int, processes: int) -> Figures:
    """Return what the server's record says."""
    journal = server.journal
    windows = sorted({entry.window for entry in journal if entry.window is not None})[FIRST_WINDOWS:-1]
    late = [entry for entry in journal if entry.accepted and entry.window in windows]
    shares = Counter({str(process): 0 for process in range(processes)})
    shares.update((entry.id or "").removeprefix("ana_").partition("x")[0] for entry in late)
    return {
        "refused %": 100.0 * journal.refused / len(journal),
        "use": len(late) / (requests * len(windows)),
        "smallest share": min(shares.values()) / max(shares.values()),
    }


def run(*, quick: bool, seeds: range = range(7, 10)) -> list[Row]:
    """Measure; a quick look takes the first limit, at most four processes and one seed."""
    rows: list[Row] = []
    for requests, per in LIMITS[:1] if quick else LIMITS:
        for processes in PROCESSES[:2] if quick else PROCESSES:
            for has_ceiling in (False, True):
                runs = [
                    measure((requests, per), processes, seed, has_ceiling=has_ceiling)
                    for seed in (seeds[:1] if quick else seeds)
                ]
                rows.append(
                    {
                        "benchmark": "independent",
                        "limit": f"{requests}/{per:g}s",
                        "processes": processes,
                        "each has": f"RateLimit({requests // processes}, {per})" if has_ceiling else "nothing",
                        **{name: mean((figures[name] for figures in runs), 3) for name in runs[0]},
                    }
                )
    return rows


def main() -> None:
    """Print the table."""
    from benchmarks.__main__ import provenance, table

    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.independent", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--quick", action="store_true", help="one limit, few processes, one seed")
    parser.add_argument("--seeds", type=int, nargs=2, default=(7, 9), metavar=("FIRST", "LAST"))
    arguments = parser.parse_args()
    print(table(run(quick=arguments.quick, seeds=range(arguments.seeds[0], arguments.seeds[1] + 1))))
    print(", ".join(f"{key} {value}" for key, value in provenance().items()))


if __name__ == "__main__":
    main()
