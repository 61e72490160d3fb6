"""What the calculator answers: the results' own structs, and a few lines around those that have none."""

from collections import Counter
from typing import assert_never

import numpy as np

from commands.routing.assignment import allocated, bucket_of, variant_of
from projections.statistics import clustered as by_customer
from projections.statistics.clustered import clustered
from projections.statistics.effective import Counts, counts
from projections.statistics.fisher import fisher
from projections.statistics.holm import METHOD as HOLM
from projections.statistics.holm import holm
from projections.statistics.latency import LOG_UNIT, latency
from projections.statistics.latency import Latency as LatencyResult
from projections.statistics.noninferiority import noninferiority
from projections.statistics.outstanding import (
    NOTHING,
    Both,
    Outstanding,
    sequential_in_all_cases,
    winning_in_all_cases,
)
from projections.statistics.power import Design, design, least_difference, power_of, remaining_days
from projections.statistics.proportions import proportions, rate_interval
from projections.statistics.ranks import Ranks, Timed, clustered_ranks, ranks
from projections.statistics.sample_ratio import sample_ratio
from projections.statistics.sequential import Sequential as SequentialResult
from projections.statistics.sums import Floats, Sums, paid_once, scaled
from projections.statistics.winning import Winning
from schemas.base import Value
from streams.calculator.requests import (
    AnyRequest,
    Assign,
    Clustered,
    Fisher,
    Holm,
    Latency,
    NonInferiority,
    Power,
    Proportions,
    Sequential,
    Slowness,
    Srm,
    Wilson,
)


class SequentialAnswer(Value, frozen=True, kw_only=True):
    sequential: SequentialResult
    winning: Winning | None


class ClusteredAnswer(Value, frozen=True, kw_only=True):
    clustered: by_customer.Clustered
    sequential: SequentialResult
    winning: Winning | None


class PowerAnswer(Value, frozen=True, kw_only=True):
    design: Design
    power_with_customers: float | None
    least_difference_with_customers: float | None
    remaining_days: float | None


class HolmAnswer(Value, frozen=True, kw_only=True):
    method: str = HOLM
    adjusted: list[float]
    is_rejected: list[bool]
    alpha: float


class LatencyAnswer(Value, frozen=True, kw_only=True):
    latency: LatencyResult
    ranks: Ranks | None


class AssignAnswer(Value, frozen=True, kw_only=True):
    method: str
    bucket: int
    variant: str | None


def answer(request: AnyRequest) -> Value:
    """What is infinite or not a number is null in JSON. Raises ValueError where the numbers, each fine, cannot be
    computed with."""
    with np.errstate(all="ignore"):
        return _answer(request)


def _answer(request: AnyRequest) -> Value:
    match request:
        case Proportions():
            return proportions(*_counts(request), request.confidence)
        case Sequential():
            return _sequential(
                paid_once(float(request.control_successes), float(request.control_trials)),
                paid_once(float(request.treatment_successes), float(request.treatment_trials)),
                request,
            )
        case Clustered():
            control, treatment = Sums(*map(float, request.control)), Sums(*map(float, request.treatment))
            looked_at = _sequential(
                control,
                treatment,
                request,
                (
                    Outstanding(request.control_awaiting, request.control_in_doubt),
                    Outstanding(request.treatment_awaiting, request.treatment_in_doubt),
                ),
            )
            return ClusteredAnswer(
                clustered=clustered(control, treatment, request.confidence),
                sequential=looked_at.sequential,
                winning=looked_at.winning,
            )
        case Srm():
            return sample_ratio(request.observed, request.weights, request.alpha)
        case Power():
            return _power(request)
        case Holm():
            adjusted = holm(request.p_values)
            rejected = [one <= request.alpha for one in adjusted]
            return HolmAnswer(adjusted=adjusted, is_rejected=rejected, alpha=request.alpha)
        case Latency():
            return _latency(request)
        case Slowness():
            return _slowness(request)
        case NonInferiority():
            return noninferiority(*_counts(request), request.margin, request.alpha)
        case Fisher():
            return fisher(*_counts(request), request.alternative)
        case Wilson():
            return rate_interval(counts(request.successes, request.trials), request.confidence)
        case Assign():
            bucket = bucket_of(request.salt, request.customer_id, request.buckets)
            return AssignAnswer(
                method=f"sha256_6_bytes_modulo_{request.buckets}",
                bucket=bucket,
                variant=variant_of(bucket, tuple(request.allocation or allocated(request.weights or {}))),
            )
        case _:
            assert_never(request)


def _counts(request: Proportions | Fisher | NonInferiority) -> tuple[Counts, Counts]:
    return (
        counts(request.control_successes, request.control_trials),
        counts(request.treatment_successes, request.treatment_trials),
    )


def _sequential(
    control: Sums, treatment: Sums, request: Sequential | Clustered, outstanding: Both = (NOTHING, NOTHING)
) -> SequentialAnswer:
    planned, confidence = request.planned_customers, request.confidence
    won = None
    if planned is not None:
        won = winning_in_all_cases(control, treatment, planned, outstanding, confidence)
    return SequentialAnswer(
        sequential=sequential_in_all_cases(
            control, treatment, outstanding, confidence=confidence, alpha=request.alpha
        ),
        winning=won,
    )


def _power(request: Power) -> PowerAnswer:
    found = design(
        request.control_rate,
        request.difference,
        alpha=request.alpha,
        power=request.power,
        ratio=request.ratio,
    )
    customers, per_day = request.customers, request.customers_per_day
    return PowerAnswer(
        design=found,
        power_with_customers=None
        if customers is None
        else power_of(
            request.control_rate, request.difference, customers, alpha=request.alpha, ratio=request.ratio
        ),
        least_difference_with_customers=None
        if customers is None
        else least_difference(
            request.control_rate, customers, alpha=request.alpha, power=request.power, ratio=request.ratio
        ),
        remaining_days=None
        if per_day is None
        else remaining_days(found.customers_control_sequential, customers or 0, per_day),
    )


def _latency(request: Latency) -> LatencyAnswer:
    control, treatment = (
        _log_sums(np.log(several)) for several in (request.control_ms, request.treatment_ms)
    )
    return LatencyAnswer(
        latency=latency(
            control,
            treatment,
            request.limit,
            least_customers=request.least_customers,
            confidence=request.confidence,
        ),
        ranks=ranks(Counter(request.control_ms), Counter(request.treatment_ms)),
    )


def _slowness(request: Slowness) -> LatencyAnswer:
    control, treatment = (
        scaled(Sums(*map(float, six)), LOG_UNIT) for six in (request.control, request.treatment)
    )
    return LatencyAnswer(
        latency=latency(
            control,
            treatment,
            request.limit,
            least_customers=request.least_customers,
            confidence=request.confidence,
            alpha=request.alpha,
        ),
        ranks=clustered_ranks(Timed(request.control_bins, control), Timed(request.treatment_bins, treatment)),
    )


def _log_sums(logs: Floats) -> Sums:
    total, squares, customers = float(logs.sum()), float(logs @ logs), len(logs)
    return Sums(customers, customers, total, customers, squares, total)
