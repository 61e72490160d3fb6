"""The twins have the shape of the ports: mypy checks the assignments, and the test that they are made."""

from api.live_fold import TopicLog
from commands.ports import (
    Alarms,
    Clock,
    EventLog,
    Gateway,
    Gateways,
    Histories,
    Probes,
    Reservations,
    VerificationQueue,
)
from infra.memory.alarms import MemoryAlarms
from infra.memory.clock import MemoryClock
from infra.memory.configuration import MemoryConfigurationTopic
from infra.memory.experiment_topic import MemoryExperimentsTopic
from infra.memory.gateways import Ledger, MemoryGateway, MemoryGateways, seeded_outcome
from infra.memory.log import MemoryHistories, MemoryLog
from infra.memory.probes import MemoryLeases, MemoryProbes
from infra.memory.reservations import MemoryReservations
from infra.memory.verification_queue import MemoryVerificationQueue
from infra.probes import LocalProbes
from projections.ports import Tail
from schemas.configuration import RoutingSet
from schemas.experiment import ExperimentEvent
from schemas.ids import GatewayId


def test_the_twins_are_what_the_handler_asks_for() -> None:
    memory_clock = MemoryClock()
    memory_log = MemoryLog(memory_clock)
    ledger = Ledger(memory_clock, lambda reference: seeded_outcome(1, reference))
    clock: Clock = memory_clock
    log: EventLog = memory_log
    histories: Histories = MemoryHistories(memory_log, memory_clock)
    memory_reservations = MemoryReservations(memory_clock)
    reservations: Reservations = memory_reservations
    queue: VerificationQueue = MemoryVerificationQueue(memory_reservations)
    alarms: Alarms = MemoryAlarms(memory_log)
    gateway: Gateway = MemoryGateway(ledger, memory_clock)
    gateways: Gateways = MemoryGateways({GatewayId("alpha"): MemoryGateway(ledger, memory_clock)})
    local = LocalProbes("7f3a", memory_clock.elapsed_ms)
    probes: Probes = MemoryProbes(MemoryLeases(), local, memory_clock.elapsed_ms)
    assert all((clock, log, histories, reservations, queue, alarms, gateway, gateways, probes))


def test_the_topic_of_configuration_in_memory_is_what_a_process_asks_for() -> None:
    topic = MemoryConfigurationTopic()
    configuration_log: TopicLog[RoutingSet] = topic
    tail: Tail = topic.tail(lambda record: None)
    assert all((configuration_log, tail))


def test_the_topic_of_experiments_in_memory_is_what_a_process_asks_for() -> None:
    topic = MemoryExperimentsTopic()
    experiment_log: TopicLog[ExperimentEvent] = topic
    tail: Tail = topic.tail(lambda record: None)
    assert all((experiment_log, tail))
