"""How near to every kind of limit, with every kind of neighbour: `python -m benchmarks.limits [--quick] [--only TEXT]`.

The shipped gate and queue, without sockets and in virtual time, against the emulator's limits. Each line has the mean
over the seeds and the worst of them, which is what is held against the bar. `use` is the share of what a dispatcher
gets that knows the exact rule.
"""

from __future__ import annotations

import argparse
import math
import random
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import repeat

from benchmarks._limits_world import (
    AtOnce,
    Calls,
    Client,
    Limiting,
    Network,
    Refuser,
    Server,
    Told,
    Waits,
    World,
    best_moments,
    stranger,
)
from kallglot_async._core.limit.ceiling import Ceiling
from kallglot_async._core.limit.gate import Gate
from kallglot_async._core.limit.ticket import Urgency
from kallglot_async.emulator.limits.plans import LimitSettings
from kallglot_async.models import RateLimit

Figures = dict[str, float]
KINDS = ("fixed", "sliding", "token_bucket")
NEAR, FAR = Network(0.05), Network(0.2)


@dataclass(frozen=True, slots=True)
class Bar:
    """What a figure has to reach."""

    figure: str
    least: float = -math.inf
    most: float = math.inf

    def __str__(self) -> str:
        return f">= {self.least:g}" if self.least > -math.inf else f"<= {self.most:g}"

    def worst(self, values: list[float]) -> float:
        """Return what is farthest from it, or over it."""
        return min(values) if self.least > -math.inf else max(values)


@dataclass(frozen=True, slots=True)
class Trial:
    """One server and what is asked of it; `measure` takes a seed."""

    scene: str
    server: str
    measure: Callable[[int], Figures]
    bars: tuple[Bar, ...]


def limits(limit: int, period: float, **settings: object) -> LimitSettings:
    """Return the settings of a server with one announced limit."""
    return LimitSettings(rate_limit=(limit, period), **settings)  # type: ignore[arg-type]  # checked by LimitSettings


def steady(
    settings: LimitSettings, urgency: Urgency, seed: int, *, network: Network = NEAR, **server: float | bool
) -> Figures:
    """Endless demand: the share of the limit that is used, and of the requests that are refused."""
    period = settings.period
    warm, end = (2 * period, 12 * period) if period >= 10.0 else (20 * period, 80 * period)
    ahead = 7.3 + 0.137 * seed * period / 6
    world = World()
    asked = Server(settings, ahead=ahead, **server)  # type: ignore[arg-type]  # skew, has_date
    Client(world, asked, Calls(urgency=urgency), seed, network=network)
    world.run(end)
    best = sum(at >= warm for at in best_moments(settings, ahead, repeat(0.0), end))
    late = [arrival.is_accepted for arrival in asked.record if arrival.at >= warm]
    return {"use": sum(late) / best, "refused %": percent_refused(late)}


def percent_refused(accepted: list[bool]) -> float:
    """Return the share that was not accepted."""
    return 100.0 * (len(accepted) - sum(accepted)) / max(1, len(accepted))


def batch(settings: LimitSettings, seed: int, *, waits: int, ready: tuple[float, float], network: Network) -> Figures:
    """So many waits at once: how many are delivered and when the last, against dispatchers that know the limit."""
    draw = random.Random(seed)
    ready_at = {f"ana_{number}": draw.uniform(*ready) for number in range(waits)}
    ahead = 15.37 + 0.777 * seed * settings.period / 6

    def run(limiter: Limiting | None, way: Network) -> tuple[Waits, Server]:
        world, demand = World(), Waits(ready_at, lead=max(0.1, 2 * way.round_trip))
        server = Server(settings, ahead=ahead)
        Client(world, server, demand, seed, limiter=limiter, network=way)
        world.run(400.0)
        return demand, server

    ours, server = run(None, network)
    told, _ = run(Told(settings, ahead=ahead, round_trip=network.round_trip), Network(network.round_trip, jitter=0.0))
    best = best_moments(settings, ahead, iter(sorted(ready_at.values())), 120.0)
    accepted = [arrival.is_accepted for arrival in server.record]
    return {
        "delivered": len(ours.settled) / len(best),
        "makespan": max(ours.settled.values(), default=math.inf) / max(told.settled.values()),
        "refused %": percent_refused(accepted),
    }


