"""How twenty processes share a window: real lanes and the real script, in virtual time, where noise plays no part."""

import asyncio
from collections import Counter
from pathlib import Path

import pytest
from redis import Redis
from support.limits import EPOCH, Fixed, figures
from support.redis_server import needs_redis, redis_server
from support.virtual import run

from kallglot_async import _clock, shared
from kallglot_async._config import Secret
from kallglot_async._core.limit.gate import Gate
from kallglot_async._core.limit.lease import Lease
from kallglot_async._core.limit.ticket import Urgency
from kallglot_async._wire.limiter import Lane
from kallglot_async.shared.fetcher import Fetcher, Shares

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
        self._script = self._redis.register_script(SCRIPT.replace(TIME, "{ARGV[7], 0}"))
        self.exchanges = 0

    async def exchange(self, keys, arguments):
        self.exchanges += 1
        await asyncio.sleep(TRIP)
        answer = self._script(keys, [*arguments("0"), f"{EPOCH + _clock.now():.6f}"])
        await asyncio.sleep(TRIP)
        return answer


class Fleet:
    """Processes that have more to ask than they may, and what the API has seen of them, by window."""

    def __init__(self, url, urgency):
        self.table, self._urgency, self._began = Table(url), urgency, _clock.now()
        self._api = Fixed(LIMIT, PERIOD)
        self.served: list[Counter[str]] = []
        self.refused = 0

    def _wall(self):
        return EPOCH + 3.0 + _clock.now() - self._began  # they start somewhere within a window

    async def _request(self, name, lane, urgency):
        ticket = await lane.acquire(urgency)
        await asyncio.sleep(LATENCY)
        wall = self._wall()
        if self._api.left(wall) < 1:
            self.refused += 1
            lane.refused_for(ticket, None, None)
            return
        self._api.count(wall)
        number = int((wall - EPOCH) // PERIOD)
        self.served += (Counter() for _ in range(number + 1 - len(self.served)))
        self.served[number][name] += 1
        resets_at = self._api.resets_at(wall)
        # `Date` has whole seconds.
        lane.answered(ticket, figures(LIMIT, self._api.left(wall), resets_at, resets_at - int(wall)))

    async def work(self, name, *, since=0.0, until):
        """Send as much as it may from one moment to another."""
        await asyncio.sleep(since)
        fetchers = []
        lease = Lease(1.0, lambda: fetchers[0].ring())
        lane = Lane(Gate((), lease))
        fetchers.append(Fetcher(lane, lease, Shares(self.table, name, 1.0, None, "test"), Secret("sk"), "analysis"))
        lane.on_dry = fetchers[0].ring

        async def one():
            while True:
                await self._request(name, lane, self._urgency)

        tasks = [asyncio.create_task(one()) for _ in range(BUSY)]
        await asyncio.sleep(until - since)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await fetchers[0].aclose()


@pytest.fixture
async def redis(tmp_path):
    async with redis_server(tmp_path) as server:
        yield server.url


def fleet_of(url, urgency, lives):
    """Return a fleet whose processes have worked, each in its time."""

    async def main():
        fleet = Fleet(url, urgency)
        await asyncio.gather(*(fleet.work(f"p{n}", since=a, until=b) for n, (a, b) in enumerate(lives)))
        return fleet

    return run(main)


@pytest.mark.parametrize("urgency", [AHEAD, PACED])
async def test_twenty_processes_have_alike_of_every_full_window(redis, urgency):
    """Within 20 % of each other, 95 % of the windows used, nobody refused, at most two commands a request."""
    fleet = await asyncio.to_thread(fleet_of, redis, urgency, [(0.01 * number, 38.0) for number in range(20)])
    full = sum(fleet.served[1:4], Counter())
    assert fleet.refused == 0
    assert full.total() >= 0.95 * 3 * LIMIT
    assert max(full.values()) <= 1.2 * min(full.values())
    assert COMMANDS * fleet.table.exchanges <= 2.0 * sum(window.total() for window in fleet.served)


async def test_who_comes_late_has_its_part_of_what_is_left(redis):
    """Not what the others have had before it came; and the whole of its part in the next window."""
    fleet = await asyncio.to_thread(fleet_of, redis, PACED, [(0.0, 28.0)] * 3 + [(12.0, 28.0)])  # 5 s into the second
    halved, whole = fleet.served[1:3]
    others = [halved[f"p{number}"] for number in range(3)]
    assert min(others) > 1.5 * halved["p3"] > 0.6 * LIMIT / 8 * 1.5
    assert max(whole.values()) <= 1.2 * min(whole.values())
    assert fleet.refused == 0
