"""Outcomes that nobody takes: polling stops until somebody does."""

import asyncio

import pytest
from support.clients import unlimited

from kallglot_async import ConfigurationError
from kallglot_async.emulator import Latency


@pytest.mark.looptime
class TestMaxReady:
    @pytest.mark.untraced
    @pytest.mark.parametrize("most", [1, 7, 50])
    async def test_polling_stops_while_so_many_outcomes_lie_undelivered(self, most):
        """A slow sink is not run away from, and goes on as it takes."""
        async with unlimited(adopt_unknown=True, latency=Latency.immediate()) as (emulator, client):
            ids = [f"ana_{number}" for number in range(200)]
            async with client.as_completed(ids, max_ready=most) as finished:
                taken = 0
                async for _ in finished:
                    taken += 1
                    await asyncio.sleep(0.05)
                    assert emulator.journal.total <= taken + most
        assert taken == 200

    @pytest.mark.parametrize("most", [0, -1, 1.5, True, None])
    async def test_it_is_a_whole_number_from_1(self, most):
        """The mistake is named."""
        async with unlimited() as (_, client):
            with pytest.raises(ConfigurationError, match="max_ready"):
                client.as_completed(["ana_1"], max_ready=most)

    async def test_a_last_look_is_sent_all_the_same(self):
        """An id's deadline does not wait for the sink."""
        outcomes = []
        async with (
            unlimited(adopt_unknown=True, latency=Latency.uniform(3.0, 3.0)) as (_, client),
            client.as_completed(["ana_1", "ana_2"], max_ready=1, timeout=6.0) as finished,
        ):
            async for outcome in finished:
                outcomes.append(outcome)
                await asyncio.sleep(8.0)
        assert [outcome.ok for outcome in outcomes] == [True, True]
