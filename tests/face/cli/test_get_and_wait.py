"""`kallglot get` and `kallglot wait` in this process, against the emulator."""

import asyncio
import gzip
import json
import os
import re

import pytest

from kallglot_async.cli import get_and_wait
from kallglot_async.cli.progress import Display
from kallglot_async.emulator import Emulator, Fault, Latency
from kallglot_async.errors import AuthenticationError, NotAttemptedError, NotFoundError, ServerError
from kallglot_async.models import Outcome, Progress, RateLimitState


@pytest.fixture
def kallglot(kallglot):
    """Run a command against an emulator; returns exit code, lines of JSON, and standard error."""

    async def run(emulator, *argv):
        code, out, err = await kallglot(emulator, *argv)
        return code, [json.loads(line) for line in out.splitlines()], err

    return run


def at_once(**options):
    return Emulator(**{"plan": "unlimited", "latency": Latency.immediate()} | options)


@pytest.mark.parametrize("command", ["get", "wait"])
@pytest.mark.parametrize("revision", ["a", "b"])
async def test_each_id_gets_one_line(kallglot, command, revision):
    """Distinct ids, one line each, exit code 0, and a summary for people."""
    async with at_once() as emulator:
        ids = emulator.seed_analyses(5, revision=revision)
        code, lines, err = await kallglot(emulator, command, *ids, ids[0])
        assert code == 0
        assert sorted(line["id"] for line in lines) == sorted(ids)
        assert all(line["analysis"]["id"] == line["id"] and line["polls"] == 1 for line in lines)
        assert err == "done: 5 fine, 0 failed\n"
        assert emulator.journal.total == 5


@pytest.mark.parametrize("command", ["get", "wait"])
async def test_quiet_says_nothing(kallglot, command):
    """Standard error stays empty."""
    async with at_once() as emulator:
        assert (await kallglot(emulator, command, *emulator.seed_analyses(2), "--quiet"))[2] == ""


@pytest.mark.parametrize("command", ["get", "wait"])
async def test_one_failure_costs_no_sibling(kallglot, command):
    """The unknown id has an error in its line, the others their analysis; exit code 1."""
    async with at_once() as emulator:
        ids = emulator.seed_analyses(3)
        code, lines, err = await kallglot(emulator, command, *ids, "ana_unknown")
        assert code == 1
        errors = {line["id"]: line["error"] for line in lines if "error" in line}
        assert errors.keys() == {"ana_unknown"}
        assert errors["ana_unknown"]["type"] == "NotFoundError"
        assert errors["ana_unknown"]["status"] == 404
        # A wait looks twice, as it may have been created a moment ago.
        assert len(errors["ana_unknown"]["history"]) == (2 if command == "wait" else 1)
        assert len(lines) == 4
        assert "3 fine, 1 failed (1 NotFoundError)" in err


async def test_a_failed_analysis_is_an_error_to_wait_and_a_fact_to_get(kallglot):
    """`wait` promises results; `get` shows what is there."""
    async with at_once(failure_rate=1.0) as emulator:
        (id,) = emulator.seed_analyses(1)
        code, (line,), _ = await kallglot(emulator, "wait", id)
        assert code == 1
        assert line["error"]["type"] == "AnalysisFailedError"
        assert line["error"]["analysis"]["status"] == "failed"
        code, (line,), _ = await kallglot(emulator, "get", id)
        assert code == 0
        assert line["analysis"]["status"] == "failed"


async def test_get_does_not_wait(kallglot):
    """An analysis that is under way is shown as it is."""
    async with at_once(latency=Latency.uniform(1e6, 1e6)) as emulator:
        code, (line,), _ = await kallglot(emulator, "get", *emulator.seed_analyses(1))
        assert (code, line["analysis"]["status"], line["polls"]) == (0, "queued", 1)


@pytest.mark.parametrize("option", ["--timeout", "--total-timeout"])
async def test_wait_gives_up_in_time(kallglot, option):
    """What is still pending is reported with what was last seen of it."""
    async with at_once(latency=Latency.uniform(1e6, 1e6)) as emulator:
        code, (line,), _ = await kallglot(emulator, "wait", *emulator.seed_analyses(1), option, "0.3")
        assert code == 1
        assert line["error"]["type"] == "WaitTimeoutError"
        assert line["error"]["last_status"] == "queued"
        assert 0.1 < line["error"]["elapsed"] < 5.0


async def test_timeout_none_is_for_ever(kallglot):
    """The word is understood; a number of seconds that cannot be is refused."""
    async with at_once() as emulator:
        ids = emulator.seed_analyses(1)
        for command in ("get", "wait"):
            assert (await kallglot(emulator, command, *ids, "--timeout", "none"))[0] == 0
            code, lines, err = await kallglot(emulator, command, *ids, "--timeout", "-1")
            assert (code, lines) == (2, [])
            assert err == "kallglot: timeout is above 0 seconds, not -1.0\n"


