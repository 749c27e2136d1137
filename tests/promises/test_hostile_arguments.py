"""Whatever is passed to the public face gives a value or a `KallglotError`: fuzzed with what nobody should pass."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

from hypothesis import event, given
from hypothesis import strategies as st
from support.examples import more
from support.virtual import leaving_nothing, run

from kallglot_async import KallglotClient, KallglotError, Outcomes, PollSchedule, RateLimit
from kallglot_async.emulator import Emulator, Latency


class Unprintable:
    def __str__(self) -> str:
        raise RuntimeError

    __repr__ = __str__


IDS = [
    "ana_1",
    "anl_1",
    "",
    "ana_",
    "ana_1\r\nX: y",
    "ana_\ud800",
    "ana_1/../admin",
    "../admin",
    "ana_1?x=1",
    "ana_1#",
    "x" * 10**6,
    "ana_" + "x" * 10**5,
    "\udcff",
    "ana_\u0661",
    None,
    0,
    True,
    1.5,
    b"ana_1",
    [],
    {},
    object(),
    type("Id", (str,), {})("ana_1"),
    Unprintable(),
    float("nan"),
    "sk_live_abc",
]


def lazily(ids: list[Any]) -> Iterator[Any]:
    yield from ids


def raising(ids: list[Any]) -> Iterator[Any]:
    yield from ids
    raise LookupError("no more")


async def asynchronously(ids: list[Any]) -> AsyncIterator[Any]:
    for id in ids:
        yield id


async def asynchronously_raising(ids: list[Any]) -> AsyncIterator[Any]:
    for id in ids:
        yield id
    raise LookupError("no more")


class Twice:
    """Iterable in both ways at once, and of a length that is not true."""

    def __init__(self, ids: list[Any]) -> None:
        self.ids = ids

    def __len__(self) -> int:
        return 10**9

    def __iter__(self) -> Iterator[Any]:
        return iter(self.ids)

    def __contains__(self, id: object) -> bool:
        return False


SOURCES: list[Any] = [
    list,
    tuple,
    lazily,
    raising,
    asynchronously,
    asynchronously_raising,
    Twice,
    iter,
    lambda ids: None,
    lambda ids: 7,
    lambda ids: "ana_1",
    lambda ids: b"ana_1",
    lambda ids: {"ana_1": 1},
    lambda ids: object(),
]
SECONDS = [
    None,
    30.0,
    30,
    0,
    -0.0,
    -1,
    1e-320,
    1e308,
    float("nan"),
    float("inf"),
    -float("inf"),
    True,
    "5",
    b"5",
    10**400,
    -(10**400),
    [],
    5j,
]
COUNTS = [None, 1, 64, 0, -1, True, 1.0, "1", 10**30, -(10**400), float("nan"), []]
TEXTS = [None, "summary", "", " ", "\x00", "\ud800", "é", "x" * 10**5, 7, True, b"x", [], {}, object()]
KEYS = [None, "key", "", "a b", "a\r\nX: y", "é", "\ud800", "x" * 5000, 7, b"x"]
SCHEDULES = [
    None,
    PollSchedule.fixed(),
    PollSchedule.fixed(1e-300),
    PollSchedule.exponential(1.0, 1e300, 1e300),
    7,
    "learned",
]
of = st.sampled_from


async def ended(call: Any) -> Any:
    """Return what a call gives or raises, if that is its own error; anything else fails the test."""
    try:
        async with asyncio.timeout(100_000.0):
            return await call
    except KallglotError as error:
        return error


@more(2)
@given(data=st.data())
def test_hostile_arguments_are_a_value_or_our_own_error(data: st.DataObject) -> None:
    """Before anything is sent, or as the outcome of the id they stand for; never a foreign exception."""
    draw = data.draw
    call = draw(of(["wait", "retrieve", "wait_many", "retrieve_many", "as_completed", "create"]))

    async def main() -> None:
        async with (
            Emulator(plan="unlimited", latency=Latency.immediate(), adopt_unknown=True) as emulator,
            KallglotClient(emulator.api_key, base_url=emulator.base_url) as client,
        ):
            waiting: dict[str, Any] = {
                "timeout": draw(of(SECONDS)),
                "total_timeout": draw(of(SECONDS)),
                "max_in_flight": draw(of(COUNTS)),
                "schedule": draw(of(SCHEDULES)),
            }
            id = draw(of(IDS))
            ids = draw(st.lists(of(IDS), max_size=4))
            source = draw(of(SOURCES))(ids)
            async with leaving_nothing(client):
                if call == "wait":
                    found = await ended(client.wait(id, timeout=waiting["timeout"], schedule=waiting["schedule"]))
                elif call == "retrieve":
                    found = await ended(client.analyses.retrieve(id, timeout=waiting["timeout"]))
                elif call == "wait_many":
                    found = await ended(client.wait_many(source, **waiting))
                elif call == "retrieve_many":
                    options = {"timeout": waiting["timeout"], "max_in_flight": waiting["max_in_flight"]}
                    found = await ended(client.analyses.retrieve_many(source, **options))
                elif call == "as_completed":
                    found = await ended(collected(client, source, waiting))
                else:
                    found = await ended(client.analyses.create(draw(of([*IDS, "sess_1"])), **draw(orders())))
            event(f"{call} {type(found).__name__}")
            text = repr(found)
            assert "sk_test" not in text
            assert (await client.wait("ana_still_fine")).is_complete

    run(main)


async def collected(client: KallglotClient, source: Any, options: dict[str, Any]) -> Any:
    async with client.as_completed(source, **options) as finished:
        return Outcomes([outcome async for outcome in finished])


def orders() -> st.SearchStrategy[dict[str, Any]]:
    names = of(
        [None, [], ["summary"], ("sentiment", "summary"), "summary", b"x", [7], ["\ud800"], {"summary"}, 7, [""]]
    )
    return st.fixed_dictionaries(
        {},
        optional={
            "analyses": names,
            "include": names,
            "language": of(TEXTS),
            "webhook_url": of(TEXTS),
            "profile": of(TEXTS),
            "custom_prompts": of([None, {}, {"summary": "x"}, {7: "x"}, {"summary": 7}, [], "x", 7]),
            "idempotency_key": of(KEYS),
            "timeout": of(SECONDS),
        },
    )


@more(2)
@given(data=st.data())
def test_hostile_settings_are_a_client_or_our_own_error(data: st.DataObject) -> None:
    """A client that was made can be shown, used and closed; the key is in nothing that it says."""
    draw = data.draw
    keys = [
        "sk_test_canary_1",
        "",
        "sk_test_",
        "sk_test_ a",
        "sk_test_\ud800",
        "Bearer sk_test_canary_1",
        "kst_x",
        7,
        b"sk_test_x",
    ]
    urls = [
        "http://127.0.0.1:9",
        "http://127.0.0.1:9/v1/",
        "",
        "/",
        "http://",
        "http://127.0.0.1:99999",
        "http://[::1",
        "http://[::1]:9",
        "ftp://127.0.0.1",
        "https://u:p@h",
        "http://example.com",
        "https://example.com?x",
        "https://example.com#",
        "\ud800",
        "http://127.0.0.1:9/\r\nX: y",
        "http://127.0.0.1:9/\ud800",
        "http://127.0.0.1:9/%zz",
        "x" * 10**5,
        7,
        b"http://127.0.0.1:9",
        None,
    ]

    async def main() -> None:
        options: dict[str, Any] = draw(
            st.fixed_dictionaries(
                {},
                optional={
                    "timeout": of(SECONDS),
                    "max_attempts": of(COUNTS),
                    "max_connections": of(COUNTS),
                    "max_in_flight": of(COUNTS),
                    "max_response_bytes": of(COUNTS),
                    "max_rate_wait": of(SECONDS),
                    "connect_timeout": of(SECONDS),
                    "trust_env": of([True, False, None, "x"]),
                    "rate_limit": of([None, RateLimit(1), RateLimit(10**9, 1e-9), 7, "x"]),
                    "session": of([None, 7, "x"]),
                },
            )
        )
        try:
            client = KallglotClient(draw(of(keys)), base_url=draw(of(urls)), **options)
        except KallglotError as error:
            text = str(error)
        else:
            async with client:
                text = repr(client) + repr(client.stats) + repr(client.rate_limit)
                if "127.0.0.1:9/" in text:
                    text += str(await ended(client.analyses.retrieve("ana_1", timeout=1.0)))
        assert "canary" not in text

    run(main, virtual=False)  # proxies are looked up in a thread


@more(2)
@given(
    requests=of(COUNTS),
    per=of(SECONDS),
    first=of(SECONDS),
    factor=of(SECONDS),
    maximum=of(SECONDS),
)
def test_hostile_values_are_values_or_our_own_error(
    requests: Any, per: Any, first: Any, factor: Any, maximum: Any
) -> None:
    """A rate limit or a schedule that exists can be used; what cannot be used does not come to exist."""
    with contextlib.suppress(KallglotError):
        assert RateLimit(requests, per).per > 0
    with contextlib.suppress(KallglotError):
        schedule = PollSchedule.exponential(first, factor, maximum)
        assert all(0 < schedule.interval(polls) <= maximum for polls in (0, 1, 2, 10, 10**6))
