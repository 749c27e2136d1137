"""The house as the package's docstring draws it: each layer imports from its own or a lower one only."""

import ast
import functools
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

import kallglot_async
from kallglot_async import errors

PACKAGE = Path(kallglot_async.__file__).parent
ROOT = PACKAGE.parent
FILES = sorted(PACKAGE.rglob("*.py"))

# Every module or folder of the package and its layer, as in the docstring of `kallglot_async`.
LAYERS = {
    "_version": 0,
    "errors": 0,
    "models": 0,
    "_checks": 0,
    "_config": 0,
    "_core": 1,
    "webhooks": 1,
    "_clock": 2,
    "_deadlines": 2,
    "_observer": 2,
    "_batch": 2,
    "_pool": 2,
    "_stream": 2,
    "_translation": 2,
    "_files": 2,
    "_limiter": 2,
    "_inbox": 2,
    "_pipeline": 3,
    "_download": 3,
    "resources": 4,
    "receivers": 4,
    "telemetry": 4,
    "_wait_hub": 4,
    "_poller": 4,
    "_waiting": 4,
    "_analyzing": 4,
    "emulator": 4,
    "_composition": 5,
    "_client": 5,
    "_client_calls": 5,
    "cli": 6,
    "pytest_plugin": 6,
    "__init__": 6,
    "__main__": 6,
}
# Clock, randomness, event loop, logging, transport, the process's surroundings: a decision knows none of them.
IMPURE = {
    "aiohttp", "anyio", "asyncio", "concurrent", "contextvars", "logging", "multiprocessing", "os", "random", "secrets",
    "signal", "socket", "ssl", "subprocess", "sys", "threading", "time", "uuid", "uvloop", "warnings", "yarl",
}  # fmt: skip
PORTS = {"aiohttp", "yarl", "ssl", "socket"}  # who may speak to the network


