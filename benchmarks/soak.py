"""Waits, retrieves, creates and cancellations without a pause against an emulator that fails: does anything grow?

    python -m benchmarks.soak [--minutes 10] [--seed 1] [--faults 0.15]

Every ten seconds (a sixtieth of the run, if that is less) it writes down the resident size, the open descriptors,
the tasks and the threads. Exit code 1 where the median of the last third is above that of the first by more than
5 % and a small constant, or where anything went wrong that should not. It stops by itself.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import random
import threading
import time
from collections import Counter
from statistics import median
from typing import NamedTuple

from kallglot_async import KallglotClient, KallglotError
from kallglot_async.emulator import Emulator, Fault, FaultKind, Latency

KINDS: tuple[FaultKind, ...] = (
    "status",
    "reset",
    "close",
    "cut_body",
    "html",
    "empty",
    "broken_json",
    "wrong_id",
    "unknown_status",
    "slow",
    "drip",
)
CALLERS = 24
# What a figure may grow by beyond 5 % of itself: pages of the allocator, connections that come and go.
LEEWAY = {"rss_mib": 4.0, "descriptors": 16.0, "tasks": 16.0, "threads": 2.0}


class Sample(NamedTuple):
    """The figures of one moment."""

    seconds: float
    rss_mib: float
    descriptors: int
    tasks: int
    threads: int


def take_sample(started: float) -> Sample:
    """Measure this process; on systems without /proc the first two figures are 0."""
    rss, descriptors = 0.0, 0
    if os.path.isdir("/proc/self/fd"):
        with open("/proc/self/statm") as statm:
            rss = int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
        descriptors = len(os.listdir("/proc/self/fd"))
    return Sample(time.monotonic() - started, rss, descriptors, len(asyncio.all_tasks()), threading.active_count())


class Soak:
    """One run: callers that never stop, and a count of how their calls ended."""

    def __init__(self, client: KallglotClient, seed: int) -> None:
        self.client = client
        self.random = random.Random(seed)
        self.ends: Counter[str] = Counter()
        self.number = 0

    async def call(self) -> None:
        """Make one call of some kind, and perhaps cancel it."""
        self.number += 1
        ids = [f"{self.random.choice(('ana', 'anl'))}_{self.number}_{place}" for place in range(4)]
        kind = self.random.choice(("wait", "retrieve", "create", "wait_many", "retrieve_many", "as_completed"))
        patience = self.random.uniform(0.0, 0.5) if self.random.random() < 0.3 else 20.0
        try:
            async with asyncio.timeout(patience):
                if kind == "wait":
                    await self.client.wait(ids[0], timeout=10.0)
                elif kind == "retrieve":
                    await self.client.analyses.retrieve(ids[0], timeout=5.0)
                elif kind == "create":
                    created = await self.client.analyses.create(f"sess_{self.number}", profile="default", timeout=5.0)
                    await self.client.wait(created.id, timeout=10.0)
                elif kind == "wait_many":
                    outcomes = await self.client.wait_many(ids, total_timeout=10.0)
                    assert [outcome.id for outcome in outcomes] == ids
                elif kind == "retrieve_many":
                    outcomes = await self.client.analyses.retrieve_many(iter(ids), timeout=5.0)
                    assert [outcome.id for outcome in outcomes] == ids
                else:
                    async with self.client.as_completed(iter(ids), timeout=10.0) as finished:
                        found = {outcome.id async for outcome in finished}
                    assert found == set(ids)
            self.ends[f"{kind}: fine"] += 1
        except KallglotError as error:
            self.ends[f"{kind}: {type(error).__name__}"] += 1
        except TimeoutError:
            self.ends[f"{kind}: cancelled"] += 1

    async def keep_calling(self, until: float) -> None:
        """Make one call after another."""
        while time.monotonic() < until:
            await self.call()


def verdict(samples: list[Sample]) -> list[str]:
    """Return what has grown: the last third against the first after the warm-up, by their medians."""
    third = max(1, len(samples) // 3)
    grown = []
    for name, leeway in LEEWAY.items():
        first = median(getattr(sample, name) for sample in samples[:third])
        last = median(getattr(sample, name) for sample in samples[-third:])
        if last > first * 1.05 + leeway:
            grown.append(f"{name} grew from {first:.1f} to {last:.1f}")
    return grown


async def soak(minutes: float, seed: int, faults: float) -> int:
    """Run, print the table and the verdict, and return the exit code."""
    seconds = minutes * 60.0
    shares = [Fault(kind=kind, rate=faults / len(KINDS), delay=0.2, interval=0.001) for kind in KINDS]
    shares.append(Fault(kind="throttle", rate=0.0005, retry_after=1))  # a refusal pauses everybody: a few will do
    emulator = Emulator(
        rate_limit=(60_000, 60.0),  # at this speed in 1.2 s: headers to learn from, and no limit to speak of
        seed=seed,
        speed=50.0,
        latency=Latency.log_normal(median=20.0),
        adopt_unknown=True,
        faults=shares,
        journal_bound=10_000,
    )
    samples: list[Sample] = []
    async with emulator, KallglotClient(emulator.api_key, base_url=emulator.base_url, timeout=5.0) as client:
        started = time.monotonic()
        run, every = Soak(client, seed), min(10.0, seconds / 60.0)
        print(f"{'s':>6} {'RSS MiB':>8} {'fds':>5} {'tasks':>6} {'threads':>8} {'calls':>8} {'requests':>9}")
        async with asyncio.TaskGroup() as group:
            for _ in range(CALLERS):
                group.create_task(run.keep_calling(started + seconds))
            while (left := started + seconds - time.monotonic()) > 0:
                await asyncio.sleep(min(every, left))
                # What the emulator remembers of its analyses is not the client's: it is made to forget.
                emulator.reset()
                gc.collect()
                sample = take_sample(started)
                samples.append(sample)
                print(
                    f"{sample.seconds:6.0f} {sample.rss_mib:8.1f} {sample.descriptors:5} {sample.tasks:6} "
                    f"{sample.threads:8} {run.number:8} {client.stats.requests:9}",
                    flush=True,
                )
        left_over = client.rate_limit.in_flight + client.rate_limit.waiting + client.stats.waiting_for
    for name, count in sorted(run.ends.items()):
        print(f"{count:8} {name}")
    warm = samples[len(samples) // 6 :]
    complaints = verdict(warm) + ([f"{left_over} slots or ids were never given back"] if left_over else [])
    if not any(name.endswith(": fine") for name in run.ends):
        complaints.append("no call succeeded")
    print("verdict:", "; ".join(complaints) or "flat")
    return 1 if complaints else 0


def main() -> int:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__.split("\n", 1)[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--faults", type=float, default=0.15, help="share of the requests that meet a fault")
    arguments = parser.parse_args()
    return asyncio.run(soak(arguments.minutes, arguments.seed, arguments.faults))


if __name__ == "__main__":
    raise SystemExit(main())
