"""`kallglot batch`: run, Ctrl-C, status, run again, retry, export, report."""

import asyncio
import json
import os
import re
import signal

import pytest
from support.durable import change
from support.processes import at_once, posix, process, read_terminal, until

from kallglot_async import BatchFile, BatchFileError, read_jsonl
from kallglot_async.cli import main
from kallglot_async.emulator import Emulator, Fault, Latency


@pytest.fixture
def kallglot(monkeypatch, capfd, tmp_path):
    """Run a command in a folder of its own; returns exit code, standard output and standard error."""
    monkeypatch.chdir(tmp_path)
    for name in ("KALLGLOT_API_KEY", "KALLGLOT_BASE_URL"):
        monkeypatch.delenv(name, raising=False)

    async def run(*argv, server=None):
        if server is not None:
            monkeypatch.setenv("KALLGLOT_API_KEY", server.api_key)
            monkeypatch.setenv("KALLGLOT_BASE_URL", server.base_url)
        # What runs a loop of its own does so in a thread; what has none takes signals, which threads cannot.
        code = await asyncio.to_thread(main, argv) if argv[1] == "run" else main(argv)
        out, err = capfd.readouterr()
        return code, out, err

    return run


async def test_the_same_command_again_goes_on(kallglot, tmp_path):
    """New ids are added, what is done is not fetched again; results are read without a key."""
    async with at_once() as server:
        ids = server.seed_analyses(5)
        (tmp_path / "ids.txt").write_text("\n".join(ids[:3]))
        argv = ["batch", "run", "nightly.kallglot", "--file", "ids.txt"]
        code, out, err = await kallglot(*argv, server=server)
        assert (code, out) == (0, "")
        assert err.splitlines() == ["3 new ids", "done: 3 ids: 3 done"]
        (tmp_path / "ids.txt").write_text("\n".join(ids))
        assert (await kallglot(*argv, server=server))[2].splitlines() == ["2 new ids", "done: 5 ids: 5 done"]
        assert (await kallglot(*argv[:3], "--quiet", server=server)) == (0, "", "")
        assert server.journal.total == 5
    code, out, err = await kallglot("batch", "export", "nightly.kallglot")
    assert [json.loads(line)["id"] for line in out.splitlines()] == ids
    assert (code, err) == (0, "")


async def test_what_has_no_result_is_told(kallglot):
    """Exit code 1, counts in words and as JSON, the failures alone, and another try."""
    async with at_once() as server:
        [id] = server.seed_analyses(1)
        code, out, err = await kallglot("batch", "run", "b", id, "ana_unknown", "bad", "--json", server=server)
        report, counts = json.loads(out), "3 ids: 1 done, 2 failed (1 NotFoundError, 1 InvalidIdError)"
        assert (code, err.splitlines()[-1]) == (1, f"done: {counts}")
        assert (report["total"], report["done"], report["failed"], report["reason"]) == (3, 1, 2, None)
        assert (await kallglot("batch", "status", "b"))[1].splitlines() == ["b: wait", counts]
        status = json.loads((await kallglot("batch", "status", "b", "--json"))[1])
        assert (status["kind"], status["failed"], "elapsed" in status) == ("wait", 2, False)
        lines = (await kallglot("batch", "export", "b", "--failed"))[1].splitlines()
        assert {json.loads(line)["id"] for line in lines} == {"ana_unknown", "bad"}
        assert await kallglot("batch", "retry", "b", "--failed") == (0, "", "1 ids are taken up by the next run\n")
        left = (await kallglot("batch", "export", "b", "--state", "left"))[1]
        assert json.loads(left)["id"] == "ana_unknown"


