"""README and pages are true: their python blocks run as a reader would copy them, their links lead somewhere."""

import ast
import asyncio
import html.parser
import inspect
import re
import shlex
import subprocess
import sys
import threading
import tomllib
from importlib import import_module
from pathlib import Path

import pytest
from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser

import kallglot_async
from kallglot_async import KallglotClient, errors, models
from kallglot_async.cli.app import app
from kallglot_async.cli.run import with_dashes
from kallglot_async.emulator import Emulator, Latency
from kallglot_async.models import events

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
KEY = "sk_test_emulator"
SITE = "https://github.com/kallglot/kallglot-async"
PUBLIC = [
    "",
    ".errors",
    ".models",
    ".webhooks",
    ".receivers",
    ".telemetry",
    ".shared",
    ".emulator",
    ".pytest_plugin",
    ".report",
    ".tables",
]


def name_of(page):
    return str(page.relative_to(ROOT))


def blocks():
    sybil = Sybil(parsers=[PythonCodeBlockParser()], patterns=["**/*.md"], path=str(ROOT))
    for page in PAGES:
        for block in sybil.parse(page).examples():
            yield pytest.param(str(block.parsed), block, id=f"{name_of(page)} line {block.line}")


BLOCKS = list(blocks())
HAS_TESTS = "def test_"


@pytest.fixture
def server(monkeypatch):
    """An emulator in a thread of its own, named by the environment, so that a block may call asyncio.run."""
    ready, done = threading.Event(), threading.Event()
    running = []

    async def serve():
        async with Emulator(plan="unlimited", latency=Latency.immediate(), adopt_unknown=True, api_key=KEY) as emulator:
            running.append(emulator)
            ready.set()
            await asyncio.to_thread(done.wait)

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    assert ready.wait(10)
    monkeypatch.setenv("KALLGLOT_API_KEY", KEY)
    monkeypatch.setenv("KALLGLOT_BASE_URL", running[0].base_url)
    yield running[0]
    done.set()
    thread.join(10)


@pytest.mark.untraced
@pytest.mark.parametrize(("source", "block"), [case for case in BLOCKS if HAS_TESTS not in case.values[0]])
def test_a_python_block_runs(source, block, server, tmp_path, monkeypatch):
    """As a reader would copy it."""
    monkeypatch.chdir(tmp_path)
    block.evaluate()
    has_server = "Emulator(" in source
    assert has_server or "asyncio.run" not in source or len(server.journal) > 0


