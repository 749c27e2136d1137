"""The inbox: an event counts once, and its announcement is told to whoever listens."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kallglot_async import ConfigurationError, WebhookInbox
from kallglot_async._waiting.inbox import RecentKeys
from kallglot_async.webhooks import parse_event


def event(id="evt_1", about="ana_1", kind="analysis.complete"):
    return parse_event(json.dumps({"id": id, "type": kind, "data": {"id": about}}).encode())


class Listener:
    """Keeps the ids that it was told."""

    def __init__(self):
        self.told = []

    def __call__(self, id):
        self.told.append(id)


@pytest.mark.parametrize("kind", ["analysis.complete", "analysis.completed", "analysis.failed"])
@pytest.mark.parametrize("id", ["ana_1", "anl_1"])
def test_an_announcement_is_told_to_every_listener(id, kind):
    """Once for each event, however often one began to listen."""
    inbox, first, second = WebhookInbox(), Listener(), Listener()
    for listener in (first, second, first):
        inbox.listen(listener)
    assert inbox.put(event(about=id, kind=kind))
    assert inbox.put(event("evt_2", about="ana_2", kind=kind))
    assert first.told == second.told == [id, "ana_2"]


def test_a_duplicate_is_told_to_nobody():
    """The event's id decides, however often and in whatever order it comes."""
    inbox, listener = WebhookInbox(), Listener()
    inbox.listen(listener)
    assert [inbox.put(event(id)) for id in ("evt_1", "evt_2", "evt_1", "evt_2", "evt_1")] == [True, True] + [False] * 3
    assert listener.told == ["ana_1", "ana_1"]


def test_an_early_event_is_known_to_who_asks_later():
    """The event may overtake the answer that names the analysis."""
    inbox = WebhookInbox()
    inbox.put(event())
    assert inbox.has_announced("ana_1")
    assert inbox.has_announced("ana_1")
    assert not inbox.has_announced("ana_2")


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
def test_other_events_announce_nothing(heard):
    """Unknown types, and events about something else, are only remembered."""
    inbox, listener = WebhookInbox(), Listener()
    inbox.listen(listener)
    assert inbox.put(heard)
    assert not inbox.put(heard)
    assert listener.told == []
    assert not inbox.has_announced("ana_1")


def test_who_is_forgotten_is_not_told():
    """`forget` takes a callback away, and forgives what was never there."""
    inbox, leaving, staying = WebhookInbox(), Listener(), Listener()
    inbox.listen(leaving)
    inbox.listen(staying)
    for _ in range(2):
        inbox.forget(leaving)
    inbox.put(event())
    assert (leaving.told, staying.told) == ([], ["ana_1"])
    inbox.forget(staying)
    assert repr(inbox) == "<WebhookInbox events=1 announced=1 listeners=0>"


def test_listeners_may_come_and_go_while_they_are_told():
    """Who is forgotten by one before it is not told; who joins is told at the next event."""
    inbox, late, forgotten = WebhookInbox(), Listener(), Listener()

    def leave(id):
        inbox.forget(leave)
        inbox.forget(forgotten)
        inbox.listen(late)

    inbox.listen(leave)
    inbox.listen(forgotten)
    inbox.put(event())
    assert (forgotten.told, late.told) == ([], [])
    inbox.put(event("evt_2"))
    assert (forgotten.told, late.told) == ([], ["ana_1"])


def test_an_event_that_a_listener_choked_on_is_no_duplicate():
    """The sender's next attempt is taken for the first one."""
    inbox, listener = WebhookInbox(), Listener()

    def choke(id):
        raise RuntimeError("no")

    inbox.listen(choke)
    inbox.listen(listener)
    with pytest.raises(RuntimeError):
        inbox.put(event())
    inbox.forget(choke)
    assert inbox.put(event())
    assert listener.told == ["ana_1"]


def test_memory_is_bounded():
    """Ids and announcements beyond the bound are forgotten, those longest unheard of first."""
    inbox = WebhookInbox(remembered=3)
    for number in range(10):
        inbox.put(event(f"evt_{number}", about=f"ana_{number}"))
    assert repr(inbox) == "<WebhookInbox events=3 announced=3 listeners=0>"
    assert [number for number in range(10) if inbox.has_announced(f"ana_{number}")] == [7, 8, 9]
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
