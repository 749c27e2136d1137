"""What the tests of several commands share."""

import asyncio
from pathlib import Path

import pytest
from support import batches

from kallglot_async.cli import main
from kallglot_async.models import Outcomes


@pytest.fixture(scope="session")
def outcomes() -> Outcomes:
    """What a command has printed before: both revisions, and failures."""
    return Outcomes(batches.outcomes(40, revisions="ab"))


@pytest.fixture
def stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, outcomes: Outcomes) -> Path:
    """The directory of those outcomes, `outcomes.jsonl`, in which the command is run."""
    monkeypatch.chdir(tmp_path)
    outcomes.to_jsonl(tmp_path / "outcomes.jsonl")
    return tmp_path


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