@pytest.mark.parametrize("command", ["get", "wait"])
async def test_a_refused_key_ends_the_batch(kallglot, command):
    """The first answer is enough: the rest are reported and not asked for."""
    async with at_once() as emulator:
        ids = emulator.seed_analyses(30)
        argv = [command, *ids, "--api-key", "sk_test_wrong", "--max-in-flight", "2"]
        code, lines, _ = await kallglot(emulator, *argv)
        assert code == 1
        assert {line["id"] for line in lines} == set(ids)
        kinds = [line["error"]["type"] for line in lines]
        assert set(kinds) == {"AuthenticationError", "NotAttemptedError"}
        assert emulator.journal.total == kinds.count("AuthenticationError") <= 2


@pytest.mark.parametrize("command", ["get", "wait", "analyze"])
@pytest.mark.parametrize(
    ("status", "cause"),
    [(401, "AuthenticationError"), (402, "InsufficientCreditsError"), (403, "PermissionDeniedError")],
)
async def test_a_summary_names_the_cause_before_its_consequences(kallglot, command, status, cause):
    """One answer ended the batch: it comes first and in its own words, then what it cost."""
    operation = "analyses.create" if command == "analyze" else "analyses.retrieve"
    async with at_once(faults=[Fault(kind="status", status=status, operation=operation)]) as emulator:
        ids = emulator.seed_analyses(20)
        argv = [command, *ids, "--max-in-flight", "1"]
        if command == "analyze":
            argv = [command, *(f"sess_{n}" for n in range(20)), "--batch", "b", "--max-in-flight", "1"]
        code, lines, err = await kallglot(emulator, *argv)
        assert (code, len(lines)) == (1, 20)
        said = err.splitlines()[-1]
        assert re.fullmatch(rf"done: 0 fine, 20 failed \(1 {cause}: .*\b{status}\b.*; 19 not attempted\)", said)


@pytest.mark.parametrize(
    ("errors", "said"),
    [
        ([], "0 fine, 0 failed"),
        ([ServerError("s"), NotFoundError("n"), ServerError("s")], "0 fine, 3 failed (2 ServerError; 1 NotFoundError)"),
        ([NotAttemptedError("x")], "0 fine, 1 failed (1 not attempted)"),
        (
            [NotAttemptedError("x", reason=AuthenticationError("no\x1b[2J such key", status=401)), ServerError("s")],
            "0 fine, 2 failed (AuthenticationError: no such key (401); 1 ServerError; 1 not attempted)",
        ),
    ],
)
def test_a_tally_counts_by_kind(errors, said, capsysbinary):
    """Most frequent first, the cause before all, and nothing that a terminal obeys."""
    tally = get_and_wait.Tally(Display(), [])
    for place, error in enumerate(errors):
        tally.write(Outcome(id=f"ana_{place}", error=error))
    assert str(tally) == said


@pytest.mark.parametrize("command", ["get", "wait"])
async def test_an_id_that_cannot_be_costs_no_sibling(kallglot, command):
    """On the command line as in a file: one line with an error, exit code 1, and the rest is fetched."""
    async with at_once() as emulator:
        [good] = emulator.seed_analyses(1)
        code, lines, _ = await kallglot(emulator, command, good, "../admin")
        assert code == 1
        assert {line["id"]: line.get("error", {}).get("type") for line in lines} == {
            good: None,
            "../admin": "InvalidIdError",
        }


@pytest.mark.parametrize("command", ["get", "wait"])
async def test_an_id_in_a_file_that_cannot_be_costs_no_sibling(kallglot, command, tmp_path):
    """A file is read as it is used: its odd line becomes a line with an error."""
    async with at_once() as emulator:
        ids = emulator.seed_analyses(2)
        file = tmp_path / "ids"
        file.write_text(f"# two and a half\n{ids[0]}\n\nbad/id\n{ids[1]}\n")
        code, lines, _ = await kallglot(emulator, command, "--file", str(file))
        assert code == 1
        assert sorted(line["id"] for line in lines if "analysis" in line) == sorted(ids)
        (odd,) = [line for line in lines if "error" in line]
        assert odd["error"]["type"] == "InvalidIdError"
        assert "bad/id" in odd["id"]


@pytest.mark.parametrize("command", ["get", "wait"])
@pytest.mark.parametrize("spelling", [["-"], ["--file", "-"], ["-f", "-"], ["--file=-"]])
async def test_a_dash_is_standard_input(kallglot, command, spelling, tmp_path, monkeypatch):
    """However it is spelled."""
    async with at_once() as emulator:
        ids = emulator.seed_analyses(2)
        file = tmp_path / "ids"
        file.write_text("\n".join(ids))
        with file.open() as stdin:
            monkeypatch.setattr("sys.stdin", stdin)
            code, lines, _ = await kallglot(emulator, command, *spelling)
        assert (code, {line["id"] for line in lines}) == (0, set(ids))


