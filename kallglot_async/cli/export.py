"""`kallglot export`: stored outcomes as tables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from kallglot_async.cli.stored import open_stored
from kallglot_async.cli.streams import STDOUT, tell
from kallglot_async.cli.text import clean
from kallglot_async.errors import ConfigurationError
from kallglot_async.tables import TABLES, Format, TableName
from kallglot_async.tables import export as export_tables

__all__ = ["export"]


def export(
    file: Path,
    to: Path,
    *,
    tables: Sequence[TableName | Literal["all"]],
    format: Format | None,
    exact: bool,
    quiet: bool,
) -> int:
    """Write the tables, say where they are, and return the exit code."""
    if format is None and to.as_posix() == STDOUT:
        raise ConfigurationError("standard output has no name that tells a format: give --format parquet, csv or arrow")
    names = TABLES if "all" in tables else [table for table in tables if table != "all"]
    with open_stored(file, to) as outcomes:
        paths = export_tables(outcomes, to, tables=names, format=format, exact=exact)
    for name, path in paths.items():
        if not quiet and path.as_posix() != STDOUT:
            tell(f"{name}: {clean(path)}")
    return 0
