"""Where the ids of a batch come from: any iterable, each id checked and given once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Collection, Iterable, Iterator, Mapping
from typing import TypeAlias

import anyio
import anyio.lowlevel

from kallglot_async._checks import shown
from kallglot_async._core.api.analyses import check_analysis_id
from kallglot_async.errors import ConfigurationError, InvalidIdError
from kallglot_async.models import Outcome, Outcomes

__all__ = ["IdSource", "Ids"]

_BREATH = 100  # ids pulled before others get their turn

Ids: TypeAlias = Iterable[str] | AsyncIterable[str]


class IdSource:
    """The ids of one batch, each given once, and pulled one by one for as long as they are wanted.

    Of a collection the `total` is known. Anything else is pulled one by one as there is room for more. Something that
    is no id is given as the `InvalidIdError` it stands for, wherever it comes from.

    Args:
        ids: Any iterable or asynchronous iterable of analysis ids.
        remember: Whether ids of a lazy source are remembered, to give each once and to restore their order.
            That costs memory for each id; without it, repetitions are given again.
        check: Raises `InvalidIdError` for what is no id of the kind that is meant.

    Raises:
        ConfigurationError: It is one text, or nothing that can be iterated.

    Attributes:
        total: How many there are, where that is known.
        is_async: Whether the next id may be long in coming.
        error: What the caller's iterable raised.
    """

    __slots__ = ("_awaited", "_check", "_is_stopped", "_order", "_plain", "_pulled", "_scope", "error", "total")

    def __init__(self, ids: Ids, *, remember: bool, check: Callable[[object], object] = check_analysis_id) -> None:
        self._check = check
        if isinstance(ids, str | bytes):
            raise ConfigurationError(f"ids is one text, {shown(ids)}: pass a list of ids, or use wait()")
        self._order: dict[str, str | InvalidIdError] | None = {} if remember else None
        # Where they come from: one of the two, as what need not be awaited is not.
        self._plain: Iterator[str | InvalidIdError] = iter(())
        self._awaited: AsyncGenerator[str | InvalidIdError, None] | None = None
        self.total: int | None = None
        if isinstance(ids, Collection):
            named = {item if isinstance(item, str) else item.id: item for item in map(self._checked, ids)}
            self._order, self._plain, self.total = named, iter(named.values()), len(named)
        elif isinstance(ids, AsyncIterable):
            self._awaited = self._await_each(ids)
        elif isinstance(ids, Iterable):
            self._plain = self._each(ids)
        else:
            raise ConfigurationError(f"ids is not iterable but {type(ids).__name__}: pass a list of ids")
        self._is_stopped = False
        self._pulled = 0
        self._scope: anyio.CancelScope | None = None
        self.error: BaseException | None = None

    @property
    def is_async(self) -> bool:
        return self._awaited is not None

    @property
    def ids(self) -> list[str]:
        """The ids that are remembered, in order: all of a collection, those that were pulled of anything else."""
        return list(self._order or ())

    def in_order(self, found: Mapping[str, Outcome | None]) -> Outcomes:
        """Return the outcomes in the order of the input."""
        ordered = map(found.get, found if self._order is None else self._order)
        return Outcomes(filter(None, ordered))

    # -- one by one

    def at_once(self) -> str | InvalidIdError | None:
        """Return the next one of a collection, for which nothing has to be awaited; None: it takes `next` to know."""
        if self.total is None or self._pulled % _BREATH == _BREATH - 1:
            return None
        self._pulled += 1
        return next(self._plain, None)

    async def next(self) -> str | InvalidIdError | None:
        """Return the next one; None: there are no more, the iterable raised, or nothing more is wanted."""
        if self._is_stopped or self.error is not None:
            return None
        self._pulled += 1
        if self._pulled % _BREATH == 0:
            await anyio.lowlevel.checkpoint()  # a source that never awaits must not hold up everybody else
        try:
            if self._awaited is None:
                return next(self._plain, None)
            with anyio.CancelScope() as self._scope:
                return await anext(self._awaited, None)
        except Exception as error:  # the caller's own code: raised at the end
            self.error = error
        except asyncio.CancelledError as error:
            # Nobody cancelled us: the iterable awaited something that was cancelled, which is an error of its own.
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            self.error = error
        return None

    def stop(self) -> None:
        """Want nothing more of an asynchronous iterable, which may take for ever; a plain one names the rest."""
        if self._awaited is not None:
            self._is_stopped = True
            if self._scope is not None:
                self._scope.cancel()

    async def aclose(self) -> None:
        """Let go of the iterable."""
        if self._awaited is not None:
            await self._awaited.aclose()

    def _each(self, ids: Iterable[str]) -> Iterator[str | InvalidIdError]:
        for id in ids:
            if (item := self._new(id)) is not None:
                yield item

    async def _await_each(self, ids: AsyncIterable[str]) -> AsyncGenerator[str | InvalidIdError, None]:
        async for id in ids:
            if (item := self._new(id)) is not None:
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
