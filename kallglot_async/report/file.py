"""The page in a file."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from os import PathLike
from pathlib import Path

from kallglot_async._whole_file import path_of, whole_file
from kallglot_async.models.outcome import Outcome
from kallglot_async.report.page import report_html

__all__ = ["write_report"]


def write_report(
    outcomes: Iterable[Outcome], path: str | PathLike[str], *, title: str = "Call analyses", today: date | None = None
) -> Path:
    """Write what `report_html` returns into a file, which is there whole or not at all, and return its full path.

    Args:
        outcomes: What a batch returned; read to its end.
        path: The file, which is replaced if there is one.
        title: The page's heading.
        today: An action item is overdue that was due before that day. Default: today, where this machine is.

    Raises:
        ConfigurationError: It is no path, or one that ends as those of compressed files do.
        OSError: It cannot be written there.
    """
    target = path_of(path)
    page = report_html(outcomes, title=title, today=today).encode()
    with whole_file(target) as file:
        file.write(page)
    return target.absolute()
