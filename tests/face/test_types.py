"""Whoever checks types strictly finds every type of the library known."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

BESIDE = ("kallglot_async.emulator", "kallglot_async.cli")  # not what a user's own code is checked against


@pytest.mark.slow
def test_every_type_outside_of_emulator_and_command_line_is_known():
    """None is missing or left to inference, neither of what is public nor of what that refers to."""
    bin = Path(sys.executable).parent
    ran = subprocess.run(
        [bin / "basedpyright", "--verifytypes", "kallglot_async", "--ignoreexternal", "--outputjson"],
        capture_output=True,
        text=True,
        check=False,  # its exit code counts the emulator, too
        env={**os.environ, "PATH": f"{bin}{os.pathsep}{os.environ['PATH']}"},
    )
    completeness = json.loads(ran.stdout)["typeCompleteness"]
    symbols = [symbol for symbol in completeness["symbols"] if not symbol["name"].startswith(BESIDE)]
    assert len(symbols) > 1000
    unknown = [symbol["name"] for symbol in symbols if not symbol["isTypeKnown"] or symbol["isTypeAmbiguous"]]
    assert unknown == []
