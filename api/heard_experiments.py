"""Which experiments there are, as this process has heard it from the log."""

from collections.abc import Callable
from typing import cast

from api.live_configuration import Tail, Take
from commands.experiment_state import INITIAL, Experiments, evolve
from schemas.base import Event
from schemas.envelope import Recorded
from schemas.errors import LogUnavailable
from schemas.experiment import ExperimentEvent


class HeardExperiments:
    def __init__(self, open_tail: Callable[[Take], Tail]) -> None:
        self.current: Experiments = INITIAL
        self.tail = open_tail(self.take)

    def take(self, record: Recorded[Event]) -> None:
        self.current = evolve(self.current, cast("Recorded[ExperimentEvent]", record))

    def loaded(self) -> Experiments:
        if not self.tail.is_caught_up:
            raise LogUnavailable("experiments are not loaded yet")
        return self.current
