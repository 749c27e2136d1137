"""Strategies and settings for hypothesis that several files share."""

import datetime
import functools
import types
import typing

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from kallglot_async.models import OpenEnum, RateLimit

# Those that UTF-8 can write, as hypothesis has it; but that tries a million of them first, in each process of a run.
CHARACTERS = st.characters(exclude_categories=["Cs"])
FINITE = st.floats(allow_nan=False, allow_infinity=False)


def texts(**sizes: int) -> st.SearchStrategy[str]:
    """Return a strategy for texts of any characters."""
    return st.text(CHARACTERS, **sizes)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | FINITE | texts(),
    lambda parts: st.lists(parts, max_size=2) | st.dictionaries(texts(), parts, max_size=2),
    max_leaves=4,
)

ZONES = st.integers(-14 * 60, 14 * 60).map(lambda minutes: datetime.timezone(datetime.timedelta(minutes=minutes)))

PLAIN = {
    str: texts(),
    int: st.integers(0, 10**9),
    float: FINITE,
    datetime.date: st.dates(),
    datetime.datetime: st.datetimes(datetime.datetime(1970, 1, 2), datetime.datetime(2999, 1, 1), timezones=ZONES),  # noqa: DTZ001  # hypothesis adds the zone
    type(None): st.none(),
    typing.Any: JSON,
    RateLimit: st.builds(RateLimit, st.integers(1, 10**9), st.floats(0.001, 1e6)),
}


def more(times: float) -> settings:
    """A multiple of the profile's examples: these are quick."""
    checks = [HealthCheck.too_slow, HealthCheck.data_too_large]
    return settings(max_examples=max(5, int(times * settings().max_examples)), suppress_health_check=checks)


@functools.cache
def values(hint):
    """Return a strategy for the values of a type annotation."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint in PLAIN:
        return PLAIN[hint]
    if origin is typing.Literal:
        return st.sampled_from(arguments)
    if origin in (typing.Union, types.UnionType):
        return st.one_of([values(argument) for argument in arguments])
    if origin is tuple:
        return st.lists(values(arguments[0]), max_size=2).map(tuple)
    if issubclass(hint, OpenEnum):
        return st.sampled_from(hint) | texts().map(hint)
    return st.builds(hint, **{name: values(part) for name, part in typing.get_type_hints(hint).items()})
