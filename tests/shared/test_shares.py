"""How processes share a window, and what they do without Redis: real lanes and the real script, in virtual time."""

import asyncio
import itertools
import math
from collections import Counter
from pathlib import Path

import msgspec
import pytest
from redis import Redis
from support.limits import EPOCH, Fixed, figures
from support.redis_server import needs_redis, redis_server
from support.sharing import announce, ask
from support.slow import beyond
from support.virtual import run

from kallglot_async import _clock, shared
from kallglot_async._config import Secret
from kallglot_async._core.limit.exchange import Reply
from kallglot_async._core.limit.gate import Gate
from kallglot_async._core.limit.lease import Lease
from kallglot_async._core.limit.ticket import Urgency
from kallglot_async._wire.limiter import Lane
from kallglot_async.shared.fetcher import Fetcher, Shares, Unreachable
from kallglot_async.shared.link import PATIENCE

pytestmark = needs_redis
DIRECT, AHEAD, PACED = Urgency
LIMIT, PERIOD = 600, 10.0
LATENCY, TRIP = 0.004, 0.001  # seconds of a request to the API, and of one to Redis
COMMANDS = 4  # of an exchange: the script, and three that it runs
BUSY = 16  # requests that each process would send at once
TIME = "redis.call('TIME')"
SCRIPT = (Path(shared.__file__).parent / "exchange.lua").read_text()


class Table:
    """The script on a real server, that takes the time of the virtual clock for its own."""

    def __init__(self, url):
        assert SCRIPT.count(TIME) == 1
        self._redis = Redis.from_url(url)
        self._redis.flushall()
        self._script = self._redis.register_script(SCRIPT.replace(TIME, "{ARGV[7], 0}"))
        self.exchanges = 0
        self._gone = self._back = math.inf  # between those moments nobody answers
        self._patience = 0.0  # what it takes until a process has noticed

    async def exchange(self, keys, arguments, *, is_waited_for):
        if self._gone <= _clock.now() < self._back:
            await asyncio.sleep(self._patience)
            raise Unreachable
        self.exchanges += 1
        await asyncio.sleep(TRIP)
        answer = self._script(keys, [*arguments("0"), f"{EPOCH + _clock.now():.6f}"])
        await asyncio.sleep(TRIP)
        return msgspec.json.decode(answer, type=Reply)

    async def fail(self, fault, at):
        """Be away for four seconds, or for a moment, and come back with all, nothing, or what was true long before."""
        seconds = 0.1 if fault.startswith("restarted") else 4.0
        await asyncio.sleep(at - _clock.now())
        kept = {key: self._redis.hgetall(key) for key in self._redis.scan_iter()}
        if fault == "restarted old":
            await asyncio.sleep(4.0)
        self._gone, self._back = _clock.now(), _clock.now() + seconds
        self._patience = PATIENCE if fault == "hung" else TRIP
        await asyncio.sleep(seconds)
        if fault != "hung":
            self._redis.flushall()
        if fault == "restarted old":
            for key, fields in kept.items():
                self._redis.hset(key, mapping=fields)


