"""The documented plans, and settings of limits that cannot be."""

from __future__ import annotations

from typing import Any

import pytest

from kallglot_async.emulator.limits.budget import Limits, Verdict
from kallglot_async.emulator.limits.plans import GROUPS, PLANS, LimitSettings


def limits(**options: Any) -> Limits:
    return Limits(LimitSettings(**options))


def admitted(budget: Limits, now: float, group: str = "analysis") -> Verdict:
    return budget.admit(group, now)


def test_plans_follow_the_documented_tables() -> None:
    """Every plan has the documented figures; the free plan's overall limit stands in for its groups."""
    assert {name: PLANS[name].groups.get("analysis") for name in PLANS} == {
        "free": 60,
        "starter": 30,
        "pro": 150,
        "unlimited": None,
    }
    assert [PLANS["pro"].groups[group] for group in GROUPS] == [300, 600, 300, 150, 300]
    budget = limits(plan="pro", speed=20.0)
    verdict = admitted(budget, 0.0)
    assert (verdict.limit, verdict.reset) == (150, 3)
    assert budget.limit(None) == 600


def test_an_unlimited_plan_accepts_and_has_no_figures() -> None:
    """Without limits nothing is refused and there is nothing to put into headers."""
    budget = limits(plan="unlimited")
    assert budget.admit("analysis", 0.0) == Verdict(accepted=True)
    assert budget.limit("analysis") is None


def test_an_override_limits_the_analysis_group_only() -> None:
    """`rate_limit` replaces the plan: the analysis group has it, everything else is free."""
    budget = limits(plan="free", rate_limit=(1, 2.0), speed=2.0)
    assert budget.admit("recordings", 0.0) == Verdict(accepted=True)
    first, second = admitted(budget, 0.0), admitted(budget, 0.5)
    assert (first.accepted, first.reset, second.accepted, second.retry_in) == (True, 1, False, 0.5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window": "round"}, "window must be one of fixed, fixed_from_first, sliding"),
        ({"second_limit": (0, 1.0)}, r"second_limit is \(requests, seconds\)"),
        ({"nodes": 0}, "nodes must be at least 1"),
        ({"balancing": "sticky"}, "balancing must be one of round_robin, random"),
        ({"stranger": -0.1}, "stranger is a share"),
        ({"stranger": 0.5, "plan": "unlimited"}, "choose a plan, or set rate_limit"),
        ({"stranger_pace": "slow"}, "stranger_pace must be one of"),
        ({"burst": 5}, "window='token_bucket'"),
        ({"bucket_reset": "next", "window": "sliding"}, "window='token_bucket', not of 'sliding'"),
        ({"burst": 11, "window": "token_bucket", "rate_limit": (10, 1.0)}, "from 1 to the smallest limit, 10, not 11"),
        ({"burst": 0, "window": "token_bucket"}, "burst must be from 1"),
        ({"rate_headers": "hidden"}, "rate_headers must be one of whole, floor"),
        ({"body_retry_after": float("nan")}, "'auto' or None, not nan"),
        ({"body_retry_after": "soon"}, "'auto' or None, not 'soon'"),
        ({"speed": float("nan")}, "speed must be a positive number"),
    ],
)
def test_settings_that_cannot_be_are_refused(options: dict[str, Any], message: str) -> None:
    """At construction, with what there is instead."""
    with pytest.raises(ValueError, match=message):
        LimitSettings(**options)
