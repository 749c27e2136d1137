"""Do the tests notice? Breaks one place of the decisions (`_core/`) after another, and names the breaks that pass.

    python -m benchmarks.mutants [--module _core/limit/window.py ...] [--seed 7] [--sample 100] [--jobs 2] [--thorough]

A mutant is the package with one expression or statement changed: `<` to `<=`, `==` to `!=`, `+` to `-`, `and` to `or`,
`min` to `max`, an `if` negated, a number one more, none, double or a tenth more, a value returned negated or None, an
assignment or a call left out. What no test should notice is left alone: texts, `__repr__`, annotations, overloads,
`__all__` and `__slots__`; so is what Python itself would notice, such as the only assignment of a name.

Each is tried in a copy of the tree; the working tree is never touched. First come the tests that import the module or
are named after it or, where there are none, those that import a module that imports it; then the others of its folder,
as a rule is often shown by what asks it. A mutant that passes those has survived; `--thorough` then tries the rest. The
tests are `tests/core`, where each module of the decisions has its own, or those named by `--tests`. A run that takes
three times as long as that of all tests without a mutant is ended, and its mutant counts as killed. Seed and source
alone decide what is sampled, and in which order: a run that Ctrl-C ends has tried a fair sample too, and prints its
shares.

A survivor is a question, not a defect: some change nothing that can be seen from outside, and a figure that was tuned
may be a tenth more. A mutant takes 1 to 10 s, one that survives up to half a minute. Not for CI.
"""

from __future__ import annotations

import argparse
import ast
import os
import queue
import random
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks._mutations import Mutant, mutants

ROOT = Path(__file__).parents[1]
PACKAGE = "kallglot_async"
PYTEST = ("-m", "pytest", "-x", "-q", "-n", "0", "--no-cov", "-p", "no:cacheprovider", "-p", "no:faker", "--tb=no")
TESTS = ("tests/core",)
LIMIT, LEAST_LIMIT = 3, 20.0  # times the run without a mutant, and seconds


def near(module: str, modules: dict[str, str], tests: dict[str, str]) -> list[str]:
    """Return the tests to try first on a module: all, if none of them has to do with it.

    Args:
        module: A path, as the package's are in `modules`.
        modules: The modules of its kind, each with its text.
        tests: The tests, each with its text.
    """
    reached = {module}
    while True:
        stems = {Path(each).stem for each in reached}
        found = [path for path, text in tests.items() if _imports(text, reached) or Path(path).stem[5:] in stems]
        wider = reached | {path for path, text in modules.items() if _imports(text, reached)}
        if found or wider == reached:
            return found or list(tests)
        reached = wider


def _imports(text: str, modules: Iterable[str]) -> bool:
    names = {".".join(Path(module).with_suffix("").parts).removesuffix(".__init__") for module in modules}
    return not names.isdisjoint(_imported(text))


