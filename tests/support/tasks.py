"""Tasks that are started together, and looked at while they wait."""

import asyncio
from collections.abc import Coroutine
from typing import Any


async def start(*coroutines: Coroutine[Any, Any, Any]) -> list[asyncio.Task[Any]]:
    """Start tasks and let each run to its first wait."""
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    for _ in range(3):
        await asyncio.sleep(0)
    return tasks


def done(tasks: list[asyncio.Task[Any]]) -> list[bool]:
    return [task.done() for task in tasks]
