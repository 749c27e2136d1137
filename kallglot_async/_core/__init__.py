"""Decisions without I/O: no clock, no randomness, no event loop, no logging, no transport library.

`api/` says what goes over the wire, `limit/` when the next request may go, `polling/` which id is worth it. `limit/`
and `polling/` know nothing of each other but `Supply`, what the one gives and the other counts on, and what failed
polls and failed calls share: the retry budget, and the policy that spends it.

A machine takes `now` as an argument, takes facts in through `on_...`, answers questions through `next_...`,
and never sleeps: it says when it wants to be asked again.
"""
