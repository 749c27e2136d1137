"""Where the ids of a batch come from: any iterable, each id checked and given once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, TypeAlias

import anyio
import anyio.lowlevel

from kallglot_async._checks import shown
from kallglot_async._core.api.analyses import check_analysis_id
from kallglot_async.errors import (
    ConfigurationError,
    InvalidIdError,
    KallglotError,
    NotAttemptedError,
)
from kallglot_async.models import Outcome, Outcomes

__all__ = ["IdSource", "Ids", "Puller", "not_attempted"]

_BREATH = 100  # ids pulled before others get their turn

Ids: TypeAlias = Iterable[str] | AsyncIterable[str]


class IdSource:
    """The ids of one batch, each given once.

    Of a collection the `total` is known. Anything else is pulled one by one as there is room for more. Something that
    is no id is given as the `InvalidIdError` it stands for, wherever it comes from.

    Args:
        ids: Any iterable or asynchronous iterable of analysis ids.
        remember: Whether ids of a lazy source are remembered, to give each once and to restore their order.
            That costs memory for each id; without it, repetitions are given again.
        check: Raises `InvalidIdError` for what is no id of the kind that is meant.

    Raises:
        ConfigurationError: It is one text, or nothing that can be iterated.
    """

    __slots__ = ("_check", "_ids", "_order", "is_async", "total")

    def __init__(self, ids: Ids, *, remember: bool, check: Callable[[object], object] = check_analysis_id) -> None:
        self._check = check
        if isinstance(ids, str | bytes):
            raise ConfigurationError(f"ids is one text, {shown(ids)}: pass a list of ids, or use wait()")
        if not isinstance(ids, Iterable | AsyncIterable):
            raise ConfigurationError(f"ids is not iterable but {type(ids).__name__}: pass a list of ids")
        self._ids: Iterable[Any] | AsyncIterable[str] = ids
        self.is_async: bool = isinstance(ids, AsyncIterable)  # whether the next id may be long in coming
        self._order: dict[str, str | InvalidIdError] | None = {} if remember else None
        self.total: int | None = None
        if isinstance(ids, Collection):
            named = {item if isinstance(item, str) else item.id: item for item in map(self._checked, ids)}
            self._ids, self._order, self.is_async = named.values(), named, False
            self.total = len(named)

    @property
    def ids(self) -> list[str]:
        """The ids that are remembered, in order: all of a collection, those that were pulled of anything else."""
        return list(self._order or ())

    def in_order(self, found: Mapping[str, Outcome | None]) -> Outcomes:
        """Return the outcomes in the order of the input."""
        ordered = (found.get(id) for id in (found if self._order is None else self._order))
        return Outcomes(outcome for outcome in ordered if outcome is not None)

    def __iter__(self) -> Iterator[str | InvalidIdError]:
        """Give those of a plain iterable."""
        if isinstance(self._ids, AsyncIterable):
            raise TypeError("these ids come asynchronously")
        if self.total is not None:
            return iter(self._ids)
        return (item for id in self._ids if (item := self._new(id)) is not None)

    async def __aiter__(self) -> AsyncGenerator[str | InvalidIdError, None]:
        if isinstance(self._ids, AsyncIterable):
            async for id in self._ids:
                if (item := self._new(id)) is not None:
                    yield item
            return
        for item in self:
            yield item

    def _new(self, id: str) -> str | InvalidIdError | None:
        """Return the id, its error, or None where it was given before."""
        item = self._checked(id)
        if self._order is not None:
            name = item if isinstance(item, str) else item.id
            if name in self._order:
                return None
            self._order[name] = item
        return item

    def _checked(self, id: str) -> str | InvalidIdError:
        try:
            self._check(id)
        except InvalidIdError as error:
            return error.with_traceback(None)
        return id


class Puller:
    """Pulls the ids of a source one by one, for as long as they are wanted. One puller at a time.

    Args:
        source: Where they come from.
    """

    __slots__ = ("_ids", "_is_stopped", "_plain", "_pulled", "_scope", "_source", "error")

    def __init__(self, source: IdSource) -> None:
        self._source = source
        # One of the two, once anybody asks for one: what need not be awaited is not.
        self._ids: AsyncGenerator[str | InvalidIdError, None] | None = None
        self._plain: Iterator[str | InvalidIdError] | None = None
        self._is_stopped = False
        self._pulled = 0
        self._scope: anyio.CancelScope | None = None
        self.error: BaseException | None = None  # what the caller's iterable raised

    async def next(self) -> str | InvalidIdError | None:
        """Return the next one; None: there are no more, the iterable raised, or nothing more is wanted."""
        if self._is_stopped or self.error is not None:
            return None
        self._pulled += 1
        if self._pulled % _BREATH == 0:
            await anyio.lowlevel.checkpoint()  # a source that never awaits must not hold up everybody else
        try:
            if not self._source.is_async:
                plain = self._plain = self._plain or iter(self._source)
                return next(plain, None)
            ids = self._ids = self._ids or aiter(self._source)
            with anyio.CancelScope() as self._scope:
                return await anext(ids, None)
        except Exception as error:  # the caller's own code: raised at the end
            self.error = error
        except asyncio.CancelledError as error:
            # Nobody cancelled us: the iterable awaited something that was cancelled, which is an error of its own.
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            self.error = error
        return None

    def at_once(self) -> str | InvalidIdError | None:
        """Return the next one of a collection, for which nothing has to be awaited; None: it takes `next` to know."""
        if self._plain is None or self._source.total is None or self._pulled % _BREATH == _BREATH - 1:
            return None
        self._pulled += 1
        return next(self._plain, None)

    def stop(self) -> None:
        """Want nothing more of an asynchronous iterable, which may take for ever; a plain one names the rest."""
        if self._source.is_async:
            self._is_stopped = True
            if self._scope is not None:
                self._scope.cancel()

    async def aclose(self) -> None:
        """Let go of the iterable."""
        if self._ids is not None:
            await self._ids.aclose()


def not_attempted(id: str, reason: KallglotError) -> NotAttemptedError:
    """Return the error of an id that did not get its turn."""
    return NotAttemptedError(
        f"{id} was not attempted: the batch ended with {type(reason).__name__}", id=id, reason=reason
    )
