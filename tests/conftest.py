"""What the whole suite shares: hypothesis profiles, what is traced, both event loops, and the aioresponses shim."""

import asyncio
import functools
import gc
import inspect
import os
from collections.abc import Awaitable, Callable, Generator
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import aiohttp
import aioresponses.core
import hypothesis
import pytest
from support.bytecode import import_own_share
from support.tracing import trace

pytest_plugins = ["pytester"]
collect_ignore = [] if find_spec("arq") else ["recipes/test_arq.py"]  # an environment of its own, as that file says

# Each of the hundred processes that tests start would compile the package anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# Without this, pytest-asyncio's first look for a "current" loop makes one that nobody ever closes.
asyncio.set_event_loop(None)

# The first two are the same examples every time; `--hypothesis-profile=search` looks for others.
hypothesis.settings.register_profile("dev", max_examples=10, stateful_step_count=30, deadline=None, derandomize=True)
hypothesis.settings.register_profile("ci", max_examples=50, deadline=None, derandomize=True)
hypothesis.settings.register_profile("search", max_examples=500, deadline=None)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "dev")


def needs_stream_writer() -> bool:
    """Whether aiohttp's response wants an argument that aioresponses does not know."""
    parameters = inspect.signature(aiohttp.ClientResponse.__init__).parameters
    source = inspect.getsource(aioresponses.core)
    return "stream_writer" in parameters and "stream_writer" not in source


class _ResponseWithWriter(aiohttp.ClientResponse):
    """Fills in what aioresponses 0.7.9 leaves out when it builds a response for aiohttp 3.14."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        kwargs.setdefault("stream_writer", Mock(output_size=0))
        super().__init__(*args, **kwargs)


@pytest.fixture
def mocked():
    """aioresponses, made to work with the installed aiohttp; for request shape and error mapping only."""
    with aioresponses.core.aioresponses() as mock:
        yield mock


TESTS = Path(__file__).parent

FAULT_ROW = "fault_row"
"""The user property of a row of the fault matrix: area, fault, call, what the client did, requests, attempts."""
FAULT_TABLE = "build/fault-matrix.txt"

UNTRACED = {
    "promises",
    "faults",
    "core/api/test_analyses",
    "core/limit/test_explanations",
    "core/limit/test_gate_servers",
    "core/limit/test_gate_stateful",
    "core/polling/test_queue_stateful",
    "core/polling/test_worth",
    "emulator/analyses/test_store",
    "emulator/faults/test_wire",
    "face/cli/test_options",
    "face/test_architecture",  # walks the package's syntax tree, and none of its code
    "face/test_benchmarks_smoke",
    "face/test_benchmarks_trips",
    "face/test_documentation",
    "face/test_errors",
    "face/test_recipes",
    "shared/test_shares",
    "support/test_wire_faults",
    "waiting/test_call",
    "waiting/test_poller",
    "waiting/test_waits_many",
    "wire/test_limiter_stateful",
    "wire/test_request_shape",
}
"""Folders and files whose ways others go as well, or that go the same hundreds of times; a test alone is marked."""

GARBAGE = (10_000, 50, 100)
"""How much there is to be before Python looks for garbage: a tenth of a run was spent on looking."""


def pytest_xdist_auto_num_workers() -> int | None:
    """More workers than cores, by a quarter or by two: some of the time of these tests is waiting, for real clocks."""
    if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ or not hasattr(os, "sched_getaffinity"):
        return None  # as pytest-xdist has it
    cores = len(os.sched_getaffinity(0))
    return cores + max(2, cores // 4)


def pytest_configure(config: pytest.Config) -> None:
    """Trace what the coverage is to know of, and no more."""
    trace(config)


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Generator[None, object, object]:
    """Look for no garbage meanwhile: what this makes is kept, and each look at it takes longer."""
    gc.disable()
    try:
        import_own_share(session.config)
        return (yield)
    finally:
        gc.enable()


@functools.cache
def _repeats(module: Path) -> bool:
    """Whether it is one of those."""
    return any(module.is_relative_to(TESTS / name) for name in UNTRACED)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out of the coverage what repeats the same ways: tracing makes a test take three times as long.

    The figure is what the tests of the rooms reach, each of them once, and not what a thousand examples chance upon.
    A virtual clock is told how often to look for input before it moves.
    """
    from support.virtual import IDLE_TURNS  # late: it loads the whole package

    for item in items:
        if item.get_closest_marker("looptime"):
            item.add_marker(pytest.mark.looptime(noop_cycles=IDLE_TURNS))
        if _repeats(item.path.with_suffix("")) or hypothesis.is_hypothesis_test(getattr(item, "obj", None)):
            item.add_marker("untraced")


