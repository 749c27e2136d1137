"""`kallglot webhook verify`: exit codes, what it prints, and that the secret stays in the environment."""

import io
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.payloads import PAYLOADS

import kallglot_async
from kallglot_async.cli import main
from kallglot_async.cli.webhook import MOST_BYTES
from kallglot_async.receivers._reception import MAX_BODY
from kallglot_async.webhooks import sign

SECRET = "whsec_test_secret"
BODY = (PAYLOADS / "webhook_session_ended.json").read_bytes()


@pytest.fixture
def verify(monkeypatch, tmp_path):
    """Runs the command on a file of the given body, with the secret in the environment."""
    monkeypatch.setenv("HOOK_SECRET", SECRET)
    monkeypatch.setenv("OLD_SECRET", "old")
    monkeypatch.delenv("NO_SECRET", raising=False)
    file = tmp_path / "body.json"

    def run(*argv, body=BODY, variable="HOOK_SECRET", header=None):
        file.write_bytes(body)
        header = sign(body, SECRET, now=time.time()) if header is None else header
        return main(["webhook", "verify", "--header", header, "--secret-env", variable, str(file), *argv])

    return run


def test_what_is_genuine_is_accepted(verify, capsys):
    """Exit code 0, and one line that says which event it is."""
    assert verify() == 0
    said = capsys.readouterr()
    assert said.out == "accepted: evt_01HXYZ123456789 session.ended about sess_01HXYZ123456789\n"
    assert said.err == ""


def test_an_event_about_nothing_is_accepted(verify, capsys):
    """Nothing is made up; what a sender writes into an id does nothing to a terminal."""
    assert verify(body=b'{"id":"evt_1\\u001b[2J","type":"test"}') == 0
    assert capsys.readouterr().out == "accepted: evt_1 test\n"


@pytest.mark.parametrize(
    ("header", "body", "reason"),
    [
        (None, b"{}", "not an event"),
        ("t=1,v1=00", BODY, "no v1="),
        (sign(BODY, "other", now=0), BODY, "no signature fits"),
        (sign(BODY, SECRET, now=0), BODY, "ago, and 300 s are allowed"),
        ("", BODY, "there is no Kallglot-Signature header"),
    ],
)
def test_what_is_not_is_refused(verify, capsys, header, body, reason):
    """Exit code 1, and one line that says why, without the secret."""
    assert verify(header=header, body=body) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("kallglot: refused: ")
    assert reason in said.err
    assert said.err.count("\n") == 1
    assert SECRET not in said.err


@pytest.mark.parametrize(("body", "hinted"), [(BODY, True), (BODY.rstrip(), False)])
def test_a_line_end_that_an_editor_added_is_suspected(verify, capsys, body, hinted):
    """The commonest reason why a saved body does not fit."""
    assert verify(header=sign(b"", SECRET, now=time.time()), body=body) == 1
    assert ("ends with a line end" in capsys.readouterr().err) == hinted


def test_json_says_the_same_to_programs(verify, capsys):
    """One object in either case, on standard output."""
    assert verify("--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert said["accepted"] is True
    assert said["event"]["id"] == "evt_01HXYZ123456789"
    assert said["event"]["data"]["raw"] == json.loads(BODY)["data"]
    assert verify("--json", header=sign(BODY, SECRET, now=time.time() - 1000)) == 1
    said = json.loads(capsys.readouterr().out)
    assert said["accepted"] is False
    assert said["error"]["type"] == "WebhookTimestampError"
    assert said["error"]["age"] == pytest.approx(1000, abs=20)


def test_the_tolerance_can_be_chosen(verify):
    """For deliveries of yesterday: longer, or none."""
    header = sign(BODY, SECRET, now=time.time() - 1000)
    assert verify(header=header) == 1
    assert verify("--tolerance", "1100", header=header) == 0
    assert verify("--tolerance", "none", header=sign(BODY, SECRET, now=0)) == 0


@pytest.mark.parametrize("place", ["body.json", "-"])
def test_what_a_receiver_would_not_read_is_refused(place, monkeypatch, tmp_path, capsys):
    """The cap is theirs, to the byte, for a file and for standard input."""
    assert MOST_BYTES == MAX_BODY
    monkeypatch.setenv("HOOK_SECRET", SECRET)
    monkeypatch.chdir(tmp_path)
    frame = b'{"id":"evt_1","type":"test","pad":"%s"}'
    for padding, code in ((MAX_BODY - len(frame) + 2, 0), (MAX_BODY - len(frame) + 3, 1), (3 * MAX_BODY, 1)):
        body = frame % (b"x" * padding)
        Path("body.json").write_bytes(body)
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(body)))
        header = sign(body, SECRET, now=time.time())
        argv = ["webhook", "verify", "--header", header, "--secret-env", "HOOK_SECRET", place, "--json"]
        assert main(argv) == code
        said = json.loads(capsys.readouterr().out)
        assert said["accepted"] == (code == 0)
    assert "more than 1048576 bytes" in said["error"]["message"]


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="needs /dev/zero")
def test_an_endless_body_ends(monkeypatch, capsys):
    """It is read up to the cap."""
    monkeypatch.setenv("HOOK_SECRET", SECRET)
    assert main(["webhook", "verify", "--header", "t=1,v1=00", "--secret-env", "HOOK_SECRET", "/dev/zero"]) == 1
    assert "more than 1048576 bytes" in capsys.readouterr().err


