"""When the others are asked, and for how long there is a task for it: a lane, a lease and a table that is not there."""

import asyncio
import contextlib
import gc

import msgspec
import pytest
from support.virtual import run, virtual_loop

from kallglot_async import _clock
from kallglot_async._config import Secret
from kallglot_async._core.limit.exchange import Ask, Reply
from kallglot_async._core.limit.gate import Gate
from kallglot_async._core.limit.lease import Lease
from kallglot_async._core.limit.ticket import Urgency
from kallglot_async._wire.limiter import Lane
from kallglot_async.models import RateLimit
from kallglot_async.shared.fetcher import Fetcher, Shares, Unreachable

DIRECT, AHEAD, PACED = Urgency
pytestmark = pytest.mark.looptime


def told(**granted):
    """Return what the script answers."""
    return msgspec.json.encode({"processes": 4, "sharers": 2, "even": 80.0} | granted)


class Table:
    """Answers as it is told to, after a while, and keeps what it was asked."""

    def __init__(self, answer, takes=0.001, line=0.0, is_useful=True):
        self.answer, self.takes, self.line, self.is_useful = answer, takes, line, is_useful
        self.asked = []

    @contextlib.asynccontextmanager
    async def turn(self):
        await asyncio.sleep(self.line)
        yield self.is_useful

    async def exchange(self, keys, arguments, *, is_waited_for):
        arguments = arguments("0")
        asked = msgspec.json.decode(arguments[-1], type=Ask)
        self.asked.append((_clock.now(), keys, asked))
        await asyncio.sleep(self.takes)
        answer = self.answer(asked) if callable(self.answer) else self.answer
        if answer is None:
            raise Unreachable
        return msgspec.json.decode(answer, type=Reply)


def granting(asked):
    """As many as are asked for."""
    return told(direct=asked.direct, paced=asked.polls)


def shared(table, *, limit=None, name=None, key="sk_test_1", horizon=1.0):
    """Return a lane behind that table, and its fetcher."""
    fetchers = []
    lease = Lease(horizon, lambda: fetchers[0].ring())
    lane = Lane(Gate((), lease))
    fetchers.append(Fetcher(lane, lease, Shares(table, "token", horizon, limit, name), Secret(key), "analysis"))
    lane.on_dry = fetchers[0].ring
    return lane, fetchers[0]


def is_running(fetcher):
    return fetcher._task is not None and not fetcher._task.done()


async def test_nobody_is_asked_before_somebody_waits():
    """An idle limiter costs nothing."""
    table = Table(granting)
    lane, fetcher = shared(table)
    assert lane.try_acquire(DIRECT) is None
    await asyncio.sleep(10)
    assert table.asked == []
    assert not is_running(fetcher)


async def test_a_hundred_who_wait_are_asked_for_in_one_exchange():
    """And each gets a slot."""
    table = Table(granting, takes=0.0)
    lane, fetcher = shared(table)
    tickets = await asyncio.gather(*(lane.acquire(DIRECT) for _ in range(100)))
    assert len(tickets) == 100
    assert len(table.asked) <= 2  # the first asked at once; the others came meanwhile
    await fetcher.aclose()


async def test_the_task_ends_once_nothing_is_held():
    """It gives back what it has, and is started again by whoever waits next."""
    table = Table(granting)
    lane, fetcher = shared(table)
    lane.answered(await lane.acquire(DIRECT), None)
    assert is_running(fetcher)
    await asyncio.sleep(3)
    assert not is_running(fetcher)
    assert [(asked.flying, asked.unspent) for _, _, asked in table.asked] == [(0, 0), (0, 0)]
    lane.answered(await lane.acquire(DIRECT), None)
    await fetcher.aclose()


@pytest.mark.untraced
@pytest.mark.parametrize("late", [0.0, 0.01, 0.05, 0.1, 0.15])
async def test_who_comes_while_slots_are_given_back_is_not_forgotten(late):
    """The exchange that says good-bye takes 100 ms; a waiter that comes meanwhile starts no second task."""
    table = Table(granting, takes=0.1)
    lane, fetcher = shared(table)
    lane.answered(await lane.acquire(DIRECT), None)
    async with asyncio.timeout(5):
        while len(table.asked) < 2:  # noqa: ASYNC110  # the table tells nobody
            await asyncio.sleep(0.001)
    await asyncio.sleep(late)
    async with asyncio.timeout(1):
        lane.answered(await lane.acquire(DIRECT), None)
    await fetcher.aclose()


async def test_a_waiter_that_gives_up_leaves_nothing_held():
    """Its slot lapses, and the others hear of it."""
    table = Table(granting, takes=0.1)
    lane, fetcher = shared(table)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(lane.acquire(DIRECT), 0.05)
    await asyncio.sleep(5)
    assert not is_running(fetcher)
    asked = table.asked[-1][2]
    assert (asked.flying, asked.unspent) == (0, 0)


async def test_away_each_goes_on_and_asks_every_second():
    """Four processes and 80/s: twenty requests a second, whoever sends them, and one question."""
    table = Table(granting)
    lane, fetcher = shared(table)
    lane.answered(await lane.acquire(DIRECT), None)
    table.answer, began = None, len(table.asked)
    started, sent = _clock.now(), 0
    while _clock.now() < started + 5:
        lane.answered(await lane.acquire(DIRECT), None)
        sent += 1
    assert sent == pytest.approx(100, abs=10)
    assert len(table.asked) - began == pytest.approx(5, abs=1)
    await fetcher.aclose()


