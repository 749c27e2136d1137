"""The count of what a trip passes: own frames alone, starts apart from resumes, and the same in every run."""

import asyncio
import gc
from collections import Counter
from pathlib import Path

import pytest

from benchmarks import trips


def test_a_retrieve_is_counted_the_same_twice() -> None:
    """A trip has files, functions and calls of the package, none of the emulator's, and no chance in it."""
    gc.collect()  # what other tests have left behind would otherwise end in the middle of a trip
    first, second = trips.measure("retrieve"), trips.measure("retrieve")
    assert first.calls == second.calls
    assert first.resumes == second.resumes
    assert "resources/analyses.py" in first.files
    assert all((trips.PACKAGE / file).is_file() for file in first.files)
    assert not any(file.startswith(("emulator/", "cli/")) for file in first.files)
    assert ("resources/analyses.py", "Analyses.retrieve") in first.calls


@pytest.mark.parametrize("name", ["retrieve", "retrieve after a 429"])
def test_a_goal_that_was_reached_is_kept(name: str) -> None:
    """Whatever is added on the way lies in a room that the way passes anyhow, or beside it."""
    assert trips.row(name, trips.measure(name))["bar"] == "met"


def test_the_row_sums_up_what_the_details_list() -> None:
    """Files, functions and calls in the table are those of the lists below it."""
    count = trips.measure("retrieve")
    row = trips.row("retrieve", count)
    assert (row["files"], row["functions"]) == (len(count.files), len(count.calls))
    files = [line.split() for line in trips.details(count, functions=False).splitlines()]
    assert [file for _, file in files] == count.files
    assert sum(int(number) for number, _ in files) == row["calls"]
    assert len(trips.details(count, functions=True).splitlines()) == len(count.files) + len(count.calls)


@pytest.mark.parametrize(("files", "calls", "status"), [(1, 3, 0), (0, 3, 1), (1, 2, 1)])
def test_a_goal_that_is_missed_ends_the_command_with_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], files: int, calls: int, status: int
) -> None:
    """A goal is met by as many files, and by as many calls with their resumes, as it says; one more is too many."""
    count = trips.Count()
    count.calls["_clock.py", "now"] = 2
    count.resumes = 1

    async def make() -> trips.Count:
        return count

    monkeypatch.setattr(trips, "TRIPS", {"short": trips.Trip(make, files, calls)})
    monkeypatch.setattr("sys.argv", ["trips"])
    with pytest.raises(SystemExit) as ended:
        trips.main()
    assert ended.value.code == status
    assert ("missed" in capsys.readouterr().out) == bool(status)


def test_a_coroutine_and_a_generator_count_when_they_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """However often they are resumed or thrown into, each is one call."""

    def numbers():
        yield from (1, 2)

    async def nap() -> None:
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await asyncio.sleep(60.0)

    async def main() -> trips.Count:
        with trips.Count() as count:
            list(numbers())
            list(numbers())
            task = asyncio.create_task(nap())
            for _ in range(4):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
        return count

    trips._own_file.cache_clear()
    monkeypatch.setattr(trips, "PACKAGE", Path(__file__).parent)
    count = asyncio.run(main())
    trips._own_file.cache_clear()
    named = Counter({name.rpartition(".")[2]: number for (_, name), number in count.calls.items()})
    assert (named["numbers"], named["nap"]) == (2, 1)
    assert count.resumes >= 2 * 2 + 3
