"""From a stream of outcomes into files of tables, in bounded memory. Each file is there whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from io import BufferedIOBase
from os import PathLike
from pathlib import Path
from typing import IO, Literal, Protocol, TypeAlias, get_args

from kallglot_async._checks import check_method, is_text, rest_of
from kallglot_async._whole_file import descriptor_of, path_of, whole_file
from kallglot_async.errors import ConfigurationError
from kallglot_async.models.outcome import Lines, Outcome
from kallglot_async.tables.arrow import ArrowFile, ParquetFile, check_arrow
from kallglot_async.tables.rows import Row, TableName, check_table, row_type, rows_of
from kallglot_async.tables.text import csv_head, csv_lines

__all__ = ["Format", "TableFiles", "export", "open_tables", "write_csv"]

Format: TypeAlias = Literal["parquet", "csv", "arrow"]
_FORMATS: tuple[Format, ...] = get_args(Format)
_ROWS = 10_000  # that wait in memory to be written


class _TableFile(Protocol):
    def write(self, rows: Sequence[Row], /) -> None: ...
    def close(self) -> None: ...


class TableFiles:
    """Tables that are being written, from `open_tables`.

    Attributes:
        paths: Where each table will be.
    """

    __slots__ = ("_sinks", "_waiting", "paths")

    def __init__(self, sinks: Mapping[TableName, _TableFile], paths: Mapping[TableName, Path]) -> None:
        self._sinks = sinks
        self._waiting: dict[TableName, list[Row]] = {name: [] for name in sinks}
        self.paths: dict[TableName, Path] = dict(paths)

    def write(self, outcome: Outcome) -> None:
        """Write an outcome's rows: now, or once ten thousand of a table wait, or at the end."""
        for name, rows in self._waiting.items():
            rows.extend(rows_of(outcome, name))
            if len(rows) >= _ROWS:
                self._flush(name)

    def finish(self) -> None:
        """Write what waits. The end of the block does it."""
        for name in self._waiting:
            self._flush(name)

    def _flush(self, name: TableName) -> None:
        if rows := self._waiting[name]:
            self._sinks[name].write(rows)
            rows.clear()


@contextmanager
def open_tables(
    path: str | PathLike[str],
    *,
    tables: Sequence[TableName] = ("analyses",),
    format: Format | None = None,
    exact: bool = False,
) -> Iterator[TableFiles]:
    """Open tables that outcomes are written to as they come, for streams that `export` cannot read itself.

        with open_tables("out.parquet") as files:
            async with client.as_completed(ids) as finished:
                async for outcome in finished:
                    files.write(outcome)

    The files are there once the block ends. One that ends by an exception, a cancellation for example, leaves none, and
    what was there before as it was. Writing blocks the event loop, some tenths of a second for each ten thousand rows.

    Args:
        path: The file. Of several tables, the first is in it, and the others are beside it under their names.
        tables: Which ones.
        format: `parquet` or `arrow`, which need the extra `arrow`, or `csv`. Default: what the file's name ends with.
        exact: In CSV, leave texts as they are that a spreadsheet would take for formulas (see `tables.text`).

    Raises:
        ConfigurationError: It is no path (`write_csv` takes file objects), the format or a table is unknown, the extra
            is not installed, or the path ends as those of compressed files do. Nothing was opened.
        OSError: A file cannot be written.
    """
    target = path_of(path)
    kind = _format(target, format)
    # Each once: two files of one name would be written over each other.
    names = [check_table(table) for table in dict.fromkeys(tables)]
    if len(names) > 1 and descriptor_of(target) is not None:
        raise ConfigurationError(f"{target} takes one table, and each of several needs a file: name one, or one table")
    if kind != "csv":
        check_arrow()
    paths = {name: (target if place == 0 else _beside(target, name)).absolute() for place, name in enumerate(names)}
    with ExitStack() as stack:
        sinks = {name: stack.enter_context(_opened(paths[name], name, kind, exact)) for name in names}
        files = TableFiles(sinks, paths)
        yield files
        files.finish()


def export(
    outcomes: Iterable[Outcome],
    path: str | PathLike[str],
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
        path: As in `open_tables`, and so are the others.
        tables: Which ones.
        format: `parquet`, `arrow` or `csv`.
        exact: In CSV, leave texts as they are.

    Raises:
        ConfigurationError: As in `open_tables`. Nothing was read.
        OSError: A file cannot be written.
    """
    with open_tables(path, tables=tables, format=format, exact=exact) as files:
        for outcome in outcomes:
            files.write(outcome)
    return files.paths


def write_csv(
    outcomes: Iterable[Outcome],
    to: Lines,
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
        ConfigurationError: There is no such table, or nothing to write to, or the path ends as those of compressed
            files do.
        OSError: The file cannot be written.
    """
    name = check_table(table)
    if isinstance(to, str | PathLike):
        export(outcomes, to, tables=[name], format="csv", exact=exact)
        return
    check_method("CSV goes to", to, "write")
    files = TableFiles({name: _CSVFile(to, name, exact)}, {})
    for outcome in outcomes:
        files.write(outcome)
    files.finish()


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
def _opened(path: Path, table: TableName, format: Format, exact: bool) -> Iterator[_TableFile]:
    makers: Mapping[Format, Callable[[IO[bytes]], _TableFile]] = {
        "parquet": lambda file: ParquetFile(file, table),
        "arrow": lambda file: ArrowFile(file, table),
        "csv": lambda file: _CSVFile(file, table, exact),
    }
    # In this order: the end of the file is written before it takes its name.
    with whole_file(path) as file, closing(makers[format](file)) as sink:
        yield sink


class _CSVFile:
    """Rows into a file of bytes or text."""

    def __init__(self, file: IO[bytes] | IO[str] | BufferedIOBase, table: TableName, exact: bool) -> None:
        self._file = file
        self._exact = exact
        self._takes_text = is_text(file)
        self._put(csv_head(row_type(table)))

    def write(self, rows: Sequence[Row], /) -> None:
        self._put(csv_lines(rows, exact=self._exact))

    def close(self) -> None:
        """There is nothing at the end of such a file."""

    def _put(self, text: str) -> None:
        write: Callable[[str | bytes], object] = self._file.write  # type: ignore[assignment]  # one of them, not both
        if self._takes_text:
            write(text)
            return
        data = text.encode()
        while data:
            data = rest_of(data, write(data), self._file)
