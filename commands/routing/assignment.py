"""Which variant of an experiment a customer is in: a hash, looked up in ranges that the experiment's events carry.

`docs/experiments.md` specifies it with test vectors, so that any program can repeat it. The ranges are recorded rather
than computed from weights, because no function of the weights alone can leave everybody in place whose variant did
not shrink, once there are three variants.

In a group two hashes say it: by the group's a customer is in the experiment or not, by the experiment's own in one of
its variants. With one for both it could have the very variants of the experiment before it, and their after-effects.
"""

import hashlib
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

from msgspec import UNSET, UnsetType

from schemas.experiment import BUCKETS, Allocation, Assignment, BucketRange
from schemas.ids import ExperimentId


class Assigner:
    """Of one salt and one allocation, with all that does not depend on the customer done beforehand."""

    def __init__(self, salt: str, allocation: Allocation, buckets: int = BUCKETS) -> None:
        self._by = salt, allocation, buckets
        self._buckets = buckets
        self._begun = hashlib.sha256(f"{salt}:".encode())
        self._firsts, self._variants = [0], list[str | None]([None])
        for one in allocation:
            self._firsts += (one.first, one.end)
            self._variants += (one.variant, None)

    def variant(self, customer_id: str) -> str | None:
        """None: the customer is not in the experiment."""
        hashed = self._begun.copy()
        hashed.update(customer_id.encode())
        bucket = int.from_bytes(hashed.digest()[:6]) % self._buckets
        return self._variants[bisect_right(self._firsts, bucket) - 1]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Assigner) and self._by == other._by

    def __hash__(self) -> int:
        return hash(self._by)


@dataclass(frozen=True)
class GroupAssigner:
    """Who is in by the group's assigner is in a variant by the experiment's."""

    group: Assigner
    arms: Assigner

    def variant(self, customer_id: str) -> str | None:
        return None if self.group.variant(customer_id) is None else self.arms.variant(customer_id)


def assignment(
    experiment_id: ExperimentId, salt: str, allocation: Allocation, arms: Allocation | UnsetType
) -> Assignment:
    if arms is UNSET:
        return Assigner(salt, allocation)
    return GroupAssigner(Assigner(salt, allocation), Assigner(experiment_id, arms, arms[-1].end))


def bucket_of(salt: str, customer_id: str, buckets: int = BUCKETS) -> int:
    """The first six bytes of SHA-256(salt, a colon, the customer), big endian, modulo 10,000 or what is given.

    Six bytes are exact also where numbers are doubles; what the modulus favours is below one in 10 billion.
    """
    return int.from_bytes(hashlib.sha256(f"{salt}:{customer_id}".encode()).digest()[:6]) % buckets


def variant_of(bucket: int, allocation: Allocation) -> str | None:
    for one in allocation:
        if one.first <= bucket < one.end:
            return one.variant
    return None


def allocated(weights: Mapping[str, int], instead_of: Allocation = ()) -> Allocation:
    """Every variant's weight in buckets, moving as few customers as can be and only into variants that grew.

    Those that shrink give up their last buckets; those that grow take the first free ones, in the order of `weights`.
    Raises ValueError where the weights are negative or more than all buckets.
    """
    if any(weight < 0 for weight in weights.values()) or sum(weights.values()) > BUCKETS:
        raise ValueError(f"Expected weights from 0, {BUCKETS} in all, got {dict(weights)}")
    owners = _shrunk(weights, instead_of)
    free = iter([bucket for bucket, owner in enumerate(owners) if owner is None])
    for variant, weight in weights.items():
        for _ in range(weight - owners.count(variant)):
            owners[next(free)] = variant
    return _ranges(owners)


def _shrunk(weights: Mapping[str, int], allocation: Allocation) -> list[str | None]:
    """By bucket, who still has it."""
    owners: list[str | None] = [None] * BUCKETS
    left = dict(weights)
    for one in allocation:
        kept = min(one.end - one.first, left.get(one.variant, 0))
        owners[one.first : one.first + kept] = [one.variant] * kept
        left[one.variant] = left.get(one.variant, 0) - kept
    return owners


def _ranges(owners: list[str | None]) -> Allocation:
    edges = [0, *(at for at in range(1, BUCKETS) if owners[at] != owners[at - 1]), BUCKETS]
    return tuple(
        BucketRange(variant=owner, first=first, end=end)
        for first, end in pairwise(edges)
        if (owner := owners[first]) is not None
    )
