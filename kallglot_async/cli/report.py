"""`kallglot report`: stored outcomes as a page for people."""

from __future__ import annotations

import webbrowser
from pathlib import Path

from kallglot_async.cli.stored import open_stored
from kallglot_async.cli.streams import STDOUT, tell
from kallglot_async.cli.text import clean
from kallglot_async.errors import ConfigurationError
from kallglot_async.report import write_report

__all__ = ["report"]


def report(file: Path, to: Path, *, title: str, show: bool, quiet: bool) -> int:
    """Write the page, say where it is, and return the exit code."""
    is_output = to.as_posix() == STDOUT
    if show and is_output:
        raise ConfigurationError("a page on standard output has no address to open: name a file, or leave --open out")
    with open_stored(file, to) as outcomes:
        page = write_report(outcomes, to, title=title)
    if not quiet and not is_output:
        tell(f"report: {clean(page)}")
    if show and not webbrowser.open(page.as_uri()):
        tell("kallglot: there is no browser to open it with")
    return 0
