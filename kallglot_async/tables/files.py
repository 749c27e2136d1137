"""From a stream of outcomes into files of tables, in bounded memory. Each file is there whole or not at all."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import IO, Literal, Protocol, TypeAlias, get_args

from kallglot_async._whole_file import whole_file
from kallglot_async.errors import ConfigurationError
from kallglot_async.models.outcome import Outcome
from kallglot_async.tables.arrow import ArrowFile, ParquetFile, check_arrow
from kallglot_async.tables.rows import Row, TableName, check_table, row_type, rows_of
from kallglot_async.tables.text import csv_head, csv_lines

__all__ = ["Format", "export", "write_csv"]

Format: TypeAlias = Literal["parquet", "csv", "arrow"]
_FORMATS: tuple[Format, ...] = get_args(Format)
_ROWS = 10_000  # that wait in memory to be written


class _Sink(Protocol):
    def write(self, rows: Sequence[Row], /) -> None: ...
    def close(self) -> None: ...


def export(
    outcomes: Iterable[Outcome],
    path: str | Path,
    *,
    tables: Sequence[TableName] = ("analyses",),
    format: Format | None = None,
    exact: bool = False,
) -> dict[TableName, Path]:
    """Write tables of the outcomes into files and return where each is; the outcomes are read once, as a stream.

    Ten thousand rows of each table are held in memory at most, however many outcomes there are. A file that exists is
    replaced, once the new one is whole; what fails leaves it as it was.

        export(read_jsonl("outcomes.jsonl"), "out.parquet", tables=TABLES)   # out.parquet, out.topics.parquet, ...

    Args:
        outcomes: What a batch returned, or a stream of it.
        path: The file. Of several tables, the first is in it, and the others are beside it under their names.
        tables: Which ones.
        format: `parquet` or `arrow`, which need the extra `arrow`, or `csv`. Default: what the file's name ends with.
        exact: In CSV, leave texts as they are that a spreadsheet would take for formulas (see `tables.text`).

    Raises:
        ConfigurationError: The format or a table is unknown, or the extra is not installed. Nothing was read.
        OSError: A file cannot be written.
    """
    target = Path(path)
    kind = _format(target, format)
    names = [check_table(table) for table in dict.fromkeys(tables)]
    if kind != "csv":
        check_arrow()
    paths = {name: target if place == 0 else _beside(target, name) for place, name in enumerate(names)}
    with ExitStack() as stack:
        sinks = {name: stack.enter_context(_opened(paths[name], name, kind, exact)) for name in names}
        _pour(outcomes, sinks)
    return {name: path.absolute() for name, path in paths.items()}


def write_csv(
    outcomes: Iterable[Outcome],
    to: str | Path | IO[bytes] | IO[str],
    *,
    table: TableName = "analyses",
    exact: bool = False,
) -> None:
    """Write a table as CSV, in bounded memory. The base install has it.

    Args:
        outcomes: What a batch returned, or a stream of it.
        to: A path, whose file is replaced once the new one is whole, or a file object of bytes or text, which is not
            closed.
        table: Which one.
        exact: Leave texts as they are that a spreadsheet would take for formulas (see `tables.text`).

    Raises:
        ConfigurationError: There is no such table, or nothing to write to.
        OSError: The file cannot be written.
    """
    name = check_table(table)
    if isinstance(to, str | Path):
        export(outcomes, to, tables=[name], format="csv", exact=exact)
        return
    if not callable(getattr(to, "write", None)):
        raise ConfigurationError(f"CSV goes to a path or a file object, not to {type(to).__name__}")
    _pour(outcomes, {name: _CSVFile(to, name, exact)})


def _format(path: Path, format: str | None) -> Format:
    word = path.suffix.removeprefix(".").lower() if format is None else format
    for known in _FORMATS:
        if word == known:
            return known
    what = f"{path.name!r} ends with no known format" if format is None else f"there is no format {format!r}"
    raise ConfigurationError(f"{what}: choose from {', '.join(_FORMATS)}")


def _beside(path: Path, table: TableName) -> Path:
    return path.with_name(f"{path.stem}.{table}{path.suffix}")


@contextmanager
def _opened(path: Path, table: TableName, format: Format, exact: bool) -> Iterator[_Sink]:
    makers: Mapping[Format, Callable[[IO[bytes]], _Sink]] = {
        "parquet": lambda file: ParquetFile(file, table),
        "arrow": lambda file: ArrowFile(file, table),
        "csv": lambda file: _CSVFile(file, table, exact),
    }
    with whole_file(path) as file, closing(makers[format](file)) as sink:
        yield sink


def _pour(outcomes: Iterable[Outcome], sinks: Mapping[TableName, _Sink]) -> None:
    """Write the rows of the outcomes, some at a time."""
    waiting: dict[TableName, list[Row]] = {name: [] for name in sinks}
    for outcome in outcomes:
        for name, rows in waiting.items():
            rows.extend(rows_of(outcome, name))
            if len(rows) >= _ROWS:
                sinks[name].write(rows)
                rows.clear()
    for name, rows in waiting.items():
        if rows:
            sinks[name].write(rows)


class _CSVFile:
    """Rows into a file of bytes or text."""

    def __init__(self, file: IO[bytes] | IO[str], table: TableName, exact: bool) -> None:
        self._file = file
        self._exact = exact
        self._put(csv_head(row_type(table)))

    def write(self, rows: Sequence[Row], /) -> None:
        self._put(csv_lines(rows, exact=self._exact))

    def close(self) -> None:
        """There is nothing at the end of such a file."""

    def _put(self, text: str) -> None:
        if isinstance(self._file, io.TextIOBase):
            self._file.write(text)
        else:
            self._file.write(text.encode())  # type: ignore[arg-type]  # not of text, so of bytes
