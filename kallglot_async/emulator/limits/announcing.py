"""What an answer tells of the limits, in every form that servers have been seen to use."""

from __future__ import annotations

import math
from collections.abc import Callable
from email.utils import formatdate

from kallglot_async.emulator.limits.budget import Figures, Verdict
from kallglot_async.emulator.limits.plans import HeaderForm, LimitSettings
from kallglot_async.emulator.limits.windows import GRAIN

Headers = list[tuple[str, str]]
"""Names and values in order; a name may come twice."""


class Announcing:
    """The headers, and the field of the body, that tell of a verdict."""

    __slots__ = ("_form", "_settings")

    def __init__(self, settings: LimitSettings) -> None:
        self._settings = settings
        self._form = settings.header_form

    def headers(self, verdict: Verdict, now: float) -> Headers:
        """All that tell of it: `X-RateLimit-*`, and of a refusal `Retry-After`."""
        found = self.rate_headers(verdict, now)
        if not verdict.accepted and (text := self.retry_after(verdict, now)) is not None:
            found.append(("Retry-After", text))
        return found

    def rate_headers(self, verdict: Verdict, now: float) -> Headers:
        """`X-RateLimit-Limit`, `-Remaining` and `-Reset`, as far as the form has them."""
        if self._form == "none":
            return []
        told = verdict.figures[:1]
        if self._form in ("repeated", "joined"):
            told = verdict.figures if verdict.second is None else (*verdict.figures, verdict.second)
        if not told:
            return []
        reset = _RESETS.get(self._form, _whole)
        columns = {
            "X-RateLimit-Limit": [str(figures.limit) for figures in told],
            "X-RateLimit-Remaining": [str(figures.remaining) for figures in told],
            "X-RateLimit-Reset": [reset(figures, now) for figures in told],
        }
        if self._form == "no_remaining":
            del columns["X-RateLimit-Remaining"]
        if self._form == "joined":
            columns = {name: [", ".join(values)] for name, values in columns.items()}
        return [(name, value) for name, values in columns.items() for value in values]

    def retry_after(self, verdict: Verdict, now: float) -> str | None:
        """The value of the header `Retry-After` of a refusal; None: it has none."""
        match self._settings.retry_after:
            case "auto":
                return str(_seconds(verdict))
            case "fractional":
                return f"{verdict.retry_in:.3f}"
            case "date":
                return formatdate(math.ceil(now + verdict.retry_in - GRAIN), usegmt=True)
            case None:
                return None
            case told:
                return str(told)

    def body_retry_after(self, verdict: Verdict) -> float | None:
        """The field `retry_after` of a refusal's error; None: it has none."""
        told = self._settings.body_retry_after
        return _seconds(verdict) if told == "auto" else told


def _seconds(verdict: Verdict) -> int:
    # Whole seconds as in the samples, and never 0: "at once" would be refused again.
    return max(1, math.ceil(verdict.retry_in - GRAIN))


def _whole(figures: Figures, now: float) -> str:
    return str(math.ceil(figures.resets_at - GRAIN))


# How a reset is told, where it is not in whole Unix seconds as documented.
_RESETS: dict[HeaderForm, Callable[[Figures, float], str]] = {
    "floor": lambda figures, now: str(math.floor(figures.resets_at + GRAIN)),
    "fractional": lambda figures, now: f"{figures.resets_at:.3f}",
    "milliseconds": lambda figures, now: str(math.ceil(figures.resets_at * 1000 - GRAIN)),
    "delta": lambda figures, now: str(max(0, math.ceil(figures.resets_at - now - GRAIN))),
    "delta_fractional": lambda figures, now: f"{max(0.0, figures.resets_at - now):.3f}",
}
