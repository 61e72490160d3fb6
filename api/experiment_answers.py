"""How an experiment looks from outside: what it is, where it stands, and who had it so, when and why."""

from typing import Literal, assert_never

from commands.experiment_state import Begun, Ended, Experiment, Paused, Running
from schemas.base import Value
from schemas.experiment import BUCKETS, Evidence
from schemas.ids import ExperimentId

Status = Literal["RUNNING", "PAUSED", "STOPPED", "CONCLUDED"]


class ExperimentAnswer(Begun, frozen=True, kw_only=True):
    """`note` is of the last change. `shares` are of the customers whose payments the filter lets in, by variant; of an
    ended one, as they were. `evidence` are the numbers by which it was paused or concluded, if not by a person."""

    status: Status
    shares: dict[str, float]
    evidence: Evidence | None


class ExperimentsAnswer(Value, frozen=True, kw_only=True):
    """The newest first. `next` is the `after` of the next page; None at the end."""

    experiments: tuple[ExperimentAnswer, ...]
    next: ExperimentId | None


def experiment_answer(experiment: Experiment) -> ExperimentAnswer:
    return ExperimentAnswer(
        **{name: getattr(experiment, name) for name in Begun.__struct_fields__},
        status=status_of(experiment),
        shares={variant.name: _share(experiment, variant.name) for variant in experiment.design.variants},
        evidence=None if isinstance(experiment, Running) else experiment.evidence,
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
