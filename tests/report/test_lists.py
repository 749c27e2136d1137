"""What is read: everything to do, and the calls that links lead to."""

import re

from support import batches
from support.batches import page

from kallglot_async.models import ActionItem, Analysis, AnalysisStatus, Outcome, Results


def to_do(count):
    items = tuple(ActionItem(description=f"thing {n}") for n in range(count))
    analysis = Analysis(
        id="ana_1", object="analysis", status=AnalysisStatus.COMPLETE, results=Results(action_items=items)
    )
    return [Outcome(id="ana_1", analysis=analysis)]


def test_everything_to_do_is_there_and_a_hundred_lines_are_seen():
    """The rest is folded, none is left out."""
    text = page(to_do(250))
    seen, _, folded = text[text.index("<h2>To do") :].partition("<details>")
    assert seen.count("<dd>") == 100
    assert folded.startswith("<summary>150 more</summary>")
    assert all(f"thing {n} " in text for n in range(250))
    assert "<details>" not in page(to_do(100))[text.index("<h2>To do") :].partition("<h2>Calls")[0]


def test_links_lead_to_rows_of_this_page():
    """Each to one."""
    text = page(batches.outcomes(300))
    links, rows = set(re.findall(r"href=#(\d+)", text)), re.findall(r"<tr id=(\d+)", text)
    assert len(links) > 10
    assert links == set(rows)
    assert len(rows) == len(set(rows))
