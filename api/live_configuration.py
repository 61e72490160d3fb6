"""What is configured, as this process has heard it from the log, and the way to set it."""

from collections.abc import Callable

import structlog

from api import metrics
from api.live_fold import CONFIRMED_WITHIN_S, LiveFold, TopicLog
from api.ports import Proof
from commands.ports import Clock
from commands.routing.configuration import INITIAL, Configured, decide, evolve, is_void
from projections.ports import Tail, Take
from schemas.base import Event
from schemas.configuration import Heard, RoutingSet, SetRouting, aggregate_of
from schemas.envelope import Recorded
from schemas.errors import Refusal, Refused
from schemas.webhook import AGGREGATES

log = structlog.get_logger(__name__)


class LiveConfiguration(LiveFold[Configured, Heard, RoutingSet]):
    def __init__(
        self,
        open_tail: Callable[[Take], Tail],
        configuration_log: TopicLog[RoutingSet],
        clock: Clock,
        confirmed_within_s: float = CONFIRMED_WITHIN_S,
    ) -> None:
        super().__init__(INITIAL, evolve, is_void, open_tail, configuration_log, clock, confirmed_within_s)

    def _take(self, record: Recorded[Event]) -> None:
        super()._take(record)
        metrics.show_kill_switches(self.current.routing.off)

    async def check(self) -> Proof:
        """No payment depends on webhooks: what of them is too new for this process is no reason not to take any."""
        unread = [name for name in self.current.unread if not name.startswith(AGGREGATES)]
        return self.proof(self.current.routing.version, unread)

    async def set(self, command: SetRouting, request_id: str) -> Configured:
        """The configuration with it in force, in this process. Raises Refused when another one was faster, or when it
        cannot be told in time whether it counts; LogUnavailable: nothing was set."""
        configured = self.loaded()
        for event in decide(command, configured):
            set_now = await self.add(event, request_id)
            if set_now is None:
                raise Refused(
                    Refusal.STALE_VERSION, "Somebody else set it at the same moment: look at it first."
                )
            configured = set_now
            log.info(
                "configured",
                what=aggregate_of(event),
                version=configured.setting(aggregate_of(event)).version,
                by=event.by,
            )
        return configured
