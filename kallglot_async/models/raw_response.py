"""`RawResponse`: the answer to a request for which there is no method."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from kallglot_async.models._base import JSONValue
from kallglot_async.models.records import decode_any

__all__ = ["RawResponse"]


class RawResponse(NamedTuple):
    """Status, headers and body of an answer. `repr` shows neither a header nor the body.

    Attributes:
        status: The HTTP status, 2xx.
        headers: Matched without regard to case.
        body: As it came, decompressed.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> JSONValue:
        """Return what the body says as JSON.

        Raises:
            RecordError: It is none.
        """
        return decode_any(self.body)

    def __repr__(self) -> str:
        return f"<RawResponse {self.status}, {len(self.body)} bytes>"

    def __rich_repr__(self) -> list[tuple[str, int]]:
        """Show rich no more than `repr` shows."""
        return [("status", self.status), ("bytes", len(self.body))]
