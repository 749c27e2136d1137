"""What `benchmarks.durable` runs in processes of their own, which load what a user's program loads and nothing else."""

from __future__ import annotations

import asyncio
import random
import resource
import sys
import time
from collections.abc import Iterator

from kallglot_async import KallglotClient
from kallglot_async.models import ClientEvent, RequestEvent

KEY = "sk_test_emulator"


async def run_batch(path: str, url: str) -> None:
    """Go on with the batch until it is done, or until somebody kills this process."""
    async with KallglotClient(KEY, base_url=url) as client, client.open_batch(path) as batch:
        await batch.run()


def million_ids(number: int) -> Iterator[str]:
    """Give ids in no order, as an index likes them least."""
    source = random.Random(1)
    for _ in range(number):
        yield f"ana_01H{source.getrandbits(80):020X}"


async def import_ids(path: str, number: str) -> None:
    """Import so many ids; print the seconds, those of CPU, and the peak of this process' memory in MiB."""
    async with KallglotClient(KEY, base_url="http://127.0.0.1:9/v1") as client, client.open_batch(path) as batch:
        began, worked = time.perf_counter(), time.process_time()
        assert await batch.add(million_ids(int(number))) == int(number)
        took, work = time.perf_counter() - began, time.process_time() - worked
    print(took, work, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


async def reopen(path: str, url: str) -> None:
    """Print the seconds from opening the file to the first request, and run until standard input ends."""
    began = 0.0

    def hear(event: ClientEvent) -> None:
        nonlocal began
        if isinstance(event, RequestEvent) and began:
            print(time.perf_counter() - began, flush=True)
            began = 0.0

    async with KallglotClient(KEY, base_url=url, on_event=hear) as client:
        await client.analyses.retrieve("ana_1")  # connected
        batch = client.open_batch(path)  # loads its modules, and opens nothing yet
        began = time.perf_counter()
        async with batch:
            running = asyncio.create_task(batch.run())
            await asyncio.to_thread(sys.stdin.read)
            running.cancel()
            await asyncio.wait([running])


CHILDREN = {"run": run_batch, "import": import_ids, "reopen": reopen}

if __name__ == "__main__":
    asyncio.run(CHILDREN[sys.argv[1]](*sys.argv[2:]))
