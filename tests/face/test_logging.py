"""The log: one line for each request, and how a script has it shown."""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from support.wire_faults import RawServer, analysis, answer, closing

from kallglot_async import ConfigurationError, ConnectionLostError, KallglotClient, RateLimitedError
from kallglot_async._events import RequestRecord
from kallglot_async._wire import pipeline

KEY = "sk_test_canary7Qx2"
CANARY = "CANARY"


@pytest.fixture(autouse=True)
def _untouched() -> Iterator[None]:
    """Whatever a test turns on is off again."""
    logger = logging.getLogger("kallglot_async")
    level, handlers = logger.level, list(logger.handlers)
    yield
    logger.setLevel(level)
    logger.handlers[:] = handlers


def client_of(server: RawServer, **options: Any) -> KallglotClient:
    return KallglotClient(KEY, **({"base_url": server.base_url, "random": lambda: 0.0} | options))


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "kallglot_async.requests"]


async def test_each_request_is_a_line(caplog: pytest.LogCaptureFixture) -> None:
    """Method, path, status, attempt, seconds and the server's id; the attempts of a call are lines of their own."""
    caplog.set_level(logging.DEBUG, "kallglot_async")
    good = answer(analysis(results={"summary": {"brief": CANARY}}), "X-Request-ID: req_9")
    async with RawServer(answer(b"{}", status="503 No"), good) as server, client_of(server) as client:
        await client.analyses.retrieve("ana_1")
        await client.request("GET", "agents", params={"secret": CANARY})
    found = lines(caplog)
    starts = ["GET analysis/ana_1: 503, attempt 1", "GET analysis/ana_1: 200, attempt 2", "GET agents: 200, attempt 1"]
    assert [", ".join(line.split(", ")[:2]) for line in found] == starts
    assert [line.rpartition(", ")[2] for line in found] == ["request None", "request req_9", "request req_9"]
    assert all(float(line.split(", ")[2].removesuffix(" s")) >= 0 for line in found)
    assert {record.levelno for record in caplog.records if record.name == "kallglot_async.requests"} == {logging.DEBUG}
    assert KEY not in caplog.text
    assert CANARY not in caplog.text


