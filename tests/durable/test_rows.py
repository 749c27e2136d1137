"""Outcomes in a file: what is read is equal to what was stored."""

import contextlib
import itertools

import msgspec
import pytest
from support.payloads import PAYLOADS

from kallglot_async import KallglotClient, errors
from kallglot_async._core.api.analyses import Revision, decode_analysis
from kallglot_async._durable.rows import KEEP, outcomes_in, row_of, rows_of
from kallglot_async._durable.schema import open_to_write
from kallglot_async.models import Analysis, Outcome
from kallglot_async.models.meta import kept_of

A = decode_analysis((PAYLOADS / "analysis_complete.a.json").read_bytes(), Revision.A)
B = decode_analysis((PAYLOADS / "analysis_completed.b.json").read_bytes(), Revision.B)
ODD = Analysis(id="ana_\u2028", object="analysis", status="half way\x7f", language="\u202e")


def as_sent(body, **more):
    """An outcome whose analysis came over the wire, with what this version knows nothing of, and something damaged."""
    members = msgspec.json.decode(body) | more
    raw = msgspec.json.encode(members)
    analysis = decode_analysis(raw, Revision.B if members["id"].startswith("anl_") else Revision.A)
    kept_of(analysis)["raw"] = raw
    return Outcome(id=members["id"], analysis=analysis, polls=1)


def failed():
    error = errors.AuthenticationError("revoked", operation="analyses.retrieve", status=401, code="revoked_api_key")
    error.attempts, error.history = 2, ("one", "two")
    return error


@pytest.mark.parametrize(
    "outcome",
    [
        Outcome(id="ana_1", analysis=A, polls=3, elapsed=12.5),
        Outcome(id="sess_1", analysis=B),
        Outcome(id='odd "id" \u2028', analysis=ODD, elapsed=1e-9),
        Outcome(id="ana_2", error=failed(), polls=2, elapsed=0.1),
        Outcome(id="ana_3", error=errors.AnalysisFailedError("failed", analysis=A), polls=1),
        Outcome(id="ana_4", error=errors.WaitTimeoutError("late", id="ana_4", last_status="queued", polls=7)),
    ],
    ids=lambda outcome: ascii(outcome.id),
)
def test_what_is_stored_is_read_back(tmp_path, outcome):
    """Analyses of both revisions, errors with their fields, and texts of any kind."""
    with contextlib.closing(open_to_write(tmp_path / "batch")) as connection:
        connection.execute("INSERT INTO item (id) VALUES (?)", (outcome.id,))
        connection.execute(KEEP, row_of(outcome))
        assert list(outcomes_in(rows_of(None, 0, -1, connection))) == [outcome]


@pytest.mark.parametrize("name", ["analysis_complete.a", "analysis_completed.b"])
def test_an_analysis_is_kept_as_it_was_sent(tmp_path, name):
    """Byte for byte: what no field takes, and what could not be read, is told of it as when it came."""
    outcome = as_sent((PAYLOADS / f"{name}.json").read_bytes(), future={"is": "here"}, completed_at={"odd": 1})
    with contextlib.closing(open_to_write(tmp_path / "batch")) as connection:
        connection.execute("INSERT INTO item (id) VALUES (?)", (outcome.id,))
        connection.execute(KEEP, row_of(outcome))
        [found] = outcomes_in(rows_of(None, 0, -1, connection))
    assert found == outcome
    assert found.analysis.raw == outcome.analysis.raw
    assert found.analysis.extra == outcome.analysis.extra
    assert found.analysis.extra["future"] == {"is": "here"}
    assert found.analysis.problems == outcome.analysis.problems != ()


@pytest.mark.parametrize("body", [b"", b"[]", b'{"id":"ana_2","object":"analysis","status":"complete"}'])
def test_a_damaged_answer_is_an_error_of_its_own(body):
    """It names the id, and quotes nothing."""
    with pytest.raises(errors.RecordError, match="what the file holds of ana_1 is no answer of the API"):
        next(outcomes_in([(1, "ana_1", "ana_1", 1, 0.0, None, body)]))


def test_rows_that_come_again_are_damage_and_not_without_an_end():
    """A page of a damaged file may lead back to itself."""
    row = (1, "ana_1", "ana_1", 0, 0.0, None, None)
    found = outcomes_in(itertools.repeat(row))
    assert next(found).id == "ana_1"
    with pytest.raises(errors.RecordError, match="are in no order: it is damaged: restore a copy"):
        next(found)


async def test_outcomes_that_are_read_in_parts_have_an_end_too(tmp_path):
    """Each part is in order, and the next one is the same again."""

    class Again:
        async def call(self, read):
            return [(number, f"ana_{number}", f"ana_{number}", 0, 0.0, None, None) for number in (1, 2)]

    batch = KallglotClient("sk_test_1").open_batch(tmp_path / "b")
    batch._writer = Again()
    found = batch.outcomes("left")
    assert [(await anext(found)).id for _ in range(2)] == ["ana_1", "ana_2"]
    with pytest.raises(errors.RecordError, match="are in no order"):
        await anext(found)
