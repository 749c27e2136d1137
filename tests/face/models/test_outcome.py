"""Outcomes: what became of an id, and of many."""

import pickle

import pytest
from support.values import analysis

from kallglot_async import errors
from kallglot_async.errors import AnalysisFailedError, KallglotError, NotFoundError
from kallglot_async.models import Outcome, Outcomes, Progress, RateLimitState, Report, Results


class TestOutcomes:
    GOOD = Outcome(id="ana_1", analysis=analysis(), polls=3, elapsed=4.5)
    BAD = Outcome(id="ana_2", error=NotFoundError("gone", status=404))
    FAILED = Outcome(id="ana_3", error=AnalysisFailedError("it failed", analysis=analysis("failed")))
    ALL = Outcomes([GOOD, BAD, FAILED])

    def test_unwrap_returns_the_analysis_or_raises_the_error(self):
        """An outcome is as good as the call it stands for."""
        assert self.GOOD.unwrap() is self.GOOD.analysis
        with pytest.raises(NotFoundError, match="gone") as caught:
            self.BAD.unwrap()
        assert caught.value is self.BAD.error
        assert (self.GOOD.ok, self.BAD.ok, self.FAILED.ok) == (True, False, False)

    def test_empty_outcome_cannot_be_unwrapped(self):
        """An outcome with neither an analysis nor an error raises rather than returning None."""
        with pytest.raises(KallglotError, match="ana_9"):
            Outcome(id="ana_9").unwrap()

    def test_outcomes_are_a_sequence_in_order(self):
        """Length, index, slices, iteration and `in` work as on a tuple; a slice is `Outcomes` again."""
        assert len(self.ALL) == 3
        assert self.ALL[0] is self.GOOD
        assert self.ALL[-1] is self.FAILED
        assert list(self.ALL) == [self.GOOD, self.BAD, self.FAILED]
        assert self.ALL[1:] == Outcomes([self.BAD, self.FAILED])
        assert self.BAD in self.ALL
        with pytest.raises(IndexError):
            self.ALL[3]

    def test_analyses_and_errors_in_order(self):
        """Analyses come as a list, errors by id, both in the order of the input."""
        assert self.ALL.analyses == [self.GOOD.analysis]
        assert list(self.ALL.errors.items()) == [("ana_2", self.BAD.error), ("ana_3", self.FAILED.error)]

    def test_raise_for_errors_raises_all_of_them_together(self):
        """Every error of a batch is in the group, which says how many there are."""
        with pytest.raises(ExceptionGroup, match="2 of 3 ids") as caught:
            self.ALL.raise_for_errors()
        assert caught.value.exceptions == (self.BAD.error, self.FAILED.error)

    def test_raise_for_errors_is_silent_without_errors(self):
        """A batch without errors, or without ids, raises nothing."""
        Outcomes([self.GOOD]).raise_for_errors()
        Outcomes().raise_for_errors()

    def test_repr_counts(self):
        """A million outcomes are one line."""
        assert repr(self.ALL) == "<Outcomes of 3 ids: 1 analyses, 2 errors>"

    def test_equal_by_content_and_only_to_outcomes(self):
        """Outcomes equal other outcomes with the same content, and no list."""
        assert Outcomes([self.GOOD]) == Outcomes([self.GOOD])
        assert Outcomes([self.GOOD]) != Outcomes([self.BAD])
        assert Outcomes([self.GOOD]) != [self.GOOD]

    @pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
    def test_outcomes_survive_pickling(self, protocol):
        """The outcomes of a batch can be handed to another process, errors included."""
        twin = pickle.loads(pickle.dumps(self.ALL, protocol))  # noqa: S301  # our own bytes
        assert [item.id for item in twin] == ["ana_1", "ana_2", "ana_3"]
        assert twin[0] == self.GOOD
        assert (twin[1].error.status, twin[2].error.analysis) == (404, analysis("failed"))


def test_progress_survives_pickling():
    """A snapshot can be sent to a display in another process."""
    snapshot = Progress(total=None, settled=1, failed=0, pending=2, requests=5, rate_limit=RateLimitState(limit=30))
    assert pickle.loads(pickle.dumps(snapshot)) == snapshot  # noqa: S301  # our own bytes


BAD = Outcome(id="ana_2", error=errors.NotFoundError("gone", status=404))
GOOD = Outcome(id="ana_1", analysis=analysis(results=Results(compliance={"a": [1]})), polls=3, elapsed=1.5)
ALL = Outcomes([GOOD, BAD])


def test_outcomes_are_found_by_id():
    """By subscript, `get` and `in`, beside place and outcome."""
    assert ALL["ana_2"] is BAD
    assert ALL.get("ana_1") is GOOD
    assert ALL.get("ana_3") is None
    assert "ana_1" in ALL
    assert "ana_3" not in ALL
    assert BAD in ALL
    assert 5 not in ALL
    with pytest.raises(KeyError, match="ana_3"):
        ALL["ana_3"]


def test_the_failed_are_outcomes_again():
    """In order, and none where all is well."""
    assert ALL.failed == Outcomes([BAD])
    assert ALL[:1].failed == Outcomes()


def test_equal_outcomes_have_one_hash():
    """Also where a part of undocumented shape can have none."""
    twin = pickle.loads(pickle.dumps(ALL))  # noqa: S301  # our own bytes
    assert twin == ALL
    assert len({ALL, twin, ALL[:1]}) == 2
    assert hash(analysis(report=Report(keywords=[1]))) == hash(analysis(report=Report(keywords=[1])))
