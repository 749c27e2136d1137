"""What the emulator needs."""

from __future__ import annotations

import ast
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

import kallglot_async
from kallglot_async import emulator


@pytest.mark.slow
def test_the_base_install_is_enough() -> None:
    """Beside the standard library it imports aiohttp (and multidict of it), msgspec, and its own modules in full."""
    for path in pathlib.Path(emulator.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0
                names = [node.module or ""]
            roots = {name.partition(".")[0] for name in names if not name.startswith("kallglot_async.emulator")}
            assert roots <= {"aiohttp", "multidict", "msgspec"} | set(sys.stdlib_module_names), path


def test_it_can_be_imported_from_an_archive(tmp_path: pathlib.Path) -> None:
    """As `zipapp` makes one: what it reads beside its modules is no file of its own there."""
    package = pathlib.Path(kallglot_async.__file__).parent
    archive = shutil.make_archive(str(tmp_path / "app"), "zip", package.parent, package.name)
    code = "import kallglot_async.emulator as e; assert 'app.zip' in e.__file__; assert e.Emulator().seed_analyses"
    environ = os.environ | {"PYTHONPATH": archive}
    done = subprocess.run([sys.executable, "-c", code], env=environ, cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
