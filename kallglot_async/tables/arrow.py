"""Tables as Arrow and Parquet. Needs the extra `arrow`, which is loaded when it is first used."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime
from io import IOBase
from itertools import chain, islice
from types import SimpleNamespace, UnionType
from typing import IO, TYPE_CHECKING, cast, get_args, get_type_hints

from kallglot_async.errors import ConfigurationError
from kallglot_async.models.outcome import Outcome
from kallglot_async.tables.rows import Row, TableName, check_table, row_type, rows_of

if TYPE_CHECKING:
    import pyarrow
else:
    # So that hints can be had without loading it.
    pyarrow = SimpleNamespace(Table=object, Schema=object)

__all__ = ["ArrowFile", "ParquetFile", "analyses_table", "check_arrow", "schema_of"]

_ROWS = 10_000  # of a record batch


def check_arrow() -> None:
    """See that the extra is there.

    Raises:
        ConfigurationError: It is not.
    """
    try:
        import pyarrow  # noqa: F401
    except ModuleNotFoundError as error:
        # What is missing beneath pyarrow is another matter, which this text would hide.
        if error.name != "pyarrow":
            raise
        what = "Arrow and Parquet need the extra `arrow`: pip install 'kallglot-async[arrow]'; CSV needs none"
        raise ConfigurationError(what) from None


def analyses_table(outcomes: Iterable[Outcome], table: TableName = "analyses") -> pyarrow.Table:
    """Return a table of the outcomes, with the same columns whatever they are.

        pyarrow.parquet.write_table(analyses_table(outcomes), "analyses.parquet")
        polars.DataFrame(analyses_table(outcomes))

    Ten thousand rows at a time are Python's, all others are Arrow's. Into a file, `export` holds no more than those.

    Args:
        outcomes: What a batch returned, or a stream of it; read to its end.
        table: `analyses`, of which each outcome is a row; or `action_items`, `topics`, `segments` or `key_moments`,
            by `analysis_id` and `n`.

    Raises:
        ConfigurationError: There is no such table, or the extra `arrow` is not installed.
    """
    name = check_table(table)
    check_arrow()
    import pyarrow

    rows = chain.from_iterable(rows_of(outcome, name) for outcome in outcomes)
    schema = schema_of(name)
    return pyarrow.Table.from_batches([_batch(part, schema) for part in _parts(rows)], schema=schema)


def schema_of(table: TableName) -> pyarrow.Schema:
    """Return the table's schema: its row's fields; what cannot be None cannot be null."""
    import pyarrow

    types: dict[object, pyarrow.DataType] = {
        str: pyarrow.string(),
        bool: pyarrow.bool_(),
        int: pyarrow.int64(),
        float: pyarrow.float64(),
        date: pyarrow.date32(),
        datetime: pyarrow.timestamp("us", tz="UTC"),
        tuple[str, ...]: pyarrow.list_(pyarrow.string()),
    }
    fields = []
    for name, hint in get_type_hints(row_type(table)).items():
        choices = set(get_args(hint)) if isinstance(hint, UnionType) else {hint}
        (kind,) = choices - {type(None)}
        fields.append(pyarrow.field(name, types[kind], nullable=type(None) in choices))
    return pyarrow.schema(fields)


def _batch(rows: Sequence[Row], schema: pyarrow.Schema) -> pyarrow.RecordBatch:
    import pyarrow

    # By the schema: of a column in which nothing is there, pyarrow would make one of no type.
    columns = [pyarrow.array([getattr(row, field.name) for row in rows], type=field.type) for field in schema]
    return pyarrow.RecordBatch.from_arrays(columns, schema=schema)


def _parts(rows: Iterator[Row]) -> Iterator[list[Row]]:
    while part := list(islice(rows, _ROWS)):
        yield part


class ParquetFile:
    """Rows into a Parquet file; each call of `write` makes a row group."""

    def __init__(self, file: IO[bytes], table: TableName) -> None:
        from pyarrow.parquet import ParquetWriter

        self._schema = schema_of(table)
        self._writer = ParquetWriter(file, self._schema, compression="zstd")

    def write(self, rows: Sequence[Row]) -> None:
        """Write the rows."""
        self._writer.write_batch(_batch(rows, self._schema))

    def close(self) -> None:
        """Write what stands at the end of such a file."""
        self._writer.close()


class ArrowFile:
    """Rows into an Arrow file (IPC, which is Feather's second version); each call of `write` makes a batch."""

    def __init__(self, file: IO[bytes], table: TableName) -> None:
        import pyarrow

        self._schema = schema_of(table)
        self._writer = pyarrow.ipc.new_file(cast(IOBase, file), self._schema)

    def write(self, rows: Sequence[Row]) -> None:
        """Write the rows."""
        self._writer.write_batch(_batch(rows, self._schema))

    def close(self) -> None:
        """Write what stands at the end of such a file."""
        self._writer.close()