async def test_the_quiet_hear_why_the_exit_code_is_one(kallglot):
    """A job at night, under `--quiet`: no line where all is well, and why where it is not."""
    async with at_once() as server:
        ids = server.seed_analyses(2)
        assert await kallglot("batch", "run", "b", *ids, "--quiet", server=server) == (0, "", "")
        code, _, err = await kallglot("batch", "run", "b", "ana_unknown", "--quiet", server=server)
        assert (code, err) == (1, "done: 3 ids: 2 done, 1 failed (1 NotFoundError)\n")
        server.add_fault(Fault(kind="status", status=402))
        code, _, err = await kallglot("batch", "run", "c", *ids, "--quiet", server=server)
        early, counts = err.splitlines()
        assert (code, early.split(":")[:2]) == (1, ["ended early", " InsufficientCreditsError"])
        assert counts.startswith("not complete: 2 ids: ")


async def test_sessions_are_analyzed(kallglot):
    """By what is asked for; another question is refused, with both named."""
    async with at_once() as server:
        argv = ["batch", "run", "b", "sess_1", "sess_2", "--analyses", "summary,topics", "--quiet"]
        assert (await kallglot(*argv, server=server))[0] == 0
        assert (await kallglot(*argv, server=server))[0] == 0
        assert len(server.analyses()) == 2
        code, _, err = await kallglot("batch", "run", "b", "--include", "summary", server=server)
        assert code == 2
        assert 'is a batch of kind analyze with {"analyses":["summary","topics"]}' in err
        assert 'analyze with {"include":["summary"]}' in err


async def test_a_refused_key_ends_it_early(kallglot):
    """And says so; what is left is there for the next run."""
    async with at_once() as server:
        ids = server.seed_analyses(4)
        code, _, err = await kallglot("batch", "run", "b", *ids, "--api-key", "sk_test_other", server=server)
        assert code == 1
        assert "ended early: AuthenticationError: " in err
        assert err.splitlines()[-1].startswith("not complete: 4 ids: ")
        assert (await kallglot("batch", "run", "b", "--quiet", server=server))[0] == 0


async def test_only_the_listed(kallglot):
    """What is in the file besides is left as it is, and costs no exit code."""
    async with at_once() as server:
        one, two = server.seed_analyses(2)
        code, _, _ = await kallglot("batch", "run", "b", one, "--api-key", "sk_test_other", server=server)
        assert code == 1
        code, _, err = await kallglot("batch", "run", "b", two, "--only-listed", server=server)
        assert (code, err.splitlines()[-1]) == (0, "done: 1 ids: 1 done")
        assert server.journal.requests(id=one, status=200) == []


@pytest.mark.parametrize("name", ["out.jsonl", "out.csv", "out.parquet", "out.html"])
async def test_results_go_into_a_file(kallglot, tmp_path, name):
    """In the form that its name says, whole or not at all."""
    async with at_once() as server:
        ids = server.seed_analyses(3)
        await kallglot("batch", "run", "b", *ids, "--quiet", server=server)
    assert await kallglot("batch", "export", "b", "--to", name) == (0, "", f"3 outcomes: {name}\n")
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted(["b", name])
    if name == "out.jsonl":
        assert list(read_jsonl(tmp_path / name)) == list(BatchFile(tmp_path / "b").outcomes())
    elif name == "out.html":
        (tmp_path / name).unlink()
        assert (await kallglot("batch", "report", "b", "--to", name, "--quiet")) == (0, "", "")
        assert ids[0] in (tmp_path / name).read_text()
        assert (await kallglot("batch", "report", "b", "--to", "-")) == (0, (tmp_path / name).read_text(), "")


async def test_a_failure_that_cannot_be_read_is_counted(kallglot, tmp_path):
    """The counts of a batch, and of a run, need none of what its records hold."""
    async with at_once() as server:
        await kallglot("batch", "run", "b", "ana_unknown", "--quiet", server=server)
        change(tmp_path / "b", "UPDATE item SET error = '{}'")
        assert (await kallglot("batch", "run", "b", server=server))[::2] == (1, "done: 1 ids: 1 failed\n")
    assert await kallglot("batch", "status", "b") == (0, "b: wait\n1 ids: 1 failed\n", "")


