"""When the next request may go, and what a failed request is worth trying again: the limiting rules.

`gate` asks whatever is in force and says whose turn it is; a `Rule` (`ticket`) is one reason to wait. There are three:
`window`, the limit that a server announces for one endpoint group under one key (`X-RateLimit-*`); `probing`, the
limit of a server that announces none; `ceiling`, the limit that a user configured. `supply` is what a scheduler of
polls may count on. `retry` judges failures that are no refusals; polls ask it too.

The gate
1. The window is in force until an answer came without figures, and whenever a limit is announced; else the probing
   is. The ceiling holds beside either. The latest moment that any of them names counts.
2. A refusal pauses everybody, until the later of what the server advised and the announced reset with its guard.
3. Direct requests go first, then the poll that has waited longest of those that may go.

The window
4. Never send what the server's newest figure does not cover: `available = remaining - in flight`. A request in flight
   may or may not be in the figure already; it is counted, so the error is on the safe side.
5. An answer counts if its window is newer, or if its request was sent after the newest figure had arrived; within a
   window any other answer may only lower the figure. Order is told by counted events, not by a clock that may stand
   still; what was lost stays counted until a figure is sure to cover it.
6. A spent or unknown window is opened by one probe: one request goes alone, the rest follow its answer. A spent one is
   probed when it renews, a refused one when its pause is over.
7. Direct requests spend what is available at once, polls worth it do so but for its last tenth. Other polls keep an
   even pace of one every `max(period / limit, time left / available)` seconds, 2 % below the limit, so that the last
   request of a window is no gamble on network latency.
8. The length of a window is in no header. It is at least the longest time to a reset that was seen, and at most the
   distance of two resets between which the figure recovered. A reset that moves by less than the longest rest shows a
   sliding window or a token bucket; rules 4 and 7 hold for those too: time left / available is what they can sustain.

The probing
9. Nobody waits until the first refusal. A refusal at a rate r sets the rate to 0.8 r, every answer adds r / 1000; all
   urgencies keep that pace. After a pause one request tests the water.

The ceiling
10. Never more than `requests` granted in any `per` seconds, over all groups and keys that share it.

What the numbers are, and why:

    gate      SHORTEST_PAUSE        1 s      `Retry-After: 0` is no invitation to ask again at the speed of the network
              PAUSE_WITHOUT_ADVICE  30 s     what the documentation's sample clients fall back to
              SPREAD                0.1      of a pause at most is added by luck: clients of one limit come apart
              LONGEST_SPREAD        3 s      of a long pause a tenth would keep people waiting for nothing
    window    DOCUMENTED_PERIOD     60 s     "requests per minute" in every table of the documentation
              ROUNDING              1 s      by which whole-second headers can overstate the time left
              SHORT_PERIOD          10 s     of a shorter window that second is too much to be left in an interval
              SAME_RESET            0.5 s    half the unit of a reset: two resets that differ by less are one
              KEPT                  1 in 10  of a window is not spent ahead, for who comes later
              HEADROOM              1 in 50  is left unused by paced polls
              RUN_LOW               1 in 4   is kept from polls that would leave fewer requests than ids are open, where
                                             a single wait beside a batch is else polled 4 s late
              RUN_LOW_REST          5 s      a nearer reset is not known well enough to run low towards it
              GUARD, GUARD_SHARE    1.2 s    past a reset, at most 1/5 of a window: a second of rounding, and skew
              MOST_LOST             1,000    losses are told apart, so that an outage costs no memory
    probing   FIRST_GUESS           2.5/s    150 a minute, the highest documented limit for analyses
              CUT, CREEP            0.8 and 1 in 1,000: one refusal in some 200 requests at a steady limit
    ticket    burst of a pace       2        one loses a slot to a timer that fires late, a whole limit is refused
    retry     BASE_DELAY            0.5 s    doubled with each failure, full jitter: "Exponential Backoff And Jitter"
              LONGEST_DELAY         8 s      (AWS Architecture Blog, 2015)
              RetryBudget           50       retries, a tenth back for an answer: 1.1 requests for one in an outage
              _SHORTEST_GAP         0.05 s   between two looks that the budget does not pay for; doubled with each ...
              _LONGEST_GAP          60 s     ... that is in vain, so that a minute of outage costs some ten requests
"""
