"""An emulator of the Kallglot API for tests, demos and rehearsals of outages; base install only.

    from kallglot_async.emulator import Emulator, Fault, Latency

    async with Emulator(plan="pro", latency=Latency.immediate()) as emulator:
        ids = emulator.seed_analyses(3)
        ...  # a client with base_url=emulator.base_url and api_key=emulator.api_key
        assert emulator.journal.refused == 0

It is written from the API's documentation and sample bodies and imports nothing of the client in this
package, so that it cannot share the client's mistakes. What the documentation leaves open is decided, and
said, at the place where it matters.

Modules, from the bottom: `clock`, `seeding`, `plans`, `latency`; `limits`, `scenarios`, `content`, `analyses`;
`transcripts`, `sessions`; `routes`, `faults`, `fault_text`, `settings`, `journal`; `views`, `answers`, `audio`,
`recordings`, `orders`, `ledger`, `fault_bodies`, `wire`; `exchange` (one request), `webhooks` (events and their
deliveries), `neighbours` (the operations on sessions, transcripts and recordings), `service` (all operations),
`app` (key, limits and faults around them), `control` (the control plane), `server` (the lifetime).
"""

from kallglot_async.emulator.analyses import AnalysisRecord, Revision
from kallglot_async.emulator.control import EmulatorState
from kallglot_async.emulator.faults import Fault, FaultKind
from kallglot_async.emulator.journal import Journal, JournalEntry
from kallglot_async.emulator.latency import Latency
from kallglot_async.emulator.limits import WindowKind
from kallglot_async.emulator.plans import PlanName
from kallglot_async.emulator.server import Emulator
from kallglot_async.emulator.sessions import SessionRecord
from kallglot_async.emulator.webhooks import Delivery, DeliveryLog, DeliveryState

__all__ = [
    "AnalysisRecord",
    "Delivery",
    "DeliveryLog",
    "DeliveryState",
    "Emulator",
    "EmulatorState",
    "Fault",
    "FaultKind",
    "Journal",
    "JournalEntry",
    "Latency",
    "PlanName",
    "Revision",
    "SessionRecord",
    "WindowKind",
]
