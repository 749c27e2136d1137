"""The limiter end to end: the emulator on 127.0.0.1 under a virtual clock, its journal as the judge."""

import asyncio
import contextlib
import random
import time

import pytest

from kallglot_async import KallglotClient, PollSchedule, RateLimit, RateLimitedError, RateLimiter, WaitTimeoutError
from kallglot_async._core.api.analyses import retrieve_analysis
from kallglot_async.emulator import Emulator, Fault, Latency

pytestmark = [pytest.mark.looptime, pytest.mark.slow]

EPOCH = 1_800_000_000.0  # a boundary of every fixed window below
NEVER = Latency.uniform(50_000.0, 60_000.0)
WINDOWS = ("fixed", "sliding", "token_bucket")
DOCUMENTED = pytest.param((150, 60.0), id="150 per 60 s")
SMALL = pytest.param((30, 60.0), id="30 per 60 s")
SHORT = pytest.param((50, 1.0), id="50 per 1 s")
LARGE = pytest.param((600, 60.0), id="600 per 60 s")


def now():
    return asyncio.get_running_loop().time()


@contextlib.asynccontextmanager
async def running(budget=(150, 60.0), window="fixed", *, client=None, into=7.3, **options):
    """An emulator `into` seconds after the start of a window, and a client of it."""
    options = {"plan": "unlimited", "latency": NEVER, "seed": 1, "epoch": EPOCH + into} | options
    client = {"random": random.Random(0).random} | (client or {})
    async with (
        Emulator(rate_limit=budget, window=window, **options) as emulator,
        KallglotClient(emulator.api_key, base_url=emulator.base_url, **client) as ours,
    ):
        yield emulator, ours


@contextlib.asynccontextmanager
async def cancelled_at_the_end(*coroutines):
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def slow_answers():
    """Half of the answers take 0.3 s and the others none, so that they overtake each other."""
    return [Fault(kind="slow", delay=0.3, rate=0.5)]


async def retrieve_now_and_then(client, id, *, every, seed=1):
    draw = random.Random(seed)
    while True:
        await asyncio.sleep(draw.expovariate(1.0 / every))
        with contextlib.suppress(RateLimitedError):
            await client.analyses.retrieve(id, timeout=300.0)


async def load(emulator, client, budget, seconds):
    """Waits that would take more than the limit, and direct retrieves of a fifth of it."""
    limit, period = budget
    ids = emulator.seed_analyses(150)
    async with cancelled_at_the_end(
        client.wait_many(ids[:50], timeout=None),
        client.wait_many(ids[50:], timeout=None, schedule=PollSchedule.fixed(1.0)),
        retrieve_now_and_then(client, ids[0], every=period / limit * 10, seed=1),
        retrieve_now_and_then(client, ids[1], every=period / limit * 10, seed=2),
    ):
        await asyncio.sleep(seconds)


def assert_within_limit(emulator, window, budget):
    limit, period = budget
    if window == "fixed":
        assert emulator.journal.max_per_window(with_refused=True) <= limit
    elif window == "sliding":
        assert emulator.journal.max_within(period, with_refused=True) <= limit
    assert emulator.journal.refused == 0


# -- headers


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("budget", [DOCUMENTED, SMALL, SHORT, LARGE])
async def test_nothing_is_refused_while_we_are_alone(window, budget):
    """Waits and direct calls together, answers out of order, several windows: not one refusal."""
    seconds = {30: 200.0, 150: 200.0, 600: 130.0, 50: 12.0}[budget[0]]
    async with running(budget, window, faults=slow_answers()) as (emulator, client):
        await load(emulator, client, budget, seconds)
        assert_within_limit(emulator, window, budget)
        share = emulator.journal.total / (budget[0] / budget[1] * seconds)
        assert share >= (0.85 if budget[1] > 1.0 else 0.5)


@pytest.mark.parametrize("skew", [3600.0, -3600.0, 0.4])
@pytest.mark.parametrize("window", WINDOWS)
async def test_clock_skew_changes_nothing(window, skew):
    """`Reset` is read by the server's own `Date`: the same requests as with clocks that agree."""
    counts = []
    for clock_skew in (0.0, skew):
        async with running((60, 60.0), window, clock_skew=clock_skew) as (emulator, client):
            await load(emulator, client, (60, 60.0), 130.0)
            assert emulator.journal.refused == 0
            counts.append(emulator.journal.total)
    assert counts[1] == pytest.approx(counts[0], rel=0.05)


