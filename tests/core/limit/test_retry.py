"""Retries: which failures are worth one, after how long, and how many a client may spend."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kallglot_async import errors
from kallglot_async._core.api.analyses import create_analysis, retrieve_analysis
from kallglot_async._core.api.operation import Operation
from kallglot_async._core.limit.retry import RetryBudget, RetryPolicy, is_transient, may_have_acted

GET = retrieve_analysis("ana_1")
POST = create_analysis("sess_1", idempotency_key="k-1")
UNSAFE = Operation(name="x", method="POST", path="x", group="x", decode=bytes, body=b"{}")
LOST = errors.ConnectionLostError("lost")


def accepted(**fields):
    """Return what a 202 without a body is to a call that waits for nothing."""
    error = errors.ResponseBodyError("x", status=202)
    error.is_empty, error.retry_after = True, fields["retry_after"]
    return error


def policy(max_attempts=3, *, random=0.5, capacity=50):
    return RetryPolicy(max_attempts, RetryBudget(capacity), lambda: random)


@pytest.mark.parametrize(
    ("error", "transient"),
    [
        (errors.ConnectError("x"), True),
        (errors.ConnectionLostError("x"), True),
        (errors.RequestTimeoutError("x"), True),
        (errors.ProtocolError("x"), True),
        (errors.TLSError("x"), False),
        (errors.ProxyError("refused"), True),
        (errors.ProxyError("x", status=407), False),
        (errors.ProxyError("x", status=502), True),
        (errors.ServerError("x", status=511), False),
        (errors.ServerError("x", status=520), True),
        (errors.ServerError("x", status=530), True),
        (errors.APIError("x", status=499), True),
        (errors.ResponseBodyError("x", status=200), True),
        (errors.ResponseMismatchError("x", status=200), True),
        (errors.ResponseSchemaError("x", status=200), False),
        (errors.ResponseTooLargeError("x", status=200), False),
        (errors.UnexpectedRedirectError("x", status=302), False),
        (errors.InvalidRequestError("x", status=400), False),
        (errors.InvalidRequestError("x", status=422), False),
        (errors.AuthenticationError("x", status=401), False),
        (errors.InsufficientCreditsError("x", status=402), False),
        (errors.PermissionDeniedError("x", status=403), False),
        (errors.NotFoundError("x", status=404), False),
        (errors.ConflictError("x", status=409, code="idempotency_conflict"), True),
        (errors.ConflictError("x", status=409, code="already_exists"), False),
        (errors.ConflictError("x", status=409), False),
        (errors.RateLimitedError("x"), False),
        (errors.APIError("x", status=408), True),
        (errors.APIError("x", status=421), True),
        (errors.APIError("x", status=425), True),
        (errors.APIError("x", status=410), False),
        (errors.ServerError("x", status=500), True),
        (errors.ServerError("x", status=501), False),
        (errors.ServerError("x", status=502), True),
        (errors.ServerError("x", status=503), True),
        (errors.ServerError("x", status=504), True),
        (errors.ServerError("x", status=505), False),
        (errors.ConfigurationError("x"), False),
        (errors.InvalidIdError("x"), False),
        (errors.AnalysisFailedError("x"), False),
        (errors.WaitTimeoutError("x"), False),
        (errors.NotAttemptedError("x"), False),
        (errors.IdSourceError("x"), False),
    ],
    ids=lambda value: (
        f"{type(value).__name__} {getattr(value, 'status', '')}" if isinstance(value, Exception) else None
    ),
)
def test_failure_that_may_pass_is_transient(error, transient):
    """Lost connections, cut bodies, 408, 421, 425, 499, 5xx but 501, 505, 511 pass; what we sent, and TLS, do not."""
    assert is_transient(error) is transient


@pytest.mark.parametrize(
    ("error", "acted"),
    [
        (errors.ConnectError("x"), False),
        (errors.ProxyError("x"), False),
        (errors.ProxyError("x", status=407), False),
        (errors.TLSError("x"), False),
        (errors.ConnectionLostError("x"), True),
        (errors.RequestTimeoutError("x"), True),
        (errors.ProtocolError("x"), True),
        (errors.ResponseBodyError("x", status=200), True),
        (errors.ResponseSchemaError("x", status=200), True),
        (errors.ResponseTooLargeError("x", status=200), True),
        (errors.ResponseMismatchError("x", status=200), True),
        (errors.ServerError("x", status=500), True),
        (errors.ServerError("x", status=504), True),
        (errors.APIError("x", status=408), True),
        (errors.APIError("x", status=499), True),
        (errors.APIError("x", status=421), False),
        (errors.APIError("x", status=425), False),
        (errors.ConflictError("x", status=409, code="idempotency_conflict"), True),
        (errors.ConflictError("x", status=409), False),
        (errors.InvalidRequestError("x", status=400), False),
        (errors.InsufficientCreditsError("x", status=402), False),
        (errors.RateLimitedError("x"), False),
        (errors.ConfigurationError("x"), False),
    ],
    ids=lambda value: (
        f"{type(value).__name__} {getattr(value, 'status', '')}" if isinstance(value, Exception) else None
    ),
)
def test_outcome_is_uncertain_where_the_request_may_have_arrived(error, acted):
    """Never connected and plainly refused are certain; lost, late, unreadable and 5xx leave the outcome open."""
    assert may_have_acted(error) is acted


@pytest.mark.parametrize(
    ("failures", "delay"), [(1, 0.25), (2, 0.5), (3, 1.0), (4, 2.0), (5, 4.0), (6, 4.0), (7, 4.0), (2000, 4.0)]
)
def test_delay_doubles_up_to_its_cap(failures, delay):
    """With jitter of one half: half of 0.5 s, 1 s, 2 s, 4 s, and of 8 s from then on."""
    assert policy(10_000, random=0.5).next_delay(GET, LOST, failures) == delay


@pytest.mark.parametrize(("random", "delay"), [(0.0, 0.0), (0.25, 0.25), (0.999, 0.999)])
def test_jitter_is_full(random, delay):
    """The delay is uniform between nothing and the cap, so that clients that failed together part."""
    assert policy(random=random).next_delay(GET, LOST, 2) == delay


@pytest.mark.parametrize(
    ("max_attempts", "failures", "again"), [(3, 1, True), (3, 2, True), (3, 3, False), (3, 4, False), (1, 1, False)]
)
def test_attempts_are_counted_with_the_first(max_attempts, failures, again):
    """`max_attempts=3` is three requests in all, `max_attempts=1` is none again."""
    assert (policy(max_attempts).next_delay(GET, LOST, failures) is not None) is again


@pytest.mark.parametrize(("operation", "again"), [(GET, True), (POST, True), (UNSAFE, False)])
def test_only_repeatable_operations_are_repeated(operation, again):
    """A GET, or a POST with an idempotency key; never a POST that could do something twice."""
    assert (policy().next_delay(operation, LOST, 1) is not None) is again


def test_permanent_failure_is_not_repeated():
    """What will not pass ends the call at its first attempt."""
    assert policy().next_delay(GET, errors.NotFoundError("x", status=404), 1) is None


@pytest.mark.parametrize(
    ("error", "delay"),
    [
        (errors.ServerError("x", status=503, retry_after=30.0), 30.025),
        (errors.ServerError("x", status=503, retry_after=0.0), 0.025),
        (errors.ConflictError("x", status=409, code="idempotency_conflict", retry_after=2.0), 2.025),
        (errors.ConflictError("x", status=409, code="idempotency_conflict", retry_after=0.0), 0.275),
        (accepted(retry_after=3.0), 3.025),
        (errors.ServerError("x", status=503), 0.25),
    ],
)
def test_time_the_server_named_is_honoured(error, delay):
    """Never before `Retry-After`, and a little spread behind it; what is under way is not asked for in a loop."""
    assert policy(random=0.5).next_delay(POST, error, 1) == pytest.approx(delay)


@given(
    st.floats(0, 1, exclude_max=True),
    st.integers(1, 10**6),
    st.none() | st.floats(0, 86_400),
)
def test_delay_is_never_negative_early_or_late(random, failures, retry_after):
    """Between what the server named and 8 s above it, for any number of failures."""
    error = errors.ServerError("x", status=503, retry_after=retry_after)
    delay = policy(10**9, random=random).next_delay(GET, error, failures)
    assert (retry_after or 0.0) <= delay <= (retry_after or 0.0) + 8.0


class TestBudget:
    def test_holds_fifty_retries(self):
        """A fresh client may retry 50 times before the first success."""
        budget = RetryBudget()
        assert [budget.spend() for _ in range(51)] == [True] * 50 + [False]
        assert (budget.left, budget.spent) == (0.0, 50)

    def test_remembers_whether_the_api_was_ever_heard(self):
        """Retries are spent in hope; only an answer shows that the address is right."""
        budget = RetryBudget()
        budget.spend()
        assert not budget.is_reached
        budget.on_answer()
        assert budget.is_reached

    def test_ten_answers_pay_for_one_retry(self):
        """Once empty, one retry in ten answered requests: 1.1 times the offered requests in an outage."""
        budget = RetryBudget(1)
        assert budget.spend()
        for _ in range(9):
            budget.on_answer()
        assert not budget.spend()
        budget.on_answer()
        assert budget.spend()
        assert not budget.spend()

    def test_does_not_grow_beyond_its_capacity(self):
        """A good day does not pay for a storm of retries."""
        budget = RetryBudget(2)
        for _ in range(1000):
            budget.on_answer()
        assert budget.left == 2.0
        assert [budget.spend() for _ in range(3)] == [True, True, False]

    def test_refused_retry_costs_nothing(self):
        """Asking in vain takes nothing away."""
        budget = RetryBudget(1)
        budget.spend()
        for _ in range(5):
            budget.on_answer()
        assert not budget.spend()
        assert budget.left == 0.5

    @given(st.lists(st.booleans(), max_size=300), st.integers(1, 20))
    def test_retries_never_exceed_capacity_and_a_tenth_of_the_answers(self, steps, capacity):
        """Whatever the order: retries spent are at most the capacity and a tenth of the answered requests."""
        budget, spent, answers = RetryBudget(capacity), 0, 0
        for is_answer in steps:
            if is_answer:
                budget.on_answer()
                answers += 1
            else:
                spent += budget.spend()
            assert 0.0 <= budget.left <= capacity
            assert spent <= capacity + answers / 10

    @given(st.lists(st.sampled_from(["answer", "retry", "look"]), max_size=60), st.integers(1, 3))
    def test_whole_is_what_an_answer_leaves_as_it_is(self, steps, capacity):
        """Who finds it whole need not tell it of an answer."""
        budget, now = RetryBudget(capacity), 0.0
        for step in [*steps, "answer"]:
            before = [getattr(budget, name) for name in RetryBudget.__slots__]
            was_whole = budget.is_whole
            if step == "answer":
                budget.on_answer()
                assert (before == [getattr(budget, name) for name in RetryBudget.__slots__]) >= was_whole
                assert budget.is_whole <= budget.is_reached
            elif step == "retry":
                assert not (budget.spend() and budget.is_whole)
            else:
                budget.on_look(now := now + 1.0)
                assert not budget.is_whole

    def test_is_whole_once_it_is_full_and_the_api_was_heard(self):
        """And again, after what was spent is paid back."""
        budget = RetryBudget(1)
        assert not budget.is_whole
        budget.on_answer()
        assert budget.is_whole
        budget.spend()
        for _ in range(10):
            assert not budget.is_whole
            budget.on_answer()
        assert budget.is_whole

    def test_is_shared_by_all_calls(self):
        """Two policies on one budget spend the same retries, and either refills it."""
        budget = RetryBudget(1)
        one, other = RetryPolicy(3, budget, lambda: 0.5), RetryPolicy(3, budget, lambda: 0.5)
        assert one.next_delay(GET, LOST, 1) == 0.25
        assert other.next_delay(GET, LOST, 1) is None
        for _ in range(10):
            other.on_success()
        assert one.next_delay(GET, LOST, 1) == 0.25

    @pytest.mark.parametrize(("within", "delay", "left"), [(0.25, 0.25, 0.0), (0.24, None, 1.0), (-1.0, None, 1.0)])
    def test_retry_beyond_the_deadline_does_not_happen_and_is_not_charged(self, within, delay, left):
        """An attempt that could begin only after the deadline is none, and leaves its retry to others."""
        budget = RetryBudget(1)
        assert RetryPolicy(3, budget, lambda: 0.5).next_delay(GET, LOST, 1, within=within) == delay
        assert budget.left == left

    @pytest.mark.parametrize(
        ("operation", "error", "failures"),
        [(GET, LOST, 3), (UNSAFE, LOST, 1), (GET, errors.NotFoundError("x", status=404), 1)],
    )
    def test_retry_that_does_not_happen_is_not_charged(self, operation, error, failures):
        """Giving up for another reason leaves the budget as it was."""
        budget = RetryBudget(1)
        assert RetryPolicy(3, budget, lambda: 0.5).next_delay(operation, error, failures) is None
        assert budget.left == 1.0


class TestLooksThatTheBudgetDoesNotPayFor:
    def looks(self, budget, *, start=0.0, number=1):
        """Look so often, each as soon as it may be, in vain; return when."""
        moments, now = [], start
        for _ in range(number):
            now = max(now, budget.next_look(-1e9))
            budget.on_look(now)
            moments.append(now)
        return moments

    def test_the_gap_doubles_while_nobody_is_answered(self):
        """Up to a minute, once five met nothing: an outage costs few requests, however many wait."""
        moments = self.looks(RetryBudget(0), number=18)
        gaps = [after - before for before, after in pairwise(moments)]
        assert gaps == pytest.approx([0.05] * 4 + [min(60.0, 0.05 * 2.0**n) for n in range(13)])

    def test_an_api_that_fails_now_and_then_is_there(self):
        """Four of five looks meet nothing, and the gap stays what it is; nor does any id wait longer each time."""
        budget = RetryBudget(0)
        policy = RetryPolicy(3, budget, lambda: 0.5)
        for _ in range(20):
            self.looks(budget, number=4)
            assert policy.slow_delay(7) == 10.0
            budget.on_answer()
        first, second = self.looks(budget, number=2)
        assert second - first == pytest.approx(0.05)
        self.looks(budget, number=3)
        assert policy.slow_delay(7) == 60.0

    def test_what_others_meet_as_well_is_not_waited_for(self):
        """Two looks in a row that met nothing let those go that wait for the same; one between answers does not."""
        budget = RetryBudget(0)
        for _ in range(3):
            [alone] = self.looks(budget, number=1)
            budget.on_answer()
            assert budget.next_look(alone + 10.0) == alone + 10.0
        last = self.looks(budget, number=2)[-1]
        budget.on_answer()
        for _ in range(30):
            assert budget.next_look(last + 10.0) == pytest.approx(last + 0.05)
            last += 0.05
            budget.on_look(last)
            budget.on_answer()
        assert budget.next_look(last + 10.0) == last + 10.0

    def test_an_id_is_not_let_go_before_its_own_pace(self):
        budget = RetryBudget(0)
        assert budget.next_look(7.0) == 7.0
        budget.on_look(7.0)
        assert budget.next_look(0.0) == 7.05

    def test_after_an_outage_nobody_waits_for_its_own_pace_and_nobody_storms(self):
        """The first answer brings the next look within a second, each further one a tenth nearer."""
        budget = RetryBudget(0)
        last = self.looks(budget, number=16)[-1]
        assert budget.next_look(last + 500.0) == last + 500.0
        gaps = []
        for _ in range(40):
            budget.on_answer()
            at = budget.next_look(last + 500.0)
            if at == last + 500.0:
                break
            gaps.append(at - last)
            budget.on_look(at)
            last = at
        assert gaps[:3] == pytest.approx([0.9, 0.81, 0.729])
        assert gaps == sorted(gaps, reverse=True)
        assert len(gaps) == 30
