"""`GET /bandit/state`: what is believed of every gateway in every segment, and how likely each is to be drawn."""

from datetime import UTC, datetime

from scipy.special import betaincinv
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from api.answers import json_response
from commands.ports import RoutingFacts
from commands.routing.bandit import Arm, propensities
from schemas.base import Value
from schemas.circuit import ADMITTING, CircuitStatus
from schemas.gateway import GatewayConfiguration
from schemas.ids import GatewayId
from schemas.instrument import PAYMENT_METHODS, PaymentMethod
from schemas.metrics import BUCKET_S
from schemas.routing import UNKNOWN, Facts, Posterior
from schemas.routing_configuration import BanditPolicy


class ArmState(Value, frozen=True, kw_only=True):
    """The success rate is believed to be Beta(alpha, beta); `low` and `high` bound it with 95 %, equal-tailed.

    `propensity` is that of success rates alone, before costs and this or that payment's issuer. An arm whose circuit is
    not closed is frozen: nothing is drawn for it, and it has none.
    """

    gateway: GatewayId
    alpha: float
    beta: float
    mean: float
    low: float
    high: float
    effective_sample: float
    last_change_at: datetime | None
    circuit: CircuitStatus | None
    is_frozen: bool
    propensity: float | None


class SegmentState(Value, frozen=True, kw_only=True):
    segment: str
    policy: BanditPolicy
    arms: tuple[ArmState, ...]


class BanditState(Value, frozen=True, kw_only=True):
    configuration_version: int
    health_version: int
    segments: tuple[SegmentState, ...]


class BanditStateRoutes:
    def __init__(self, facts: RoutingFacts) -> None:
        self._facts = facts

    def routes(self) -> list[Route]:
        return [Route("/bandit/state", self.show, methods=["GET"])]

    async def show(self, request: Request) -> Response:
        facts = self._facts.facts()
        named = {segment for segment in facts.configuration.bandits if segment != "*"}
        segments = sorted(named | {segment for _, segment in facts.posteriors})
        wanted = request.query_params.get("segment")
        return json_response(
            BanditState(
                configuration_version=facts.configuration.version,
                health_version=facts.health_version,
                segments=tuple(
                    _segment(segment, facts, self._facts.gateways())
                    for segment in segments
                    if wanted in (None, segment)
                ),
            )
        )


def _segment(segment: str, facts: Facts, gateways: tuple[GatewayConfiguration, ...]) -> SegmentState:
    method = _method(segment)
    arms = [one.id for one in gateways if method is None or method in one.payment_methods]
    posteriors = {one: _posterior(one, segment, method, facts) for one in arms}
    circuits = {one: facts.circuit(one, method).status if method is not None else None for one in arms}
    drawn = [one for one in arms if circuits[one] is None or circuits[one] in ADMITTING]
    policy = facts.configuration.bandit(segment)
    chances = propensities(
        [Arm(alpha=posteriors[one].alpha, beta=posteriors[one].beta) for one in drawn], policy
    )
    chance_of = dict(zip(drawn, chances, strict=True))
    return SegmentState(
        segment=segment,
        policy=policy,
        arms=tuple(_arm(one, posteriors[one], circuits[one], chance_of.get(one)) for one in arms),
    )


def _posterior(gateway: GatewayId, segment: str, method: PaymentMethod | None, facts: Facts) -> Posterior:
    if method is None:
        return facts.posteriors.get((gateway, segment), UNKNOWN)
    return facts.posterior(gateway, segment, method)


def _arm(
    gateway: GatewayId, posterior: Posterior, circuit: CircuitStatus | None, propensity: float | None
) -> ArmState:
    changed = posterior.changed_at
    return ArmState(
        gateway=gateway,
        alpha=posterior.alpha,
        beta=posterior.beta,
        mean=posterior.mean,
        low=float(betaincinv(posterior.alpha, posterior.beta, 0.025)),
        high=float(betaincinv(posterior.alpha, posterior.beta, 0.975)),
        effective_sample=posterior.effective_sample,
        last_change_at=datetime.fromtimestamp(changed * BUCKET_S, UTC) if changed is not None else None,
        circuit=circuit,
        is_frozen=propensity is None,
        propensity=propensity,
    )


def _method(segment: str) -> PaymentMethod | None:
    """None where the segment's name does not begin with a method, and so has no circuits of its own."""
    return next((one for one in PAYMENT_METHODS if one == segment.partition(":")[0]), None)
