"""One clock for what outlives an event loop, and sleeps on it that end."""

import asyncio
import random

import pytest

from kallglot_async import _clock

# How long the machine runs shifts the clock, and with it how the sums of floats are rounded.
since_boot = pytest.mark.parametrize("since_boot", [0.0, 344.3094512730001, 1e5 / 3.0, 1e8 / 7.0])


@pytest.mark.untraced
@pytest.mark.looptime
@since_boot
async def test_who_sleeps_until_a_moment_comes_to_it(since_boot, monkeypatch):
    """Also where the rest is less than the loop's clock can tell apart, and while virtual time stands still."""
    monkeypatch.setattr(_clock, "_latest", type(None))
    monkeypatch.setitem(_clock._shift, asyncio.get_running_loop(), since_boot)
    luck = random.Random(7)
    for _ in range(2_000):
        moment, turns = _clock.now() + luck.choice([1e-14, 1e-9, 0.05, luck.random()]), 0
        while _clock.now() < moment:
            await _clock.sleep_until(moment)
            turns += 1
            assert turns <= 3
        assert _clock.now() < moment + 1e-5


def test_a_clock_that_is_replaced_on_the_loop_alone_counts():
    """As some virtual clocks of other people's tests do it, while the loop's class is asyncio's own."""

    async def main():
        loop = asyncio.get_running_loop()
        began = loop.time()
        loop.time = lambda: began + ahead
        ahead = 0.0
        before, ahead = _clock.now(), 1000.0
        return _clock.now() - before

    loop = asyncio.SelectorEventLoop()
    try:
        assert loop.run_until_complete(main()) == pytest.approx(1000.0, abs=1.0)
    finally:
        loop.close()
