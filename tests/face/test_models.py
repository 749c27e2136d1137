"""The values: open enumerations, shared names, round trips, outcomes and rate limits."""

import copy
import datetime
import inspect
import math
import pickle
import subprocess
import sys
import typing

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.examples import values
from support.payloads import PAYLOADS

from kallglot_async import models
from kallglot_async.errors import AnalysisFailedError, ConfigurationError, KallglotError, NotFoundError
from kallglot_async.models import (
    Analysis,
    AnalysisStatus,
    FailureDetail,
    Model,
    OpenEnum,
    Outcome,
    Outcomes,
    PartySentiment,
    Priority,
    Progress,
    RateLimit,
    RateLimitState,
    Report,
    Results,
    SentimentLabel,
    Speaker,
    Summary,
    Trend,
)

ENUMS = [AnalysisStatus, SentimentLabel, Trend, Speaker, Priority]
STRUCTS = [thing for name in models.__all__ if isinstance(thing := getattr(models, name), type(Model))]


def analysis(status="complete", **fields):
    return Analysis(id="ana_1", object="analysis", status=AnalysisStatus(status), **fields)


class TestOpenEnum:
    @pytest.mark.parametrize(
        ("kind", "texts"),
        [
            (AnalysisStatus, ["queued", "processing", "complete", "completed", "failed"]),
            (SentimentLabel, ["positive", "neutral", "negative"]),
            (Trend, ["improving", "stable", "declining"]),
            (Speaker, ["agent", "customer"]),
            (Priority, ["high", "medium", "low"]),
        ],
    )
    def test_documented_texts_are_members(self, kind, texts):
        """Each documented text is a known member that equals its text."""
        assert [str(member) for member in kind] == texts
        assert all(kind(text) in list(kind) and kind(text) == text and kind(text).is_known for text in texts)

    @pytest.mark.parametrize("kind", ENUMS)
    @pytest.mark.parametrize("text", ["paused", "", "In Review", "naïve", "x" * 1000, "\n", "is_known", "_missing_"])
    def test_unknown_text_is_kept(self, kind, text):
        """A text the documentation does not know is a member that says so and still is that text."""
        member = kind(text)
        assert isinstance(member, kind)
        assert not member.is_known
        assert (member, member.value, str(member), f"{member}") == (text, text, text, text)

    @pytest.mark.parametrize("kind", ENUMS)
    def test_unknown_text_does_not_become_a_member(self, kind):
        """A server cannot add to the documented members, nor make the class grow."""
        before = list(kind)
        kind("paused")
        assert list(kind) == before
        assert "paused" not in kind.__members__

    @pytest.mark.parametrize("kind", ENUMS)
    def test_unknown_texts_compare_and_hash_by_text(self, kind):
        """Two answers with the same unknown text are equal, and either finds the other in a set."""
        assert kind("paused") == kind("paused")
        assert kind("paused") != kind("stopped")
        assert {kind("paused"), kind("paused"), "paused"} == {"paused"}

    @pytest.mark.parametrize("kind", ENUMS)
    @pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
    def test_members_survive_pickling(self, kind, protocol):
        """A known member stays the same object, an unknown one keeps class and text."""
        known = next(iter(kind))
        assert pickle.loads(pickle.dumps(known, protocol)) is known  # noqa: S301  # our own bytes
        twin = pickle.loads(pickle.dumps(kind("paused"), protocol))  # noqa: S301
        assert (type(twin), twin, twin.is_known) == (kind, "paused", False)

    @pytest.mark.parametrize("kind", ENUMS)
    def test_unknown_texts_survive_copy_and_json(self, kind):
        """An unknown text is copied, encoded and decoded like a known one."""
        member = kind("paused")
        assert copy.copy(member) == copy.deepcopy(member) == member
        assert msgspec.json.encode(member) == b'"paused"'
        decoded = msgspec.json.decode(b'"paused"', type=kind)
        assert (type(decoded), decoded) == (kind, "paused")

    @pytest.mark.parametrize("text", ["FAILED", "QUEUED", "COMPLETE"])
    def test_name_of_a_member_is_not_its_text(self, text):
        """`FAILED` in capitals is not the documented `failed`: it is an unknown text, and means "not settled"."""
        status = AnalysisStatus(text)
        assert status == text
        assert not status.is_known
        assert not analysis(text).is_settled

    @pytest.mark.parametrize("value", [None, 1, 1.0, True, b"failed", ["failed"]])
    def test_only_text_is_open(self, value):
        """A value that is no text is refused, so that a wrong type is noticed."""
        with pytest.raises(ValueError, match="is not a valid AnalysisStatus"):
            AnalysisStatus(value)


