"""Judges another policy on journeys: all together, and by what they have in common.

The model of rewards is what was believed when each decision was made, shifted by what these beliefs were wrong by so
far in the segment: it knows nothing but the past, so it needs no cross-fitting, and it follows every hour by itself.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from math import nan
from typing import Literal, get_args

import numpy as np

from commands.routing.alternative import Rerouted, gateways_named, rerouted
from projections.statistics.off_policy import Integers, Logged, OffPolicy, off_policy
from projections.statistics.off_policy_verdict import WhatIfJudgement, judge_other
from projections.statistics.sums import Floats
from schemas.base import Value
from schemas.dimensions import amount_band, issuer, network
from schemas.ids import GatewayId
from schemas.routing import Candidate
from schemas.routing_configuration import AlternativePolicy
from schemas.shadow import PaymentShadowed, ShadowCandidate
from streams.what_if.journeys import Journey
from streams.what_if.retries import any_otherwise, first_otherwise
from streams.what_if.rows import Names, Row, Rows, Sorted

Dimension = Literal["merchant", "method", "amount_band", "issuer", "network", "currency", "segment"]
DIMENSIONS: tuple[Dimension, ...] = get_args(Dimension)
Metric = Literal["first_attempt_success", "any_attempt_success"]
METRICS: tuple[Metric, ...] = get_args(Metric)
MOST_PARTS = 12
"""Of a dimension: those with the most payments."""
LEAST_PAYMENTS = 200
"""Of a part that is told of."""
CONFIDENCE = 0.95
HELD_BACK = 20
"""Payments that a segment's beliefs count as right, beside its own."""
_NONE = "-"

_PLACES = {dimension: place for place, dimension in enumerate(DIMENSIONS)}
_PARTS: Mapping[Dimension, Callable[[Journey], str | None]] = {
    "merchant": lambda one: one.order.merchant_id,
    "method": lambda one: one.order.payment_method,
    "amount_band": lambda one: amount_band(one.order.amount_minor, one.order.currency),
    "issuer": lambda one: issuer(one.order.instrument),
    "network": lambda one: network(one.order.instrument),
    "currency": lambda one: one.order.currency,
    "segment": lambda one: one.routed.decision.segment if one.routed.decision else None,
}


class Judged(Value, frozen=True, kw_only=True):
    metric: Metric
    figures: OffPolicy
    judgement: WhatIfJudgement


class Part(Value, frozen=True, kw_only=True):
    dimension: Dimension
    value: str
    judged: tuple[Judged, ...]
    """With intervals for as many parts as the dimension has (Bonferroni): all of them hold at once in 95 of 100."""


class Evaluation:
    def __init__(self, policy: AlternativePolicy | None) -> None:
        """None: the decisions of another policy come with the payments."""
        self._policy = policy
        self._rows = Rows(len(METRICS), len(DIMENSIONS))
        self._memory: dict[object, tuple[float, ...]] = {}
        self._seen: set[GatewayId] = set()

    def consider(self, journey: Journey, shadow: PaymentShadowed | None = None) -> None:
        """One whose decision recorded what it was made from, and what a shadow said of it where there is no policy."""
        if self._policy is not None:
            other = rerouted(journey.order, journey.routed, self._policy, self._memory)
            self._rows.append(_row(journey, _chances(other.candidates), *_otherwise(journey, other)))
        elif shadow is not None:
            self._rows.append(_row(journey, _chances(shadow.candidates), *_of_shadow(journey, shadow)))
        self._seen.update(one.gateway for one in journey.routed.candidates)
        self._seen.update(one.gateway for one in journey.routed.excluded)

    def __len__(self) -> int:
        return len(self._rows)

    def strangers(self) -> tuple[GatewayId, ...]:
        """Gateways that the policy names and that no decision knew."""
        if self._policy is None:
            return ()
        return tuple(sorted(gateways_named(self._policy) - self._seen))

    def judged(self, dimensions: tuple[Dimension, ...]) -> tuple[tuple[Judged, ...], tuple[Part, ...]]:
        """All together, and by each of the dimensions. Of one payment at least."""
        rows = self._rows.sorted()
        tables = _tables(rows)
        overall = tuple(_judged(tables, CONFIDENCE))
        parts = [part for one in dimensions for part in _parts(one, rows.parts[_PLACES[one]], tables)]
        return overall, tuple(parts)


