"""Ratios on a noisy machine: rounds of all candidates in turn, and the best round of each."""

from __future__ import annotations

import gc
import time
from collections.abc import Awaitable, Callable, Mapping


def best_of(candidates: Mapping[str, Callable[[], object]], rounds: int, number: int) -> dict[str, float]:
    """Return the CPU seconds per call of each candidate, in its best round."""
    best = dict.fromkeys(candidates, float("inf"))
    for _ in range(rounds):
        for name, call in candidates.items():
            gc.collect()
            started = time.process_time()
            for _ in range(number):
                call()
            best[name] = min(best[name], (time.process_time() - started) / number)
    return best


async def best_of_async(
    candidates: Mapping[str, Callable[[int], Awaitable[object]]], rounds: int, number: int
) -> dict[str, float]:
    """Return the CPU seconds per operation of each candidate, which does `number` of them, in its best round."""
    best = dict.fromkeys(candidates, float("inf"))
    for _ in range(rounds):
        for name, run in candidates.items():
            gc.collect()
            started = time.process_time()
            await run(number)
            best[name] = min(best[name], (time.process_time() - started) / number)
    return best
