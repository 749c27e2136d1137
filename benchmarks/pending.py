"""What a pending id costs: bytes and microseconds in a poll queue, beside one sleeping task each."""

from __future__ import annotations

import asyncio
import gc
import time
import tracemalloc
from collections.abc import Callable, Iterator

from kallglot_async._core.polling.queue import PollQueue
from kallglot_async._core.polling.schedule import PollSchedule, Supply
from kallglot_async._core.polling.worth import PollModel

SIZES = {True: (10_000, 100_000), False: (10_000, 100_000, 1_000_000)}
RESCHEDULED = 20_000
SETTLES = 4  # the scheduler polls an id when about one poll in four finds it settled
BAR_BYTES = 300


def _queue() -> PollQueue:
    return PollQueue(PollModel(), schedule=PollSchedule.learned(), timeout=120.0)


def _bytes_each(build: Callable[[], object], number: int) -> float:
    gc.collect()
    tracemalloc.start()
    held = build()
    size = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    del held
    return size / number


def _filled(ids: list[str]) -> tuple[PollQueue, float]:
    """A queue whose ids have all been polled once and are pending."""
    queue = _queue()
    for id in ids:
        queue.add(id, "A", 0.0)
    return queue, max(_taken(queue, len(ids), 0.0))


def _taken(queue: PollQueue, number: int, now: float, *, settles: int = 0) -> Iterator[float]:
    """Poll that many ids, as soon as each is worth a poll; one in `settles` is found settled, the rest running."""
    while number:
        entry = queue.take(now, Supply())
        if entry is None:
            now += 1.0
            continue
        if settles and number % settles == 0:
            queue.on_settled(entry, now)
        else:
            queue.on_pending(entry, now)
        number -= 1
        yield now


def _in_queue(number: int) -> dict[str, object]:
    ids = [f"ana_{place:026d}" for place in range(number)]
    size = _bytes_each(lambda: _filled(ids), number)
    queue = _queue()
    started = time.process_time()
    for id in ids:
        queue.add(id, "A", 0.0)
    add = (time.process_time() - started) / number
    queue, now = _filled(ids)
    started = time.process_time()
    max(_taken(queue, RESCHEDULED, now + 10.0, settles=SETTLES))
    again = (time.process_time() - started) / RESCHEDULED
    return _row("kallglot_async queue", number, size, add, again)


def _as_tasks(number: int) -> dict[str, object]:
    async def measure() -> tuple[float, float]:
        tasks: list[asyncio.Task[None]] = []
        gc.collect()
        tracemalloc.start()
        tasks.extend(asyncio.create_task(asyncio.sleep(3600)) for _ in range(number))
        await asyncio.sleep(0)
        size = tracemalloc.get_traced_memory()[0] / number
        tracemalloc.stop()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        tasks.clear()
        started = time.process_time()
        tasks.extend(asyncio.create_task(asyncio.sleep(3600)) for _ in range(number))
        await asyncio.sleep(0)
        add = (time.process_time() - started) / number
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return size, add

    size, add = asyncio.run(measure())
    return _row("one sleeping task each", number, size, add, None)


def _row(candidate: str, number: int, size: float, add: float, again: float | None) -> dict[str, object]:
    return {
        "benchmark": "pending",
        "candidate": candidate,
        "ids": number,
        "bytes_each": round(size),
        "add_us": round(add * 1e6, 2),
        "reschedule_us": None if again is None else round(again * 1e6, 2),
        "bar_bytes": BAR_BYTES if again is not None else None,
    }


def run(*, quick: bool) -> list[dict[str, object]]:
    """Fill queues and loops with pending ids; returns two rows a size."""
    rows: list[dict[str, object]] = []
    for number in SIZES[quick]:
        rows.append(_in_queue(number))
        rows.append(_as_tasks(number))
    return rows


if __name__ == "__main__":
    from benchmarks.__main__ import main

    main("pending")
