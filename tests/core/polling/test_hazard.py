"""The learned law: the hazard of settling by age, from answers that only bound when an analysis settled."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kallglot_async._core.polling.hazard import FirstLooks, PollModel

ages = st.floats(min_value=0.0, max_value=1e6)


def taught(low: float, high: float, count: int, *, every: float) -> PollModel:
    """Return a model that has polled `count` analyses each `every` seconds, ready between `low` and `high`."""
    model, draw = PollModel(), random.Random(1)
    for _ in range(count):
        ready, seen = draw.uniform(low, high), draw.uniform(0.0, every)
        while seen + every < ready:
            model.on_running("a", seen, seen + every)
            seen += every
        model.on_settled("a", seen, seen + every)
    return model


def chance(model: PollModel, start: float, end: float) -> float:
    """Return how likely one running at `start` is settled by `end`."""
    return -math.expm1(-model.growth("a", start, end))


def test_beyond_all_data_the_hazard_is_one_over_age() -> None:
    """So that the schedule is exponential back-off where nothing is known."""
    model = PollModel()
    assert model.growth("a", 1000.0, 2000.0) == pytest.approx(math.log(2.0), rel=0.01)
    assert model.growth("a", 4000.0, 8000.0) == pytest.approx(math.log(2.0), rel=0.01)


def test_the_documented_latency_is_likely_from_the_start() -> None:
    model = PollModel()
    assert chance(model, 22.0, 30.0) > 2.0 * chance(model, 12.0, 20.0) * 0.9
    assert model.observed_growth("a", 0.0, 10.0) == 0.0
    assert model.observed_growth("a", 20.0, 32.0) > 0.0


def test_age_after_is_the_inverse_of_growth() -> None:
    model = taught(22.0, 30.0, 50, every=3.0)
    for start in (0.0, 0.3, 7.0, 26.0, 200.0, 1e6):
        for growth in (0.01, 0.3, 2.0):
            age = model.age_after("a", start, growth)
            assert model.growth("a", start, age) == pytest.approx(growth)


@pytest.mark.parametrize("every", [1.0, 3.0, 6.0])
def test_a_law_is_learned_from_intervals(every: float) -> None:
    """Uniform between 22 and 30 s: by 26 s half of it, before 20 s next to nothing."""
    model = taught(22.0, 30.0, 400, every=every)
    assert chance(model, 0.0, 18.0) < 0.05
    assert chance(model, 0.0, 26.0) == pytest.approx(0.5, abs=0.12)
    assert chance(model, 0.0, 32.0) > 0.85


def test_told_durations_teach_more_than_intervals() -> None:
    model, draw = PollModel(), random.Random(1)
    for _ in range(400):
        model.on_took("a", 0.0, draw.uniform(22.0, 30.0))
    assert chance(model, 0.0, 18.0) < 0.02
    assert chance(model, 0.0, 26.0) == pytest.approx(0.5, abs=0.06)


def test_kinds_do_not_teach_each_other() -> None:
    model = PollModel()
    before = model.growth("b", 0.0, 60.0)
    for _ in range(100):
        model.on_took("a", 0.0, 5.0)
    assert model.growth("b", 0.0, 60.0) == before


def test_an_old_law_fades() -> None:
    """After as many answers as the half-life, a new law outweighs as many of the old."""
    model = PollModel()
    for _ in range(2_000):
        model.on_took("a", 0.0, 60.0)
    for _ in range(10_000):
        model.on_took("a", 0.0, 5.0)
    assert chance(model, 0.0, 6.0) > 0.93


def test_answers_without_a_span_teach_nothing() -> None:
    model = PollModel()
    before = model.growth("a", 0.0, 60.0)
    model.on_running("a", 5.0, 5.0)
    model.on_running("a", 5.0, 4.0)
    model.on_settled("a", 5.0, 5.0)
    assert model.growth("a", 0.0, 60.0) == before


def test_clocks_that_disagree_do_no_harm() -> None:
    """Ages before birth count as birth."""
    model = PollModel()
    model.on_running("a", -5.0, 3.0)
    model.on_settled("a", -1.0, 3.0)
    model.on_took("a", 9.0, 7.0)
    assert model.growth("a", -3.0, 0.0) == 0.0
    assert model.age_after("a", -3.0, 0.1) > 0.0


@given(st.lists(st.tuples(st.sampled_from(["running", "settled", "took"]), ages, ages), max_size=60), ages, ages)
def test_whatever_is_heard_the_hazard_stays_positive_and_finite(
    facts: list[tuple[str, float, float]], start: float, end: float
) -> None:
    model = PollModel()
    for fact, one, other in facts:
        getattr(model, f"on_{fact}")("a", min(one, other), max(one, other))
    low, high = min(start, end), max(start, end)
    growth = model.growth("a", low, high)
    assert growth >= 0.0
    assert math.isfinite(growth)
    assert 0.0 <= model.observed_growth("a", low, high) <= growth + 1e-9
    assert low <= model.age_after("a", low, 0.3) < math.inf


def test_first_looks_start_even_and_follow_the_last_ten() -> None:
    looks = FirstLooks()
    assert -math.expm1(-looks.growth) == pytest.approx(0.5)
    for _ in range(3):
        looks.on_look(0.0)
    assert -math.expm1(-looks.growth) < 0.25
    for _ in range(40):
        looks.on_look(0.0)
    assert -math.expm1(-looks.growth) == pytest.approx(1.0 / 12.0, rel=0.05)
    for _ in range(3):
        looks.on_look(1.0)
    assert -math.expm1(-looks.growth) > 0.25
