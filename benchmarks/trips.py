"""How many files, functions and calls of the package one trip through it passes: what a reader has to follow.

Each trip is made once to warm up, with a client, connections and imports of its own, and then counted once, against
an emulator in virtual time. Counted is what `sys.setprofile` reports on the event loop's thread, of code that lies in
the package, `emulator/` and `cli/` excepted, as neither is on a request's way; the models' own functions count:

- files: those with a frame of the trip; functions: distinct ones, by file and qualified name;
- calls: starts of a frame. A coroutine or generator counts when it first runs and never when it is resumed, thrown
  into or closed; `resumes` counts that apart. Comprehensions, lambdas and class bodies count as functions do, and so
  a comprehension is a call up to Python 3.11 only. Functions made at run time, such as a struct's `__init__`, do not:
  a file that is only imported, or gives nothing but fields and constants, is none that a trip passes.

Exits with 1 where a trip passes more than its goal.

    python -m benchmarks.trips [TRIP ...] [--list] [--functions]
"""

from __future__ import annotations

import argparse
import asyncio
import dis
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from types import CodeType, FrameType, TracebackType
from typing import NamedTuple, Self, TypeVar

from aiohttp import web

import kallglot_async
from benchmarks._trials import EPOCH, Row, in_virtual_time, verdict
from kallglot_async import KallglotClient, Outcomes, PollSchedule, WebhookInbox
from kallglot_async.emulator import Emulator, Fault, Latency
from kallglot_async.receivers import aiohttp_handler

T = TypeVar("T")

PACKAGE = Path(kallglot_async.__file__).parent
BESIDE = ("emulator", "cli")
SECRET = "whsec_benchmark"  # noqa: S105  # it guards nothing
READY_IN = 5.0  # virtual s; sooner than a wait that leaves it to webhooks polls for the first time
_RESUME = dis.opmap["RESUME"]


class Count:
    """What was called while it was entered."""

    def __init__(self) -> None:
        self.calls: Counter[tuple[str, str]] = Counter()  # by file and function
        self.resumes = 0

    def __enter__(self) -> Self:
        sys.setprofile(self._on_event)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        sys.setprofile(None)

    def _on_event(self, frame: FrameType, event: str, _: object) -> None:
        file = _own_file(frame.f_code.co_filename) if event == "call" else None
        if file is None:
            return
        if _starts(frame.f_code, frame.f_lasti):
            self.calls[file, frame.f_code.co_qualname] += 1
        else:
            self.resumes += 1

    @property
    def files(self) -> list[str]:
        """Return the files it passed, those with most calls first."""
        of_files: Counter[str] = Counter()
        for (file, _), number in self.calls.items():
            of_files[file] += number
        return [file for file, _ in of_files.most_common()]


@cache
def _own_file(name: str) -> str | None:
    """Return the path below the package of a file that counts."""
    path = Path(name)
    if not path.is_relative_to(PACKAGE):
        return None
    below = path.relative_to(PACKAGE)
    return None if below.parts[0] in BESIDE else below.as_posix()


@cache
def _starts(code: CodeType, at: int) -> bool:
    """Whether a frame that is called at this instruction starts there: the others go on after a yield or await."""
    instruction, kind = code.co_code[at : at + 2]
    return instruction == _RESUME and kind & 3 == 0


@asynccontextmanager
async def _running(
    latency: Latency, inbox: WebhookInbox | None = None, webhook_url: str | None = None
) -> AsyncIterator[tuple[Emulator, KallglotClient]]:
    async with (
        Emulator(seed=7, latency=latency, epoch=EPOCH, webhook_url=webhook_url, webhook_secret=SECRET) as emulator,
        KallglotClient(emulator.api_key, base_url=emulator.base_url, inbox=inbox, random=lambda: 0.5) as client,
    ):
        yield emulator, client


async def _warm_then_count(make: Callable[[], Awaitable[T]], check: Callable[[T], None] = lambda _: None) -> Count:
    check(await make())
    with Count() as count:
        found = await make()
    check(found)
    return count


def _check_told(outcomes: Outcomes) -> None:
    """What was waited for has settled, at the first look."""
    [outcome] = outcomes
    assert outcome.unwrap().is_complete
    assert outcome.polls == 1


async def _retrieve() -> Count:
    async with _running(Latency.immediate()) as (emulator, client):
        ids = iter(emulator.seed_analyses(2))
        return await _warm_then_count(lambda: client.analyses.retrieve(next(ids)))


