"""Several waits for one id: one polls it, the others follow, and nobody starves."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest
from support.answering import Outage, Request, client_of, page, running
from support.clients import unlimited
from support.wire_faults import analysis, answer

from kallglot_async import PollSchedule, WaitTimeoutError
from kallglot_async._waiting.following import Followed, Followers
from kallglot_async.emulator import Latency

pytestmark = pytest.mark.looptime
GATEWAY = page(503)


class TestFollowed:
    def test_waits_end_in_the_order_of_their_ends(self) -> None:
        """Each once, whatever the order in which they began; one without an end never does."""
        followed = Followed()
        for id, ends_at in (("ana_3", 30.0), ("ana_1", 10.0), ("ana_0", math.inf), ("ana_2", 20.0)):
            followed.add(id, ends_at)
        assert followed.next_end() == 10.0
        assert followed.pop_due(9.9) is None
        assert [followed.pop_due(20.0) for _ in range(3)] == [(10.0, "ana_1"), (20.0, "ana_2"), None]
        assert followed.next_end() == 30.0

    def test_an_end_that_was_put_off_is_none_any_more(self) -> None:
        """Nor is that of an id which is followed no longer."""
        followed = Followed()
        followed.add("ana_1", 10.0)
        followed.add("ana_1", 40.0)
        followed.add("ana_2", 20.0)
        del followed.ends["ana_2"]
        assert followed.pop_due(39.9) is None
        assert followed.next_look() == followed.next_end() == 40.0

    def test_a_last_look_comes_before_the_end_and_once(self) -> None:
        """It takes nothing from the end itself."""
        followed = Followed()
        followed.add("ana_1", 10.0)
        assert [followed.pop_look(11.0), followed.pop_look(11.0)] == ["ana_1", None]
        assert followed.next_look() == math.inf
        assert followed.pop_due(10.0) == (10.0, "ana_1")


class Follower:
    """As much of a call, and of its poller, as is asked of who follows an id."""

    def __init__(self, loop: str = "runs", *, is_behind: bool = False) -> None:
        self.loop, self.poller = loop, self
        self._is_behind, self.asked = is_behind, 0

    @property
    def is_ahead_of_caller(self) -> bool:
        self.asked += 1
        return self._is_behind


class TestHeirs:
    def test_the_first_that_nothing_hinders_is_the_heir(self) -> None:
        """Nobody behind it is asked: thousands may end in one moment, one after the other."""
        stands, _, first, *others = calls = [
            Follower("stands still"), Follower(is_behind=True), *(Follower() for _ in range(10))
        ]  # fmt: skip
        followers: Any = Followers({"ana_1": calls})
        assert followers.heir_of("ana_1", Follower()) is first
        assert sum(one.asked for one in others) == 0
        assert followers.heir_of("ana_1", Follower("stands still")) is stands

    def test_the_least_hindered_is_where_all_are(self) -> None:
        """But where it is to poll at once there is none then."""
        stands, behind = Follower("stands still"), Follower(is_behind=True)
        followers: Any = Followers({"ana_1": [stands, behind]})
        assert followers.heir_of("ana_1", Follower()) is behind
        assert followers.heir_of("ana_1", Follower(), at_once=True) is None
        assert followers.heir_of("ana_2", Follower()) is None


@pytest.mark.untraced
class TestSharedWaits:
    async def test_who_follows_is_told_what_the_shared_poller_saw(self) -> None:
        """Both end at their time, after the same last look."""
        async with client_of(lambda request: running(request.id), is_warm=False) as (server, client):
            ends = await asyncio.gather(*(client.wait("ana_1", timeout=20.0) for _ in range(3)), return_exceptions=True)
            for end in ends:
                assert isinstance(end, WaitTimeoutError)
                assert end.last_status == "processing"
                assert end.polls == len(server.requests) > 2

    async def test_who_has_more_time_goes_on_where_the_first_was(self) -> None:
        """It is not looked at anew, and gets what comes."""

        def settles(request: Request) -> bytes:
            return answer(analysis(request.id)) if request.at >= 25.0 else running(request.id)

        async with client_of(settles, is_warm=False) as (_, client):
            short, long = await asyncio.gather(
                client.wait("ana_1", timeout=10.0), client.wait("ana_1", timeout=60.0), return_exceptions=True
            )
            assert isinstance(short, WaitTimeoutError)
            assert not isinstance(long, BaseException)
            assert long.is_complete

    @pytest.mark.parametrize("limit", ["timeout", "total_timeout"])
    async def test_who_has_less_time_has_a_last_look_of_its_own(self, limit: str) -> None:
        """Whoever polls for both would have looked later."""
        async with client_of(Outage(None, 0.0, ready=29.0), is_warm=False) as (server, client):
            rare = PollSchedule.fixed(50.0)
            long = asyncio.create_task(client.wait_many(["ana_1"], timeout=120.0, schedule=rare))
            await asyncio.sleep(1.0)
            options: dict[str, Any] = {limit: 29.0}
            assert len((await client.wait_many(["ana_1"], **options)).analyses) == 1
            assert len((await long).analyses) == 1
            assert len(server.requests) == 2

    @pytest.mark.parametrize("is_out", [False, True])
    async def test_many_who_have_less_time_share_their_last_looks(self, is_out: bool) -> None:
        """A second is as good as now; and in an outage they are no more looks than the budget pays for."""

        def handler(request: Request) -> bytes:
            return GATEWAY if is_out and request.id == "ana_1" else running(request.id)

        async with client_of(handler) as (server, client), asyncio.TaskGroup() as group:
            long = group.create_task(client.wait("ana_1", timeout=60.0, schedule=PollSchedule.fixed(50.0)))
            await asyncio.sleep(1.0)
            calls = [client.wait_many(["ana_1"], timeout=10.0 + number / 20) for number in range(600)]
            assert all(outcomes.errors for outcomes in await asyncio.gather(*calls))
            assert len(server.requests) <= (50 + 20 if is_out else 30 + 5)
            long.cancel()


class TestTwoWaitsForOneId:
    """One polls, and the other must not starve where the first has stopped for a slow caller."""

    @pytest.mark.untraced
    @pytest.mark.parametrize("when", ["before", "after", "while it is being polled"])
    @pytest.mark.parametrize("most", [1, 5])
    async def test_a_caller_that_does_not_take_outcomes_starves_nobody(self, when, most):
        """Whoever else waits for an id polls it from then on, and both have its outcome."""
        async with unlimited(adopt_unknown=True, latency=Latency.uniform(2.0, 4.0)) as (_, client):
            ids = [f"ana_{number}" for number in range(40)]
            async with client.as_completed(ids, max_ready=most, timeout=600.0) as finished:
                if when != "before":
                    await asyncio.sleep(20.0 if when == "after" else 1.0)
                began = asyncio.get_running_loop().time()
                others = await asyncio.wait_for(client.wait_many(ids, timeout=60.0), 60.0)
                assert all(outcome.ok for outcome in others)
                assert asyncio.get_running_loop().time() - began < 30.0
                taken = [outcome async for outcome in finished]
            assert {outcome.id for outcome in taken if outcome.ok} == set(ids)
            assert client.stats.waiting_for == 0

    async def test_a_single_wait_is_relieved_too(self):
        """One id of a stalled batch, asked for by somebody else."""
        async with unlimited(adopt_unknown=True, latency=Latency.immediate()) as (_, client):
            ids = [f"ana_{number}" for number in range(10)]
            async with client.as_completed(ids, max_ready=2) as finished:
                await asyncio.sleep(5.0)
                found = await asyncio.gather(*(client.wait(id, timeout=10.0) for id in reversed(ids)))
                assert [analysis.id for analysis in found] == ids[::-1]
                assert len([outcome async for outcome in finished]) == 10

    async def test_two_stalled_callers_do_not_pass_an_id_to_and_fro(self):
        """Whichever takes outcomes first goes on."""
        async with unlimited(adopt_unknown=True, latency=Latency.immediate()) as (emulator, client):
            ids = [f"ana_{number}" for number in range(10)]
            async with client.as_completed(ids, max_ready=2) as one, client.as_completed(ids, max_ready=2) as two:
                await asyncio.sleep(30.0)
                assert emulator.journal.total <= 6
                assert len([outcome async for outcome in two]) == 10
                assert len([outcome async for outcome in one]) == 10

    async def test_who_leaves_gives_the_id_back(self):
        """To the one that had it before, once that goes on."""
        async with unlimited(adopt_unknown=True, latency=Latency.uniform(20.0, 20.0)) as (_, client):
            async with client.as_completed(["ana_1", "no id", "no id 2"], max_ready=2) as finished:
                other = asyncio.create_task(client.wait("ana_1"))
                await asyncio.sleep(5.0)
                other.cancel()
                taken = [outcome async for outcome in finished]
            assert [outcome.id for outcome in taken if outcome.ok] == ["ana_1"]

    async def test_a_stalled_batch_does_not_keep_the_first_request_from_the_others(self):
        """A client that never had an answer asks once for all, and not through one that takes nothing."""
        ids = ["no id", "no id 2", "ana_1"]
        async with (
            unlimited(adopt_unknown=True, latency=Latency.immediate()) as (_, client),
            client.as_completed(ids, max_ready=1) as finished,
        ):
            await asyncio.sleep(1.0)
            assert (await client.wait("ana_2", timeout=10.0)).is_settled
            assert (await client.wait("ana_1", timeout=10.0)).is_settled
            assert len([outcome async for outcome in finished]) == 3
