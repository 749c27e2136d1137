"""What the emulator needs."""

from __future__ import annotations

import ast
import pathlib
import sys

from kallglot_async import emulator


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
