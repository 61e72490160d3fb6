"""How an experiment looks from outside: what it is, where it stands, and who had it so, when and why."""

from datetime import datetime
from typing import Literal, assert_never

from commands.experiment_state import Ended, Experiment, Paused, Running
from schemas.base import Value
from schemas.experiment import BUCKETS, Allocation, Design, Evidence
from schemas.ids import ExperimentId

Status = Literal["RUNNING", "PAUSED", "STOPPED", "CONCLUDED"]


class ExperimentAnswer(Value, frozen=True, kw_only=True):
    """`shares` are those of all customers whom the filter lets in, by variant; of an ended one, as they were."""

    experiment_id: ExperimentId
    status: Status
    design: Design
    shares: dict[str, float]
    salt: str
    allocation: Allocation
    started_at: datetime
    started_by: str
    changed_at: datetime
    changed_by: str
    note: str
    """Of the last change."""
    evidence: Evidence | None
    """The numbers by which it was paused or concluded; None where a person did it."""
    version: int


class ExperimentsAnswer(Value, frozen=True, kw_only=True):
    """The newest first. `next` is the `after` of the next page; None at the end."""

    experiments: tuple[ExperimentAnswer, ...]
    next: ExperimentId | None


def experiment_answer(experiment: Experiment) -> ExperimentAnswer:
    return ExperimentAnswer(
        experiment_id=experiment.experiment_id,
        status=status_of(experiment),
        design=experiment.design,
        shares={variant.name: _share(experiment, variant.name) for variant in experiment.design.variants},
        salt=experiment.salt,
        allocation=experiment.allocation,
        started_at=experiment.started_at,
        started_by=experiment.started_by,
        changed_at=experiment.changed_at,
        changed_by=experiment.changed_by,
        note=experiment.note,
        evidence=None if isinstance(experiment, Running) else experiment.evidence,
        version=experiment.version,
    )


def status_of(experiment: Experiment) -> Status:
    match experiment:
        case Running():
            return "RUNNING"
        case Paused():
            return "PAUSED"
        case Ended(evidence=None):
            return "STOPPED"
        case Ended():
            return "CONCLUDED"
        case _:
            assert_never(experiment)


def _share(experiment: Experiment, variant: str) -> float:
    return sum(part.end - part.first for part in experiment.allocation if part.variant == variant) / BUCKETS
