"""`POST /routing-rules/dry-run`: the route that a payment would get now, or under other rules, without making it."""

from collections.abc import Mapping

import msgspec
from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from api import headers
from api.admin import Admin
from api.answers import json_response
from api.body import BodyLimits, invalid, json_body
from api.ports import Configuration, DryRun
from commands.ports import RoutingFacts
from commands.routing.experiments import Routed, routed
from commands.routing.rule_faults import rule_faults_in
from commands.routing.unreached_rules import warnings_in
from schemas.base import Value
from schemas.http import FieldError, faults_in
from schemas.instrument import masked
from schemas.payment import ExperimentAssigned, Order, PaymentRouted
from schemas.routing import Candidate, Decision, Excluded, Strategy
from schemas.routing_bodies import DryRunBody
from schemas.routing_configuration import RoutingConfiguration, RoutingRules

_DECODER = msgspec.json.Decoder(DryRunBody)


class RouteAnswer(Value, frozen=True, kw_only=True):
    """Candidates in the order they would be tried, with their scores and the probability of each to be the first; none
    means that the payment would be refused. `decision` is what the order follows from; `experiment` and `variant` are
    there if an experiment would make a difference to this payment."""

    strategy: Strategy
    reason: str
    candidates: tuple[Candidate, ...]
    excluded: tuple[Excluded, ...]
    decision: Decision | None
    experiment: str | None
    variant: str | None


class DryRunAnswer(Value, frozen=True, kw_only=True):
    """`configuration_version` is None for rules that are only proposed."""

    configuration_version: int | None
    route: RouteAnswer
    warnings: tuple[FieldError, ...]


class CurrentRoute:
    """The route as the payment service would choose it."""

    def __init__(self, facts: RoutingFacts) -> None:
        self._facts = facts

    def route(self, order: Order, configuration: RoutingConfiguration) -> Routed:
        """Nothing is drawn: where chance decides, the best score leads, and each has its propensity beside it."""
        facts = replace(self._facts.facts(), configuration=configuration, propensities={})
        return routed(order, self._facts.gateways(), self._facts.retry_policy(order.merchant_id), facts)


class DryRunRoutes:
    def __init__(
        self,
        admin: Admin,
        configuration: Configuration,
        dry_run: DryRun,
        facts: RoutingFacts,
        limits: BodyLimits,
    ) -> None:
        self._admin = admin
        self._configuration = configuration
        self._dry_run = dry_run
        self._facts = facts
        self._limits = limits

    def routes(self) -> list[Route]:
        return [Route("/routing-rules/dry-run", self._admin.only(self.try_out, "read"), methods=["POST"])]

    async def try_out(self, request: Request) -> Response:
        """For operators only: it tells what is agreed with merchants, and with which gateways."""
        attributes = headers.attributes(request.scope)
        body = await json_body(request, _DECODER, self._limits)
        faults = faults_in(body)
        if body.rules is not None:
            faults += rule_faults_in(RoutingRules(rules=body.rules), self._facts.gateways())
        if faults:
            raise invalid(*faults)
        configuration = self._configuration.loaded().routing
        if body.rules is not None:
            configuration = replace(configuration, rules=RoutingRules(rules=body.rules))
        assigned, routed = self._dry_run.route(_order(body, attributes), configuration)
        version = configuration.version if body.rules is None else None
        return json_response(_answer(configuration, version, assigned, routed))


def _order(body: DryRunBody, attributes: Mapping[str, str]) -> Order:
    return Order(
        merchant_id=body.merchant_id,
        customer_id=body.customer_id,
        amount_minor=body.amount_minor,
        currency=body.currency,
        payment_method=body.payment_method,
        instrument=masked(body.instrument),
        attributes=dict(attributes),
    )


def _answer(
    configuration: RoutingConfiguration,
    version: int | None,
    assigned: ExperimentAssigned | None,
    routed: PaymentRouted,
) -> DryRunAnswer:
    return DryRunAnswer(
        configuration_version=version,
        route=RouteAnswer(
            strategy=routed.strategy,
            reason=routed.reason,
            candidates=routed.candidates,
            excluded=routed.excluded,
            decision=routed.decision,
            experiment=assigned.experiment_id if assigned else None,
            variant=assigned.variant if assigned else None,
        ),
        warnings=tuple(warnings_in(configuration.rules)),
    )
