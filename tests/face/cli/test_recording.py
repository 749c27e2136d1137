"""`kallglot recording download` in this process, against the emulator."""

import json
import os
import signal

import pytest
from support.audio import AUDIO, ID, KEY, OFFERED, part
from support.processes import finish, posix, process, until
from support.wire_faults import RawServer, answer, silent

from kallglot_async.emulator import Emulator


def serving(**options):
    return Emulator(**{"plan": "unlimited"} | options)


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
