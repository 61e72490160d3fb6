"""Judges experiments: pauses what is credibly harmful, concludes what has come to its end.

Whatever it does is an event that carries the numbers. Of several analyzers one acts at a time, on all that the log has
by then, and of two events about one state the second is void. A broken split is told and nothing else: a person finds
out what is broken.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from contextlib import AbstractAsyncContextManager
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
from schemas.experiment_end import SeenEnd
from schemas.experiment_finding import Finding
from schemas.exposure import Tally
from schemas.ids import ExperimentId
from schemas.views import Watermark

log = structlog.get_logger(__name__)

LOOK_EVERY_S = 1.0
JUDGED_WITHIN_S = 30.0
"""Somebody has judged them by then, or a person has to look: whoever stands still loses the turn after a half of it."""
FORGET_EVERY = timedelta(minutes=1)
"""While there is more to be forgotten than at once, at every look."""
Live = Running | Paused


class Clock(Protocol):
    def now(self) -> datetime: ...

    def elapsed_ms(self) -> float: ...

    def event_id(self) -> str: ...


class Heard(Protocol):
    """Experiments as this process has heard of them."""

    @property
    def current(self) -> Experiments: ...

    @property
    def counted(self) -> Mapping[str, int]:
        """Events of this process that were heard and count, by name."""

    @property
    def is_current(self) -> bool: ...

    @property
    def trouble(self) -> str | None:
        """What may be missing, or cannot be read."""

    async def newest(self) -> Experiments:
        """With all that was on the log when this was asked. Raises LogUnavailable."""

    def expect(self, event_id: str) -> None: ...


class Store(ExposureSink, Protocol):
    """Raises StoreUnavailable."""

    def turn(self) -> AbstractAsyncContextManager[bool]: ...

    async def since_last_turn_s(self) -> float | None: ...

    async def ends(self, experiments: Collection[ExperimentId]) -> Mapping[ExperimentId, SeenEnd]: ...

    async def keep_end(self, experiment_id: ExperimentId, end: SeenEnd) -> None: ...

    async def forget_end(self, experiment_id: ExperimentId, version: int) -> None: ...

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


class Analysis:
    def __init__(
        self,
        store: Store,
        heard: Heard,
        experiment_log: ExperimentLog,
        log_ends: Callable[[], Awaitable[Mapping[int, int]]],
        clock: Clock,
        limits: Guardrails,
    ) -> None:
        """`log_ends` are the next offsets of payments' partitions."""
        self._store = store
        self._heard = heard
        self._log = experiment_log
        self._log_ends = log_ends
        self._clock = clock
        self._limits = limits
        self._forget_at = clock.now()
        self._judged_at_ms = clock.elapsed_ms()
        self._interruption: str | None = None
        self._unjudged: dict[ExperimentId, str] = {}
        self.looks: dict[ExperimentId, Look] = {}
        self.paused_since: dict[ExperimentId, datetime] = {}

    async def run(self) -> None:
        while True:
            try:
                await self.look()
            except Unavailable as error:
                self._interruption = f"experiments are not judged: {error}"
                log.warning("experiments are not judged", reason=str(error))
            await asyncio.sleep(LOOK_EVERY_S)

    @property
    def acted(self) -> Mapping[str, int]:
        """How often, by the event's name."""
        return self._heard.counted

    @property
    def judged_s_ago(self) -> float:
        """By anybody this process knows of; since its own start, where it knows of nobody."""
        return (self._clock.elapsed_ms() - self._judged_at_ms) / 1000

    @property
    def trouble(self) -> str | None:
        """Why experiments are not judged, or not all of them."""
        return "; ".join(self._troubles()) or None

    def _troubles(self) -> Iterator[str]:
        if (unheard := self._heard.trouble) is not None:
            yield unheard
        if self._interruption is not None:
            yield self._interruption
        for experiment_id, why in self._unjudged.items():
            yield f"{experiment_id} cannot be judged: {why}"
        if self.judged_s_ago > JUDGED_WITHIN_S:
            yield f"nobody has judged experiments for {self.judged_s_ago:.0f} s"

    async def look(self) -> None:
        """At every experiment that has new outcomes, or whose end or patience comes. Raises Unavailable."""
        self._keep_what_lives(self._heard.current)
        if self._heard.is_current and await self._judge_in_turn():
            self._interruption = None
            self._judged_at_ms = self._clock.elapsed_ms()
        elif (since_s := await self._store.since_last_turn_s()) is not None:
            self._judged_at_ms = max(self._judged_at_ms, self._clock.elapsed_ms() - since_s * 1000)

    async def _judge_in_turn(self) -> bool:
        """Whether it was ours. Who lags behind the log does not ask, and takes it from nobody who knows more."""
        async with self._store.turn() as is_ours:
            if not is_ours:
                return False
            experiments = await self._heard.newest()
            await self._judge_all(self._keep_what_lives(experiments))
        await self._forget(experiments)
        return True

    def _keep_what_lives(self, experiments: Experiments) -> Mapping[ExperimentId, Live]:
        live = {key: one for key, one in experiments.known.items() if isinstance(one, Live)}
        self.paused_since = {key: one.changed_at for key, one in live.items() if isinstance(one, Paused)}
        self.looks = {key: one for key, one in self.looks.items() if key in live}
        self._unjudged = {key: why for key, why in self._unjudged.items() if key in live}
        return live

    async def _forget(self, experiments: Experiments) -> None:
        if (now := self._clock.now()) < self._forget_at:
            return
        ended = {key: one.changed_at for key, one in experiments.known.items() if isinstance(one, Ended)}
        try:
            if not await forget(self._store, PAYMENTS_TOPIC, PAYMENT_PARTITIONS, ended):
                self._forget_at = now + FORGET_EVERY
        except Unavailable as error:  # all are judged; this can wait
            self._forget_at = now + FORGET_EVERY
            log.warning("nothing is forgotten of ended experiments", reason=str(error))

    async def _judge_all(self, live: Mapping[ExperimentId, Live]) -> None:
        """What goes wrong with one of them keeps no other from being judged, and is told until it goes well."""
        changes, ends = await self._store.changes(live), await self._store.ends(live)
        for experiment_id, experiment in live.items():
            try:
                if self._is_news(experiment, changes.get(experiment_id, 0)):
                    await self._judge(experiment, changes.get(experiment_id, 0), ends.get(experiment_id))
                    self._unjudged.pop(experiment_id, None)
            except Unavailable:
                raise
            except Exception as error:
                log.exception("an experiment cannot be judged", experiment=experiment_id)
                self._unjudged[experiment_id] = str(error)

    def _is_news(self, experiment: Live, changes: int) -> bool:
        look, version = self.looks.get(experiment.experiment_id), experiment.version
        return (
            look is None
            or (look.version, look.changes) != (version, changes)
            or look.again_at <= self._clock.now()
        )

    async def _judge(self, experiment: Live, changes: int, seen: SeenEnd | None) -> None:
        experiment_id, design = experiment.experiment_id, experiment.design
        if seen is not None and seen.version != experiment.version:
            seen = None
        # A clock that is behind does not take back the end that somebody has seen.
        now = self._clock.now()
        at = now if seen is None else max(now, seen.at)
        tallies, marks = await self._store.tallies(experiment_id)
        rules = rules_of(design, self._limits)
        judgement = judged(design, tallies, rules)
        before = self.looks.get(experiment_id)
        _tell_of_the_split(experiment_id, before.judgement if before else None, judgement)
        offsets = {partition: mark.next_offset for partition, mark in marks.items()}
        finding = found_in(design, tallies, judgement, rules, offsets)
        end = await self._end(experiment, finding, marks, seen, at)
        if (command := what_follows(experiment, finding, end, at)) is not None:
            await self._act(command)
        self.looks[experiment_id] = Look(
            version=experiment.version,
            changes=changes,
            judgement=judgement,
            again_at=looked_at_again(experiment, end, now),
        )

    async def _end(
        self,
        experiment: Live,
        finding: Finding,
        marks: Mapping[int, Watermark],
        seen: SeenEnd | None,
        at: datetime,
    ) -> End | None:
        experiment_id, version = experiment.experiment_id, experiment.version
        if not has_come_to_its_end(experiment, finding, at):
            if seen is not None:
                await self._store.forget_end(experiment_id, version)
            return None
        if seen is None:
            seen = SeenEnd(version=version, at=at, offsets=dict(await self._log_ends()))
            await self._store.keep_end(experiment_id, seen)
        return End(seen_at=seen.at, has_all=reaches(marks, seen.offsets))

    async def _act(self, command: ExperimentCommand) -> None:
        """On what was heard meanwhile, too."""
        for event in decide(command, self._heard.current):
            event_id = self._clock.event_id()
            self._heard.expect(event_id)
            await self._log.append(event, event_id, event_id)
            log.warning(
                "an experiment was acted on", experiment=command.experiment_id, what=type(event).__name__
            )


def _tell_of_the_split(experiment_id: ExperimentId, before: Judgement | None, now: Judgement) -> None:
    was = before is not None and before.sample_ratio.is_mismatch
    if now.sample_ratio.is_mismatch and not was:
        log.warning(
            "customers are not split as configured: no figure of this experiment is fair",
            experiment=experiment_id,
            observed=now.sample_ratio.observed,
            expected=now.sample_ratio.expected,
        )
