"""One rate limit for many processes, agreed on over a Redis server. Needs the extra `redis`.

    from kallglot_async.shared import SharedRateLimiter

    async with SharedRateLimiter("redis://127.0.0.1:6379/0") as limiter:
        async with KallglotClient(rate_limit=limiter) as client: ...

`limiter` is what users hold, `fetcher` asks the others for one lane while somebody waits, `link` speaks with the
server, and `exchange.lua` is what runs there. What a process makes of the answers, `_core/limit/lease.py` says.
"""

from kallglot_async.shared.limiter import SharedRateLimiter

__all__ = ["SharedRateLimiter"]
