"""`kallglot analyze`, in this process and as a process of its own."""

import asyncio
import io
import json
import signal
import sys

import pytest
from support.piecemeal import Piecemeal
from support.processes import at_once, end_of_reader, posix, process, until

from kallglot_async.cli import main
from kallglot_async.emulator import Latency

HINT = "nothing is requested twice by another run with --batch "


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
            name = hint.removeprefix(HINT)
            async with process("analyze", *sessions, "--analyses", "summary", "--batch", name, server=server) as child:
                again = [json.loads(await child.stdout.readline()) for _ in settled]
                await until(lambda: len(server.journal.requests(operation="analyses.create")) == 2 * len(sessions))
            assert {line["id"] for line in again if "analysis" in line} == settled
            assert len(server.analyses()) == len(sessions)

    @pytest.mark.slow
    @posix
    async def test_a_reader_that_goes_away_ends_it_with_the_name_of_what_is_paid_for(self):
        """No other message, no traceback, the exit code of a closed pipe."""
        async with at_once() as server:
            sessions = [f"sess_{number}" for number in range(200)]
            argv = ["analyze", *sessions, "--analyses", "summary,sentiment,topics", "-q"]
            first, err, code = await end_of_reader(*argv, server=server)
            assert (first, err.count(b"\n"), code) == (b"{", 1, 141)
            assert err.decode().startswith(HINT)
            argv += ["--batch", err.decode().removeprefix(HINT).rstrip()]
            async with process(*argv, server=server) as child:
                await child.communicate()
            assert len(server.analyses()) == len(sessions)

    async def test_output_that_cannot_be_written_ends_it_with_that_name(self, monkeypatch, capsys):
        """Also the quiet: without it, another run would request, and pay for, all of it once more."""
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(Piecemeal(room=10), write_through=True))
        async with at_once() as emulator:
            monkeypatch.setenv("KALLGLOT_API_KEY", emulator.api_key)
            monkeypatch.setenv("KALLGLOT_BASE_URL", emulator.base_url)
            code = await asyncio.to_thread(main, ["analyze", "sess_1", "--analyses", "summary", "-q"])
        hint, why = capsys.readouterr().err.splitlines()
        assert (code, hint[: len(HINT)]) == (2, HINT)
        assert why == "kallglot: cannot write the output: No space left on device"

    async def test_ids_that_cannot_be_read_any_more_end_it_with_that_name(self, kallglot, tmp_path):
        """What came before was requested."""
        (tmp_path / "sessions").write_text(f"sess_1\n{'x' * 70_000}")
        async with at_once() as emulator:
            argv = ["analyze", "--file", str(tmp_path / "sessions"), "--analyses", "summary", "--quiet"]
            code, _, err = await kallglot(emulator, *argv)
        hint, why = err.splitlines()
        assert (code, hint[: len(HINT)]) == (2, HINT)
        assert "this is not a list of ids" in why