@pytest.mark.parametrize("was_refused", [True, False])
@pytest.mark.parametrize(("seconds", "lines"), [(72_000, 1), (60, 0)])
async def test_a_limit_that_is_spent_for_long_is_told_once(
    seconds: int, lines: int, was_refused: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """A wait with no deadline would be silent for twenty hours; a minute is nothing to tell."""
    spent = ("X-RateLimit-Limit: 1000", "X-RateLimit-Remaining: 0", f"X-RateLimit-Reset: {seconds}")
    said = answer(b"", *spent, status="429 X") if was_refused else answer(analysis("ana_1"), *spent)
    left = answer(analysis("ana_1"), spent[0], "X-RateLimit-Remaining: 2", spent[2])
    async with RawServer(left, said, said) as server, client_of(server) as client:
        await client.analyses.retrieve("ana_1")
        await asyncio.gather(*(client.analyses.retrieve("ana_1") for _ in range(2)), return_exceptions=True)
        with pytest.raises(RateLimitedError):
            await client.analyses.retrieve("ana_1", timeout=1.0)
    warnings = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(warnings) == lines
    assert all("lets no request go for 720" in text for text in warnings)


@pytest.mark.looptime
@pytest.mark.parametrize(("renewals", "lines"), [(0, 1), (1, 2)])
async def test_refusals_for_long_are_told_once_until_something_may_go(
    renewals: int, lines: int, caplog: pytest.LogCaptureFixture
) -> None:
    """A server that refuses for hours, five minutes at a time, is no news each time."""
    refused = [answer(b"", "Retry-After: 300", status="429 X")] * 5
    plenty = ("X-RateLimit-Limit: 1000", "X-RateLimit-Remaining: 900", "X-RateLimit-Reset: 60")
    said = [*refused, *[answer(analysis("ana_1", status="processing"), *plenty), *refused] * renewals]
    async with RawServer(*said, answer(analysis("ana_1"))) as server, client_of(server) as client:
        await client.wait("ana_1", timeout=None)
    warnings = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(warnings) == lines


async def test_a_request_without_an_answer_is_a_line(caplog: pytest.LogCaptureFixture) -> None:
    """With the class of the error in the place of a status."""
    caplog.set_level(logging.DEBUG, "kallglot_async")
    async with RawServer(closing()) as server, client_of(server, max_attempts=1) as client:
        with pytest.raises(ConnectionLostError):
            await client.analyses.retrieve("ana_1")
    [line] = lines(caplog)
    assert line.startswith("GET analysis/ana_1: ConnectionLostError, attempt 1, ")


async def test_a_download_is_a_line_without_the_links_secret(caplog: pytest.LogCaptureFixture) -> None:
    """The address of a storage has no query there."""
    caplog.set_level(logging.DEBUG, "kallglot_async")
    async with RawServer(answer(b"audio")) as storage, RawServer() as server, client_of(server) as client:
        link = {"download_url": f"{storage.origin}/audio?signature={CANARY}"}
        server.script(answer(json.dumps({"id": "rec_1", "object": "recording", "status": "ready"} | link).encode()))
        await client.recordings.download("rec_1", BytesIO())
    assert [line.partition(",")[0] for line in lines(caplog)] == [
        "GET recordings/rec_1: 200",
        f"GET {storage.origin}/audio: 200",
    ]
    assert CANARY not in caplog.text


async def test_nothing_is_made_where_nothing_is_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Above DEBUG there is no line, and no record for one."""
    made = []

    def record(*what: Any, **more: Any) -> RequestRecord:
        made.append(more["path"])
        return RequestRecord(*what, **more)

    monkeypatch.setattr(pipeline, "RequestRecord", record)
    async with RawServer(*[answer(analysis())] * 2) as server, client_of(server) as client:
        await client.analyses.retrieve("ana_1")
        assert made == []
        logging.getLogger("kallglot_async").setLevel(logging.DEBUG)
        await client.analyses.retrieve("ana_1")
        assert made == ["analysis/ana_1"]


@pytest.mark.parametrize("level", ["debug", "DEBUG", " Info ", "info"])
def test_a_variable_shows_the_log(level: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """On standard error, once, however many clients are made."""
    monkeypatch.setenv("KALLGLOT_LOG", level)
    for _ in range(3):
        KallglotClient(KEY)
    logger = logging.getLogger("kallglot_async")
    assert logger.level == getattr(logging, level.strip().upper())
    assert len([handler for handler in logger.handlers if isinstance(handler, logging.StreamHandler)]) == 1


@pytest.mark.parametrize("level", ["", " "])
def test_an_empty_variable_is_none(level: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is changed."""
    monkeypatch.setenv("KALLGLOT_LOG", level)
    before = list(logging.getLogger("kallglot_async").handlers)
    KallglotClient(KEY)
    assert logging.getLogger("kallglot_async").handlers == before


@pytest.mark.parametrize("level", ["warning", "10", "yes", "debug\x1b[31m"])
def test_a_level_that_is_none_is_refused(level: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not ignored, as who sets it wants to see something."""
    monkeypatch.setenv("KALLGLOT_LOG", level)
    with pytest.raises(ConfigurationError, match="KALLGLOT_LOG is debug or info") as caught:
        KallglotClient(KEY)
    assert str(caught.value).isprintable()


def test_a_script_sees_its_requests() -> None:
    """With the variable and nothing else."""
    code = (
        "import asyncio, kallglot_async as k\n"
        "from kallglot_async.emulator import Emulator\n"
        "async def main():\n"
        "    async with Emulator() as e, k.KallglotClient(e.api_key, base_url=e.base_url) as c:\n"
        "        await c.analyses.retrieve(e.seed_analyses(1)[0])\n"
        "asyncio.run(main())"
    )
    root = str(Path(__file__).parents[2])
    environment = {"KALLGLOT_LOG": "debug", "PYTHONPATH": root}
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert ran.stdout == ""
    assert " DEBUG kallglot_async.requests: GET analysis/ana_" in ran.stderr
