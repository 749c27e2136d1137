"""More waits at once than a window holds: a deadline is met wherever it can be, in the simulation of `benchmarks`."""

import pytest

from benchmarks.limits import FAR, batch
from kallglot_async.emulator.limits.plans import LimitSettings

MINUTE = 60.0


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({"window": "fixed"}, id="fixed"),
        pytest.param({"window": "sliding"}, id="log"),
        pytest.param({"window": "sliding_counter"}, id="counter"),
        pytest.param({"window": "token_bucket"}, id="bucket"),
        pytest.param({"window": "token_bucket", "bucket_reset": "next"}, id="bucket that names its next token"),
    ],
)
def test_three_hundred_at_the_documented_limit_are_delivered_within_the_default_timeout(settings):
    """As many as a dispatcher delivers that knows when each is ready: two windows' worth, in two minutes."""
    server = LimitSettings(rate_limit=(150, MINUTE), **settings)
    assert batch(server, 21, waits=300, ready=(22.0, 30.0), network=FAR)["delivered"] >= 1.0
