"""Which buckets an experiment gets: as many as its weights ask for, and none that another of its group holds."""

from collections.abc import Iterable, Sequence

from msgspec import UNSET
from msgspec.structs import asdict, replace

from commands.experiment_state import Experiments, Paused, Running, Unread, holders
from commands.routing.assignment import allocated
from schemas.errors import Refusal, Refused
from schemas.experiment import ANY_VARIANT, BUCKETS, Allocation, BucketRange, Design, RecordedDesign
from schemas.ids import ExperimentId

SHARES_HOLD_WITHIN = 0.001
"""Weights are whole buckets: a share may be rounded by so much of itself, which no test of the split would notice."""
MOST_TOLD = 3
"""Of those who hold a group's buckets, the largest."""
_OTHERS = ""
"""Stands for whoever else holds a bucket of the same group, while buckets are given out."""


def recorded(design: Design) -> RecordedDesign:
    """With arms where it is of a group: who is in it comes to a variant by a hash of the experiment's own."""
    weights = {variant.name: variant.weight for variant in design.variants}
    return RecordedDesign(**asdict(design), arms=UNSET if design.group is None else allocated(weights))


def first_allocation(
    experiments: Experiments, experiment_id: ExperimentId, salt: str, design: RecordedDesign
) -> Allocation:
    """Raises Refused where the group has too few left."""
    return _given_out(_weights(design), holders(experiments, salt, but=experiment_id), ())


def scaled_allocation(experiments: Experiments, experiment: Paused, scale: float) -> Allocation:
    """Raises Refused as above, and where whole buckets would not divide customers as designed; arms always do."""
    designed = _weights(experiment.design)
    weights = {name: round(held_by(experiment.allocation, name) * scale) for name in designed}
    if not _divides_alike(weights, designed):
        raise Refused(
            Refusal.EXPERIMENT_CONFLICT,
            "Scaled so, weights would not be whole buckets in the same proportions.",
        )
    others = holders(experiments, experiment.salt, but=experiment.experiment_id)
    return _given_out(weights, others, experiment.allocation)


def size(allocation: Iterable[BucketRange]) -> int:
    return sum(part.end - part.first for part in allocation)


def held_by(allocation: Allocation, variant: str) -> int:
    return size(part for part in allocation if part.variant == variant)


def _weights(design: RecordedDesign) -> dict[str, int]:
    """Of those among whom buckets are given out."""
    if design.arms is not UNSET:
        return {ANY_VARIANT: sum(variant.weight for variant in design.variants)}
    return {variant.name: variant.weight for variant in design.variants}


def _given_out(
    weights: dict[str, int], others: Sequence[Running | Paused | Unread], before: Allocation
) -> Allocation:
    """All of those before, as far as weights ask for them, and none that any of the others holds."""
    held, wanted = sum(size(one.allocation) for one in others), sum(weights.values())
    if wanted > BUCKETS - held:
        largest = sorted(others, key=lambda one: -size(one.allocation))[:MOST_TOLD]
        who = [f"{one.experiment_id} holds {size(one.allocation)}" for one in largest]
        detail = "; ".join([f"Its weights are {wanted} buckets in all, and {BUCKETS - held} are free", *who])
        raise Refused(Refusal.EXPERIMENT_CONFLICT, f"{detail}.")
    blocked = [replace(part, variant=_OTHERS) for one in others for part in one.allocation]
    everybody = tuple(sorted((*blocked, *before), key=lambda part: part.first))
    given = allocated({_OTHERS: held, **weights}, everybody)
    return tuple(part for part in given if part.variant != _OTHERS)


def _divides_alike(weights: dict[str, int], designed: dict[str, int]) -> bool:
    total, of_design = sum(weights.values()), sum(designed.values())
    return total > 0 and all(
        abs(weights[name] * of_design - weight * total) <= SHARES_HOLD_WITHIN * weight * total
        for name, weight in designed.items()
    )