@pytest.mark.parametrize("window", WINDOWS)
async def test_without_date_the_local_clock_serves(window, monkeypatch):
    """A server without `Date` whose clock agrees with ours is followed just as well."""
    loop = asyncio.get_running_loop()
    started = loop.time()
    monkeypatch.setattr(time, "time", lambda: EPOCH + 7.3 + loop.time() - started)
    no_date = [Fault(kind="slow", delay=0.05, headers={"Date": None})]
    async with running((60, 60.0), window, faults=no_date) as (emulator, client):
        await load(emulator, client, (60, 60.0), 130.0)
        assert emulator.journal.refused == 0
        assert emulator.journal.total >= 100


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("budget", [DOCUMENTED, SHORT])
async def test_without_headers_at_most_three_percent_are_refused(window, budget):
    """In the long run: cut at each refusal, grown by a factor in each clean period."""
    seconds = 10 * budget[1] if budget[1] > 1.0 else 60.0
    async with running(budget, window, rate_headers=False) as (emulator, client):
        await load(emulator, client, budget, seconds)
        late = [entry for entry in emulator.journal if entry.at > 0.4 * seconds]
        refused = sum(entry.status == 429 for entry in late)
        assert refused <= 0.03 * len(late)
        assert len(late) >= 0.6 * 0.6 * seconds * budget[0] / budget[1]


@pytest.mark.parametrize("place", [0, 30], ids=["first answer", "answer that opens a window"])
async def test_an_error_page_without_headers_opens_no_flood(place):
    """A gateway's 503 says nothing of the limit: those who wait go by what was known, or one by one."""
    gateway = Fault(
        kind="status",
        status=503,
        after=place,
        times=1,
        headers={"X-RateLimit-Limit": None, "X-RateLimit-Remaining": None, "X-RateLimit-Reset": None},
    )
    async with running((30, 60.0), faults=[gateway]) as (emulator, client):
        ids = emulator.seed_analyses(100)
        async with cancelled_at_the_end(*(client.analyses.retrieve(id, timeout=400.0) for id in ids)):
            await asyncio.sleep(120.0)
        assert emulator.journal.refused == 0


async def test_an_idle_hour_does_not_slow_down_what_comes_after():
    """One retrieve, an hour of nothing, then a batch: it runs at the server's rate from the start."""
    async with running((150, 60.0)) as (emulator, client):
        await client.analyses.retrieve(*emulator.seed_analyses(1))
        await asyncio.sleep(3600.0)
        before = emulator.journal.total
        async with cancelled_at_the_end(client.wait_many(emulator.seed_analyses(200), timeout=None)):
            await asyncio.sleep(50.0)
        assert emulator.journal.total - before >= 100
        assert emulator.journal.refused == 0


# -- refusals


async def everybody_waits_at_a_refusal(emulator, client, *, seconds):
    """A hundred direct calls and a hundred waits; returns their requests after the first refusal."""
    ids = emulator.seed_analyses(200)
    direct = (client.analyses.retrieve(id, timeout=900.0) for id in ids[:100])
    async with cancelled_at_the_end(client.wait_many(ids[100:], timeout=None), *direct):
        await asyncio.sleep(seconds)
    refusals = [entry for entry in emulator.journal if entry.status == 429]
    assert refusals
    return refusals, [entry for entry in emulator.journal if entry.at > refusals[0].at]


@pytest.mark.parametrize("has_headers", [True, False], ids=["headers", "no headers"])
@pytest.mark.parametrize("retry_after", [30, None], ids=["Retry-After", "no advice"])
async def test_after_a_refusal_everybody_waits_and_one_tests_the_water(retry_after, has_headers):
    """A 429 out of the blue: nobody sends before its time, then one of two hundred does, and all in a minute."""
    storm = Fault(kind="throttle", retry_after=retry_after)
    async with running((100_000, 60.0), rate_headers=has_headers) as (emulator, client):
        ids = emulator.seed_analyses(100)
        await asyncio.gather(*(client.analyses.retrieve(id) for id in ids))
        emulator.add_fault(storm)
        started = emulator.now
        with contextlib.suppress(RateLimitedError):
            await client.analyses.retrieve(ids[0], timeout=1.0)
        direct = (client.analyses.retrieve(id, timeout=900.0) for id in ids)
        async with cancelled_at_the_end(client.wait_many(ids, timeout=None), *direct):
            await asyncio.sleep(45.0)
            emulator.clear_faults()
            await asyncio.sleep(80.0)
        sent = [entry.at - started for entry in emulator.journal][100:]
    refused = [entry.at - started for entry in emulator.journal if entry.status == 429]
    assert refused == [0.0, pytest.approx(32.5, abs=2.5)]  # rounding, and what spreads clients apart
    assert sent[:2] == refused
    assert sent[2] >= refused[1] + 30.0
    assert len(sent) >= 200


