"""A rate limit: so many requests in so many seconds."""

import math

import pytest

from kallglot_async.errors import ConfigurationError
from kallglot_async.models import RateLimit


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
