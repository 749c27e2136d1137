"""How long a download goes on that gets no further: attempts and pauses since the last byte that stayed.

| how an attempt ended                  | counted | the next one                                           |
|---------------------------------------|---------|--------------------------------------------------------|
| interrupted, and it had brought bytes | from 1  | within a second: it is the rest, and no extra request  |
| 429, 503 or 202 with `Retry-After`    | no      | after that time, up to an hour of such pauses in a row |
| 429 of a storage without it           | yes     | after 1, 2, 4, 8 s                                     |
| anything else                         | yes     | as `RetryPolicy` says                                  |

A refusal of the API's for rate (429) is none of this: the limiter holds the next request back.
"""

from __future__ import annotations

from collections.abc import Callable

from kallglot_async import errors

__all__ = ["Endurance"]

_RESUMES_WITHIN = 1.0  # seconds, with full jitter: a server that cuts off many clients at once hears of them one by one
_LONGEST_PAUSE = 3600.0  # seconds of named pauses in a row: as long as a link to the audio lives
_SHORTEST_PAUSE = 1.0  # seconds: a server that names none is not asked in a loop
_MOST_DOUBLINGS = 3  # of a second: no attempt waits longer than between others
_SPREAD = 0.1  # of a pause, so that clients who were told the same come apart

_INTERRUPTIONS = (errors.ConnectionLostError, errors.RequestTimeoutError, errors.ProtocolError)


class Endurance:
    """Decides after an attempt at a download that failed.

    Args:
        max_attempts: Attempts in a row without a byte more.
        random: Uniform in [0, 1).

    Attributes:
        history: How the attempts ended that count.
    """

    __slots__ = ("_max_attempts", "_paused", "_random", "history")

    def __init__(self, max_attempts: int, random: Callable[[], float]) -> None:
        self._max_attempts = max_attempts
        self._random = random
        self._paused = 0.0
        self.history: list[str] = []

    def next_delay(
        self,
        error: errors.RequestError,
        *,
        has_advanced: bool,
        within: float,
        otherwise: Callable[[int], float | None],
    ) -> float | None:
        """Return the seconds until the next attempt, or None to give up.

        Args:
            error: How the attempt ended.
            has_advanced: Whether it brought bytes that stay.
            within: Seconds that are left.
            otherwise: Says the same of the n-th failure in a row, where nothing is said here.
        """
        if has_advanced:
            self.history.clear()
            self._paused = 0.0
        named = None
        if isinstance(error, errors.APIError | errors.InvalidResponseError) and error.status in {202, 429, 503}:
            named = error.retry_after
        if named is not None:
            return self._named_pause(max(named, _SHORTEST_PAUSE), within)
        self.history.append(str(error))
        failures = len(self.history)
        if failures >= self._max_attempts:
            return None
        # By the policy it would take from the retry budget, which is for requests that nobody had asked for.
        if has_advanced and isinstance(error, _INTERRUPTIONS):
            delay = _RESUMES_WITHIN * self._random()
        elif isinstance(error, errors.RateLimitedError):
            delay = self._spread(2.0 ** min(failures - 1, _MOST_DOUBLINGS))
        else:
            return otherwise(failures)
        return delay if delay <= within else None

    def _named_pause(self, seconds: float, within: float) -> float | None:
        self._paused += seconds
        if seconds > within or self._paused > _LONGEST_PAUSE:
            return None
        # What luck adds must not carry it beyond the end, where it fits without.
        return min(self._spread(seconds), within)

    def _spread(self, seconds: float) -> float:
        return seconds * (1.0 + _SPREAD * self._random())