def calls_done(settings: LimitSettings, number: int, seed: int) -> Figures:
    """So many direct requests at once: when the last is accepted."""
    demand, accepted = run_alone(Server(settings, ahead=7.3 + seed), Calls(number, Urgency.DIRECT), seed, 900.0)
    return {"seconds": demand.done[-1] if len(demand.done) == number else math.inf, "refused %": accepted}


def run_alone(server: Server, demand: Calls, seed: int, until: float) -> tuple[Calls, float]:
    """Let one client have what it wants; returns that and the percent refused."""
    world = World()
    Client(world, server, demand, seed)
    world.run(until, lambda: len(demand.done) == demand.number)
    return demand, percent_refused([arrival.is_accepted for arrival in server.record])


def waits_done(settings: LimitSettings, number: int, seed: int) -> Figures:
    """So many waits for what is ready: when the last is delivered."""
    world, demand = World(), Waits(dict.fromkeys((f"ana_{place}" for place in range(number)), 0.0), timeout=900.0)
    Client(world, Server(settings, ahead=7.3 + seed), demand, seed)
    world.run(900.0, lambda: len(demand.settled) == number)
    return {"seconds": world.now}


def refusals(seed: int) -> Figures:
    """Four analyses are refused twice each, then everybody is served: the time until then, and of the next hundred."""
    world, server = World(), Refuser(2, frozenset(f"call {number}" for number in range(1, 5)))
    gate, few, many = Gate(), Calls(4, Urgency.DIRECT), Calls(100, Urgency.DIRECT)
    Client(world, server, few, seed, limiter=gate, network=FAR)
    world.run(4000.0, lambda: len(few.done) == 4)
    first = world.now
    refused = sum(not arrival.is_accepted for arrival in server.record)
    Client(world, server, many, seed, limiter=gate, network=FAR, begins=first)
    world.run(8000.0, lambda: len(many.done) == 100)
    return {"refused": refused, "seconds": first, "next hundred s": world.now - first}


def found(limit: int, period: float, seed: int, *, takes: float = 0.0) -> Figures:
    """Of an unannounced limit: how it is used after half a minute, where a request takes that long on average."""
    settings = limits(limit, period, rate_headers="none")
    world, server = World(), Server(settings, ahead=7.3 + seed, takes=drawn(takes, seed))
    Client(world, server, Calls(), seed)
    world.run(150.0)
    late = [arrival.is_accepted for arrival in server.record if arrival.at >= 30.0]
    return {"use": sum(late) / (120.0 * limit / period), "refused %": percent_refused(late)}


def drawn(takes: float, seed: int) -> Callable[[], float]:
    """Return what draws from half of that to half more than that."""
    return partial(random.Random(seed).uniform, 0.5 * takes, 1.5 * takes)


def at_once(places: int, takes: float, number: int, seed: int, *, is_advised: bool = True) -> Figures:
    """So many direct requests, of which a server works on a few at once: the time, beside what it takes at best."""
    server = AtOnce(places, partial(random.Random(seed).expovariate, 1.0 / takes), is_advised=is_advised)
    demand, _ = run_alone(server, Calls(number, Urgency.DIRECT), seed, 900.0)
    seconds = demand.done[-1] if len(demand.done) == number else math.inf
    refused = sum(not arrival.is_accepted for arrival in server.record)
    return {"over the best s": seconds - number * (takes + NEAR.round_trip) / places, "refused": refused}


