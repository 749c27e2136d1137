"""What every run has of a product of cases, and what only the long run has."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

__all__ = ["beyond"]


def beyond(kept: int, values: Iterable[Any]) -> list[Any]:
    """Return parameters of which the first `kept` are in every run; the others have the mark `slow`.

    A tuple is the values of several parameters.
    """
    cases = [value if isinstance(value, tuple) else (value,) for value in values]
    return [pytest.param(*case, marks=[pytest.mark.slow] * (place >= kept)) for place, case in enumerate(cases)]
