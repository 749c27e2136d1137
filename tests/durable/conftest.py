"""What tests of batches in a file share."""

from pathlib import Path

import pytest


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the batch is to be; nothing is there yet."""
    return tmp_path / "nightly.kallglot"
