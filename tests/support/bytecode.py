"""Which worker compiles which module of tests, in a tree where no run has done it yet.

pytest compiles each of them in its own way, which takes a worker as long as all the rest of its collection. Workers
that begin with the same module and go on side by side would each compile all of them.
"""

from __future__ import annotations

from contextlib import suppress
from importlib import import_module
from pathlib import Path

import pytest

__all__ = ["import_own_share"]


def import_own_share(config: pytest.Config) -> None:
    """Import a worker's share of the modules that it is to collect: the other workers find them compiled."""
    worker = getattr(config, "workerinput", None)
    if worker is None:
        return
    given = [config.invocation_params.dir / argument.partition("::")[0] for argument in config.args]
    files = [file for path in given for file in (sorted(path.rglob("test_*.py")) if path.is_dir() else [path])]
    # Not one piece of them each: who is ready first collects from the front, where all have been by then.
    for file in files[int(worker["workerid"].removeprefix("gw")) :: worker["workercount"]]:
        # What cannot be imported, or is skipped as something is not installed, is said when it is collected.
        with suppress(Exception, pytest.skip.Exception):
            import_module(".".join(Path(file).relative_to(config.rootpath).with_suffix("").parts))
