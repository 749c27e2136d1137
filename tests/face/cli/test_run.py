"""One run of `kallglot`, from arguments to exit code: mistakes, Ctrl-C, closed pipes and full disks."""

import json
import os
import signal
from pathlib import Path

import pytest
from support.processes import end_of_reader, finish, half_ready, posix, process, ready

from kallglot_async.cli import main
from kallglot_async.cli.run import with_dashes
from kallglot_async.cli.streams import STDOUT
from kallglot_async.emulator import Emulator, Latency


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
        assert await end_of_reader(command, *ids, server=server) == (b"{", b"", 141)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.slow
async def test_a_full_disk_is_one_line():
    """Output that cannot be written is said, not thrown."""
    async with Emulator(plan="unlimited", latency=Latency.immediate()) as server:
        full = os.open("/dev/full", os.O_WRONLY)
        status, _, err = await finish("wait", *server.seed_analyses(1), server=server, stdout=full)
        os.close(full)
        assert (status, err) == (2, "kallglot: cannot write the output: No space left on device\n")


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["wait"], "there are no ids: give IDs, or --file FILE, or - for standard input"),
        (["get", "ana_1", "-"], "there is more than one source of ids"),
        (["get", "--file", "ids.txt", "-"], "there is more than one FILE: give one, or - for standard input"),
        (["get", "--file", "/nowhere"], "cannot read /nowhere: No such file or directory"),
        (["wait", "ana_1"], "there is no API key: set KALLGLOT_API_KEY, or pass --api-key"),
        (["wait", "ana_1", "--api-key", "key"], "the API key is malformed"),
        (["wait", "ana_1", "--api-key", "sk_test_1", "--base-url", "http://example.org"], "use https"),
        (["wait", "ana_1", "--api-key", "sk_test_1", "--max-in-flight", "0"], "max_in_flight is a whole number"),
        (
            ["get", "ana_1", "--api-key", "sk_test_1", "--rate-limit", "0"],
            "a rate limit's number of requests is a whole",
        ),
        (["wait", "ana_1", "--timeout", "soon"], "--timeout"),
        (["wait", "ana_1", "--timeuot", "1"], "Did you mean --timeout? Choose from: --file,"),
        (["wiat", "ana_1"], 'Did you mean "wait"?'),
        (["emulator", "--plan", "gold"], '"free", "starter", "pro", "unlimited"'),
        (["emulator", "--port", "70000"], "Must be <= 65535"),
        (["emulator", "--failure-rate", "2"], "failure_rate"),
        (["demo", "--analyses", "0"], "Must be >= 1"),
        (["xyz"], "Choose from: webhook, batch, get, wait, analyze, show, transcript, recording, emulator, demo, "),
        (["recording", "upload"], "Choose from: download. See: kallglot recording --help"),
        (["webhook", "xyz"], "Choose from: verify."),
        (["demo", "--xyz"], "Choose from: --analyses, --seed, --report, --json, --quiet, -q."),
        (["wait", "ana_1", "--xyz=3"], "--total-timeout, --quiet, -q, --api-key"),
        (
            ["wait", "ana_1", "--timout=3"],
            "Did you mean --timeout? Choose from: --file, -f, --timeout, --total-timeout",
        ),
        (["demo", "--jsn"], "Choose from: --analyses, --seed, --report, --json, --quiet, -q."),
        (
            ["wit", "ana_1"],
            "Choose from: webhook, batch, get, wait, analyze, show, transcript, recording, emulator, demo,",
        ),
        (["webhook", "verfy"], 'Did you mean "verify"? Choose from: verify.'),
        (["emulator", "--fault", "statsu"], "bad_utf8, broken_json, close, cut_body"),
        (["emulator", "--fault", "status:statsu=1"], "rate, id, operation, times"),
        (["emulator", "--fault", '{"kind":"statsu"}'], "; there are status, throttle, reset, close"),
        (["completion", "bash", "--xyz"], "Unknown option: --xyz. See:"),
        (["transcript", "sess_1", "--format", "pdf"], '"json", "text", "srt", "vtt"'),
        (["emulator", "--fault", "xyz"], "reset, "),
        (["emulator", "--fault", "status:xyz=1"], "rate, id, operation, times"),
        (["emulator", "--fault", "status:operation=xyz"], "; there are analyses.create, analyses.retrieve, "),
        (["emulator", "--fault", '{"kind":"xyz"}'], "; there are status, "),
        (["emulator", "--fault", '{"kind":"status","xyz":1}'], "; there are kind, rate, id, operation, times"),
        (["emulator", "--fault", "status:status=xyz"], "Expected `int | null`, got `str` - at `$.status`"),
    ],
)
def test_a_mistake_of_usage_is_one_line_and_exit_code_2(argv, message, monkeypatch, capsys):
    """No traceback, no box, nothing on standard output."""
    for name in ("KALLGLOT_API_KEY", "KALLGLOT_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    assert main(argv) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("kallglot: ")
    assert message in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["get", "-"], ["get", "--file=-"]),
        (["get", "-f", "-"], ["get", "--file=-"]),
        (["get", "--file", "-", "-q"], ["get", "--file=-", "-q"]),
        (["report", "-", "-o", "-"], ["report", "--file=-", "-o", STDOUT]),
        (["report", "x", "-o-"], ["report", "x", "-o", STDOUT]),
        (["export", "x", "--to=-"], ["export", "x", "--to", STDOUT]),
        (["get", "--", "-"], ["get", "--", "-"]),
        (["get", "ana_1", "--file=ids-"], ["get", "ana_1", "--file=ids-"]),
    ],
)
def test_a_lone_dash_is_a_standard_stream(argv, words):
    """Of input, or of output after an option that names one; behind `--` it is a word as any other."""
    assert with_dashes(argv) == words
