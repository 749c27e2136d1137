"""What the tests of several commands share."""

from pathlib import Path

import pytest
from support import batches

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
