"""`kallglot` as a process: exit codes, signals, closed pipes, terminals, and what it imports."""

import asyncio
import json
import os
import re
import signal
import sys
from pathlib import Path
from typing import get_args
from urllib.parse import urlsplit

import pytest
from support.processes import RUN, finish, half_ready, posix, process, read_terminal, ready
from support.slow import beyond

import kallglot_async
from kallglot_async import KallglotClient, emulator
from kallglot_async.cli import app, main, options
from kallglot_async.cli.serve import serve
from kallglot_async.emulator import Emulator, Latency


@pytest.mark.parametrize("argv", beyond(1, [["wait", "--help"], ["--version"], ["--help"], ["emulator", "--help"], []]))
async def test_help_and_version_do_not_load_the_transport(argv):
    """They answer before anything heavy is imported."""
    code = (
        "import sys\nfrom kallglot_async.cli import main\ncode = main()\n"
        "heavy = {'aiohttp', 'asyncio', 'anyio', 'msgspec'} & sys.modules.keys()\n"
        "print('heavy:', sorted(heavy), file=sys.stderr)\nraise SystemExit(code)"
    )
    status, out, err = await finish(*argv, code=code)
    assert (status, err) == (0, "heavy: []\n")
    assert (out == f"{kallglot_async.__version__}\n") == (argv == ["--version"])
    assert ("Usage: kallglot" in out) == (argv != ["--version"])


@pytest.mark.parametrize("missing", beyond(1, ["cyclopts", "rich"]))
async def test_without_the_extra_one_line_says_which(missing):
    """Exit code 2 and no traceback."""
    code = f"import sys; sys.modules[{missing!r}] = None\n{RUN}"
    status, out, err = await finish("get", "ana_1", code=code)
    assert (status, out) == (2, "")
    assert err == "kallglot: the command line needs its extra: pip install 'kallglot-async[cli]'\n"


def test_a_module_that_is_missing_for_another_reason_is_not_hidden(monkeypatch):
    """A broken installation shows itself as what it is."""
    monkeypatch.setitem(sys.modules, "kallglot_async.cli.run", None)
    with pytest.raises(ModuleNotFoundError, match="kallglot_async"):
        main(["--version"])


@posix
async def test_ctrl_c_leaves_what_had_settled():
    """Exit code 130, every settled line printed, no traceback, and a word on what was left."""
    async with half_ready() as server:
        ids = server.seed_analyses(20)
        settled = ready(server, ids)
        async with process("wait", *ids, server=server) as child:
            lines = [json.loads(await child.stdout.readline()) for _ in settled]
            child.send_signal(signal.SIGINT)
            out, err = await child.communicate()
        assert child.returncode == 130
        assert out == b""
        assert {line["id"] for line in lines if line["analysis"]["status"] == "complete"} == settled
        pending = len(ids) - len(settled)
        assert err.decode().splitlines()[-1] == f"interrupted: {len(settled)} fine, 0 failed, {pending} pending"
        assert b"Traceback" not in err


@pytest.mark.slow
@posix
@pytest.mark.parametrize("command", ["wait", "get"])
async def test_ctrl_c_while_standard_input_is_silent(command):
    """Nobody has to press return first; ids are asked for as they come."""
    async with half_ready() as server:
        ids = server.seed_analyses(20)
        id = ready(server, ids).pop()
        async with process(command, "-", "--quiet", server=server) as child:
            child.stdin.write(f"{id}\n".encode())
            line = json.loads(await child.stdout.readline())  # answered while standard input is open
            child.send_signal(signal.SIGINT)
            assert await child.wait() == 130
            assert await child.stderr.read() == b""
        assert line["id"] == id


