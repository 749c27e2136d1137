"""`RecordingPage`: one answer of a list that comes in pages."""

from __future__ import annotations

from typing import Literal

from kallglot_async.models._base import Model
from kallglot_async.models.recording import Recording

__all__ = ["RecordingPage"]


class RecordingPage(Model, frozen=True, kw_only=True):
    """Some of a session's recordings, in the server's order.

    Attributes:
        object: Always `list`.
        data: The recordings of this page.
        has_more: Whether there are more in the direction that was asked for; False where the API does not say.
        url: The list's path, where the API names it.
        session_id: The session (A).
    """

    object: Literal["list"]
    data: tuple[Recording, ...]
    has_more: bool = False
    url: str | None = None
    session_id: str | None = None