class Fleet:
    """Processes that have more to ask than they may, and what the API has seen of them, by window."""

    def __init__(self, url, urgency, phase=3.0, limit=LIMIT):
        self.table, self._urgency, self._began = Table(url), urgency, _clock.now()
        self._api, self._phase, self._limit = Fixed(limit, PERIOD), phase, limit
        self.served: list[Counter[str]] = []
        self.moments: list[float] = []  # of what was served
        self.refused = 0

    def _wall(self):
        return EPOCH + self._phase + _clock.now() - self._began  # they start somewhere within a window

    async def _request(self, name, lane, urgency):
        ticket = await lane.acquire(urgency)
        await asyncio.sleep(LATENCY)
        wall = self._wall()
        if self._api.left(wall) < 1:
            self.refused += 1
            lane.refused_for(ticket, None, None)
            return
        self._api.count(wall)
        self.moments.append(_clock.now() - self._began)
        number = int((wall - EPOCH) // PERIOD)
        self.served += (Counter() for _ in range(number + 1 - len(self.served)))
        self.served[number][name] += 1
        resets_at = self._api.resets_at(wall)
        # `Date` has whole seconds.
        lane.answered(ticket, figures(self._limit, self._api.left(wall), resets_at, resets_at - int(wall)))

    async def work(self, name, *, since=0.0, until, is_with_people=False):
        """Send as much as it may from one moment to another; four direct calls a second beside that."""
        await asyncio.sleep(since)
        fetchers = []
        lease = Lease(1.0, lambda: fetchers[0].ring())
        lane = Lane(Gate((), lease))
        fetchers.append(Fetcher(lane, lease, Shares(self.table, name, 1.0, None, "test"), Secret("sk"), "analysis"))
        lane.on_dry = fetchers[0].ring

        async def one():
            while True:
                await self._request(name, lane, self._urgency)

        async def people():
            while True:
                await asyncio.sleep(0.25)
                await self._request("people", lane, DIRECT)

        tasks = [asyncio.create_task(one()) for _ in range(BUSY)]
        if is_with_people:
            tasks.append(asyncio.create_task(people()))
        await asyncio.sleep(until - since)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await fetchers[0].aclose()


@pytest.fixture
async def redis(tmp_path):
    async with redis_server(tmp_path) as server:
        yield server.url


def fleet_of(url, urgency, lives, *, phase=3.0, limit=LIMIT, is_with_people=False, fault=None, at=0.0):
    """Return a fleet whose processes have worked, each in its time."""

    async def main():
        fleet = Fleet(url, urgency, phase, limit)
        failing = [fleet.table.fail(fault, fleet._began + at)] if fault else []
        await asyncio.gather(
            *(
                fleet.work(f"p{n}", since=a, until=b, is_with_people=is_with_people and n == 0)
                for n, (a, b) in enumerate(lives)
            ),
            *failing,
        )
        return fleet

    return run(main)


def together(processes, until):
    """Return the lives of so many that start one shortly after another."""
    return [(0.01 * number, until) for number in range(processes)]


def share_of(window):
    """Return what the process with most had of a window for each request of the one with least."""
    polls = [number for name, number in window.items() if name not in ("people", "p0")]
    return max(polls) / min(polls)


@pytest.mark.parametrize(("urgency", "is_with_people"), [(PACED, True), (PACED, False), (AHEAD, True), (AHEAD, False)])
@pytest.mark.slow
async def test_twenty_processes_have_alike_of_every_full_window(redis, urgency, is_with_people):
    """Within 20 % of each other, 95 % of the windows used, nobody refused, at most two commands a request."""
    fleet = await asyncio.to_thread(
        fleet_of, redis, urgency, together(20, 38.0), phase=6.0, is_with_people=is_with_people
    )
    full = fleet.served[1:4]
    assert fleet.refused == 0
    assert min(window.total() for window in full) >= 0.95 * LIMIT
    assert max(share_of(window) for window in full) <= 1.2
    assert COMMANDS * fleet.table.exchanges <= 2.0 * sum(window.total() for window in fleet.served)


@pytest.mark.parametrize("urgency", beyond(1, [PACED, AHEAD]))
async def test_four_need_few_commands(redis, urgency):
    """At most 0.4 for a request, its share of the windows' ends included."""
    fleet = await asyncio.to_thread(fleet_of, redis, urgency, together(4, 31.0), phase=8.0, is_with_people=True)
    assert COMMANDS * fleet.table.exchanges <= 0.4 * sum(window.total() for window in fleet.served)


@pytest.mark.parametrize(
    ("processes", "phases"),
    beyond(1, [(4, (3.0,)), (4, (7.0,)), (20, tuple(range(10)))]),
    ids=["4", "4, later", "20"],
)
@pytest.mark.parametrize("fault", beyond(1, ["stopped", "restarted old", "hung", "restarted empty"]))
async def test_without_redis_nobody_is_refused_and_nothing_stands_still(redis, fault, processes, phases):
    """Wherever in a window it goes, the first or a later one: each goes on with its part of that, and of the next."""
    for phase, at in itertools.product(phases, (2.9, 12.4)):
        fleet = await asyncio.to_thread(
            fleet_of, redis, PACED, together(processes, at + 9.0), phase=phase, is_with_people=True, fault=fault, at=at
        )
        silence = max(after - before for before, after in itertools.pairwise(fleet.moments))
        assert fleet.refused == 0, (phase, at)
        assert silence <= 0.5, (phase, at)


@pytest.mark.parametrize("is_ahead", [True, False])
async def test_a_window_is_divided_evenly_whoever_asks_first_and_most(redis, is_ahead):
    """Twenty, one after another, each until it is given nothing more; they had heard of one another before."""
    had = dict.fromkeys([f"p{place}" for place in range(20)], 0)

    async def main():
        table = Table(redis)
        for name in had:
            await ask(table, name, appetite=1000)
        await asyncio.sleep(1.6)  # until everybody may have been heard of
        await announce(table)
        wants = {"polls": 100, "appetite": 1000, "is_ahead": is_ahead, "lapses_in": 100.0}
        for name in had:
            while granted := granted_by(await ask(table, name, unspent=had[name], **wants)):
                had[name] += granted

    def granted_by(reply):
        return reply.direct + reply.paced

    await asyncio.to_thread(run, main)
    assert 540 <= sum(had.values()) <= 600
    assert max(had.values()) <= 1.2 * min(had.values())


@pytest.mark.parametrize(("urgency", "limit"), [(PACED, 20), (AHEAD, 20), (PACED, 45)])
@pytest.mark.slow
async def test_fifty_processes_take_turns_where_a_window_has_fewer_requests(redis, urgency, limit):
    """Nobody has the part of a whole request: windows are used all the same, by one process after another."""
    fleet = await asyncio.to_thread(fleet_of, redis, urgency, together(50, 44.0), phase=6.0, limit=limit)
    full = fleet.served[1:5]
    assert fleet.refused == 0
    assert min(window.total() for window in full) >= 0.8 * limit
    assert len(sum(full, Counter())) >= min(45, 1.5 * limit)  # of 50


@pytest.mark.slow
async def test_who_comes_late_has_its_part_of_what_is_left(redis):
    """Not what the others have had before it came; and the whole of its part in the next window."""
    fleet = await asyncio.to_thread(fleet_of, redis, PACED, [(0.0, 28.0)] * 3 + [(12.0, 28.0)])  # 5 s into the second
    halved, whole = fleet.served[1:3]
    others = [halved[f"p{number}"] for number in range(3)]
    assert min(others) > 1.4 * halved["p3"] > 0.6 * LIMIT / 8 * 1.5
    assert max(whole.values()) <= 1.2 * min(whole.values())
    assert fleet.refused == 0
