"""What is believed of a gateway's success rate in a segment: a Beta distribution, folded from buckets of outcomes.

Old evidence is forgotten with a half-life, and at once when a change is detected: the evidence is then that of the
time since the change. `reference`: discounted Thompson sampling (Raj and Kalyani 2017, arXiv 1707.09727) and a
generalised likelihood ratio test for the change (Besson et al., arXiv 1902.01575).

A gateway that has become worse is forgotten faster, and what it usually does comes back as the expectation: a
brown-out ends, and nobody but a payment can find out. One whose circuit has closed after an outage begins anew.
"""

from math import log
from typing import NamedTuple

from msgspec.structs import replace

from schemas.base import Value
from schemas.metrics import BUCKET_S
from schemas.routing import Posterior

SCALES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
"""Spans of buckets, ending with the newest one, that may turn out to differ from what was before them."""
HORIZON_BUCKETS = 300
"""Fifty minutes: nothing older is evidence, or not for long."""
HORIZON_STEP = 60
"""The beginning of the horizon moves in steps of ten minutes, so that a fold can be continued in between. What is
published reaches back for the hour that this needs."""


class Forgetting(Value, frozen=True, kw_only=True):
    """How fast evidence ages. A half-life in time scales with a segment's own traffic: twice the payments are twice
    the evidence that is remembered."""

    half_life_s: float = 1_400.0
    degraded_half_life_s: float = 240.0
    alarm: float = 13.0
    """The log likelihood ratio at which there has been a change; 13 is one false alarm in some 100,000 payments."""
    poor_rate: float = 0.8
    """Who is worse than this, as far as a few outcomes tell, is forgotten like a degraded gateway: it gets no payments
    by which its recovery could be seen, and no circuit has opened that would try it again."""
    few_outcomes: int = 60
    usual_weight: float = 10.0
    """Payments that the usual rate of a degraded or recovered gateway is worth."""
    least_recent: int = 6
    least_before: int = 20


class Belief(Value, frozen=True, kw_only=True):
    """After all buckets through `bucket`; counts are as if every outcome were from that bucket."""

    bucket: int
    succeeded: float = 0.0
    failed: float = 0.0
    usual_succeeded: float = 1.0
    usual_failed: float = 1.0
    """The prior: uniform, until a usual rate is known."""
    is_degraded: bool = False
    recent: tuple[tuple[int, int, int], ...] = ()
    """(bucket, succeeded, failed) since the last change, within the longest scale; the newest last."""
    changed_at: int | None = None


def fold(belief: Belief, bucket: int, succeeded: int, failed: int, forgetting: Forgetting) -> Belief:
    """One more bucket, newer than all before it."""
    keep = _kept(belief, bucket - belief.bucket, forgetting)
    since = bucket - SCALES[-1]
    recent = (*(one for one in belief.recent if one[0] > since), (bucket, succeeded, failed))
    grown = replace(
        belief,
        bucket=bucket,
        succeeded=belief.succeeded * keep + succeeded,
        failed=belief.failed * keep + failed,
        recent=recent,
    )
    return _restarted(grown, forgetting)


def reopened(bucket: int, usual: float, forgetting: Forgetting) -> Belief:
    """Its circuit has closed again after an outage: what was known of the outage is no evidence any more."""
    weight = forgetting.usual_weight
    return Belief(
        bucket=bucket - 1,
        usual_succeeded=1 + weight * usual,
        usual_failed=1 + weight * (1 - usual),
        changed_at=bucket,
    )


def posterior(belief: Belief, bucket: int, succeeded: int, failed: int, forgetting: Forgetting) -> Posterior:
    """As it stands in `bucket`, whose outcomes so far are given."""
    keep = _kept(belief, bucket - belief.bucket, forgetting)
    return Posterior(
        alpha=belief.succeeded * keep + succeeded + belief.usual_succeeded,
        beta=belief.failed * keep + failed + belief.usual_failed,
        changed_at=belief.changed_at,
    )