def beside(settings: LimitSettings, share: float, seed: int) -> Figures:
    """Endless demand beside a stranger who takes a share: what is used by both, and how many of ours are refused."""
    limit, period = settings.limits.groups["analysis"], settings.period
    world, server = World(), Server(settings, ahead=7.3 + seed)
    Client(world, server, Calls(), seed)
    stranger(world, server, share * limit / period, seed)
    world.run(14 * period)
    late = [arrival for arrival in server.record if arrival.at >= 2 * period]
    ours = [arrival.is_accepted for arrival in late if arrival.who == "ours"]
    return {
        "use": sum(arrival.is_accepted for arrival in late) / (12 * limit),
        "refused %": percent_refused(ours),
    }


def among(settings: LimitSettings, clients: int, urgency: Urgency, seed: int) -> Figures:
    """So many clients of ours that know nothing of each other: use, refusals, and the smallest share of the largest."""
    limit, period = settings.limits.groups["analysis"], settings.period
    world, server = World(), Server(settings, ahead=7.3 + seed)
    for number in range(clients):
        name, own_seed = f"ours {number}", 100 * seed + number
        Client(world, server, Calls(urgency=urgency), own_seed, name=name, begins=0.37 * number)
    world.run(12 * period)
    late = [arrival for arrival in server.record if arrival.at >= 2 * period]
    shares = dict.fromkeys((f"ours {number}" for number in range(clients)), 0)
    for arrival in late:
        shares[arrival.who] += arrival.is_accepted
    return {
        "use": sum(shares.values()) / (10 * limit),
        "refused %": percent_refused([arrival.is_accepted for arrival in late]),
        "smallest share": min(shares.values()) / max(1, *shares.values()),
    }


def below_ceiling(urgency: Urgency, seed: int) -> Figures:
    """A ceiling that is the server's own limit, of which nothing is announced: use, and what is refused."""
    settings = limits(20, 3.0, window="sliding", rate_headers="none")
    world, server = World(), Server(settings, ahead=7.3 + seed)
    gate = Gate([Ceiling(RateLimit(20, per=3.0))])
    Client(world, server, Calls(urgency=urgency), seed, limiter=gate, network=Network(0.1, jitter=1.0))
    world.run(120.0)
    accepted = [arrival.is_accepted for arrival in server.record]
    return {"use": sum(accepted) / (20 * 40), "refused": len(accepted) - sum(accepted)}


FORMS: dict[str, tuple[dict[str, object], dict[str, float | bool], Network]] = {
    "whole seconds": ({}, {}, NEAR),
    "rounded down": ({"rate_headers": "floor"}, {}, NEAR),
    "fractional": ({"rate_headers": "fractional"}, {}, NEAR),
    "milliseconds": ({"rate_headers": "milliseconds"}, {}, NEAR),
    "seconds from now": ({"rate_headers": "delta"}, {}, NEAR),
    "fractional seconds from now": ({"rate_headers": "delta_fractional"}, {}, NEAR),
    "Retry-After only": ({"rate_headers": "none"}, {}, NEAR),
    "no Remaining": ({"rate_headers": "no_remaining"}, {}, NEAR),
    "none": ({"rate_headers": "none", "retry_after": None}, {}, NEAR),
    "no Date": ({}, {"has_date": False}, NEAR),
    "skew of an hour": ({}, {"skew": 3600.0}, NEAR),
    "jitter": ({}, {}, Network(0.2, jitter=1.0)),
    "reordering": ({}, {}, Network(0.05, late=0.1)),
}


def in_form(kind: str, form: str, seed: int) -> Figures:
    """Endless paced demand where headers have another form or the way is worse."""
    how, server, network = FORMS[form]
    settings = limits(150, 60.0, window=kind, **how)
    return steady(settings, Urgency.PACED, seed, network=network, **server)


