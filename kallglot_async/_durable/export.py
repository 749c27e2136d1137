"""Outcomes into a file that is there whole or not at all, in the form that its name says."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from kallglot_async._durable.schema import translated
from kallglot_async.errors import ConfigurationError
from kallglot_async.models import Outcome
from kallglot_async.models.records import write_jsonl

__all__ = ["export"]

_TABLES = frozenset({".csv", ".parquet", ".arrow"})


def export(outcomes: Iterable[Outcome], to: Path) -> int:
    """Write the outcomes to a file, and return how many they are.

    Raises:
        ConfigurationError: Its name does not say in which form, or the extra for that is not installed.
        BatchFileError: It cannot be written.
    """
    written = 0

    def counted() -> Iterator[Outcome]:
        nonlocal written
        for outcome in outcomes:
            written += 1
            yield outcome

    # Rooms above us: they load what only some need, as `Outcomes.to_csv` and its like do.
    form = to.suffix.lower()
    with translated(to):
        if form == ".jsonl":
            write_jsonl(counted(), to)
        elif form in _TABLES:
            from kallglot_async.tables import export as export_tables

            export_tables(counted(), to)
        elif form == ".html":
            from kallglot_async.report import write_report

            write_report(counted(), to)
        else:
            forms = ", ".join([".jsonl", *sorted(_TABLES)])
            raise ConfigurationError(f"cannot tell from its name how to write {to}: end it with {forms} or .html")
    return written
