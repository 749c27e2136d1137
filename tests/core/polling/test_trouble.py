"""What follows from a failed poll, at literal times."""

import math

import pytest

from kallglot_async import errors
from kallglot_async._core.api.analyses import retrieve_analysis
from kallglot_async._core.limit.retry import RetryBudget, RetryPolicy
from kallglot_async._core.polling.pending import FIRM, Entry
from kallglot_async._core.polling.trouble import End, FirstContact, Patience, Probe, Verdict, stranded_at

GATEWAY = errors.ServerError("x", status=503)
GET = retrieve_analysis("ana_1")


def entry(id="ana_1", *, timeout=120.0, first_poll_at=0.0, **fields):
    it = Entry(id, "a", 0.0, 0.0, None, timeout, FIRM, **fields)
    it.begin(first_poll_at)
    return it


class Call:
    """One call, whose client was answered before unless it is a stranger."""

    def __init__(self, *, retries=50, is_stranger=False, random=0.5):
        self.budget = RetryBudget(retries)
        self.budget.is_reached = not is_stranger
        self.patience = Patience(RetryPolicy(3, self.budget, lambda: random))
        self.probe = Probe()

    def fails(self, it, error, now, *, is_own=False, is_accepted=True):
        verdict = self.patience.next_look(it, GET, error, now, probe=self.probe, is_own=is_own, is_accepted=is_accepted)
        it.failures += verdict.end is End.NOTHING
        return verdict


def refusal(status, *, is_enveloped=True):
    kinds = {401: errors.AuthenticationError, 403: errors.PermissionDeniedError, 404: errors.NotFoundError}
    error = kinds.get(status, errors.APIError)("x", status=status)
    error.is_enveloped = is_enveloped
    return error


class TestWhatPasses:
    def test_it_is_looked_at_again_ever_more_slowly(self):
        """Half a second, doubled with each failure, between a half and all of it by luck; a minute at most."""
        call, it = Call(), entry(timeout=None)
        gaps = [call.fails(it, GATEWAY, float(now)).again_in for now in range(10)]
        assert gaps == [0.75 * gap for gap in (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0)]

    def test_who_has_time_never_asks_again_at_once(self):
        """Not even with no luck at all."""
        call, it = Call(random=0.0), entry()
        assert [call.fails(it, GATEWAY, 1.0).again_in for _ in range(3)] == [0.25, 0.5, 1.0]

    def test_a_time_that_was_named_is_kept_up_to_a_minute(self):
        """An hour of it would be the end."""
        busy = [errors.ServerError("x", status=503, retry_after=seconds) for seconds in (5.0, 3600.0)]
        assert [Call().fails(entry(), error, 1.0).again_in for error in busy] == pytest.approx([5.0375, 60.0375])

    def test_an_empty_budget_ends_nothing_but_holds(self):
        """Ten seconds on average, then twice that; it begins where the budget ended, not with the failures."""
        call, it = Call(retries=2), entry(timeout=None)
        for moment in range(5):  # nobody is there
            call.budget.on_look(float(moment))
        verdicts = [call.fails(it, GATEWAY, float(now)) for now in range(7)]
        assert [verdict.is_held for verdict in verdicts] == [False, False, True, True, True, True, True]
        assert [verdict.again_in for verdict in verdicts[2:]] == [10.0, 20.0, 40.0, 60.0, 60.0]
        assert {verdict.end for verdict in verdicts} == {End.NOTHING}

    def test_past_its_deadline_it_ends_as_a_timeout(self):
        """Whatever failed last."""
        assert Call().fails(entry(timeout=10.0), GATEWAY, 9.9).end is End.NOTHING
        assert Call().fails(entry(timeout=10.0), GATEWAY, 10.0) == Verdict(End.TIME)

    def test_what_was_out_as_its_time_passed_unseen_gets_no_retry_but_its_late_look(self):
        """Which is due at once; a retry could come after the second that it has."""
        assert Call().fails(entry(timeout=10.0, is_stale=True), GATEWAY, 9.0) == Verdict(End.TIME)

    def test_failures_are_kept_on_the_entry(self):
        """The latest ten, and their number on the error."""
        call, it = Call(), entry(timeout=None)
        for number in range(12):
            error = errors.ServerError(f"failure {number}", status=503)
            call.fails(it, error, float(number))
        assert it.trouble.since == 0.0
        assert it.trouble.history == tuple(f"failure {number} (503)" for number in range(2, 12))
        assert (error.attempts, error.history) == (12, it.trouble.history)