def test_several_secrets_can_be_named(verify):
    """While a secret is being changed."""
    header = sign(BODY, "old", now=time.time())
    assert verify(header=header) == 1
    assert verify("--secret-env", "OLD_SECRET", header=header) == 0


@pytest.mark.parametrize("place", [[], ["-"], ["--file", "-"], ["-f", "-"]])
def test_the_body_may_come_from_standard_input(monkeypatch, capsys, place):
    """Byte for byte, by default or with a dash."""
    monkeypatch.setenv("HOOK_SECRET", SECRET)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(BODY)))
    header = sign(BODY, SECRET, now=time.time())
    assert main(["webhook", "verify", "--secret-env", "HOOK_SECRET", "--header", header, *place]) == 0
    assert "evt_01HXYZ123456789" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "why"),
    [
        (["--tolerance", "-1"], "tolerance"),
        (["--tolerance", "soon"], "tolerance"),
        (["--secret", SECRET], "--secret"),
        (["another"], "another"),
    ],
)
def test_usage_is_exit_code_2(verify, capsys, argv, why):
    """One line, on standard error; a secret on the command line is no option at all."""
    assert verify(*argv) == 2
    said = capsys.readouterr()
    assert why in said.err
    assert (said.out, said.err.count("\n")) == ("", 1)


def test_a_secret_that_is_not_there_is_exit_code_2(verify, capsys):
    """Not "no signature fits": it is the name that is wrong."""
    assert verify(variable="NO_SECRET") == 2
    assert "the environment variable NO_SECRET holds no secret" in capsys.readouterr().err


def test_a_file_that_cannot_be_read_is_exit_code_2(monkeypatch, tmp_path, capsys):
    """With the system's reason."""
    monkeypatch.setenv("HOOK_SECRET", SECRET)
    for path, why in ((tmp_path / "none", "No such file"), (tmp_path, "directory")):
        assert main(["webhook", "verify", "--secret-env", "HOOK_SECRET", "--header", "t=1", str(path)]) == 2
        assert why in capsys.readouterr().err


def test_a_closed_standard_input_is_exit_code_2(monkeypatch, capsys):
    """As a service manager may start it."""
    monkeypatch.setenv("HOOK_SECRET", SECRET)
    monkeypatch.setattr(sys, "stdin", None)
    assert main(["webhook", "verify", "--secret-env", "HOOK_SECRET", "--header", "t=1"]) == 2
    assert "standard input is closed" in capsys.readouterr().err


@pytest.mark.slow
def test_it_loads_no_transport():
    """Neither its help nor a verification needs aiohttp or a loop."""
    code = (
        "import sys\nfrom kallglot_async.cli import main\ncode = main(sys.argv[1:])\n"
        "print(sorted({'aiohttp', 'asyncio', 'anyio'} & sys.modules.keys()), file=sys.stderr)\nraise SystemExit(code)"
    )
    env = {**os.environ, "HOOK_SECRET": SECRET, "PYTHONPATH": str(Path(kallglot_async.__file__).parents[1])}
    header = sign(BODY, SECRET, now=time.time())
    for argv in (["--help"], ["--secret-env", "HOOK_SECRET", "--header", header]):
        ran = subprocess.run(
            [sys.executable, "-c", code, "webhook", "verify", *argv],
            input=BODY,
            capture_output=True,
            env=env,
            check=False,
        )
        assert (ran.returncode, ran.stderr) == (0, b"[]\n")
