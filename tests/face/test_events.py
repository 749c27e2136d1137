"""What a client tells of what it does: each request, retry, refusal and poll, in order."""

import logging
from typing import Any

import pytest
from support.clients import running

from kallglot_async import RequestTimeoutError
from kallglot_async.emulator import Fault
from kallglot_async.models import (
    ClientEvent,
    PollEvent,
    RequestEvent,
    ResponseEvent,
    RetryEvent,
    SettledEvent,
    ThrottledEvent,
)

pytestmark = pytest.mark.looptime


def told(events: list[ClientEvent]) -> list[tuple[Any, ...]]:
    """What is the same in every run of a scenario."""
    names = {
        RequestEvent: ("operation", "attempt"),
        ResponseEvent: ("operation", "attempt", "status", "error"),
        RetryEvent: ("operation", "attempt", "error"),
        ThrottledEvent: ("operation", "group"),
        PollEvent: ("status", "polls"),
        SettledEvent: ("error", "polls"),
    }
    return [(type(event).__name__, *(getattr(event, name) for name in names[type(event)])) for event in events]


async def test_the_exact_sequence_of_a_call() -> None:
    """A retry, a refusal and the answer; each with its request."""
    events: list[ClientEvent] = []
    faults = Fault(kind="status", times=1), Fault(kind="throttle", after=1, times=1, retry_after=2)
    async with running(*faults, on_event=events.append) as (emulator, client):
        await client.analyses.retrieve(emulator.seed_analyses(1)[0])
    name = "analyses.retrieve"
    assert told(events) == [
        ("RequestEvent", name, 1),
        ("ResponseEvent", name, 1, 503, "ServerError"),
        ("RetryEvent", name, 1, "ServerError"),
        ("RequestEvent", name, 2),
        ("ResponseEvent", name, 2, 429, "RateLimitedError"),
        ("ThrottledEvent", name, "analysis"),
        ("RequestEvent", name, 2),
        ("ResponseEvent", name, 2, 200, None),
    ]
    [pause] = [event.pause for event in events if isinstance(event, ThrottledEvent)]
    assert 2.0 <= pause <= 60.0
    assert all(event.at > 1_700_000_000.0 for event in events)


async def test_the_exact_sequence_of_a_wait() -> None:
    """Polls until it has settled, and its outcome once."""
    events: list[ClientEvent] = []
    async with running(Fault(kind="reset", times=1), on_event=events.append) as (emulator, client):
        await client.wait(emulator.seed_analyses(1)[0])
    story = told(events)
    assert story[:5] == [
        ("RequestEvent", "analyses.retrieve", 1),
        ("ResponseEvent", "analyses.retrieve", 1, None, "ConnectionLostError"),
        ("RetryEvent", "analyses.retrieve", 1, "ConnectionLostError"),
        ("RequestEvent", "analyses.retrieve", 2),
        ("ResponseEvent", "analyses.retrieve", 2, 200, None),
    ]
    polls = [event for event in story if event[0] == "PollEvent"]
    assert polls[0] == ("PollEvent", "queued", 2) or polls[0] == ("PollEvent", "processing", 2)
    assert polls[-1][1] == "complete"
    assert story[-1] == ("SettledEvent", None, polls[-1][2])
    requests = sum(event[0] == "RequestEvent" for event in story)
    assert requests == sum(event[0] == "ResponseEvent" for event in story) == len(polls) + 1


async def test_a_call_that_is_given_up_ends_its_story() -> None:
    """Cancelled or out of time: the request's end is told."""
    events: list[ClientEvent] = []
    async with running(Fault(kind="hang"), on_event=events.append) as (emulator, client):
        [id] = emulator.seed_analyses(1)
        with pytest.raises(RequestTimeoutError):
            await client.analyses.retrieve(id, timeout=3.0)
    assert told(events)[-1] == ("ResponseEvent", "analyses.retrieve", 1, None, "CancelledError")
    assert isinstance(events[-1], ResponseEvent)
    assert events[-1].elapsed == pytest.approx(3.0, abs=0.01)


async def test_a_callback_that_raises_costs_nothing_and_is_called_no_more(caplog: pytest.LogCaptureFixture) -> None:
    """It is logged once."""
    calls = []

    def choke(event: ClientEvent) -> None:
        calls.append(event)
        raise ZeroDivisionError

    async with running(on_event=choke) as (emulator, client):
        with caplog.at_level(logging.ERROR, "kallglot_async"):
            await client.analyses.retrieve(emulator.seed_analyses(1)[0])
    assert len(calls) == 1
    assert [record.message for record in caplog.records] == ["on_event raised and is not called again"]
