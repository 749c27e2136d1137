"""The thread that owns the connection: whatever waits to be written is committed together, and has reached the disk."""

from __future__ import annotations

import asyncio
import os
import queue
import sqlite3
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from kallglot_async._clock import Alarm
from kallglot_async._durable.schema import translated
from kallglot_async.errors import BatchFileError

__all__ = ["Job", "Writer"]

T = TypeVar("T")
Job = Callable[[sqlite3.Connection], T]

_QUIET = 0.05  # seconds without a job after which what is committed is moved into the file itself: it costs as much
_MOST_WAITING = 32  # jobs not committed before who puts more has to wait: what a kill costs, each a request


@dataclass(slots=True, eq=False)
class _Order:
    """One job, and who waits for its commit."""

    job: Job[Any]
    done: asyncio.Future[Any] | None = None
    result: Any = None


class Writer:
    """Runs jobs on one connection in one thread, in the order in which they came.

    Jobs that wait together are one transaction. Where one fails, none of them is written, and nothing after it: the
    file keeps what it holds. Nor is anything written to a file that is no longer where it was opened: nobody would find
    it there, and another run would do, and pay for, everything once more.

    Args:
        path: The file; absolute, as the process may go to another directory.
        open: Returns the connection; called in the thread.
    """

    def __init__(self, path: Path, open: Callable[[], sqlite3.Connection]) -> None:
        self._path = path
        self._open = open
        self._loop = asyncio.get_running_loop()
        self._orders: queue.SimpleQueue[_Order | None] = queue.SimpleQueue()
        self._waiting = 0  # orders that are not committed
        self._failure: BaseException | None = None
        self._room = Alarm()
        self._opened: asyncio.Future[None] = self._loop.create_future()
        self._ended: asyncio.Future[None] = self._loop.create_future()
        # A daemon: a process that ends without closing the batch waits for nobody, and loses what a kill would.
        self._thread = threading.Thread(target=self._work, name=f"kallglot {path.name}", daemon=True)

    @property
    def is_broken(self) -> bool:
        """Whether a job has failed, so that nothing more is written."""
        return self._failure is not None

    async def start(self) -> None:
        """Open the file.

        Raises:
            KallglotError: It cannot be opened, or the system has no thread for it.
        """
        try:
            self._thread.start()
        except RuntimeError as error:
            raise BatchFileError(f"cannot use {self._path}: {error}", path=str(self._path)) from None
        await self._opened

    def put(self, job: Job[object]) -> None:
        """Have a job run, and do not wait for it.

        Raises:
            BatchFileError: An earlier one has failed.
        """
        self._send(_Order(job))

    async def room(self) -> None:
        """Wait until not too much is uncommitted.

        Raises:
            BatchFileError: A job has failed.
        """
        while self._waiting >= _MOST_WAITING and self._failure is None:
            await self._room.sleep_until()
        self._check()

    async def call(self, job: Job[T]) -> T:
        """Run a job, wait until it is committed, and return what it returned. A cancellation does not undo it.

        Raises:
            BatchFileError: It has failed, or an earlier one has.
        """
        done: asyncio.Future[T] = self._loop.create_future()
        self._send(_Order(job, done))
        return await done

    async def aclose(self) -> None:
        """Commit what waits, and close the file. Twice is fine."""
        if self._thread.ident is None:
            return  # it could not be started, and would be waited for in vain
        self._orders.put(None)
        await self._ended
        self._thread.join()  # it has nothing more to do

    def _send(self, order: _Order) -> None:
        self._check()
        self._waiting += 1
        self._orders.put(order)

    def _check(self) -> None:
        if self._failure is not None:
            # A new one each time, so that no traceback grows and no cause goes in circles.
            if isinstance(self._failure, BatchFileError):
                raise BatchFileError(self._failure.message, path=self._failure.path)
            raise self._failure

    # -- in the loop, told by the thread

    def _on_committed(self, orders: list[_Order], failure: BaseException | None) -> None:
        self._waiting -= len(orders)
        self._failure = self._failure or failure
        self._room.ring()
        for order in orders:
            if order.done is None or order.done.done():
                continue
            if failure is None:
                order.done.set_result(order.result)
            else:
                order.done.set_exception(failure)

    # -- in the thread

    def _work(self) -> None:
        try:
            connection = self._open()
            self._opened_file = os.stat(self._path)
        except BaseException as error:
            self._tell(_fail, self._opened, error)
            self._tell(_settle, self._ended)
            return
        self._tell(_settle, self._opened)
        try:
            while (orders := self._next_orders(connection)) is not None:
                failure = self._commit(connection, orders)
                self._tell(self._on_committed, orders, failure)
        finally:
            # What is committed is safe in any case.
            with suppress(sqlite3.Error):
                connection.close()
            self._tell(_settle, self._ended)

    def _next_orders(self, connection: sqlite3.Connection) -> list[_Order] | None:
        """Wait for an order, and return it with all that wait behind it; None: there will be no more."""
        if (order := self._next_order(connection)) is None:
            return None
        orders = [order]
        # Only this thread takes from it, so what is seen there is there.
        while not self._orders.empty():
            if (order := self._orders.get()) is None:
                # Put back as the next: what came before the end is committed first.
                self._orders.put(None)
                break
            orders.append(order)
        return orders

    def _next_order(self, connection: sqlite3.Connection) -> _Order | None:
        with suppress(queue.Empty):
            return self._orders.get(timeout=_QUIET)
        # From the log, where it is safe, into the file itself, which is what people copy or rename.
        # Where this fails, so does the next commit, and that is told.
        with suppress(sqlite3.Error):
            connection.execute("PRAGMA wal_checkpoint")
        return self._orders.get()

    def _commit(self, connection: sqlite3.Connection, orders: list[_Order]) -> BaseException | None:
        if self._failure is not None:
            return self._failure
        try:
            with translated(self._path):
                self._check_place(connection)
                # At once the one that writes: one that begins by reading, as many jobs do, can be refused that later.
                connection.execute("BEGIN IMMEDIATE")
                try:
                    for order in orders:
                        order.result = order.job(connection)
                    connection.execute("COMMIT")
                except BaseException:
                    # On a full disk, say, SQLite itself has taken it back already, and refuses to do so again.
                    with suppress(sqlite3.Error):
                        connection.execute("ROLLBACK")
                    raise
        except BaseException as error:
            self._failure = error
            return error
        return None

    def _check_place(self, connection: sqlite3.Connection) -> None:
        with suppress(FileNotFoundError):
            if os.path.samestat(os.stat(self._path), self._opened_file):
                return
        # Where it was moved, it takes along what is committed.
        with suppress(sqlite3.Error):
            connection.execute("PRAGMA wal_checkpoint")
        raise BatchFileError(
            f"{self._path} was moved, removed or replaced while it was open, and nothing more is written to it: put it "
            "back and go on with another run",
            path=str(self._path),
        )

    def _tell(self, callback: Callable[..., object], *facts: object) -> None:
        # The loop is closed: nobody waits any more.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(callback, *facts)


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _fail(future: asyncio.Future[None], error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)
