"""Poll policies compared in virtual time: requests, delay and makespan, by the shipped machine.

Four policies in the same run, on the same analyses: the shipped learned schedule, the same machine knowing the true
law (oracle), the documented 2-second loop and exponential back-off (x1.5 from 1 s, at most 20 s), the last two behind
the same shared limiter. Delays count from the moment an analysis is ready to the moment its answer is here.

    python -m benchmarks.policies [--quick] [--json] [--seed N]
    python -m benchmarks.policies --sweep NAME [--quick] [--seed N]    one constant, see benchmarks.constants
"""

from __future__ import annotations

import argparse
import json
import math
import random
import statistics
from collections.abc import Callable
from functools import partial
from statistics import NormalDist

from benchmarks._simulation import Job, Limiter, Paced, Result, Window, simulate
from kallglot_async._core.polling.queue import PollQueue
from kallglot_async._core.polling.schedule import PollSchedule
from kallglot_async._core.polling.worth import PollModel

Row = dict[str, object]
Law = Callable[[random.Random], float]

MEDIAN = 25.0
_NORMAL = NormalDist()


class Oracle(PollModel):
    """A model that knows the true log-normal law and learns nothing."""

    __slots__ = ("_sigma",)

    def __init__(self, sigma: float) -> None:
        """Know the law of that sigma."""
        super().__init__()
        self._sigma = sigma

    def _hazard(self, age: float) -> float:
        if age <= 0.0:
            return 0.0
        z = math.log(age / MEDIAN) / self._sigma
        return -math.log(max(1e-300, 0.5 * math.erfc(z / math.sqrt(2.0))))

    def growth(self, kind: str, start: float, end: float) -> float:
        """See PollModel."""
        return self._hazard(end) - self._hazard(start)

    def observed_growth(self, kind: str, start: float, end: float) -> float:
        """See PollModel."""
        return self.growth(kind, start, end)

    def age_after(self, kind: str, start: float, growth: float) -> float:
        """See PollModel."""
        settled = -math.expm1(-self._hazard(start) - growth)
        return MEDIAN * math.exp(self._sigma * _NORMAL.inv_cdf(min(1.0 - 1e-15, max(1e-300, settled))))

    def on_running(self, kind: str, start: float, end: float) -> None:
        """Learn nothing."""

    def on_settled(self, kind: str, start: float, end: float) -> None:
        """Learn nothing."""


SCHEDULES = {
    "learned": PollSchedule.learned(),
    "oracle": PollSchedule.learned(),
    "2-second loop": PollSchedule.fixed(2.0),
    "back-off": PollSchedule.exponential(1.0, 1.5, 20.0),
}


def queue(policy: str, model: PollModel) -> PollQueue:
    """Return a fresh queue of that policy."""
    return PollQueue(model, schedule=SCHEDULES[policy], timeout=None)