@pytest.mark.parametrize("window", WINDOWS)
async def test_without_headers_a_spent_window_is_not_stormed(window):
    """A hundred wait at a refusal without any advice; each pause costs one more refusal at most."""
    async with running((50, 60.0), window, rate_headers=False, retry_after=None) as (emulator, client):
        refusals, later = await everybody_waits_at_a_refusal(emulator, client, seconds=200.0)
        assert not [entry for entry in later if refusals[0].at + 1e-3 < entry.at < refusals[0].at + 29.9]
        storm_ends = refusals[0].at + 1.0
        for second in range(int(storm_ends), 200):
            assert sum(second <= entry.at - storm_ends < second + 5 for entry in refusals) <= 1


FORMS = ["floor", "fractional", "milliseconds", "delta", "delta_fractional", "repeated", "joined"]


@pytest.mark.parametrize("form", FORMS)
async def test_a_limit_is_kept_to_in_whatever_form_it_is_announced(form):
    """With the reset told in another way, or behind a gateway of a far larger limit: no refusal, nothing lost."""
    both = {"budget": (6000, 60.0), "second_limit": (60, 60.0)}
    limits = both if form in ("repeated", "joined") else {"budget": (60, 60.0)}
    async with running(**limits, rate_headers=form, client={"timeout": None}) as (emulator, client):
        outcomes = await client.analyses.retrieve_many(emulator.seed_analyses(150))
        assert (len(outcomes.analyses), emulator.journal.refused) == (150, 0)
        assert emulator.now < 150.0


@pytest.mark.parametrize("has_headers", [True, False], ids=["headers", "no headers"])
async def test_a_retry_after_of_zero_is_not_taken_at_its_word(has_headers):
    """A server that says `Retry-After: 0` while it refuses is not asked at the speed of the network."""
    async with running((50, 60.0), rate_headers=has_headers, retry_after=0) as (emulator, client):
        ids = emulator.seed_analyses(200)
        await asyncio.gather(*(client.analyses.retrieve(id) for id in ids[:30]))
        async with cancelled_at_the_end(*(client.analyses.retrieve(id, timeout=900.0) for id in ids[30:100])):
            await asyncio.sleep(5.0)
        assert emulator.journal.refused <= (0 if has_headers else 50 + 5)


async def test_a_limit_lowered_in_mid_run_costs_what_was_in_flight():
    """The server comes back with less: what was granted by the old figure may be refused, and one request a pause."""
    async with running((150, 60.0), into=0.0) as (emulator, client):
        port = emulator._port
        await load(emulator, client, (150, 60.0), 100.0)
        assert emulator.journal.refused == 0
        await emulator.aclose()
        options = {"plan": "unlimited", "latency": NEVER, "seed": 1, "port": port, "adopt_unknown": True}
        async with Emulator(rate_limit=(20, 60.0), epoch=EPOCH + 100.0, **options) as smaller:
            await load(smaller, client, (20, 60.0), 200.0)
            assert smaller.journal.refused <= 2
            assert smaller.journal.max_per_window() <= 20
            assert smaller.journal.total >= 60


async def test_a_limit_raised_in_mid_run_is_used():
    """From the next window on the new limit is the pace."""
    async with running((20, 60.0), into=0.0) as (emulator, client):
        port = emulator._port
        await load(emulator, client, (20, 60.0), 100.0)
        await emulator.aclose()
        options = {"plan": "unlimited", "latency": NEVER, "seed": 1, "port": port, "adopt_unknown": True}
        async with Emulator(rate_limit=(150, 60.0), epoch=EPOCH + 100.0, **options) as larger:
            await load(larger, client, (150, 60.0), 140.0)
            assert larger.journal.refused == 0
            assert larger.journal.max_per_window() >= 140


# -- who shares


@pytest.mark.parametrize("budget", [DOCUMENTED, LARGE])
@pytest.mark.parametrize("window", WINDOWS)
async def test_another_client_with_a_third_of_the_limit_costs_a_percent(window, budget):
    """It takes 30 % at random moments and cannot be seen except in the figures."""
    seconds = 600.0 if budget[0] < 600 else 240.0
    async with running(budget, window) as (emulator, client):
        [foreign] = emulator.seed_analyses(1)
        ids = emulator.seed_analyses(200)

        async def others():
            # As bare requests, which wait for nothing and learn nothing.
            draw = random.Random(3)
            async with KallglotClient(emulator.api_key, base_url=emulator.base_url) as stranger:
                session, key = stranger._pool, stranger._config.api_key
                operation = retrieve_analysis(foreign)
                while True:
                    await asyncio.sleep(draw.expovariate(0.3 * budget[0] / budget[1]))
                    await session.send(operation, key)

        busy = client.wait_many(ids, timeout=None, schedule=PollSchedule.fixed(2.0))
        async with cancelled_at_the_end(others(), busy):
            await asyncio.sleep(seconds)
        ours = [entry for entry in emulator.journal if not entry.path.endswith(foreign)]
        refused = sum(entry.status == 429 for entry in ours)
        assert refused <= 0.01 * len(ours)  # over eight seeds: 0.5 % (fixed), 0.9 % (sliding), 0 (bucket) on the mean
        assert emulator.journal.total >= 0.85 * seconds * budget[0] / budget[1]


