"""Whose turn it is in a call for many ids, and when the call is over.

`creator`: how an analysis is requested. `waits`: which ids a call is for, how it begins, and where calls meet that wait
for the same id. `call`: what it waits for, what it gives, and when it is over. `poller`: when its polls are sent, and
what follows from their answers. `following`: which of several calls polls an id that all of them want. `batch`: what
the two calls do alike that do not only wait: `retrieve_many`, and `analyze_many`, which waits for what it has
requested. `endings`: what is told of an id that has no analysis.

The way of an id through a wait
-------------------------------
1. `IdSource` gives it, and its `WaitCall` claims it at `Claims`, where all calls of a client meet. Who claims it first
   owns it: the call's `Poller` makes its `Entry`, which is all that is known of the id, and has it in its queue.
   Whoever claims it later follows, and keeps of it nothing but when the wait is over here (`Followed`).
2. The owner's `Poller` polls it until it has its end, and tells the call of that, which delivers an `Outcome` and has
   `Claims` tell all that follow: they deliver the same.
3. What is over for the owner alone (its time, its block, or a caller who does not take what is there) is not over for
   the others: `Claims.release` hands the `Entry` to one of them, the heir, who polls it from then on as it was left.
   What was seen of an id, and what it cost, is thus told by whoever has it last.
4. Time ends a wait in three places: an id's own, in the owner's queue; a follower's, in `Followed`; that of a whole
   call, in `Poller.ends_at`. One timer for each call, its `Watch`, looks at all three. Who follows has the owner send
   the last look for it.
"""
