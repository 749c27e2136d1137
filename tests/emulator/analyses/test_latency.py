"""How long analyses take."""

from __future__ import annotations

import math
from typing import Any

import pytest

from kallglot_async.emulator import Latency


def test_uniform_latency_stays_between_its_bounds() -> None:
    """Quantiles map evenly onto the interval; equal bounds make it a constant; immediate is zero."""
    assert Latency.uniform(2.0, 4.0).seconds(0.25) == 2.5
    assert Latency.uniform(3.0, 3.0).seconds(0.9) == 3.0
    assert Latency.immediate().seconds(0.9) == 0.0
    assert Latency.after_polls(2).seconds(0.9) is None


@pytest.mark.parametrize(
    "make",
    [
        lambda: Latency.log_normal(median=0.0),
        lambda: Latency.log_normal(sigma=-1.0),
        lambda: Latency.log_normal(median=math.nan),
        lambda: Latency.uniform(3.0, 2.0),
        lambda: Latency.uniform(-1.0, 2.0),
        lambda: Latency.after_polls(-1),
    ],
)
def test_senseless_latencies_are_refused(make: Any) -> None:
    """A law that cannot be is an error where it is made."""
    with pytest.raises(ValueError):
        make()
