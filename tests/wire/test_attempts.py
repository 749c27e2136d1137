"""What the attempts of one direct call have shown, as the error that ends it tells."""

import pytest

from kallglot_async import errors
from kallglot_async._clock import Deadlines
from kallglot_async._core.api.analyses import create_analysis
from kallglot_async._wire.attempts import Attempts

BUSY = errors.ServerError("busy", status=503)
REFUSED = errors.ConnectError("refused")


def attempts():
    return Attempts(create_analysis("sess_1", idempotency_key="k-1"), Deadlines(None).start(10.0), is_patient=False)


async def test_attempts_are_told_in_their_order():
    """How many there were and what each met, the last one included."""
    it = attempts()
    for number, error in enumerate((REFUSED, BUSY, REFUSED), start=1):
        assert it.attempt == number
        it.on_failure(error)
    told = it.tell(errors.ConnectError("refused again"))
    assert told.attempts == 3
    assert told.history == (str(REFUSED), str(BUSY), str(REFUSED))


@pytest.mark.parametrize(
    ("met", "key"), [((REFUSED, REFUSED), None), ((BUSY, REFUSED), "k-1"), ((REFUSED, BUSY), "k-1")]
)
async def test_a_key_is_told_once_any_attempt_may_have_been_acted_upon(met, key):
    """However certain it is of the last one that nothing came of it."""
    it = attempts()
    for error in met:
        it.on_failure(error)
    assert it.tell(errors.ConnectError("refused")).idempotency_key == key
