"""Names that travel in a header: what no server would take is refused before anything is sent."""

import pytest

from kallglot_async import ConfigurationError, KallglotClient
from kallglot_async.emulator import Emulator

pytestmark = pytest.mark.looptime


async def test_a_name_that_fits_into_no_header_is_refused(kallglot_client: KallglotClient, kallglot_emulator: Emulator):
    """A server closes the connection on it, which looks as if trying again could help."""
    for length, name in ((2_001, "batch"), (100_000, "batch")):
        with pytest.raises(ConfigurationError, match=rf"{name} is {length:,} characters long: .* 2,000 at most"):
            await kallglot_client.analyze_many(["sess_1"], batch="n" * length, analyses=["summary"])
    with pytest.raises(ConfigurationError, match=r"idempotency_key is 4,001 characters long: .* 4,000 at most"):
        await kallglot_client.analyses.create("sess_1", idempotency_key="k" * 4_001, analyses=["summary"])
    assert kallglot_emulator.journal.total == 0


async def test_the_longest_names_are_taken(kallglot_client: KallglotClient):
    """Together with the id of a session they still fit."""
    outcomes = await kallglot_client.analyze_many(["sess_1"], batch="n" * 2_000, analyses=["summary"])
    assert outcomes["sess_1"].ok
    await kallglot_client.analyses.create("sess_2", idempotency_key="k" * 4_000, analyses=["summary"])
