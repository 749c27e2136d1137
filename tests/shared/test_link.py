"""One script on a real `redis-server`: what it decides, and what becomes of it where the server hangs or is gone."""

import asyncio
import contextlib
import json
import re
import time

import pytest
from redis.asyncio import Redis
from support.limits import EPOCH, figures
from support.redis_server import free_port, needs_redis, redis_server, way_to
from support.sharing import announce, ask

from kallglot_async import RateLimit
from kallglot_async.shared.fetcher import Unreachable
from kallglot_async.shared.link import MOST, PATIENCE, Link

pytestmark = needs_redis
# What is dated in the hash of a group, by the server's clock.
DATED = {b"ends", b"heard", b"sent", b"pause", b"probed", b"probe_until", b"settled", b"expires", b"since", b"at"}


@pytest.fixture
async def redis(tmp_path):
    async with redis_server(tmp_path) as server:
        yield server


@pytest.fixture
async def link(redis):
    link = Link(redis.url)
    yield link
    await link.aclose()


class TestWhatItDecides:
    async def test_an_unknown_window_is_opened_by_one_probe_of_one_process(self, link):
        """The others ask again, until it has landed."""
        first = await ask(link, "a", direct=3)
        assert (first.direct, first.is_probe) == (1, True)
        other = await ask(link, "b", direct=3)
        assert (other.direct, other.is_probe) == (0, False)
        assert other.again_in > 0
        await ask(link, "a", landed=True, figures=figures(60, 59, EPOCH, 30.0), is_fresh=True)
        assert (await ask(link, "b", direct=3)).direct == 3

    async def test_what_all_of_them_hold_is_never_more_than_the_window(self, link):
        """Whoever asks, for people or polls, and however often."""
        await announce(link, remaining=100)
        held = dict.fromkeys("abcdef", 0)
        for turn in range(60):
            name = "abcdef"[turn % 6]
            want = {"direct": 7} if turn % 2 else {"polls": 9, "is_ahead": turn % 3 == 0}
            reply = await ask(link, name, unspent=held[name], lapses_in=100.0, **want)
            held[name] += reply.direct + reply.paced
        assert 80 <= sum(held.values()) <= 100

    async def test_polls_leave_something_to_people_and_to_the_next_window(self, link):
        """Two in a hundred."""
        await announce(link, limit=100, remaining=3, resets_in=60.0)
        assert (await ask(link, "a", polls=5)).paced <= 1
        assert (await ask(link, "b", polls=5)).paced == 0
        assert (await ask(link, "c", direct=1)).direct == 1

    async def test_polls_of_two_processes_share_evenly(self, link):
        """Each has half of the rate; who wants less leaves it to the other."""
        await announce(link, resets_in=10.0)
        await ask(link, "b", polls=100)
        reply = await ask(link, "a", polls=100)
        assert reply.paced == pytest.approx(29, abs=4)
        assert reply.interval == pytest.approx(1 / 29, rel=0.2)
        await ask(link, "b", polls=3)
        assert (await ask(link, "a", polls=100)).paced == pytest.approx(55, abs=8)

    async def test_what_one_has_no_appetite_for_is_the_others(self, link):
        """Three that spend one in a second, and one that would take anything."""
        for name in "abc":
            await ask(link, name, appetite=1)
        await announce(link)
        reply = await ask(link, "d", polls=1000, appetite=1000)
        assert reply.interval == pytest.approx(10 / (588 - 3 * 10), rel=0.05)

    async def test_a_pause_holds_for_everybody(self, link):
        """As long as whoever was refused says."""
        await announce(link)
        await ask(link, "a", pause=5.0)
        reply = await ask(link, "b", direct=1)
        assert (reply.direct, reply.pause) == (0, pytest.approx(5.0, abs=0.2))

    async def test_the_newest_window_wins_and_in_one_the_least_figure(self, link):
        """Whatever order they come in."""
        await announce(link, remaining=50, reset=EPOCH)
        await ask(link, "a", figures=figures(600, 70, EPOCH, 10.0), is_fresh=True, sent_ago=5.0)
        assert (await ask(link, "b")).available == 50
        await ask(link, "a", figures=figures(600, 599, EPOCH + 10, 10.0), is_fresh=True)
        assert (await ask(link, "b")).available == 599
        await ask(link, "a", figures=figures(600, 3, EPOCH, 1.0), is_fresh=True, sent_ago=5.0)
        assert (await ask(link, "b")).available == 599

    async def test_who_leaves_is_counted_no_more(self, link):
        """Not even among the living."""
        await announce(link, remaining=50)
        await ask(link, "a", direct=5)
        assert (await ask(link, "b")).available == 45
        await ask(link, "a", is_leaving=True)
        reply = await ask(link, "b")
        assert (reply.available, reply.processes) == (50, 2)  # the teller is the other

    async def test_what_a_process_held_that_fell_silent_counts_until_a_figure_has_it(self, link):
        """One of a request that was sent a second after the last of that could have gone."""
        await announce(link, remaining=50)
        await ask(link, "killed", flying=10)
        assert (await ask(link, "b")).available == 40
        told = {"figures": figures(600, 35, EPOCH, 8.0), "is_fresh": True}
        assert (await ask(link, "b", **told, sent_ago=0.1)).available == 25
        await asyncio.sleep(1.1)
        assert (await ask(link, "b", **told, sent_ago=0.0)).available == 35

    async def test_where_nothing_is_announced_everybody_goes(self, link):
        """Until a figure comes."""
        await ask(link, "a", direct=1)
        await ask(link, "a", landed=True, is_quiet=True)
        reply = await ask(link, "b", direct=5, polls=50)
        assert (reply.direct, reply.paced, reply.interval) == (5, 50, 0.0)

    async def test_a_ceiling_holds_over_all(self, link):
        """A fifth at once, the rest at its pace, whatever the server would allow."""
        await announce(link)
        limit = RateLimit(100, per=10.0)
        granted = [(await ask(link, name, limit=limit, direct=50)).direct for name in "abcd"]
        assert sum(granted) == pytest.approx(20, abs=1)

    async def test_after_a_restart_the_first_to_come_back_is_not_alone(self, redis, link):
        """It says how many there were, and has its part only."""
        await announce(link)
        await redis.restart()
        known = {"figures": figures(600, 400, EPOCH, 8.0), "is_back": True, "processes": 20}
        reply = await ask_again(link, **known, polls=100)
        assert reply.processes == 20
        assert reply.paced <= 3

    async def test_after_a_loss_a_window_that_is_over_is_left_behind(self, link):
        """Its rest is left to those that are not heard of yet, and one probe opens the next."""
        known = {"figures": figures(600, 1, EPOCH, -5.0), "rest": 10.0, "processes": 20}
        reply = await ask(link, **known, polls=100)
        assert (reply.direct, reply.paced, reply.is_probe) == (1, 0, True)
        assert not (await ask(link, "b", **known, polls=100)).is_probe


