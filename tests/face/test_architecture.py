"""The house as the package's docstring draws it: each room imports from its own floor or a lower one only."""

import ast
import functools
import importlib
import re
import subprocess
import sys
import tokenize
from pathlib import Path

import pytest

import kallglot_async
from kallglot_async import errors

PACKAGE = Path(kallglot_async.__file__).parent
ROOT = PACKAGE.parent
FILES = sorted(PACKAGE.rglob("*.py"))
BESIDE = -1  # the emulator stands on no floor


def drawn():
    """Read the picture: every room's floor, by name; a folder's name ends with a slash there."""
    floors, floor = {}, BESIDE
    for line in kallglot_async.__doc__.split("\n\n")[2].splitlines():
        if match := re.match(r"    (?:(\d)|beside) ", line):
            floor = int(match[1]) if match[1] else BESIDE
            line = line[match.end() :].partition(" ")[2]
        for name in re.findall(r"[a-z_]+(?:/[a-z_]+)*/?", line.partition(": ")[0] if ": " in line else ""):
            floors[name.rstrip("/").replace("/", ".")] = floor
    return floors


FLOORS = drawn()
# Clock, randomness, event loop, logging, transport, the process's surroundings: a decision knows none of them.
IMPURE = {
    "aiohttp", "anyio", "asyncio", "concurrent", "contextvars", "logging", "multiprocessing", "os", "random", "secrets",
    "signal", "socket", "ssl", "subprocess", "sys", "threading", "time", "uuid", "uvloop", "warnings", "yarl",
}  # fmt: skip
# What a value offers of a higher floor: a method of it imports the room when it is called, and not before.
DOORS = {
    "kallglot_async.models.outcome": {"report", "tables"},
    "kallglot_async.models.records": {"_whole_file"},
    "kallglot_async._durable.export": {"report", "tables"},
}
CROSSING = {  # what one room gives to another
    f"kallglot_async._core.limit.{name}"
    for name in ("ticket.Supply", "retry.RetryBudget", "retry.RetryPolicy", "retry.STRANGER")
}
MOST_LINES = 300
TESTS = ROOT / "tests"
# A module whose tests are not in a file of its name, and the file that has them.
ELSEWHERE = {
    "__init__.py": "face/test_architecture.py",
    "models/__init__.py": "face/test_architecture.py",
    "resources/__init__.py": "face/test_architecture.py",
    "models/report.py": "face/models/test_results.py",  # what both revisions find is shown by one rule
    "cli/batch_commands.py": "face/cli/test_durable.py",  # each command is tested by what it does
}
# Tests of no module alone, in a room's folder; and the folders in which no test is of one.
ACROSS = {
    "face/test_architecture.py", "face/test_benchmarks_mutants.py", "face/test_benchmarks_smoke.py",
    "face/test_benchmarks_trips.py", "face/test_documentation.py", "face/test_frameworks.py", "face/test_recipes.py",
    "face/test_types.py", "shared/test_shares.py", "wire/test_request_shape.py",
}  # fmt: skip
OF_THE_WHOLE = {"faults", "promises", "recipes", "support"}
PORTS = {"aiohttp", "yarl", "ssl", "socket"}  # who may speak to the network


def home(name):
    """Return the room of the picture that a dotted module name of the package belongs to."""
    parts = name.split(".")[1:]
    return next((room for n in (2, 1) if (room := ".".join(parts[:n])) in FLOORS), parts[0] if parts else "__init__")


