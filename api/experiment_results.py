"""`/experiments/{id}/results` and `/winner`: what an experiment has come to, from the sums of its arms.

One bounded query, whatever the number of payments and customers; the figures are those that the analyzer acts on.
"""

from collections.abc import Callable, Mapping
from typing import Protocol

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from api.answers import json_response
from commands.experiment import found
from commands.experiment_state import Experiment, Experiments, Running, status_of
from commands.ports import Clock
from projections.experiment_answer import ResultsAnswer, WinnerAnswer
from projections.experiment_comparison import Known
from projections.experiment_results import results, rules_of, winner
from schemas.experiment import Guardrails
from schemas.exposure import Tally
from schemas.ids import ExperimentId
from schemas.views import Watermark


class Arms(Protocol):
    async def tallies(
        self, experiment_id: ExperimentId
    ) -> tuple[Mapping[str, Tally], Mapping[int, Watermark]]:
        """Raises StoreUnavailable."""


class ExperimentResults:
    def __init__(
        self, arms: Arms, experiments: Callable[[], Experiments], limits: Guardrails, clock: Clock
    ) -> None:
        """`experiments` raises LogUnavailable while they are not loaded."""
        self._arms = arms
        self._experiments = experiments
        self._limits = limits
        self._clock = clock

    async def results(self, experiment_id: ExperimentId) -> ResultsAnswer:
        """Raises Refused for one that nobody knows, StoreUnavailable, LogUnavailable."""
        known = _known(found(self._experiments(), experiment_id))
        tallies, marks = await self._arms.tallies(experiment_id)
        next_offsets = {partition: mark.next_offset for partition, mark in marks.items()}
        rules = rules_of(known.design, self._limits)
        return results(known, tallies, next_offsets, rules, self._clock.now())

    async def winner(self, experiment_id: ExperimentId) -> WinnerAnswer:
        """Raises as above."""
        known = _known(found(self._experiments(), experiment_id))
        tallies, _ = await self._arms.tallies(experiment_id)
        return winner(known, tallies, rules_of(known.design, self._limits))


class ExperimentResultRoutes:
    def __init__(self, experiments: ExperimentResults) -> None:
        self._experiments = experiments

    def routes(self) -> list[Route]:
        return [
            Route("/experiments/{experiment_id}/results", self.results, methods=["GET"]),
            Route("/experiments/{experiment_id}/winner", self.winner, methods=["GET"]),
        ]

    async def results(self, request: Request) -> Response:
        return json_response(
            await self._experiments.results(ExperimentId(request.path_params["experiment_id"]))
        )

    async def winner(self, request: Request) -> Response:
        return json_response(
            await self._experiments.winner(ExperimentId(request.path_params["experiment_id"]))
        )


def _known(experiment: Experiment) -> Known:
    return Known(
        experiment_id=experiment.experiment_id,
        design=experiment.design,
        status=status_of(experiment),
        started_at=experiment.started_at,
        paused_for=experiment.paused_for,
        ended_at=None if isinstance(experiment, Running) else experiment.changed_at,
        acted_on=experiment.evidence,
    )