@posix
@pytest.mark.parametrize("command", ["get", "wait"])
@pytest.mark.slow
async def test_a_reader_that_goes_away_ends_it_quietly(command):
    """As `| head -1` does: no message, no traceback, the exit code of a closed pipe."""
    async with Emulator(plan="unlimited", latency=Latency.immediate()) as server:
        ids = server.seed_analyses(200)  # more than the pipe holds: it must write after the reader has gone
        reading, writing = os.pipe()
        async with process(command, *ids, server=server, stdout=writing) as child:
            os.close(writing)
            first = await asyncio.to_thread(os.read, reading, 1)
            os.close(reading)
            assert await child.stderr.read() == b""
            assert await child.wait() == 141
        assert first == b"{"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.slow
async def test_a_full_disk_is_one_line():
    """Output that cannot be written is said, not thrown."""
    async with Emulator(plan="unlimited", latency=Latency.immediate()) as server:
        full = os.open("/dev/full", os.O_WRONLY)
        status, _, err = await finish("wait", *server.seed_analyses(1), server=server, stdout=full)
        os.close(full)
        assert (status, err) == (2, "kallglot: cannot write the output: No space left on device\n")


def plain_text(shown):
    """What a terminal shows, without what moves its cursor or colours it."""
    return re.sub(rb"\x1b\[[0-9;?]*[A-Za-z]", b"", shown)


@posix
@pytest.mark.slow
async def test_on_a_terminal_lines_and_the_bar_do_not_mix():
    """With one terminal for both, every JSON line is whole and begins at the left margin."""
    async with half_ready() as server:
        ids = server.seed_analyses(20)
        settled = ready(server, ids)
        leader, follower = os.openpty()
        options = {"stdin": follower, "stdout": follower, "stderr": follower}
        async with process("wait", *ids, server=server, **options) as child:
            os.close(follower)
            done = f"{len(settled)}/20".encode()
            shown = await asyncio.to_thread(read_terminal, leader, lambda shown: done in plain_text(shown))
            child.send_signal(signal.SIGINT)
            shown += await asyncio.to_thread(read_terminal, leader)
            assert await child.wait() == 130
        os.close(leader)
    plain = plain_text(shown)
    lines = [json.loads(line) for line in re.split(rb"[\r\n]+", plain) if line.startswith(b"{")]
    assert {line["id"] for line in lines} == settled
    assert shown.rindex(b"\x1b[?25h") > shown.rindex(b"\x1b[?25l")  # the cursor is given back


@posix
@pytest.mark.slow
async def test_the_emulator_runs_until_it_is_asked_to_stop():
    """It says where it is, answers, and ends with exit code 0 and a count."""
    argv = ["emulator", "--json", "--analyses", "2", "--latency-median", "0", "--plan", "free"]
    async with process(*argv) as child:
        place = json.loads(await child.stdout.readline())
        assert place.keys() == {"base_url", "api_key", "ids"}
        async with KallglotClient(place["api_key"], base_url=place["base_url"]) as client:
            outcomes = await client.wait_many(place["ids"])
            assert client.rate_limit.limit == 60
        assert len(outcomes.analyses) == 2
        child.send_signal(signal.SIGINT)
        out, err = await child.communicate()
    assert (child.returncode, out, err) == (0, b"", b"stopped after 2 requests, 0 refused\n")