@cache
def _imported(text: str) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom):
            names |= {str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return names


def beside(module: str, tests: Iterable[str]) -> list[str]:
    """Return the tests that lie in a folder named as the module's."""
    return [path for path in tests if Path(path).parent.name == Path(module).parent.name]


def texts(paths: Iterable[str], pattern: str) -> dict[str, str]:
    """Return the files at and below these paths, each with its text."""
    found = [file for path in paths for file in sorted((ROOT / path).rglob(pattern)) or [ROOT / path]]
    return {file.relative_to(ROOT).as_posix(): file.read_text() for file in found}


class Copy:
    """A copy of the tree in which mutants live, one at a time."""

    def __init__(self, path: Path) -> None:
        shutil.copytree(ROOT, path, ignore=shutil.ignore_patterns(".*", "__pycache__", "dist", "build"))
        self._path = path
        self._moments = count(1_000_000_000)  # seconds: two texts of one size must not share their bytecode
        # CI: hypothesis draws the same examples in every run.
        self._environment = {**os.environ, "PYTHONPATH": str(path), "CI": "1"}
        self._environment.pop("PYTHONDONTWRITEBYTECODE", None)

    def write(self, module: str, text: str) -> None:
        """Replace a module."""
        file = self._path / module
        file.write_text(text)
        moment = next(self._moments)
        os.utime(file, (moment, moment))

    def passes(self, tests: Iterable[str], limit: float | None = None) -> bool:
        """Whether these tests pass, and within so many seconds."""
        command = [sys.executable, *PYTEST, *tests]
        try:
            done = subprocess.run(
                command, cwd=self._path, env=self._environment, capture_output=True, timeout=limit, check=False
            )
        except subprocess.TimeoutExpired:
            return False
        return done.returncode == 0


class Trial:
    """Tries mutants, each in the next copy that is free.

    Args:
        copies: Where they live.
        modules: Of the mutants and those around them, each with its text.
        tests: Each with its text.
        is_thorough: Whether all tests are tried in the end.
    """

    def __init__(
        self, copies: Iterable[Copy], modules: dict[str, str], tests: dict[str, str], *, is_thorough: bool = False
    ) -> None:
        self._free: queue.SimpleQueue[Copy] = queue.SimpleQueue()
        self._modules = modules
        self._tests = tests
        self._is_thorough = is_thorough
        for copy in copies:
            self._free.put(copy)

    def warm_up(self) -> float:
        """Run all tests without a mutant, and return the seconds that a run with one may take."""
        copy = self._free.get()
        started = time.monotonic()
        if not copy.passes(self._tests):
            sys.exit(f"these tests fail as it is, in a copy of the tree: {' '.join(self._tests)}")
        self._free.put(copy)
        self.limit = max(LEAST_LIMIT, LIMIT * (time.monotonic() - started))
        return self.limit

    def survives(self, mutant: Mutant) -> bool:
        """Whether the tests pass with it."""
        source = self._modules[mutant.module]
        first = near(mutant.module, self._modules, self._tests)
        rest = [path for path in self._tests if path not in first]
        others = rest if self._is_thorough else beside(mutant.module, rest)
        copy = self._free.get()
        try:
            copy.write(mutant.module, mutant.apply(source))
            return all(copy.passes(tests, self.limit) for tests in (first, others) if tests)
        finally:
            copy.write(mutant.module, source)
            self._free.put(copy)


def main() -> None:
    """Print each survivor as it is found, and then their share."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mutants", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--module", nargs="+", default=["_core"], help="modules or folders, below the package")
    parser.add_argument("--tests", nargs="+", default=TESTS, help="test modules or folders")
    parser.add_argument("--seed", type=int, default=7, help="decides which are sampled")
    parser.add_argument("--sample", type=int, default=100, help="how many; 0: all there are")
    parser.add_argument("--jobs", type=int, default=2, help="how many at once, each in a copy of the tree")
    parser.add_argument("--thorough", action="store_true", help="try what survives on the rest of the tests")
    arguments = parser.parse_args()

    found = [
        mutant
        for module, text in texts([f"{PACKAGE}/{path}" for path in arguments.module], "*.py").items()
        for mutant in mutants(text, module)
    ]
    size = min(arguments.sample or len(found), len(found))
    random.Random(arguments.seed).shuffle(found)
    sample = found[:size]
    tests = texts(arguments.tests, "test_*.py")
    with TemporaryDirectory(prefix="mutants-") as folder, ThreadPoolExecutor(arguments.jobs) as threads:
        copies = [Copy(Path(folder) / str(number)) for number in range(arguments.jobs)]
        trial = Trial(copies, texts([PACKAGE], "*.py"), tests, is_thorough=arguments.thorough)
        limit = trial.warm_up()
        print(
            f"{size} of {len(found)} mutants, seed {arguments.seed}, {len(tests)} test modules, {limit:.0f} s for each"
        )
        tried, survived = Counter[str](), Counter[str]()
        try:
            for mutant, survives in zip(sample, threads.map(trial.survives, sample), strict=True):
                tried[mutant.module] += 1
                survived[mutant.module] += survives
                if survives:
                    print(mutant, flush=True)
        except KeyboardInterrupt:
            print("stopped")
            threads.shutdown(cancel_futures=True)
    for module, number in [*sorted(tried.items()), ("all", tried.total())]:
        left = survived[module] if module != "all" else survived.total()
        print(f"{left:4} of {number:4} survive, {left / max(1, number):4.0%}  {module}")


if __name__ == "__main__":
    main()
