"""`kallglot show`: one analysis, for people or as a line."""

import json
import os

import pytest
from support.processes import at_once, finish, posix

from kallglot_async.emulator import Fault


def lines(out):
    return [json.loads(line) for line in out.splitlines()]


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