@pytest.mark.slow
def test_the_blocks_that_are_tests_pass(tmp_path):
    """Run by pytest, with the fixtures that the package brings and the settings that the page says."""
    sources = [case.values[0] for case in BLOCKS if HAS_TESTS in case.values[0]]
    for number, source in enumerate(sources):
        (tmp_path / f"test_block_{number}.py").write_text(source)
    [settings] = re.findall(r"```toml\n(.*?)```", (DOCS / "how-to" / "testing.md").read_text(), re.DOTALL)
    (tmp_path / "pyproject.toml").write_text(settings)
    assert [line for line in settings.splitlines()[1:] if line not in (ROOT / "README.md").read_text()] == []
    command = [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", str(tmp_path)]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert f"{sum(source.count(HAS_TESTS) for source in sources)} passed" in result.stdout


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("checker", ["mypy", "basedpyright"])
def test_strict_type_checkers_accept_every_python_block_and_recipe(checker, tmp_path):
    """Whoever copies one into a strict project has nothing to add. (arq is not installed here.)"""
    for recipe in (ROOT / "tests" / "recipes").glob("*.py"):
        if not {"arq", "test"} & set(recipe.stem.split("_")):
            (tmp_path / recipe.name).write_text(recipe.read_text())
    for number, case in enumerate(BLOCKS):
        place = "".join(char if char.isalnum() else "_" for char in case.id)
        (tmp_path / f"b{number}_{place}.py").write_text(case.values[0])
    settings = tmp_path / "pyrightconfig.json"
    settings.write_text('{"typeCheckingMode": "strict", "reportUnusedCallResult": "none", "include": ["."]}')
    command = {
        "mypy": ["-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), str(tmp_path)],
        "basedpyright": ["-m", "basedpyright", "--project", str(settings), "--pythonpath", sys.executable],
    }[checker]
    ran = subprocess.run([sys.executable, *command], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout


def calls_within_sentences():
    """Yield what pages show in a line of text and what can be called as it stands there."""
    for page in PAGES:
        for code in re.findall(r"(?<!`)`([A-Z]\w+[.(][^`]*\))`", page.read_text()):
            names = {node.id for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Name)}
            if names <= set(kallglot_async.__all__):
                yield pytest.param(code, id=f"{name_of(page)} {code}")


@pytest.mark.parametrize("code", list(calls_within_sentences()))
def test_a_call_within_a_sentence_can_be_made(code, monkeypatch, tmp_path):
    """Its arguments are such as the library takes."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KALLGLOT_API_KEY", KEY)
    eval(code, {name: getattr(kallglot_async, name) for name in kallglot_async.__all__})  # noqa: S307  # our own pages


def command_lines():
    """Yield every whole `kallglot` command of the pages: of their shell blocks, and of their sentences."""
    for page in PAGES:
        text = page.read_text().replace("\\\n", " ")
        shell = "\n".join(re.findall(r"```sh\n(.*?)```", text, re.DOTALL))
        lines = re.findall(r"(?:^|/| )kallglot (.*)$", shell, re.MULTILINE)
        for line in [*lines, *re.findall(r"`kallglot (\w+ [^`]*)`", text)]:
            words = shlex.split(line.partition(">")[0], comments=True)
            yield pytest.param(words, id=f"{name_of(page)} {' '.join(words)}")


@pytest.mark.parametrize("words", [*command_lines()])
def test_a_command_is_understood(words):
    """The command line has it, with those options and arguments."""
    if set(words) & {"KIND", "DIR"}:
        words = [{"KIND": "reset", "DIR": "."}.get(word, word) for word in words]
    command, bound, _ = app.parse_args(with_dashes(words), print_error=False, exit_on_error=False)
    assert command.__module__.startswith("kallglot_async.cli")
    assert bound is not None


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_what_a_page_links_to_is_there(page):
    """Links within the pages, and those to the repository's files, which a reader of the index's page follows."""
    text = page.read_text()
    links = re.findall(r"\]\(([^)\s]+)\)", text)
    near = [link.partition("#")[0] for link in links if "://" not in link]
    assert [link for link in near if link and not (page.parent / link).exists()] == []
    far = re.findall(rf"{SITE}/(?:blob|tree)/main/([^)\s]+)", text)
    assert [path for path in far if not (ROOT / path).exists()] == []
    if page.name == "README.md":
        assert len(far) > 10
        assert near == [], "the package index resolves no relative links"


def test_the_addresses_of_the_project_are_those_of_its_pages():
    """What the index shows beside the package leads to files that are there."""
    urls = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]
    assert urls["Source"] == SITE
    paths = [url.removeprefix(f"{SITE}/blob/main/") for url in urls.values() if "/blob/" in url]
    assert len(paths) == 2
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_the_tests_that_the_security_page_names_are_there():
    """Each promise is held by a test that exists."""
    tests = {path.name for path in (ROOT / "tests").rglob("*.py")}
    named = set(re.findall(r"`((?:test|fuzz)_\w+\.py)`", (DOCS / "SECURITY.md").read_text()))
    assert len(named) > 5
    assert named <= tests


def test_the_table_of_errors_has_every_error():
    """Whatever can be raised has a row that says what to do; classes that only gather others need none."""
    table = (DOCS / "how-to" / "errors.md").read_text()
    raised = [name for name in errors.__all__ if not getattr(errors, name).__subclasses__()]
    assert [name for name in raised if f"`{name}`" not in table] == []


CALLS = [
    thing
    for kind in (KallglotClient, KallglotClient.analyses, KallglotClient.sessions, KallglotClient.recordings)
    for thing in (kind, *(getattr(kind, name) for name in dir(kind) if not name.startswith("_")))
    if inspect.isfunction(thing) or thing is KallglotClient
]


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.__qualname__)
def test_every_argument_of_a_clients_calls_is_explained(call):
    """Also those of a constructor that is written elsewhere than its documentation, where no linter looks."""
    arguments = [name for name in inspect.signature(call).parameters if name not in {"self", "cls"}]
    words = inspect.getdoc(call)
    assert [name for name in arguments if not re.search(rf"(?m)^ +{name}: |`{name}`", words)] == []


def test_every_record_is_public_and_on_its_page():
    """Whoever compares kinds of records has all of them by one import, and finds their names."""
    page = (DOCS / "how-to" / "observing.md").read_text()
    assert set(events.__all__) <= set(models.__all__)
    assert [name for name in events.__all__ if name not in page] == []


def is_a_number(value):
    """Whether it is written in figures alone."""
    allowed = (ast.Constant, ast.Tuple, ast.BinOp, ast.UnaryOp, ast.operator, ast.unaryop, ast.expr_context)
    return all(
        isinstance(node, allowed) and not isinstance(getattr(node, "value", 0), str | None) for node in ast.walk(value)
    )


@pytest.mark.parametrize("room", ["limit", "polling"])
def test_every_constant_stands_among_the_rules_with_its_reason(room):
    """What no rule, measurement or bound asks for has no place in a decision."""
    rules = import_module(f"kallglot_async._core.{room}")
    constants = [
        name.id
        for path in sorted(Path(rules.__file__).parent.glob("*.py"))
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.Assign) and is_a_number(node.value)
        for name in ast.walk(node.targets[0])
        if isinstance(name, ast.Name)
    ]
    assert len(constants) > 30
    assert [name for name in constants if not re.search(rf"(?<!\w){name}(?!\w)", rules.__doc__)] == []


def test_the_readme_is_short_and_has_its_two_commands():
    """The demo and the tests, each with all its set-up, as a newcomer copies them; ten minutes of reading."""
    text = (ROOT / "README.md").read_text()
    assert "python3 -m venv .venv && .venv/bin/pip install -q '.[cli]' && .venv/bin/kallglot demo" in text
    assert "python3 -m venv .venv && .venv/bin/pip install -q -e '.[dev]' && .venv/bin/python -m pytest" in text
    assert len(text.splitlines()) <= 220


def test_the_map_for_machines_is_true():
    """`llms.txt` has every page under its own title, and names only calls that there are."""
    text = (DOCS / "llms.txt").read_text()
    listed = dict(re.findall(rf"^- \[(.*)\]\({SITE}/blob/main/docs/(.*)\): .+", text, re.MULTILINE))
    pages = {page for page in DOCS.rglob("*.md") if page.name != "index.md"}
    titles = {path: re.search(r"^# (.*)$", (DOCS / path).read_text(), re.MULTILINE) for path in listed.values()}
    assert {DOCS / path for path in listed.values()} == pages
    assert [title for title, path in listed.items() if (found := titles[path]) and found[1] != title] == []
    calls = re.findall(r"client\.(?:(\w+)\.)?(\w+)\(", text)
    assert len(calls) > 5
    client = KallglotClient(KEY)
    for resource, call in calls:
        assert callable(getattr(getattr(client, resource) if resource else client, call))


class Loaded(html.parser.HTMLParser):
    """What a browser would load for a page, beside it."""

    def __init__(self, text):
        super().__init__()
        self.urls = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        named = dict(attrs)
        if tag in {"script", "img", "iframe", "source", "video", "audio", "embed"}:
            self.urls.append(named.get("src") or "")
        if tag == "link" and named.get("rel") not in {"index", "search", "next", "prev", "canonical"}:
            self.urls.append(named.get("href") or "")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The pages, built with every warning an error."""
    out = tmp_path_factory.mktemp("site")
    command = ["-m", "sphinx", "-q", "-W", "--keep-going", "-n", "-d", f"{out}.doctrees", str(DOCS), str(out)]
    built = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False)
    assert (built.returncode, built.stderr) == (0, "")
    return out


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_public_name_is_in_the_reference(site):
    """All that a public module exports, where a reader would look for it."""
    inventory = import_module("sphinx.util.inventory").InventoryFile.loads((site / "objects.inv").read_bytes(), uri="")
    there = {item for kind, items in inventory.data.items() if kind.startswith("py:") for item in items}
    missing = set()
    for module in PUBLIC:
        names = import_module(f"kallglot_async{module}").__all__
        # What the package lends from a room of its own is documented there.
        missing |= {
            f"kallglot_async{module}.{name}"
            for name in names
            if not {f"kallglot_async{home}.{name}" for home in ({module} if module else PUBLIC)} & there
        }
    assert missing == set()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_nothing_is_loaded_from_elsewhere(site):
    """No font, script, style or picture of another host, in a page or in its styles."""
    pages = list(site.rglob("*.html"))
    assert len(pages) > 20
    for page in pages:
        assert [url for url in Loaded(page.read_text()).urls if re.match(r"(\w+:)?//", url)] == []
    for style in site.rglob("*.css"):
        assert re.findall(r"(?:url\(|@import)\s*['\"]?(?:https?:)?//", style.read_text()) == []


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_map_for_machines_is_beside_the_pages(site):
    """Where those who look for it expect it."""
    assert (site / "llms.txt").read_bytes() == (DOCS / "llms.txt").read_bytes()
