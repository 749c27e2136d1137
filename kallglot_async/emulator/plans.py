"""The rate-limit tables of the documentation, as data.

All figures are requests per minute. Revision B calls its tiers non-binding and points at the live headers, so
the tables of revision A serve both.
"""

from __future__ import annotations

from typing import Literal

import msgspec

PlanName = Literal["free", "starter", "pro", "unlimited"]
"""The plans that can be emulated; `unlimited` stands for Enterprise, whose limits are custom."""

MINUTE = 60.0
"""Length of a documented window in seconds."""

GROUPS = ("sessions.write", "sessions.read", "recordings", "analysis", "webhooks")
"""The endpoint groups that have a budget of their own; creating and retrieving analyses share `analysis`."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What one plan allows."""

    overall: int | None
    """Requests per minute over all groups; None: no limit."""
    groups: dict[str, int]
    """Requests per minute by endpoint group; a group that is missing has only the overall limit."""


PLANS: dict[PlanName, Plan] = {
    # The documentation has no column of group limits for the free plan: its overall limit is taken for each.
    "free": Plan(overall=60, groups=dict.fromkeys(GROUPS, 60)),
    "starter": Plan(overall=120, groups=dict(zip(GROUPS, (60, 120, 60, 30, 60), strict=True))),
    "pro": Plan(overall=600, groups=dict(zip(GROUPS, (300, 600, 300, 150, 300), strict=True))),
    "unlimited": Plan(overall=None, groups={}),
}