def trials() -> Iterator[Trial]:
    """All that is measured, with its bars."""
    for name, settings, use, refused in _servers():
        for urgency in (Urgency.PACED, Urgency.AHEAD):
            bars = (Bar("use", least=use), Bar("refused %", most=refused))
            yield Trial(f"steady, {urgency.name.lower()}", name, partial(steady, settings, urgency), bars)
    for name, settings, _, _ in _servers():
        limit, period = settings.limits.groups["analysis"], settings.period
        if limit == 150 and settings.second_limit is None:
            run = partial(batch, settings, waits=300, ready=(22.0, 30.0), network=FAR)
            yield Trial(
                "300 waits", name, run, (Bar("delivered", least=0.98 if settings.burst or "counter" in name else 1.0),)
            )
        elif period == 1.0:
            run = partial(batch, settings, waits=400, ready=(2.0, 8.0), network=NEAR)
            yield Trial("400 waits", name, run, (Bar("makespan", most=1.2),))
    yield from _hidden()
    yield from _shared()
    for urgency in (Urgency.PACED, Urgency.DIRECT):
        bars = (Bar("use", least=0.9), Bar("refused", most=0))
        yield Trial(
            f"ceiling 20/3s, {urgency.name.lower()}", "sliding 20/3s, silent", partial(below_ceiling, urgency), bars
        )
    for kind in KINDS:
        for form in FORMS:
            yield Trial("headers", f"{kind} 150/60s, {form}", partial(in_form, kind, form), (Bar("use", least=0.93),))


def _servers() -> Iterator[tuple[str, LimitSettings, float, float]]:
    """Every kind of server that announces its limit: its name, settings, and the bars of use and refusals."""
    for limit, period in ((150, 60.0), (600, 60.0), (30, 60.0), (50, 1.0)):
        for kind in (*KINDS, "sliding_counter"):
            least = 0.90 if period == 1.0 else 0.93 if kind == "sliding_counter" else 0.97
            most = 0.0 if kind == "fixed" else 0.3
            yield f"{kind} {limit}/{period:g}s", limits(limit, period, window=kind), least, most
    yield "fixed_from_first 150/60s", limits(150, 60.0, window="fixed_from_first"), 0.97, 0.0
    for burst, least in ((1, 0.8), (2, 0.95), (5, 0.97)):
        yield f"token_bucket 150/60s burst {burst}", limits(150, 60.0, window="token_bucket", burst=burst), least, 0.3
    yield "token_bucket 600/60s burst 10", limits(600, 60.0, window="token_bucket", burst=10), 0.97, 0.3
    yield "token_bucket 150/60s burst 10", limits(150, 60.0, window="token_bucket", burst=10), 0.97, 0.3
    next_token = limits(150, 60.0, window="token_bucket", bucket_reset="next")
    yield "token_bucket 150/60s, next token", next_token, 0.97, 0.3
    for second in ((10, 1.0), (5, 1.0)):
        yield f"fixed 150/60s and {second[0]}/1s hidden", limits(150, 60.0, second_limit=second), 0.93, 3.0