class TestAnalysis:
    @pytest.mark.parametrize(
        ("status", "complete", "failed", "settled"),
        [
            ("queued", False, False, False),
            ("processing", False, False, False),
            ("complete", True, False, True),
            ("completed", True, False, True),
            ("failed", False, True, True),
            ("paused", False, False, False),
            ("", False, False, False),
            ("Complete", False, False, False),
        ],
    )
    def test_status_is_read_for_both_revisions(self, status, complete, failed, settled):
        """Both spellings of complete count, and an unknown status means "not settled yet"."""
        value = analysis(status)
        assert (value.is_complete, value.is_failed, value.is_settled) == (complete, failed, settled)

    @pytest.mark.parametrize(
        ("error", "message"),
        [
            (None, None),
            ("no speech", "no speech"),
            ("", ""),
            (FailureDetail(message="no speech", code="silent"), "no speech"),
            (FailureDetail(), None),
        ],
    )
    def test_error_message_is_one_text(self, error, message):
        """An error object (A) and an error text (B) read the same."""
        assert analysis("failed", error=error).error_message == message

    @pytest.mark.parametrize(
        ("fields", "text"),
        [
            ({}, None),
            ({"results": Results()}, None),
            ({"results": Results(summary=Summary())}, None),
            ({"results": Results(summary=Summary(brief="It went well."))}, "It went well."),
            ({"report": Report()}, None),
            ({"report": Report(summary="It went well.")}, "It went well."),
        ],
    )
    def test_summary_is_one_text(self, fields, text):
        """A's `summary.brief` and B's `summary` read the same."""
        assert analysis(**fields).summary_text == text

    def test_repr_shows_identity_and_status_only(self):
        """No call text reaches a log through `repr`, `str` or a container's `repr`."""
        value = analysis(
            session_id="sess_1",
            results=Results(summary=Summary(brief="CANARY", key_points=("CANARY",)), compliance={"CANARY": "CANARY"}),
            report=Report(summary="CANARY", sentiment=PartySentiment(customer="CANARY")),
            error=FailureDetail(message="CANARY"),
            language="CANARY",
        )
        assert repr(value) == str(value) == "<Analysis ana_1 complete session=sess_1>"
        assert "CANARY" not in repr([Outcome(id="ana_1", analysis=value), Outcomes([Outcome(id="x", analysis=value)])])
        assert "CANARY" not in repr(AnalysisFailedError("it failed", analysis=value))

    def test_repr_is_one_printable_line_whatever_the_server_sent(self):
        """A server's id, status or session cannot forge a line of a log or colour a terminal."""
        value = Analysis(
            id="ana_1\nforged", object="analysis", status=AnalysisStatus("x\nforged\x1b[31m"), session_id="s\r\nforged"
        )
        assert repr(value).isprintable()

    def test_value_cannot_be_changed(self):
        """An analysis can be shared between tasks without fear."""
        with pytest.raises(AttributeError):
            analysis().status = AnalysisStatus.FAILED

    def test_identity_is_required(self):
        """There is no analysis without id, object and status."""
        with pytest.raises(TypeError, match="status"):
            Analysis(id="ana_1", object="analysis")

    @pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
    def test_sample_survives_pickling(self, protocol):
        """A result can be handed to another process whole."""
        sample = msgspec.json.decode((PAYLOADS / "analysis_complete.a.json").read_bytes(), type=Analysis)
        twin = pickle.loads(pickle.dumps(sample, protocol))  # noqa: S301  # our own bytes
        assert twin == sample
        assert twin.results.action_items[0].assignee is Speaker.AGENT

    def test_copies_are_equal(self):
        """Copy and deepcopy give equal values."""
        value = analysis(results=Results(compliance={"script": [1, None]}), created_at=moment(2026))
        assert copy.copy(value) == copy.deepcopy(value) == value
        assert copy.deepcopy(value).results.compliance is not value.results.compliance


