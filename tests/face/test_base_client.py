"""What every client has: views with other options, and settings that are functions."""

import asyncio
from functools import cached_property
from typing import Any

import pytest
from support.clients import running

from kallglot_async import ConfigurationError, KallglotClient, RateLimit, RateLimitedError, ServerError
from kallglot_async.emulator import Fault

pytestmark = pytest.mark.looptime


@pytest.mark.parametrize("setting", [{"on_event": "print"}, {"random": None}])
def test_what_is_called_has_to_be_a_function(setting: dict[str, Any]) -> None:
    """Found out when the client is made."""
    with pytest.raises(ConfigurationError, match="function"):
        KallglotClient("sk_test_x", **setting)


async def test_a_view_has_its_own_options_and_shares_the_rest() -> None:
    """One attempt and two seconds for this call; limiter, connections and counts are the client's."""
    async with running(Fault(kind="status", times=3)) as (emulator, client):
        [id] = emulator.seed_analyses(1)
        quick = client.with_options(max_attempts=1, timeout=2.0)
        with pytest.raises(ServerError) as caught:
            await quick.analyses.retrieve(id)
        assert caught.value.attempts == 1
        assert (await client.analyses.retrieve(id)).id == id
        assert quick.rate_limit == client.rate_limit
        assert client.stats.retries == quick.stats.retries == 2
        await quick.aclose()  # closes nothing
        before = len(client._pool._sessions)
        assert before == 1


class Tenant(KallglotClient):
    """What users write: a constructor of their own, a default, and what is made of the client when it is first used."""

    region = "eu"

    def __init__(self, tenant: str, **options: Any) -> None:
        super().__init__(**options)
        self.tenant = tenant
        self.region = "us"

    @cached_property
    def patience(self) -> float | None:
        return self._config.timeout


def test_a_view_of_a_subclass_has_its_attributes() -> None:
    """As its type says; what is made of the client at first use is the view's own."""
    client = Tenant("acme", api_key="sk_test_x")
    assert (client.patience, client.analyses is client.analyses) == (30.0, True)
    view = client.with_options(timeout=2.0)
    assert (view.tenant, view.region, view.patience) == ("acme", "us", 2.0)
    assert view.analyses is not client.analyses


async def test_two_waits_of_two_views_are_one_poller() -> None:
    """The same key and id: polled once."""
    async with running() as (emulator, client):
        [id] = emulator.seed_analyses(1)
        view = client.with_options(timeout=5.0)
        [first], [second] = await asyncio.gather(client.wait_many([id]), view.wait_many([id]))
        assert first.unwrap() == second.unwrap()
        assert first.polls == second.polls == len(emulator.journal)


async def test_another_key_has_limits_of_its_own() -> None:
    """And the same id under another key is another wait."""
    async with running() as (emulator, client):
        [id] = emulator.seed_analyses(1)
        await client.analyses.retrieve(id)
        tenant = client.with_options(api_key="sk_test_another")
        assert tenant.rate_limit.limit is None
        assert client.rate_limit.limit == 150
        assert tenant._hub is not client._hub
        assert "another" not in repr(tenant)


async def test_another_rate_limit_is_another_limiter() -> None:
    """The view keeps its own ceiling; the client does not."""
    async with running(plan="unlimited") as (emulator, client):
        [id] = emulator.seed_analyses(1)
        slow = client.with_options(rate_limit=RateLimit(1, per=10.0), max_rate_wait=1.0)
        await slow.analyses.retrieve(id)
        with pytest.raises(RateLimitedError):
            await slow.analyses.retrieve(id)
        await client.analyses.retrieve(id)


@pytest.mark.parametrize(
    "options",
    [{"timeout": -1}, {"max_attempts": 0}, {"api_key": "nonsense"}, {"rate_limit": 5}, {"max_in_flight": 0.5}],
)
async def test_options_are_checked_like_the_clients_own(options: dict[str, Any]) -> None:
    """Before any request."""
    client = KallglotClient("sk_test_x")
    with pytest.raises(ConfigurationError):
        client.with_options(**options)