def _kept(belief: Belief, buckets: int, forgetting: Forgetting) -> float:
    is_brief = belief.is_degraded or _is_starved(belief, forgetting)
    half_life_s = forgetting.degraded_half_life_s if is_brief else forgetting.half_life_s
    return float(0.5 ** (buckets * BUCKET_S / half_life_s))


def _is_starved(belief: Belief, forgetting: Forgetting) -> bool:
    outcomes = belief.succeeded + belief.failed
    return outcomes < forgetting.few_outcomes and belief.succeeded < forgetting.poor_rate * outcomes


def _restarted(belief: Belief, forgetting: Forgetting) -> Belief:
    """With nothing but the span that differs most from the time before it, if it differs enough."""
    strongest, change = forgetting.alarm, None
    for span in _spans(belief, forgetting):
        ratio = _likelihood_ratio(span, forgetting)
        if ratio > strongest:
            strongest, change = ratio, span
    if change is None:
        return belief
    usual = (change.succeeded_before + 0.5) / (change.succeeded_before + change.failed_before + 1)
    is_worse = (change.succeeded + 0.5) / (change.succeeded + change.failed + 1) < usual
    weight = forgetting.usual_weight if is_worse else 0.0
    recent = belief.recent[-change.buckets :]
    return replace(
        belief,
        succeeded=float(change.succeeded),
        failed=float(change.failed),
        usual_succeeded=1 + weight * usual,
        usual_failed=1 + weight * (1 - usual),
        is_degraded=is_worse,
        recent=recent,
        changed_at=recent[0][0],
    )


class _Span(NamedTuple):
    """The newest of the recent buckets in full, and what is left of the evidence from before them.

    What has been forgotten of the span itself is not taken from the time before it: that would be the span's own
    luck with the opposite sign, and look like a change.
    """

    buckets: int
    succeeded: int
    failed: int
    succeeded_before: float
    failed_before: float


def _spans(belief: Belief, forgetting: Forgetting) -> list[_Span]:
    """Of every scale that holds more than the one before it."""
    spans: list[_Span] = []
    buckets = succeeded = failed = 0
    kept = _kept(belief, 1, forgetting)
    succeeded_before, failed_before = belief.succeeded, belief.failed
    scales = iter(SCALES)
    scale = next(scales)
    for bucket, ok, bad in reversed(belief.recent):
        age = belief.bucket - bucket
        if age >= scale:
            spans.append(_Span(buckets, succeeded, failed, succeeded_before, failed_before))
            scale = next((longer for longer in scales if longer > age), SCALES[-1] + 1)
        keep = kept**age
        buckets, succeeded, failed = buckets + 1, succeeded + ok, failed + bad
        succeeded_before = max(succeeded_before - ok * keep, 0.0)
        failed_before = max(failed_before - bad * keep, 0.0)
    spans.append(_Span(buckets, succeeded, failed, succeeded_before, failed_before))
    return spans


def _likelihood_ratio(span: _Span, forgetting: Forgetting) -> float:
    """How much likelier two rates are than one: n₁·KL(p₁, p) + n₀·KL(p₀, p)."""
    recent = span.succeeded + span.failed
    before = span.succeeded_before + span.failed_before
    if recent < forgetting.least_recent or before < forgetting.least_before:
        return 0.0
    now_rate = (span.succeeded + 0.5) / (recent + 1)
    then_rate = (span.succeeded_before + 0.5) / (before + 1)
    both = (span.succeeded + span.succeeded_before + 0.5) / (recent + before + 1)
    return recent * _divergence(now_rate, both) + before * _divergence(then_rate, both)


def _divergence(rate: float, other: float) -> float:
    """Kullback-Leibler, of one Bernoulli distribution from another."""
    return rate * log(rate / other) + (1 - rate) * log((1 - rate) / (1 - other))