async def test_away_nobody_has_to_wait_for_the_others_to_be_asked_again():
    """Direct calls every 300 ms find their slot free, and never queue."""
    table = Table(granting)
    lane, fetcher = shared(table)
    lane.answered(await lane.acquire(DIRECT), None)
    table.answer = None
    lane.answered(await lane.acquire(PACED), None)
    await asyncio.sleep(20)
    assert not is_running(fetcher)
    table.answer = granting
    for _ in range(10):
        ticket = lane.try_acquire(DIRECT)
        if ticket is not None:
            lane.answered(ticket, None)
        await asyncio.sleep(0.3)
    assert not lane.gate._lease.is_alone
    await fetcher.aclose()


async def test_what_is_granted_does_not_lapse_in_line():
    """Many keys of a process take turns, and with a slow server theirs may be long in coming."""
    table = Table(granting, line=3.0)
    lane, _ = shared(table, horizon=1.0)
    began = _clock.now()
    await lane.acquire(DIRECT)
    assert _clock.now() - began < 3.1
    assert len(table.asked) == 1


async def test_who_learns_in_line_that_nobody_answers_goes_on_with_its_part():
    """Nothing is asked then."""
    table = Table(granting, is_useful=False)
    lane, _ = shared(table)
    began = _clock.now()
    await lane.acquire(DIRECT)
    assert _clock.now() - began < 0.1
    assert table.asked == []


async def test_a_pause_of_another_process_holds_here():
    """Whoever was refused."""
    lane, fetcher = shared(Table(lambda asked: told(pause=4.0, again=4.0)))
    waiting = asyncio.create_task(lane.acquire(DIRECT))
    await asyncio.sleep(0.1)
    assert lane.gate.paused_for(_clock.now()) == pytest.approx(4.0, abs=0.2)
    waiting.cancel()
    await fetcher.aclose()


async def test_a_refusal_is_told_at_once():
    """With how long to pause, though nobody waits here."""
    table = Table(granting)
    lane, fetcher = shared(table)
    lane.refused_for(await lane.acquire(DIRECT), None, 7.0)
    await asyncio.sleep(0.01)
    assert table.asked[-1][2].pause == pytest.approx(7.0, abs=0.1)
    await fetcher.aclose()


async def test_a_mistake_of_ours_is_loud_and_keeps_nobody_waiting():
    """What an exchange raises that nobody expects ends the task, and not the waiting."""
    lane, fetcher = shared(Table(lambda asked: 1 / 0))
    async with asyncio.timeout(1):
        lane.answered(await lane.acquire(DIRECT), None)
    with pytest.raises(ZeroDivisionError):
        await fetcher._task


def test_what_a_loop_cancels_at_its_end_asks_nobody_any_more():
    """A request that `asyncio.run` cancels is let go of when the task is gone already; and the next loop asks again."""
    table, told_by_loop = Table(granting), []
    lane, fetcher = shared(table)

    async def request():
        ticket = await lane.acquire(DIRECT)
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await asyncio.sleep(0.01)  # as a connection that is being closed
            lane.lost(ticket)
            raise

    async def leave_it():
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: told_by_loop.append(context))
        leaving = asyncio.create_task(request())
        await asyncio.sleep(0.1)
        assert not leaving.done()

    async def use_it():
        lane.answered(await lane.acquire(DIRECT), None)
        await fetcher.aclose()
        lane.answered(await lane.acquire(DIRECT), None)  # closed is not over
        await fetcher.aclose()

    for _ in range(2):
        run(leave_it)
        gc.collect()  # what is pending in a closed loop is reported as it is collected
        assert not is_running(fetcher)
    asked = len(table.asked)
    run(use_it)
    assert told_by_loop == []
    assert len(table.asked) >= asked + 2


def test_loops_that_take_turns_are_each_served():
    """What a loop was to close with itself is let go of once another is served, and stops nothing when it goes on."""
    lane, fetcher = shared(Table(granting), horizon=0.02)

    async def use_it():
        async with asyncio.timeout(5.0):
            await asyncio.sleep(0.01)  # a turn for what was handed over to it
            lane.answered(await lane.acquire(DIRECT), None)
            while is_running(fetcher):  # noqa: ASYNC110  # it tells nobody
                await asyncio.sleep(0.01)

    first, second = virtual_loop(), virtual_loop()
    try:
        for loop in (first, second, first, second):
            loop.run_until_complete(use_it())
            gc.collect()
    finally:
        for loop in (first, second):
            loop.run_until_complete(fetcher.aclose())
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()


def test_the_key_is_in_nothing_that_is_sent():
    """Hashes are named by a digest, in one slot of a cluster."""
    shares = Shares(None, "token", 1.0, RateLimit(5), None)
    one, other = (shares.keys(Secret(key), "analysis") for key in ("sk_test_secret", "sk_test_other"))
    assert one != other
    assert one[0].startswith("kallglot:limit:2:{")
    assert one[0].endswith("}:analysis")
    assert "secret" not in "".join(one)
    assert Shares(None, "token", 1.0, None, "a").keys(Secret("sk_test_1"), "x") == Shares(
        None, "other", 1.0, None, "a"
    ).keys(Secret("sk_test_2"), "x")
