"""What is known of experiments: the fold of `experiments.events.v1`, which is the judge between two who act at once."""

from datetime import datetime
from typing import assert_never

import msgspec
from msgspec.structs import asdict, replace

from schemas.base import Value
from schemas.envelope import Recorded
from schemas.experiment import (
    Allocation,
    Design,
    Evidence,
    ExperimentConcluded,
    ExperimentEvent,
    ExperimentPaused,
    ExperimentResumed,
    ExperimentStarted,
    ExperimentStopped,
    RunningExperiment,
)
from schemas.ids import ExperimentId


class Begun(Value, frozen=True, kw_only=True):
    experiment_id: ExperimentId
    design: Design
    salt: str
    allocation: Allocation
    started_at: datetime
    started_by: str
    changed_at: datetime
    changed_by: str
    note: str


class Running(Begun, frozen=True, kw_only=True):
    """Customers in its buckets are routed by their variant."""


class Paused(Begun, frozen=True, kw_only=True):
    """Its buckets are kept, and nobody is routed otherwise."""

    evidence: Evidence | None


class Ended(Begun, frozen=True, kw_only=True):
    """For good; its buckets are free."""

    evidence: Evidence | None
    """None where a person stopped it."""


Experiment = Running | Paused | Ended


class Experiments(Value, frozen=True, kw_only=True):
    known: dict[ExperimentId, Experiment] = msgspec.field(default_factory=dict)
    """In the order in which they were started."""
    running: tuple[RunningExperiment, ...] = ()
    """As routing asks them: the oldest first."""
    version: int = 0
    """The offset after the last event that counted."""


INITIAL = Experiments()


def evolve(experiments: Experiments, record: Recorded[ExperimentEvent]) -> Experiments:
    """A void event changes nothing."""
    if is_void(experiments, record):
        return experiments
    event, at = record.event, record.envelope.at
    known = {**experiments.known, event.experiment_id: _after(experiments, event, at)}
    return Experiments(
        known=known,
        running=tuple(_as_routed(one) for one in known.values() if isinstance(one, Running)),
        version=record.position.offset + 1,
    )


def is_void(experiments: Experiments, record: Recorded[ExperimentEvent]) -> bool:
    """Whether it is about a state that it does not follow from: somebody else was faster, or it was told twice."""
    if record.is_void:
        return True
    event = record.event
    before = experiments.known.get(event.experiment_id)
    match event:
        case ExperimentStarted():
            return before is not None or overlaps(experiments, event)
        case ExperimentPaused():
            return not isinstance(before, Running)
        case ExperimentResumed():
            return not isinstance(before, Paused) or overlaps(experiments, event)
        case ExperimentStopped() | ExperimentConcluded():
            return before is None or isinstance(before, Ended)
        case _:
            assert_never(event)


def overlaps(experiments: Experiments, event: ExperimentStarted | ExperimentResumed) -> bool:
    """Whether a bucket would be in two experiments of one salt."""
    begun = experiments.known.get(event.experiment_id)
    salt = event.salt if isinstance(event, ExperimentStarted) else begun.salt if begun is not None else ""
    return any(
        one.first < other.end and other.first < one.end
        for one in event.allocation
        for other in taken(experiments, salt, but=event.experiment_id)
    )


def taken(experiments: Experiments, salt: str, but: ExperimentId | None = None) -> Allocation:
    """The buckets that experiments of this salt hold, by ascending buckets; a paused one keeps its own."""
    held = [
        part
        for one in experiments.known.values()
        if one.salt == salt and one.experiment_id != but and not isinstance(one, Ended)
        for part in one.allocation
    ]
    return tuple(sorted(held, key=lambda part: part.first))


def _after(experiments: Experiments, event: ExperimentEvent, at: datetime) -> Experiment:
    if isinstance(event, ExperimentStarted):
        return Running(
            experiment_id=event.experiment_id,
            design=event.design,
            salt=event.salt,
            allocation=event.allocation,
            started_at=at,
            started_by=event.by,
            changed_at=at,
            changed_by=event.by,
            note=event.note,
        )
    note = "" if isinstance(event, ExperimentConcluded) else event.note
    begun = replace(
        _begun(experiments.known[event.experiment_id]), changed_at=at, changed_by=event.by, note=note
    )
    match event:
        case ExperimentPaused():
            return Paused(**asdict(begun), evidence=event.evidence)
        case ExperimentResumed():
            return Running(**asdict(replace(begun, allocation=event.allocation)))
        case ExperimentStopped():
            return Ended(**asdict(begun), evidence=None)
        case ExperimentConcluded():
            return Ended(**asdict(begun), evidence=event.evidence)
        case _:
            assert_never(event)


def _begun(experiment: Experiment) -> Begun:
    return Begun(**{name: getattr(experiment, name) for name in Begun.__struct_fields__})


def _as_routed(running: Running) -> RunningExperiment:
    return RunningExperiment(
        experiment_id=running.experiment_id,
        salt=running.salt,
        allocation=running.allocation,
        filter=running.design.filter,
        variants=running.design.variants,
    )
