"""What every model is: frozen, open to texts that nobody documented, and the same after a round trip."""

import copy
import datetime
import inspect
import pickle
import typing

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.examples import values
from support.values import analysis

from kallglot_async import models
from kallglot_async.models import AnalysisStatus, Model, OpenEnum, Outcome, Priority, SentimentLabel, Speaker, Trend

ENUMS = [AnalysisStatus, SentimentLabel, Trend, Speaker, Priority]
STRUCTS = [thing for name in models.__all__ if isinstance(thing := getattr(models, name), type(Model))]


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


@pytest.mark.parametrize("kind", [kind for kind in STRUCTS if issubclass(kind, Model)])
def test_model_is_frozen_and_its_fields_are_given_by_name(kind):
    """A field that the API adds later can go anywhere without changing what a positional argument means."""
    assert kind.__struct_config__.frozen
    places = inspect.signature(kind).parameters.values()
    assert [place.name for place in places if place.kind is not place.KEYWORD_ONLY] == []


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
