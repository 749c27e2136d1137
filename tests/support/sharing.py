"""What a process asks the others that share its limit, in short: what it does not tell is nothing."""

from support.limits import EPOCH, figures

from kallglot_async._core.limit.exchange import Ask
from kallglot_async.shared.fetcher import Shares, Unreachable, arguments_of

KEYS = ["kallglot:limit:{test}:analysis", "kallglot:limit:{test}:ceiling"]


def asked(**told):
    """Return what a process asks that has nothing to tell."""
    nothing = {
        "flying": 0, "unspent": 0, "lapses_in": 0.0, "foregone": 0, "people": 0, "direct": 0, "polls": 0,
        "appetite": told.get("polls", 0), "is_ahead": False, "idle_for": 3600.0, "figures": None, "is_fresh": False,
        "rest": 0.0, "sent_ago": 0.0, "trip": 0.5, "lost": 0, "pause": 0.0, "landed": False, "is_quiet": False,
        "is_back": False, "is_leaving": False, "processes": 1,
    }  # fmt: skip
    return Ask(**(nothing | told))


async def ask(link, name="a", *, limit=None, **told):
    """Let a process ask, and return what it is told."""
    shares = Shares(link, name, 1.0, limit, None)
    known = asked(**told)
    async with link.turn() as is_useful:
        if not is_useful:
            raise Unreachable
        return await link.exchange(
            KEYS, lambda deadline: arguments_of(known, shares, deadline), is_waited_for=not known.is_back
        )


async def announce(link, *, limit=600, remaining=599, resets_in=10.0, reset=EPOCH):
    """Let a process tell of a window that it has heard of."""
    told = figures(limit, remaining, reset, resets_in)
    await ask(link, "teller", figures=told, is_fresh=True, landed=True)
