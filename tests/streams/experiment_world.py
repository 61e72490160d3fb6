"""Experiments in memory: a store, a topic, and analyzers that share both, each with ears of its own."""

from datetime import datetime
from typing import cast

from commands.experiment import decide
from commands.experiment_state import INITIAL, Experiment, Experiments, evolve
from infra.memory.experiments import MemoryExperiments
from infra.memory.topic import MemoryTail, Take
from schemas.base import Event
from schemas.codec import EXPERIMENTS_TOPIC, PAYMENTS_TOPIC
from schemas.envelope import Position, Recorded, unowned
from schemas.errors import LogUnavailable
from schemas.experiment import Design, ExperimentCommand, ExperimentEvent, Guardrails, StartExperiment
from schemas.exposure import ArmKey, Tally
from schemas.ids import ExperimentId
from schemas.views import Watermark
from streams.experiment_analysis import Analysis
from streams.heard_experiments import HeardExperiments
from tests.builders import AT

ONE = ExperimentId("exp_1")


class Clock:
    def __init__(self) -> None:
        self.at: datetime = AT
        self.passed_s = 0.0
        self._ids = 0

    def now(self) -> datetime:
        return self.at

    def elapsed_ms(self) -> float:
        return self.passed_s * 1000

    def event_id(self) -> str:
        self._ids += 1
        return f"evt_{self._ids}"


class Tail(MemoryTail):
    """`is_late`: it has not heard what comes, and does not know that."""

    is_late = False

    def hear(self) -> None:
        if not self.is_late:
            super().hear()


class World:
    """A store and a log of experiments in memory, and the analyzers that share them."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.store = MemoryExperiments(self.clock.elapsed_ms)
        self.experiments: Experiments = INITIAL
        self.records: list[Recorded[Event]] = []
        self.events: list[ExperimentEvent] = []
        """Those that were told since an operator has acted last, also void ones."""
        self.is_away = False
        self.log_ends: dict[int, int] = {}
        self.tails: list[Tail] = []
        self.analyzers = [self.another() for _ in range(2)]

    def another(self, clock: Clock | None = None) -> Analysis:
        """As if it had just been started."""
        heard = HeardExperiments(self._open_tail, self._end_of_experiments, 0.1)
        self.tails[-1].is_caught_up = True
        self.tails[-1].hear()
        return Analysis(self.store, heard, self, self.ends_of_the_log, clock or self.clock, Guardrails())

    def _open_tail(self, take: Take) -> Tail:
        self.tails.append(Tail(self.records, take))
        return self.tails[-1]

    async def _end_of_experiments(self) -> int:
        if self.is_away:
            raise LogUnavailable("away")
        return len(self.records)

    async def ends_of_the_log(self) -> dict[int, int]:
        return self.log_ends

    async def append(self, event: ExperimentEvent, event_id: str, caused_by: str) -> None:
        if self.is_away:
            raise LogUnavailable("away")
        self.events.append(event)
        record = Recorded(
            envelope=unowned(event_id, event.experiment_id, self.clock.at, correlation_id=caused_by),
            event=event,
            position=Position(topic=EXPERIMENTS_TOPIC, partition=0, offset=len(self.records)),
            stamp_ms=1,
        )
        self.experiments = evolve(self.experiments, record)
        self.records.append(cast("Recorded[Event]", record))
        for tail in self.tails:
            tail.hear()

    async def obey(self, command: ExperimentCommand) -> None:
        for event in decide(command, self.experiments):
            await self.append(event, "evt_0", "evt_0")
        self.events.clear()

    async def start(self, design: Design, experiment: ExperimentId = ONE) -> None:
        await self.obey(
            StartExperiment(experiment_id=experiment, design=design, gateways=(), by="asha", note="")
        )

    async def count(self, next_offset: int = 1, **arms: Tally) -> None:
        """Added to what was counted before, up to that offset of partition 0."""
        async with self.store.transaction(PAYMENTS_TOPIC, [0]) as transaction:
            await transaction.store(
                exposures={},
                arms={(ArmKey(ONE, variant), 0): tally for variant, tally in arms.items()},
                watermarks={0: Watermark(next_offset=next_offset, last_stamp_ms=1)},
            )

    async def look(self) -> None:
        await self.analyzers[0].look()

    @property
    def known(self) -> Experiment:
        return self.experiments.known[ONE]
