"""The API's routes as data, and the match of a path against them."""

from __future__ import annotations

from typing import Literal

import msgspec

from kallglot_async.emulator.analyses import Revision

Operation = Literal["analyses.create", "analyses.retrieve"]
"""What the emulated API can be asked to do."""

BASE_PATH = "/v1"
"""The version prefix of every route."""


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """One documented route."""

    operation: Operation
    method: str
    pattern: tuple[str, ...]
    """Segments after the base path; `{id}` matches any one segment."""
    group: str
    """Endpoint group whose budget pays; that retrieving counts like creating is an assumption."""
    revision: Revision | None
    """The revision that has this route; None: both, the body decides."""


ROUTES = (
    Route(
        operation="analyses.create",
        method="POST",
        pattern=("sessions", "{id}", "analysis"),
        group="analysis",
        revision=None,
    ),
    Route(
        operation="analyses.retrieve",
        method="GET",
        pattern=("analysis", "{id}"),
        group="analysis",
        revision="a",
    ),
    Route(
        operation="analyses.retrieve",
        method="GET",
        pattern=("analyses", "{id}"),
        group="analysis",
        revision="b",
    ),
)
"""Every route that is emulated."""


def match(path: str) -> tuple[Route, str] | None:
    """The route of a path and the id in it, whatever the method; None if the API has no such path."""
    segments = tuple(path.split("/")[1:])
    if segments[0] != BASE_PATH[1:]:
        return None
    for route in ROUTES:
        if len(route.pattern) != len(segments) - 1:
            continue
        pairs = list(zip(route.pattern, segments[1:], strict=True))
        if all(expected in ("{id}", segment) for expected, segment in pairs):
            return route, next(segment for expected, segment in pairs if expected == "{id}")
    return None
