"""When the next request may go, and what a failed request is worth trying again: the limiting rules.

`gate` asks whatever is in force and says whose turn it is; a `Rule` (`ticket`) is one reason to wait. There are three:
`window`, the limit that a server announces for one endpoint group under one key (`X-RateLimit-*`); `unannounced`, a
limit that no figure tells of, behind an announced one or alone, which may be one of requests at once (`places`);
`ceiling`, the limit that a user configured. What the figures of a window mean is said by `explanations`: how it is
counted where it does not renew, and what others take of it. Two modules are for what is rare: `neighbours`, what is
ours of a log that others use too; `undated`, when a window resets whose server sends no `Date`. Where several
processes share one limit, a `lease` stands for the window; `exchange` is what they tell each other, and how one goes
on that hears nothing. `Supply` (`ticket`) is what a scheduler of polls may count on. `retry` judges failures that are
no refusals; polls ask it too.

The gate
1. The window is in force until an answer came without figures, and whenever a limit is announced; the other two
   always. The latest moment that any of them names counts.
2. A refusal pauses everybody. The announced figures explain it where nothing remains of the limit that answers tell of:
   then until the later of what the server advised and the announced reset with its guard. Any other (something remains,
   another limit, no figures) is the unannounced limit's, and pauses for what it says itself, never to a reset of
   another limit.
3. Direct requests go first, then the poll that has waited longest of those that may go. Who asks what can be had for
   long is told the limit's own rate or, where others take of it, what they have left of the window that was over last:
   what we had of that, and what was there then (`Share`).

The window
4. Never send what the server's newest figure does not cover: `available = remaining - in flight`. A request in flight
   may or may not be in the figure already; it is counted, so the error is on the safe side.
5. An answer counts if its window is newer, or if its request was sent after the newest figure had arrived; within a
   window any other answer may only lower the figure. Order is told by counted events, not by a clock that may stand
   still; what was lost stays counted until a figure is sure to cover it.
6. A spent or unknown window is opened by one probe: one request goes alone, the rest follow its answer. A spent one is
   probed when it renews, a refused one when its pause is over.
7. Direct requests spend what is available at once, polls worth it do so but for its last tenth, and of a long window
   for its last MOST_KEPT. Other polls keep an even pace of one every `max(period / limit, time left / available)`
   seconds, 2 % below the limit, so that the last request of a window is no gamble on network latency.
8. The length of a window is in no header. It is at least the longest time to a reset that was seen (of more than a
   minute, by the first figure or by two in a row, as one may be another limit's), and at most the distance of two
   resets between which the figure recovered, unless a rest denies that. Where it renews SHORTER times in a row long
   before it could, and nothing is taken then, all of that is forgotten. A reset that moves by less than the longest
   rest shows a sliding window or a token bucket; rules 4 and 7 hold for those too: time left / available is what they
   can sustain. A reset comes within one period of any answer that names it; and one that stands still until then, on
   our clock as early as any answer's `Date` has shown the server's to be ahead: each is rounded down, and one answer
   says more of it than the next. A refusal ends that: a clock may have been set. Without a `Date` the server's clock is
   ours until a reset is over that should not be, or is further off than the documented minute; one that was seen to
   stand still for longer is of a longer window.
9. What neighbours have probably taken of a fixed window since the newest figure is taken off it: a poll that would find
   nothing waits for the reset. While they are seen (in the first figure of a window: by what is gone beyond what we
   sent in the one before; in a limit that does not renew: by what is gone beyond what we sent in a period), no poll
   goes ahead of the pace: nobody spends what others are about to take, and of a bucket all have the same pace by the
   same figure. What comes free before a reset that stands still is added to what may be paced.
10. How a server counts is in no header either. Three explanations predict what comes free between two figures: all of
    it at the reset; each of our requests one period after it arrived (a log); so much a second (a bucket, a sliding
    counter). A window is fixed until that was WORSE times as wrong as the best of the others, and by NOISE. A log's
    period is what was seen to have left at most, in whole seconds until a refusal; it is none that gives back within
    less than one, or whose reset lies beyond its oldest request. What the quickest trip took all trips take: that
    moves each arrival alike, so only what a trip took beyond it is a doubt of when a request arrived. What has surely
    left a log may go at once; what may have left it hides from figures what came meanwhile, which is taken off then. A
    spent limit that does not renew is probed when the ruling explanation has one come free, and a refusal pauses for
    what it says itself; each refusal halves what is counted on. A short window that a log explains AS_WELL (where all
    is spent at once, and comes back at once) is probed when one of ours has left it: whole seconds tell its reset too
    late. Of what comes free evenly while its reset stands still (a counter) polls leave one place: its rate changes
    with each of its buckets, and is only seen in whole places. However little that is, it is not waited out to the
    reset. A bucket may hold far less than its limit (SMALL), which is then a rate a minute: its resets are near
    (SMALL_REST), and bring no more than that. It is paced by the limit, and not by what it holds, unless it fills
    FASTER, or its reset comes SOONER, than that says: of what is always empty no other rate could be told. Of a log
    that others use as well, polls leave HEADROOM to them. Where they hold more of it than that, what comes free fits
    no prediction: there a reset that moves on by less than a period, and not before it is over, shows a log. Of that,
    polls keep to a part. A place of ours that leaves is taken again, as we know when, so that nobody races for it. Of
    the places that are left beyond LEFT each gains some as soon as a figure shows them, all nearly as many; while no
    more are left, who has more takes fewer of its own again: the parts come nearer. Who has FEW places has few
    figures, and asks for one besides where the last one showed places left.

The unannounced limit
11. There is none until the first refusal that no figure explains. After its pause one request goes alone; then as many
   may be in flight as were accepted since, and one more.
12. A refusal shows a rate if EVIDENCE requests were accepted since the one before, or ENOUGH since the first: those
   of the last MEASURED seconds, or of as many as its pause has; pauses are not counted, nor longer rests of ours.
   Everybody keeps to CUT of that, but at least to one request per pause, and to FALL of the rate before where hardly
   anything was accepted before a long pause; where no rate is shown, to RESTART. A refusal with nothing accepted in
   between is the same one still.
13. Each clean period, in which CLEAN seconds' worth of requests at that rate was accepted, multiplies it by a factor
   that squares itself: hardly at first, near what was refused, then fast. After SILENT seconds all is forgotten.

Requests at once (places), which an unannounced limit may count too
14. They are looked for where those that were under way beside a refusal, and accepted, took longer than it did by
   SERVED on average, and it named no pause of more than LONG: they had the places while it found none. All that were
   accepted at once are the places; FIRST of them are used, and one more is tried each STEP in which all were taken.
   They stand for the rate, which goes on learning beside them.
15. A refusal is for want of a place where one more than before was tried, and others were under way: then it pauses for
   SHORTEST_PAUSE, unless the server names a pause, as the next answer makes room and time does not, and so does the
   next refusal; as many as were under way go on, without rule 11, and one more is tried after LOOKING pauses. With
   DOUBTS other refusals in a row, of which the one that showed places is the first, or one before anything was accepted
   since the last, it was a rate after all.

The ceiling
16. Never more than `requests` arrive in any `per` seconds, over all groups and keys that share it: each counts from the
   moment it is sent until `per` after it has ended, as late as it may have arrived.

The lease (one process' part; what all of them together have is counted where they meet, by `shared/exchange.lua`)
17. `available` is the least figure of a window that any process has heard, less what all of them hold: requests in
    flight and slots that are not spent. A process tells of its answers and of what it no longer holds in one
    exchange, so that nothing is missing from both. What it held counts until it tells something else, or until a
    figure must have it: one of a request that was sent after that has arrived, at most a second after it could last
    have gone.
18. Rules 5 to 7 hold for all together: the newest window wins, a spent or unknown one is opened by one probe of one
    process, people spend what is available. Of a window each process with polls has an even part; what it has not had
    of that it may claim, as far as its appetite and its pace go in the time left, and what nobody claims is divided
    among those that have shown no end of theirs. Where a part is less than a request, they take turns at the pace of
    all. Polls that are worth it spend their part at once but for as much, once
    everybody may have been heard of; the others at an even pace. What people will send, by the window before and by
    this one, is in nobody's part.
19. Slots are taken for a horizon in advance, lapse, and are given back before a process falls idle. More are asked for
    while they are used up; what lapsed shows where an appetite ends. Direct requests take whatever is held, which then
    is not of the polls' part.
20. Where nobody can be asked, a process spends what it holds, and then goes on by itself (`Alone`): polls at the pace
    of what is left of its part of the window, people, and after that window everybody, at the even rate divided by the
    processes last known. It asks again a second later, waited for or not. Of the window of its own answers it heeds
    whether something is left, and no pace, as the others are no strangers. Once they are asked again, polls leave
    what those may hold that have not told yet.

What the numbers are, and why:

    gate      SHORTEST_PAUSE        1 s      `Retry-After: 0` is no invitation to ask again at the speed of the network
              PAUSE_WITHOUT_ADVICE  30 s     what the documentation's sample clients fall back to
              SPREAD                0.1      of a pause at most is added by luck: clients of one limit come apart
              LONGEST_SPREAD        3 s      of a long pause a tenth would keep people waiting for nothing
    window    SHORT_PERIOD          10 s     of a shorter one a second of rounding is too much to be left in an interval
              KEPT                  1 in 10  of a window is not spent ahead, for who comes later
              MOST_KEPT             60       of a window longer than two minutes: a tenth of a day, paced, takes hours
              HEADROOM              1 in 50  is left unused by paced polls
              RUN_LOW               1 in 4   is kept from polls that would leave fewer requests than ids are open, where
                                             a single wait beside a batch is else polled 4 s late
              RUN_LOW_REST          5 s      a nearer reset is not known well enough to run low towards it
              MOST_LOST             1,000    losses are told apart, so that an outage costs no memory
              GUARD, GUARD_SHARE    1.2 s    past a reset, at most 1/5 of a window: a second of rounding, and skew
              SHORTER               3        renewals: one that became shorter was paced by its old length for ever;
                                             one or two may be a log of which little was used
              APART                 1 in 1000  of a second: clocks keep to a twentieth of it. Where each window's first
                                             answer told the reset anew, 0.83 was used of 50/s spent at once, now 1.0
                                             (`python -m benchmarks.limits --only "fixed 50/1s"`)
    figures   DOCUMENTED_PERIOD     60 s     "requests per minute" in every table of the documentation; without `Date`,
                                             what is more of a reset is another clock
              ROUNDING              1 s      by which whole-second headers can overstate the time left
              LONGEST               1 day    a window may last, by which the clock of a server without `Date` is told
              SAME_RESET            0.5 s    half the unit of a reset: two resets that differ by less are one
    drift     DRIFT_MEMORY          1 in 6   of a period: ten seconds of a minute
              SHORTEST_MEMORY       2 s      of short windows two, or a burst of our own passes for a neighbour's
              MARGIN                0.5      deviations are left to neighbours beside the mean; with a whole one 20
                                             clients used 0.93 of a fixed window, with a quarter a stranger's company
                                             cost 0.3 % refused for 0.2
              OURS                  2        of 30 a minute, spent at once, every tenth was left unused for one request
              these four: `python -m benchmarks.limits`; 12.8 % refused among 20 clients of a fixed window became 0,
                                             and the 21 % where all spend ahead 0.5
    explanations: `python -m benchmarks.limits --only sliding` has what these bring
              SPAN                  1 in 30  of a period: what comes free in two seconds is more than rounding
              MOST_LOGGED           10,000   requests: of a limit that is larger, some leave unseen, and memory ends
              SLACK, LEAST_SLACK    1 in 200, 20 ms: what left before a figure must not be counted after it
              SHORTEST              1 s      a counter of 50/s taken for a log of 0.65 s had 1.7 % refused
              AS_WELL               1        request; with 0, a log of 50/s spent at once stays at 0.8 of its places
              TELLING               1 in 4   of a limit; of a bucket that is nearly full, anything could be said
              WORSE, NOISE          3 and 4  even requests leave a log as evenly as a bucket fills: not to and fro
              FEWEST                1 in 3   of 5 in 2 s no explanation is ever wrong by 4: 300 requests took up to 156
                                             of 118 s (`--only "5/2s"`); with 4, more of them are refused
              DENIED_FOR            3        periods; with 1, one of 20 clients of a bucket took it for a log that all
                                             share, and had a quarter of the largest's; now six tenths (8 seeds)
              CERTAIN, ALONE        0.98, 0.8 of a rate; less comes free than that of the documented one: others take it
              MEMORY, REFILL_MEMORY, REFILL_EVENTS  half a period, 10 s, 15 places: one more or less is 7 % of a rate
              REGAINED, LEAST_TRUST, DISTRUST       1.1, 0.05, 0.2: after three refusals in a row the reset counts
              SMALL, SMALL_REST     1 in 20, 10 s: of 150 a minute with a burst of 1, 2 or 5, 0.25, 0.4 and 0.7 was
                                             used, with 46, 31 and 0 to 19 % refused; now 0.85 to 1.0, and nothing is
                                             refused (`--only burst`). A tenth holds enough to see it fill
              FASTER, SOONER        1.3, 0.5 of the documented rate, and of the time a place takes at that: 20 in 10 s
                                             would be kept to a third for ever
              SEEN, SEEN_FOR        1 in 30, 2 periods: what is held by others is known long before a reset has moved
    neighbours: `python -m benchmarks.limits --only "sliding 150"` has what these bring: of 20 clients 1 %
              are refused instead of 18 to 24, of 4 none instead of 6 to 15; the smallest has half of the largest's
              LEFT                  2        places; with 1, a stranger who takes 30 % costs 0.3 % refused instead of
                                             0.1; with 3, 0.032 of the limit is unused beside him instead of 0.024
              GAIN                  2        a period; with 1, who was too late for the first burst catches up late
              GAIN_FROM_PLACE       0.5      with half of it, 4 clients use 0.96 instead of 0.98
              YIELDED               2        with 4, no share is more even, and beside a stranger 0.028 is unused
              GOOD_FOR              0.3      with 0.5, of 20 clients that see the same places 3 % are refused
              RUSH, CATCH_UP        1.7, 0.5 with 3, or with a whole interval, the clients that came first stay in front
              LAPSE                 6 s      with 60, of 20 clients 2 % are refused: somebody else has it by then
              FEW, LOOK_AGAIN       5, 10 s  who comes later has as few figures as places, and kept to three without;
                                             with 8, of 20 clients 7 % are refused
    unannounced: `python -m benchmarks.limits --only hidden`, and `--only unannounced`, have what these bring
              EVIDENCE, ENOUGH      3 and 8  fewer accepted are a few requests refused for reasons of their own
              RESTART               25/s     the hundred that wait for the end of a pause need not all come at once
              MEASURED              5 s      of 10/s, so that one more or less is 2 % of a rate
              CUT                   0.97     of a limit; 0.9 leaves 7 % more unused, 0.98 is refused by bad luck alone
              SLACK, MOST_SLACK     0.5, 50 ms  of an interval; with a whole one, two at once after a pause are the one
                                             too many of a second, and a limit of 10/s was taken for one of 7. Timers
                                             are late by no more; with half an interval, each third request was
                                             refused of a log of 2/s, and half of it used
                                             (`tests/core/limit/test_unannounced.py`)
              CUT_AGAIN             0.9      where a refusal less than a clean period before showed a rate of
                                             less than MEASURED: a window longer than the pause was spent at once.
                                             With 0.8, 0.86 of a log without figures is used at worst, now 0.93
                                             (`--only "Retry-After only" --seeds 20 22`)
              FALL                  1 in 4   at once, where fewer than EVIDENCE were accepted before a pause longer than
                                             MEASURED: two refusals by chance made a rate of 2/s one of a request in
                                             half a minute
              GROWTH, CLEAN         1.005, 6 s: past a limit again after half a minute (of 10/s, 0.4 % are refused) ...
              MOST_GROWTH           2        ... and tenfold within a minute, where the limit is gone
              SILENT                600 s    a limit that nobody has met for so long may be gone
              MOST_ACCEPTED         10,000   moments remembered, so that a fast server costs no memory
    places: `python -m benchmarks.limits --only "s each"` has what these bring
              SERVED                0.15 s   quicker answers hold no place for long, and a rate that is taken for places
                                             refuses more until that is denied
              LONG                  10 s     with 100, of 150 a minute without figures 3 % are refused instead of 0.7
              FIRST                 0.8      with 1, 50 at once take 39 s longer than the least possible instead of 8:
                                             one place that was seen twice is enough to deny them
              STEP                  4 s      with 1, of 50 at once 14 are refused instead of 12, and 1 s is lost
              LOOKING               30       pauses; with 5, of 20 at once 48 are refused instead of 45, and 1 s is lost
              DOUBTS                2        the refusal that showed them counts as one; with another, a rate of 50 in
                                             5 s is used to 0.90 instead of 0.91
    lease     RETRY                 1 s      in which the others may be away again
              LAPSE                 1 in 2   of a horizon: slots to be spent at once are for those who wait already
              STALE, STALE_FOR      8, 0.1 s  requests that have ended and are held against all: after a burst
              MOST_WANTED           1,000    slots for polls at once, where nothing limits them
              TRIP_KEPT             0.98     of the longest trip with each answer: forgotten after some 50
              LEAST_PART            0.01     requests: so that the pace of a part that is spent is still a number
    ticket    slack of a pace       1        interval, so that two go at once after a rest: with none, a slot is lost to
                                             a timer that fires late; with a whole limit, requests are refused
    retry     BASE_DELAY            0.5 s    doubled with each failure, full jitter: "Exponential Backoff And Jitter"
              LONGEST_DELAY         8 s      (AWS Architecture Blog, 2015)
              RetryBudget           50       retries, a tenth back for an answer: 1.1 requests for one in an outage
              _SHORTEST_GAP         0.05 s   between two looks that the budget does not pay for; after _VAIN doubled ...
              _LONGEST_GAP          60 s     ... with each, so that a minute of outage costs some fifteen requests
              _VAIN                 5        looks in a row that met nothing, and nobody is held to be there: with 1, of
                                             200 waits for an API that fails half of all requests 69 are lost
                                             (`python -m benchmarks.patience`)
              _AT_ONCE              30       looks after two such that go before the pace of their own: what they wait
                                             for is what others have met, too. With none, the last of those 200 comes
                                             25 s later, and one is lost
              _RAMP                 0.9      of a second is the gap after an answer at most, then nine tenths of that:
                                             with 0.5, waits that begin 10 times a second send 24 requests in the one
                                             after an outage (`tests/promises/test_outage.py`)
              STRANGER, SLOW_GAP    30, 10 s: as for an id that is polled, see `_core/polling`
"""
