"""What a good answer says of an analysis's time: how old it is, how long it took, when the server would be asked again.

A `Retry-After` that names the rest of the rate-limit window is no such hint: limiters of many frameworks put it on
every answer, and an id that kept to it would be looked at once a window.

Pure: no clock, no I/O; the moments are the server's.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from kallglot_async._core.api.answers import RETRY_AFTER, parse_rate_figures, parse_retry_after
from kallglot_async.models import Analysis

__all__ = ["Sight"]

_ALIKE = 2.0  # seconds: `Date`, the reset and `Retry-After` are each rounded to whole ones


class Sight(msgspec.Struct, frozen=True, gc=False):
    """Seconds from its creation, from there to its completion, and until the next look; None for what was not told."""

    age: float | None = None
    took: float | None = None
    hint_in: float | None = None

    @classmethod
    def of(cls, analysis: Analysis, headers: Mapping[str, str], *, server_now: float) -> Sight:
        """Read an answer that came at `server_now`, in Unix seconds on the server's clock."""
        age = took = hint = None
        created, completed, expected = analysis.created_at, analysis.completed_at, analysis.estimated_completion
        if created is not None:
            age = server_now - created.timestamp()
            if age < 0.0:
                age = 0.0
            if completed is not None:
                took = (completed - created).total_seconds()
                if took < 0.0:
                    took = 0.0
        if RETRY_AFTER in headers:
            hint = _hint_of(headers, server_now)
        if hint is None and expected is not None and (ahead := expected.timestamp() - server_now) > 0.0:
            hint = ahead
        return cls(age, took, hint)


def _hint_of(headers: Mapping[str, str], server_now: float) -> float | None:
    hint = parse_retry_after(headers, wall_now=server_now)
    figures = parse_rate_figures(headers, wall_now=server_now)
    if hint is not None and figures is not None and abs(hint - figures.resets_in) <= _ALIKE:
        return None
    return hint
