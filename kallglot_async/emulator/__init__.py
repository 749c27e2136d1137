"""An emulator of the Kallglot API for tests, demos and rehearsals of outages; base install only.

    from kallglot_async.emulator import Emulator, Fault, Latency

    async with Emulator(plan="pro", latency=Latency.immediate()) as emulator:
        ids = emulator.seed_analyses(3)
        ...  # a client with base_url=emulator.base_url and api_key=emulator.api_key
        assert emulator.journal.refused == 0

It is written from the API's documentation and sample bodies and imports nothing of the client in this
package, so that it cannot share the client's mistakes. What the documentation leaves open is decided, and
said, at the place where it matters.

Rooms, from the bottom: `clock`, `seeding`, `routes`; `envelopes` (answers and errors), `limits` (how requests are
counted and what answers tell of it), `faults` (what goes wrong on purpose); `settings`; `journal`, `ledger` (what must
not happen twice), `request` (one request on its way), `webhooks`; `calls` (stories, sessions, transcripts, recordings),
`analyses` (how long they take, what they find, how they are asked for and shown); `api` (key, limits and faults around
the operations); `server` (the lifetime).
"""

from kallglot_async.emulator.analyses.latency import Latency
from kallglot_async.emulator.analyses.store import AnalysisRecord
from kallglot_async.emulator.api import EmulatorState
from kallglot_async.emulator.calls.sessions import SessionRecord
from kallglot_async.emulator.faults.plan import Fault, FaultKind
from kallglot_async.emulator.journal import Journal, JournalEntry
from kallglot_async.emulator.limits.plans import Balancing, HeaderForm, PlanName, StrangerPace
from kallglot_async.emulator.limits.windows import BucketReset, WindowKind
from kallglot_async.emulator.routes import Revision
from kallglot_async.emulator.server import Emulator
from kallglot_async.emulator.webhooks import Delivery, DeliveryLog, DeliveryState

__all__ = [
    "AnalysisRecord",
    "Balancing",
    "BucketReset",
    "Delivery",
    "DeliveryLog",
    "DeliveryState",
    "Emulator",
    "EmulatorState",
    "Fault",
    "FaultKind",
    "HeaderForm",
    "Journal",
    "JournalEntry",
    "Latency",
    "PlanName",
    "Revision",
    "SessionRecord",
    "StrangerPace",
    "WindowKind",
]