async def ask_again(link, **told):
    """Ask until somebody answers."""
    async with asyncio.timeout(10):
        while True:
            try:
                return await ask(link, **told)
            except Unreachable:
                await asyncio.sleep(0.05)


async def set_back(url, seconds):
    """Leave everything as a server left it whose clock was ahead."""
    redis = Redis.from_url(url)
    for key in await redis.keys():
        for name, value in (await redis.hgetall(key)).items():
            if name.startswith(b"p:"):
                process = json.loads(value)
                value = json.dumps(process | {part: process[part] + seconds for part in ("seen", "lapses")})
            elif name in DATED and value:
                value = float(value) + seconds
            await redis.hset(key, name, value)
    await redis.aclose()


class TestWhereTheClockWasSetBack:
    """By an hour; so is that of a replica which takes over."""

    async def test_a_window_that_is_used_up_ends_no_later(self, redis, link):
        """Nobody would have asked before the hour was over."""
        await announce(link, remaining=0, resets_in=1.0)
        await set_back(redis.url, 3600.0)
        reply = await ask(link, direct=1)
        assert reply.ends_in == pytest.approx(1.0, abs=0.5)
        await asyncio.sleep(reply.ends_in + 1.3)
        assert (await ask(link, direct=1)).direct == 1

    async def test_a_pause_is_no_longer(self, redis, link):
        """It is what the API asked for."""
        await ask(link, "b", pause=5.0)
        await set_back(redis.url, 3600.0)
        assert (await ask(link, direct=1)).pause == pytest.approx(5.0, abs=0.5)

    async def test_who_fell_silent_is_forgotten_in_time(self, redis, link):
        """Where the clock is right again, too."""
        await ask(link, "killed", flying=10)
        await set_back(redis.url, 3600.0)
        await ask(link, "b")
        await set_back(redis.url, -15.0)
        assert (await ask(link, "b")).processes == 1


