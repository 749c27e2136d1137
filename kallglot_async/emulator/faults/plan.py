"""Declared faults: what goes wrong, for which requests, how often.

A fault is chosen after authentication and after the rate limit has let the request pass, so a faulted request
has used its share of the budget (the server did count it). The one exception is `throttle`: like every
refused request it costs nothing. A request that the limit itself refuses meets no fault and uses none up.

Who knows Toxiproxy's names finds `latency` as `slow`, `slicer` as `drip`, `limit_data` as `cut_body`,
`reset_peer` as `reset`, `timeout` as `hang`, and `down` as `close`.

Delays and intervals of faults are wire time, not divided by the emulator's `speed`: they rehearse the
client's real timeouts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import ClassVar, Literal, get_args

import msgspec

from kallglot_async.emulator.routes import Operation
from kallglot_async.emulator.seeding import fraction

_Replacing = Literal[
    "status", "throttle", "reset", "close", "hang", "html", "empty", "null", "deep_json", "gzip_bomb", "redirect"
]

# The request takes effect on the server, as there must be an answer that can be spoiled.
_Spoiling = Literal[
    "cut_body", "slow", "drip", "broken_json", "bad_utf8", "wrong_id", "unknown_status", "missing_field"
]

FaultKind = Literal[_Replacing, _Spoiling]
"""What can go wrong; `Fault` says what each of them does."""


class Fault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One declared fault: a kind, selectors that say which requests it hits, and the kind's own figures.

    Kinds that replace the answer: `status` (any status, with an error envelope, or with `headers` and
    `body`), `throttle` (429 although there is budget), `reset` (TCP reset before any byte), `close` (orderly
    close before any byte), `hang` (no answer ever), `html` (a page instead of JSON, status 200), `empty` (200
    without a body), `null` (a JSON null), `deep_json` (arrays nested `size` deep), `gzip_bomb` (a small body
    that unpacks to `size` bytes), `redirect` (to `location`).

    Kinds that spoil the genuine answer: `cut_body` (less than `Content-Length`, then closed), `slow` (`delay`
    before the answer), `drip` (head at once, body one byte per `interval`), `broken_json` (cut in the middle,
    length right), `bad_utf8`, `wrong_id` (about something else), `unknown_status` (an analysis status nobody has
    heard of), `missing_field` (without the field that `body` names).

    Selectors: `operation` (only this one, such as `analyses.retrieve`), `id` (only this analysis, session or
    recording), `after` (spare the first so many), `times` (gone after so many hits; None: stays), `rate` (hit a share).

    Raises:
        ValueError: A kind or a figure that does not exist.
    """

    # What is true of kinds. A subclass that adds kinds (`faults.wire.CustomFault`) widens these.
    kinds: ClassVar[frozenset[str]] = frozenset(get_args(FaultKind))
    spoilers: ClassVar[frozenset[str]] = frozenset(get_args(_Spoiling))
    # These send nothing of an answer, so none is made up and the journal has no status.
    silent: ClassVar[frozenset[str]] = frozenset({"reset", "close", "hang"})

    kind: FaultKind
    rate: float = 1.0
    """Share of the matching requests that are hit, 0 to 1; drawn from the seed, the id, and how often that id
    has matched."""
    id: str | None = None
    """Only requests with this id in their path: of an analysis, a session (also to create) or a recording."""
    operation: Operation | None = None
    """Only this operation, for example `analyses.retrieve`; `routes` has all of them."""
    times: int | None = None
    """Gone after so many hits; None: stays."""
    after: int = 0
    """Spare the first so many matching requests."""
    takes_effect: bool | None = None
    """Whether the server acts on the request (creates, counts the poll) although its answer is lost; None:
    only where the kind spoils a genuine answer."""
    status: int | None = None
    """Status sent; None: 503 for `status`, 302 for `redirect`, 200 otherwise. `throttle` sends 429 in any case, and
    kinds that spoil the genuine answer keep its status."""
    headers: dict[str, str | None] = {}
    """Headers added to the answer; None takes one away. Not for kinds that send no head."""
    body: str | None = None
    """Replaces the body of `status` and `html`; the made-up status of `unknown_status`; the field of
    `missing_field`, None: `status`."""
    retry_after: int | float | str | None = 30
    """`Retry-After` of `throttle`, sent as it is; None: no such header."""
    delay: float = 1.0
    """Seconds, for `slow`."""
    interval: float = 0.1
    """Seconds between two bytes, for `drip`."""
    location: str = "http://127.0.0.1:9/"
    """Target of `redirect`."""
    size: int | None = None
    """Depth of `deep_json` (default 100,000); unpacked bytes of `gzip_bomb` (default 64 MiB)."""

    def __post_init__(self) -> None:
        if self.kind not in self.kinds:
            raise ValueError(f"unknown fault kind {self.kind!r}; there are {', '.join(sorted(self.kinds))}")
        if self.operation is not None and self.operation not in get_args(Operation):
            names = ", ".join(get_args(Operation))
            raise ValueError(f"unknown operation {self.operation!r}; there are {names}")
        if not 0.0 <= self.rate <= 1.0:
            raise ValueError(f"a fault's rate is a share between 0 and 1, not {self.rate}")
        if self.after < 0 or (self.times is not None and self.times < 1):
            raise ValueError(f"a fault needs after >= 0 and times >= 1, not {self.after} and {self.times}")
        if self.status is not None and not 200 <= self.status <= 599:
            raise ValueError(f"a fault's status is one of an answer, from 200 to 599, not {self.status}")
        if self.delay < 0 or self.interval < 0 or (self.size is not None and self.size < 0):
            raise ValueError("a fault's delay, interval and size cannot be negative")
        # The genuine answer is made by doing what was asked for.
        if self.takes_effect is False and self.kind in self.spoilers:
            raise ValueError(f"a fault of kind {self.kind!r} needs the genuine answer, so it takes effect")

    @property
    def is_effective(self) -> bool:
        """Whether the request takes effect on the server."""
        return self.kind in self.spoilers if self.takes_effect is None else self.takes_effect

    @property
    def is_silent(self) -> bool:
        """Whether nothing of an answer is sent."""
        return self.kind in self.silent


