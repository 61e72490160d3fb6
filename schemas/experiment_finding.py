"""What an experiment's figures come to as they stand, in as few words as it takes to decide what is done about it."""

from schemas.base import Value
from schemas.experiment import Evidence


class Harm(Value, frozen=True, kw_only=True):
    variants: tuple[str, ...]
    """Treatments that are credibly harmful."""
    evidence: Evidence


class Standing(Value, frozen=True, kw_only=True):
    """Of one treatment."""

    is_winner: bool
    reached: float
    """How much of its planned sample it has, 1 at the plan."""
    lacks_customers: bool
    """Whether nothing can be said of it yet, for want of the minimum of independent ones."""


class Finding(Value, frozen=True, kw_only=True):
    harm: Harm | None
    is_split_broken: bool
    treatments: tuple[Standing, ...]
    """Those that are compared."""
    unsettled_share: float
    """Of the exposed payments of the compared arm where it is largest: awaiting, in doubt or in review."""
    evidence: Evidence
    """With the verdict of the whole."""
