"""`kallglot analyze`, `kallglot show` and `kallglot completion`, in this process and as processes of their own."""

import asyncio
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys

import pytest
from support.processes import RUN, finish, posix, process, until
from support.slow import beyond

from kallglot_async.cli import main
from kallglot_async.emulator import Emulator, Fault, Latency

BASH = shutil.which("bash")


@pytest.fixture
def kallglot(monkeypatch, capsysbinary):
    """Run a command against an emulator; returns exit code, standard output and standard error."""

    async def run(emulator, *argv):
        monkeypatch.setenv("KALLGLOT_API_KEY", emulator.api_key)
        monkeypatch.setenv("KALLGLOT_BASE_URL", emulator.base_url)
        code = await asyncio.to_thread(main, argv)
        out, err = capsysbinary.readouterr()
        return code, out, err.decode()

    return run


def at_once(**options):
    """Create answers estimate 30 s, whatever the latency; sped up, nobody waits for that."""
    return Emulator(**{"plan": "unlimited", "latency": Latency.immediate(), "speed": 1e4} | options)


def lines(out):
    return [json.loads(line) for line in out.splitlines()]


class TestAnalyze:
    @pytest.mark.parametrize(
        ("options", "prefix", "parts"),
        [
            (["--analyses", "summary, topics", "--language", "de"], "ana_", {"summary", "topics"}),
            (["--include", "summary", "--profile", "sales"], "anl_", None),
            ([], "anl_", None),
        ],
    )
    async def test_each_session_gets_one_line(self, kallglot, options, prefix, parts):
        """Distinct sessions, in the revision that the options speak; exit code 0, and a summary for people."""
        async with at_once(revision="a" if prefix == "ana_" else "b") as emulator:
            code, out, err = await kallglot(emulator, "analyze", "sess_1", "sess_2", "sess_1", *options)
            assert (code, err.splitlines()[-1]) == (0, "done: 2 fine, 0 failed")
            found = {line["id"]: line["analysis"] for line in lines(out)}
            assert found.keys() == {"sess_1", "sess_2"}
            assert all(analysis["id"].startswith(prefix) for analysis in found.values())
            if parts is not None:
                assert found["sess_1"]["results"].keys() == parts
            assert len(emulator.analyses()) == 2

    async def test_sessions_come_from_a_file(self, kallglot, tmp_path):
        """As ids do; what is no id costs no sibling; quiet is quiet."""
        file = tmp_path / "sessions"
        file.write_text("# two\nsess_1\n\nana_1\nsess_2\n")
        async with at_once() as emulator:
            code, out, err = await kallglot(emulator, "analyze", "-f", str(file), "--analyses", "summary", "--quiet")
            assert (code, err) == (1, "")
            assert {line["id"] for line in lines(out) if "analysis" in line} == {"sess_1", "sess_2"}
            [odd] = [line for line in lines(out) if "error" in line]
            assert odd["error"]["type"] == "InvalidIdError"

    async def test_a_named_batch_creates_nothing_twice(self, kallglot):
        """The same name, the same analyses; another name, new ones."""
        async with at_once() as emulator:
            argv = ["analyze", "sess_1", "sess_2", "--analyses", "summary", "--batch"]
            first, again, other = [lines((await kallglot(emulator, *argv, name))[1]) for name in ("may", "may", "june")]
            ids = [{line["id"]: line["analysis"]["id"] for line in run} for run in (first, again, other)]
            assert ids[0] == ids[1] != ids[2]
            assert len(emulator.analyses()) == 4

    async def test_credits_that_run_out_end_the_requests(self, kallglot):
        """What is paid for is delivered; the rest is reported; exit code 1."""
        async with at_once(credits=2, revision="b") as emulator:
            argv = ["analyze", *(f"sess_{number}" for number in range(6)), "--max-in-flight", "1"]
            code, out, err = await kallglot(emulator, *argv)
            assert (code, len(lines(out))) == (1, 6)
            assert sum("analysis" in line for line in lines(out)) == 2
            kinds = {line["error"]["type"] for line in lines(out) if "error" in line}
            assert kinds == {"InsufficientCreditsError", "NotAttemptedError"}
            assert "2 fine, 4 failed" in err

    @pytest.mark.parametrize("option", ["--timeout", "--total-timeout"])
    async def test_gives_up_in_time(self, kallglot, option):
        """The error names the analysis, which can be waited for later."""
        async with at_once(latency=Latency.uniform(1e6, 1e6)) as emulator:
            code, out, _ = await kallglot(emulator, "analyze", "sess_1", "--analyses", "summary", option, "0.3")
            [line] = lines(out)
            assert (code, line["error"]["type"]) == (1, "WaitTimeoutError")
            assert [line["error"]["id"]] == [record.id for record in emulator.analyses()]

    @pytest.mark.parametrize(
        ("argv", "message"),
        [
            ([], "there are no ids: give IDs, or --file FILE, or - for standard input"),
            (["sess_1", "--analyses", "summary", "--include", "summary"], "--analyses and --language do not go with"),
            (["sess_1", "--language", "de", "--profile", "x"], "--analyses and --language do not go with"),
            (["sess_1", "--language", "de"], "--language needs --analyses"),
            (["sess_1", "--analyses", " ,"], "--analyses names nothing"),
            (["sess_1", "--include", ""], "--include names nothing"),
            (["sess_1", "--batch", ""], "batch is a text that is not empty"),
            (["sess_1", "--batch="], "batch is a text that is not empty"),
            (["sess_1", "--batch", " "], "batch is a text that is not empty"),
        ],
    )
    async def test_a_mistake_of_usage_is_one_line_and_no_request(self, kallglot, argv, message):
        """Exit code 2, nothing on standard output."""
        async with at_once() as emulator:
            code, out, err = await kallglot(emulator, "analyze", *argv)
            assert (code, out, emulator.journal.total) == (2, b"", 0)
            assert err.startswith("kallglot: ")
            assert message in err
            assert err.count("\n") == 1

    @pytest.mark.slow
    @posix
    async def test_ctrl_c_leaves_what_had_settled(self):
        """Exit code 130, every settled line printed, no traceback, and a word on what was left."""
        law = Latency.log_normal(median=6e5, sigma=100.0)  # ready at once or in ages: the spread is that wide
        async with at_once(latency=law, seed=6) as server:
            sessions = [f"sess_{number}" for number in range(20)]
            async with process("analyze", *sessions, "--analyses", "summary", server=server) as child:
                await until(lambda: len(server.analyses()) == len(sessions))
                takes = {record.session_id: record.ready_at - record.created_at for record in server.analyses()}
                settled = {session for session, seconds in takes.items() if seconds < 0.05}
                assert 3 < len(settled) < 17
                assert all(seconds > 60 for session, seconds in takes.items() if session not in settled)
                found = [json.loads(await child.stdout.readline()) for _ in settled]
                child.send_signal(signal.SIGINT)
                out, err = await child.communicate()
            assert (child.returncode, out) == (130, b"")
            assert {line["id"] for line in found if line["analysis"]["status"] == "complete"} == settled
            hint, *_, said = err.decode().splitlines()
            assert said == f"interrupted: {len(settled)} fine, 0 failed, {len(sessions) - len(settled)} pending"
            assert b"Traceback" not in err
            # Another run under the name that was said requests nothing anew.
            name = hint.removeprefix("nothing is requested twice by another run with --batch ")
            async with process("analyze", *sessions, "--analyses", "summary", "--batch", name, server=server) as child:
                again = [json.loads(await child.stdout.readline()) for _ in settled]
                await until(lambda: len(server.journal.requests(operation="analyses.create")) == 2 * len(sessions))
            assert {line["id"] for line in again if "analysis" in line} == settled
            assert len(server.analyses()) == len(sessions)

    @pytest.mark.slow
    @posix
    async def test_a_reader_that_goes_away_ends_it_quietly(self):
        """No message, no traceback, the exit code of a closed pipe."""
        async with at_once() as server:
            reading, writing = os.pipe()
            argv = [
                "analyze",
                *(f"sess_{number}" for number in range(200)),
                "--analyses",
                "summary,sentiment,topics",
                "-q",
            ]
            async with process(*argv, server=server, stdout=writing) as child:
                os.close(writing)
                first = await asyncio.to_thread(os.read, reading, 1)
                os.close(reading)
                assert await child.stderr.read() == b""
                assert await child.wait() == 141
            assert first == b"{"


