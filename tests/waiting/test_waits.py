"""Which ids a call is for: those of any iterable, each once and in order."""

import asyncio
from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kallglot_async._waiting.waits import IdSource
from kallglot_async.errors import ConfigurationError, InvalidIdError
from kallglot_async.models import Outcome, Outcomes

IDS = ["ana_3", "anl_1", "ana_2"]


async def from_async(ids):
    for id in ids:
        yield id


class AsyncOnly:
    """An asynchronous iterable that is no generator."""

    def __init__(self, ids):
        self._ids = ids

    def __aiter__(self):
        return from_async(self._ids)


ORDERED_COLLECTIONS = {
    "list": list,
    "tuple": tuple,
    "deque": deque,
    "dict": dict.fromkeys,
    "dict keys": lambda ids: dict.fromkeys(ids).keys(),
}
LAZY = {
    "generator": lambda ids: (id for id in ids),
    "iterator": iter,
    "map": lambda ids: map(str, ids),
    "async generator": from_async,
    "async iterable": AsyncOnly,
}


async def pulled(source):
    items = []
    while (item := source.at_once() or await source.next()) is not None:
        items.append(item)
    return items


class TestIdSource:
    @pytest.mark.parametrize("make", ORDERED_COLLECTIONS.values(), ids=ORDERED_COLLECTIONS)
    @pytest.mark.parametrize("remember", [True, False])
    async def test_collection_is_given_in_order_with_a_known_total(self, make, remember):
        """A list, tuple, deque, dict or its keys: each id once, in order, and their number is known at once."""
        source = IdSource(make(["ana_3", "anl_1", "ana_3", "ana_2", "anl_1"]), remember=remember)
        assert source.total == 3
        assert await pulled(source) == IDS

    @pytest.mark.parametrize("make", [set, frozenset])
    async def test_set_is_given_whole(self, make):
        """A set has no order, but every id of it is given."""
        source = IdSource(make(IDS), remember=True)
        assert source.total == 3
        assert sorted(await pulled(source)) == sorted(IDS)

    @pytest.mark.parametrize("make", LAZY.values(), ids=LAZY)
    async def test_lazy_source_is_given_in_order_without_a_total(self, make):
        """Generators, iterators and their asynchronous relatives: each id once, and nobody knows how many."""
        source = IdSource(make(["ana_3", "anl_1", "ana_3", "ana_2", "anl_1"]), remember=True)
        assert source.total is None
        assert await pulled(source) == IDS

    @pytest.mark.parametrize("make", LAZY.values(), ids=LAZY)
    async def test_lazy_source_that_is_not_remembered_repeats(self, make):
        """Bounded memory has its price: a repetition is given again."""
        source = IdSource(make(["ana_3", "ana_3"]), remember=False)
        assert await pulled(source) == ["ana_3", "ana_3"]

    @pytest.mark.parametrize("make", [*ORDERED_COLLECTIONS.values(), set, *LAZY.values()])
    async def test_nothing_is_fine(self, make):
        """A batch of no ids is a batch."""
        source = IdSource(make([]), remember=True)
        assert await pulled(source) == []
        assert source.in_order({}) == Outcomes()

    @pytest.mark.parametrize("ids", ["ana_1", b"ana_1", ""])
    def test_one_text_is_refused(self, ids):
        """A text is an iterable of letters, which nobody means."""
        with pytest.raises(ConfigurationError, match="pass a list of ids"):
            IdSource(ids, remember=True)

    @pytest.mark.parametrize("ids", [None, 5, object(), asyncio])
    def test_what_cannot_be_iterated_is_refused(self, ids):
        """The message names the type that was given."""
        with pytest.raises(ConfigurationError, match=f"not iterable but {type(ids).__name__}"):
            IdSource(ids, remember=True)

    @pytest.mark.parametrize(
        ("ids", "place"),
        [
            (["ana_1", "../admin"], 1),
            (("sess_1",), 0),
            (["ana_1", "ana_2", None], 2),
            ({"ana_?": 1}, 0),
            (["ana_1", ["ana_2"]], 1),
            (["ana_1", {}], 1),
        ],
    )
    async def test_an_impossible_id_of_a_collection_is_given_as_its_error(self, ids, place):
        """It costs no sibling: the others are given as they are, and all are counted."""
        source = IdSource(ids, remember=True)
        items = await pulled(source)
        assert source.total == len(items) == len(ids)
        assert isinstance(items.pop(place), InvalidIdError)
        assert all(isinstance(item, str) for item in items)

    async def test_impossible_id_of_a_lazy_source_is_given_as_its_error(self):
        """One bad id costs no sibling: it is given as an error in its place, and the rest go on."""
        source = IdSource(iter(["ana_1", "../admin", "sess_1", "ana_2"]), remember=True)
        first, bad, worse, last = await pulled(source)
        assert (first, last) == ("ana_1", "ana_2")
        assert isinstance(bad, InvalidIdError)
        assert "../admin" in bad.message
        assert isinstance(worse, InvalidIdError)
        assert "sess_1" in worse.message

    async def test_impossible_id_goes_by_the_text_that_was_given(self):
        """`Outcome.id` is "the id as it was given": a caller finds the bad id of a lazy source under its own text."""
        (bad,) = await pulled(IdSource(iter(["../admin"]), remember=True))
        assert bad.id == "../admin"

    @pytest.mark.parametrize(
        "ids",
        [
            ["ana_" + "x" * 200 + "1", "ana_" + "x" * 200 + "2"],
            [5, "5"],
            [None, "None"],
        ],
        ids=["long texts", "number and text", "None and text"],
    )
    async def test_different_impossible_ids_are_not_taken_for_one(self, ids):
        """Conservation: two different things that are no ids end as two outcomes, however alike they print."""
        assert len(await pulled(IdSource(iter(ids), remember=True))) == 2

    async def test_repeated_impossible_id_is_given_once(self):
        """A repetition is a repetition, also of something that is no id."""
        assert len(await pulled(IdSource(iter(["../admin", "../admin"]), remember=True))) == 1

    @pytest.mark.parametrize("is_async", [False, True])
    async def test_a_lazy_source_of_repetitions_gives_others_their_turn(self, is_async):
        """Each is given once, and a million of one id hold up nobody meanwhile."""

        async def repeating():
            for _ in range(5_000):
                yield "ana_1"

        turns = 0

        async def others():
            nonlocal turns
            while True:
                await asyncio.sleep(0)
                turns += 1

        task = asyncio.create_task(others())
        source = IdSource(repeating() if is_async else iter(["ana_1"] * 5_000), remember=True)
        assert [await source.next(), await source.next()] == ["ana_1", None]
        assert turns >= 40
        task.cancel()

    @pytest.mark.parametrize("remember", [True, False])
    async def test_lazy_source_is_pulled_one_by_one(self, remember):
        """A source of millions is asked for the next id only when there is room for it."""
        taken = []

        def endless():
            while True:
                taken.append(len(taken))
                yield f"ana_{len(taken)}"

        source = IdSource(endless(), remember=remember)
        assert taken == []
        assert [await source.next(), await source.next()] == ["ana_1", "ana_2"]
        assert taken == [0, 1]

    @pytest.mark.parametrize("is_async", [False, True])
    async def test_exception_of_the_source_is_kept(self, is_async):
        """What the caller's own iterable raises is the caller's, after the ids before it; nothing follows."""

        def broken():
            yield "ana_1"
            raise LookupError("the database is gone")

        async def broken_too():
            for id in broken():
                yield id

        source = IdSource(broken_too() if is_async else broken(), remember=True)
        assert await pulled(source) == ["ana_1"]
        assert isinstance(source.error, LookupError)
        assert await source.next() is None

    @given(st.lists(st.sampled_from([f"ana_{number}" for number in range(8)])), st.randoms(), st.booleans())
    def test_order_of_the_input_is_restored(self, ids, random, is_lazy):
        """However outcomes come in, they are returned once for each distinct id, in the order of the input."""
        source = IdSource(iter(ids) if is_lazy else ids, remember=True)
        given_ids = asyncio.run(pulled(source))
        random.shuffle(given_ids)
        outcomes = source.in_order({id: Outcome(id=id) for id in given_ids})
        assert [outcome.id for outcome in outcomes] == list(dict.fromkeys(ids))

    async def test_ids_without_an_outcome_are_left_out(self):
        """Where a batch ended early, the outcomes there are keep their order."""
        source = IdSource(IDS, remember=True)
        found = {"ana_2": Outcome(id="ana_2"), "anl_1": None, "ana_3": Outcome(id="ana_3")}
        assert [outcome.id for outcome in source.in_order(found)] == ["ana_3", "ana_2"]

    async def test_order_of_what_was_not_remembered_is_that_of_the_outcomes(self):
        """Without a memory of the input there is no order but that of settling."""
        source = IdSource(iter(IDS), remember=False)
        await pulled(source)
        found = {"ana_2": Outcome(id="ana_2"), "ana_3": Outcome(id="ana_3")}
        assert [outcome.id for outcome in source.in_order(found)] == ["ana_2", "ana_3"]
