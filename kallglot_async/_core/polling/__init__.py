"""Which pending id is worth the next request, by what was learned of how long analyses take.

`schedule`: how polls follow each other, as a user may set it. `pending`: an id's record, what an answer says of its
time, and the orders in which records are kept. `worth`: what was learned, what a poll is worth by that, and what
webhooks are worth. `queue`: which id is polled when. `trouble`: what follows from a failure, and from having had no
answer yet. This is what they keep to:

The waiting rules
-----------------
1. Model. One law for each kind of analysis, shared by all waits of a client: the chance per second that an analysis
   of that age, still running, settles now, in age bins that grow by 2^(1/4) from 0.5 s to a day. "Still running" adds
   its seconds to the exposure; "settled" is spread over the ages since the id was last seen running, or counted at
   the age that the answer tells. Without data the chance is 1/age, which makes the schedule exponential back-off.
   Age counts from the creation where it is known, else from the moment the id was added.
2. Key. An id is due once its hazard, summed since it was last seen running, has grown by -ln(1 - WORTH): a poll
   then finds it settled with a probability of about WORTH. Never sooner than MIN_GAP after the last look. What is due
   by an old key, but not by what was learned since, is put back.
3. Slot. A granted slot goes to the first of: a last look that is due; the id with the smallest key, if that has come;
   the id seen longest ago, if that was pending / (FRESH * rate) seconds ago, or if it is due by the law as it is
   now. Otherwise it stays unused: a poll that is not worth a request is not sent, however many there are.
4. First looks. An id of unknown age may have settled long ago, so it is due when it is added, as long as such looks
   found theirs settled. Where they found theirs running, it is taken to be as young as it can be; FIRST_LOOKS of the
   rate, or SAVING of it while requests can be saved for later in the window, still go to such looks. A first look
   starts a deadline: while the rate does not cover each open id before the first deadline, what is due of those whose
   time runs goes before them.
5. Spending a window. A poll goes ahead of the even pace if, by what was observed alone, it finds its id settled with
   a chance of pending / (remaining - pending), but at least WORTH and at most DEAREST: an id then costs on average
   what the window holds for it. Where no more than one request for each pending id is left, only a chance of SURE
   goes ahead, and only while `Supply.can_run_low`: a hit takes its id along, so few are left without a look. All
   other polls keep the even pace.
6. Hints. `Retry-After` on a pending answer, or its `estimated_completion`, sets the key, but no later than HINT_STEPS
   steps of the law beyond the last look, or one of what was observed where it fits that; it is ignored where it names
   the rest of the rate-limit window. The estimate in the answer to our own create sets the first poll, which comes
   earlier where the law, by what was observed, says so. What a webhook announces is due at once, and goes ahead;
   found running, it is due again after FIRST_ECHO s, and each time after twice as long, up to what the law says.
7. Answers that are none. A poll that was refused for rate never happened: it is not counted and its key stays; up to
   PATIENCE refusals in a row do not start the clock of an id that was never polled, but one pause that is longer than
   its timeout does. A poll that failed is due again as `trouble` says: time ends a wait, and not a number of attempts.
8. Last looks. A deadline counts from an id's first poll, or from the moment it was added. One look is sent `lead`
   seconds before it, ahead of everything and by no pace; an id in flight then has had it. Running at its last look,
   its wait ends. A deadline that is noticed LATE, as nothing here ran, is followed by a look all the same, of LATE_LOOK
   at most; the answer to a poll that was out meanwhile may be from before, and does not stand for it.
9. Webhooks. An inbox is trusted from an event for something that is waited for, until a poll that was sent meanwhile
   finds an id settled without one. While it is, an id that is due sleeps until EVENT_GAP s after it was last seen, or
   as long again as it is old, but LONGEST_EVENT_GAP s at most: its event will come first. When trust ends, all are
   awake.
10. Admission. Each analysis that was requested here and is waited for needs one request in the time that its wait may
   take. Another is requested only while what those under way need, and this one, is no more than OPEN_PART of the rate
   over many windows: at half of it, with the other half for the requests themselves, the last would be seen as its
   time ends. One that is being requested, of which nobody knows how long it is waited for, needs as much as those that
   are waited for on average; where none is, as much as a usual wait. Others under the same key, and direct requests of
   our own, take what no figure tells: where a poll stands in line for STRAINED of the time of a wait, the rate is
   CAUTION of what polls and requests for analyses had in the last period of the limit at most, until one period later.
   One of a batch needs OPEN_PART / OPEN_FOR requests/s, and the rate is that of the present window, so that as many
   are under way as it gives requests in OPEN_FOR s. While some have to be seen before the window renews, what it holds
   is theirs; one that has to be as well may go where there are LOOKS requests for each. LEAST_OPEN in any case, as
   before the first answer nothing is known; MOST_OPEN at most. Others stand in line.

Constants
---------
Each with its unit and the figures that keep it where it is. The command that gave them, and the rest of the sweep, is
`python -m benchmarks.constants NAME --seeds 2`, but for the bounds in the last lines. "Scale" is 60 analyses that take
22 to 30 s under 150 requests a minute: "new" to a client without history, "known" after one batch. "Load" is a stream
at 10 requests/s.

WORTH 0.25, probability. At 10 % load 4.1 requests an analysis, 8.8 at 0.1. At 0.4 the mean delay at 30 % load is 6.2 s
    instead of 4.5, and p95 after a law that has become slower 26 s instead of 18.
SURE 0.95, probability. 200 known ids, 150 requests: p50 16 s with 237 requests, 38 s if nothing goes ahead then; 21 s
    with 246 at 0.9, and 26 s with 257 at 0.7, which spend on misses.
DEAREST 0.8, probability. Scale, created by the client: p95 6.6 s with 72 requests; 8.7 s with 89 at 0.5, and 18.6 s if
    the price has hardly a top (0.999), as nothing is worth it in the end.
FRESH 0.2, share of the rate. At 10 % load p99 is 11.2 s, 11.6 s at 0.05; a burst of 1000 costs 4,216 requests, 5,243
    at 0.5.
FIRST_LOOKS 0.5, share of the rate. 400 ids at 50 requests/s: 583 requests, 535 at 0.1 and 644 at 1.0; the last of them
    is found after 13.22, 13.29 and 13.06 s.
SAVING 0.1, share of the rate. Scale, known: 96 requests, 110 at 0.5. Less than 0.1 changes nothing that was measured.
MIN_GAP 1, s. At 2 s a burst of 1000 at 100 requests/s takes 1.007 of the best possible time instead of 1.003, and
    scale, known, has a p50 of 2.2 s instead of 1.9; at 0.25 that burst costs 4,582 requests, not 4,228. (Three seeds.)
DOUBT 0.2, analyses a bin. Scale, new: 128 requests and p50 4.7 s, 141 and 6.2 s at 0.5. At 0.1 p95 after a law that has
    become slower is 21 s instead of 18, and at 0.05 p99 at 60 % load 35 s instead of 26.
PRIOR 3, analyses, at _PRIOR_AGES, 22 to 30 s, the documented time. Scale, new: p50 4.7 s, 128 requests; 6.1 s, 138
    without. At 4 what is ready after 5 s, where every answer has a `Retry-After` of an hour, is found after 19 s, and
    not within 15 (`test_no_hint_parks_an_id`).
_FADE 0.5^(1/5000), weight an answer. A stream whose analyses take half as long from one moment on: mean delay 3.1 s,
    1.8 s at 0.5^(1/500), which costs the opposite change (2.8 to 3.5 s), and 3.4 s at 0.5^(1/50,000).
_MEMORY 0.9, weight a look. Scale, known: 93 requests, 125 at 0.5. Those that settled long ago and come last are found
    within 22 s, within 26 s if nothing is forgotten. (Three seeds.)
_REFIT 8, answers. A fit takes about 20 us. Scale, new: p50 4.7 s with 128 requests, 8.6 s with 136 at 64; 4.5 s with
    126 at 1.
_LITTLE 64, part of the answers that are remembered: where that is more than _REFIT, a fit waits for so many. 1.3 us an
    answer in a long run, 2.5 without. At 16 a law that has become slower is found later (60 ids: p50 8.3 s, not 4.9).
HINT_STEPS 3, steps of the law; HINT_INTERVALS 3, of a fixed or exponential schedule: a few, so that no server parks an
    id. LATE 0.25, s: more than a busy loop is late by. LATE_LOOK 1, s: as long as a caller is let wait beyond its time.
SLOW_GAP 10, _LONGEST_GAP 60, s: what an outage costs for each id, beside the client's own gap (`RetryBudget`). STRANGER
    30, s: a restart of what stands before an API. LAGGING 10, UNSEEN 2, s: replicas that lag by more are out of order.
EVENT_GAP 60, LONGEST_EVENT_GAP 300, s: what a lost event costs, at a hundredth of the requests of a poll every two
    seconds. FIRST_ECHO 1, s: an event may be that much before a replica; MAX_ECHOES 30, doublings: beyond any schedule.
OPEN_PART 0.45, share of the rate. `analyze` called twice as often as 60 requests a minute serve: all of what can be is
    delivered, and nothing paid for in vain; 0.96 and 30 of 600 at 0.6, 0.75 and none at 0.1.
OPEN_FOR 45, s. `analyze_many` of 300 sessions at 150 requests a minute: 261 s, and half of the outcomes within 14 s of
    being ready; 301 and 3 s at 20, 234 and 22 s at 60.
STRAINED 0.1, share of the time of a wait. Of 600 `analyze` in four processes, twice what 60 requests a minute serve, 3
    are paid for in vain; 12 at 0.02, 15 at 0.3, 71 where it is never reached. CAUTION 0.7, share: 6 of those, 26 at
    0.85, 53 at 1.0; at 0.5 none, and 0.98 instead of all of what can be beside reads of half of the limit (one seed;
    runs of several processes differ by a dozen).
LONGEST_MEASURED 600, s: of a limit of hours, what went in ten minutes has to do.
LOOKS 4, requests: two and as many again. LEAST_OPEN 4, analyses. Of 50 `analyze` at 5 requests a minute 31 are
    delivered and none is paid for in vain; 23 and 14 at 8. MOST_OPEN 5,000, analyses: a bound where there is no limit.
UNKNOWN_GAP 2, s: the documented interval, while no rate is known. PATIENCE 10 refusals, MAX_PUT_BACKS 100 a question:
    bounds, so that a server that only refuses, and a model that has just changed its mind, cost a bounded time.
RE_ASK 0.05, LOOK_AGAIN 0.5, s: what is not due yet may be by what other calls have settled meanwhile. FIRST_GAP 0.5, s,
    doubled: most replicas lag by less. HISTORY 10 failures, REMEMBERED 3600, s, of own creates: what a wait may hold.
_RATIO 2^(1/4), _BINS_TO_A_DAY 71: rule 1. _ALIKE 2, s: by so much two times between three moments may differ, each
    rounded to a second. _TRIM_EVERY 16, entries that come or go between two looks at what is gone: it is cheap then.
"""
