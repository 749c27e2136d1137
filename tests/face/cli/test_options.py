"""Options that belong together, as the command line hands them on."""

from __future__ import annotations

import pytest

from kallglot_async.cli.app import app
from kallglot_async.emulator import Emulator
from kallglot_async.emulator.limits.plans import LimitSettings


def parsed(*argv):
    _, bound, _ = app.parse_args(["emulator", *argv])
    return bound.arguments["limits"].options() if "limits" in bound.arguments else {}


def test_every_limit_of_the_emulator_is_an_option():
    """Each setting of how requests are limited can be given, except those that concern more than limits."""
    options = parsed("--plan", "pro")
    assert set(options) == {*LimitSettings.__struct_fields__, "date_header", "clock_skew"} - {"seed", "speed"}
    Emulator(**options)


@pytest.mark.parametrize(
    "told",
    [
        {
            "--rate-limit 150 60": ("rate_limit", (150, 60.0)),
            "--second-limit 5 0.5": ("second_limit", (5, 0.5)),
            "--window sliding_counter": ("window", "sliding_counter"),
            "--stranger 0.3": ("stranger", 0.3),
            "--rate-headers delta": ("rate_headers", "delta"),
            "--retry-after none": ("retry_after", None),
            "--body-retry-after 45": ("body_retry_after", 45.0),
            "--no-date-header": ("date_header", False),
            "--clock-skew -3600": ("clock_skew", -3600.0),
        },
        {"--retry-after date": ("retry_after", "date"), "--body-retry-after auto": ("body_retry_after", "auto")},
    ],
    ids=["all", "words"],
)
def test_limits_on_the_command_line(told):
    """They arrive as the emulator takes them."""
    options = parsed(*" ".join(told).split())
    assert {name: options[name] for name, _ in told.values()} == dict(told.values())
    Emulator(**options)


@pytest.mark.parametrize(
    "argv",
    [
        ["get", "one", "--timeout", "1", "two"],
        ["wait", "one", "--timeout", "1", "two"],
        ["analyze", "one", "--analyses", "summary", "two"],
        ["batch", "run", "nightly.kallglot", "--analyses", "summary", "one", "two"],
        ["recording", "download", "one", "--to", ".", "two"],
    ],
)
def test_ids_may_stand_on_both_sides_of_an_option(argv):
    """All of them are taken, wherever they stand."""
    _, bound, _ = app.parse_args(argv, print_error=False, exit_on_error=False)
    assert bound.args[-2:] == ("one", "two")
