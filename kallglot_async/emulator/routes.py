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

BASE_PATH = "/v1"
"""The version prefix of every route."""


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """One documented route."""

    operation: Operation
    method: str
    pattern: tuple[str, ...]
    """Segments after the base path; `{id}` matches any one segment."""
    group: str
    """Endpoint group whose budget pays."""
    revision: Revision | None
    """The revision that has this route; None: both, the body or the emulator's `revision` decides."""
    is_public: bool = False
    """Whether it needs no key and is no business of the rate limit: another host's, in truth."""


def _route(
    operation: Operation, group: str, path: str, *, method: str = "GET", revision: Revision | None = None
) -> Route:
    return Route(operation=operation, method=method, pattern=tuple(path.split("/")), group=group, revision=revision)


ROUTES = (
    _route("analyses.create", "analysis", "sessions/{id}/analysis", method="POST"),
    # That retrieving counts like creating is an assumption.
    _route("analyses.retrieve", "analysis", "analysis/{id}", revision="a"),
    _route("analyses.retrieve", "analysis", "analyses/{id}", revision="b"),
    _route("sessions.retrieve", "sessions.read", "sessions/{id}"),
    _route("sessions.end", "sessions.write", "sessions/{id}/end", method="POST"),
    # Which group pays for transcripts and for lists of recordings is not documented.
    _route("sessions.transcript", "sessions.read", "sessions/{id}/transcript"),
    _route("sessions.recordings", "recordings", "sessions/{id}/recordings"),
    _route("recordings.retrieve", "recordings", "recordings/{id}"),
    _route("recordings.download", "recordings", "recordings/{id}/download"),
    _route("recordings.audio", "recordings", "recordings/{id}/audio"),
)
"""Every route that is emulated."""

# What `storage.kallglot.com` is in the documentation: pre-signed links, whose last segment is their only key.
STORAGE = Route(
    operation="storage.fetch", method="GET", pattern=("storage", "{id}"), group="", revision=None, is_public=True
)


def match(path: str) -> tuple[Route, str] | None:
    """The route of a path and the id in it, whatever the method; None if the API has no such path."""
    segments = tuple(path.split("/")[1:])
    if segments[0] == STORAGE.pattern[0] and len(segments) == len(STORAGE.pattern):
        return STORAGE, segments[1]
    if segments[0] != BASE_PATH[1:]:
        return None
    # Ten routes: a loop is as fast as any tree would be.
    for route in ROUTES:
        if len(route.pattern) != len(segments) - 1:
            continue
        pairs = list(zip(route.pattern, segments[1:], strict=True))
        if all(expected in ("{id}", segment) for expected, segment in pairs):
            return route, next(segment for expected, segment in pairs if expected == "{id}")
    return None
