"""How the pages are built: Sphinx, furo, MyST; the reference from docstrings. Nothing is loaded from elsewhere."""

from __future__ import annotations

import ast
import builtins
import inspect
import io
import re
import sys
import textwrap
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any, is_typeddict

from docutils import nodes
from rich.console import Console
from sphinx import addnodes

HERE = Path(__file__).parent
PACKAGE = HERE.parent / "kallglot_async"
sys.path[:0] = [str(HERE.parent)]

import kallglot_async  # noqa: E402  # of this tree, whatever is installed
from kallglot_async import __version__  # noqa: E402
from kallglot_async._base_client import BaseClient, Part  # noqa: E402
from kallglot_async.cli.app import app  # noqa: E402

project = "kallglot_async"
author = "the kallglot_async maintainers"
copyright = "2026, the kallglot_async maintainers"
version = release = __version__

# Of the class each is a class of its own, which autodoc would call an alias.
for name, part in list(vars(BaseClient).items()):
    if isinstance(part, Part):
        setattr(BaseClient, name, property(part.make))

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
default_role = "code"  # docstrings mark code as Markdown does
nitpicky = True
# Names without a page: of rooms that are not public, whose types a docstring explains in its own words; bare ones, for
# the same reason; and those of other projects, as a build asks nobody for their pages.
_OWN = r"kallglot_async\.(\w+\.)*_.*|[A-Z]\w*|Callable.*"
_OTHERS = (
    r"(abc|aiohttp|asyncio|collections|contextlib|datetime|enum|io|msgspec|opentelemetry|os|pathlib|pyarrow|pytest)\..*"
)
_TYPES = r"(types|typing|web)\..*"
nitpick_ignore_regex = [(r"py:.*", f"{_OWN}|{_OTHERS}|{_TYPES}")]

toc_object_entries_show_parents = "hide"

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_preserve_defaults = True
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_type_aliases = {name: name for name in ("pyarrow.Table", "pyarrow.Schema")}  # which hints do not load
autodoc_inherit_docstrings = False
python_use_unqualified_type_names = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True

html_theme = "furo"
html_title = f"kallglot_async {__version__}"
html_show_sphinx = False
html_copy_source = False
html_extra_path = ["llms.txt"]
html_static_path = ["_static"]
html_css_files = ["pages.css"]

_DRAWN = re.compile("[├└│]")
_ROOMS = re.compile(
    r"^(?:Rooms, f|F)rom the bottom: (?:.+\n?)+", re.MULTILINE
)  # how the code is laid out: for who reads it
_FIELDS = re.compile(r"^Attributes:\n((?:(?: +.*)?\n)+)", re.MULTILINE)


def _language(block: str) -> str:
    """Return how a block of a docstring is to be shown: as Python where it is some, else as it stands."""
    try:
        ast.parse("async def f():\n" + textwrap.indent(textwrap.dedent(block), "    "))
    except SyntaxError:
        return "text"
    return "python"


def _with_blocks(text: str) -> str:
    """Say in a docstring's own lines which are code: those that are indented after an empty line, and drawings.

    Docstrings are written to be read where they stand; reStructuredText would take an indented block for a quotation.
    """
    marked: list[str] = []
    is_open = False
    for paragraph in re.split(r"\n{2,}", text.expandtabs()):
        is_block = bool(marked and paragraph.strip()) and all(
            line.startswith("    ") for line in paragraph.splitlines()
        )
        if _DRAWN.search(paragraph):
            marked += [".. code-block:: text\n", textwrap.indent(paragraph, "    ")]
        elif is_block:
            marked += [] if is_open else [f".. code-block:: {_language(paragraph)}\n"]
            marked.append(textwrap.indent(paragraph, "    "))
        else:
            marked.append(paragraph)
        is_open = is_block
    return "\n\n".join(marked)


def _field(name: str) -> str:
    """Return what the docstring of a class says of one of its fields."""
    module, _, path = name.removeprefix("kallglot_async.").rpartition(".")
    owner: Any = kallglot_async
    for part in module.split("."):
        owner = getattr(owner, part, None)
    found = _FIELDS.search(f"{inspect.getdoc(owner)}\n")
    if found is None:
        return ""
    said = re.search(rf"^    {path}: (.*(?:\n {{8,}}.*)*)", found[1], re.MULTILINE)
    return inspect.cleandoc(said[1]) if said else ""


def _alias(name: str) -> str:
    """Return what stands below a type's second name, wherever in the package that is given."""
    short = name.rpartition(".")[2]
    value = r"(?:.*|\w+\[\n(?: .*\n)+\])"
    given = re.compile(rf'^{short}(?:: TypeAlias)? = {value}\n"""((?:.|\n)*?)"""', re.MULTILINE)
    texts = (path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py"))
    return next((found[1] for text in texts if (found := given.search(text))), "")


def _prepare(sphinx: object, what: str, name: str, thing: object, options: object, lines: list[str]) -> None:
    """Put what a class says of its fields at the fields, and mark blocks."""
    text = "\n".join(lines)
    if what == "module":
        text = _ROOMS.sub("", text)
    elif what == "class" and not is_typeddict(thing):  # whose fields are no attributes, and are not asked for
        text = _FIELDS.sub("", text + "\n")
    elif what in ("attribute", "property", "data"):
        # The empty comment keeps napoleon from taking what stands before a colon for a type.
        said = _alias(name) if what == "data" else text if text.strip() else _field(name)
        text = f"..\n\n{said}"
    lines[:] = _with_blocks(text).split("\n")


def _helps(command: Any, names: tuple[str, ...] = ()) -> Iterator[str]:
    """Yield what each command says of itself, those below it included, as sections of a page."""
    for name in command:
        if name.startswith("-"):
            continue
        below = (*names, name)
        console = Console(file=io.StringIO(), width=86, color_system=None, legacy_windows=False)
        app.help_print(below, console=console)
        text = "\n".join(line.rstrip() for line in console.file.getvalue().splitlines())
        text = text.partition("\nExit codes:")[0].strip()  # the same below every command: the page has them once
        yield f"## kallglot {' '.join(below)}\n\n```text\n{text}\n```\n"
        yield from _helps(command[name], below)


def _aliases(found: re.Match[str]) -> str:
    """Return what shows a module's other public names, which autodoc passes over: second names of types, constants."""
    module = import_module(found[1])
    named = {name: getattr(module, name) for name in module.__all__}
    names = [name for name, thing in named.items() if not isinstance(thing, type | FunctionType | ModuleType)]
    shown = "\n\n".join(f".. autodata:: {module.__name__}.{name}" for name in names)
    return f"```{{eval-rst}}\n{shown}\n```"


def _fill_in(sphinx: object, name: str, source: list[str]) -> None:
    """Put in what pages ask for: the commands' own help, and a module's other public names."""
    if name == "reference/command-line":
        source[0] = source[0].replace("<!-- commands -->", "\n".join(_helps(app)))
    source[0] = re.sub(r"<!-- aliases of (\S+) -->", _aliases, source[0])


def _unlink(sphinx: object, doctree: nodes.document) -> None:
    """Let the types of Python itself be text: `object` would lead to a field of that name."""
    for reference in list(doctree.findall(addnodes.pending_xref)):
        name = reference.get("reftarget", "")
        if hasattr(builtins, name):
            reference.replace_self(nodes.Text(name))


def setup(sphinx: Any) -> None:
    """Hook into autodoc, before napoleon reads the sections, and into the page of the command line."""
    sphinx.connect("autodoc-process-docstring", _prepare, priority=100)
    sphinx.connect("source-read", _fill_in)
    sphinx.connect("doctree-read", _unlink)
