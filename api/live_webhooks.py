"""Who is told of what, as this process has heard it from the log, and the way to change it."""

from collections.abc import Callable

import structlog

from api.live_fold import CONFIRMED_WITHIN_S, LiveFold, TopicLog
from commands.ports import Clock
from commands.webhook_subscription import INITIAL, Subscriptions, decide, evolve, is_void
from projections.ports import Tail, Take
from schemas.base import Event
from schemas.errors import Refusal, Refused
from schemas.webhook import WebhookCommand, WebhookEvent

log = structlog.get_logger(__name__)


class LiveWebhooks(LiveFold[Subscriptions, Event, WebhookEvent]):
    def __init__(
        self,
        open_tail: Callable[[Take], Tail],
        webhook_log: TopicLog[WebhookEvent],
        clock: Clock,
        confirmed_within_s: float = CONFIRMED_WITHIN_S,
    ) -> None:
        super().__init__(INITIAL, evolve, is_void, open_tail, webhook_log, clock, confirmed_within_s)

    async def obey(self, command: WebhookCommand, request_id: str) -> Subscriptions:
        """The subscriptions as the command leaves them, in this process. Raises Refused when another one was faster, or
        when it cannot be told in time whether it counts; LogUnavailable: nothing was done."""
        subscriptions = self.loaded()
        for event in decide(command, subscriptions):
            after = await self.add(event, request_id)
            if after is None:
                raise Refused(
                    Refusal.STALE_VERSION, "Somebody else acted at the same moment: look at it first."
                )
            subscriptions = after
            log.info("webhooks", what=type(event).__name__, id=event.subscription_id, by=event.by)
        return subscriptions
