"""What must not happen twice: answers kept under idempotency keys, and credits.

Documented: a key brings back status and body of the first successful response for about 24 hours, belongs to the
organization, and must not come with another JSON body. Assumed where the documentation is silent: failed
answers are not kept, a replay costs no credit, a failed analysis gives none back, and the same key on another
path is a mismatch like another body.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import msgspec

from kallglot_async.emulator.clock import Lasting
from kallglot_async.emulator.envelopes import Answer, Problem, problem_for

KEY_LIFE = 24 * 3600.0
"""Seconds for which an idempotency key is remembered."""

# What the credit headers show when credits are not counted.
_PLENTY = 1_000_000


class _Kept(msgspec.Struct, frozen=True, kw_only=True):
    fingerprint: bytes
    answer: Answer
    answered_at: float


class IdempotencyStore:
    """First successful answers by key; after `life` seconds a key is fresh again."""

    __slots__ = ("_kept",)

    def __init__(self, life: float) -> None:
        self._kept: Lasting[_Kept] = Lasting(life)

    def once(self, key: str, fingerprint: bytes, act: Callable[[], Answer], *, now: float, delay: float) -> Answer:
        """The answer of `act`, or that of the first time under this key.

        For `delay` seconds, until its answer leaves, the first request is in flight.

        Raises:
            Problem: 400 for another fingerprint, 409 while the first request is in flight, or whatever `act` raises.
        """
        if (kept := self._kept.get(key, now)) is not None:
            if kept.fingerprint != fingerprint:
                message = "This Idempotency-Key was used with a different request body."
                raise Problem(400, "invalid_request_error", "idempotency_mismatch", message)
            if now < kept.answered_at:
                # That this 409 carries `Retry-After` is inferred.
                raise problem_for(409, retry_after=max(1, math.ceil(kept.answered_at - now)))
            return kept.answer
        # Where it raises nothing is kept: the same key may be tried again.
        answer = act()
        replay = msgspec.structs.replace(answer, is_replay=True)
        self._kept.put(key, _Kept(fingerprint=fingerprint, answer=replay, answered_at=now + delay), now)
        return answer


def fingerprint(path: str, fields: dict[str, Any]) -> bytes:
    """What makes two requests the same: the path and the JSON value of the body, however it was spelled."""
    # Sorted, as the order of members is no part of a JSON value.
    return path.encode() + b"\n" + msgspec.json.encode(fields, order="sorted")


class Credits:
    """API credits of one billing period, charged in revision B only; None granted are never exhausted."""

    __slots__ = ("_granted", "used")

    def __init__(self, granted: int | None) -> None:
        self._granted = granted
        self.used = 0

    @property
    def remaining(self) -> int:
        """Credits left; a large number when they are not counted."""
        return (_PLENTY if self._granted is None else self._granted) - self.used

    def charge(self) -> None:
        """Take one credit; 402 if there is none left."""
        if self._granted is not None and self.remaining <= 0:
            raise problem_for(402)
        self.used += 1

    def headers(self) -> dict[str, str]:
        """The documented credit headers."""
        return {"X-API-Credits-Remaining": str(self.remaining), "X-API-Credits-Used": str(self.used)}
