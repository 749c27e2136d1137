"""Other spellings of the rate-limit headers, made into the documented one: decimal texts of limit, remaining and reset.

Gateways announce a limit as the drafts of a standard have it, in three generations: `RateLimit-Limit`, `-Remaining` and
`-Reset`; all in one, `RateLimit: limit=150, remaining=149, reset=30`; or by policies, `RateLimit: "a";r=149;t=30` and
`RateLimit-Policy: "a";q=150;w=60`. Resets come as dates of ISO 8601 and as durations (`1m30s`) too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime

from multidict import istr

__all__ = ["decimal_reset", "standard_fields"]

_LIMIT, _REMAINING, _RESET = istr("RateLimit-Limit"), istr("RateLimit-Remaining"), istr("RateLimit-Reset")
_ALL, _POLICY = istr("RateLimit"), istr("RateLimit-Policy")
_NAMED = re.compile(r"\b(limit|remaining|reset)=([0-9]{1,18})\b")
_QUOTA, _LEFT, _REST = (re.compile(rf";\s*{letter}=([0-9]{{1,18}})\b") for letter in "qrt")
_DURATION = re.compile(
    r"\s*(?:(?P<h>[0-9]{1,9})h)?(?:(?P<m>[0-9]{1,9})m)?(?:(?P<s>[0-9]{1,9}(?:\.[0-9]{1,9})?)s)?(?:(?P<ms>[0-9]{1,9})ms)?\s*"
)


def standard_fields(headers: Mapping[str, str]) -> tuple[str, str, str]:
    """Return limit, remaining and reset of an answer without `X-RateLimit-Limit`; empty texts where there is none."""
    if _LIMIT in headers:
        # Policies stand behind the limit that applies: `10, 10;w=1, 50;w=60`.
        return headers[_LIMIT].partition(",")[0], headers.get(_REMAINING, ""), headers.get(_RESET, "")
    if (told := headers.get(_ALL)) is None:
        return "", "", ""
    if named := dict(_NAMED.findall(told)):
        return named.get("limit", ""), named.get("remaining", ""), named.get("reset", "")
    quotas, left, rests = _by_name(_QUOTA, headers.get(_POLICY, "")), _by_name(_LEFT, told), _by_name(_REST, told)
    # Of a policy that is told of and has a quota: a server may tell of one of its several. Of those the strictest is
    # chosen, as of several values of the documented headers.
    names = [name for name in left if name in quotas and name in rests]
    limits, remaining, resets = (", ".join(values[name] for name in names) for values in (quotas, left, rests))
    return limits, remaining, resets


def _by_name(parameter: re.Pattern[str], members: str) -> dict[str, str]:
    found = ((member.partition(";")[0].strip(' "'), parameter.search(member)) for member in members.split(","))
    return {name: match[1] for name, match in found if match is not None}


def decimal_reset(text: str) -> str:
    """Return a reset that is told as a date or a duration in Unix seconds, or in seconds from now; else no text."""
    if (match := _DURATION.fullmatch(text)) is not None and any(match.groups()):
        hours, minutes, seconds, thousandths = (float(part or 0) for part in match.groups())
        rest = 3600 * hours + 60 * minutes + seconds + thousandths / 1000
        return f"{rest:.0f}" if rest.is_integer() else f"{rest:.3f}"
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        return ""
    moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return f"{moment.timestamp():.3f}" if moment.year > 2000 else ""
