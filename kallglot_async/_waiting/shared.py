"""`Shared`: what a client and its views have in common."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from kallglot_async._config import Secret
from kallglot_async._core.limit.retry import RetryBudget
from kallglot_async._core.polling.worth import PollModel
from kallglot_async._events import Observer
from kallglot_async._waiting.claims import Claims
from kallglot_async._wire.pool import SessionPool
from kallglot_async.webhooks import WebhookInbox

__all__ = ["Shared"]


@dataclass(slots=True)
class Shared:
    """What a client and its views have in common."""

    pool: SessionPool
    random: Callable[[], float]
    observer: Observer
    inbox: WebhookInbox
    has_inbox: bool  # whether it is the caller's, so that webhooks can be expected
    budget: RetryBudget = field(default_factory=RetryBudget)
    model: PollModel = field(default_factory=PollModel)
    hubs: dict[Secret, Claims] = field(default_factory=dict)

    def hub(self, key: Secret) -> Claims:
        """Return where the waits under one key meet."""
        # By key: the same id of two organizations is two analyses, and an answer must not pass between them.
        if key not in self.hubs:
            self.hubs[key] = Claims(self.model, self.random, self.inbox, has_inbox=self.has_inbox)
        return self.hubs[key]
