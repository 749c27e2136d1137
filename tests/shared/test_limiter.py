"""`SharedRateLimiter` as users hold it, over a real `redis-server`: several processes, one limit."""

import asyncio
import json
import sys
from collections import Counter

import pytest
from redis.asyncio import Redis
from support.processes import process
from support.redis_server import needs_redis, redis_server
from support.slow import beyond

from kallglot_async import ConfigurationError, KallglotClient, RateLimit
from kallglot_async.cli.options import Connection
from kallglot_async.emulator import Emulator, Latency
from kallglot_async.shared import SharedRateLimiter

KEY = "sk_test_emulator"
NOWHERE = "redis://127.0.0.1:9/0"
CHILD = """
import asyncio, json, sys
from kallglot_async import KallglotClient

async def main(name, number):
    async with KallglotClient() as client:
        outcomes = await client.wait_many([f"ana_{name}x{n}" for n in range(int(number))], timeout=None)
        print(json.dumps([len(outcomes.analyses), client.stats.requests, client.stats.refused]))

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        (("http://127.0.0.1",), {}),
        (("redis://",), {}),
        (("redis://host:port",), {}),
        ((None,), {}),
        ((f"{NOWHERE}?socket_timeout=soon",), {}),
        ((f"{NOWHERE}?no_such_option=1",), {}),
        ((NOWHERE,), {"limit": 600}),
        ((NOWHERE,), {"name": " "}),
        ((NOWHERE,), {"horizon": 0.0}),
        ((NOWHERE,), {"horizon": 3600.0}),
        ((NOWHERE,), {"horizon": "1"}),
    ],
)
def test_what_cannot_be_used_is_refused_before_anything_is_sent(arguments, options):
    """Each argument is checked, and the message names it."""
    with pytest.raises(ConfigurationError, match=r"shared rate limit|limit is|name is|horizon is"):
        SharedRateLimiter(*arguments, **options)


def test_a_password_is_not_shown_where_the_url_is_refused():
    """What stands before an @ may be a secret."""
    with pytest.raises(ConfigurationError) as caught:
        SharedRateLimiter("http://user:hunter2@host")
    assert "hunter2" not in str(caught.value)


def test_without_the_extra_the_message_says_what_to_install(monkeypatch):
    """The class is there; what it needs is not."""
    monkeypatch.delitem(sys.modules, "kallglot_async.shared.link", raising=False)
    monkeypatch.setitem(sys.modules, "redis.asyncio", None)
    with pytest.raises(ConfigurationError, match=r"kallglot-async\[redis\]"):
        SharedRateLimiter(NOWHERE)


class TestWhoseLimiterAClientHas:
    @pytest.fixture(autouse=True)
    def named(self, monkeypatch):
        monkeypatch.setenv("KALLGLOT_RATE_LIMIT_URL", NOWHERE)

    def test_the_environment_names_one(self):
        """A `RateLimit` is a ceiling on top of it."""
        assert isinstance(KallglotClient(KEY)._limiter, SharedRateLimiter)
        assert KallglotClient(KEY, rate_limit=RateLimit(5))._limiter.limit == RateLimit(5)

    def test_an_argument_wins(self):
        """A limiter that is given is used."""
        limiter = SharedRateLimiter(NOWHERE)
        assert KallglotClient(KEY, rate_limit=limiter)._limiter is limiter

    def test_one_that_cannot_be_used_is_refused(self, monkeypatch):
        """Before anything is sent."""
        monkeypatch.setenv("KALLGLOT_RATE_LIMIT_URL", "localhost")
        with pytest.raises(ConfigurationError, match="redis://"):
            KallglotClient(KEY)


@needs_redis
@pytest.mark.parametrize("names", beyond(1, ["ab", "abcd"]))
async def test_processes_share_a_window_without_a_refusal(tmp_path, names):
    """Apart they would send twice, or four times, what it allows."""
    async with (
        redis_server(tmp_path) as redis,
        Emulator(rate_limit=(60, 2.0), adopt_unknown=True, latency=Latency.immediate()) as server,
    ):
        env = {"KALLGLOT_RATE_LIMIT_URL": redis.url}

        async def run(name):
            async with process(name, "60", server=server, code=CHILD, more_env=env) as child:
                out, err = await child.communicate()
                assert not err, err.decode()
                return json.loads(out)

        told = await asyncio.gather(*(run(name) for name in names))
        windows = Counter(entry.window for entry in server.journal)
    assert told == [[60, 60, 0]] * len(names)
    assert max(windows.values()) <= 60


def test_the_command_line_names_one():
    """With `--rate-limit` as its ceiling."""
    limiter = Connection(api_key=KEY, rate_limit=30, rate_limit_url=NOWHERE).client()._limiter
    assert isinstance(limiter, SharedRateLimiter)
    assert limiter.limit == RateLimit(30)


@needs_redis
async def test_it_serves_one_event_loop_after_another(tmp_path):
    """Each has connections of its own, and leaves none behind."""
    async with (
        redis_server(tmp_path) as redis,
        Emulator(rate_limit=(60, 60.0), adopt_unknown=True, latency=Latency.immediate()) as server,
    ):
        limiter = SharedRateLimiter(redis.url)

        async def fetch(id):
            async with KallglotClient(KEY, base_url=server.base_url, rate_limit=limiter) as client:
                await client.analyses.retrieve(id)
                return client.stats.refused, client.rate_limit.limit

        for number in range(3):
            told = await asyncio.to_thread(lambda number=number: asyncio.run(fetch(f"ana_{number}")))
            assert told == (0, 60)


@needs_redis
async def test_redis_sees_no_key(tmp_path):
    """Neither in a name nor in a value, and nothing that lasts for ever."""
    async with (
        redis_server(tmp_path) as redis,
        Emulator(rate_limit=(60, 60.0), adopt_unknown=True, latency=Latency.immediate()) as server,
        SharedRateLimiter(redis.url, limit=RateLimit(60)) as limiter,
        KallglotClient(KEY, base_url=server.base_url, rate_limit=limiter) as client,
    ):
        await client.analyses.retrieve_many([f"ana_{number}" for number in range(5)])
        async with Redis.from_url(redis.url) as plain:
            names = await plain.keys()
            everything = [names, [await plain.hgetall(name) for name in names]]
            assert len(names) == 2
            assert "sk_test" not in str(everything)
            assert min([await plain.ttl(name) for name in names]) > 0


LIFE = """
import asyncio, gc, os, sys
from kallglot_async import KallglotClient
from kallglot_async.shared import SharedRateLimiter

