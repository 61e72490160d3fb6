"""What may be done with experiments: started, paused, resumed, stopped, concluded, each as an event.

An ended experiment is not started again: whoever wants it again starts a new one, whose customers are divided anew.
"""

from typing import assert_never

from commands.experiment_state import Ended, Experiment, Experiments, Paused, Running, taken
from commands.routing.assignment import allocated
from schemas.errors import Refusal, Refused
from schemas.experiment import (
    BUCKETS,
    MOST_RUNNING,
    Allocation,
    ConcludeExperiment,
    ExperimentCommand,
    ExperimentConcluded,
    ExperimentEvent,
    ExperimentPaused,
    ExperimentResumed,
    ExperimentStarted,
    ExperimentStopped,
    PauseExperiment,
    ResumeExperiment,
    StartExperiment,
    StopExperiment,
)
from schemas.ids import ExperimentId

_OTHERS = ""
"""Stands for whoever else holds a bucket of the same group, while buckets are given out."""


def decide(command: ExperimentCommand, experiments: Experiments) -> list[ExperimentEvent]:
    """What is as it should be is `[]`. Raises Refused for what cannot be done in the state."""
    match command:
        case StartExperiment():
            return _start(command, experiments)
        case PauseExperiment():
            return _pause(command, found(experiments, command.experiment_id))
        case ResumeExperiment():
            return _resume(command, experiments)
        case StopExperiment():
            return _stop(command, found(experiments, command.experiment_id))
        case ConcludeExperiment():
            return _conclude(command, found(experiments, command.experiment_id))
        case _:
            assert_never(command)


def found(experiments: Experiments, experiment_id: ExperimentId) -> Experiment:
    if (experiment := experiments.known.get(experiment_id)) is None:
        raise Refused(Refusal.EXPERIMENT_NOT_FOUND, "There is no such experiment.")
    return experiment


def _start(command: StartExperiment, experiments: Experiments) -> list[ExperimentEvent]:
    if len(experiments.running) >= MOST_RUNNING:
        raise Refused(Refusal.EXPERIMENT_CONFLICT, f"{MOST_RUNNING} experiments run already: stop one first.")
    design = command.design
    salt = design.group if design.group is not None else command.experiment_id
    weights = {variant.name: variant.weight for variant in design.variants}
    return [
        ExperimentStarted(
            experiment_id=command.experiment_id,
            design=design,
            salt=salt,
            allocation=_given_out(weights, taken(experiments, salt), ()),
            by=command.by,
            note=command.note,
        )
    ]


def _pause(command: PauseExperiment, experiment: Experiment) -> list[ExperimentEvent]:
    if isinstance(experiment, Ended):
        raise _has_ended()
    if isinstance(experiment, Paused):
        return []
    return [
        ExperimentPaused(
            experiment_id=command.experiment_id,
            by=command.by,
            note=command.note,
            evidence=command.evidence,
        )
    ]


def _resume(command: ResumeExperiment, experiments: Experiments) -> list[ExperimentEvent]:
    experiment = found(experiments, command.experiment_id)
    if isinstance(experiment, Ended):
        raise _has_ended()
    if isinstance(experiment, Running):
        if command.scale != 1:
            raise Refused(Refusal.EXPERIMENT_CONFLICT, "Pause it first: weights change when it is resumed.")
        return []
    weights = {
        variant.name: _held(experiment.allocation, variant.name) for variant in experiment.design.variants
    }
    allocation = _given_out(
        {name: round(weight * command.scale) for name, weight in weights.items()},
        taken(experiments, experiment.salt, but=experiment.experiment_id),
        experiment.allocation,
    )
    return [
        ExperimentResumed(
            experiment_id=command.experiment_id, allocation=allocation, by=command.by, note=command.note
        )
    ]


def _stop(command: StopExperiment, experiment: Experiment) -> list[ExperimentEvent]:
    if isinstance(experiment, Ended):
        return []
    return [ExperimentStopped(experiment_id=command.experiment_id, by=command.by, note=command.note)]


def _conclude(command: ConcludeExperiment, experiment: Experiment) -> list[ExperimentEvent]:
    if isinstance(experiment, Ended):
        return []
    return [
        ExperimentConcluded(experiment_id=command.experiment_id, by=command.by, evidence=command.evidence)
    ]


def _given_out(weights: dict[str, int], others: Allocation, before: Allocation) -> Allocation:
    """Buckets for every variant, none of which another experiment of the group holds."""
    held = sum(part.end - part.first for part in others)
    if sum(weights.values()) > BUCKETS - held:
        raise Refused(
            Refusal.EXPERIMENT_CONFLICT,
            f"Its weights are {sum(weights.values())} buckets in all, and {BUCKETS - held} are free.",
        )
    blocked = tuple(part.__class__(variant=_OTHERS, first=part.first, end=part.end) for part in others)
    everybody = tuple(sorted((*blocked, *before), key=lambda part: part.first))
    given = allocated({_OTHERS: held, **weights}, everybody)
    return tuple(part for part in given if part.variant != _OTHERS)


def _held(allocation: Allocation, variant: str) -> int:
    return sum(part.end - part.first for part in allocation if part.variant == variant)


def _has_ended() -> Refused:
    return Refused(Refusal.EXPERIMENT_CONFLICT, "It has ended for good: start a new one.")