async def test_two_clients_that_share_a_limiter_share_one_budget():
    """Together they stay within the limit, and each gets half of it."""
    limiter = RateLimiter()
    async with running((60, 60.0), client={"rate_limit": limiter}) as (emulator, first):
        async with KallglotClient(emulator.api_key, base_url=emulator.base_url, rate_limit=limiter) as second:
            ids = emulator.seed_analyses(100)
            loop = PollSchedule.fixed(2.0)  # what is learned of analyses that never settle would ask for less
            async with cancelled_at_the_end(
                first.wait_many(ids[:50], timeout=None, schedule=loop),
                second.wait_many(ids[50:], timeout=None, schedule=loop),
            ):
                await asyncio.sleep(170.0)
        assert_within_limit(emulator, "fixed", (60, 60.0))
        counts = [sum(entry.id in part for entry in emulator.journal) for part in (set(ids[:50]), set(ids[50:]))]
        assert sum(counts) >= 150
        assert counts[0] == pytest.approx(counts[1], rel=0.1)


@pytest.mark.parametrize("has_headers", [True, False], ids=["headers", "no headers"])
async def test_a_configured_limit_is_a_ceiling(has_headers):
    """The server would allow ten times as much; we do not take it."""
    ceiling = RateLimit(30, per=60.0)
    options = {"client": {"rate_limit": ceiling}, "rate_headers": has_headers}
    async with running((300, 60.0), **options) as (emulator, client):
        await load(emulator, client, (30, 60.0), 200.0)
        assert emulator.journal.max_within(60.0) <= 30
        assert emulator.journal.total >= 95


async def test_direct_calls_overtake_polls_and_spend_what_remains():
    """A person does not wait for the pace, nor behind two hundred ids that do."""
    async with running((150, 60.0), into=0.0) as (emulator, client):
        ids = emulator.seed_analyses(200)
        async with cancelled_at_the_end(client.wait_many(ids, timeout=None)):
            await asyncio.sleep(10.0)
            remaining, started = client.rate_limit.remaining, now()
            assert remaining > 80
            await asyncio.gather(*(client.analyses.retrieve(id) for id in ids[: remaining - 5]))
            assert now() - started < 0.1
        assert emulator.journal.refused == 0


async def test_a_direct_call_that_may_not_wait_fails_at_once():
    """With `max_rate_wait` a spent window is an error that says when to come back; without, it is waited for."""
    async with running((30, 60.0), into=0.0, client={"max_rate_wait": 0.5}) as (emulator, client):
        ids = emulator.seed_analyses(40)
        answers = await asyncio.gather(*(client.analyses.retrieve(id) for id in ids), return_exceptions=True)
        errors = [answer for answer in answers if isinstance(answer, BaseException)]
        assert len(errors) == 10
        assert {type(error) for error in errors} == {RateLimitedError}
        for error in errors:
            assert error.retry_after == pytest.approx(60.0, abs=2.5)
            assert (error.limit, emulator.journal.total) == (30, 30)
            assert error.reset == pytest.approx(60.0, abs=2.0)
        assert now() < 1.0
        assert client.rate_limit.waiting == 0


async def test_a_wait_that_a_refusal_outlasts_is_told():
    """The pause is longer than the wait: it ends then, with the time after which to come back."""
    storm = Fault(kind="throttle", after=1, retry_after=300)
    async with running((150, 60.0), faults=[storm]) as (emulator, client):
        [id] = emulator.seed_analyses(1)
        with pytest.raises(WaitTimeoutError) as caught:
            await client.wait(id, timeout=60.0)
        assert caught.value.retry_after == pytest.approx(302.5, abs=2.5)  # rounding, and what spreads clients apart
        assert emulator.journal.total == 2


# -- throughput


@pytest.mark.parametrize("window", WINDOWS)
async def test_a_batch_takes_what_the_limit_takes(window):
    """600 analyses that are ready at once, 150 a minute: within 6 % of four minutes, nothing refused."""
    async with running((150, 60.0), window, latency=Latency.immediate(), into=0.0) as (emulator, client):
        started = now()
        outcomes = await client.wait_many(emulator.seed_analyses(600), timeout=None)
        assert len(outcomes.analyses) == 600
        assert emulator.journal.total == 600
        assert emulator.journal.refused == 0
        assert now() - started <= 1.06 * 240.0
