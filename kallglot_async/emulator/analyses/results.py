"""What an analysis finds in a call: the retellings of its story in both revisions.

Value ranges and labels beyond the documented samples are assumptions, marked where they are made.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from kallglot_async.emulator.calls.story import Story, segment_id
from kallglot_async.emulator.seeding import digest, generator

ComponentA = Literal["sentiment", "topics", "summary", "action_items", "quality", "compliance"]
"""What a revision A request may ask for in `analyses`."""

ComponentB = Literal["summary", "sentiment", "compliance", "keywords", "performance"]
"""What a revision B request may ask for in `include`."""

# Labels switch at a quarter: the samples call 0.1 neutral, -0.3 negative and 0.8 positive.
_LABEL_AT = 0.25

# `low` is not in the samples; it is the obvious third priority.
_PRIORITIES = ("high", "medium", "low")

_MANNERS = ("Calm and solution-oriented throughout.", "Friendly, at times hurried.", "Patient and precise.")

_FAILURES = (
    "The transcript is too short to be analysed.",
    "The audio quality was too low for a reliable analysis.",
    "The language of the conversation could not be determined.",
    "The analysis was aborted by an internal error. Please request it again.",
)


def components_a(story: Story, requested: tuple[str, ...]) -> dict[str, Any]:
    """The `results` object of revision A: the requested components and no others."""
    return {name: make(story) for name, make in _COMPONENTS_A.items() if name in requested}


def parts_b(story: Story, requested: tuple[str, ...]) -> dict[str, Any]:
    """The flat parts of revision B: the requested ones and no others.

    `keywords` may be requested, but neither the sample nor the field list has a place for them: nothing is
    added.
    """
    return {name: make(story) for name, make in _PARTS_B.items() if name in requested}


def failure_message(seed: int, id: str) -> str:
    """Why the analysis failed."""
    return _FAILURES[digest(seed, "failure", id) % len(_FAILURES)]


def sentiment(story: Story) -> dict[str, Any]:
    """Scores, labels and key moments (revision A)."""
    course = story.course
    # Later segments weigh more: the sample's overall figure is well above the mean of its segments.
    weights = range(1, len(course) + 1)
    overall = sum(w * s for w, s in zip(weights, course, strict=True)) / sum(weights)
    return {
        # Added to, as -0.0 is nobody's sentiment.
        "overall": round(overall, 2) + 0.0,
        "label": _label(overall),
        "trend": _trend(course),
        "segments": [
            {"id": segment_id(place), "score": score, "label": _label(score)} for place, score in enumerate(course)
        ],
        "key_moments": _key_moments(story),
    }


def _key_moments(story: Story) -> list[dict[str, str]]:
    low, peak = min(story.course), max(story.course)
    moments = []
    if low < -_LABEL_AT:
        moments.append((story.course.index(low), "negative_peak", story.scenario.low))
    if peak > _LABEL_AT:
        moments.append((story.course.index(peak), "positive_peak", story.scenario.peak))
    return [
        {"segment_id": segment_id(place), "type": type_, "description": description}
        for place, type_, description in sorted(moments)
    ]


def _label(score: float) -> str:
    if score > _LABEL_AT:
        return "positive"
    return "negative" if score < -_LABEL_AT else "neutral"


def _trend(course: list[float]) -> str:
    # Only "improving" is documented.
    half = len(course) // 2
    change = sum(course[half:]) / (len(course) - half) - sum(course[:half]) / half
    if abs(change) < 0.1:
        return "stable"
    return "improving" if change > 0 else "declining"


def topics(story: Story) -> list[dict[str, Any]]:
    """Topics with falling confidence (revision A)."""
    random = generator(digest(1, story.scenario.name), *story.course)
    confidence, found = 0.99, []
    for name in story.scenario.topics:
        confidence -= random.uniform(0.01, 0.12)
        found.append({"name": name, "confidence": round(confidence, 2)})
    return found


def summary(story: Story) -> dict[str, Any]:
    """Brief, key points and outcome (revision A)."""
    ending = story.scenario.endings[story.outcome]
    return {
        "brief": story.tell(f"{story.scenario.brief} {ending}"),
        "key_points": [story.tell(point) for point in story.scenario.points],
        "outcome": story.outcome,
    }


def action_items(story: Story) -> list[dict[str, Any]]:
    """Follow-ups with assignee, due date (or null) and priority (revision A)."""
    return [
        {
            "description": story.tell(description),
            "assignee": assignee,
            "due_date": story.due_date if has_date else None,
            "priority": _PRIORITIES[place % len(_PRIORITIES)],
        }
        for place, (description, assignee, has_date) in enumerate(story.scenario.actions)
    ]


def quality(story: Story) -> dict[str, Any]:
    """Score from 0 to 100, talk ratio in percent, counts and seconds (revision A)."""
    random = generator(digest(0, story.scenario.name), *story.course)
    interruptions, dead_air = random.randint(0, 5), random.randint(0, 3)
    agent = random.randint(35, 68)
    hold = random.choice((0, 0, 0, 12, 25, 40, 75))
    return {
        # How the API comes to its score is not documented; here it falls with what annoys a customer.
        "score": 96 - 4 * interruptions - 5 * dead_air - hold // 10 - abs(agent - 50) // 2,
        "talk_ratio": {"agent": agent, "customer": 100 - agent},
        "interruptions": interruptions,
        "average_response_time": round(random.uniform(0.6, 3.2), 1),
        "hold_time": hold,
        "dead_air_instances": dead_air,
    }


def _compliance(story: Story) -> dict[str, Any]:
    # The rollup of revision B; revision A's own shape is not documented, so it gets the same one.
    return {"status": "ok", "flags": []}


def _sentiment_texts(story: Story) -> dict[str, str]:
    first, last = _label(story.course[0]), _label(story.course[-1])
    return {
        "customer": f"{first.capitalize()} at first; {last} at the end. {story.scenario.peak}.",
        "agent": _MANNERS[quality(story)["interruptions"] % len(_MANNERS)],
    }


_COMPONENTS_A: dict[ComponentA, Callable[[Story], Any]] = {
    "sentiment": sentiment,
    "topics": topics,
    "summary": summary,
    "action_items": action_items,
    "quality": quality,
    "compliance": _compliance,
}

_PARTS_B: dict[str, Callable[[Story], Any]] = {
    "summary": lambda story: summary(story)["brief"],
    "sentiment": _sentiment_texts,
    "compliance": _compliance,
    "performance": lambda story: {"score": quality(story)["score"] / 100},
}
