"""`experiments.events.v1` in memory."""

from infra.memory.topic import MemoryTopic
from schemas.codec import EXPERIMENTS_TOPIC
from schemas.experiment import ExperimentEvent


class MemoryExperimentsTopic(MemoryTopic[ExperimentEvent]):
    def __init__(self) -> None:
        super().__init__(EXPERIMENTS_TOPIC, lambda event: event.experiment_id)
