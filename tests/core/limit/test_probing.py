"""The limit of a server that announces none, asked and told at literal times."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.limits import DIRECT, Server, kinds, offsets, send

from kallglot_async._core.api.headers import parse_retry_after
from kallglot_async._core.limit.probing import Probing
from kallglot_async._core.limit.ticket import Ticket


def test_unannounced_limits_are_unrestricted_until_refused():
    """A server without headers that never refuses is never slowed down."""
    probing = Probing()
    for _ in range(1000):
        send(probing, 1.0)
    assert probing.next_at(32.0, DIRECT) == -math.inf


def test_a_refusal_without_headers_sets_the_rate_to_most_of_what_was_accepted():
    """150 accepted in 60 s, then refused: 0.8 of 2.5 a second, and a little more with every answer."""
    probing = Probing()
    send(probing, 0.0)
    for _ in range(150):
        probing.on_answer(Ticket(0.0), 0.0, None)
    probing.on_refused(Ticket(60.0), 60.0, None, 90.0)
    assert probing.rate == pytest.approx(2.0)
    probing.on_answer(Ticket(0.0), 0.0, None)
    assert probing.rate == pytest.approx(2.0025)


def test_after_a_refusal_without_headers_one_request_tests_the_water():
    """The next one waits for its answer, and may go whether that comes or not."""
    probing = Probing()
    probing.on_refused(Ticket(0.0), 0.1, None, 30.1)
    test = send(probing, 31.0)
    assert probing.next_at(32.0, DIRECT) == math.inf
    probing.on_lost(test)
    assert probing.next_at(32.0, DIRECT) < math.inf
    again = send(probing, 32.0)
    probing.on_answer(again, 32.1, None)
    assert probing.next_at(32.0, DIRECT) < math.inf


def test_refusals_of_one_burst_count_once():
    """Requests that were under way when the first of them was refused say nothing new."""
    probing = Probing()
    send(probing, 0.0)
    for _ in range(100):
        probing.on_answer(Ticket(0.0), 0.0, None)
    probing.on_refused(Ticket(9.0), 10.0, None, 40.0)
    rate = probing.rate
    probing.on_refused(Ticket(9.5), 10.1, None, 40.1)
    assert probing.rate == rate


@given(
    limit=st.integers(20, 300),
    period=st.sampled_from([1.0, 10.0, 60.0]),
    kind=kinds,
    offset=offsets,
)
def test_probing_stays_around_what_the_server_allows(limit, period, kind, offset):
    """Without headers: additive increase, multiplicative decrease, and at most 2 % refused in the long run."""
    server = Server(kind, (limit, period), offset=offset, has_headers=False)
    probing, now, paused_until = Probing(), 0.0, 0.0
    sent = refused = 0
    while sent < 30 * limit:
        now = max(now + 1e-3, probing.next_at(now, DIRECT), paused_until)
        ticket = send(probing, now)
        is_accepted, headers = server.ask(now)
        is_late = sent > 15 * limit
        sent += 1
        if is_accepted:
            probing.on_answer(ticket, now, None)
        else:
            refused += is_late
            paused_until = now + parse_retry_after(headers, wall_now=now)
            probing.on_refused(ticket, now, None, paused_until)
    assert refused <= 0.02 * 15 * limit
