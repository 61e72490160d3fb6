"""Which experiments there are, as this process has heard it from the log, and the way to act on them."""

from collections.abc import Callable

import structlog

from api.live_fold import CONFIRMED_WITHIN_S, LiveFold, TopicLog
from api.ports import Proof
from commands.experiment import decide
from commands.experiment_state import INITIAL, Experiments, evolve, is_void, live_unread
from commands.ports import Clock
from projections.ports import Tail, Take
from schemas.errors import Refusal, Refused
from schemas.experiment import ExperimentCommand, ExperimentEvent, HeardOfExperiments

log = structlog.get_logger(__name__)


class LiveExperiments(LiveFold[Experiments, HeardOfExperiments, ExperimentEvent]):
    def __init__(
        self,
        open_tail: Callable[[Take], Tail],
        experiment_log: TopicLog[ExperimentEvent],
        clock: Clock,
        confirmed_within_s: float = CONFIRMED_WITHIN_S,
    ) -> None:
        super().__init__(INITIAL, evolve, is_void, open_tail, experiment_log, clock, confirmed_within_s)

    async def check(self) -> Proof:
        return self.proof(self.current.version, live_unread(self.current))

    async def obey(self, command: ExperimentCommand, request_id: str) -> Experiments:
        """The experiments as the command leaves them, in this process. Raises Refused when the state does not allow it,
        or when it cannot be told in time whether it counts; LogUnavailable: nothing was done."""
        experiments = self.loaded()
        for event in decide(command, experiments):
            after = await self.add(event, request_id)
            if after is None:
                return self._after_another(command)
            experiments = after
            log.info("experiment", what=type(event).__name__, id=event.experiment_id, by=event.by)
        return experiments

    def _after_another(self, command: ExperimentCommand) -> Experiments:
        """Whoever was faster may have done just what was asked for."""
        if decide(command, self.current):
            raise Refused(
                Refusal.EXPERIMENT_CONFLICT, "Somebody else acted at the same moment: look at it first."
            )
        return self.current
