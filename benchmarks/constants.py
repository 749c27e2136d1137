"""Why a constant has its value: the figures it decides, with that value and with others.

Sets the constant in the module that reads it, runs the scenes that it takes part in, and prints a line for each
value; `*` marks the shipped one. Virtual time, the same seeds for every value.

    python -m benchmarks.constants NAME [--values 0.1,0.2] [--seeds N] [--seed N]
    python -m benchmarks.policies --sweep NAME

`python -m benchmarks.constants` alone prints every name with its value, its unit and its module.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module

from benchmarks import _lane_scenes, _scenes
from benchmarks._lane_scenes import Figures, Measure

_QUEUE, _WORTH = "_core.polling.queue", "_core.polling.worth"
_WINDOW, _UNANNOUNCED = (f"_core.limit.{name}" for name in ("window", "unannounced"))


@dataclass(frozen=True)
class Constant:
    """One constant: where it is, what it counts, and where its value shows.

    Attributes:
        module: The module that reads it, below the package; `module:class` where a class has it.
        unit: What it is counted in.
        values: What the sweep tries; the shipped value is added.
        scenes: Where it shows.
        also: Modules that import it by name.
        derived: What is computed from it when its module is loaded: name, and how.
    """

    module: str
    unit: str
    values: tuple[float, ...]
    scenes: tuple[Measure, ...]
    also: tuple[str, ...] = ()
    derived: tuple[tuple[str, Callable[[float], float]], ...] = ()


_POLLING = (_scenes.steady, _scenes.burst, _scenes.wrong_law, _scenes.scale)
_BUDGET = (_scenes.scale, _scenes.crowded)
_LEARNING = (_scenes.steady, _scenes.scale, _scenes.wrong_law)
_FIRST = (_scenes.scale, _scenes.settled_before, _scenes.crowded, _scenes.burst)

CONSTANTS = {
    "WORTH": Constant(
        _WORTH,
        "probability",
        (0.1, 0.15, 0.2, 0.3, 0.4),
        _POLLING,
        derived=(("_STEP", lambda worth: -math.log1p(-worth)),),
    ),
    "FRESH": Constant(_WORTH, "share of the rate", (0.05, 0.1, 0.3, 0.5), (*_POLLING, _scenes.crowded)),
    "SURE": Constant(_WORTH, "probability", (0.7, 0.8, 0.9, 0.98, 0.999), _BUDGET),
    "DEAREST": Constant(_WORTH, "probability", (0.25, 0.5, 0.65, 0.95, 0.999), _BUDGET),
    "FIRST_LOOKS": Constant(_WORTH, "share of the rate", (0.1, 0.25, 0.75, 1.0), _FIRST),
    "SAVING": Constant(_WORTH, "share of the rate", (0.02, 0.05, 0.2, 0.5), _FIRST),
    "MIN_GAP": Constant(_WORTH, "s", (0.25, 0.5, 2.0), (_scenes.steady, _scenes.burst, _scenes.scale), also=(_QUEUE,)),
    "GUARD": Constant(_WINDOW, "s", (0.0, 0.4, 0.8, 2.0), (_lane_scenes.spent,)),
    "GUARD_SHARE": Constant(_WINDOW, "part of a window", (2, 10, 50), (_lane_scenes.spent,)),
    "DOUBT": Constant(_WORTH, "analyses", (0.05, 0.1, 0.5, 1.0), _LEARNING),
    "PRIOR": Constant(_WORTH, "analyses", (0.0, 1.0, 2.0, 6.0, 10.0), _LEARNING),
    "_FADE": Constant(_WORTH, "weight", (0.5 ** (1 / 500), 0.5 ** (1 / 50_000), 1.0), (_scenes.drift,)),
    "_MEMORY": Constant(f"{_WORTH}:FirstLooks", "weight", (0.0, 0.5, 0.97, 1.0), _FIRST),
    "_REFIT": Constant(_WORTH, "answers", (1, 4, 64, 256), (*_LEARNING, _scenes.answers)),
    "_LITTLE": Constant(_WORTH, "part of all", (2, 16, 256, math.inf), (*_LEARNING, _scenes.drift, _scenes.answers)),
    "RUN_LOW": Constant(_WINDOW, "part of a window", (1, 2, 10, 1000), _BUDGET),
    "RUN_LOW_REST": Constant(_WINDOW, "s", (0.0, 2.0, 10.0, 20.0), (_scenes.short_window, *_BUDGET)),
    "KEPT": Constant(_WINDOW, "part of a window", (4, 20, 50, 1000), (_lane_scenes.turns, *_BUDGET)),
    "HEADROOM": Constant(_WINDOW, "part of a window", (10, 25, 100, 1000), (_lane_scenes.paced,)),
    "CUT": Constant(_UNANNOUNCED, "share of a rate", (0.7, 0.8, 0.9, 0.98), (_lane_scenes.unannounced,)),
    "CLEAN": Constant(_UNANNOUNCED, "s", (2.0, 4.0, 10.0, 20.0), (_lane_scenes.unannounced,)),
    "_SMOOTHING": Constant("_wire.pipeline", "weight", (0.02, 0.05, 0.5, 1.0), (_scenes.last_looks,)),
    "OPEN_FOR": Constant(_WORTH, "s", (10.0, 20.0, 30.0, 60.0, 120.0), (_scenes.orders,)),
    "LEAST_OPEN": Constant(_WORTH, "analyses", (1, 2, 8, 10), (_scenes.few_requests,)),
    "OPEN_PART": Constant(_WORTH, "share of the rate", (0.1, 0.25, 0.375, 0.5, 0.6), (_scenes.single_calls,)),
    "STRAINED": Constant(_WORTH, "share of a wait", (0.02, 0.05, 0.3, 2.0), (_scenes.calls_beside,)),
    "CAUTION": Constant(
        _WORTH, "share of the rate", (0.5, 0.6, 0.85, 1.0), (_scenes.calls_beside, _scenes.single_calls)
    ),
}


def home(place: str) -> object:
    """Return what holds a constant: a module below the package, or `module:class`."""
    module, _, owner = place.partition(":")
    found: object = import_module(f"kallglot_async.{module}")
    return getattr(found, owner) if owner else found


def shipped(name: str) -> float:
    """Return the value of a constant as it is now."""
    value: float = getattr(home(CONSTANTS[name].module), name)
    return value


@contextmanager
def set_to(name: str, value: float) -> Iterator[None]:
    """Run what is inside with another value of a constant, and of what follows from it."""
    constant = CONSTANTS[name]
    new: dict[tuple[str, str], float] = {(module, name): value for module in (constant.module, *constant.also)}
    new |= {(constant.module, derived): compute(value) for derived, compute in constant.derived}
    old = {place: getattr(home(place[0]), place[1]) for place in new}
    try:
        _assign(new)
        yield
    finally:
        _assign(old)


def _assign(values: dict[tuple[str, str], float]) -> None:
    for (module, attribute), value in values.items():
        setattr(home(module), attribute, value)


def sweep(name: str, values: Iterable[float], seeds: range) -> dict[str, dict[float, Figures]]:
    """Return the figures of every value, by scene."""
    found: dict[str, dict[float, Figures]] = {}
    for value in sorted({*values, shipped(name)}):
        with set_to(name, value):
            for scene in CONSTANTS[name].scenes:
                found.setdefault(scene.__name__, {})[value] = scene(seeds)
    return found


def table(name: str, found: dict[str, dict[float, Figures]]) -> str:
    """Return the figures as text: a table for each scene, a line for each value."""
    constant, kept, lines = CONSTANTS[name], shipped(name), []
    lines.append(f"{name} in {constant.module}, {constant.unit}; shipped: {kept:g}")
    for scene in constant.scenes:
        by_value = found[scene.__name__]
        columns = list(by_value[kept])
        widths = [max(8, len(column)) + 2 for column in columns]
        lines += ["", f"{scene.__name__}: {' '.join((scene.__doc__ or '').split())}"]
        lines.append(" " * 10 + "".join(column.rjust(width) for column, width in zip(columns, widths, strict=True)))
        for value, figures in by_value.items():
            cells = (_cell(figures[column]).rjust(width) for column, width in zip(columns, widths, strict=True))
            lines.append(f"{value:>8g} {'*' if value == kept else ' '}" + "".join(cells))
    return "\n".join(lines)


def _cell(figure: float) -> str:
    return f"{figure:.4f}" if figure < 2.0 else f"{figure:.2f}" if figure < 1000.0 else f"{figure:.0f}"


def print_sweep(name: str, values: Iterable[float] | None = None, *, seeds: int = 3, seed: int = 7) -> None:
    """Run the sweep of one constant, over the values that say most of it by default, and print it."""
    found = sweep(name, CONSTANTS[name].values if values is None else values, range(seed, seed + seeds))
    print(table(name, found))
    print(f"\nmean of seeds {seed} to {seed + seeds - 1}; delays, lags, waits and walls in seconds")


def numbers(text: str) -> tuple[float, ...]:
    """Read the values of a command line: whole numbers stay whole."""
    return tuple(int(part) if part.strip().isdigit() else float(part) for part in text.split(","))


def main() -> None:
    """Print the sweep of the constants that are named."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", choices=[*CONSTANTS, []], metavar="NAME", help="which; default: list them")
    parser.add_argument("--values", type=numbers, help="what to try beside the shipped value: 0.1,0.2")
    parser.add_argument("--seeds", type=int, default=3, help="how many")
    parser.add_argument("--seed", type=int, default=7, help="the first")
    arguments = parser.parse_args()
    for name in arguments.names:
        print_sweep(name, arguments.values, seeds=arguments.seeds, seed=arguments.seed)
    if not arguments.names:
        for name, constant in CONSTANTS.items():
            print(f"{name:<16}{shipped(name):>8g}  {constant.unit:<18}{constant.module}")


if __name__ == "__main__":
    main()
