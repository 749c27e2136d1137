"""`kallglot demo`: what it reports, and from where."""

import json
import signal

import pytest
from support.processes import finish, posix, process

from kallglot_async import KallglotClient
from kallglot_async.cli.demo import demo_emulator, run_demo
from kallglot_async.emulator import Emulator, Fault, Latency

POISON = '{"error": {"code": "bad", "message": "\\u202ebad [red]word"}}'


def fast(**options):
    return Emulator(**{"plan": "unlimited", "latency": Latency.immediate()} | options)


async def test_demo_reports_what_the_journal_counted(capsys):
    """Delivered, requests, refusals, polls for each, and one analysis; exit code 0."""
    emulator = fast()
    assert await run_demo(emulator, analyses=20, speed=20.0, as_json=False, quiet=True) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "Delivered  20 of 20" in out
    assert "Requests   40: 20 to create, 20 to poll" in out
    assert "Refused    0 " in out
    assert "Polls      1.00 for each" in out
    for part in ("Summary", "Sentiment", "To do", "Talk ratio", "Topics"):
        assert part in out
    assert emulator.journal.total == 40


async def test_demo_says_on_stderr_how_far_it_is(capsys):
    """Plain lines where it is no terminal."""
    assert await run_demo(fast(), analyses=3, speed=20.0, as_json=True, quiet=False) == 0
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("Emulator at http://127.0.0.1:")
    assert lines[1] == "creating: 3 of 3"
    assert lines[-1].startswith("waiting: 3 of 3, 3 requests")


async def test_demo_in_json_is_one_object(capsysbinary):
    """With the same figures, and the analysis whole."""
    emulator = fast()
    assert await run_demo(emulator, analyses=4, speed=20.0, as_json=True, quiet=True) == 0
    (line,) = capsysbinary.readouterr().out.splitlines()
    report = json.loads(line)
    assert report["sample"]["status"] == "complete"
    assert report["seconds"] >= 0
    del report["sample"], report["seconds"]
    assert report == {
        "analyses": 4,
        "delivered": 4,
        "requests": 8,
        "creates": 4,
        "polls": 4,
        "refused": 0,
        "polls_per_analysis": 1.0,
        "speed": 20.0,
        "errors": {},
        "page": None,
    }


async def test_demo_ends_with_a_report_and_says_where(capsys, tmp_path):
    """A page of everything that was delivered."""
    page = tmp_path / "demo.html"
    assert await run_demo(fast(), analyses=20, speed=20.0, as_json=False, quiet=True, report=page) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"A report of all 20, for a browser: {page}"
    assert "<dt>Analysed<dd>20<small>of 20</small>" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("no/x", "cannot write {page}: No such file or directory"),
        ("x.gz", "{page} would hold what is not compressed: "),
    ],
)
async def test_a_report_that_cannot_be_written_costs_the_demo_nothing(capsys, tmp_path, name, why):
    """The exit code is that of what was delivered."""
    page = tmp_path / name
    assert await run_demo(fast(), analyses=1, speed=20.0, as_json=False, quiet=True, report=page) == 0
    out, err = capsys.readouterr()
    assert "A report" not in out
    assert err.startswith(f"kallglot: no report: {why.format(page=page)}")


async def test_demo_counts_refusals_from_the_journal(capsysbinary):
    """A 429 that the client waited out is in the report all the same."""
    faults = [Fault(kind="throttle", operation="analyses.retrieve", times=1, retry_after=0)]
    await run_demo(fast(faults=faults), analyses=1, speed=20.0, as_json=True, quiet=True)
    assert json.loads(capsysbinary.readouterr().out)["refused"] == 1


@pytest.mark.parametrize(
    ("options", "delivered", "error"),
    [
        ({"failure_rate": 1.0}, 0, "failed"),
        ({"faults": [Fault(kind="status", status=400, id="sess_demo000001", body=POISON)]}, 2, "bad [red]word (400"),
    ],
)
async def test_demo_fails_if_anything_was_not_delivered(capsys, options, delivered, error):
    """Exit code 1, and the reasons are named."""
    assert await run_demo(fast(**options), analyses=3, speed=20.0, as_json=False, quiet=True) == 1
    out = capsys.readouterr().out
    assert f"Delivered  {delivered} of 3" in out
    assert "\u202e" not in out
    assert error in next(line for line in out.splitlines() if line.startswith("not delivered: "))


async def test_the_demo_has_the_limit_of_a_plan_and_passes_it_without_refusals(capsysbinary):
    """The real settings, with fewer analyses: 150 requests in 3 s, which the journal confirms."""
    emulator = demo_emulator(seed=1)
    assert await run_demo(emulator, analyses=2, speed=20.0, as_json=True, quiet=True) == 0
    assert json.loads(capsysbinary.readouterr().out)["refused"] == 0
    assert {entry.limit for entry in emulator.journal} == {150}


@pytest.mark.slow
@posix
async def test_ctrl_c_ends_the_demo():
    """Exit code 130, nothing on standard output, no traceback."""
    async with process("demo") as child:
        await child.stderr.readline()  # it is under way
        child.send_signal(signal.SIGINT)
        out, err = await child.communicate()
    assert (child.returncode, out) == (130, b"")
    assert b"Traceback" not in err


@pytest.mark.slow
async def test_the_demo_runs_from_the_command_line():
    """One JSON object, and nothing else."""
    status, out, err = await finish("demo", "--analyses", "1", "--seed", "5", "--json", "--quiet")
    assert (status, err) == (0, "")
    report = json.loads(out)
    assert report["delivered"] == 1
    async with (
        Emulator(seed=5) as server,
        KallglotClient(server.api_key, base_url=server.base_url) as client,
    ):
        first = await client.analyses.create("sess_demo000001", analyses=["summary"])
    assert report["sample"]["id"] == first.id  # what the seed decides
