"""What a message may show of a value that came from a caller, and whether a number is one."""

from __future__ import annotations

import math

__all__ = ["is_finite", "shown"]


def is_finite(value: float) -> bool:
    """Return whether it is a number that a float can hold; an `int` can be too large for that."""
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def shown(value: object, longest: int = 80) -> str:
    """Return the beginning of a value's `repr`; its type where that cannot be had."""
    try:
        return repr(value)[:longest]
    except Exception:
        # An int of more than 4,300 digits has none, and a caller's own class may raise anything.
        return f"<{type(value).__name__}>"