def pytest_collection_finish(session: pytest.Session) -> None:
    """Refuse names that two workers would not agree on, and keep all these tests out of each collection of garbage."""
    if moving := [item.nodeid for item in session.items if " at 0x" in item.nodeid]:
        raise pytest.UsageError(f"the name of a test holds an address: {moving[0]}")
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GARBAGE)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> Generator[None, object, object]:
    """Look for what a module left behind it at its end: its own warnings are its own, and the rest is not passed again.

    What stays alive are reports and what modules hold: each later look for garbage would take 0.2 s.
    """
    outcome = yield
    if nextitem is not None and nextitem.path != item.path:
        gc.collect()
        gc.freeze()
    return outcome


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment without proxies and netrc of its own."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("NETRC", os.devnull)
    return monkeypatch


@pytest.fixture
def bench_of(
    caplog: pytest.LogCaptureFixture,
    environment: pytest.MonkeyPatch,
    record_property: Callable[[str, object], None],
) -> Callable[[str, Any], Awaitable[None]]:
    """Run a case of the fault matrix on a bench of its own, and report its row."""
    from support.fault_bench import Bench, Case, bench  # late: it loads the whole package

    async def run(area: str, case: Case) -> None:
        def report(it: Bench) -> None:
            did = ", ".join(dict.fromkeys(it.did)) or "nothing"
            record_property(FAULT_ROW, (area, case.fault, case.call, did, it.counted, it.attempts or ""))

        async with bench(caplog, environment, report) as it:
            await case.run(it)

    return run


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Write the fault matrix to a file. User properties travel from the workers of a run to its controller."""
    calls: dict[tuple[str, ...], list[str]] = {}
    for reports in list(terminalreporter.stats.values()):
        for report in reports:
            if isinstance(report, pytest.TestReport) and report.when == "call":
                for name, value in report.user_properties:
                    if name == FAULT_ROW:
                        area, fault, call, *facts = map(str, value)
                        calls.setdefault((area, fault, *facts, report.outcome), []).append(call)
    if not calls:
        return
    rows = [(area, fault, ", ".join(names), *facts) for (area, fault, *facts), names in calls.items()]
    rows.sort(key=lambda row: row[0])  # areas; within one, in the order of the run
    table = [("area", "fault", "met by", "the client", "requests", "attempts", "verdict"), *rows]
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in table]
    path = terminalreporter.config.rootpath / FAULT_TABLE
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join([*lines, ""]), encoding="utf-8")
    terminalreporter.write_line(f"what the client made of {len(rows)} faults: {FAULT_TABLE}")


if needs_stream_writer():
    aioresponses.core.ClientResponse = _ResponseWithWriter


if os.environ.get("KALLGLOT_TEST_LOOP") == "uvloop":  # tests under a virtual clock stay on asyncio: it is made of that

    def pytest_asyncio_loop_factories(item: pytest.Item) -> dict[str, object]:
        """Run what is on a real clock on uvloop."""
        import uvloop

        virtual = item.get_closest_marker("looptime")
        return {"asyncio": asyncio.new_event_loop} if virtual else {"uvloop": uvloop.new_event_loop}
