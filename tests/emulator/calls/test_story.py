"""What happens in emulated calls."""

from __future__ import annotations

import datetime

from kallglot_async.emulator.analyses import results
from kallglot_async.emulator.calls.story import SCENARIOS, Story

DAY = datetime.date(2026, 3, 26)


def stories(count: int = 200) -> list[Story]:
    return [Story(0, f"ana_{number}", DAY) for number in range(count)]


def test_all_scenarios_and_outcomes_occur() -> None:
    """A few hundred analyses show every kind of call, several outcomes and all three trends."""
    told = stories(600)
    assert {story.scenario.name for story in told} == {scenario.name for scenario in SCENARIOS}
    assert {story.outcome for story in told} == {"resolved", "follow_up", "escalated", "unresolved"}
    assert {results.sentiment(story)["trend"] for story in told} == {"improving", "declining", "stable"}
    assert len({results.summary(story)["brief"] for story in told}) > 500