class TestBeforeAnyAnswer:
    def test_attempts_end_everything_where_nobody_answers(self):
        """They are counted over all ids: one request asks for all."""
        call = Call(is_stranger=True)
        lost = [errors.ConnectError("x") for _ in range(3)]
        ends = [call.fails(entry(f"ana_{n}"), error, float(n)).end for n, error in enumerate(lost)]
        assert ends == [End.NOTHING, End.NOTHING, End.UNREACHED]
        assert lost[-1].attempts == len(lost[-1].history) == 3

    def test_the_next_request_of_all_waits_for_the_retry(self):
        call = Call(is_stranger=True)
        again_in = call.fails(entry(), GATEWAY, 7.0).again_in
        assert call.probe.next_at == 7.0 + again_in > 7.0

    def test_without_a_budget_all_ask_again_once_in_ten_seconds(self):
        """One request for all of them needs no rarer looks."""
        call = Call(retries=0, is_stranger=True)
        assert [call.fails(entry(), GATEWAY, float(now)).again_in for now in range(3)] == [10.0] * 3

    def test_a_gateway_is_believed_for_half_a_minute(self):
        """Counted from its first answer, and at least as many attempts."""
        call = Call(is_stranger=True)
        ends = [call.fails(entry(timeout=None), GATEWAY, at).end for at in (5.0, 6.0, 20.0, 34.9, 35.0)]
        assert ends == [End.NOTHING] * 4 + [End.UNREACHED]
        slow = Call(is_stranger=True)
        assert [slow.fails(entry(timeout=None), GATEWAY, at).end for at in (0.0, 40.0)] == [End.NOTHING] * 2

    @pytest.mark.parametrize("error", [errors.TLSError("x"), errors.ProxyError("x", status=407)])
    def test_what_bars_the_way_ends_it_at_once(self, error):
        """There is no other way for any id; once the API was heard, it is an interlude."""
        assert Call(is_stranger=True).fails(entry(), error, 1.0).end is End.UNREACHED
        assert Call().fails(entry(), error, 1.0).end is End.NOTHING


class Waiting:
    """A poller that writes down what it is told."""

    def __init__(self):
        self.told = []

    def wake(self):
        self.told.append("wake")

    def on_unreached(self, error):
        self.told.append(error)


class TestFirstContact:
    def test_one_asks_and_the_others_wait(self):
        """Whoever comes first sends when its last failure allows it; an answer lets all others go on."""
        contact, first, second = FirstContact(), Waiting(), Waiting()
        assert contact.next_probe(first) == -math.inf
        contact.probe.next_at = 5.0
        assert [contact.next_probe(one) for one in (first, second, second)] == [5.0, math.inf, math.inf]
        contact.on_reached()
        assert (first.told, second.told) == ([], ["wake"])

    def test_what_ends_one_ends_all(self):
        """With nobody there, who waits for the answer waits in vain."""
        contact, first, second = FirstContact(), Waiting(), Waiting()
        for one in (first, second):
            contact.next_probe(one)
        contact.on_unreached(first, GATEWAY)
        assert first.told == second.told == [GATEWAY]
        assert contact.prober is None

    def test_who_leaves_hands_over(self):
        """The next one asks anew; one that only waited is missed by nobody."""
        contact, first, second, third = FirstContact(), Waiting(), Waiting(), Waiting()
        for one in (first, second, third):
            contact.next_probe(one)
        contact.probe.next_at = 5.0
        contact.leave(third)
        assert second.told == []
        contact.leave(first)
        assert (first.told, second.told, third.told) == ([], ["wake"], [])
        assert contact.next_probe(second) == -math.inf

    def test_those_of_a_loop_that_is_gone_are_told_by_who_knows_it(self):
        """They are given back, each once, and wait for nothing here any more."""
        contact, first, second = FirstContact(), Waiting(), Waiting()
        for one in (first, second):
            contact.next_probe(one)
        assert contact.forget() == [second, first]
        assert contact.forget() == []
        assert first.told == second.told == []


