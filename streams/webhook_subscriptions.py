"""The webhook subscriptions as a dispatcher has heard them from the log."""

from collections.abc import Callable, Collection, Sequence

from commands.webhook_subscription import (
    INITIAL,
    Subscription,
    Subscriptions,
    evolve,
    recipients,
)
from projections.ports import Tail, Take
from schemas.base import Event
from schemas.envelope import Recorded
from schemas.errors import LogUnavailable
from schemas.webhook import SubscriptionId
from schemas.webhook_types import TYPES, is_wanted


class HeardSubscriptions:
    """Who has just subscribed must be told from then on: so nothing is taken in while what was heard may be old. It is
    enough, however old, to send what is there already. What is for one that is disabled waits for it."""

    def __init__(self, now_ms: Callable[[], float], open_tail: Callable[[Take], Tail]) -> None:
        self._now_ms = now_ms
        self._tail = open_tail(self.take)
        self.current: Subscriptions = INITIAL
        self._of_type: dict[str, list[Subscription]] = {}

    async def start(self) -> None:
        """Returns when it is loaded, or the tail has no more patience; it is then loaded later."""
        await self._tail.start()

    async def stop(self) -> None:
        await self._tail.stop()

    @property
    def is_loaded(self) -> bool:
        return self._tail.is_caught_up

    def take(self, record: Recorded[Event]) -> None:
        before, self.current = self.current, evolve(self.current, record)
        if self.current is not before:
            known = self.current.known.values()
            self._of_type = {
                name: wanting
                for name in TYPES.values()
                if (wanting := [one for one in known if is_wanted(name, one.event_types)])
            }

    def active(self, subscription_id: SubscriptionId) -> Subscription | None:
        one = self.current.known.get(subscription_id)
        return one if one is not None and not one.is_disabled else None

    @property
    def ended(self) -> Collection[SubscriptionId]:
        """Whoever is of these is told nothing more."""
        return self.current.ended

    def require(self) -> None:
        if not self._tail.is_current:
            raise LogUnavailable("webhook subscriptions may be old")

    def want(self, event_type: str) -> bool:
        return event_type in self._of_type

    def want_of_merchants(self, event_type: str) -> bool:
        return any(one.merchant_ids for one in self._of_type.get(event_type, ()))

    def of(self, event_type: str, merchant_id: str | None, stamp_ms: int) -> Sequence[SubscriptionId]:
        return recipients(self._of_type.get(event_type, ()), merchant_id, stamp_ms, self._now_ms())
