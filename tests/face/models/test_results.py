"""What an analysis found, in either revision: no repr shows it."""

import msgspec
from rich.pretty import pretty_repr
from support.oddities import everything

from kallglot_async.models import ActionItem, AnalysisStatus, Compliance, Outcome, PartySentiment, Report, Speaker


def test_no_repr_shows_call_text():
    """Neither Python's nor rich's, of an analysis or of those of its parts that hold call text."""
    value = everything("CANARY")
    value = msgspec.structs.replace(value, id="ana_1", session_id="sess_1", status=AnalysisStatus.COMPLETE)
    assert pretty_repr(value) == "Analysis(id='ana_1', status='complete', session_id='sess_1')"
    results, report = value.results, value.report
    discreet = [value, Outcome(id="ana_1", analysis=value), results, results.summary, *results.sentiment.key_moments]
    discreet += [report, report.sentiment]
    for part in discreet:
        assert "CANARY" not in repr(part)
        assert "CANARY" not in pretty_repr(part)
    assert repr(results) == "<Results sentiment, summary, action_items, quality, topics, compliance>"
    assert repr(report) == "<Report summary, sentiment, compliance, performance, keywords>"
    assert repr(Report()) == "<Report empty>"
    assert repr(results.summary) == "<Summary of 6 characters, 2 key points>"
    item = ActionItem(description="CANARY", assignee=Speaker.AGENT)
    assert "CANARY" not in repr(item) + pretty_repr(item)
    assert repr(item) == "<ActionItem for agent due None priority None>"
    assert repr(PartySentiment(customer="CANARY")) == "<PartySentiment of customer>"
    assert repr(Compliance(status="ok")) == "<Compliance ok, 0 flags>"