class TestRefusals:
    @pytest.mark.parametrize("status", [401, 403])
    def test_a_key_is_under_suspicion_until_another_id_hears_the_same(self, status):
        call = Call()
        assert [call.fails(entry(f"ana_{n}"), refusal(status), 1.0).end for n in range(2)] == [End.ID, End.CALL]

    def test_an_answer_in_between_clears_the_key(self):
        """A 404 of the API's own is one too; a gateway's page is not."""
        call = Call()
        ends = [call.fails(entry(), refusal(status), 1.0).end for status in (403, 404, 403, 422, 401)]
        assert ends == [End.ID, End.NOTHING, End.ID, End.ID, End.ID]
        call.patience.suspicion.on_accepted()
        assert call.fails(entry(), refusal(403), 1.0).end is End.ID
        assert call.fails(entry(), GATEWAY, 1.0).end is End.NOTHING
        assert call.fails(entry(), refusal(403), 1.0).end is End.CALL

    def test_before_anything_was_accepted_there_is_no_doubt(self):
        assert Call().fails(entry(), refusal(401), 1.0, is_accepted=False).end is End.CALL

    def test_credits_end_the_call_and_other_refusals_the_id(self):
        assert Call().fails(entry(), refusal(402), 1.0).end is End.CALL
        assert Call().fails(entry(), refusal(422), 1.0).end is End.ID
        assert Call().fails(entry(), errors.ResponseSchemaError("x", status=200), 1.0).end is End.ID

    def test_a_gateways_refusal_passes(self):
        for status in (401, 403, 404):
            assert Call().fails(entry(), refusal(status, is_enveloped=False), 1.0).end is End.NOTHING


class TestNotFound:
    def looks(self, call, it, *, is_own=False):
        """The moments of the looks from 1.0 on, until it is given up."""
        now, moments = 1.0, []
        while True:
            moments.append(now)
            verdict = call.fails(it, refusal(404), now, is_own=is_own)
            if verdict.end is not End.NOTHING:
                assert verdict.end is End.ID
                return moments
            now += verdict.again_in

    def test_what_was_seen_is_doubted_for_ten_seconds(self):
        assert self.looks(Call(), entry(last_status="processing")) == [1.0, 1.5, 2.5, 4.5, 8.5, 11.0]
        assert self.looks(Call(), entry(), is_own=True) == [1.0, 1.5, 2.5, 4.5, 8.5, 11.0]

    def test_what_was_never_seen_is_looked_at_once_more(self):
        assert self.looks(Call(), entry()) == [1.0, 3.0]

    def test_it_costs_no_retry(self):
        call = Call(retries=0)
        assert len(self.looks(call, entry(last_status="queued"))) == 6
        assert call.budget.spent == 0

    def test_no_doubt_where_the_time_would_be_over(self):
        """A 404 says more than a timeout."""
        assert self.looks(Call(), entry(timeout=2.5)) == [1.0]
        assert self.looks(Call(), entry(timeout=4.0, last_status="queued")) == [1.0, 1.5, 2.5]


class TestStranded:
    def test_a_timeout_counts_from_where_the_first_poll_could_have_gone(self):
        """From the start of the pause, or from when it was due."""
        assert stranded_at(entry(timeout=10.0, first_poll_at=None), 5.0, 100.0) == 15.0
        late = entry(timeout=10.0, first_poll_at=None)
        late.key = 30.0
        assert stranded_at(late, 5.0, 100.0) == 40.0

    def test_others_wait_the_pause_out(self):
        """Whoever was polled has a deadline, whoever has no timeout has all time, and this pause ends before."""
        assert stranded_at(entry(timeout=10.0, first_poll_at=0.0), 5.0, 100.0) is None
        assert stranded_at(entry(timeout=None, first_poll_at=None), 5.0, 100.0) is None
        assert stranded_at(entry(timeout=10.0, first_poll_at=None), 5.0, 15.0) is None
