"""Plausible results: the same seed and id always tell the same story, in both revisions.

A `Story` fixes what happened in one call; `components_a` and `parts_b` are its two retellings. Value ranges
and labels beyond the documented samples are assumptions, marked where they are made. The requested output
language is not honoured: texts are always English.
"""

from __future__ import annotations

import datetime
from random import Random
from typing import Any

from kallglot_async.emulator.calls.story import FAILURES, NAMES, SCENARIOS, Scenario
from kallglot_async.emulator.seeding import digest, generator

COMPONENTS_A = ("sentiment", "topics", "summary", "action_items", "quality", "compliance")
"""What a revision A request may ask for in `analyses`."""

COMPONENTS_B = ("summary", "sentiment", "compliance", "keywords", "performance")
"""What a revision B request may ask for in `include`."""

# Labels switch at a quarter: the samples call 0.1 neutral, -0.3 negative and 0.8 positive.
_LABEL_AT = 0.25


class Story:
    """What happened in one emulated call.

    Args:
        seed: The emulator's seed.
        id: The analysis id; with the seed it decides everything.
        day: The date of the call; due dates and promised days follow it.
    """

    __slots__ = ("_random", "_words", "course", "day", "outcome", "scenario")

    def __init__(self, seed: int, id: str, day: datetime.date) -> None:
        self._random = random = generator(seed, "story", id)
        self.day = day
        self.scenario: Scenario = random.choice(SCENARIOS)
        self.outcome: str = random.choice(tuple(self.scenario.endings))
        self._words = _words(random, day)
        self.course = _sentiment_course(random, is_good=self.outcome == "resolved")
        """Sentiment of the customer, segment by segment, from -1 to 1."""

    def tell(self, template: str) -> str:
        """A template of the scenario with this call's names and figures."""
        return template.format_map(self._words)

    def sentiment(self) -> dict[str, Any]:
        """Scores, labels and key moments (revision A)."""
        # Later segments weigh more: the sample's overall figure is well above the mean of its segments.
        weights = range(1, len(self.course) + 1)
        overall = sum(w * s for w, s in zip(weights, self.course, strict=True)) / sum(weights)
        return {
            "overall": round(overall, 2) + 0.0,  # -0.0 is nobody's sentiment
            "label": _label(overall),
            "trend": _trend(self.course),
            "segments": [
                {"id": _segment_id(place), "score": score, "label": _label(score)}
                for place, score in enumerate(self.course)
            ],
            "key_moments": self._key_moments(),
        }

    def _key_moments(self) -> list[dict[str, str]]:
        low, peak = min(self.course), max(self.course)
        moments = []
        if low < -_LABEL_AT:
            moments.append((self.course.index(low), "negative_peak", self.scenario.low))
        if peak > _LABEL_AT:
            moments.append((self.course.index(peak), "positive_peak", self.scenario.peak))
        return [
            {"segment_id": _segment_id(place), "type": type_, "description": description}
            for place, type_, description in sorted(moments)
        ]

    def summary(self) -> dict[str, Any]:
        """Brief, key points and outcome (revision A)."""
        ending = self.tell(self.scenario.endings[self.outcome])
        points = [self.tell(point) for point in self.scenario.points]
        return {
            "brief": f"{self.tell(self.scenario.brief)} {ending}",
            "key_points": points,
            "outcome": self.outcome,
        }

    def action_items(self) -> list[dict[str, Any]]:
        """Follow-ups with assignee, due date (or null) and priority (revision A)."""
        # `low` is not in the samples; it is the obvious third priority.
        priorities = ("high", "medium", "low")
        return [
            {
                "description": self.tell(description),
                "assignee": assignee,
                "due_date": self._words["date"] if has_date else None,
                "priority": priorities[place % len(priorities)],
            }
            for place, (description, assignee, has_date) in enumerate(self.scenario.actions)
        ]

    def quality(self) -> dict[str, Any]:
        """Score from 0 to 100, talk ratio in percent, counts and seconds (revision A)."""
        random = generator(digest(0, self.scenario.name), *self.course)
        interruptions, dead_air = random.randint(0, 5), random.randint(0, 3)
        agent = random.randint(35, 68)
        hold = random.choice((0, 0, 0, 12, 25, 40, 75))
        score = 96 - 4 * interruptions - 5 * dead_air - hold // 10 - abs(agent - 50) // 2
        return {
            "score": score,
            "talk_ratio": {"agent": agent, "customer": 100 - agent},
            "interruptions": interruptions,
            "average_response_time": round(random.uniform(0.6, 3.2), 1),
            "hold_time": hold,
            "dead_air_instances": dead_air,
        }

    def topics(self) -> list[dict[str, Any]]:
        """Topics with falling confidence (revision A)."""
        steps = generator(digest(1, self.scenario.name), *self.course)
        confidence, topics = 0.99, []
        for name in self.scenario.topics:
            confidence -= steps.uniform(0.01, 0.12)
            topics.append({"name": name, "confidence": round(confidence, 2)})
        return topics

    def compliance(self) -> dict[str, Any]:
        """The rollup of revision B; revision A's own shape is not documented, so it gets the same one."""
        return {"status": "ok", "flags": []}

    def sentiment_texts(self) -> dict[str, str]:
        """Condensed text per party (revision B)."""
        first, last = _label(self.course[0]), _label(self.course[-1])
        return {
            "customer": f"{first.capitalize()} at first; {last} at the end. {self.scenario.peak}.",
            "agent": self._agent_manner(),
        }

    def _agent_manner(self) -> str:
        manners = (
            "Calm and solution-oriented throughout.",
            "Friendly, at times hurried.",
            "Patient and precise.",
        )
        return manners[self.quality()["interruptions"] % len(manners)]


