"""The API's routes and revisions as data, and the match of a path against them."""

from __future__ import annotations

from typing import Literal

import msgspec

Revision = Literal["a", "b"]
"""The two documented revisions of the API."""

PREFIXES: dict[Revision, str] = {"a": "ana", "b": "anl"}
"""Prefix of an analysis's id by revision: it alone tells the revision."""

Operation = Literal[
    "analyses.create",
    "analyses.retrieve",
    "sessions.retrieve",
    "sessions.end",
    "sessions.transcript",
    "sessions.recordings",
    "recordings.retrieve",
    "recordings.download",
    "recordings.audio",
    "storage.fetch",
]
"""What the emulated API can be asked to do."""


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """One documented route."""

    operation: Operation
    method: str
    pattern: tuple[str, ...]
    """Segments of the path; `{id}` matches any one segment."""
    group: str | None
    """Endpoint group whose budget pays; None: it needs no key and is no business of the rate limit."""
    revision: Revision | None
    """The revision that has this route; None: both, the body or the emulator's `revision` decides."""


def _route(
    operation: Operation, group: str | None, path: str, *, method: str = "GET", revision: Revision | None = None
) -> Route:
    return Route(operation=operation, method=method, pattern=tuple(path.split("/")), group=group, revision=revision)


ROUTES = (
    _route("analyses.create", "analysis", "v1/sessions/{id}/analysis", method="POST"),
    # That retrieving counts like creating is an assumption.
    _route("analyses.retrieve", "analysis", "v1/analysis/{id}", revision="a"),
    _route("analyses.retrieve", "analysis", "v1/analyses/{id}", revision="b"),
    _route("sessions.retrieve", "sessions.read", "v1/sessions/{id}"),
    _route("sessions.end", "sessions.write", "v1/sessions/{id}/end", method="POST"),
    # Which group pays for transcripts and for lists of recordings is not documented.
    _route("sessions.transcript", "sessions.read", "v1/sessions/{id}/transcript"),
    _route("sessions.recordings", "recordings", "v1/sessions/{id}/recordings"),
    _route("recordings.retrieve", "recordings", "v1/recordings/{id}"),
    _route("recordings.download", "recordings", "v1/recordings/{id}/download"),
    _route("recordings.audio", "recordings", "v1/recordings/{id}/audio"),
    # What `storage.kallglot.com` is in the documentation: pre-signed links, whose last segment is their only key.
    _route("storage.fetch", None, "storage/{id}"),
)
"""Every route that is emulated."""


def match(path: str) -> tuple[Route, str] | None:
    """The route of a path and the id in it, whatever the method; None if the API has no such path."""
    segments = path.split("/")[1:]
    # Eleven routes: a loop is as fast as any tree would be.
    for route in ROUTES:
        if len(route.pattern) == len(segments) and all(
            expected in ("{id}", segment) for expected, segment in zip(route.pattern, segments, strict=True)
        ):
            return route, segments[route.pattern.index("{id}")]
    return None
