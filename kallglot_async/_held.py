"""Open files that no forked child has.

A lock of the operating system lasts for as long as anybody has the descriptor that it was taken by. A child that is
forked has it too, and may live on when its parent closes the file, or is killed: as the workers of a
`ProcessPoolExecutor` do.
"""

from __future__ import annotations

import os

__all__ = ["hold", "let_go"]

_held: set[int] = set()


def hold(descriptor: int) -> None:
    """Have the forked children of this process lose an open file, until it is let go."""
    _held.add(descriptor)


def let_go(descriptor: int) -> bool:
    """Return whether this process holds the file; from here on it does not. To be called before it is closed."""
    is_held = descriptor in _held
    _held.discard(descriptor)
    return is_held


def _leave_to_parent() -> None:
    # Every fork of the process comes here, also where it has no descriptor left, or no /dev.
    if not _held:
        return
    # Something else takes each one's place: whoever has its number here may still close it.
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in _held:
        os.dup2(nowhere, descriptor, inheritable=False)
    os.close(nowhere)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_to_parent)
