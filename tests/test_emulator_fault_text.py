"""Faults written as one line of text, on the emulator's own command line and alone."""

from __future__ import annotations

import json
import os
import signal
from typing import Any

import pytest
from test_cli_process import finish, process

from kallglot_async import KallglotClient
from kallglot_async.emulator import Fault
from kallglot_async.emulator.faults.parsing import parse_fault
from kallglot_async.emulator.faults.plan import KINDS


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("reset", Fault(kind="reset")),
        ("reset:", Fault(kind="reset")),
        ("status:status=503,rate=0.2", Fault(kind="status", status=503, rate=0.2)),
        ("reset:times=3,operation=analyses.retrieve", Fault(kind="reset", times=3, operation="analyses.retrieve")),
        ("status:id=ana_1,takes_effect=true", Fault(kind="status", id="ana_1", takes_effect=True)),
        ("throttle:retry_after=none", Fault(kind="throttle", retry_after=None)),
        ("throttle:retry_after=soon", Fault(kind="throttle", retry_after="soon")),
        ("redirect:location=http://127.0.0.1:1/x?a=b", Fault(kind="redirect", location="http://127.0.0.1:1/x?a=b")),
        (
            '{"kind": "status", "body": "a,b", "headers": {"X": null}}',
            Fault(kind="status", body="a,b", headers={"X": None}),
        ),
    ],
)
def test_a_text_is_a_fault(text: str, fault: Fault) -> None:
    """Kind, then key=value pairs, or JSON where a value needs it."""
    assert parse_fault(text) == fault


def test_a_numeric_retry_after_is_sent_as_it_was_written() -> None:
    """A number is a number or its text: the header looks the same."""
    assert str(parse_fault("throttle:retry_after=5").retry_after) == "5"


def test_every_kind_can_be_written() -> None:
    """No kind needs more than its name."""
    assert {parse_fault(kind).kind for kind in KINDS} == KINDS


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("meteor", "there is no fault 'meteor'; there are bad_utf8, "),
        ("", "there is no fault ''; there are "),
        ("status:code=503", "'code=503' is no key=value with one of rate, id, operation, "),
        ("status:503", "'503' is no key=value"),
        ("status:status=five", "status"),
        ("status:rate=2", "between 0 and 1"),
        ("status:headers=X", "is no key=value"),
        ("slow:takes_effect=false", "needs the genuine answer"),
        ("reset:operation=analyses.paint", "operation"),
        ('{"kind": "meteor"}', "meteor"),
        ('{"kind"', "fault"),
        ('{"kind": "reset", "colour": "red"}', "colour"),
    ],
)
def test_a_text_that_is_no_fault_says_why(text: str, told: str) -> None:
    """Whatever is wrong, it is a ValueError that names it."""
    with pytest.raises(ValueError) as caught:
        parse_fault(text)
    assert told in str(caught.value)


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
async def test_the_emulators_command_line_takes_faults() -> None:
    """Faults given on the command line strike, are counted, and are told at the end."""
    options: list[str] = ["--fault", "status:status=503,times=1", "--fault=reset:times=1", "--plan", "unlimited"]
    async with process("emulator", "--json", "--analyses", "1", "--latency-median", "0", *options) as child:
        place: dict[str, Any] = json.loads(await child.stdout.readline())
        async with KallglotClient(place["api_key"], base_url=place["base_url"], random=lambda: 0.0) as client:
            assert (await client.analyses.retrieve(place["ids"][0])).is_complete
        child.send_signal(signal.SIGINT)
        _, err = await child.communicate()
    assert child.returncode == 0
    assert err == b"stopped after 3 requests, 0 refused, reset 1 times, status 1 times\n"


async def test_a_fault_that_does_not_exist_is_exit_code_2() -> None:
    """The mistake is one line that lists what there is; nothing is started."""
    status, out, err = await finish("emulator", "--fault", "meteor")
    assert (status, out) == (2, "")
    assert err.startswith("kallglot: there is no fault 'meteor'; there are bad_utf8, ")
    assert err.count("\n") == 1
