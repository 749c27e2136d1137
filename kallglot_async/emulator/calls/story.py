"""What happened in an emulated call: the one story that its analysis, its transcript and its recordings tell.

Everything follows from the seed and the id of the call's first analysis. Three everyday conversations of a call
centre serve as templates (`scenarios.json`); they are in English whatever language a request asks for. Placeholders
in braces are filled in: `{order}` a reference number, `{amount}` money, `{day}` a date in words, `{name}` a surname,
`{count}` a small number.
"""

from __future__ import annotations

import datetime
from importlib.resources import files
from random import Random

import msgspec

from kallglot_async.emulator.seeding import generator


class Scenario(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One kind of call."""

    name: str
    topics: tuple[str, ...]
    """Topic names, the most certain first."""
    brief: str
    """The summary in two sentences, without the outcome."""
    points: tuple[str, ...]
    """Key points of the conversation."""
    endings: dict[str, str]
    """Closing sentence by outcome."""
    actions: tuple[tuple[str, str, bool], ...]
    """Follow-ups: description, assignee, whether it has a due date."""
    peak: str
    """What made the customer happiest."""
    low: str
    """What made the customer unhappiest."""


# Not by a path: a package may lie in an archive.
SCENARIOS = msgspec.json.decode(files(__package__).joinpath("scenarios.json").read_bytes(), type=tuple[Scenario, ...])
"""Every kind of call the emulator knows; together they have every outcome."""

_NAMES = ("Meier", "Rossi", "Favre", "Novak", "Keller", "Santos", "Yilmaz", "Brunner", "Dubois", "Okafor")


class Story:
    """What happened in one emulated call: seed and id decide it, and `day` is the date of the call."""

    __slots__ = ("course", "due_date", "outcome", "scenario", "words")

    def __init__(self, seed: int, id: str, day: datetime.date) -> None:
        random = generator(seed, "story", id)
        self.scenario: Scenario = random.choice(SCENARIOS)
        self.outcome: str = random.choice(tuple(self.scenario.endings))
        promised = day + datetime.timedelta(days=random.randint(1, 14))
        self.due_date = promised.isoformat()
        self.words = {
            "order": str(random.randint(10_000, 99_999)),
            "amount": f"{random.randint(5, 480)}.{random.choice(('00', '50', '90'))} CHF",
            "count": str(random.randint(2, 6)),
            "name": random.choice(_NAMES),
            "day": f"{promised:%B} {promised.day}",
        }
        self.course = _sentiment_course(random, is_good=self.outcome == "resolved")
        """Sentiment of the customer, segment by segment, from -1 to 1."""

    def tell(self, template: str) -> str:
        """A template of the scenario with this call's names and figures."""
        return template.format_map(self.words)


def segment_id(place: int) -> str:
    """The id that transcript and analysis give to a segment, counted from 0 here and from 1 there."""
    return f"seg_{place + 1:03d}"


def _sentiment_course(random: Random, *, is_good: bool) -> list[float]:
    """A walk from a cool opening to where the outcome leads."""
    length = random.randint(4, 14)
    start = random.uniform(-0.4, 0.3)
    end = random.uniform(0.4, 0.95) if is_good else random.uniform(-0.7, 0.15)
    course = []
    for place in range(length):
        # Noise of a fifth: enough for peaks on the way, too little to hide where it leads.
        trend = start + (end - start) * place / (length - 1)
        score = max(-1.0, min(1.0, trend + random.gauss(0.0, 0.18)))
        # Added to, so that none is a negative zero.
        course.append(round(score, 1) + 0.0)
    return course