class _Declared(msgspec.Struct):
    """A fault with its counters."""

    fault: Fault
    number: int
    matches: int = 0
    hits: int = 0
    per_id: Counter[str | None] = msgspec.field(default_factory=Counter)

    def strikes(self, id: str | None, operation: str | None, seed: int) -> bool:
        """Whether it hits this request; counts the match."""
        fault = self.fault
        if fault.id not in (None, id) or fault.operation not in (None, operation):
            return False
        self.matches += 1
        if self.matches <= fault.after:
            return False
        if fault.rate < 1.0:
            # By how often this id has matched, not by how often any has: concurrent requests for several ids
            # may come in any order, and the same ones are hit all the same.
            self.per_id[id] += 1
            if fraction(seed, "fault", self.number, id, self.per_id[id]) >= fault.rate:
                return False
        self.hits += 1
        return True

    @property
    def is_spent(self) -> bool:
        return self.fault.times is not None and self.hits >= self.fault.times


class FaultBook:
    """The declared faults in the order of their declaration; the first one that strikes is applied.

    The seed decides which requests a `rate` hits; `faults` are there from the start, and again after `reset`.
    """

    __slots__ = ("_declared", "_initial", "_number", "_seed")

    def __init__(self, seed: int, faults: Iterable[Fault] = ()) -> None:
        self._seed = seed
        self._initial = tuple(faults)
        self.reset()

    def reset(self) -> None:
        """Back to the faults of the start, with their counters at zero."""
        self._number = 0
        self.clear()
        for fault in self._initial:
            self.add(fault)

    def clear(self) -> None:
        """Take all faults away."""
        self._declared: list[_Declared] = []

    def add(self, fault: Fault) -> None:
        """Declare one more fault, after the others."""
        self._declared.append(_Declared(fault, self._number))
        self._number += 1

    def listing(self) -> list[tuple[Fault, int]]:
        """The faults that are still there, with how often each has struck."""
        return [(declared.fault, declared.hits) for declared in self._declared]

    def draw(self, id: str | None, operation: str | None, *, throttle: bool) -> Fault | None:
        """The fault that hits a request: one of kind `throttle`, or one of all other kinds."""
        # Another thread may clear them meanwhile, which makes another list.
        of_now = self._declared
        for declared in of_now:
            if (declared.fault.kind == "throttle") is throttle and declared.strikes(id, operation, self._seed):
                if declared.is_spent:
                    of_now.remove(declared)
                return declared.fault
        return None