def home(name):
    """Return the top-level module or folder that a dotted module name of the package belongs to."""
    parts = name.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def module_name(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@functools.cache
def parsed(path):
    return ast.parse(path.read_text())


def is_for_types_only(node):
    return isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def imports(path, *, with_types=True):
    """Yield the full name of everything that a module imports, at its top or inside of functions."""
    waiting = [parsed(path)]
    package = module_name(path) if path.name == "__init__.py" else module_name(path).rpartition(".")[0]
    while waiting:
        node = waiting.pop()
        if is_for_types_only(node) and not with_types:
            waiting.extend(node.orelse)
            continue
        waiting.extend(ast.iter_child_nodes(node))
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            origin = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                yield f"{origin}.{alias.name}"


def own_imports(path):
    """Yield the modules of the package that a module imports, without those of a submodule's own names."""
    for name in imports(path, with_types=False):
        if name.split(".")[0] != "kallglot_async":
            continue
        parts = name.split(".")
        while len(parts) > 1 and not (
            ROOT.joinpath(*parts).is_dir() or ROOT.joinpath(*parts).with_suffix(".py").is_file()
        ):
            parts.pop()
        yield ".".join(parts)


def relative(path):
    return str(path.relative_to(PACKAGE))


def in_layer(*layers):
    return [path for path in FILES if LAYERS.get(home(module_name(path))) in layers]


def test_every_module_has_a_layer():
    """A new module is given its place in the house before it is written."""
    assert {home(module_name(path)) for path in FILES} <= set(LAYERS)


def test_package_docstring_shows_every_module():
    """The picture in the package's docstring and the files agree; only the version has no place in it."""
    present = {home(module_name(path)) for path in FILES} - {"__init__", "__main__", "_version"}
    core = {path.stem for path in FILES if path.parent.name == "_core"} - {"__init__"}
    layers = re.split(r"\n    L\d ", kallglot_async.__doc__)
    assert len(layers) == 8
    for name in present:
        drawn = [number for number, text in enumerate(layers, start=-1) if re.search(rf"\b{name}\b", text)]
        assert drawn == [LAYERS[name]], name
    assert {name for name in core if not re.search(rf"\b{name}\b", layers[2])} == set()


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_imports_go_downwards(path):
    """A module imports from its own layer or a lower one, also inside of functions."""
    mine = LAYERS[home(module_name(path))]
    upwards = {name for name in own_imports(path) if LAYERS[home(name)] > mine}
    assert upwards == set()


@pytest.mark.parametrize("path", in_layer(0, 1), ids=relative)
def test_values_and_decisions_are_pure(path):
    """No clock, randomness, event loop, logging, transport or environment in L0 and L1: everything is an argument."""
    assert {name for name in imports(path) if name.split(".")[0] in IMPURE} == set()


@pytest.mark.parametrize("path", in_layer(0, 1), ids=relative)
def test_values_and_decisions_ask_no_clock(path):
    """`datetime` is there to read a moment, never to ask for the present one."""
    tree = parsed(path)
    asked = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    assert asked & {"now", "utcnow", "today"} == set()


@pytest.mark.parametrize("path", in_layer(0, 1), ids=relative)
def test_values_and_decisions_never_await(path):
    """A machine says when it wants to be asked again; it neither sleeps nor does I/O."""
    tree = parsed(path)
    waiting = (ast.AsyncFunctionDef, ast.Await, ast.AsyncFor, ast.AsyncWith)
    assert [ast.unparse(node)[:80] for node in ast.walk(tree) if isinstance(node, waiting)] == []
    called = {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    assert called & {"open", "print", "input", "exec", "eval", "__import__"} == set()


@pytest.mark.parametrize("path", [path for path in FILES if home(module_name(path)) != "emulator"], ids=relative)
def test_only_the_pool_and_the_client_know_the_transport(path):
    """aiohttp is one module's business; the client's constructor names its session type, and servers answer."""
    known = {name.split(".")[0] for name in imports(path, with_types=False)} & PORTS
    assert known <= {
        "_pool": PORTS,
        "_stream": {"aiohttp", "yarl"},
        "_translation": {"aiohttp", "yarl", "ssl"},
        "_client": {"aiohttp"},
        "_composition": {"aiohttp"},
        "receivers": {"aiohttp"},
    }.get(home(module_name(path)), set())


@pytest.mark.parametrize("path", [path for path in FILES if home(module_name(path)) == "emulator"], ids=relative)
def test_emulator_cannot_share_the_clients_mistakes(path):
    """The emulator imports nothing of the client, not even for types: it is written from the contract."""
    own = {name for name in imports(path) if name.split(".")[0] == "kallglot_async"}
    assert {name for name in own if not name.startswith("kallglot_async.emulator.")} == set()


@pytest.mark.parametrize("path", [path for path in FILES if home(module_name(path)) == "cli"], ids=relative)
def test_command_line_uses_the_public_face_only(path):
    """What the command line can do, a user of the library can do."""
    public = {f"kallglot_async.{name}" for name in kallglot_async.__all__} | {"kallglot_async._version.__version__"}
    own = {name for name in imports(path) if name.split(".")[0] == "kallglot_async"}
    allowed = ("cli", "emulator", "models", "errors", "webhooks")
    assert {name for name in own - public if home(name) not in allowed} == set()


@pytest.mark.parametrize(
    "path", [path for path in FILES if home(module_name(path)) not in ("_client", "cli")], ids=relative
)
def test_library_does_not_read_the_environment(path):
    """`KALLGLOT_*` is read in one place, the client's constructor."""
    tree = parsed(path)
    read = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)} & {"environ", "getenv"}
    assert read == set()


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_module_can_be_read_in_one_go(path):
    """No module has more than 400 lines."""
    assert len(path.read_text().splitlines()) <= 400


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_class_can_be_held_in_mind(path):
    """No class has more than 15 public methods."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.ClassDef):
            methods = {part.name for part in node.body if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef)}
            assert len({name for name in methods if not name.startswith("_")}) <= 15, node.name


class TestFace:
    def test_every_name_resolves(self):
        """Each public name is what its module defines, and is in `dir()`."""
        for name in kallglot_async.__all__:
            assert getattr(kallglot_async, name) is not None
        assert set(kallglot_async.__all__) <= set(dir(kallglot_async))

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
        assert set(origins) == set(kallglot_async.__all__) - {"__version__"}
        for name, module in origins.items():
            assert getattr(kallglot_async, name) is getattr(importlib.import_module(module), name)

    def test_unknown_name_is_an_attribute_error(self):
        """A misspelt name, or a private one, fails as in any module, also where it looks like an error."""
        for name in ("Klient", "NoSuchError", "resolve_config"):
            with pytest.raises(AttributeError, match=name):
                getattr(kallglot_async, name)

    @pytest.mark.parametrize(
        "statement",
        [
            "import kallglot_async",
            "from kallglot_async import Analysis, RateLimit, KallglotError, WaitTimeoutError, __version__",
            "import kallglot_async.errors, kallglot_async.models, kallglot_async.webhooks",
            "from kallglot_async import WebhookInbox; import kallglot_async.receivers",
            "import kallglot_async._core.messages, kallglot_async._core.retry, kallglot_async._config",
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
