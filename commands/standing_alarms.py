"""Which gateways and projections a person should look at, and when that is over. Pure; who asks brings the figures.

An alarm is raised by one level and ended by another, so that what lies between them changes nothing. What stands is a
fold of `reliability.events.v1`: of processes that judge at once the first one on the topic is right, and what another
one says again has the same id.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from math import sqrt
from typing import Literal, assert_never

from schemas.base import Command, Event, Value
from schemas.envelope import Recorded
from schemas.metrics import GatewayHealth
from schemas.reliability import (
    GatewayDegradationEnded,
    GatewayDegraded,
    ProjectionStalled,
    ProjectionStallEnded,
    StandingAlarm,
    StandingEnd,
    SuccessRateDropEnded,
    SuccessRateDropped,
    subject_of,
)

DROP = 0.05
"""A rate has dropped if it is credibly lower by more than this, and is back when it is lower by less than:"""
BACK_WITHIN = 0.02
CREDIBLE = 3.3
"""Standard deviations: once in two thousand looks by chance, of looks that share most of what they see."""
OUTCOMES_MIN = 20
USUAL_OUTCOMES_MIN = 100
CALLS_MIN = 100
SLOWER = 2.0
"""A gateway is degraded if p90 is so many times the usual p95, and is back at no more than:"""
AS_FAST = 1.25
STALLED_FOR_S = 60.0
"""A restart, or a partition that moves, takes seconds."""
CAUGHT_UP_S = 5.0
USUAL_AFTER = timedelta(days=1)
"""What has been so for so long is how it is."""

Kind = Literal["success_rate", "latency", "stall"]
Place = tuple[Kind, str]
"""What an alarm is of, and its subject."""
Because = Literal["recovered", "silent", "usual_by_now"]


class Raised(Value, frozen=True, kw_only=True):
    alarm: StandingAlarm
    at: datetime

    @property
    def episode(self) -> int:
        return self.alarm.episode


class Over(Value, frozen=True, kw_only=True):
    episode: int


Standing = Mapping[Place, Raised | Over]
"""Of what was never told there is nothing, which is as if its episode 0 were over."""
NOTHING_STANDS: Standing = {}
_NEVER = Over(episode=0)


class JudgeGateways(Command, frozen=True, kw_only=True):
    """All that anything was heard of within the hour."""

    at: datetime
    health: tuple[GatewayHealth, ...]


class JudgeProjection(Command, frozen=True, kw_only=True):
    """One group on one topic, all of whose partitions were seen just now."""

    group: str
    topic: str
    still_s: Mapping[int, float]
    """Seconds since each partition moved that has something before it."""
    records: int
    """Not yet taken in, of all partitions."""
    behind_s: float
    """How long the oldest of them has waited."""


def evolve(standing: Standing, recorded: Recorded[Event]) -> Standing:
    event = recorded.event
    match event:
        case SuccessRateDropped() | GatewayDegraded() | ProjectionStalled():
            place = place_of(event)
            before = standing.get(place, _NEVER)
            if isinstance(before, Over) and event.episode == before.episode + 1:
                return {**standing, place: Raised(alarm=event, at=recorded.envelope.at)}
        case SuccessRateDropEnded() | GatewayDegradationEnded() | ProjectionStallEnded():
            place = place_of(event)
            before = standing.get(place, _NEVER)
            if isinstance(before, Raised) and event.episode == before.episode:
                return {**standing, place: Over(episode=event.episode)}
        case _:
            pass  # alarms of payments, which stand by themselves
    return standing


def place_of(event: StandingAlarm | StandingEnd) -> Place:
    match event:
        case SuccessRateDropped() | SuccessRateDropEnded():
            return "success_rate", subject_of(event)
        case GatewayDegraded() | GatewayDegradationEnded():
            return "latency", subject_of(event)
        case ProjectionStalled() | ProjectionStallEnded():
            return "stall", subject_of(event)
        case _:
            assert_never(event)


def decide(command: JudgeGateways | JudgeProjection, standing: Standing) -> list[StandingAlarm | StandingEnd]:
    match command:
        case JudgeGateways():
            return [*_raised(command, standing), *_ended(command, standing)]
        case JudgeProjection():
            return _judged(command, standing)
        case _:
            assert_never(command)


def _raised(command: JudgeGateways, standing: Standing) -> Iterator[StandingAlarm]:
    for health in command.health:
        subject = f"{health.gateway}:{health.payment_method}"
        rate, latency = (
            standing.get(("success_rate", subject), _NEVER),
            standing.get(("latency", subject), _NEVER),
        )
        if isinstance(rate, Over) and has_dropped(health):
            yield SuccessRateDropped(
                gateway=health.gateway,
                payment_method=health.payment_method,
                episode=rate.episode + 1,
                rate=health.rate,
                outcomes=health.outcomes,
                usual_rate=health.usual_succeeded / (health.usual_succeeded + health.usual_failed),
            )
        p90, usual_p95 = health.latency_ms_p90, health.usual_latency_ms_p95
        is_known = health.calls >= CALLS_MIN and health.usual_calls >= CALLS_MIN
        if isinstance(latency, Over) and is_known and p90 and usual_p95 and p90 > SLOWER * usual_p95:
            yield GatewayDegraded(
                gateway=health.gateway,
                payment_method=health.payment_method,
                episode=latency.episode + 1,
                latency_ms_p90=p90,
                calls=health.calls,
                usual_latency_ms_p95=usual_p95,
            )


def has_dropped(health: GatewayHealth) -> bool:
    """Usual rate - rate > DROP, by the lower end of the interval for a difference of two proportions that adds a
    success and a failure to each (Agresti and Caffo 2000), which is sensible for few outcomes and rates near 1."""
    usual = health.usual_succeeded + health.usual_failed
    if health.outcomes < OUTCOMES_MIN or usual < USUAL_OUTCOMES_MIN:
        return False
    rate, before = (health.succeeded + 1) / (health.outcomes + 2), (health.usual_succeeded + 1) / (usual + 2)
    deviation = sqrt(rate * (1 - rate) / (health.outcomes + 2) + before * (1 - before) / (usual + 2))
    return before - rate - CREDIBLE * deviation > DROP


def _ended(command: JudgeGateways, standing: Standing) -> Iterator[StandingEnd]:
    heard = {f"{health.gateway}:{health.payment_method}": health for health in command.health}
    for (_, subject), raised in standing.items():
        if not isinstance(raised, Raised) or isinstance(raised.alarm, ProjectionStalled):
            continue
        alarm, health = raised.alarm, heard.get(subject)
        if (because := _because(raised, health, command.at)) is None:
            continue
        match alarm:
            case SuccessRateDropped():
                yield SuccessRateDropEnded(
                    gateway=alarm.gateway,
                    payment_method=alarm.payment_method,
                    episode=alarm.episode,
                    because=because,
                    rate=health.rate if health and health.outcomes else None,
                    outcomes=health.outcomes if health else 0,
                )
            case GatewayDegraded():
                yield GatewayDegradationEnded(
                    gateway=alarm.gateway,
                    payment_method=alarm.payment_method,
                    episode=alarm.episode,
                    because=because,
                    latency_ms_p90=health.latency_ms_p90 if health else None,
                    calls=health.calls if health else 0,
                )


def _because(raised: Raised, health: GatewayHealth | None, at: datetime) -> Because | None:
    if health is None:
        return "silent"
    if at - raised.at > USUAL_AFTER:
        return "usual_by_now"
    return "recovered" if _is_back(raised.alarm, health) else None


def _is_back(alarm: StandingAlarm, health: GatewayHealth) -> bool:
    match alarm:
        case SuccessRateDropped(usual_rate=usual):
            return health.outcomes >= OUTCOMES_MIN and health.rate >= usual - BACK_WITHIN
        case GatewayDegraded(usual_latency_ms_p95=usual_ms):
            p90 = health.latency_ms_p90
            return health.calls >= OUTCOMES_MIN and p90 is not None and p90 <= AS_FAST * usual_ms
        case _:
            return False


def _judged(command: JudgeProjection, standing: Standing) -> list[StandingAlarm | StandingEnd]:
    found = standing.get(("stall", f"{command.group}:{command.topic}"), _NEVER)
    stalled = tuple(sorted(p for p, seconds in command.still_s.items() if seconds >= STALLED_FOR_S))
    if isinstance(found, Over) and stalled:
        return [
            ProjectionStalled(
                group=command.group,
                topic=command.topic,
                episode=found.episode + 1,
                partitions=stalled,
                records=command.records,
            )
        ]
    if isinstance(found, Raised) and command.behind_s <= CAUGHT_UP_S:
        return [ProjectionStallEnded(group=command.group, topic=command.topic, episode=found.episode)]
    return []
