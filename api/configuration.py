"""How routing is configured: rules, weights, segments, bandit and shadow policies, read and set by operators.

Each has a version of its own, which is its entity tag: who sets it names, in If-Match, the one that they have seen.
"""

import msgspec
from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from api import headers
from api.admin import Admin, Endpoint, signed
from api.answers import json_response
from api.body import BodyLimits, invalid, json_body, optional_json_body
from api.configuration_answers import (
    policies_answer,
    policy_answer,
    rules_answer,
    segmentation_answer,
    shadow_answer,
    shown,
    told,
    weights_answer,
)
from api.ports import Configuration
from commands.ports import RoutingFacts
from commands.routing.configuration import Configured
from commands.routing.configuration_faults import faults_in, is_segment
from schemas.configuration import (
    SetBanditPolicy,
    SetRouting,
    SetRoutingRules,
    SetScoringWeights,
    SetSegmentation,
    SetShadowPolicy,
    bandit,
)
from schemas.errors import Refusal, Refused
from schemas.routing_bodies import (
    BanditPolicyBody,
    RoutingRulesBody,
    ScoringWeightsBody,
    SegmentationBody,
    ShadowPolicyBody,
)
from schemas.routing_configuration import (
    BanditPolicy,
    RoutingRules,
    Segmentation,
)

_RULES = msgspec.json.Decoder(RoutingRulesBody)
_WEIGHTS = msgspec.json.Decoder(ScoringWeightsBody)
_SEGMENTATION = msgspec.json.Decoder(SegmentationBody)
_SHADOW = msgspec.json.Decoder(ShadowPolicyBody)
_POLICY = msgspec.json.Decoder(BanditPolicyBody)


class ConfigurationRoutes:
    def __init__(
        self, admin: Admin, configuration: Configuration, facts: RoutingFacts, limits: BodyLimits
    ) -> None:
        self._admin = admin
        self._configuration = configuration
        self._facts = facts
        self._limits = limits

    def routes(self) -> list[Route]:
        only = self._admin.only
        policy = "/bandit/policy/{segment}"
        return [
            self._document("/routing-rules", self.show_rules, self.set_rules),
            self._document("/scoring/weights", self.show_weights, self.set_weights),
            self._document("/bandit/segmentation", self.show_segmentation, self.set_segmentation),
            self._document("/shadow-policy", self.show_shadow, self.set_shadow),
            Route("/bandit/policy", only(self.show_policies, "read"), methods=["GET"]),
            Route(f"{policy}/enable", only(self.enable, "configuration"), methods=["POST"]),
            Route(f"{policy}/disable", only(self.disable, "configuration"), methods=["POST"]),
        ]

    def _document(self, path: str, show: Endpoint, put: Endpoint) -> Route:
        """One route for both, so that a 405 names both."""

        async def show_or_put(request: Request) -> Response:
            return await (put if request.method == "PUT" else show)(request)

        return Route(path, self._admin.read_or(show_or_put, "configuration"), methods=["GET", "PUT"])

    async def show_rules(self, request: Request) -> Response:
        return shown(request, rules_answer(self._configuration.loaded()))

    async def show_weights(self, request: Request) -> Response:
        return shown(request, weights_answer(self._configuration.loaded()))

    async def show_segmentation(self, request: Request) -> Response:
        return shown(request, segmentation_answer(self._configuration.loaded()))

    async def show_shadow(self, request: Request) -> Response:
        return shown(request, shadow_answer(self._configuration.loaded()))

    async def show_policies(self, _: Request) -> Response:
        return json_response(policies_answer(self._configuration.loaded()))

    async def set_rules(self, request: Request) -> Response:
        version = headers.if_match(request)
        body = await json_body(request, _RULES, self._limits)
        command = SetRoutingRules(
            rules=RoutingRules(rules=body.rules),
            gateways=self._facts.gateways(),
            by=body.by,
            note=body.note,
            instead_of_version=version,
        )
        return told(rules_answer(await self._set(command, request)))

    async def set_weights(self, request: Request) -> Response:
        version = headers.if_match(request)
        body = await json_body(request, _WEIGHTS, self._limits)
        command = SetScoringWeights(
            weights=body.weights,
            affinities=body.affinities,
            gateways=self._facts.gateways(),
            by=body.by,
            note=body.note,
            instead_of_version=version,
        )
        return told(weights_answer(await self._set(command, request)))

    async def set_segmentation(self, request: Request) -> Response:
        version = headers.if_match(request)
        body = await json_body(request, _SEGMENTATION, self._limits)
        command = SetSegmentation(
            segmentation=Segmentation(dimensions=body.dimensions, merchant_tiers=body.merchant_tiers),
            by=body.by,
            note=body.note,
            instead_of_version=version,
        )
        return told(segmentation_answer(await self._set(command, request)))

    async def set_shadow(self, request: Request) -> Response:
        version = headers.if_match(request)
        body = await json_body(request, _SHADOW, self._limits)
        command = SetShadowPolicy(
            policy=body.policy,
            gateways=self._facts.gateways(),
            by=body.by,
            note=body.note,
            instead_of_version=version,
        )
        return told(shadow_answer(await self._set(command, request)))

    async def enable(self, request: Request) -> Response:
        return await self._set_policy(request, enabled=True)

    async def disable(self, request: Request) -> Response:
        return await self._set_policy(request, enabled=False)

    async def _set_policy(self, request: Request, *, enabled: bool) -> Response:
        """Without If-Match it is set instead of whatever is known here."""
        segment: str = request.path_params["segment"]
        body = await optional_json_body(request, _POLICY, self._limits, BanditPolicyBody())
        configured = self._configuration.loaded()
        if not (
            segment in configured.routing.bandits or is_segment(segment, configured.routing.segmentation)
        ):
            raise Refused(Refusal.SEGMENT_NOT_FOUND, "As payments are segmented now, none is of this one.")
        known = configured.setting(bandit(segment)).version
        command = SetBanditPolicy(
            segment=segment,
            policy=_policy(configured.routing.bandit(segment), body, enabled=enabled),
            by=body.by,
            note=body.note,
            instead_of_version=headers.if_match(request, otherwise=known),
        )
        return told(policy_answer(segment, await self._set(command, request)))

    async def _set(self, command: SetRouting, request: Request) -> Configured:
        if faults := faults_in(command):
            raise invalid(*faults)
        command = replace(command, by=signed(request, command.by))
        return await self._configuration.set(command, request.state.request_id)


def _policy(before: BanditPolicy, body: BanditPolicyBody, *, enabled: bool) -> BanditPolicy:
    def given(budget: float | None, otherwise: float) -> float:
        return otherwise if budget is None else budget

    return BanditPolicy(
        enabled=enabled,
        exploration_share=given(body.exploration_share, before.exploration_share),
        worse_by=given(body.worse_by, before.worse_by),
        sharpness=given(body.sharpness, before.sharpness),
        expected_loss=given(body.expected_loss, before.expected_loss),
    )
