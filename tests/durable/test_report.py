"""What an outcome makes of its id: final is what the API says of the id itself."""

import pytest

from kallglot_async import BatchReport, ConfigurationError, errors
from kallglot_async._durable.report import check_state, state_of
from kallglot_async.models import Analysis, Outcome

ANALYSIS = Analysis(id="ana_1", object="analysis", status="complete")


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (errors.NotAttemptedError("its turn did not come"), "left"),
        (errors.WaitTimeoutError("too late"), "given_up"),
        (errors.InvalidIdError("no id"), "failed"),
        (errors.AnalysisFailedError("failed", analysis=ANALYSIS), "failed"),
        (errors.NotFoundError("gone", status=404), "failed"),
        (errors.InvalidRequestError("no", status=422), "failed"),
        (errors.ResponseSchemaError("odd", status=200), "failed"),
        (errors.ServerError("down", status=503), "given_up"),
        (errors.RateLimitedError("later"), "given_up"),
        (errors.AuthenticationError("revoked", status=401), "given_up"),
        (errors.InsufficientCreditsError("empty", status=402), "given_up"),
        (errors.TLSError("expired"), "given_up"),
        (errors.ConnectError("refused"), "given_up"),
        (errors.RequestTimeoutError("slow"), "given_up"),
    ],
)
def test_an_error_is_final_or_passes(error, state):
    """What passes, and what concerns the key, the account or the way, is taken up by the next run."""
    assert state_of(Outcome(id="ana_1", error=error)) == state


def test_an_analysis_is_done():
    """Whatever it says."""
    assert state_of(Outcome(id="ana_1", analysis=ANALYSIS)) == "done"


def test_a_batch_is_complete_when_no_run_could_do_more():
    """Failures are final, everything else is not."""
    assert BatchReport(total=3, done=2, failed=1).is_complete
    for rest in ("left", "given_up", "uncertain"):
        assert not BatchReport(total=3, done=2, **{rest: 1}).is_complete


def test_a_state_that_there_is_not():
    """It names those that there are."""
    with pytest.raises(ConfigurationError, match="state is one of done, failed, not 'gone'"):
        check_state("gone", "done", "failed")
