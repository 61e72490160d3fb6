"""Judges experiments: pauses what is credibly harmful, concludes what has come to its end.

Whatever it does is an event that carries the numbers. Of several analyzers one acts at a time, and of two events about
one state the second is void. A broken split is told and nothing else: a person finds out what is broken.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import AbstractAsyncContextManager, suppress
from datetime import datetime, timedelta
from typing import Protocol

import structlog
from msgspec import Struct

from commands.experiment import decide
from commands.experiment_judging import End, has_come_to_its_end, looked_at_again, what_follows
from commands.experiment_state import Ended, Experiments, Paused, Running
from infra.kafka.partition import PAYMENT_PARTITIONS
from projections.experiment_finding import found_in
from projections.experiment_results import judged, rules_of
from projections.experiment_retention import forget
from projections.ports import ExposureSink
from projections.reach import reaches
from projections.statistics.verdict import Judgement
from schemas.codec import PAYMENTS_TOPIC
from schemas.errors import Unavailable
from schemas.experiment import ExperimentCommand, ExperimentEvent, Guardrails
from schemas.experiment_finding import Finding
from schemas.exposure import Tally
from schemas.ids import ExperimentId
from schemas.views import Watermark

log = structlog.get_logger(__name__)

LOOK_EVERY_S = 1.0
HEARD_WITHIN_S = 2.0
"""After it has acted, a look ends when its own tail has heard of it, so that the next one knows."""
FORGET_EVERY = timedelta(minutes=1)
"""While there is more to be forgotten than at once, at every look."""
Live = Running | Paused


class Clock(Protocol):
    def now(self) -> datetime: ...

    def event_id(self) -> str: ...


class Store(ExposureSink, Protocol):
    """Raises StoreUnavailable."""

    def turn(self) -> AbstractAsyncContextManager[bool]: ...

    async def changes(self, experiments: Collection[ExperimentId]) -> Mapping[ExperimentId, int]: ...

    async def tallies(
        self, experiment_id: ExperimentId
    ) -> tuple[Mapping[str, Tally], Mapping[int, Watermark]]: ...


class ExperimentLog(Protocol):
    async def append(self, event: ExperimentEvent, event_id: str, caused_by: str) -> None:
        """Raises LogUnavailable, AppendAmbiguous."""


class Look(Struct, frozen=True, kw_only=True):
    """An experiment as it was looked at last."""

    version: int
    changes: int
    judgement: Judgement
    again_at: datetime


class SeenEnd(Struct, frozen=True, kw_only=True):
    at: datetime
    offsets: Mapping[int, int]
    """Where the log ended then."""


class Analysis:
    def __init__(
        self,
        store: Store,
        experiments: Callable[[], Experiments | None],
        experiment_log: ExperimentLog,
        log_ends: Callable[[], Awaitable[Mapping[int, int]]],
        clock: Clock,
        limits: Guardrails,
        heard_within_s: float = HEARD_WITHIN_S,
    ) -> None:
        """`experiments` are None while they are not loaded. `log_ends` are the next offsets of payments' partitions."""
        self._store = store
        self._experiments = experiments
        self._log = experiment_log
        self._log_ends = log_ends
        self._clock = clock
        self._limits = limits
        self._heard_within_s = heard_within_s
        self._ends: dict[ExperimentId, SeenEnd] = {}
        self._forget_at = clock.now()
        self.looks: dict[ExperimentId, Look] = {}
        self.paused_since: dict[ExperimentId, datetime] = {}
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
        """At every experiment that has new outcomes, or whose end or patience comes. Raises Unavailable."""
        if (experiments := self._experiments()) is None:
            self.trouble = "experiments are not loaded"
            return
        live = {key: one for key, one in experiments.known.items() if isinstance(one, Live)}
        self.paused_since = {key: one.changed_at for key, one in live.items() if isinstance(one, Paused)}
        self.looks = {key: one for key, one in self.looks.items() if key in live}
        self._ends = {key: one for key, one in self._ends.items() if key in live}
        failed = None
        async with self._store.turn() as is_ours:
            if is_ours:
                failed = await self._judge_all(live)
                await self._forget(experiments)
        self.trouble = failed

    async def _forget(self, experiments: Experiments) -> None:
        if (now := self._clock.now()) < self._forget_at:
            return
        ended = {key: one.changed_at for key, one in experiments.known.items() if isinstance(one, Ended)}
        if not await forget(self._store, PAYMENTS_TOPIC, PAYMENT_PARTITIONS, ended):
            self._forget_at = now + FORGET_EVERY

    async def _judge_all(self, live: Mapping[ExperimentId, Live]) -> str | None:
        """What went wrong with one of them, which must not keep the others from being judged."""
        failed = None
        changes = await self._store.changes(live)
        for experiment_id, experiment in live.items():
            try:
                if self._is_news(experiment, changes.get(experiment_id, 0)):
                    await self._judge(experiment, changes.get(experiment_id, 0))
            except Unavailable:
                raise
            except Exception as error:
                log.exception("an experiment cannot be judged", experiment=experiment_id)
                failed = f"{experiment_id} cannot be judged: {error}"
        return failed

    def _is_news(self, experiment: Live, changes: int) -> bool:
        look, version = self.looks.get(experiment.experiment_id), experiment.version
        return (
            look is None
            or (look.version, look.changes) != (version, changes)
            or look.again_at <= self._clock.now()
        )

    async def _judge(self, experiment: Live, changes: int) -> None:
        experiment_id, design, now = experiment.experiment_id, experiment.design, self._clock.now()
        tallies, marks = await self._store.tallies(experiment_id)
        judgement = judged(design, tallies, rules_of(design, self._limits))
        before = self.looks.get(experiment_id)
        _tell_of_the_split(experiment_id, before.judgement if before else None, judgement)
        finding = found_in(design, tallies, judgement)
        end = await self._end(experiment, finding, marks, now)
        if (command := what_follows(experiment, finding, end, now)) is not None:
            await self._act(command)
        self.looks[experiment_id] = Look(
            version=experiment.version,
            changes=changes,
            judgement=judgement,
            again_at=looked_at_again(experiment, end, now),
        )

    async def _end(
        self, experiment: Live, finding: Finding, marks: Mapping[int, Watermark], now: datetime
    ) -> End | None:
        seen = self._ends.pop(experiment.experiment_id, None)
        if not has_come_to_its_end(experiment, finding, now):
            return None
        seen = seen or SeenEnd(at=now, offsets=await self._log_ends())
        self._ends[experiment.experiment_id] = seen
        return End(seen_at=seen.at, has_all=reaches(marks, seen.offsets))

    async def _act(self, command: ExperimentCommand) -> None:
        if (experiments := self._experiments()) is None:
            return
        for event in decide(command, experiments):
            event_id = self._clock.event_id()
            await self._log.append(event, event_id, event_id)
            name = type(event).__name__
            self.acted[name] = self.acted.get(name, 0) + 1
            log.warning("an experiment was acted on", experiment=command.experiment_id, what=name)
            await self._heard(command.experiment_id, experiments.known[command.experiment_id].version)

    async def _heard(self, experiment_id: ExperimentId, version: int) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._heard_within_s):
                while True:
                    now = self._experiments()
                    if now is None or now.known[experiment_id].version != version:
                        return
                    await asyncio.sleep(0.02)


def _tell_of_the_split(experiment_id: ExperimentId, before: Judgement | None, now: Judgement) -> None:
    was = before is not None and before.sample_ratio.is_mismatch
    if now.sample_ratio.is_mismatch and not was:
        log.warning(
            "customers are not split as configured: no figure of this experiment is fair",
            experiment=experiment_id,
            observed=now.sample_ratio.observed,
            expected=now.sample_ratio.expected,
        )
