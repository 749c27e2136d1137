"""Instructions per request, counted by valgrind: the same candidates as `requests`, repeatable on a noisy machine.

Times on a shared machine vary by a quarter from run to run; the count of a run's instructions varies by a percent.
Each candidate runs twice in a process of its own, with and without the requests that count, and the difference is
divided by their number. The kernel's share of a request is not in it. Takes about a minute a candidate.

The waits are of analyses that are complete at the first poll: `wait_many` for all, `wait` for one, a hundred at once.

    python -m benchmarks.instructions [CANDIDATE ...]          (needs the program valgrind)
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import shutil
import subprocess
import sys

from benchmarks.requests import candidates

WARM_UP, COUNTED = 200, 600
STOCK, TUNED = "stock aiohttp + json", "tuned aiohttp + msgspec"
BARS = {  # at most so many instructions a request, in those of stock aiohttp with json
    "kallglot_async retrieve": 0.95,
    "kallglot_async retrieve_many": 1.05,
    "kallglot_async wait_many": 1.3,
    "kallglot_async wait": 1.6,
}


async def _work(candidate: str, number: int) -> None:
    async with candidates() as found:
        await found[candidate](WARM_UP)
        if number:
            await found[candidate](number)


def _count(candidate: str, number: int) -> int:
    command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={os.devnull}"]
    command += [sys.executable, "-m", "benchmarks.instructions", "--work", str(number), candidate]
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    found = re.findall(r"Collected : (\d+)", done.stderr)
    return int(found[-1])


def main() -> None:
    """Print one line a candidate."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("candidates", nargs="*", default=[STOCK, *BARS])
    parser.add_argument("--work", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work is not None:
        asyncio.run(_work(arguments.candidates[0], arguments.work))
        return
    if shutil.which("valgrind") is None:
        sys.exit("this needs the program valgrind, which counts the instructions: install it first")
    each = {name: (_count(name, COUNTED) - _count(name, 0)) / COUNTED for name in arguments.candidates}
    for name, count in each.items():
        ratios = [f"{count / each[base]:.3f} to {base}" for base in (STOCK, TUNED) if base in each]
        bar = f" (bar {BARS[name]})" if name in BARS else ""
        print(f"{name:<28} {count:>10,.0f} instructions  {', '.join(ratios)}{bar}")


if __name__ == "__main__":
    main()