@pytest.mark.parametrize("kind", [kind for kind in STRUCTS if issubclass(kind, Model)])
def test_model_is_frozen_and_its_fields_are_given_by_name(kind):
    """A field that the API adds later can go anywhere without changing what a positional argument means."""
    assert kind.__struct_config__.frozen
    places = inspect.signature(kind).parameters.values()
    assert [place.name for place in places if place.kind is not place.KEYWORD_ONLY] == []


def moment(year):
    return datetime.datetime(year, 3, 26, 11, 10, tzinfo=datetime.UTC)


@pytest.mark.parametrize(
    "kind", [thing for thing in STRUCTS if thing.__struct_config__.frozen and not thing.__struct_config__.gc]
)
def test_struct_outside_the_collector_holds_no_container(kind):
    """A struct with `gc=False` could leak a cycle, so it holds plain values or structs like itself only."""
    for hint in typing.get_type_hints(kind).values():
        for part in typing.get_args(hint) or (hint,):
            assert part in (str, int, float, datetime.date, type(None)) or issubclass(part, OpenEnum) or part in STRUCTS


# One strategy for every model, built from its annotations: a new field is covered the day it is added.


SENT = [kind for kind in STRUCTS if kind not in (Model, Outcome)]  # an outcome holds an exception, and is not sent


@pytest.mark.parametrize("kind", SENT)
@given(data=st.data())
def test_every_model_survives_a_round_trip_through_json(kind, data):
    """`decode(encode(x)) == x` for every model, with unknown texts, empty parts and undocumented JSON in it."""
    value = data.draw(values(kind))
    assert msgspec.json.decode(msgspec.json.encode(value), type=kind) == value


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


class TestRateLimit:
    def test_period_defaults_to_a_minute(self):
        """`RateLimit(30)` is 30 a minute, as the API's tables are written, and equal limits are equal."""
        assert (RateLimit(30).requests, RateLimit(30).per) == (30, 60.0)
        assert RateLimit(30) == RateLimit(30, 60.0) == RateLimit(requests=30, per=60)
        assert hash(RateLimit(30)) == hash(RateLimit(30, 60.0))

    @pytest.mark.parametrize("requests", [0, -1, 1.5, 30.0, True, "30", None, math.nan, math.inf])
    def test_requests_are_a_whole_number_from_one(self, requests):
        """A limit that allows nothing, or that is no whole number, is refused."""
        with pytest.raises(ConfigurationError, match="whole number"):
            RateLimit(requests)

    @pytest.mark.parametrize(
        "per", [0, 0.0, -1, math.nan, math.inf, -math.inf, True, "60", None, pytest.param(10**400, id="10**400")]
    )
    def test_period_is_a_finite_number_above_zero(self, per):
        """A period that is no number of seconds is refused."""
        with pytest.raises(ConfigurationError, match="period"):
            RateLimit(30, per)


_FROZEN = """
import datetime, sys
if sys.argv[1] == "first":
    import kallglot_async.models

class FakeDate(datetime.date):
    pass

class FakeDatetime(datetime.datetime, FakeDate):
    pass

FakeDatetime.__name__ = sys.argv[2]
fakes = {datetime.date: FakeDate, datetime.datetime: FakeDatetime}
for module in [*sys.modules.values()]:
    if module.__name__.startswith(("kallglot_async", "datetime")):
        for name, value in [*vars(module).items()]:
            if isinstance(value, type) and value in fakes:
                setattr(module, name, fakes[value])
from kallglot_async._core.api.analyses import Revision, decode_analysis

body = sys.stdin.buffer.read()
analysis = decode_analysis(body, Revision.A)
assert analysis.problems == ()
assert analysis.results.action_items[1].due_date.year == 2026
"""


@pytest.mark.parametrize(
    ("loaded", "name"), [("first", "FakeDatetime"), ("in it", "FakeDatetime"), ("in it", "datetime")]
)
def test_a_clock_that_is_frozen_as_the_first_answer_is_read_costs_nothing(loaded, name):
    """freezegun puts classes of its own into each module that has `date` or `datetime`, and a fixture may as well."""
    body = (PAYLOADS / "analysis_complete.a.json").read_bytes()
    ran = subprocess.run([sys.executable, "-c", _FROZEN, loaded, name], input=body, capture_output=True, check=False)
    assert (ran.returncode, ran.stderr.decode()) == (0, "")
