"""`kallglot transcript` and `kallglot recording download` in this process, against the emulator."""

import asyncio
import json
import os
import signal

import pytest
from support.audio import AUDIO, ID, KEY, OFFERED, part
from support.processes import finish, posix, process, until
from support.wire_faults import RawServer, answer, silent

from kallglot_async.cli import main
from kallglot_async.emulator import Emulator, Fault


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


@pytest.mark.parametrize("revision", ["a", "b"])
async def test_recordings_are_downloaded_into_files_named_after_them(kallglot, revision, tmp_path):
    """One line for each distinct id, with the path and the size."""
    async with serving(revision=revision) as emulator:
        [session] = emulator.sessions.seed(1, recordings=2)
        ids = emulator.sessions[session].recordings
        code, out, err = await kallglot(emulator, "recording", "download", *ids, ids[0], "--to", str(tmp_path))
        lines = [json.loads(line) for line in out.splitlines()]
        assert (code, [line["id"] for line in lines]) == (0, list(ids))
        assert sorted(os.listdir(tmp_path)) == sorted(f"{id}.mp3" for id in ids)
        for line in lines:
            path = tmp_path / f"{line['id']}.mp3"
            assert (line["download"]["path"], line["download"]["bytes_written"]) == (str(path), path.stat().st_size)
        assert "Traceback" not in err


async def test_one_failure_costs_no_sibling(kallglot, tmp_path):
    """An unknown id, an impossible one and a file that exists have an error in their line; exit code 1."""
    async with serving() as emulator:
        [session] = emulator.sessions.seed(1)
        one, other, _ = emulator.sessions[session].recordings
        (tmp_path / f"{one}.mp3").write_bytes(b"mine")
        argv = ["recording", "download", "rec_nobody", "../x", one, other, "--to", str(tmp_path), "--quiet"]
        code, out, err = await kallglot(emulator, *argv)
        lines = {line["id"]: line for line in map(json.loads, out.splitlines())}
        assert (code, err) == (1, "")
        kinds = {id: line["error"]["type"] for id, line in lines.items() if "error" in line}
        assert kinds == {"rec_nobody": "NotFoundError", "../x": "InvalidIdError", one: "FileExistsError"}
        assert (tmp_path / f"{one}.mp3").read_bytes() == b"mine"
        assert lines[other]["download"]["bytes_written"] > 0
        code, _, _ = await kallglot(emulator, "recording", "download", one, "--to", str(tmp_path), "--overwrite")
        assert code == 0
        assert (tmp_path / f"{one}.mp3").read_bytes() != b"mine"


@pytest.mark.parametrize("word", ["sk_live_CANARY", "KALLGLOT_API_KEY=sk_test_CANARY"])
async def test_a_key_that_was_given_as_an_id_is_not_shown(kallglot, tmp_path, word):
    """Lines are stored, and logged: two arguments that changed places do not bring it there."""
    async with serving() as emulator:
        code, out, err = await kallglot(emulator, "recording", "download", word, "--to", str(tmp_path), "-q")
    assert (code, json.loads(out)["id"]) == (1, "<API key>")
    assert b"CANARY" not in out
    assert "CANARY" not in err


async def test_the_same_command_again_fetches_what_is_missing(kallglot, tmp_path):
    """What is there is whole: it is left as it is, and no error; exit code 0 once all are there."""
    async with serving() as emulator:
        [session] = emulator.sessions.seed(1)
        one, other, _ = emulator.sessions[session].recordings
        argv = ["recording", "download", one, other, "--to", str(tmp_path), "--skip-existing", "--quiet"]
        (tmp_path / f"{one}.mp3").write_bytes(b"whole")
        code, out, _ = await kallglot(emulator, *argv)
        lines = {line["id"]: line for line in map(json.loads, out.splitlines())}
        assert (code, lines[one]) == (0, {"id": one, "skipped": str(tmp_path / f"{one}.mp3")})
        assert lines[other]["download"]["bytes_written"] > 0
        assert (tmp_path / f"{one}.mp3").read_bytes() == b"whole"
        code, _, err = await kallglot(emulator, *argv, "--overwrite")
        assert (code, "give one of them" in err) == (2, True)


async def test_another_format_has_its_own_suffix(kallglot, tmp_path):
    """Revision A."""
    async with serving() as emulator:
        [session] = emulator.sessions.seed(1)
        id = emulator.sessions[session].recordings[0]
        code, _, _ = await kallglot(emulator, "recording", "download", id, "--to", str(tmp_path), "--format", "wav")
        assert (code, os.listdir(tmp_path)) == (0, [f"{id}.wav"])


@posix
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.slow
async def test_what_a_signal_interrupted_is_gone_on_with(number, tmp_path):
    """The first run leaves the part and what it is of, the second asks for the rest alone."""

    class Server(RawServer):
        api_key = KEY

    async def stall(connection):
        await connection.send(answer(AUDIO[:1000], *OFFERED, length=len(AUDIO)))
        await silent(connection)

    fields = {"id": ID, "object": "recording", "status": "ready", "format": "mp3", "size": len(AUDIO)}
    known = answer(json.dumps(fields | {"download_url": f"/v1/recordings/{ID}/audio"}).encode())
    argv = ["recording", "download", ID, "--to", str(tmp_path)]
    kept = tmp_path / f"{ID}.mp3.part"
    async with Server(known, stall, known, part(1000)) as server:
        async with process(*argv, server=server) as child:
            await until(lambda: kept.exists() and kept.stat().st_size == 1000)
            child.send_signal(number)
            out, err = await child.communicate()
        assert (child.returncode, out) == (128 + number, b"")
        assert b"Traceback" not in err
        assert sorted(os.listdir(tmp_path)) == [kept.name, f"{kept.name}.json"]
        code, out, _ = await finish(*argv, server=server)
        assert (code, json.loads(out)["download"]["resumed"]) == (0, 1)
        assert b"Range: bytes=1000-" in server.requests[-1]
    assert os.listdir(tmp_path) == [f"{ID}.mp3"]
    assert (tmp_path / f"{ID}.mp3").read_bytes() == AUDIO


async def test_a_directory_has_to_exist(kallglot, tmp_path):
    """Said before anything is sent; exit code 2."""
    async with serving() as emulator:
        code, out, err = await kallglot(emulator, "recording", "download", "rec_1", "--to", str(tmp_path / "no"))
        assert (code, out, emulator.journal.total) == (2, b"", 0)
        assert "no directory" in err