@posix
@pytest.mark.parametrize("as_json", [True, False])
async def test_a_service_manager_can_stop_it_too(as_json, capsysbinary):
    """SIGTERM ends it as Ctrl-C does, and no signal handler stays behind."""
    before = signal.getsignal(signal.SIGTERM)
    server = Emulator()
    running = asyncio.create_task(serve(server, analyses=1, revision="a", as_json=as_json, quiet=False))
    said = b""
    while not said:
        await asyncio.sleep(0.001)
        said = capsysbinary.readouterr().out
    signal.raise_signal(signal.SIGTERM)
    assert await running == 0
    assert said.startswith(b"{") == as_json
    assert capsysbinary.readouterr().err == b"stopped after 0 requests, 0 refused\n"
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.slow
@posix
async def test_the_emulator_prints_what_a_shell_can_use():
    """Two export lines, then the ids; its options reach it."""
    options = ["--revision", "b", "--credits", "0", "--adopt-unknown", "--failure-rate", "1", "--speed", "1e6", "-q"]
    options += ["--seed", "7", "--plan", "starter", "--window", "sliding"]
    async with process("emulator", "--analyses", "1", *options) as child:
        lines = [(await child.stdout.readline()).decode().rstrip() for _ in range(6)]
        exports = dict(line.removeprefix("export ").split("=") for line in lines if line.startswith("export "))
        assert exports.keys() == {"KALLGLOT_BASE_URL", "KALLGLOT_API_KEY"}
        assert exports["KALLGLOT_BASE_URL"] in lines[0]
        assert lines[-1].startswith("anl_")
        async with KallglotClient(exports["KALLGLOT_API_KEY"], base_url=exports["KALLGLOT_BASE_URL"]) as client:
            assert (await client.analyses.retrieve(lines[-1])).is_failed  # within a second, so it is sped up
            assert (await client.analyses.retrieve("anl_never_created")).id == "anl_never_created"
            with pytest.raises(kallglot_async.InsufficientCreditsError):
                await client.analyses.create("sess_1")
            assert client.rate_limit.limit == 30  # the plan's
        child.send_signal(signal.SIGINT)
        assert await child.communicate() == (b"", b"")
    assert child.returncode == 0


async def test_a_port_that_is_taken_is_one_line(capsys):
    """Exit code 2, and the port is named."""
    async with Emulator() as server:
        port = urlsplit(server.base_url).port
        status = await asyncio.to_thread(main, ["emulator", "--port", str(port)])
    out, err = capsys.readouterr()
    assert (status, out) == (2, "")
    assert err.startswith(f"kallglot: cannot listen on port {port}: ")
    assert err.count("\n") == 1


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


def test_the_choices_are_the_emulators_own():
    """They are restated so that `--help` is quick; this keeps them the same."""
    assert get_args(app.Revision) == get_args(emulator.Revision)
    assert get_args(options.Plan) == get_args(emulator.PlanName)
    assert get_args(options.Window) == get_args(emulator.WindowKind)
    for name in ("Balancing", "BucketReset", "HeaderForm", "StrangerPace"):
        assert get_args(getattr(options, name)) == get_args(getattr(emulator, name))


@pytest.mark.slow
@posix
async def test_the_emulators_command_line_takes_faults():
    """Faults given on the command line strike, are counted, and are told at the end."""
    argv = ["--fault", "status:status=503,times=1", "--fault=reset:times=1", "--plan", "unlimited"]
    async with process("emulator", "--json", "--analyses", "1", "--latency-median", "0", *argv) as child:
        place = json.loads(await child.stdout.readline())
        async with KallglotClient(place["api_key"], base_url=place["base_url"], random=lambda: 0.0) as client:
            assert (await client.analyses.retrieve(place["ids"][0])).is_complete
        child.send_signal(signal.SIGINT)
        _, err = await child.communicate()
    assert child.returncode == 0
    assert err == b"stopped after 3 requests, 0 refused, reset 1 times, status 1 times\n"


def test_a_fault_that_does_not_exist_is_exit_code_2(capsys):
    """The mistake is one line that lists what there is; nothing is started."""
    status = main(["emulator", "--fault", "meteor"])
    out, err = capsys.readouterr()
    assert (status, out) == (2, "")
    assert err.startswith("kallglot: there is no fault 'meteor'; there are bad_utf8, ")
    assert err.count("\n") == 1


async def test_the_package_itself_is_the_command_line():
    """`python -m kallglot_async` is `kallglot`, for where no script is on the path: exit codes and messages too."""
    code = "import runpy; runpy.run_module('kallglot_async', run_name='__main__', alter_sys=True)"
    assert await finish("--version", code=code) == (0, f"{kallglot_async.__version__}\n", "")
    status, out, err = await finish("get", "no id", code=code)
    assert (status, out) == (2, "")
    assert err.startswith("kallglot: ")
