"""What may be done with experiments: started, paused, resumed, stopped, concluded, each as an event.

An ended experiment is not started again: whoever wants it again starts a new one, whose customers are divided anew.
"""

from typing import assert_never

from commands.experiment_buckets import first_allocation, recorded, scaled_allocation, size
from commands.experiment_state import Ended, Experiment, Experiments, Paused, Running, is_full, named
from schemas.errors import Refusal, Refused
from schemas.experiment import (
    MOST_RUNNING,
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
    if experiment_id in experiments.unread:
        raise _is_unread()
    if (experiment := experiments.known.get(experiment_id)) is None:
        raise Refused(Refusal.EXPERIMENT_NOT_FOUND, "There is no such experiment.")
    return experiment


def _start(command: StartExperiment, experiments: Experiments) -> list[ExperimentEvent]:
    """`[]` where it has been started already, by whoever asked for the same before."""
    design = recorded(command.design)
    if (held := named(experiments, design.name)) is not None:
        if found(experiments, held).design == design:
            return []
        raise Refused(
            Refusal.EXPERIMENT_CONFLICT,
            f"{held} has this name and another design: take another name, or stop it.",
        )
    _require_room(experiments)
    salt = design.group if design.group is not None else command.experiment_id
    return [
        ExperimentStarted(
            experiment_id=command.experiment_id,
            design=design,
            salt=salt,
            allocation=first_allocation(experiments, command.experiment_id, salt, design),
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
            held = size(experiment.allocation)
            raise Refused(
                Refusal.EXPERIMENT_CONFLICT,
                f"It runs already, with {held} buckets in all: pause it first if it is to have more.",
            )
        return []
    if command.scale < 1:
        raise Refused(
            Refusal.EXPERIMENT_CONFLICT,
            "Weights only grow: buckets that were given back could come to another variant, with their customers.",
        )
    _require_room(experiments)
    return [
        ExperimentResumed(
            experiment_id=command.experiment_id,
            allocation=scaled_allocation(experiments, experiment, command.scale),
            by=command.by,
            note=command.note,
        )
    ]


def _stop(command: StopExperiment, experiment: Experiment) -> list[ExperimentEvent]:
    if isinstance(experiment, Ended):
        return []
    return [ExperimentStopped(experiment_id=command.experiment_id, by=command.by, note=command.note)]


def _conclude(command: ConcludeExperiment, experiment: Experiment) -> list[ExperimentEvent]:
    """`[]` also where somebody has paused or resumed it meanwhile: then it is to be judged anew."""
    if isinstance(experiment, Ended) or experiment.version != command.follows_version:
        return []
    return [
        ExperimentConcluded(
            experiment_id=command.experiment_id,
            by=command.by,
            evidence=command.evidence,
            follows_version=command.follows_version,
        )
    ]


def _require_room(experiments: Experiments) -> None:
    if is_full(experiments):
        raise Refused(
            Refusal.EXPERIMENT_CONFLICT, f"{MOST_RUNNING} experiments run already: pause or stop one first."
        )


def _is_unread() -> Refused:
    return Refused(
        Refusal.EXPERIMENT_CONFLICT,
        "A newer version of this service designed it, and this process is too old for it: ask a newer one.",
    )


def _has_ended() -> Refused:
    return Refused(Refusal.EXPERIMENT_CONFLICT, "It has ended for good: start a new one.")
