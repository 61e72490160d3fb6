"""Experiments in memory: a store, a topic that is heard at once, and analyzers that share both."""

from datetime import datetime

from commands.experiment import decide
from commands.experiment_state import INITIAL, Experiment, Experiments, evolve
from infra.memory.experiments import MemoryExperiments
from schemas.codec import EXPERIMENTS_TOPIC, PAYMENTS_TOPIC
from schemas.envelope import Position, Recorded, unowned
from schemas.errors import LogUnavailable
from schemas.experiment import Design, ExperimentCommand, ExperimentEvent, Guardrails, StartExperiment
from schemas.exposure import ArmKey, Tally
from schemas.ids import ExperimentId
from schemas.views import Watermark
from streams.experiment_analysis import Analysis
from tests.builders import AT

ONE = ExperimentId("exp_1")


class Clock:
    def __init__(self) -> None:
        self.at: datetime = AT
        self._ids = 0

    def now(self) -> datetime:
        return self.at

    def event_id(self) -> str:
        self._ids += 1
        return f"evt_{self._ids}"


class World:
    """A store and a log of experiments in memory, and the analyzers that share them."""

    def __init__(self) -> None:
        self.clock, self.store = Clock(), MemoryExperiments()
        self.experiments: Experiments = INITIAL
        self.events: list[ExperimentEvent] = []
        self.is_away = False
        self.log_ends: dict[int, int] = {}
        self.analyzers = [self.another() for _ in range(2)]

    def another(self) -> Analysis:
        return Analysis(
            self.store, lambda: self.experiments, self, self.ends_of_the_log, self.clock, Guardrails(), 0.1
        )

    async def ends_of_the_log(self) -> dict[int, int]:
        return self.log_ends

    async def append(self, event: ExperimentEvent, event_id: str, caused_by: str) -> None:
        if self.is_away:
            raise LogUnavailable("away")
        self.events.append(event)
        record = Recorded(
            envelope=unowned(event_id, event.experiment_id, self.clock.at, correlation_id=caused_by),
            event=event,
            position=Position(topic=EXPERIMENTS_TOPIC, partition=0, offset=len(self.events)),
            stamp_ms=1,
        )
        self.experiments = evolve(self.experiments, record)

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
