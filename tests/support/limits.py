"""Servers that limit, as models, and short hands for asking and telling a rule of a limit."""

import math
from collections import deque
from email.utils import formatdate

from hypothesis import strategies as st

from kallglot_async._core.api.answers import RateFigures
from kallglot_async._core.limit.ticket import Ticket, Urgency

DIRECT, AHEAD, PACED = Urgency
EPOCH = 1_800_000_000.0  # the server's wall clock at 0.0 of ours, a boundary of every fixed window below
GRAIN = 1e-6  # s: rounding of floating-point sums, not time

kinds = st.sampled_from(["fixed", "sliding", "token_bucket"])
budgets = st.sampled_from([(5, 10.0), (20, 60.0), (3, 1.0), (1, 5.0), (60, 60.0)])
skews = st.sampled_from([0.0, 0.4, -0.7, 3600.0, -3600.0])
offsets = st.integers(0, 600).map(lambda tenths: tenths / 10)
pauses = st.one_of(st.integers(0, 300), st.integers(0, 7_000)).map(lambda hundredths: hundredths / 100)
urgencies = st.sampled_from(list(Urgency))


def figures(limit=60, remaining=59, reset=EPOCH + 60.0, resets_in=60.0):
    return RateFigures(limit, remaining, reset, resets_in)


def send(rule, now, urgency=DIRECT):
    """Let a request go by a rule, and return its ticket."""
    ticket = Ticket(now)
    rule.on_sent(ticket, now, urgency)
    return ticket


class Fixed:
    """So many in each period, aligned to the epoch."""

    def __init__(self, limit, period):
        self.limit, self.period = limit, period
        self.number, self.counted = None, 0

    def left(self, wall):
        if (number := math.floor(wall / self.period)) != self.number:
            self.number, self.counted = number, 0
        return max(0, self.limit - self.counted)

    def count(self, wall):
        self.left(wall)
        self.counted += 1

    def resets_at(self, wall):
        return (math.floor(wall / self.period) + 1) * self.period

    free_at = resets_at


class Sliding:
    """So many in any stretch of a period."""

    def __init__(self, limit, period):
        self.limit, self.period = limit, period
        self.log = deque()

    def left(self, wall):
        while self.log and self.log[0] <= wall - self.period + GRAIN:
            self.log.popleft()
        return max(0, self.limit - len(self.log))

    def count(self, wall):
        self.log.append(wall)

    def resets_at(self, wall):
        return self.log[0] + self.period if self.log else wall

    def free_at(self, wall):
        surplus = len(self.log) - self.limit
        return self.log[surplus] + self.period if surplus >= 0 else wall


class Bucket:
    """Tokens that come back evenly."""

    def __init__(self, limit, period):
        self.limit, self.period = limit, period
        self.tokens, self.at = float(limit), -math.inf

    def left(self, wall):
        self.tokens = min(float(self.limit), self.tokens + (wall - self.at) * self.limit / self.period)
        self.at = wall
        return max(0, math.floor(self.tokens + GRAIN))

    def count(self, wall):
        self.left(wall)
        self.tokens -= 1.0

    def resets_at(self, wall):
        return wall + (self.limit - self.tokens) * self.period / self.limit

    def free_at(self, wall):
        return wall + max(0.0, 1.0 - self.tokens) * self.period / self.limit


WINDOWS = {"fixed": Fixed, "sliding": Sliding, "token_bucket": Bucket}
GARBAGE = [
    {"X-RateLimit-Limit": None},
    {"X-RateLimit-Remaining": "-5"},
    {"X-RateLimit-Remaining": "many"},
    {"X-RateLimit-Remaining": "999999"},
    {"X-RateLimit-Reset": "60"},
    {"X-RateLimit-Reset": None},
    {"X-RateLimit-Limit": "0"},
    {"X-RateLimit-Limit": None, "X-RateLimit-Remaining": None, "X-RateLimit-Reset": None},
]


class Server:
    """Decides at once, and says so in whole seconds of its own clock."""

    def __init__(self, kind, budget, *, skew=0.0, offset=0.0, advice="auto", has_headers=True):
        self.window = WINDOWS[kind](*budget)
        self.ahead = EPOCH + skew + offset
        self.advice = advice
        self.has_headers = has_headers
        self.accepted = self.refused = 0

    def ask(self, now):
        """Return whether the request was accepted, and the headers of the answer."""
        wall = self.ahead + now
        window = self.window
        is_accepted = window.left(wall) > 0
        if is_accepted:
            window.count(wall)
            self.accepted += 1
        else:
            self.refused += 1
        headers = {"Date": formatdate(math.floor(wall), usegmt=True)}
        if self.has_headers:
            headers["X-RateLimit-Limit"] = str(window.limit)
            headers["X-RateLimit-Remaining"] = str(window.left(wall))
            headers["X-RateLimit-Reset"] = str(math.ceil(window.resets_at(wall) - GRAIN))
        if not is_accepted and self.advice is not None:
            wait = max(1, math.ceil(window.free_at(wall) - wall - GRAIN))
            headers["Retry-After"] = str(wait if self.advice == "auto" else self.advice)
        return is_accepted, headers

    def eat(self, now, number):
        """Other clients take so many, or what is left."""
        wall = self.ahead + now
        for _ in range(min(number, self.window.left(wall))):
            self.window.count(wall)
