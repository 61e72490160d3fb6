"""What an experiment's figures come to as they stand, in as few words as it takes to decide what is done about it."""

from schemas.base import Value
from schemas.experiment import Evidence


class Harm(Value, frozen=True, kw_only=True):
    variants: tuple[str, ...]
    """Treatments that are credibly harmful."""
    evidence: Evidence


class Finding(Value, frozen=True, kw_only=True):
    harm: Harm | None
    is_decided: bool
    """Every treatment is a winner or has its planned sample."""
    unsettled_share: float
    """Of the payments of the compared arm where it is largest: in doubt, or in review."""
    evidence: Evidence
    """With the verdict of the whole."""
