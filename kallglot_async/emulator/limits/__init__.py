"""How requests are limited and what answers tell of it: pure models that are told the time, without any socket.

They stand behind the emulator's API, and a benchmark can drive them in a time of its own:

    settings = LimitSettings(rate_limit=(150, 60.0), window="sliding_counter")
    limits, announcing = Limits(settings), Announcing(settings)
    verdict = limits.admit("analysis", now)      # now: Unix seconds on the server's clock
    verdict.accepted, announcing.headers(verdict, now), announcing.body_retry_after(verdict)

Rooms, from the bottom: `windows` (ways of counting), `plans` (the documented limits, and all settings), `budget` (which
limits a request counts against, on which node, and who else does), `announcing` (how answers tell of it).
"""