@contextlib.asynccontextmanager
async def answering(answer):
    """Say that to every command."""

    async def serve(reader, writer):
        while asked := await reader.read(4096):
            writer.write(f"{answer}\r\n".encode() * asked.count(b"*"))
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"


class TestWhatElseListensThere:
    @pytest.mark.parametrize("option", ["decode_responses=true", "encoding=utf-16", "encoding=nope", "retry=5"])
    async def test_options_of_a_url_change_nothing_of_what_is_said(self, redis, option):
        """They are the users', who copy their URLs from elsewhere."""
        link = Link(f"{redis.url}?{option}")
        assert (await ask(link, direct=1)).direct == 1
        await link.aclose()

    @pytest.mark.parametrize(
        "answer",
        [
            "HTTP/1.1 400 Bad Request",
            "+OK",
            ":abc",
            ":5",
            "$-1",
            "*-1",
            "*2\r\n:1\r\n:1",
            "\x15\x03\x01",
            "*1\r\n" * 5000,
        ],
    )
    async def test_what_is_no_redis_server_is_nobody(self, caplog, answer):
        """Whatever it says: each goes on with its part, and one line of log says why."""
        async with answering(answer) as url:
            link = Link(url)
            for _ in range(2):
                with pytest.raises(Unreachable):
                    await ask(link, direct=1)
            await link.aclose()
        assert len(caplog.messages) == 1
        assert "this process goes on with its part" in caplog.text

    async def test_a_node_of_a_cluster_that_has_other_keys_is_told_from_a_server_that_is_away(self, caplog):
        """What it says is a number and an address; the name of the error is redis-py's."""
        async with answering("-MOVED 6918 127.0.0.1:7001") as url:
            link = Link(url)
            with pytest.raises(Unreachable):
                await ask(link, direct=1)
            await link.aclose()
        assert re.search(r"moved(error:)? 6918 127\.0\.0\.1:7001", caplog.text.lower())


class TestWhatAServerMayNotHave:
    @pytest.mark.parametrize("command", ["HELLO", "SCRIPT"])
    async def test_a_command_that_it_does_not_know(self, tmp_path, caplog, command):
        """Redis 5 has one version of the protocol, and some services no administration of scripts."""
        async with redis_server(tmp_path, "--rename-command", command, "") as redis:
            link = Link(redis.url)
            assert [(await ask(link, name, direct=1)).processes for name in "ab"] == [1, 2]
            await link.aclose()
        assert caplog.messages == []


class TestAConnectionThatIsOfNoUseAnyMore:
    async def test_one_that_was_closed_meanwhile_costs_nothing(self, redis, link, caplog):
        """Servers, and what stands before them, close what is idle."""
        await ask(link)
        async with Redis.from_url(redis.url) as other:
            await other.execute_command("CLIENT KILL TYPE normal")
        assert (await ask(link, direct=1)).direct == 1
        assert caplog.messages == []

    async def test_one_to_a_server_that_became_a_replica_is_left(self, redis, tmp_path, caplog):
        """Another stands at the address by now, and nobody has closed the connection to the one before."""
        (tmp_path / "other").mkdir()
        async with redis_server(tmp_path / "other") as other, way_to(redis) as way:
            link = Link(way.url)
            await ask(link)
            async with Redis.from_url(redis.url) as plain:
                await plain.replicaof("127.0.0.1", other.port)
            way.leads_to = other
            assert (await ask(link, direct=1)).direct == 1
            await link.aclose()
        assert caplog.messages == []

    async def test_one_to_a_replica_is_not_kept(self, redis, tmp_path):
        """The address may lead to it for a while."""
        (tmp_path / "other").mkdir()
        async with redis_server(tmp_path / "other") as other, way_to(redis) as way:
            link = Link(way.url)
            async with Redis.from_url(redis.url) as plain:
                await plain.replicaof("127.0.0.1", other.port)
            with pytest.raises(Unreachable):
                await ask(link)
            way.leads_to = other
            assert (await ask(link, direct=1)).direct == 1
            await link.aclose()


