"""Where the documented sample bodies are, and how a test changes one in one place."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

__all__ = ["PAYLOADS", "Place", "changed", "places"]

PAYLOADS = Path(__file__).parents[1] / "payloads"
Place = tuple[str | int, ...]


def places(plain: Any, path: Place = ()) -> Iterator[Place]:
    """Give the path of every value below the root."""
    parts = plain.items() if isinstance(plain, dict) else enumerate(plain) if isinstance(plain, list) else ()
    for key, part in parts:
        yield (*path, key)
        yield from places(part, (*path, key))


def changed(plain: Any, path: Place, *value: Any) -> Any:
    """Return a copy with the value at `path` replaced, or removed where no value is given."""
    plain = copy.deepcopy(plain)
    holder = plain
    for key in path[:-1]:
        holder = holder[key]
    if value:
        holder[path[-1]] = value[0]
    else:
        del holder[path[-1]]
    return plain
