"""Mutants: what is broken and what is left alone, which tests are asked first, and one that survives or does not."""

import ast
from pathlib import Path

import pytest

from benchmarks import mutants as trial
from benchmarks._mutations import mutants

SOURCE = '''\
"""A text of 3 parts."""
__all__ = ["rate"]
LIMIT: int = 3


class Rate:
    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left = 0.0

    def __repr__(self) -> str:
        return str(self.left + 1)

    def take(self, now: float, wanted: "list[1]" = 2) -> float:
        """Take at 1."""
        if self.left < wanted and now:
            self.reset("at 1" + "é")
            raise ValueError(f"{wanted + 1} are too many")
        self.left -= wanted
        return min(now, self.left)
'''
MUTATED = [
    ("LIMIT: int = 3", "LIMIT: int = 0"),
    ("LIMIT: int = 3", "LIMIT: int = 4"),
    ("self.left = 0.0", "self.left = 1.0"),
    ('wanted: "list[1]" = 2)', 'wanted: "list[1]" = 0)'),
    ('wanted: "list[1]" = 2)', 'wanted: "list[1]" = 3)'),
    ("if self.left < wanted and now:", "if (not (self.left < wanted and now)):"),
    ("if self.left < wanted and now:", "if (self.left < wanted or now):"),
    ("if self.left < wanted and now:", "if (self.left <= wanted) and now:"),
    ('self.reset("at 1" + "é")', "pass"),
    ("self.left -= wanted", "pass"),
    ("self.left -= wanted", "self.left += wanted"),
    ("return min(now, self.left)", "return max(now, self.left)"),
    ("return min(now, self.left)", "return (-min(now, self.left))"),
]


def test_every_rule_breaks_its_place_and_nothing_else() -> None:
    """Texts, names of exports, annotations and `__repr__` are left alone."""
    found = [mutant.apply(SOURCE) for mutant in mutants(SOURCE)]
    assert sorted(found) == sorted(SOURCE.replace(before, after) for before, after in MUTATED)


@pytest.mark.parametrize(
    ("line", "others"),
    [
        ("a = b is None", ["a = (b is not None)"]),
        ("a = b in c", ["a = (b not in c)"]),
        ("a = 2.5", ["a = 2.75", "a = 5.0"]),
        ("a = 1", ["a = 0", "a = 2"]),
        ("a = b // c", ["a = (b * c)"]),
        ("a = 'x' + b", []),
        ("a = b if not c else d", ["a = b if c else d"]),
        ("a = b if c is None else d", ["a = b if (c is not None) else d"]),
        ("a = b <= c < d", ["a = (b < c < d)", "a = (b <= c <= d)"]),
        ("a = [b for b in c if b]", ["a = [b for b in c if (not b)]"]),
        ("a = (\n    b +\n    c\n)", ["a = (\n    (b - c)\n)"]),
        ("def a() -> bool:\n    return True", ["def a() -> bool:\n    return False"]),
        ("def a() -> int:\n    return 0", ["def a() -> int:\n    return 1"]),
        ("def a() -> B:\n    return b", ["def a() -> B:\n    return None"]),
        ("def a(b):\n    b = c", ["def a(b):\n    pass"]),
        ("def a():\n    b = c", []),
        ("def a(b):\n    b.c = d", ["def a(b):\n    pass"]),
        ("@overload\ndef a(b=1): ...", []),
        ("if TYPE_CHECKING:\n    a = 1", []),
    ],
)
def test_a_place_has_these_mutants(line: str, others: list[str]) -> None:
    """Each is another program that can be read."""
    found = [mutant.apply(line) for mutant in mutants(line)]
    assert sorted(found) == others
    for other in found:
        ast.parse(other)


def test_a_mutant_is_shown_with_its_place() -> None:
    """Path, line, and the line before and after."""
    [mutant] = mutants("\nb = (a  <\n  c)\n", "_core/x.py")
    assert str(mutant) == "_core/x.py:2: b = (a < c) -> b = ((a <= c))"


def test_tests_that_import_the_module_come_first() -> None:
    """Then those named after it, then those of who imports it, and else all."""
    modules = {
        "kallglot_async/_core/a.py": "from kallglot_async._core import (\n    b,\n)",
        "kallglot_async/_core/b.py": "import kallglot_async._core.c",
        "kallglot_async/_core/c.py": "",
        "kallglot_async/_core/d.py": "",
    }
    tests = {
        "tests/core/test_first.py": "from kallglot_async._core.a import Name",
        "tests/core/test_d.py": "",
        "tests/core/test_other.py": "",
    }
    chosen = {path[-4]: trial.near(path, modules, tests) for path in modules}
    assert chosen["a"] == ["tests/core/test_first.py"]
    assert chosen["b"] == chosen["c"] == ["tests/core/test_first.py"]
    assert chosen["d"] == ["tests/core/test_d.py"]
    assert trial.near("kallglot_async/_core/e.py", modules, tests) == list(tests)


def test_then_come_the_others_of_its_folder() -> None:
    """A rule is often shown by what asks it."""
    tests = ["tests/core/api/test_a.py", "tests/core/limit/test_b.py", "tests/core/limit/test_c.py"]
    assert trial.beside("kallglot_async/_core/limit/c.py", tests) == tests[1:]


@pytest.mark.slow
def test_the_default_tests_are_those_of_the_decisions() -> None:
    """Each module has its own among them."""
    tests = trial.texts(trial.TESTS, "test_*.py")
    for module, text in trial.texts(["kallglot_async/_core"], "*.py").items():
        named = f"test_{Path(module).name}"
        assert "def " not in text or named in {Path(path).name for path in tests}, module


@pytest.mark.slow
def test_a_mutant_is_killed_by_a_test_that_fails_or_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the copy is changed, and it is mended for the next mutant."""
    root, module = tmp_path / "root", "kallglot_async/_core.py"
    (root / "kallglot_async").mkdir(parents=True)
    (root / "pyproject.toml").write_text("[tool.pytest.ini_options]\n")
    (root / "kallglot_async/__init__.py").write_text("")
    source = "def ends(n, step=1, *, unseen=5):\n    while n > 0:\n        n -= step\n    return n\n"
    (root / module).write_text(source)
    (root / "test_core.py").write_text(
        "from kallglot_async._core import ends\n\ndef test_it():\n    assert ends(2) == 0\n"
    )
    monkeypatch.setattr(trial, "ROOT", root)
    monkeypatch.setattr(trial, "PYTEST", (*trial.PYTEST, "-p", "no:kallglot_async"))  # it has no plugin
    tests = trial.texts(["."], "test_*.py")
    run = trial.Trial([trial.Copy(tmp_path / "copy")], {module: source}, tests)
    assert run.warm_up() >= trial.LEAST_LIMIT
    by_line = {mutant.mutated: mutant for mutant in mutants(source, module)}
    assert not run.survives(by_line["while (n >= 0):"])
    assert run.survives(by_line["def ends(n, step=1, *, unseen=6):"])
    run.limit = 2.0
    assert not run.survives(by_line["pass"]), "it does not end"
    assert (root / module).read_text() == (tmp_path / "copy" / module).read_text() == source