client = KallglotClient("sk_test_emulator", base_url=sys.argv[2], rate_limit=SharedRateLimiter(sys.argv[1]))

async def fetch():
    assert len((await client.wait_many([f"ana_{number}" for number in range(5)], timeout=20.0)).analyses) == 5

async def fetch_and_close():
    await fetch()
    await client.aclose()
"""
LOOPS = """
for _ in range(3):
    asyncio.run(fetch())
    gc.collect()
"""
FORKS = """
with asyncio.Runner() as runner:
    for _ in range(3):
        runner.run(fetch())
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                asyncio.run(fetch_and_close())
                gc.collect()
                status = 0
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    runner.run(fetch_and_close())
"""


@needs_redis
@pytest.mark.parametrize("code", beyond(1, [LOOPS, FORKS]), ids=["loops", "forks"])
async def test_what_is_open_is_closed_by_its_own_loop_and_by_no_other_process(tmp_path, code):
    """Nobody closes anything here: no warning, and no parent that hears its server no more."""
    async with (
        redis_server(tmp_path) as redis,
        Emulator(plan="pro", latency=Latency.immediate(), adopt_unknown=True) as server,
        process(redis.url, server.base_url, code=LIFE + code, stdin=asyncio.subprocess.DEVNULL) as child,
    ):
        out, err = await asyncio.wait_for(child.communicate(), 30.0)
    assert (child.returncode, out.decode(), err.decode()) == (0, "", "")


@needs_redis
async def test_a_ceiling_of_a_second_is_used_to_a_half_and_kept_to(tmp_path):
    """Slots that lie for four seconds at most would have left a sixth of it."""
    async with (
        redis_server(tmp_path) as redis,
        Emulator(plan="unlimited", latency=Latency.immediate(), adopt_unknown=True) as server,
        SharedRateLimiter(redis.url, limit=RateLimit(20, per=1.0)) as limiter,
        KallglotClient(KEY, base_url=server.base_url, rate_limit=limiter) as client,
    ):
        ids = [f"ana_{number}" for number in range(24)]
        assert len((await client.wait_many(ids, timeout=30.0)).analyses) == 24
        times = [entry.at for entry in server.journal]
        assert times[-1] - times[0] < 4.0  # 1.8 s at its pace, and 6.3 before
        assert server.journal.max_within(1.0) <= 20
