"""`GET /bandit/state`: what is believed of every gateway in every segment, and how likely each is to be drawn."""

from datetime import UTC, datetime
from typing import get_args

from scipy.special import betaincinv
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from api.answers import json_response
from commands.ports import RoutingFacts
from commands.routing.bandit import Arm, propensities
from projections.posteriors import BUCKET_S
from schemas.base import Value
from schemas.circuit import CircuitStatus
from schemas.ids import GatewayId
from schemas.instrument import PaymentMethod
from schemas.routing import Facts, Posterior
from schemas.routing_configuration import BanditPolicy

_METHODS: tuple[PaymentMethod, ...] = get_args(PaymentMethod)


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
                segments=tuple(_segment(segment, facts) for segment in segments if wanted in (None, segment)),
            )
        )


def _segment(segment: str, facts: Facts) -> SegmentState:
    known = sorted((gateway, one) for (gateway, of), one in facts.posteriors.items() if of == segment)
    policy = facts.configuration.bandit(segment)
    circuits = {gateway: _circuit(gateway, segment, facts) for gateway, _ in known}
    drawn = [
        (gateway, one) for gateway, one in known if circuits[gateway] in (None, "CLOSED", "FORCED_CLOSED")
    ]
    chances = propensities([Arm(alpha=one.alpha, beta=one.beta) for _, one in drawn], policy)
    chance_of = dict(zip((gateway for gateway, _ in drawn), chances, strict=True))
    return SegmentState(
        segment=segment,
        policy=policy,
        arms=tuple(
            _arm(gateway, posterior, circuits[gateway], chance_of.get(gateway))
            for gateway, posterior in known
        ),
    )


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


def _circuit(gateway: GatewayId, segment: str, facts: Facts) -> CircuitStatus | None:
    """None where the segment's name does not begin with a method, and so has no circuit of its own."""
    method = next((one for one in _METHODS if one == segment.partition(":")[0]), None)
    return facts.circuit(gateway, method).status if method is not None else None