def quantile(values: list[float], share: float) -> float:
    """Return the value below which that share lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def log_normal(draw: random.Random, sigma: float) -> float:
    """Return how long one analysis takes, in seconds."""
    return MEDIAN * math.exp(sigma * draw.gauss(0.0, 1.0))


def row(section: str, case: str, policy: str, **figures: float) -> Row:
    """Return one line of the table."""
    rounded = {name: round(figure, 4 if name == "makespan" else 2) for name, figure in figures.items()}
    return {"benchmark": "policies", "section": section, "case": case, "policy": policy, **rounded}


# -- steady streams


def stream(rate: float, load: float, sigma: float, count: int, seed: int) -> list[Job]:
    """Poisson arrivals at `load * rate` per second, each known to the client from its creation."""
    draw, now, jobs = random.Random(seed), 0.0, []
    for i in range(count):
        now += draw.expovariate(rate * load)
        jobs.append(Job(f"id{i}", now, now, now + log_normal(draw, sigma), age_known=True))
    return jobs


def steady(rate: float, load: float, sigma: float, policy: str, count: int, seed: int, *, window: bool) -> Row:
    """One policy on one stream; the first tenth, in which the law is learned, does not count."""
    model = Oracle(sigma) if policy == "oracle" else PollModel()
    limiter: Limiter = Window(round(rate * 60.0), 60.0) if window else Paced(rate)
    result = simulate(queue(policy, model), limiter, stream(rate, load, sigma, count, seed))
    first = count // 10
    return row(
        f"steady, {'window' if window else 'even pace'}",
        f"{rate:g}/s sigma {sigma:g} load {load:.0%}",
        policy,
        requests_each=statistics.mean(result.polls[first:]),
        delay_mean=statistics.mean(result.lags[first:]),
        delay_p99=quantile(result.lags[first:], 0.99),
    )


def steady_rows(*, quick: bool, seed: int) -> list[Row]:
    """All loads, budgets and widths of the law."""
    rates = (10.0,) if quick else (2.5, 10.0, 100.0)
    loads = (0.1, 0.6) if quick else (0.1, 0.3, 0.6, 0.9)
    rows = []
    for rate in rates:
        for sigma in (0.6, 0.3, 1.0):
            for load in loads:
                count = 1500 if quick else 4000 if rate < 100.0 else 12_000
                run_one = partial(steady, rate, load, sigma, count=count, seed=seed)
                rows += [run_one(policy=policy, window=False) for policy in SCHEDULES]
                rows.append(run_one(policy="learned", window=True))
    return rows


# -- batches


def batch(count: int, takes: Law, seed: int, *, age_known: bool) -> list[Job]:
    """So many analyses, all created and added at once."""
    draw = random.Random(seed)
    return [Job(f"id{i}", 0.0, 0.0, takes(draw), age_known) for i in range(count)]


def burst(count: int, rate: float, policy: str, seed: int) -> tuple[int, float]:
    """Requests, and makespan over the longer of (ids / rate) and the last completion."""
    jobs = batch(count, lambda draw: log_normal(draw, 0.6), seed, age_known=False)
    model = Oracle(0.6) if policy == "oracle" else PollModel()
    result = simulate(queue(policy, model), Paced(rate), jobs)
    return result.requests, result.finished_at / max(count / rate, max(job.ready_at for job in jobs))


def burst_rows(*, quick: bool, seed: int) -> list[Row]:
    """Bursts, the mean of several: one analysis, the last, decides the makespan of each."""
    rows = []
    for count, rate in ((1000, 100.0), (10_000, 100.0), (10_000, 10.0))[: 2 if quick else 3]:
        seeds = range(seed, seed + (10 if count <= 1000 else 3) // (3 if quick else 1))
        for policy in SCHEDULES:
            runs = [burst(count, rate, policy, each) for each in seeds]
            requests = statistics.mean(requests for requests, _ in runs)
            makespan = statistics.mean(makespan for _, makespan in runs)
            case = f"{count} ids at {rate:g}/s, mean of {len(runs)}"
            rows.append(row("burst", case, policy, requests=requests, makespan=makespan))
    return rows


def between(low: float, high: float) -> Law:
    """A law that is uniform from `low` to `high` seconds."""
    return lambda draw: draw.uniform(low, high)


def documented(policy: str, laws: list[Law], seed: int, *, age_known: bool) -> tuple[Result, Window]:
    """60 ids under 150 requests per 60 s, one batch per law on one model; what the last batch came to."""
    model = PollModel()
    for i, takes in enumerate(laws):
        jobs = batch(60, takes, 1000 * seed + i, age_known=age_known)
        window = Window(150, 60.0)
        result = simulate(queue(policy, model), window, jobs, tells_took=True)
    return result, window


def documented_rows(*, quick: bool, seed: int) -> list[Row]:
    """The documented limit and latency, without history, with it, and with a history that misleads."""
    documented_law, slow, fast = between(22.0, 30.0), between(60.0, 90.0), between(2.0, 8.0)
    cases: dict[str, tuple[str, list[Law]]] = {
        "2-second loop": ("2-second loop", [documented_law]),
        "no history": ("learned", [documented_law]),
        "one batch of history": ("learned", [documented_law] * 2),
        "three batches of history": ("learned", [documented_law] * 4),
        "history 22-30 s, now 60-90 s": ("learned", [documented_law, slow]),
        "history 60-90 s, now 22-30 s": ("learned", [slow, documented_law]),
        "history 22-30 s, now 2-8 s": ("learned", [documented_law, fast]),
    }
    rows = []
    for age_known in (True, False):
        for case, (policy, laws) in cases.items():
            seeds = range(seed, seed + (5 if quick else 30))
            runs = [documented(policy, laws, each, age_known=age_known)[0] for each in seeds]
            rows.append(
                row(
                    f"150 per 60 s, 60 ids, {'created by us' if age_known else 'age unknown'}",
                    case,
                    policy,
                    delivered=min(len(run.lags) for run in runs),
                    requests=statistics.mean(run.requests for run in runs),
                    requests_max=max(run.requests for run in runs),
                    delay_p50=statistics.mean(quantile(run.lags, 0.5) for run in runs),
                    delay_p95=statistics.mean(quantile(run.lags, 0.95) for run in runs),
                )
            )
    return rows


def storm_rows(*, quick: bool, seed: int) -> list[Row]:
    """400 ids of unknown age at once, 50 requests per second, ready after 2 to 8 s; the loop is the floor."""
    del quick
    limiters: dict[str, Callable[[], Limiter]] = {
        "50 per 1 s": lambda: Window(50, 1.0),
        "even 50/s": lambda: Paced(50.0),
    }
    rows = []
    for case, limiter in limiters.items():
        for policy in ("2-second loop", "back-off", "learned"):
            jobs = batch(400, between(2.0, 8.0), seed, age_known=False)
            result = simulate(queue(policy, PollModel()), limiter(), jobs, tells_took=True)
            figures = {"delivered": len(result.lags), "requests": result.requests, "wall": result.finished_at}
            rows.append(row("storm", case, policy, **figures))
    return rows


def single_rows(*, quick: bool, seed: int) -> list[Row]:
    """One id at a time, with the whole of 150 requests per 60 s to itself."""
    rows = []
    for policy in ("2-second loop", "learned"):
        model, results = PollModel(), []
        for i in range(20 if quick else 100):
            jobs = batch(1, between(22.0, 30.0), seed + i, age_known=False)
            results.append(simulate(queue(policy, model), Window(150, 60.0), jobs, tells_took=True))
        delays = [delay for result in results for delay in result.lags]
        figures = {
            "requests_each": statistics.mean(result.requests for result in results),
            "delay_mean": statistics.mean(delays),
            "delay_p99": quantile(delays, 0.99),
        }
        rows.append(row("single id", "150 per 60 s", policy, **figures))
    return rows


def run(quick: bool = False, seed: int = 7) -> list[Row]:
    """Return every row; `quick` looks at fewer cases."""
    sections = (steady_rows, burst_rows, documented_rows, storm_rows, single_rows)
    return [line for section in sections for line in section(quick=quick, seed=seed)]


def table(rows: list[Row]) -> str:
    """Return the rows as text, a heading for each section with the columns it has."""
    lines: list[str] = []
    heading: list[str] = []
    section: object = None
    for line in rows:
        names = [name for name in line if name not in {"benchmark", "section", "case", "policy"}]
        if (line["section"], names) != (section, heading):
            section, heading = line["section"], names
            lines.append(f"\n{section!s:<44} {'':<14}" + "".join(f"{name:>14}" for name in names))
        cells = "".join(f"{line[name]!s:>14}" for name in names)
        lines.append(f"{line['case']!s:<44} {line['policy']!s:<14}{cells}")
    return "\n".join(lines)


def main() -> None:
    """Print the table, or the rows as JSON lines, or what one constant decides."""
    from benchmarks.constants import CONSTANTS, print_sweep  # it runs the cases above

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer cases, under 20 seconds")
    parser.add_argument("--json", action="store_true", help="print JSON lines instead of the table")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--sweep", choices=CONSTANTS, metavar="NAME", help="try other values of a constant instead")
    arguments = parser.parse_args()
    if arguments.sweep is not None:
        print_sweep(arguments.sweep, seeds=1 if arguments.quick else 3, seed=arguments.seed)
        return
    rows = run(arguments.quick, arguments.seed)
    if arguments.json:
        print("\n".join(json.dumps(line) for line in rows))
    else:
        print(table(rows))
        print(f"\nseed {arguments.seed}; delays and walls in seconds")


if __name__ == "__main__":
    main()
