"""Which variant of an experiment a customer is in: a hash, looked up in ranges that the experiment's events carry.

`docs/experiments.md` specifies it with test vectors, so that any program can repeat it. The ranges are recorded rather
than computed from weights, because no function of the weights alone can leave everybody in place whose variant did
not shrink, once there are three variants.
"""

import hashlib
from bisect import bisect_right
from collections.abc import Mapping
from itertools import pairwise

from schemas.experiment import BUCKETS, Allocation, BucketRange


class Assigner:
    """Of one salt and one allocation, with all that does not depend on the customer done beforehand."""

    def __init__(self, salt: str, allocation: Allocation) -> None:
        self._begun = hashlib.sha256(f"{salt}:".encode())
        self._firsts, self._variants = [0], list[str | None]([None])
        for one in allocation:
            self._firsts += (one.first, one.end)
            self._variants += (one.variant, None)

    def variant(self, customer_id: str) -> str | None:
        """None: the customer is not in the experiment."""
        hashed = self._begun.copy()
        hashed.update(customer_id.encode())
        bucket = int.from_bytes(hashed.digest()[:6]) % BUCKETS
        return self._variants[bisect_right(self._firsts, bucket) - 1]


def bucket_of(salt: str, customer_id: str) -> int:
    """The first six bytes of SHA-256(salt, a colon, the customer), big endian, modulo 10,000.

    Six bytes are exact also where numbers are doubles; what the modulus favours is below one in 10 billion.
    """
    return int.from_bytes(hashlib.sha256(f"{salt}:{customer_id}".encode()).digest()[:6]) % BUCKETS


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