def _hidden() -> Iterator[Trial]:
    """What no header announces."""
    bars = (Bar("refused", most=8), Bar("seconds", most=12.0), Bar("next hundred s", most=5.0))
    yield Trial("refusals", "four twice each, then none", refusals, bars)
    bars = (Bar("use", least=0.9), Bar("refused %", most=1.0))
    for limit, period in ((10, 1.0), (50, 5.0)):
        yield Trial("unannounced", f"fixed {limit}/{period:g}s", partial(found, limit, period), bars)
    for limit, period, takes in ((50, 5.0, 0.5), (150, 60.0, 0.25)):
        slow = partial(found, limit, period, takes=takes)
        slow_bars = (Bar("use", least=0.8), Bar("refused %", most=2.0))
        yield Trial("unannounced", f"fixed {limit}/{period:g}s, {takes:g} s each", slow, slow_bars)
    for places, takes, number in ((5, 0.5, 200), (20, 1.0, 800), (50, 0.5, 2000)):
        server = f"{takes:g} s each"
        for advice, most in ((True, 20.0), (False, 50.0)):
            measure = partial(at_once, places, takes, number, is_advised=advice)
            bars = (Bar("over the best s", most=most), Bar("refused", most=65))
            yield Trial(f"{places} at once", f"{server}, {'Retry-After: 1' if advice else 'no advice'}", measure, bars)
    bars = (Bar("use", least=0.9), Bar("refused %", most=1.0))
    double = limits(150, 60.0, second_limit=(5, 1.0))
    yield Trial("20 requests", "5/1s hidden", partial(calls_done, double, 20), (Bar("seconds", most=5.0),))
    yield Trial("40 waits", "5/1s hidden", partial(waits_done, double, 40), (Bar("seconds", most=10.0),))
    small = limits(150, 60.0, window="token_bucket", burst=5)
    yield Trial(
        "300 requests", "token bucket 150/60s burst 5", partial(calls_done, small, 300), (Bar("seconds", most=124.0),)
    )
    tiny = limits(5, 2.0, window="token_bucket")
    yield Trial("300 requests", "token bucket 5/2s", partial(calls_done, tiny, 300), (Bar("seconds", most=126.0),))
    nodes = limits(150, 60.0, nodes=4)
    yield Trial(
        "600 requests", "four nodes 150/60s each", partial(calls_done, nodes, 600), (Bar("seconds", most=120.0),)
    )


def _shared() -> Iterator[Trial]:
    """Who else takes of the limit."""
    for kind in KINDS:
        settings = limits(150, 60.0, window=kind)
        for share, most in ((0.3, 0.3), (0.6, 1.0)):
            bars = (Bar("use", least=0.97), Bar("refused %", most=most))
            yield Trial(f"stranger {share:.0%}", f"{kind} 150/60s", partial(beside, settings, share), bars)
    for name, settings in ((f"{kind} 150/60s", limits(150, 60.0, window=kind)) for kind in KINDS):
        for clients, most in ((4, 1.0), (20, 4.0)):
            for urgency in (Urgency.PACED, Urgency.AHEAD):
                bars = (Bar("use", least=0.95), Bar("refused %", most=most), Bar("smallest share", least=0.5))
                run = partial(among, settings, clients, urgency)
                yield Trial(f"{clients} of ours, {urgency.name.lower()}", name, run, bars)


def run(*, quick: bool, only: str = "", seeds: range = range(7, 13)) -> list[dict[str, object]]:
    """Measure everything whose scene or server has `only` in its name."""
    rows: list[dict[str, object]] = []
    for trial in trials():
        if only not in f"{trial.scene}: {trial.server}":
            continue
        runs = [trial.measure(seed) for seed in (seeds[:1] if quick else seeds)]
        for bar in trial.bars:
            values = [figures[bar.figure] for figures in runs]
            worst = bar.worst(values)
            rows.append(
                {
                    "benchmark": "limits",
                    "scene": trial.scene,
                    "server": trial.server,
                    "figure": bar.figure,
                    "mean": statistics.mean(values),
                    "worst": worst,
                    "bar": str(bar),
                    "is": "met" if bar.least <= round(worst, 3) <= bar.most else "missed",
                }
            )
    return rows


def main() -> None:
    """Print the table."""
    from benchmarks.__main__ import provenance, table

    parser = argparse.ArgumentParser(prog="python -m benchmarks.limits", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one seed")
    parser.add_argument("--only", default="", metavar="TEXT", help="of the scenes and servers with this in their names")
    parser.add_argument("--seeds", type=int, nargs=2, default=(7, 12), metavar=("FIRST", "LAST"))
    arguments = parser.parse_args()
    rows = run(quick=arguments.quick, only=arguments.only, seeds=range(arguments.seeds[0], arguments.seeds[1] + 1))
    print(table(rows))
    met = sum(row["is"] == "met" for row in rows)
    print(f"\n{met} of {len(rows)} bars are met")
    print(", ".join(f"{key} {value}" for key, value in provenance().items()))


if __name__ == "__main__":
    main()
