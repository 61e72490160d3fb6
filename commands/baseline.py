"""What is normal for a gateway: a slow, cautious estimate of its success rate, against which a circuit is held.

Calls and failures are counted in blocks and forgotten exponentially. The estimate is the lower end of Wilson's interval
(Journal of the American Statistical Association 22, 1927): while little is known it is low, and a low baseline opens
late, never falsely.
"""

from math import sqrt

from schemas.base import Value
from schemas.circuit import CircuitPolicy

BLOCK = 16
"""Calls that are learned at once."""
CAUTION = 1.5
"""Standard errors below the mean. Simulated: at any true rate at most .8 % open falsely in their first 10,000 calls."""
_LN_2 = 0.693147


class Baseline(Value, frozen=True, kw_only=True, gc=False):
    percent: int
    calls: float = 0.0
    failures: float = 0.0
    """Both with what is forgotten taken off."""


def unknown(policy: CircuitPolicy) -> Baseline:
    return Baseline(percent=round(100 * policy.least_baseline))


def learned(baseline: Baseline, failures: int, policy: CircuitPolicy) -> Baseline:
    """After one more block with so many failures."""
    calls = baseline.calls * kept(policy) + BLOCK
    failing = baseline.failures * kept(policy) + failures
    rate = min(max(lower_bound(calls, failing), policy.least_baseline), policy.most_baseline)
    return Baseline(percent=round(100 * rate), calls=calls, failures=failing)


def kept(policy: CircuitPolicy) -> float:
    """What a block leaves of those before it."""
    return 1 - _LN_2 * BLOCK / policy.baseline_half_life_calls


def lower_bound(calls: float, failures: float) -> float:
    """Of the success rate: the lower root of (rate - mean)² = CAUTION² · rate · (1 - rate) / calls."""
    successes, square = calls - failures, CAUTION * CAUTION
    spread = CAUTION * sqrt(successes * failures / calls + square / 4)
    return (successes + square / 2 - spread) / (calls + square)