def components_a(story: Story, requested: tuple[str, ...]) -> dict[str, Any]:
    """The `results` object of revision A: the requested components and no others."""
    return {name: getattr(story, name)() for name in COMPONENTS_A if name in requested}


def parts_b(story: Story, requested: tuple[str, ...]) -> dict[str, Any]:
    """The flat parts of revision B: the requested ones and no others.

    `keywords` may be requested, but neither the sample nor the field list has a place for them: nothing is
    added.
    """
    parts: dict[str, Any] = {}
    if "summary" in requested:
        parts["summary"] = story.summary()["brief"]
    if "sentiment" in requested:
        parts["sentiment"] = story.sentiment_texts()
    if "compliance" in requested:
        parts["compliance"] = story.compliance()
    if "performance" in requested:
        parts["performance"] = {"score": story.quality()["score"] / 100}
    return parts


def failure_message(seed: int, id: str) -> str:
    """Why the analysis failed."""
    return FAILURES[digest(seed, "failure", id) % len(FAILURES)]


def _words(random: Random, day: datetime.date) -> dict[str, str]:
    promised = day + datetime.timedelta(days=random.randint(1, 14))
    return {
        "order": str(random.randint(10_000, 99_999)),
        "amount": f"{random.randint(5, 480)}.{random.choice(('00', '50', '90'))} CHF",
        "count": str(random.randint(2, 6)),
        "name": random.choice(NAMES),
        "day": f"{promised:%B} {promised.day}",
        "date": promised.isoformat(),
    }


def _sentiment_course(random: Random, *, is_good: bool) -> list[float]:
    """A walk from a cool opening to where the outcome leads."""
    length = random.randint(4, 14)
    start = random.uniform(-0.4, 0.3)
    end = random.uniform(0.4, 0.95) if is_good else random.uniform(-0.7, 0.15)
    course = []
    for place in range(length):
        trend = start + (end - start) * place / (length - 1)
        score = max(-1.0, min(1.0, trend + random.gauss(0.0, 0.18)))
        course.append(round(score, 1) + 0.0)  # never a negative zero
    return course


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


def _segment_id(place: int) -> str:
    return f"seg_{place + 1:03d}"