class TestShow:
    @pytest.mark.parametrize("revision", ["a", "b"])
    async def test_an_analysis_is_a_card(self, kallglot, revision):
        """What a person wants to know first is there; nothing on standard error."""
        async with at_once() as emulator:
            [id] = emulator.seed_analyses(1, revision=revision)
            code, out, err = await kallglot(emulator, "show", id)
            assert (code, err) == (0, "")
            shown = out.decode()
            assert shown.startswith(f"Analysis     {id} (complete")
            parts = ["Summary", "Sentiment", "Key moments", "To do", "Talk ratio", "Topics"]
            for part in parts if revision == "a" else ["Summary", "Customer", "Performance"]:
                assert f"\n{part} " in shown

    async def test_as_json_it_is_a_line(self, kallglot):
        """The analysis, or the error; exit code 1 for the latter."""
        async with at_once() as emulator:
            [id] = emulator.seed_analyses(1)
            code, out, err = await kallglot(emulator, "show", id, "--json")
            [line] = lines(out)
            assert (code, err, line["id"], line["analysis"]["status"]) == (0, "", id, "complete")
            code, out, err = await kallglot(emulator, "show", "ana_unknown", "--json")
            [line] = lines(out)
            assert (code, err, line["error"]["type"]) == (1, "", "NotFoundError")

    async def test_what_is_not_there_is_a_complaint(self, kallglot):
        """Exit code 1; an id that cannot be is a mistake of usage."""
        async with at_once() as emulator:
            code, out, err = await kallglot(emulator, "show", "ana_unknown")
            assert (code, out) == (1, b"")
            assert err.startswith("kallglot: ")
            assert (await kallglot(emulator, "show", "../admin"))[0] == 2

    @pytest.mark.slow
    @posix
    @pytest.mark.parametrize("argv", [[], ["--json"]])
    async def test_a_closed_pipe_is_quiet(self, argv):
        """The exit code of a closed pipe, and not one that rich chooses."""
        async with at_once() as server:
            reading, writing = os.pipe()
            os.close(reading)
            status, _, err = await finish("show", *server.seed_analyses(1), *argv, server=server, stdout=writing)
            os.close(writing)
        assert (status, err) == (141, "")

    async def test_a_terminal_obeys_nothing_of_the_server(self, kallglot):
        """Escape sequences are taken out."""
        summary = '{"summary": {"brief": "a\\u001b[2Jb"}}'
        body = f'{{"id": "ana_1", "object": "analysis", "status": "complete", "results": {summary}}}'
        async with at_once(faults=[Fault(kind="status", status=200, body=body)]) as emulator:
            code, out, _ = await kallglot(emulator, "show", "ana_1")
            assert code == 0
            assert b"ab" in out
            assert b"\x1b" not in out


