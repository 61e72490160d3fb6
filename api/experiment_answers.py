"""How an experiment looks from outside: what it is, where it stands, and who had it so, when and why."""

from datetime import datetime, timedelta

from msgspec import UNSET

from commands.experiment_buckets import held_by
from commands.experiment_state import Begun, Ended, Experiment, status_of
from schemas.base import Value
from schemas.experiment import ANY_VARIANT, BUCKETS, Status
from schemas.ids import ExperimentId


class ExperimentAnswer(Begun, frozen=True, kw_only=True):
    """`note` is of the last change. `shares` are of the customers whose payments the filter lets in, by variant; of an
    ended one, as they were. `planned_end` is when it is to be concluded as things stand, null of an ended one.
    `paused_for` is in whole seconds: a duration of RFC 3339, which is what JSON Schema knows, has no fractions."""

    status: Status
    shares: dict[str, float]
    planned_end: datetime | None


class ExperimentsAnswer(Value, frozen=True, kw_only=True):
    """The newest first. `next` is the `after` of the next page; None at the end."""

    experiments: tuple[ExperimentAnswer, ...]
    next: ExperimentId | None


def experiment_answer(experiment: Experiment) -> ExperimentAnswer:
    begun = {name: getattr(experiment, name) for name in Begun.__struct_fields__}
    return ExperimentAnswer(
        **begun | {"paused_for": timedelta(seconds=round(experiment.paused_for.total_seconds()))},
        status=status_of(experiment),
        shares={variant.name: _share(experiment, variant.name) for variant in experiment.design.variants},
        planned_end=None if isinstance(experiment, Ended) else experiment.planned_end,
    )


def _share(experiment: Experiment, variant: str) -> float:
    """Of all customers."""
    arms = experiment.design.arms
    if arms is UNSET:
        return held_by(experiment.allocation, variant) / BUCKETS
    return held_by(experiment.allocation, ANY_VARIANT) * held_by(arms, variant) / (BUCKETS * arms[-1].end)
