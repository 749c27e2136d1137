"""What is told of an id when the wait for it is over."""

from __future__ import annotations

from typing import Any

import pytest
from support.answering import KEY, client_of
from support.wire_faults import analysis, answer

from kallglot_async import AnalysisFailedError, AuthenticationError
from kallglot_async._core.polling.pending import FIRM, Entry, Trouble
from kallglot_async._waiting.endings import elapsed_of, not_attempted, polls_of, timed_out

pytestmark = pytest.mark.looptime


async def test_an_analysis_that_failed_says_why() -> None:
    """The API's reason is in the text: one line, cut, and without the key."""
    reason = f"no speech\nin {KEY} " + "x" * 500
    async with client_of(lambda request: answer(analysis(request.id, status="failed", error=reason))) as (_, client):
        with pytest.raises(AnalysisFailedError, match="analysis ana_1 failed: no speech in") as caught:
            await client.wait("ana_1")
        assert len(str(caught.value)) <= 240
        assert KEY not in str(caught.value)
        assert str(caught.value).isprintable()


def entry(**fields: Any) -> Entry:
    return Entry("ana_1", "a", 0.0, 0.0, fields.pop("seen_at", None), 120.0, FIRM, **fields)


@pytest.mark.parametrize(
    ("known", "told"),
    [
        (None, "0 polls (never answered)"),
        (entry(), "0 polls (never answered)"),
        (entry(polls=2, seen_at=5.0), "2 polls (last seen running)"),
        (entry(polls=2, seen_at=5.0, last_status="queued"), "2 polls (last seen queued)"),
        (
            entry(polls=1, trouble=Trouble(0.0, ("refused", "reset")), refusals=3),
            "1 poll (never answered; its last poll failed: reset; polls refused for the rate limit: 3)",
        ),
    ],
)
def test_time_that_is_over_is_told_with_what_was_last_seen(known: Entry | None, told: str) -> None:
    """And with how often it was looked at, as fields too."""
    error = timed_out("ana_1", known)
    assert f"after 0.0 s and {told}; wait for it again" in str(error)
    assert (error.id, error.polls, error.elapsed) == ("ana_1", polls_of(known), elapsed_of(known))
    assert error.last_status == (None if known is None else known.last_status)


@pytest.mark.parametrize(
    ("why", "told"),
    [
        ({"retry_after": 40.0, "closed_for": 40.0}, "; the rate limit allows the next poll in 40 s"),
        ({"closed_for": 12.0}, "; the rate limit is spent for another 12 s"),
        ({"closed_for": 0.5}, ""),
    ],
)
def test_a_limit_that_lets_nothing_go_is_told(why: dict[str, float], told: str) -> None:
    """Less than a second of it is the usual pace."""
    error = timed_out("ana_1", None, **why)
    assert str(error).endswith(f"(never answered{told}); wait for it again")
    assert error.retry_after == why.get("retry_after")


def test_who_did_not_get_its_turn_is_told_why() -> None:
    """By the class of what ended the batch; the error itself is on it."""
    reason = AuthenticationError("bad key", status=401)
    error = not_attempted("ana_1", reason)
    assert str(error) == "ana_1 was not attempted: the batch ended with AuthenticationError"
    assert (error.id, error.reason) == ("ana_1", reason)
