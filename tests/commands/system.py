"""One API process, or several, over the twins, with every part at hand for a test to break."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence

from commands.fingerprints import Fingerprints
from commands.handler import Handled, PaymentHandler
from commands.ownership import fold
from commands.payment_state import PaymentState
from infra.memory.clock import MemoryClock
from infra.memory.fate import UNTROUBLED, Fate
from infra.memory.gateways import CallFate, Entry, Ledger, MemoryGateway, MemoryGateways, no_pause
from infra.memory.log import MemoryHistories, MemoryLog
from infra.memory.probes import MemoryLeases, MemoryProbes
from infra.memory.reservations import MemoryReservations
from infra.memory.shadow import RememberingShadow
from infra.probes import LocalProbes
from schemas.gateway import GatewayConfiguration
from schemas.http import PaymentBody
from schemas.ids import AttemptId, GatewayId
from schemas.instrument import PaymentMethod
from schemas.outcome import Outcome
from schemas.routing import Facts
from schemas.routing_configuration import RetryPolicy
from schemas.verification import Schedule
from tests.builders import SCHEDULE, a_body, gateways, success

NAMES = (GatewayId("alpha"), GatewayId("beta"))
WINDOW_S = 18.5
"""The default budget, one gateway timeout and the margin."""
GUARDS_S = 1.5
"""One before the window of a claim begins, one more before it is claimed."""


class System:
    """Fates are taken from the queues; when one is empty all goes well. `latent` is what every charge comes to."""

    def __init__(
        self, latent: Callable[[AttemptId], Outcome] = lambda _: success(), *, broker_skew_ms: int = 0
    ) -> None:
        self.records: deque[Fate] = deque()
        self.rows: deque[Fate] = deque()
        self.calls: deque[CallFate] = deque()
        self.policy = RetryPolicy()
        self.configured: tuple[GatewayConfiguration, ...] = gateways(*NAMES)
        self.known = Facts()
        self.clock = MemoryClock()
        self.probes = MemoryProbes(
            MemoryLeases(), LocalProbes("here", self.clock.elapsed_ms), self.clock.elapsed_ms
        )
        self.log = MemoryLog(MemoryClock(skew_ms=broker_skew_ms), fate=lambda: _next(self.records))
        self.reservations = MemoryReservations(self.clock, fate=lambda: _next(self.rows))
        self.histories = MemoryHistories(self.log, self.clock)
        self.ledgers = {name: Ledger(self.clock, latent) for name in NAMES}
        self.shadow = RememberingShadow()
        self._processes = 0
        self.handler = self.process()

    def gateways(self) -> tuple[GatewayConfiguration, ...]:
        return self.configured

    def schedule(self, method: PaymentMethod) -> Schedule:
        return SCHEDULE

    def facts(self) -> Facts:
        return self.known

    def retry_policy(self, merchant_id: str) -> RetryPolicy:
        return self.policy

    def process(
        self,
        *,
        max_in_flight: int = 100,
        before_look: Callable[[], Awaitable[None]] = no_pause,
        histories: MemoryHistories | None = None,
        secrets: Sequence[str] = ("a secret",),
    ) -> PaymentHandler:
        self._processes += 1
        held = {
            name: MemoryGateway(
                ledger,
                self.clock,
                fate=lambda: self.calls.popleft() if self.calls else CallFate(effect_ms=5, answer_ms=5),
                before_look=before_look,
            )
            for name, ledger in self.ledgers.items()
        }
        return PaymentHandler(
            clock=MemoryClock(seed=self._processes),
            log=self.log,
            reservations=self.reservations,
            histories=histories or self.histories,
            gateways=MemoryGateways(held),
            facts=self,
            probes=self.probes,
            shadow=self.shadow,
            fingerprints=Fingerprints(secrets),
            max_in_flight=max_in_flight,
            gateway_timeout_ms=2_500,
        )

    async def post(
        self,
        body: PaymentBody | None = None,
        *,
        key: str = "key 1",
        to: PaymentHandler | None = None,
        attributes: Mapping[str, str] | None = None,
    ) -> Handled:
        return await (to or self.handler).request_payment(body or a_body(), key, "req_1", attributes or {})

    async def gone(self, *, after_s: float) -> None:
        """A client posts, and goes away."""
        task = asyncio.create_task(self.post())
        await asyncio.sleep(after_s)
        task.cancel()
        await asyncio.wait([task])

    def heal(self) -> None:
        for partition in self.log.partitions:
            for record in partition:
                self.reservations.heal(record)

    @property
    def charges(self) -> list[Entry]:
        return [entry for ledger in self.ledgers.values() for entry in ledger.entries.values()]

    @property
    def contacts(self) -> int:
        return sum(len(ledger.contacts) for ledger in self.ledgers.values())

    @property
    def written(self) -> list[str]:
        """The names of all records on the log; a void one's is in brackets."""
        return [
            f"({type(record.event).__name__})" if record.is_void else type(record.event).__name__
            for partition in self.log.partitions
            for record in partition
        ]


def state_told(handled: Handled) -> PaymentState:
    return fold(handled.history)


def _next(fates: deque[Fate]) -> Fate:
    return fates.popleft() if fates else UNTROUBLED
