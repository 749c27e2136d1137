"""Limits beside each other, nodes and strangers, driven with literal times."""

from __future__ import annotations

from typing import Any

import pytest

from kallglot_async.emulator.limits.budget import Limits, Verdict
from kallglot_async.emulator.limits.plans import PLANS, LimitSettings
from kallglot_async.emulator.limits.windows import WindowKind


def limits(**options: Any) -> Limits:
    return Limits(LimitSettings(**options))


def admitted(budget: Limits, now: float, group: str = "analysis") -> Verdict:
    return budget.admit(group, now)


def accepted(budget: Limits, moments: list[float]) -> int:
    return sum(admitted(budget, now).accepted for now in moments)


def test_a_request_counts_against_group_and_plan() -> None:
    """A request is charged to its group and to the plan, and refused, and told of, by whichever is used up."""
    budget = limits(plan="starter")
    assert accepted(budget, [30.5] * 31) == 30
    refused = admitted(budget, 30.5)
    assert (refused.limit, refused.remaining, refused.reset, refused.retry_in) == (30, 0, 60, 29.5)
    for group in ("sessions.write", "sessions.read"):
        first = admitted(budget, 30.5, group)
        assert (first.accepted, first.limit) == (True, PLANS["starter"].groups[group])
        assert sum(admitted(budget, 30.5, group).accepted for _ in range(60)) in (59, 29)
    overall = admitted(budget, 30.5, "recordings")
    assert (overall.accepted, overall.limit) == (False, 120)
    assert [figures.limit for figures in overall.figures] == [120, 60]


def test_a_refused_request_costs_nothing() -> None:
    """However often a client asks in a used-up window, the next window is whole."""
    budget = limits(rate_limit=(2, 10.0), window="sliding")
    assert [admitted(budget, t).accepted for t in range(11)] == [True, True] + [False] * 8 + [True]


def test_reset_is_rounded_up_to_whole_seconds() -> None:
    """Waiting until `X-RateLimit-Reset` is always enough, also when windows end between two seconds."""
    assert admitted(limits(rate_limit=(2, 1.5)), 3.1).reset == 5


@pytest.mark.parametrize(("window", "number"), [("fixed", 2), ("sliding", None), ("token_bucket", None)])
def test_only_fixed_windows_are_numbered(window: WindowKind, number: int | None) -> None:
    """A verdict names the fixed window it belongs to; the other kinds have none."""
    assert admitted(limits(rate_limit=(2, 60.0), window=window), 130.0).window == number


def test_a_second_limit_refuses_while_the_announced_one_has_requests_left() -> None:
    """Its wait is its own, what it refuses costs nothing, and the figures that are told stay those of the first."""
    budget = limits(rate_limit=(150, 60.0), second_limit=(5, 1.0))
    assert accepted(budget, [30.25] * 5) == 5
    refused = admitted(budget, 30.25)
    assert (refused.accepted, refused.limit, refused.remaining, refused.retry_in) == (False, 150, 145, 0.75)
    assert refused.second is not None
    assert (refused.second.limit, refused.second.remaining) == (5, 0)
    assert admitted(budget, 31.0).remaining == 144


def test_a_second_limit_alone_is_one_that_nothing_announces() -> None:
    """Beside a plan without limits it refuses, and there are no figures to tell."""
    budget = limits(plan="unlimited", second_limit=(1, 1.0), speed=2.0)
    verdicts = [admitted(budget, 0.0, "recordings") for _ in range(2)]
    assert [(verdict.accepted, verdict.limit, verdict.reset) for verdict in verdicts] == [
        (True, None, None),
        (False, None, None),
    ]
    assert verdicts[1].retry_in == 0.5


def test_nodes_count_by_themselves() -> None:
    """In turn, each of three nodes has the whole limit, and tells of its own counter."""
    budget = limits(rate_limit=(2, 60.0), nodes=3)
    assert [admitted(budget, 1.0).remaining for _ in range(6)] == [1, 1, 1, 0, 0, 0]
    assert not admitted(budget, 1.0).accepted


def test_random_balancing_is_the_same_for_the_same_seed() -> None:
    """Which node a request comes to is drawn from the seed, and not in turn."""
    runs = []
    for seed in (1, 1, 2):
        budget = limits(rate_limit=(9, 60.0), nodes=4, balancing="random", seed=seed)
        runs.append([admitted(budget, 1.0).remaining for _ in range(12)])
    assert runs[0] == runs[1] != runs[2]
    assert runs[0] != [8] * 4 + [7] * 4 + [6] * 4


@pytest.mark.untraced
@pytest.mark.parametrize("pace", ["steady", "random", "bursts"])
def test_a_stranger_takes_its_share(pace: str) -> None:
    """Of a limit that a client asks for without end, the stranger has its share by the time the window is over."""
    budget = limits(rate_limit=(100, 10.0), stranger=0.3, stranger_pace=pace, seed=3)
    # Asked late, ours gets what the stranger has left; over many windows that is 70 of a hundred.
    ours = sum(accepted(budget, [10.0 * window + 9.999] * 100) for window in range(200))
    assert ours == pytest.approx(200 * 70, rel=0.06)


def test_a_steady_stranger_comes_in_equal_steps() -> None:
    """At a fifth of ten a second there are two every second, whether anybody looks or not."""
    budget = limits(rate_limit=(600, 60.0), stranger=0.2)
    admitted(budget, 600.1)  # from here on there is one every half second
    left = [admitted(budget, now).remaining or 0 for now in (610.3, 640.3)]
    assert left[0] - left[1] == 60 + 1


def test_a_stranger_long_unseen_is_told_in_a_moment() -> None:
    """Of a year in which nobody asked, only what the windows remember is counted."""
    budget = limits(plan="pro", stranger=0.5, window="sliding")
    admitted(budget, 0.0)
    assert admitted(budget, 365 * 86_400.0 + 0.1).remaining in (74, 75)