@pytest.mark.parametrize("command", ["get", "wait"])
async def test_a_file_that_is_no_list_of_ids_is_one_line(kallglot, command, tmp_path):
    """Exit code 2, and no traceback."""
    async with at_once() as emulator:
        (id,) = emulator.seed_analyses(1)
        file = tmp_path / "ids"
        file.write_bytes(id.encode() + b"\n" + b"\x00" * 200_000)
        code, lines, err = await kallglot(emulator, command, "--file", str(file))
        assert (code, [line["id"] for line in lines]) == (2, [id])  # what came before is not lost
        assert err == "kallglot: cannot read the ids: a line is longer than 65536 bytes: this is not a list of ids\n"
        file.write_bytes(gzip.compress(id.encode()))
        code, lines, err = await kallglot(emulator, command, "--file", str(file))
        assert (code, lines) == (2, [])
        assert err == "kallglot: cannot read the ids: it is compressed: unpack it (zcat FILE | kallglot ... -)\n"


@pytest.mark.parametrize("command", ["get", "wait"])
async def test_max_in_flight_bounds_the_requests(kallglot, command):
    """No more than that many at once reach the server."""
    async with at_once(faults=[Fault(kind="slow", delay=0.02)]) as emulator:
        argv = [command, *emulator.seed_analyses(8), "--max-in-flight", "2"]
        assert (await kallglot(emulator, *argv))[0] == 0
        arrivals = [entry.at for entry in emulator.journal]
        assert all(third - first >= 0.015 for first, third in zip(arrivals, arrivals[2:], strict=False))


async def test_a_proxy_of_the_environment_is_used_where_that_is_said(kallglot, monkeypatch):
    """As by who cannot reach the API otherwise; and not by who did not say so."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    async with at_once() as emulator:
        [id] = emulator.seed_analyses(1)
        assert (await kallglot(emulator, "get", id))[0] == 0
        code, [line], _ = await kallglot(emulator, "get", id, "--trust-env")
        assert (code, line["error"]["type"]) == (1, "ProxyError")
        assert emulator.journal.total == 1


@pytest.mark.parametrize("command", ["wait", "analyze"])
async def test_what_was_not_read_is_said(kallglot, monkeypatch, command):
    """Where the time ends before its ids do, not all is fine, though all that was read is."""
    async with at_once() as emulator:
        reading, writing = os.pipe()
        ids = emulator.seed_analyses(2) if command == "wait" else ["sess_1", "sess_2"]
        os.write(writing, "".join(f"{id}\n" for id in ids).encode())  # and no end
        with os.fdopen(reading) as stdin:
            monkeypatch.setattr("sys.stdin", stdin)
            argv = [command, "-", "--total-timeout", "3", "--quiet"]
            code, lines, err = await kallglot(emulator, *argv, *["--analyses", "summary"][: 2 * (command == "analyze")])
        os.close(writing)
    assert code == 1
    assert sorted(line["id"] for line in lines if "analysis" in line) == sorted(ids)
    assert err == "the ids were not read to their end: those that were not have no line\n"


async def test_a_refused_key_says_that_ids_were_left(kallglot, tmp_path):
    """A file is read as there is room for more: what is behind that has no line."""
    file = tmp_path / "ids.txt"
    file.write_text("".join(f"ana_{number}\n" for number in range(2_000)))
    async with at_once() as emulator:
        code, lines, err = await kallglot(emulator, "get", "--file", str(file), "--api-key", "sk_test_other")
    assert code == 1
    assert 0 < len(lines) < 2_000
    assert err.endswith("the ids were not read to their end: those that were not have no line\n")


async def test_rate_limit_is_a_ceiling(kallglot):
    """Two requests a minute: the rest does not get its turn within half a second."""
    async with at_once() as emulator:
        argv = ["wait", *emulator.seed_analyses(5), "--rate-limit", "2", "--total-timeout", "0.5"]
        code, lines, _ = await kallglot(emulator, *argv)
        assert (code, len(lines)) == (1, 5)
        assert emulator.journal.total == 2


class Settling:
    """A client, and its wait call, in the very moment of Ctrl-C: two have settled, one has been taken."""

    def __init__(self):
        self.outcomes = [Outcome(id="ana_1"), Outcome(id="ana_2")]

    def client(self):
        return self

    def as_completed(self, ids, **options):
        return self

    async def __aenter__(self):
        return self

    async def __aexit__(self, *exc):
        return None

    def __aiter__(self):
        return self

    async def __anext__(self):
        if len(self.outcomes) == 1:
            raise asyncio.CancelledError
        return self.outcomes.pop(0)

    def take_ready(self):
        return self.outcomes

    def progress(self):
        state = RateLimitState()
        return Progress(total=3, settled=1, failed=1, pending=1, requests=3, rate_limit=state)


async def test_what_settles_in_the_moment_of_ctrl_c_is_written(capsysbinary):
    """An outcome that was known and not yet taken is not lost."""
    options = {"timeout": None, "total_timeout": None, "quiet": False}
    with pytest.raises(asyncio.CancelledError):
        await get_and_wait.wait(["ana_1", "ana_2", "ana_3"], Settling(), **options)
    out, err = capsysbinary.readouterr()
    assert [json.loads(line)["id"] for line in out.splitlines()] == ["ana_1", "ana_2"]
    assert err == b"interrupted: 2 fine, 0 failed, 1 pending\n"