async def test_a_damaged_file_is_told(kallglot, tmp_path):
    """In one line, by the id that cannot be read."""
    async with at_once() as server:
        await kallglot("batch", "run", "b", *server.seed_analyses(1), "--quiet", server=server)
    change(tmp_path / "b", "UPDATE item SET analysis = CAST('{}' AS BLOB), id = 'ana_1'")
    code, _, err = await kallglot("batch", "export", "b")
    assert (code, err) == (2, "kallglot: what the file holds of ana_1 is no answer of the API\n")


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["export", "b", "--failed", "--state", "done"], "--failed and --state done are two states"),
        (["retry", "b", "--failed", "--state", "uncertain"], "--failed and --state uncertain are two states"),
        (["status", "b"], "/b: begin with a run, which makes it"),
        (["export", "b", "--to", "out.txt"], "cannot tell from its name how to write out.txt"),
        (["report", "b", "--to", "out.csv"], "a report is a page"),
        (["run", "b", "--only-listed", "--api-key", "sk_test_1"], "--only-listed needs a list"),
        (["run", "b"], "there is no file b: give IDs, or --file FILE"),
        (["run", "b", "ana_1"], "there is no API key"),
        (
            ["run", "nowhere/b", "ana_1", "--api-key", "sk_test_1"],
            "/nowhere/b: No such file or directory",
        ),
    ],
)
async def test_a_mistake_is_one_line(kallglot, tmp_path, argv, message):
    """Exit code 2, and no file."""
    code, out, err = await kallglot("batch", *argv)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message in err
    assert list(tmp_path.iterdir()) == []


@posix
@pytest.mark.slow
async def test_ctrl_c_and_a_kill_lose_nothing(kallglot, tmp_path):
    """Exit code 130 and a word on what was left; after SIGKILL no lock stands in the way; the third run is the last."""
    async with at_once(latency=Latency.uniform(3e3, 3e4)) as server:
        ids = server.seed_analyses(300)
        (tmp_path / "ids").write_text("\n".join(ids))
        path = tmp_path / "b"
        argv = ["batch", "run", str(path), "--file", str(tmp_path / "ids")]
        for number, end in ((20, signal.SIGINT), (60, signal.SIGKILL)):
            async with process(*argv, server=server) as child:
                await until(lambda at_least=number: path.exists() and done_in(path) >= at_least)
                child.send_signal(end)
                _, err = await child.communicate()
            assert child.returncode == (130 if end is signal.SIGINT else -signal.SIGKILL)
            if end is signal.SIGINT:
                assert b"the same command goes on with it" in err
            assert b"Traceback" not in err
        assert (await kallglot(*argv, "--quiet", server=server)) == (0, "", "")
        assert [outcome.id for outcome in BatchFile(path).outcomes("done")] == ids


@posix
@pytest.mark.slow
async def test_a_terminal_shows_how_many_there_are_before_anything_has_settled(kallglot, tmp_path):
    """The bar of a run that goes on begins with what is done already."""
    path = tmp_path / "b"
    async with Emulator(plan="unlimited", latency=Latency.immediate()) as server:
        await kallglot("batch", "run", str(path), *server.seed_analyses(2), server=server)
    async with Emulator(plan="unlimited", latency=Latency.uniform(3600.0, 3600.0), seed=1) as server:
        leader, follower = os.openpty()
        options = {"stdin": follower, "stdout": follower, "stderr": follower}
        argv = ["batch", "run", str(path), *server.seed_analyses(3), "--total-timeout", "1"]
        async with process(*argv, server=server, **options) as child:
            os.close(follower)
            shown = await asyncio.to_thread(read_terminal, leader)
            assert await child.wait() == 1
        os.close(leader)
    assert b"2/5" in re.sub(rb"\x1b\[[0-9;?]*[A-Za-z]", b"", shown)


def done_in(path):
    try:
        return BatchFile(path).status().done
    except BatchFileError:  # being made
        return 0
