"""What a scheduler may count on."""

import math

from kallglot_async._core.limit.supply import Supply


def test_two_limits_together_give_the_lesser_of_each():
    """The slower rate, the fewer requests, the nearer renewal."""
    window = Supply(rate=2.5, remaining=100.0, resets_in=30.0, can_run_low=True)
    assert window.within(Supply(rate=1.0, remaining=200.0, resets_in=60.0)) == Supply(1.0, 100.0, 30.0, True)
    assert window.within(Supply(rate=5.0, remaining=20.0, resets_in=10.0)) == Supply(2.5, 20.0, 10.0, True)


def test_a_limit_beside_nothing_known_is_all_there_is():
    """Unlimited and unknown are infinite: whatever else is known is less."""
    assert Supply().within(Supply(rate=1.0, remaining=2.0, resets_in=3.0)) == Supply(1.0, 2.0, 3.0)
    assert Supply().within(Supply()).rate == math.inf


def test_a_share_of_the_rate_is_a_time_between_two_requests():
    """Half of two a second is one a second; of nothing never, and of no limit at once."""
    assert Supply(rate=2.0).seconds_per_request(0.5) == 1.0
    assert Supply(rate=0.0).seconds_per_request(0.5) == math.inf
    assert Supply().seconds_per_request(0.5) == 0.0


def test_what_is_to_spare_is_what_no_pending_id_will_need():
    """One request for each is kept; less than that is a lack, and nothing is to spare of what is not known."""
    assert Supply(remaining=10.0).spare(4) == 6.0
    assert Supply(remaining=2.0).spare(4) == -2.0
    assert Supply().spare(4) == 0.0
