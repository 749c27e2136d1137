"""Faults written as one line of text."""

from __future__ import annotations

import pytest

from kallglot_async.emulator import Fault
from kallglot_async.emulator.faults.parsing import parse_fault


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
    assert {parse_fault(kind).kind for kind in Fault.kinds} == Fault.kinds


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
