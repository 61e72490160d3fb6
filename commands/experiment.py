"""What may be done with experiments: started, paused, resumed, stopped, concluded, each as an event.

An ended experiment is not started again: whoever wants it again starts a new one, whose customers are divided anew.
"""

from typing import assert_never

from msgspec import UNSET
from msgspec.structs import asdict

from commands.experiment_state import Ended, Experiment, Experiments, Paused, Running, is_full, named, taken
from commands.routing.assignment import allocated
from schemas.errors import Refusal, Refused
from schemas.experiment import (
    ANY_VARIANT,
    BUCKETS,
    MOST_RUNNING,
    Allocation,
    BucketRange,
    ConcludeExperiment,
    Design,
    ExperimentCommand,
    ExperimentConcluded,
    ExperimentEvent,
    ExperimentPaused,
    ExperimentResumed,
    ExperimentStarted,
    ExperimentStopped,
    PauseExperiment,
    RecordedDesign,
    ResumeExperiment,
    StartExperiment,
    StopExperiment,
)
from schemas.ids import ExperimentId

SHARES_HOLD_WITHIN = 0.001
"""Weights are whole buckets: a share may be rounded by so much of itself, which no test of the split would notice."""
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
    if experiment_id in experiments.unread:
        raise _is_unread()
    if (experiment := experiments.known.get(experiment_id)) is None:
        raise Refused(Refusal.EXPERIMENT_NOT_FOUND, "There is no such experiment.")
    return experiment


def _start(command: StartExperiment, experiments: Experiments) -> list[ExperimentEvent]:
    """`[]` where it has been started already, by whoever asked for the same before."""
    design = _recorded(command.design)
    if (held := named(experiments, design.name)) is not None:
        if found(experiments, held).design == design:
            return []
        raise Refused(Refusal.EXPERIMENT_CONFLICT, f"{held} has this name, and has not ended.")
    _require_room(experiments)
    salt = design.group if design.group is not None else command.experiment_id
    return [
        ExperimentStarted(
            experiment_id=command.experiment_id,
            design=design,
            salt=salt,
            allocation=_given_out(_weights(design), taken(experiments, salt), ()),
            by=command.by,
            note=command.note,
        )
    ]


def _recorded(design: Design) -> RecordedDesign:
    weights = {variant.name: variant.weight for variant in design.variants}
    return RecordedDesign(**asdict(design), arms=UNSET if design.group is None else allocated(weights))


def _weights(design: RecordedDesign) -> dict[str, int]:
    """Of those among whom buckets are given out."""
    if design.arms is not UNSET:
        return {ANY_VARIANT: sum(variant.weight for variant in design.variants)}
    return {variant.name: variant.weight for variant in design.variants}


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
    if command.scale < 1:
        raise Refused(
            Refusal.EXPERIMENT_CONFLICT,
            "Weights only grow: buckets that were given back could come to another variant, with their customers.",
        )
    _require_room(experiments)
    allocation = _given_out(
        _scaled(experiment, command.scale),
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
    blocked = tuple(BucketRange(variant=_OTHERS, first=part.first, end=part.end) for part in others)
    everybody = tuple(sorted((*blocked, *before), key=lambda part: part.first))
    given = allocated({_OTHERS: held, **weights}, everybody)
    return tuple(part for part in given if part.variant != _OTHERS)


def _scaled(experiment: Paused, scale: float) -> dict[str, int]:
    """Raises Refused where whole buckets would not divide customers as the design does; arms always do."""
    designed = _weights(experiment.design)
    weights = {name: round(_held(experiment.allocation, name) * scale) for name in designed}
    if not _divides_alike(weights, designed):
        raise Refused(
            Refusal.EXPERIMENT_CONFLICT,
            "Scaled so, weights would not be whole buckets in the same proportions.",
        )
    return weights


def _divides_alike(weights: dict[str, int], designed: dict[str, int]) -> bool:
    total, of_design = sum(weights.values()), sum(designed.values())
    return total > 0 and all(
        abs(weights[name] * of_design - weight * total) <= SHARES_HOLD_WITHIN * weight * total
        for name, weight in designed.items()
    )


def _require_room(experiments: Experiments) -> None:
    if is_full(experiments):
        raise Refused(Refusal.EXPERIMENT_CONFLICT, f"{MOST_RUNNING} experiments run already: stop one first.")


def _held(allocation: Allocation, variant: str) -> int:
    return sum(part.end - part.first for part in allocation if part.variant == variant)


def _is_unread() -> Refused:
    return Refused(
        Refusal.EXPERIMENT_CONFLICT,
        "A newer version of this service designed it, and this process is too old for it: ask a newer one.",
    )


def _has_ended() -> Refused:
    return Refused(Refusal.EXPERIMENT_CONFLICT, "It has ended for good: start a new one.")
