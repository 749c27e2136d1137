"""A script: ids from a file, one JSON line for each as it settles; started again, it goes on where it stopped.

    pip install kallglot-async
    export KALLGLOT_API_KEY=sk_live_...
    python script.py ids.txt analyses.jsonl

Only what is final is written. What ran out of time, or was not attempted, is said at the end and taken up by the next
run. Neither file is held in memory, except for the ids that are done. `read_jsonl` of `kallglot_async.models` reads the
lines back, `kallglot report analyses.jsonl -o report.html` makes a page of them.
"""

import asyncio
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from kallglot_async import AnalysisFailedError, InvalidIdError, KallglotClient, NotFoundError

FINAL = (AnalysisFailedError, InvalidIdError, NotFoundError)


def read_done(path: Path) -> set[str]:
    """Return the ids that have a line. A last line that was cut short by a crash is taken away."""
    done: set[str] = set()
    whole = 0
    if not path.exists():
        return done
    with path.open("r+b") as lines:
        for line in lines:
            if line.endswith(b"\n"):
                done.add(json.loads(line)["id"])
                whole += len(line)
        lines.truncate(whole)
    return done


def read_ids(path: Path, done: set[str]) -> Iterator[str]:
    with path.open() as lines:
        for line in lines:
            if (id := line.strip()) and id not in done:
                done.add(id)  # the file may have it twice
                yield id


async def main(ids: Path, output: Path) -> int:
    """Return how many ids are left for the next run."""
    left = 0
    done = read_done(output)
    with output.open("ab") as lines:
        async with KallglotClient() as client, client.as_completed(read_ids(ids, done), timeout=600.0) as finished:
            async for outcome in finished:
                if outcome.ok or isinstance(outcome.error, FINAL):
                    lines.write(outcome.to_json() + b"\n")
                    lines.flush()
                else:
                    left += 1
                    print(f"{outcome.id}: {outcome.error}", file=sys.stderr)
    return left


if __name__ == "__main__":
    raise SystemExit(1 if asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2]))) else 0)
