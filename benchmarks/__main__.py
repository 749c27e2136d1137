"""Run the benchmarks: `python -m benchmarks [--quick] [--json FILE]`. Prints one table and where it comes from."""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from benchmarks import decoding, documented, imports, pending, policies, requests, storm

SUITES = {
    "decode": decoding.run,
    "request": requests.run,
    "import": imports.run,
    "pending": pending.run,
    "storm": storm.run,
    "documented": documented.run,
    "policies": policies.run,
}


def provenance() -> dict[str, object]:
    """Return what a reader needs to run it again: commit, interpreter, libraries."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return {
        "commit": commit.stdout.strip() or "unknown",
        "python": platform.python_version(),
        **{name: version(name) for name in ("aiohttp", "msgspec", "anyio")},
    }


def table(rows: list[dict[str, object]]) -> str:
    """Return rows of one benchmark as a plain table."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = [name for name in names if name != "benchmark" and any(row.get(name) is not None for row in rows)]
    cells = [columns, *([_cell(row.get(name)) for name in columns] for row in rows)]
    widths = [max(len(line[place]) for line in cells) for place in range(len(columns))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in cells)


def _cell(value: object) -> str:
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def main_of(run: Callable[..., list[dict[str, object]]], doc: str | None, quick: str) -> None:
    """Run a module whose figures depend on a seed: print its table; `quick` says what `--quick` leaves out."""
    parser = argparse.ArgumentParser(description=(doc or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help=quick)
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args()
    print(table(run(quick=arguments.quick, seed=arguments.seed)))
    print(", ".join(f"{key} {value}" for key, value in (provenance() | {"looptime": version("looptime")}).items()))


def main(suite: str | None = None) -> None:
    """Run the suites that are chosen, or the one that is asked for as a module of its own."""
    parser = argparse.ArgumentParser(
        prog=f"python -m {SUITES[suite].__module__ if suite else 'benchmarks'}", description=__doc__
    )
    if suite is None:
        parser.add_argument("suites", nargs="*", choices=[*SUITES, []], help="which to run; default: all")
    parser.add_argument("--quick", action="store_true", help="fewer rounds: a look, not a figure")
    parser.add_argument("--json", type=Path, help="also write the rows as JSON lines")
    arguments = parser.parse_args()
    origin = provenance()
    rows: list[dict[str, object]] = []
    for name in [suite] if suite is not None else arguments.suites or SUITES:
        found = SUITES[name](quick=arguments.quick)
        rows += found
        print(f"\n{name}\n{table(found)}", flush=True)
    print("\n" + ", ".join(f"{key} {value}" for key, value in origin.items()))
    if arguments.json is not None:
        arguments.json.write_text("".join(json.dumps({**row, **origin}) + "\n" for row in rows))


if __name__ == "__main__":
    main()