async def _wait() -> Count:
    async with _running(Latency.immediate()) as (emulator, client):
        ids = iter(emulator.seed_analyses(2))
        return await _warm_then_count(lambda: client.wait_many([next(ids)]), _check_told)


async def _refused() -> Count:
    async with _running(Latency.immediate()) as (emulator, client):
        ids = iter(emulator.seed_analyses(2))

        async def make() -> int:
            emulator.add_fault(Fault(kind="throttle", times=1, retry_after=1))
            await client.analyses.retrieve(next(ids))
            return len(emulator.faults())

        def check(left: int) -> None:
            assert left == 0, "it was not refused"

        return await _warm_then_count(make, check)


async def _told() -> Count:
    inbox, app = WebhookInbox(), web.Application()
    app.router.add_post("/hook", aiohttp_handler(inbox, SECRET, clock=lambda: EPOCH))
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    try:
        async with _running(Latency.uniform(READY_IN, READY_IN), inbox, url) as (_, client):

            async def make(session_id: str, count: Count) -> Count:
                created = await client.analyses.create(session_id, analyses=["summary"])
                wait = asyncio.create_task(client.wait_many([created.id], schedule=PollSchedule.behind_webhooks()))
                await asyncio.sleep(READY_IN - 1.0)
                assert not wait.done()
                with count:  # nothing of the wait is left to do but to be told
                    outcomes = await wait
                _check_told(outcomes)
                return count

            await make("sess_1", Count())
            return await make("sess_2", Count())
    finally:
        await runner.cleanup()


async def _analyze() -> Count:
    async with _running(Latency.immediate()) as (_, client):
        sessions = iter(("sess_1", "sess_2"))
        return await _warm_then_count(lambda: client.analyze_many([next(sessions)], analyses=["summary"]), _check_told)


class Trip(NamedTuple):
    """A trip, and the most it is to pass."""

    make: Callable[[], Awaitable[Count]]
    files: int
    calls: int | None = None  # with the resumes, which a profiler counts as calls


TRIPS = {
    "retrieve": Trip(_retrieve, 10),
    "wait_many of one id": Trip(_wait, 17, calls=222),  # half of what a profiler showed when the goal was set
    "retrieve after a 429": Trip(_refused, 15),
    "webhook to outcome": Trip(_told, 16),
    "analyze_many of one": Trip(_analyze, 20),
}


def measure(name: str) -> Count:
    """Return what one trip passes."""

    async def main() -> Count:
        return await TRIPS[name].make()

    return in_virtual_time(main)


def row(name: str, count: Count) -> Row:
    """Return one line of the table."""
    trip = TRIPS[name]
    files, calls = len(count.files), count.calls.total()
    checks = [("files", files, trip.files)]
    if trip.calls is not None:
        checks.append(("calls and resumes", calls + count.resumes, trip.calls))
    return {
        "benchmark": "trips",
        "trip": name,
        "files": files,
        "files_goal": trip.files,
        "functions": len(count.calls),
        "calls": calls,
        "calls_goal": trip.calls,
        "resumes": count.resumes,
        "bar": verdict(*checks),
    }


def run(*, quick: bool, names: Iterable[str] = TRIPS) -> list[Row]:
    """Make each trip; `quick` changes nothing, as they are counted and not timed."""
    return [row(name, measure(name)) for name in names]


def details(count: Count, *, functions: bool) -> str:
    """Return the files of a trip with their calls, those with most first, and the functions in them."""
    lines = []
    for file in count.files:
        own = [(name, number) for (place, name), number in count.calls.most_common() if place == file]
        lines.append(f"  {sum(number for _, number in own):5}  {file}")
        lines += [f"  {number:10}  {name}" for name, number in own] if functions else []
    return "\n".join(lines)


def main() -> None:
    """Print the table and what each trip passes, and exit with 1 where a goal is missed."""
    from benchmarks.__main__ import provenance, table

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("trips", nargs="*", choices=[*TRIPS, []], help="which to make; default: all")
    parser.add_argument("--list", action="store_true", help="also print the files of each trip, with their calls")
    parser.add_argument("--functions", action="store_true", help="and the functions in them, with theirs")
    arguments = parser.parse_args()
    counts = {name: measure(name) for name in arguments.trips or TRIPS}
    rows = [row(name, count) for name, count in counts.items()]
    print(table(rows))
    if arguments.list or arguments.functions:
        for name, count in counts.items():
            print(f"\n{name}\n{details(count, functions=arguments.functions)}")
    print("\n" + ", ".join(f"{key} {value}" for key, value in provenance().items()))
    sys.exit(any(row["bar"] != "met" for row in rows))


if __name__ == "__main__":
    main()
