"""What a run consists of: who takes part, what is promised, how much goes wrong, and what is broken on purpose."""

from collections.abc import Callable
from datetime import timedelta
from zlib import crc32

from commands.ports import Alarms, Clock, EventLog, Gateways, Histories
from infra.kafka.partition import partition_for
from infra.memory.alarms import MemoryAlarms
from infra.memory.clock import MemoryClock
from infra.memory.log import MemoryHistories, MemoryLog
from infra.memory.projections import MemoryPayments
from infra.memory.reservations import MemoryReservations
from infra.memory.verification_queue import MemoryVerificationQueue
from schemas.base import Value
from schemas.circuit import CircuitStatus, CircuitView
from schemas.gateway import GatewayConfiguration
from schemas.ids import GatewayId
from schemas.instrument import PAYMENT_METHODS, PaymentMethod
from schemas.routing import Facts
from schemas.routing_configuration import BanditPolicy, RetryPolicy, RoutingConfiguration
from schemas.verification import Schedule
from tests.builders import a_gateway
from tests.simulation import courses
from tests.simulation.faults import Rates
from tests.simulation.process import Process

GATEWAYS = tuple(GatewayId(name) for name in ("alpha", "beta", "gamma"))
SCHEDULE = Schedule(after_s=(4, 10, 30, 70))
CLOSE_AFTER = timedelta(seconds=40)
POLICIES = (
    RetryPolicy(max_attempts=3, latency_budget_ms=2_000),
    RetryPolicy(max_attempts=3, latency_budget_ms=2_000, retry_on_timeout=True),
    RetryPolicy(max_attempts=3, latency_budget_ms=2_000, keep_late_success=True),
)
"""A merchant each."""
GATEWAY_TIMEOUT_MS = 800
LARGEST_SKEW_MS = 500
LOOKUP_LAG_MS = 3_000
HORIZON_S = 90.0


class Scenario(Value, frozen=True, kw_only=True):
    """The wrappers and makers put something broken in the place of an adapter, to see it caught."""

    clients: int = 10
    processes: int = 3
    verifiers: int = 2
    kills: int = 1
    outages: int = 2
    rates: Rates = Rates()
    forgets: bool = False
    admits_at_once: bool = False
    horizon_s: int = courses.HORIZON_S
    lookup_lag_ms: int = LOOKUP_LAG_MS
    verifiers_ahead_ms: int = 0
    wrap_log: Callable[[MemoryLog], EventLog] = lambda log: log
    wrap_histories: Callable[[MemoryHistories], Histories] = lambda histories: histories
    wrap_gateways: Callable[[Gateways], Gateways] = lambda gateways: gateways
    wrap_alarms: Callable[[MemoryAlarms], Alarms] = lambda alarms: alarms
    wrap_clock: Callable[[MemoryClock, Process], Clock] = lambda clock, _: clock
    make_reservations: type[MemoryReservations] = MemoryReservations
    make_queue: Callable[[MemoryReservations], MemoryVerificationQueue] = MemoryVerificationQueue
    make_sink: Callable[[], MemoryPayments] = lambda: MemoryPayments(partition_for)


CIRCUIT_SPELL_MS = 1_500
STATUSES: tuple[CircuitStatus, ...] = (*("CLOSED",) * 5, "OPEN", "HALF_OPEN", "FORCED_OPEN")
"""One of these, by chance, is a circuit's for a spell."""
CONFIGURATION = RoutingConfiguration(bandits={"*": BanditPolicy(enabled=True)})


class KnownFacts:
    """Circuits open and close for no reason while payments are made: whatever routing says, nobody is charged twice."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario

    def gateways(self) -> tuple[GatewayConfiguration, ...]:
        return tuple(
            a_gateway(
                name,
                priority=place,
                timeout_ms=GATEWAY_TIMEOUT_MS,
                lookup_lag_ms=self._scenario.lookup_lag_ms,
                horizon_s=self._scenario.horizon_s,
            )
            for place, name in enumerate(GATEWAYS)
        )

    def retry_policy(self, merchant_id: str) -> RetryPolicy:
        return POLICIES[int(merchant_id[-1])]

    def schedule(self, method: PaymentMethod) -> Schedule:
        return SCHEDULE

    def facts(self) -> Facts:
        spell = int(MemoryClock().elapsed_ms()) // CIRCUIT_SPELL_MS
        return Facts(
            configuration=CONFIGURATION,
            circuits={
                (name, method): CircuitView(
                    status=STATUSES[crc32(f"{name} {spell}".encode()) % len(STATUSES)],
                    trial=spell,
                    probes=2,
                    probe_lease_s=1,
                )
                for name in GATEWAYS
                for method in PAYMENT_METHODS
            },
        )
