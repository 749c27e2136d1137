"""What the emulated calls are about: templates for a call centre's everyday conversations.

Placeholders in braces are filled in by `content.py`: `{order}` a reference number, `{amount}` money, `{day}`
a date in words, `{name}` a surname, `{count}` a small number.
"""

from __future__ import annotations

import msgspec


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of call."""

    name: str
    topics: tuple[str, ...]
    """Topic names, the most certain first."""
    brief: str
    """The summary in two sentences, without the outcome."""
    points: tuple[str, ...]
    """Key points of the conversation."""
    endings: dict[str, str]
    """Closing sentence by outcome."""
    actions: tuple[tuple[str, str, bool], ...]
    """Follow-ups: description, assignee, whether it has a due date."""
    peak: str
    """What made the customer happiest."""
    low: str
    """What made the customer unhappiest."""


ORDER_STATUS = Scenario(
    name="order_status",
    topics=("order_status", "shipping", "delivery_date", "carrier"),
    brief="Customer inquired about the status of order #{order}. Agent located it and explained the delay.",
    points=(
        "Customer asked about order #{order}",
        "Order was delayed by {count} days at the carrier",
        "New delivery date announced for {day}",
        "Customer asked not to be called before noon",
    ),
    endings={
        "resolved": "The new delivery date {day} was confirmed.",
        "follow_up": "The agent will confirm the new date once the carrier answers.",
    },
    actions=(
        ("Send tracking number to customer", "agent", False),
        ("Call back if the package has not arrived by {day}", "customer", True),
        ("Open an inquiry with the carrier for order #{order}", "agent", True),
    ),
    peak="Delivery date confirmed",
    low="Customer learned of the delay",
)

BILLING_DISPUTE = Scenario(
    name="billing_dispute",
    topics=("billing", "refund", "invoice", "double_charge"),
    brief="Customer {name} disputed {amount} on invoice {order}. Agent compared it with the contract.",
    points=(
        "Invoice {order} shows {amount} more than the contract",
        "The charge had been booked twice",
        "Customer asked for a written confirmation",
        "Refund takes {count} working days",
    ),
    endings={
        "resolved": "A refund of {amount} was issued.",
        "escalated": "The case was passed on to the billing department.",
    },
    actions=(
        ("Refund {amount} to the customer's account", "agent", True),
        ("Send a corrected invoice {order}", "agent", True),
        ("Check the bank statement after {day}", "customer", True),
    ),
    peak="Agent acknowledged the mistake and promised the refund",
    low="Customer found the second charge",
)

INTERNET_OUTAGE = Scenario(
    name="internet_outage",
    topics=("technical_support", "internet_outage", "router", "technician_visit"),
    brief="Customer reported an outage of {count} days. Agent tested the line and restarted the router.",
    points=(
        "No connection for {count} days, telephone works",
        "Line test shows a fault between exchange and building",
        "Router was restarted and its firmware updated",
        "Technician available on {day}",
    ),
    endings={
        "resolved": "The connection came back during the call.",
        "follow_up": "A technician will visit on {day}.",
        "escalated": "The fault was reported to the network operator under ticket {order}.",
    },
    actions=(
        ("Book a technician for {day}", "agent", True),
        ("Credit {amount} for the days without service", "agent", False),
        ("Keep the router switched on until {day}", "customer", True),
    ),
    peak="Connection came back",
    low="Customer explained that he had already called twice",
)

APPOINTMENT = Scenario(
    name="appointment_change",
    topics=("appointment", "rescheduling", "reminder"),
    brief="Customer {name} asked to move an appointment. Agent offered {count} alternatives.",
    points=(
        "Appointment {order} no longer suits the customer",
        "{count} free slots in the same week",
        "Customer prefers the morning of {day}",
    ),
    endings={
        "resolved": "The appointment was moved to {day}.",
        "follow_up": "The customer will call back after checking the calendar.",
    },
    actions=(
        ("Send a confirmation for {day}", "agent", False),
        ("Remind the customer one day before {day}", "agent", True),
    ),
    peak="A morning slot was found",
    low="The first proposals did not fit",
)

CANCELLATION = Scenario(
    name="cancellation",
    topics=("cancellation", "contract", "retention_offer", "notice_period"),
    brief="Customer wants to cancel contract {order}. Agent explained the notice period and made an offer.",
    points=(
        "Contract {order} runs until {day}",
        "Price rise to {amount} a month is the reason",
        "A discount for {count} months was offered",
        "Customer compared the offer with a competitor's",
    ),
    endings={
        "resolved": "The customer keeps the contract at the discounted price.",
        "unresolved": "The customer insists on the cancellation.",
        "follow_up": "The customer will decide by {day}.",
    },
    actions=(
        ("Confirm the discount in writing", "agent", True),
        ("Send the cancellation form for contract {order}", "agent", False),
        ("Answer the offer by {day}", "customer", True),
    ),
    peak="Discount accepted",
    low="Customer complained about the price rise",
)

ACCOUNT_ACCESS = Scenario(
    name="account_access",
    topics=("account_access", "password_reset", "two_factor", "identity_check"),
    brief="Customer {name} could not sign in. Agent checked the identity and reset the access.",
    points=(
        "Account locked after {count} wrong passwords",
        "Identity confirmed with customer number {order}",
        "Telephone number for the second factor was outdated",
    ),
    endings={
        "resolved": "The customer signed in during the call.",
        "escalated": "The security team has to release the account.",
    },
    actions=(
        ("Update the telephone number on the account", "agent", False),
        ("Set a new password by {day}", "customer", True),
    ),
    peak="Customer could sign in again",
    low="The reset message did not arrive",
)

INSURANCE_CLAIM = Scenario(
    name="insurance_claim",
    topics=("insurance_claim", "water_damage", "documents", "cost_estimate"),
    brief="Customer {name} reported water damage of about {amount}. Agent opened claim {order}.",
    points=(
        "Pipe in the kitchen burst {count} days ago",
        "Claim {order} opened, estimated damage {amount}",
        "Photos and a cost estimate are still missing",
        "Expert visit proposed for {day}",
    ),
    endings={
        "follow_up": "The claim is decided once the documents are there.",
        "resolved": "The damage is covered and will be paid.",
        "unresolved": "Whether the policy covers the damage stayed open.",
    },
    actions=(
        ("Send the list of required documents", "agent", False),
        ("Upload photos and cost estimate by {day}", "customer", True),
        ("Arrange the expert's visit", "agent", True),
    ),
    peak="Agent confirmed that the damage is covered",
    low="Customer described the flooded kitchen",
)

BOOKING = Scenario(
    name="hotel_booking",
    topics=("booking", "room_change", "breakfast", "late_arrival"),
    brief="Guest {name} asked to change booking {order}. Agent checked the availability for {day}.",
    points=(
        "Booking {order} for {count} nights from {day}",
        "Guest arrives after 22:00",
        "A quieter room costs {amount} more",
    ),
    endings={
        "resolved": "The booking was changed and confirmed.",
        "follow_up": "The hotel will confirm the quieter room by e-mail.",
    },
    actions=(
        ("Note the late arrival on {day}", "agent", True),
        ("Send the changed confirmation for booking {order}", "agent", False),
        ("Pay the difference of {amount} on arrival", "customer", False),
    ),
    peak="The quieter room was free",
    low="The first room category was sold out",
)

SCENARIOS = (
    ORDER_STATUS,
    BILLING_DISPUTE,
    INTERNET_OUTAGE,
    APPOINTMENT,
    CANCELLATION,
    ACCOUNT_ACCESS,
    INSURANCE_CLAIM,
    BOOKING,
)
"""Every kind of call the emulator knows."""

NAMES = ("Meier", "Rossi", "Favre", "Novak", "Keller", "Santos", "Yilmaz", "Brunner", "Dubois", "Okafor")
"""Surnames of emulated customers."""

FAILURES = (
    "The transcript is too short to be analysed.",
    "The audio quality was too low for a reliable analysis.",
    "The language of the conversation could not be determined.",
    "The analysis was aborted by an internal error. Please request it again.",
)
"""Explanations of failed analyses."""
