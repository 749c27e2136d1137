"""The inbox: an event counts once, and wakes whoever listens for its analysis and nobody else."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kallglot_async import ConfigurationError, WebhookInbox
from kallglot_async._inbox import RecentKeys
from kallglot_async.webhooks import parse_event


def event(id="evt_1", about="ana_1", kind="analysis.complete"):
    return parse_event(json.dumps({"id": id, "type": kind, "data": {"id": about}}).encode())


class Listener:
    """Counts how often it was woken."""

    def __init__(self):
        self.woken = 0

    def __call__(self):
        self.woken += 1


@pytest.mark.parametrize("kind", ["analysis.complete", "analysis.completed", "analysis.failed"])
@pytest.mark.parametrize("id", ["ana_1", "anl_1"])
def test_an_announcement_wakes_exactly_its_listeners(id, kind):
    """Everybody who listens for the analysis, once for each event, and nobody else."""
    inbox, first, second, other = WebhookInbox(), Listener(), Listener(), Listener()
    assert not inbox.listen(id, first)
    assert not inbox.listen(id, second)
    assert not inbox.listen("ana_2", other)
    assert inbox.put(event(about=id, kind=kind))
    assert (first.woken, second.woken, other.woken) == (1, 1, 0)
    assert inbox.put(event("evt_2", about=id, kind=kind))
    assert (first.woken, second.woken, other.woken) == (2, 2, 0)


def test_a_duplicate_wakes_nobody():
    """The event's id decides, however often and in whatever order it comes."""
    inbox, listener = WebhookInbox(), Listener()
    inbox.listen("ana_1", listener)
    assert [inbox.put(event(id)) for id in ("evt_1", "evt_2", "evt_1", "evt_2", "evt_1")] == [True, True] + [False] * 3
    assert listener.woken == 2


def test_an_early_event_is_told_to_who_listens_later():
    """The event may overtake the answer that names the analysis."""
    inbox, listener = WebhookInbox(), Listener()
    inbox.put(event())
    assert inbox.listen("ana_1", listener)
    assert inbox.listen("ana_1", listener)
    assert not inbox.listen("ana_2", listener)
    assert listener.woken == 0


@pytest.mark.parametrize(
    "heard",
    [
        event(kind="analysis.queued"),
        event(kind="session.ended", about="sess_1"),
        event(kind="transcript.ready"),
        event(about="sess_1"),
        event(about=None),
        event(about=["ana_1"]),
        event(kind="x" * 1000),
    ],
    ids=lambda heard: heard.type[:20],
)
def test_other_events_wake_nobody(heard):
    """Unknown types, and events about something else, are only remembered."""
    inbox, listener = WebhookInbox(), Listener()
    inbox.listen("ana_1", listener)
    assert inbox.put(heard)
    assert not inbox.put(heard)
    assert listener.woken == 0
    assert not inbox.listen("ana_1", listener)


def test_who_is_forgotten_is_not_woken():
    """`forget` takes one registration of one callback away, and forgives what was never there."""
    inbox, leaving, staying = WebhookInbox(), Listener(), Listener()
    inbox.listen("ana_1", leaving)
    inbox.listen("ana_1", staying)
    inbox.forget("ana_1", leaving)
    inbox.forget("ana_1", leaving)
    inbox.forget("ana_2", staying)
    inbox.put(event())
    assert (leaving.woken, staying.woken) == (0, 1)
    inbox.forget("ana_1", staying)
    assert repr(inbox) == "<WebhookInbox events=1 announced=1 listeners=0>"
    assert inbox._listeners == {}  # no empty list stays behind for an analysis


def test_listeners_may_come_and_go_while_they_are_woken():
    """Who is forgotten by one before it stays asleep; who joins is told at the next event."""
    inbox, late, forgotten = WebhookInbox(), Listener(), Listener()

    def leave():
        inbox.forget("ana_1", leave)
        inbox.forget("ana_1", forgotten)
        assert inbox.listen("ana_1", late)

    inbox.listen("ana_1", leave)
    inbox.listen("ana_1", forgotten)
    inbox.put(event())
    assert (forgotten.woken, late.woken) == (0, 0)
    inbox.put(event("evt_2"))
    assert (forgotten.woken, late.woken) == (0, 1)


def test_an_event_that_a_listener_choked_on_is_no_duplicate():
    """The sender's next attempt is taken for the first one."""
    inbox, listener = WebhookInbox(), Listener()

    def choke():
        raise RuntimeError("no")

    inbox.listen("ana_1", choke)
    inbox.listen("ana_1", listener)
    with pytest.raises(RuntimeError):
        inbox.put(event())
    inbox.forget("ana_1", choke)
    assert inbox.put(event())
    assert listener.woken == 1


def test_memory_is_bounded():
    """Ids and announcements beyond the bound are forgotten, those longest unheard of first."""
    inbox, listener = WebhookInbox(remembered=3), Listener()
    for number in range(10):
        inbox.put(event(f"evt_{number}", about=f"ana_{number}"))
    assert repr(inbox) == "<WebhookInbox events=3 announced=3 listeners=0>"
    assert [number for number in range(10) if inbox.listen(f"ana_{number}", listener)] == [7, 8, 9]
    assert not inbox.put(event("evt_7"))
    assert inbox.put(event("evt_10"))  # forgets evt_8, as evt_7 was just heard of again
    assert not inbox.put(event("evt_7"))
    assert inbox.put(event("evt_8"))


@pytest.mark.parametrize("remembered", [0, -1])
def test_a_bound_that_remembers_nothing_is_refused(remembered):
    """Every retry would be news."""
    with pytest.raises(ConfigurationError, match="at least one"):
        WebhookInbox(remembered=remembered)


@given(st.integers(1, 4), st.lists(st.tuples(st.booleans(), st.sampled_from("abcdef"))))
def test_recent_keys_are_those_used_last(bound, steps):
    """Against a list that is kept in order by hand."""
    keys, model = RecentKeys(bound), []
    for is_question, key in steps:
        if is_question:
            assert (key in keys) == (key in model)
        else:
            keys.add(key)
        if not is_question or key in model:
            model = [*(other for other in model if other != key), key][-bound:]
        assert len(keys) == len(model)
    assert [key for key in "abcdef" if key in keys] == sorted(model)
