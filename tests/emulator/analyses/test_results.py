"""What is found in a call is plausible, and no more than was asked for."""

from __future__ import annotations

import datetime
from typing import get_args

import pytest

from kallglot_async.emulator.analyses import results
from kallglot_async.emulator.analyses.results import ComponentA, components_a
from kallglot_async.emulator.calls.story import Story

DAY = datetime.date(2026, 3, 26)


LABELS = {"positive", "neutral", "negative"}


def stories(count: int = 200) -> list[Story]:
    return [Story(0, f"ana_{number}", DAY) for number in range(count)]


def test_sentiment_is_consistent() -> None:
    """Scores stay within -1 and 1, labels follow them, and key moments point at existing segments."""
    for story in stories():
        sentiment = results.sentiment(story)
        ids = [segment["id"] for segment in sentiment["segments"]]
        assert ids[0] == "seg_001"
        assert len(ids) == len(set(ids)) >= 4
        assert -1 <= sentiment["overall"] <= 1
        assert {segment["label"] for segment in sentiment["segments"]} | {sentiment["label"]} <= LABELS
        assert all(-1 <= segment["score"] <= 1 for segment in sentiment["segments"])
        assert {moment["segment_id"] for moment in sentiment["key_moments"]} <= set(ids)
        assert not [s for s in sentiment["segments"] if str(s["score"]) == "-0.0"]


def test_quality_adds_up() -> None:
    """Talk ratios sum to 100, the score stays within 0 and 100."""
    qualities = [results.quality(story) for story in stories()]
    assert {sum(quality["talk_ratio"].values()) for quality in qualities} == {100}
    assert all(0 <= quality["score"] <= 100 for quality in qualities)
    assert len({quality["score"] for quality in qualities}) > 20


def test_texts_are_filled_in() -> None:
    """No placeholder is left, due dates are dates after the call, and topics lose confidence."""
    for story in stories():
        summary, items, topics = results.summary(story), results.action_items(story), results.topics(story)
        texts = [summary["brief"], *summary["key_points"], *(item["description"] for item in items)]
        assert not [text for text in texts if "{" in text]
        dates = [datetime.date.fromisoformat(item["due_date"]) for item in items if item["due_date"]]
        assert all(date > DAY for date in dates)
        assert {item["assignee"] for item in items} <= {"agent", "customer"}
        confidences = [topic["confidence"] for topic in topics]
        assert confidences == sorted(confidences, reverse=True)
        assert 0 < confidences[-1] <= confidences[0] < 1


@pytest.mark.parametrize("component", get_args(ComponentA))
def test_each_component_of_revision_a_can_be_had_alone(component: str) -> None:
    """Only what was requested is in the results."""
    assert list(components_a(Story(0, "ana_1", DAY), (component,))) == [component]