def _tables(rows: Sorted) -> dict[Metric, Logged]:
    logged, segments = rows.logged, rows.parts[_PLACES["segment"]].numbers
    return {
        metric: logged._replace(
            predicted=predicted(logged.predicted, logged.chosen, reward, segments),
            reward=reward,
            otherwise=otherwise,
        )
        for metric, reward, otherwise in zip(METRICS, rows.rewards, rows.otherwise, strict=True)
    }


def _parts(dimension: Dimension, names: Names, tables: Mapping[Metric, Logged]) -> Iterator[Part]:
    told = _told(names)
    if len(told) < 2 and len(names.known) < 2:
        return
    for number in told:
        some = {metric: logged.of(names.numbers == number) for metric, logged in tables.items()}
        confidence = 1 - (1 - CONFIDENCE) / len(told)
        yield Part(dimension=dimension, value=names.known[number], judged=tuple(_judged(some, confidence)))


def _told(names: Names) -> list[int]:
    """Those with the most payments; of as many, the one that was met first."""
    numbers, met, payments = np.unique(names.numbers, return_index=True, return_counts=True)
    most = np.lexsort((met, -payments))[:MOST_PARTS]
    return [
        int(numbers[place])
        for place in most
        if payments[place] >= LEAST_PAYMENTS and names.known[numbers[place]] != _NONE
    ]


def _judged(tables: Mapping[Metric, Logged], confidence: float) -> Iterator[Judged]:
    for metric, logged in tables.items():
        figures = off_policy(logged, confidence)
        yield Judged(metric=metric, figures=figures, judgement=judge_other(figures))


def _chances(candidates: Iterable[Candidate | ShadowCandidate]) -> dict[GatewayId, float]:
    return {one.gateway: one.propensity or 0.0 for one in candidates}


def _otherwise(journey: Journey, other: Rerouted) -> tuple[tuple[float, float], bool]:
    """What each metric would have come to, and whether nothing is known of where the payment would have gone."""
    first = journey.attempts[0].gateway
    if other.unrecorded or not _chances(other.candidates).get(first):
        return (journey.first_succeeded, journey.any_succeeded), bool(other.unrecorded)
    return (first_otherwise(journey, other), any_otherwise(journey, other)), False


def _of_shadow(journey: Journey, shadow: PaymentShadowed) -> tuple[tuple[float, float], bool]:
    """A shadow tells where it would have begun; what follows is told where it is as it was, or does not matter."""
    as_it_was = [one.gateway for one in journey.routed.candidates]
    is_told = journey.first_succeeded == 1 or [one.gateway for one in shadow.candidates] == as_it_was
    return (journey.first_succeeded, journey.any_succeeded if is_told else nan), False


def _row(
    journey: Journey, target: dict[GatewayId, float], otherwise: tuple[float, float], is_unrecorded: bool
) -> Row:
    return Row(
        at=journey.payment.created_at.timestamp(),
        payment_id=journey.payment.payment_id,
        customer=journey.order.customer_id,
        chosen=journey.attempts[0].gateway,
        propensities=_chances(journey.routed.candidates),
        target={} if is_unrecorded else target,
        believed={
            one.gateway: one.alpha / (one.alpha + one.beta) + one.fit for one in journey.routed.candidates
        },
        is_unrecorded=is_unrecorded,
        rewards=(journey.first_succeeded, journey.any_succeeded),
        otherwise=otherwise,
        parts=tuple(_PARTS[dimension](journey) or _NONE for dimension in DIMENSIONS),
    )


def predicted(believed: Floats, chosen: Integers, reward: Floats, segments: Integers) -> Floats:
    """Of rows in the order of time: beliefs, shifted by the mean error of the segment's payments before each."""
    error = np.nan_to_num(reward - believed[np.arange(len(chosen)), chosen])
    is_known = ~np.isnan(reward)
    shifts = np.zeros(len(chosen))
    for segment in range(int(segments.max()) + 1):
        rows = np.flatnonzero(segments == segment)
        before = np.cumsum(error[rows]) - error[rows]
        known_before = np.cumsum(is_known[rows]) - is_known[rows]
        shifts[rows] = before / (known_before + HELD_BACK)
    found: Floats = np.where(believed > 0, np.clip(believed + shifts[:, None], 0.0, 1.0), 0.0)
    return found