async def test_many_keys_of_a_process_share_few_connections(redis, link, caplog):
    """Each asks for itself, and a pool of redis-py's has an end."""
    replies = await asyncio.gather(*(ask(link, f"p{number}") for number in range(150)))
    assert sorted(reply.processes for reply in replies) == list(range(1, 151))
    async with Redis.from_url(redis.url) as plain:
        assert len(await plain.client_list()) <= 16 + 1
    assert caplog.messages == []


async def test_many_keys_of_a_process_find_out_together_that_a_server_hangs(redis, link, monkeypatch):
    """Those in line learn it of the first sixteen, and not sixteen by sixteen."""
    await ask(link)
    redis.hang()
    run, asked = Link._run, []

    def counted(self, keys, arguments):
        asked.append(keys)
        return run(self, keys, arguments)

    monkeypatch.setattr(Link, "_run", counted)
    told = await asyncio.gather(*(ask(link, f"p{number}") for number in range(200)), return_exceptions=True)
    assert {type(error) for error in told} == {Unreachable}
    assert len(asked) == 16


class TestAServerThatIsFarAway:
    async def test_one_whose_connection_takes_long_is_reached_while_nobody_waits_for_it(self, redis):
        """The first exchange ends in time, and this process goes on by itself; the next has the time that it takes."""
        async with way_to(redis, delay=0.1) as way:
            link = Link(way.url)
            with pytest.raises(Unreachable):
                await ask(link)
            assert (await ask(link, direct=1, is_back=True)).processes == 1
            for _ in range(3):
                assert (await ask(link, direct=1)).processes == 1
            await link.aclose()


class TestWhereNobodyAnswers:
    async def test_a_server_that_is_not_there_is_known_at_once(self):
        """Nobody listens on that port."""
        link, began = Link(f"redis://127.0.0.1:{free_port()}/0"), time.monotonic()
        with pytest.raises(Unreachable):
            await ask(link)
        assert time.monotonic() - began < 0.5
        await link.aclose()

    async def test_a_server_that_hangs_is_known_in_time(self, redis, link):
        """It takes the request, and says nothing."""
        await ask(link)
        redis.hang()
        began = time.monotonic()
        with pytest.raises(Unreachable):
            await ask(link, direct=1)
        assert PATIENCE <= time.monotonic() - began < 0.5 + PATIENCE
        redis.wake()

    async def test_what_piled_up_in_a_server_that_hung_is_not_run_later(self, redis, link):
        """Slots would be granted to nobody."""
        await announce(link, remaining=50)
        redis.hang()
        for _ in range(3):
            with pytest.raises(Unreachable):
                await ask(link, "a", direct=10)
        redis.wake()
        assert (await ask_again(link, name="b")).available == 50

    async def test_a_loop_that_was_blocked_is_not_taken_for_a_server_that_hangs(self, link):
        """The answer lies in the socket; the loop had no turn to read it."""
        await ask(link)
        asyncio.get_running_loop().call_soon(time.sleep, 2 * PATIENCE)
        began = time.monotonic()
        await ask(link)
        assert time.monotonic() - began >= 2 * PATIENCE

    async def test_a_server_that_has_lost_the_script_is_given_it_again(self, redis, link):
        """A restart forgets scripts, too."""
        await ask(link)
        await redis.restart()
        assert (await ask_again(link, direct=1)).direct == 1


def test_a_loop_that_ends_takes_no_turn_away():
    """It closes the generators that are open in it, before or after the tasks that are inside of them, as it likes."""

    async def hold(link):
        async with link.turn():
            await asyncio.Event().wait()

    async def end():
        link = Link("redis://127.0.0.1:1")
        tasks = [asyncio.create_task(hold(link)) for _ in range(MOST + 1)]  # the last one waits in line
        await asyncio.sleep(0.0)
        await asyncio.get_running_loop().shutdown_asyncgens()
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        assert all(task.cancelled() for task in tasks)

    asyncio.run(end())
