"""What importing costs beside aiohttp's own import, each in a fresh interpreter.

From compiled bytecode, as an installed package has it: a first import of each, which writes it, does not count.
"""

from __future__ import annotations

import os
import subprocess
import sys
from tempfile import TemporaryDirectory

BAR = 1.15
_STATEMENTS = {
    "aiohttp": "import aiohttp",
    "aiohttp, msgspec, anyio": "import aiohttp, msgspec, anyio, anyio._backends._asyncio",
    "kallglot_async, client in use": "from kallglot_async import KallglotClient; KallglotClient('sk_test_x')",
    "kallglot_async alone": "import kallglot_async",
}
_MEASURE = "import time; started = time.process_time(); {}; print(time.process_time() - started)"


def _seconds(statement: str, bytecode: str) -> float:
    command = [sys.executable, "-c", _MEASURE.format(statement)]
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": bytecode}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    return float(subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout)


def run(*, quick: bool) -> list[dict[str, object]]:
    """Import in turn, and keep the best of each."""
    best = dict.fromkeys(_STATEMENTS, float("inf"))
    with TemporaryDirectory() as bytecode:
        for statement in _STATEMENTS.values():
            _seconds(statement, bytecode)
        for _ in range(5 if quick else 15):
            for name, statement in _STATEMENTS.items():
                best[name] = min(best[name], _seconds(statement, bytecode))
    return [
        {
            "benchmark": "import",
            "candidate": name,
            "ms": round(seconds * 1e3, 1),
            "to_aiohttp": round(seconds / best["aiohttp"], 3),
            "bar": BAR if "client" in name else None,
        }
        for name, seconds in best.items()
    ]


if __name__ == "__main__":
    from benchmarks.__main__ import main

    main("import")
