"""Judges running experiments: pauses what is credibly harmful, concludes what has come to its planned end.

Whatever it does is an event that carries the numbers. Of several analyzers one acts at a time, and of two events about
one state the second is void. A broken split is told and nothing else: a person finds out what is broken.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractAsyncContextManager, suppress
from datetime import datetime
from typing import Protocol

import structlog
from msgspec import Struct

from commands.experiment import decide
from commands.experiment_state import Experiments, Running
from projections.experiment_results import evidence, judged, rules_of
from projections.statistics.verdict import Judgement, Verdict
from schemas.errors import Unavailable
from schemas.experiment import (
    ConcludeExperiment,
    ExperimentCommand,
    ExperimentEvent,
    Guardrails,
    PauseExperiment,
)
from schemas.exposure import Tally
from schemas.ids import ExperimentId
from schemas.views import Watermark

log = structlog.get_logger(__name__)

LOOK_EVERY_S = 1.0
HEARD_WITHIN_S = 2.0
"""After it has acted, a look ends when its own tail has heard of it, so that the next one knows."""
BY = "experiment_analyzer"


class Clock(Protocol):
    def now(self) -> datetime: ...

    def event_id(self) -> str: ...


class Store(Protocol):
    """Raises StoreUnavailable."""

    def turn(self) -> AbstractAsyncContextManager[bool]: ...

    async def changes(self, experiments: Collection[ExperimentId]) -> Mapping[ExperimentId, int]: ...

    async def tallies(
        self, experiment_id: ExperimentId
    ) -> tuple[Mapping[str, Tally], Mapping[int, Watermark]]: ...


class ExperimentLog(Protocol):
    async def append(self, event: ExperimentEvent, event_id: str, caused_by: str) -> None:
        """Raises LogUnavailable, AppendAmbiguous."""


class Judged(Struct, frozen=True, kw_only=True):
    """A running experiment as it was judged last."""

    changes: int
    judgement: Judgement


class Analysis:
    def __init__(
        self,
        store: Store,
        experiments: Callable[[], Experiments | None],
        experiment_log: ExperimentLog,
        clock: Clock,
        limits: Guardrails,
        heard_within_s: float = HEARD_WITHIN_S,
    ) -> None:
        """`experiments` are None while they are not loaded."""
        self._store = store
        self._experiments = experiments
        self._log = experiment_log
        self._clock = clock
        self._limits = limits
        self._heard_within_s = heard_within_s
        self.judged: dict[ExperimentId, Judged] = {}
        self.acted: dict[str, int] = {}
        """How often, by the event's name."""
        self.trouble: str | None = None
        """Why experiments are not judged."""

    async def run(self) -> None:
        while True:
            try:
                await self.look()
            except Unavailable as error:
                self.trouble = f"experiments are not judged: {error}"
                log.warning("experiments are not judged", reason=str(error))
            await asyncio.sleep(LOOK_EVERY_S)

    async def look(self) -> None:
        """At every running experiment that has new outcomes or has come to its end. Raises Unavailable."""
        if (experiments := self._experiments()) is None:
            self.trouble = "experiments are not loaded"
            return
        running = {key: one for key, one in experiments.known.items() if isinstance(one, Running)}
        self.judged = {key: one for key, one in self.judged.items() if key in running}
        failed = None
        if running:
            async with self._store.turn() as is_ours:
                if is_ours:
                    failed = await self._judge_all(running)
        self.trouble = failed

    async def _judge_all(self, running: Mapping[ExperimentId, Running]) -> str | None:
        """What went wrong with one of them, which must not keep the others from being judged."""
        failed = None
        changes = await self._store.changes(running)
        for experiment_id, experiment in running.items():
            known = self.judged.get(experiment_id)
            is_news = known is None or known.changes != changes.get(experiment_id, 0)
            if not (is_news or self._is_over(experiment)):
                continue
            try:
                await self._judge(experiment, changes.get(experiment_id, 0))
            except Unavailable:
                raise
            except Exception as error:
                log.exception("an experiment cannot be judged", experiment=experiment_id)
                failed = f"{experiment_id} cannot be judged: {error}"
        return failed

    async def _judge(self, experiment: Running, changes: int) -> None:
        tallies, _ = await self._store.tallies(experiment.experiment_id)
        judgement = judged(experiment.design, tallies, rules_of(experiment.design, self._limits))
        before = self.judged.get(experiment.experiment_id)
        _tell_of_the_split(experiment.experiment_id, before.judgement if before else None, judgement)
        command = command_for(experiment, tallies, judgement, is_over=self._is_over(experiment))
        if command is not None:
            await self._act(command)
        self.judged[experiment.experiment_id] = Judged(changes=changes, judgement=judgement)

    async def _act(self, command: ExperimentCommand) -> None:
        if (experiments := self._experiments()) is None:
            return
        for event in decide(command, experiments):
            event_id = self._clock.event_id()
            await self._log.append(event, event_id, event_id)
            name = type(event).__name__
            self.acted[name] = self.acted.get(name, 0) + 1
            log.warning("an experiment was acted on", experiment=command.experiment_id, what=name)
            await self._heard(command.experiment_id)

    async def _heard(self, experiment_id: ExperimentId) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._heard_within_s):
                while True:
                    now = self._experiments()
                    if now is None or not isinstance(now.known.get(experiment_id), Running):
                        return
                    await asyncio.sleep(0.02)

    def _is_over(self, experiment: Running) -> bool:
        return self._clock.now() >= experiment.planned_end


def command_for(
    experiment: Running, tallies: Mapping[str, Tally], judgement: Judgement, *, is_over: bool
) -> PauseExperiment | ConcludeExperiment | None:
    """What is to be done about it; harm comes first, and a broken split stops nobody from seeing it.

    The end is the planned time, or the planned sample in every arm that is compared: after it the winner's test only
    grows weaker.
    """
    design = experiment.design
    harmful = [one for one in judgement.treatments if one.verdict == Verdict.HARMFUL]
    if harmful:
        names = ", ".join(one.variant for one in harmful)
        return PauseExperiment(
            experiment_id=experiment.experiment_id,
            by=BY,
            note=f"Credibly harmful: {names}.",
            evidence=evidence(design, tallies, judgement, Verdict.HARMFUL),
        )
    has_sample = all(one.winning.reached >= 1 for one in judgement.treatments)
    if is_over or (has_sample and judgement.treatments):
        return ConcludeExperiment(
            experiment_id=experiment.experiment_id,
            by=BY,
            evidence=evidence(design, tallies, judgement, judgement.verdict),
        )
    return None


def _tell_of_the_split(experiment_id: ExperimentId, before: Judgement | None, now: Judgement) -> None:
    was = before is not None and before.sample_ratio.is_mismatch
    if now.sample_ratio.is_mismatch and not was:
        log.warning(
            "customers are not split as configured: no figure of this experiment is fair",
            experiment=experiment_id,
            observed=now.sample_ratio.observed,
            expected=now.sample_ratio.expected,
        )
