"""A belief kept up to date: buckets may come late, or change, and the result is that of a fold in their order."""

from projections.posteriors import (
    HORIZON_BUCKETS,
    HORIZON_STEP,
    Belief,
    Forgetting,
    fold,
    posterior,
    reopened,
)
from schemas.routing import Posterior

REMEMBERED = 6
"""Beliefs after the newest buckets, from which a fold is resumed when one of these buckets still changes: outcomes come
a gateway's timeout after the start of their attempt, by which they are counted."""


class Learner:
    """Of one gateway in one segment. Mutable: it is a cache of a fold, and nothing else."""

    def __init__(self, forgetting: Forgetting, phase: int = 0) -> None:
        """`phase`, in buckets, is when the beginning of its horizon moves: not all learners fold anew at once."""
        self._forgetting = forgetting
        self._phase = phase
        self._counts: dict[int, tuple[int, int]] = {}
        self._reopening: tuple[int, float] | None = None
        self._beliefs: list[Belief] = []
        self._begin = 0
        self._folded = -1
        """Through this bucket everything is in the last belief."""
        self._told: tuple[int, Posterior] | None = None

    def observe(self, bucket: int, succeeded: int, failed: int) -> None:
        """So many more; a correction may take some back."""
        before = self._counts.get(bucket, (0, 0))
        self._set(bucket, (before[0] + succeeded, before[1] + failed))

    def replace(self, counts: dict[int, tuple[int, int]]) -> None:
        """These are all there are."""
        for bucket in self._counts.keys() - counts.keys():
            self._set(bucket, (0, 0))
        for bucket, found in counts.items():
            if self._counts.get(bucket) != found:
                self._set(bucket, found)

    def reopen(self, bucket: int, usual: float) -> None:
        """Its circuit last closed after an outage in this bucket; `usual` is the rate before it."""
        before, after = self._reopening, (bucket, usual) if bucket >= self._begin else None
        self._reopening = after
        if after != before:
            # A reopened belief stands before its bucket.
            self._forget_from(min(one[0] for one in (before, after) if one is not None) - 1)

    def posterior(self, bucket: int) -> Posterior:
        """As it stands in `bucket`, the newest of all."""
        if self._told is not None and self._told[0] == bucket:
            return self._told[1]
        begin = (bucket + self._phase) // HORIZON_STEP * HORIZON_STEP - self._phase - HORIZON_BUCKETS
        if begin != self._begin:
            self._begin_at(begin)
        self._fold_through(bucket - 1)
        belief = self._beliefs[-1] if self._beliefs else Belief(bucket=begin)
        belief = self._reopened(belief, bucket)
        told = posterior(belief, bucket, *self._counted(bucket), self._forgetting)
        self._told = (bucket, told)
        return told

    def _counted(self, bucket: int) -> tuple[int, int]:
        """None are negative, also while a correction is known and what it corrects is not."""
        succeeded, failed = self._counts.get(bucket, (0, 0))
        return max(succeeded, 0), max(failed, 0)

    def _reopened(self, belief: Belief, bucket: int) -> Belief:
        if self._reopening is None or self._reopening[0] != bucket:
            return belief
        return reopened(*self._reopening, self._forgetting)

    def _set(self, bucket: int, counts: tuple[int, int]) -> None:
        if bucket < self._begin:
            return
        if counts == (0, 0):
            self._counts.pop(bucket, None)
        else:
            self._counts[bucket] = counts
        self._forget_from(bucket)

    def _forget_from(self, bucket: int) -> None:
        self._told = None
        if bucket <= self._folded:
            self._beliefs = [belief for belief in self._beliefs if belief.bucket < bucket]
            self._folded = self._beliefs[-1].bucket if self._beliefs else -1

    def _begin_at(self, begin: int) -> None:
        self._begin, self._folded, self._beliefs = begin, -1, []
        self._counts = {bucket: found for bucket, found in self._counts.items() if bucket >= begin}
        if self._reopening is not None and self._reopening[0] < begin:
            self._reopening = None

    def _fold_through(self, last: int) -> None:
        if self._folded >= last:
            return
        since = self._folded
        due = {bucket for bucket in self._counts if since < bucket <= last}
        if self._reopening is not None and since < self._reopening[0] <= last:
            due.add(self._reopening[0])
        belief = self._beliefs[-1] if self._beliefs else Belief(bucket=self._begin)
        for bucket in sorted(due):
            belief = self._reopened(belief, bucket)
            if bucket in self._counts:
                belief = fold(belief, bucket, *self._counted(bucket), self._forgetting)
            self._beliefs.append(belief)
        del self._beliefs[:-REMEMBERED]
        self._folded = last