@pytest.fixture(scope="module")
def script():
    """What bash is given to source, from a process as a person starts it."""
    return subprocess.run([sys.executable, "-c", RUN, "completion", "bash"], capture_output=True, check=True).stdout


class TestCompletion:
    @pytest.mark.parametrize("shell", beyond(1, ["bash", "zsh", "fish"]))
    def test_prints_a_script_that_knows_the_commands(self, shell, capsys):
        """Commands and options are in it."""
        assert main(["completion", shell]) == 0
        script = capsys.readouterr().out
        assert "total-timeout" in script
        assert "analyze" in script

    def test_another_shell_is_a_mistake_of_usage(self, capsys):
        """The choices are named."""
        assert main(["completion", "cmd"]) == 2
        assert '"bash", "zsh", "fish"' in capsys.readouterr().err

    @pytest.mark.skipif(BASH is None, reason="needs bash")
    def test_bash_completes_a_command(self, script):
        """Sourced by the shell itself, `kallglot ana<TAB>` is `analyze`."""
        ask = b"\nCOMP_WORDS=(kallglot ana); COMP_CWORD=1; _kallglot; echo ${COMPREPLY[@]}\n"
        ran = subprocess.run([BASH], input=script + ask, capture_output=True, check=True)
        assert ran.stdout.split() == [b"analyze"]

    @pytest.mark.skipif(BASH is None, reason="needs bash")
    def test_bash_completes_a_path(self, script, tmp_path):
        """After every option that takes one, and where a file is an argument."""
        (tmp_path / "ids.txt").touch()
        lines = ["get --file", "get -f", "wait --file", "analyze --quiet --file", "recording download --to"]
        lines += ["webhook verify --file", "webhook verify"]
        for line in lines:
            words = f"kallglot {line}".split()
            ask = f"\nCOMP_WORDS=({' '.join(words)} i); COMP_CWORD={len(words)}; _kallglot; echo ${{COMPREPLY[@]}}\n"
            ran = subprocess.run([BASH], input=script + ask.encode(), capture_output=True, check=True, cwd=tmp_path)
            assert ran.stdout.split() == [b"ids.txt"], line

    @pytest.mark.skipif(BASH is None, reason="needs bash")
    @pytest.mark.parametrize(
        ("typed", "found"),
        [
            ("my", ["my ids.txt", "my other  ids.txt"]),
            ('"my o', ["my other  ids.txt"]),
            ("my\\ i", ["my ids.txt"]),
            ("'it", ["it's *.txt"]),
            ("a\\ b/", ["a b/c d"]),
            ("none", []),
        ],
    )
    def test_bash_completes_a_path_with_blanks(self, script, typed, found, tmp_path):
        """Whole, as quotes and backslashes of the one who types are none of its name."""
        (tmp_path / "a b").mkdir()
        for name in ("my ids.txt", "my other  ids.txt", "it's *.txt", "a b/c d"):
            (tmp_path / name).touch()
        for option in ("get --file", "wait -f", "webhook verify", "recording download --to"):
            words = [*f"kallglot {option}".split(), shlex.quote(typed)]
            ask = f"\nCOMP_WORDS=({' '.join(words)}); COMP_CWORD={len(words) - 1}; _kallglot"
            ask += "; printf '%s\\n' \"${COMPREPLY[@]}\""
            ran = subprocess.run([BASH], input=script + ask.encode(), capture_output=True, check=True, cwd=tmp_path)
            assert sorted(filter(None, ran.stdout.decode().split("\n"))) == found, option


@pytest.mark.parametrize("argv", beyond(1, [["analyze", "--help"], ["show", "--help"], ["completion", "bash"]]))
async def test_help_does_not_load_the_transport(argv):
    """They answer before anything heavy is imported."""
    code = (
        "import sys\nfrom kallglot_async.cli import main\ncode = main()\n"
        "heavy = {'aiohttp', 'anyio', 'msgspec'} & sys.modules.keys()\n"
        "print('heavy:', sorted(heavy), file=sys.stderr)\nraise SystemExit(code)"
    )
    status, out, err = await finish(*argv, code=code)
    assert (status, err) == (0, "heavy: []\n")
    assert "kallglot" in out
