"""Other spellings of the rate-limit headers, made into the documented one: decimal texts of limit, remaining and reset.

Gateways announce a limit as the drafts of a standard have it, in three generations: `RateLimit-Limit`, `-Remaining` and
`-Reset`; all in one, `RateLimit: limit=150, remaining=149, reset=30`; or by policies, `RateLimit: "a";r=149;t=30` and
`RateLimit-Policy: "a";q=150;w=60`. Each may come in several lines. Resets come as dates of ISO 8601 and as durations
(`1m30s`) too, and numbers with their thousands set apart (`10,000`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime

from multidict import istr

__all__ = ["decimal_reset", "lines_of", "standard_fields", "ungrouped"]

_LIMIT, _REMAINING, _RESET = istr("RateLimit-Limit"), istr("RateLimit-Remaining"), istr("RateLimit-Reset")
_ALL, _POLICY = istr("RateLimit"), istr("RateLimit-Policy")
_NAMES = ("limit", "remaining", "reset")
_NAMED = re.compile(rf"\b({'|'.join(_NAMES)})=([0-9]{{1,18}})\b")
_QUOTA, _LEFT, _REST = (re.compile(rf";\s*{letter}=([0-9]{{1,18}})\b") for letter in "qrt")
_OTHER_UNIT = re.compile(r';\s*qu=(?!"?requests\b)')
# Not of `150,500;w=60`, which are two limits.
_GROUPED = re.compile(r"(?<![\w,;=.])[1-9][0-9]{0,2}(?:,[0-9]{3})+(?![\w;.]|,\w)")
_LONGEST_RESET = 64  # characters: no date is longer, and what reads one takes its time for each
_DURATION = re.compile(
    r"(?:(?P<h>[0-9]{1,9})h)?(?:(?P<m>[0-9]{1,9})m)?(?:(?P<s>[0-9]{1,9}(?:\.[0-9]{1,9})?)s)?(?:(?P<ms>[0-9]{1,9})ms)?"
)


def standard_fields(headers: Mapping[str, str]) -> tuple[str, str, str]:
    """Return limit, remaining and reset of an answer that has not all of the documented ones; else empty texts."""
    if _LIMIT in headers:
        # Policies stand behind the limit that applies: `10, 10;w=1, 50;w=60`.
        limits = [ungrouped(line).partition(",")[0] for line in lines_of(headers, _LIMIT)]
        return ", ".join(limits), ", ".join(lines_of(headers, _REMAINING)), ", ".join(lines_of(headers, _RESET))
    if not (told := ", ".join(lines_of(headers, _ALL))):
        return "", "", ""
    if named := _NAMED.findall(told):
        limit, left, rest = (", ".join(text for name, text in named if name == one) for one in _NAMES)
        return limit, left, rest
    return _by_policy(told, ", ".join(lines_of(headers, _POLICY)))


def lines_of(headers: Mapping[str, str], name: str) -> list[str]:
    """Return each line of a header, as a gateway and the API may each send one."""
    getall = getattr(headers, "getall", None)
    return ([headers[name]] if name in headers else []) if getall is None else getall(name, [])


def ungrouped(text: str, resets: str = "") -> str:
    """Return the numbers in a text without what sets their thousands apart; `resets`: what stands beside them.

    Where those are several with no blank behind the comma, such a comma stands between the values of a list there too.
    """
    return text if re.search(r",\S", resets) else _GROUPED.sub(lambda match: match[0].replace(",", ""), text)


def _by_policy(told: str, policies: str) -> tuple[str, str, str]:
    """Return the figures of the policy that leaves least, by its name: there may be more policies than are told of."""
    quotas = {
        _name(policy): quota[1]
        for policy in policies.split(",")
        if (quota := _QUOTA.search(policy)) and not _OTHER_UNIT.search(policy)  # bytes, say, or requests at once
    }
    found = [
        (quotas[_name(limit)], left[1], rest[1])
        for limit in told.split(",")
        if _name(limit) in quotas and (left := _LEFT.search(limit)) and (rest := _REST.search(limit))
    ]
    return min(found, key=lambda one: (int(one[1]), -int(one[2])), default=("", "", ""))


def _name(item: str) -> str:
    return item.partition(";")[0].strip(' "')


def decimal_reset(text: str) -> str:
    """Return a reset that is told as a date or a duration in Unix seconds, or in seconds from now; else no text."""
    if len(text) > _LONGEST_RESET:
        return ""
    text = text.strip()
    if (match := _DURATION.fullmatch(text)) is not None and any(match.groups()):
        hours, minutes, seconds, thousandths = (float(part or 0) for part in match.groups())
        rest = 3600 * hours + 60 * minutes + seconds + thousandths / 1000
        return f"{rest:.0f}" if rest.is_integer() else f"{rest:.3f}"
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return ""
    moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    # Eight digits are a date to it as well, and one of 2000 or before is no moment that a limit renews at.
    return f"{moment.timestamp():.3f}" if moment.year > 2000 else ""
