"""An analysis: names that both revisions share, and a repr without call text."""

import copy
import datetime
import pickle

import msgspec
import pytest
from support.payloads import PAYLOADS
from support.values import analysis

from kallglot_async.errors import AnalysisFailedError
from kallglot_async.models import (
    Analysis,
    AnalysisStatus,
    FailureDetail,
    Outcome,
    Outcomes,
    PartySentiment,
    Report,
    Results,
    Speaker,
    Summary,
)


@pytest.mark.parametrize("status", ["complete", "failed", "of tomorrow"])
def test_made_by_hand_with_a_text_as_status_it_is_like_one_that_was_read(status):
    """As fakes in users' tests are made: it was an AttributeError wherever it was shown."""
    made = Analysis(id="ana_1", object="analysis", status=status)
    read = Analysis(id="ana_1", object="analysis", status=AnalysisStatus(status))
    assert made == read
    for show in (repr, Analysis.__rich_repr__, Analysis._repr_html_, Analysis.to_json):
        assert show(made) == show(read)
    made, read = (Outcomes([Outcome(id="ana_1", analysis=value)]) for value in (made, read))
    for show in (Outcomes._repr_html_, Outcomes.to_html, Outcomes.to_json):
        assert show(made) == show(read)


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


def moment(year):
    return datetime.datetime(year, 3, 26, 11, 10, tzinfo=datetime.UTC)


async def test_no_way_of_showing_an_analysis_shows_call_text() -> None:
    """repr, str, format and rich."""
    from rich.pretty import pretty_repr

    body = b'{"id":"ana_1","object":"analysis","status":"complete","results":{"summary":{"brief":"CANARY"}}}'
    analysis = msgspec.json.decode(body, type=Analysis)
    assert analysis.summary_text == "CANARY"
    assert "CANARY" not in f"{analysis!r} {analysis} {pretty_repr(analysis)}"