def module_name(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@pytest.fixture(scope="module", autouse=True)
def trees():
    """Drop the syntax trees behind the last test: each later look for garbage would pass their 200,000 nodes."""
    yield
    parsed.cache_clear()
    nodes.cache_clear()


@functools.cache
def parsed(path):
    return ast.parse(path.read_text())


@functools.cache
def nodes(path):
    return tuple(ast.walk(parsed(path)))


def attributes(path):
    """Return every name that a module takes of something: `x.now` is `now`."""
    return {node.attr for node in nodes(path) if isinstance(node, ast.Attribute)}


def is_for_types_only(node):
    return isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


@functools.cache
def imports(path, *, with_types=True):
    """Return the full name of everything that a module imports, at its top or inside of functions."""
    found, waiting = [], [parsed(path)]
    package = module_name(path) if path.name == "__init__.py" else module_name(path).rpartition(".")[0]
    while waiting:
        node = waiting.pop()
        if is_for_types_only(node) and not with_types:
            waiting.extend(node.orelse)
            continue
        waiting.extend(ast.iter_child_nodes(node))
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            origin = ".".join([*above, *([node.module] if node.module else [])])
            found += [f"{origin}.{alias.name}" for alias in node.names]
    return tuple(found)


def annotations(path):
    """Return the names in everything that a module says of types of arguments, results and variables."""
    said = [getattr(node, part, None) for node in nodes(path) for part in ("annotation", "returns")]
    return [name for node in said if node is not None for name in ast.walk(node) if isinstance(name, ast.Name)]


@functools.cache
def own_imports(path):
    """Return the modules of the package that a module imports, without those of a submodule's own names."""
    found = []
    for name in imports(path, with_types=False):
        if name.split(".")[0] != "kallglot_async" or name == "kallglot_async":
            continue
        parts = name.split(".")
        while len(parts) > 1 and not (
            ROOT.joinpath(*parts).is_dir() or ROOT.joinpath(*parts).with_suffix(".py").is_file()
        ):
            parts.pop()
        found.append(".".join(parts))
    return tuple(found)


def relative(path):
    return str(path.relative_to(PACKAGE))


def on_floor(*floors):
    return [path for path in FILES if FLOORS.get(home(module_name(path))) in floors]


def inside(*rooms):
    return [path for path in FILES if home(module_name(path)) in rooms]


def outside(*rooms):
    return [path for path in FILES if home(module_name(path)) not in rooms]


def code_lines(path):
    """Return how many lines of a module are code: not blank, no comment, no docstring."""
    documented = set()
    for node in nodes(path):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and ast.get_docstring(
            node
        ):
            documented.update(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    layout = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    with tokenize.open(path) as text:
        tokens = [token for token in tokenize.generate_tokens(text.readline) if token.type not in layout]
    return len({n for token in tokens for n in range(token.start[0], token.end[0] + 1)} - documented)


def test_the_picture_and_the_tree_are_one():
    """Every module and folder has its place in the picture, and nothing is drawn that is not there."""
    rooms = {home(module_name(path)) for path in FILES} - {"_core"}
    assert rooms == set(FLOORS)


def test_imports_go_downwards():
    """A module imports from its own floor or a lower one, also inside of functions."""
    for path in FILES:
        room, doors = home(module_name(path)), DOORS.get(module_name(path), set())
        if room != "_core":  # that folder holds rooms, and says so
            assert {home(name) for name in own_imports(path) if FLOORS[home(name)] > FLOORS[room]} == doors, path


def test_the_package_itself_is_named_in_annotations_only():
    """By it a room says a type of a higher floor, `kallglot_async.Analysis`, loaded for those who read hints."""
    for path in FILES:
        used = {name for name in nodes(path) if isinstance(name, ast.Name) and name.id == "kallglot_async"}
        assert used <= set(annotations(path)), path


@pytest.mark.parametrize("name", DOORS)
def test_a_value_loads_no_higher_floor(name):
    """What a method of a value imports of a higher floor is not there before it is called."""
    code = f"import {name}, sys; print([name for name in sys.modules if name.startswith('kallglot_async')])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {home(loaded) for loaded in ast.literal_eval(ran.stdout)} & DOORS[name] == set()


def test_a_limit_and_a_poll_know_nothing_of_each_other():
    """When a request may go and which id is worth it are two decisions; what goes over the wire knows neither.

    Two things cross: `Supply`, what the limit gives and the polls count on, and what failed polls and failed calls
    share: the retry budget, the policy that spends it, and for how long a stranger is believed.
    """
    for path in FILES:
        others = {
            "_core.limit": {"_core.polling"},
            "_core.polling": {"_core.limit"},
            "_core.api": {"_core.limit", "_core.polling"},
        }.get(home(module_name(path)), set())
        crossing = {name for name in imports(path) if home(name) in others}
        assert crossing <= (CROSSING if home(module_name(path)) == "_core.polling" else set()), path


def test_values_and_decisions_are_pure():
    """No clock, randomness, event loop, logging, transport or environment on the lower two floors."""
    for path in on_floor(0, 1):
        impure = {name for name in imports(path) if name.split(".")[0] in IMPURE}
        assert impure <= {"os.PathLike"}, path  # a type, of what is called a path


def test_values_and_decisions_ask_no_clock():
    """`datetime` is there to read a moment, never to ask for the present one."""
    for path in on_floor(0, 1):
        assert attributes(path) & {"now", "utcnow", "today"} == set(), path


def test_values_and_decisions_never_await():
    """A machine says when it wants to be asked again; it neither sleeps nor does I/O."""
    waiting = (ast.AsyncFunctionDef, ast.Await, ast.AsyncFor, ast.AsyncWith)
    for path in on_floor(0, 1):
        assert [ast.unparse(node)[:80] for node in nodes(path) if isinstance(node, waiting)] == [], path
        calls = [node.func for node in nodes(path) if isinstance(node, ast.Call)]
        called = {function.id for function in calls if isinstance(function, ast.Name)}
        assert called & {"open", "print", "input", "exec", "eval", "__import__"} == set(), path


def test_only_the_wire_knows_the_transport():
    """aiohttp is one room's business; the client's constructor names its session type, and servers answer."""
    allowed = {"_wire": PORTS, "_client": {"aiohttp"}, "_base_client": {"aiohttp"}, "receivers": {"aiohttp"}}
    for path in outside("emulator"):
        known = {name.split(".")[0] for name in imports(path, with_types=False)} & PORTS
        assert known <= allowed.get(home(module_name(path)), set()), path


def test_emulator_cannot_share_the_clients_mistakes():
    """The emulator imports nothing of the client, not even for types: it is written from the contract."""
    for path in inside("emulator"):
        own = {name for name in imports(path) if name.split(".")[0] == "kallglot_async"}
        assert {name for name in own if not name.startswith("kallglot_async.emulator.")} == set(), path


def test_command_line_uses_the_public_face_only():
    """What the command line can do, a user of the library can do."""
    public = {f"kallglot_async.{name}" for name in kallglot_async.__all__} | {"kallglot_async._version.__version__"}
    allowed = ("cli", "emulator", "models", "errors", "report", "shared", "tables", "webhooks")
    for path in inside("cli"):
        own = {name for name in imports(path) if name.split(".")[0] == "kallglot_async"}
        assert {name for name in own - public if home(name) not in allowed} == set(), path


def test_library_does_not_read_the_environment():
    """`KALLGLOT_*` is read in one place, the client's constructor."""
    for path in outside("_base_client", "cli"):
        assert attributes(path) & {"environ", "getenv"} == set(), path


def test_module_can_be_read_in_one_go():
    """No module has more than 300 lines of code; comments and docstrings are free."""
    long = [path for path in FILES if path.read_text().count("\n") > MOST_LINES]
    assert {relative(path): count for path in long if (count := code_lines(path)) > MOST_LINES} == {}


def place_of_tests(path):
    """Return where the tests of a module are: in `tests/<room>/`, or below `tests/face/` if there is no such folder.

    Names are without the underscores at their ends, and `__init__` is `package`.
    """
    *folders, _ = (part.lstrip("_") for part in path.relative_to(PACKAGE).parts)
    name = "package" if path.stem == "__init__" else path.stem.strip("_")
    has_folder = folders and (TESTS / folders[0]).is_dir()
    return (TESTS if has_folder else TESTS / "face").joinpath(*folders, f"test_{name}.py")


def test_a_module_has_its_tests_where_its_name_says():
    """Whoever has opened a module knows where its tests are; one that defines no function needs none."""
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    defining = [path for path in FILES if any(isinstance(node, functions) for node in nodes(path))]
    assert {relative(path) for path in defining if not place_of_tests(path).is_file()} == set(ELSEWHERE)
    assert {file for file in ELSEWHERE.values() if not (TESTS / file).is_file()} == set()


def test_a_file_of_tests_is_named_after_a_module_that_is_there():
    """As `test_<module>.py`, or `test_<module>_<what of it>.py` beside that, or it is known to be of none alone."""
    modules = {str(place_of_tests(path).with_suffix("")) for path in FILES}
    files = {file.relative_to(TESTS).as_posix(): str(file.with_suffix("")) for file in TESTS.rglob("test_*.py")}
    strays = {
        file
        for file, name in files.items()
        if file.partition("/")[0] not in OF_THE_WHOLE
        and name not in modules
        and not any(name.startswith(f"{module}_") for module in modules)
    }
    assert strays == ACROSS


def test_what_is_said_of_files_of_tests_is_true():
    """Those that pages, scripts and docstrings name are there; so are those that the coverage leaves out."""
    told = [ROOT / "README.md", ROOT / "pyproject.toml", *(ROOT / "docs").rglob("*.md"), *(ROOT / ".ci").iterdir()]
    named = {name for path in [*told, *FILES] for name in re.findall(r"\btests/[\w/]+\.\w+", path.read_text())}
    assert {name for name in named if not (ROOT / name).is_file()} == set()
    alone = {name for path in told for name in re.findall(r"`(test_\w+\.py)`", path.read_text())}
    assert alone - {file.name for file in TESTS.rglob("test_*.py")} == set()
    tree = ast.parse((TESTS / "conftest.py").read_text())
    [untraced] = [
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "UNTRACED"
    ]
    assert {name for name in untraced if not (TESTS / name).is_dir() and not (TESTS / f"{name}.py").is_file()} == set()


def test_class_can_be_held_in_mind():
    """No class has more than 15 public methods."""
    for path in FILES:
        for node in nodes(path):
            if isinstance(node, ast.ClassDef):
                methods = {part.name for part in node.body if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef)}
                assert len({name for name in methods if not name.startswith("_")}) <= 15, (path, node.name)


class TestFace:
    def test_every_name_resolves(self):
        """Each public name is what its module defines, and is in `dir()`."""
        for name in kallglot_async.__all__:
            assert getattr(kallglot_async, name) is not None
        for module in (kallglot_async, kallglot_async.models, kallglot_async.receivers, kallglot_async.resources):
            assert set(module.__all__) <= set(dir(module))

    def test_names_are_sorted_and_not_repeated(self):
        """`__all__` holds each name once."""
        assert len(set(kallglot_async.__all__)) == len(kallglot_async.__all__)

    def test_every_error_is_public(self):
        """Whatever the library raises can be caught by a name of its face."""
        assert set(errors.__all__) <= set(kallglot_async.__all__)
        for name in errors.__all__:
            assert getattr(kallglot_async, name) is getattr(errors, name)

    def test_type_checkers_see_the_same_names(self):
        """The names for type checkers, and where they come from, agree with those at run time."""
        tree = ast.parse((PACKAGE / "__init__.py").read_text())
        (block,) = [node for node in tree.body if is_for_types_only(node)]
        origins = {alias.name: node.module for node in block.body for alias in node.names}
        rooms = {name for name, module in origins.items() if module == "kallglot_async"}
        assert rooms == kallglot_async._ROOMS
        assert set(origins) - rooms == set(kallglot_async.__all__) - {"__version__"}
        for name, module in origins.items():
            assert getattr(kallglot_async, name) is getattr(importlib.import_module(module), name)

    def test_unknown_name_is_an_attribute_error(self):
        """A misspelt name, or a private one, fails as in any module, also where it looks like an error."""
        for name in ("Klient", "NoSuchError", "resolve_config"):
            with pytest.raises(AttributeError, match=name):
                getattr(kallglot_async, name)

    def test_public_rooms_are_there_without_an_import_of_their_own(self):
        """Type checkers take `kallglot_async.errors.NotFoundError` for one, whatever was imported."""
        code = "import kallglot_async as k; print(*(getattr(k, name).__name__ for name in k._ROOMS))"
        ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        public = {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in FILES}
        public = {name for name in public if not name.startswith("_")} - {"cli", "pytest_plugin"}
        assert set(ran.stdout.split()) == {f"kallglot_async.{name}" for name in public}

    @pytest.mark.parametrize(
        "statement",
        [
            "import kallglot_async",
            "from kallglot_async import Analysis, RateLimit, KallglotError, WaitTimeoutError, __version__",
            "import kallglot_async.errors, kallglot_async.models, kallglot_async.webhooks",
            "from kallglot_async import WebhookInbox; import kallglot_async.receivers",
            "import kallglot_async._core.api.answers, kallglot_async._core.limit.retry, kallglot_async._config",
        ],
    )
    def test_importing_values_does_not_load_the_transport(self, statement):
        """The package, its values and its decisions load without aiohttp, asyncio or anyio."""
        code = f"{statement}; import sys; print(sorted({{'aiohttp', 'anyio', 'asyncio'}} & set(sys.modules)))"
        ran = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONPATH": str(ROOT)},
        )
        assert ran.stdout.strip() == "[]"
