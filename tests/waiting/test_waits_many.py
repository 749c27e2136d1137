"""Thousands of single waits at once: none is lost, and each costs what one costs."""

import asyncio
import random
import sys

import pytest
from support.answering import KEY, Answering, page, running
from support.virtual import now
from support.virtual import run as run_in_virtual_time
from support.wire_faults import analysis, answer

import kallglot_async
from kallglot_async import KallglotClient

PACKAGE = kallglot_async.__path__[0]
READY = 10.0  # s


def served(share=0.0, until=0.0, seed=7):
    """Return a server's answers: ready after ten seconds, and a share of failures until some moment."""
    luck = random.Random(seed)

    def answers(request):
        if request.at < until and luck.random() < share:
            return page(503)
        if request.at < READY:
            return running(request.id)
        return answer(analysis(request.id))

    return answers


async def gathered(count, answers):
    """Run so many waits at once, and return their ends and the requests that they took."""
    async with Answering(answers) as server, KallglotClient(KEY, base_url=server.base_url) as client:
        waits = (client.wait(f"ana_{number}", timeout=300.0) for number in range(count))
        ends = await asyncio.gather(*waits, return_exceptions=True)
        assert (client.rate_limit.in_flight, client.rate_limit.waiting, client.stats.waiting_for) == (0, 0, 0)
        return ends, len(server.requests)


@pytest.mark.looptime
@pytest.mark.parametrize(("count", "share"), [(100, 0.3), (200, 0.1), (200, 0.5), (1_000, 0.0)])
@pytest.mark.slow
async def test_none_of_them_is_lost(count, share):
    """However many there are, and whatever share of the requests fails for twenty seconds."""
    ends, _ = await gathered(count, served(share, until=20.0))
    assert [str(end) for end in ends if isinstance(end, BaseException)] == []
    assert [end.id for end in ends] == [f"ana_{number}" for number in range(count)]
    assert now() < 200.0


def calls(count):
    """Return how many calls of the package's own functions a wait costs where there are so many."""
    made = 0

    def note(frame, event, _):
        nonlocal made
        made += event == "call" and frame.f_code.co_filename.startswith(PACKAGE)

    async def main():
        sys.setprofile(note)
        try:
            return await gathered(count, served())
        finally:
            sys.setprofile(None)

    run_in_virtual_time(main)
    return made / count


@pytest.mark.slow
def test_a_wait_costs_the_same_among_many():
    """No wait does anything for all the others: forty of them cost as much each as four times as many."""
    few, many = calls(40), calls(160)
    assert many < 1.5 * few
