"""`kallglot transcript` in this process, against the emulator."""

import asyncio
import json
import os

import pytest
from support.processes import posix, process

from kallglot_async.emulator import Emulator, Fault


def serving(**options):
    return Emulator(**{"plan": "unlimited"} | options)


@pytest.mark.parametrize("revision", ["a", "b"])
async def test_a_transcript_is_one_line_of_json(kallglot, revision):
    """The transcript as it came, and its lines, which read the same in both revisions."""
    async with serving(revision=revision) as emulator:
        [id] = emulator.sessions.seed(1)
        code, out, err = await kallglot(emulator, "transcript", id)
        [line] = out.splitlines()
        value = json.loads(line)
        assert (code, err, value["id"]) == (0, "", id)
        assert value["transcript"]["segments" if revision == "a" else "turns"]
        assert value["lines"][0]["speaker"] == "agent"
        assert value["lines"][1]["translation"]


@pytest.mark.parametrize(
    ("format", "start"), [("text", b"agent: Hello"), ("srt", b"1\n00:00:"), ("vtt", b"WEBVTT\n\n1\n")]
)
async def test_text_and_subtitles_are_printed_as_they_are(kallglot, format, start):
    """Ready for a file."""
    async with serving() as emulator:
        [id] = emulator.sessions.seed(1)
        code, out, err = await kallglot(emulator, "transcript", id, "--format", format)
        assert (code, err) == (0, "")
        assert out.startswith(start)
        assert out.endswith(b"\n")


SUBTITLES = (
    "1\n00:00:00,000 --> 00:00:02,000\nfirst\u2028\u2028second \u200f\u05e9\u05dc\u05d5\u05dd\u200f (\u202bx\u202c)\n"
    "  - indented\n\n"
    "2\n00:00:03,000 --> 00:00:04,000\nnext\n"
)


@pytest.mark.parametrize(
    ("format", "text"),
    [
        ("srt", SUBTITLES),
        ("srt", SUBTITLES.replace("\n", "\r\n")),
        ("srt", "1\n00:00:00,000 --> 00:00:02,000\nno line end, a form feed\f, a next line\x85 and a tab\t"),
        ("vtt", "WEBVTT\n\n\n1\n00:00.000 --> 00:02.000\n\u2066<v agent>\u2069 \r\n"),
        ("text", "agent: \x1b[2Jhello\n\n\tnext\x07\u202e  \n\n"),
        ("text", ""),
    ],
)
async def test_a_file_gets_what_the_server_wrote(kallglot, format, text):
    """Byte for byte: no mark, blank or line end is added, taken or changed."""
    async with serving(faults=[Fault(kind="html", body=text)]) as emulator:
        argv = ["transcript", *emulator.sessions.seed(1), "--format", format]
        assert await kallglot(emulator, *argv) == (0, text.encode(), "")


@posix
async def test_a_terminal_obeys_nothing_in_a_transcript():
    """Escape sequences of a server are taken out there, line by line."""
    async with serving(faults=[Fault(kind="html", body="agent: \x1b[2Jhello\n\nnext\x07\u202e\n")]) as emulator:
        leader, follower = os.openpty()
        argv = ["transcript", *emulator.sessions.seed(1), "--format", "text"]
        async with process(*argv, server=emulator, stdout=follower) as child:
            os.close(follower)
            shown = await asyncio.to_thread(os.read, leader, 1000)
            assert await child.wait() == 0
        os.close(leader)
    assert shown == b"agent: hello\r\n\r\nnext\r\n"


async def test_a_transcript_that_is_not_there(kallglot):
    """As JSON an error is a line, too; as text it is a complaint; exit code 1 both times."""
    async with serving() as emulator:
        code, out, err = await kallglot(emulator, "transcript", "sess_nobody")
        assert (code, err) == (1, "")
        assert json.loads(out)["error"]["type"] == "NotFoundError"
        code, out, err = await kallglot(emulator, "transcript", "sess_nobody", "--format", "srt")
        assert (code, out) == (1, b"")
        assert err.startswith("kallglot: No such session")


@pytest.mark.parametrize("argv", [["transcript"], ["transcript", "ana_1"], ["transcript", "sess_1", "--format", "pdf"]])
async def test_usage_is_exit_code_2(kallglot, argv):
    """And one line that says what is wrong; nothing is sent."""
    async with serving() as emulator:
        code, out, err = await kallglot(emulator, *argv)
        assert (code, out, err.count("\n")) == (2, b"", 1)
        assert emulator.journal.total == 0
