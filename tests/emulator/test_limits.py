"""Plans and the three ways of counting, driven with literal times."""

from __future__ import annotations

import pytest

from kallglot_async.emulator.limits import (
    GROUPS,
    PLANS,
    Budget,
    FixedWindow,
    SlidingWindow,
    TokenBucket,
    WindowKind,
    make_budget,
)


def drain(window: FixedWindow | SlidingWindow | TokenBucket, now: float) -> int:
    count = 0
    while window.wait(now) == 0:
        window.count(now)
        count += 1
    return count


def test_fixed_window_is_aligned_to_multiples_of_its_period() -> None:
    """A fixed window ends where the wall clock is a multiple of the period, wherever the requests began."""
    window = FixedWindow(3, 60.0)
    assert drain(window, 119.0) == 3
    assert window.wait(119.0) == 1.0
    assert window.resets_at(119.0) == 120.0
    assert drain(window, 120.0) == 3
    assert (window.number(119.0), window.number(120.0)) == (1, 2)


def test_sliding_window_never_holds_more_than_its_limit_in_any_period() -> None:
    """A sliding window frees a place exactly one period after the request that took it."""
    window = SlidingWindow(2, 10.0)
    assert window.resets_at(100.0) == 100.0
    window.count(100.0)
    window.count(104.0)
    assert window.remaining(105.0) == 0
    assert window.wait(105.0) == 5.0
    assert window.resets_at(105.0) == 110.0
    assert drain(window, 110.0) == 1
    assert window.wait(110.0) == 4.0


def test_token_bucket_refills_evenly_up_to_its_limit() -> None:
    """A bucket starts full, gains limit/period tokens a second and never holds more than its limit."""
    window = TokenBucket(10, 5.0)
    assert drain(window, 100.0) == 10
    assert window.wait(100.0) == pytest.approx(0.5)
    assert window.resets_at(100.0) == pytest.approx(105.0)
    assert window.remaining(101.25) == 2
    assert drain(window, 101.25) == 2
    assert window.remaining(1000.0) == 10


def test_budget_counts_against_group_and_plan() -> None:
    """A request is charged to its group and to the plan, and refused by whichever is used up."""
    budget = Budget({"analysis": 3, "recordings": 2}, overall=4, period=60.0, window="fixed")
    verdicts = [budget.admit("analysis", 30.5) for _ in range(4)]
    assert [verdict and verdict.accepted for verdict in verdicts] == [True, True, True, False]
    refused = verdicts[-1]
    assert refused is not None
    assert (refused.limit, refused.remaining, refused.reset, refused.retry_in) == (3, 0, 60, 29.5)
    other = budget.admit("recordings", 30.5)
    assert other is not None
    assert (other.accepted, other.limit, other.remaining) == (True, 2, 1)
    overall = budget.admit("recordings", 30.5)
    assert overall is not None
    assert (overall.accepted, overall.limit) == (False, 4)


def test_a_refused_request_costs_nothing() -> None:
    """However often a client asks in a used-up window, the next window is whole."""
    budget = Budget({"analysis": 2}, overall=None, period=10.0, window="sliding")
    accepted = [bool(verdict and verdict.accepted) for verdict in (budget.admit("analysis", t) for t in range(11))]
    assert accepted == [True, True] + [False] * 8 + [True]


def test_reset_is_rounded_up_to_whole_seconds() -> None:
    """Waiting until `X-RateLimit-Reset` is always enough, also when windows end between two seconds."""
    verdict = Budget({"analysis": 2}, overall=None, period=1.5, window="fixed").admit("analysis", 3.1)
    assert verdict is not None
    assert verdict.reset == 5


@pytest.mark.parametrize(("window", "number"), [("fixed", 2), ("sliding", None), ("token_bucket", None)])
def test_only_fixed_windows_are_numbered(window: WindowKind, number: int | None) -> None:
    """A verdict names the fixed window it belongs to; the other kinds have none."""
    verdict = Budget({"analysis": 2}, overall=None, period=60.0, window=window).admit("analysis", 130.0)
    assert verdict is not None
    assert verdict.window == number


def test_plans_follow_the_documented_tables() -> None:
    """Every plan has the documented figures; the free plan's overall limit stands in for its groups."""
    assert {name: PLANS[name].groups.get("analysis") for name in PLANS} == {
        "free": 60,
        "starter": 30,
        "pro": 150,
        "unlimited": None,
    }
    assert [PLANS["pro"].groups[group] for group in GROUPS] == [300, 600, 300, 150, 300]
    budget = make_budget(plan="pro", rate_limit=None, window="fixed", speed=20.0)
    verdict = budget.admit("analysis", 0.0)
    assert verdict is not None
    assert (verdict.limit, verdict.reset) == (150, 3)
    assert budget.limit(None) == 600


def test_an_unlimited_plan_gives_no_verdict() -> None:
    """Without limits nothing is refused and there is nothing to put into headers."""
    budget = make_budget(plan="unlimited", rate_limit=None, window="fixed", speed=1.0)
    assert budget.admit("analysis", 0.0) is None
    assert budget.limit("analysis") is None


def test_an_override_limits_the_analysis_group_only() -> None:
    """`rate_limit` replaces the plan: the analysis group has it, everything else is free."""
    budget = make_budget(plan="free", rate_limit=(1, 2.0), window="fixed", speed=2.0)
    assert budget.admit("recordings", 0.0) is None
    first, second = budget.admit("analysis", 0.0), budget.admit("analysis", 0.5)
    assert first is not None
    assert second is not None
    assert (first.accepted, first.reset, second.accepted, second.retry_in) == (True, 1, False, 0.5)
