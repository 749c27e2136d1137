"""A table as CSV (RFC 4180, UTF-8, a line feed at each end of a line): exact, and no spreadsheet runs what is in it.

Texts are quoted and nothing else is: `""` is an empty text, and nothing at all is null. Numbers are written so that
they are read back as they were; moments as `2026-03-26T11:10:00Z`; lists as JSON.

A spreadsheet takes a text that begins with `=`, `+`, `-` or `@` for a formula, quoted or not, and what a customer says
on the telephone can be one. Such texts get an apostrophe in front, which a spreadsheet takes for "this is text", and so
do those that begin with an apostrophe: who reads them with a program takes one leading apostrophe off and has what was
said. `exact=True` leaves them as they are, for programs alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime

import msgspec

from kallglot_async.tables.rows import Row

__all__ = ["csv_head", "csv_lines"]

# Also after blanks, which some spreadsheets skip, and as the full-width forms that some take for the same.
_FORMULA = re.compile("['\t\r\n]|\\s*[=+@\uff1d\uff0b\uff20\uff0d-]")


def csv_head(kind: type[Row]) -> str:
    """Return the line of the columns' names."""
    return ",".join(f'"{name}"' for name in kind.__struct_fields__) + "\n"


def csv_lines(rows: Iterable[Row], *, exact: bool) -> str:
    """Return a line for each row."""
    return "".join([",".join([_cell(value, exact) for value in msgspec.structs.astuple(row)]) + "\n" for row in rows])


def _cell(value: object, exact: bool) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        guard = "" if exact or not _FORMULA.match(value) else "'"
        return f'"{guard}{value.replace(_QUOTE, _QUOTE * 2)}"'
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return _cell(msgspec.json.encode(value).decode(), exact)
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    return str(value)


_QUOTE = '"'
