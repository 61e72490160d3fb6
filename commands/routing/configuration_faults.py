"""What is wrong with a proposed configuration whose every field is well formed by itself: all of it at once.

Pointers are into the body that proposed it (RFC 6901), and nothing quotes what the client sent.
"""

import re
from collections.abc import Iterator, Sequence
from typing import assert_never

from commands.routing.gateways import with_terms
from commands.routing.rule_faults import Gateways, by_id, rule_faults_in, text_faults, unknown_gateway, within
from commands.routing.rules import STANDARD_TIER
from schemas.configuration import (
    SetBanditPolicy,
    SetGateway,
    SetRetryPolicy,
    SetRouting,
    SetRoutingRules,
    SetScoringWeights,
    SetSegmentation,
    SetShadowPolicy,
    TurnKillSwitch,
)
from schemas.gateway import GatewayConfiguration, GatewayTerms
from schemas.http import FieldError, is_party
from schemas.instrument import PAYMENT_METHODS
from schemas.money import EXPONENTS
from schemas.routing_configuration import (
    Affinity,
    GatewaySwitch,
    MerchantSwitch,
    RoutingRules,
    Segmentation,
    SegmentDimension,
)

ANY_SEGMENT = "*"
_BAND = re.compile(r"1e[0-9]")


def faults_in(command: SetRouting) -> list[FieldError]:
    match command:
        case SetRoutingRules():
            faults = rule_faults_in(command.rules, command.gateways)
        case SetScoringWeights():
            faults = list(_of_affinities(command.affinities, by_id(command.gateways)))
        case SetSegmentation():
            faults = list(_of_segmentation(command.segmentation))
        case SetBanditPolicy() | SetRetryPolicy():
            faults = []
        case SetShadowPolicy():
            faults = list(_of_shadow(command))
        case TurnKillSwitch():
            faults = list(_of_switch(command))
        case SetGateway():
            faults = list(_of_gateway(command.terms, by_id(command.configured)[command.gateway]))
        case _:
            assert_never(command)
    return [*faults, *text_faults("/by", command.by), *text_faults("/note", command.note)]


# Weights


def _of_affinities(affinities: Sequence[Affinity], gateways: Gateways) -> Iterator[FieldError]:
    seen: set[tuple[str, str | None, str | None]] = set()
    for place, one in enumerate(affinities):
        here = f"/affinities/{place}"
        key = (one.gateway, one.merchant_id, one.payment_method)
        if key in seen:
            yield FieldError(pointer=here, detail="is about the same as an earlier one")
        seen.add(key)
        if one.merchant_id is None and one.payment_method is None:
            yield FieldError(pointer=here, detail="names neither a merchant_id nor a payment_method")
        yield from text_faults(f"{here}/merchant_id", one.merchant_id or "")
        if one.gateway not in gateways:
            yield unknown_gateway(f"{here}/gateway")
        elif (
            one.payment_method is not None and one.payment_method not in gateways[one.gateway].payment_methods
        ):
            detail = "is none that this gateway takes"
            yield FieldError(pointer=f"{here}/payment_method", detail=detail)


# The shadow


def _of_shadow(command: SetShadowPolicy) -> Iterator[FieldError]:
    """What would be wrong with it in force."""
    policy = command.policy
    if policy is None:
        return
    for fault in rule_faults_in(policy.rules or RoutingRules(), command.gateways):
        yield FieldError(pointer=f"/policy/rules{fault.pointer}", detail=fault.detail)
    for fault in _of_affinities(policy.affinities or (), by_id(command.gateways)):
        yield FieldError(pointer=f"/policy{fault.pointer}", detail=fault.detail)
    for field, named in (("bandits", policy.bandits), ("retry_policies", policy.retry_policies)):
        for name in named or ():
            yield from text_faults(within(f"/policy/{field}", name), name)


# Gateways


def _of_gateway(terms: GatewayTerms, configured: GatewayConfiguration) -> Iterator[FieldError]:
    for field in ("payment_methods", "currencies"):
        named: tuple[str, ...] = getattr(terms, field) or ()
        for place, one in enumerate(named):
            if field == "currencies" and one not in EXPONENTS:
                detail = "is not an ISO 4217 code of a currency in use"
                yield FieldError(pointer=f"/{field}/{place}", detail=detail)
            elif one in named[:place]:
                yield FieldError(pointer=f"/{field}/{place}", detail="is named before")
    gateway = with_terms(configured, terms)
    most = gateway.maximum_amount_minor
    if most is not None and most < gateway.minimum_amount_minor:
        if terms.minimum_amount_minor is not None:
            yield FieldError(pointer="/minimum_amount_minor", detail="is above maximum_amount_minor")
        else:
            yield FieldError(pointer="/maximum_amount_minor", detail="is below minimum_amount_minor")


# Kill switches


def _of_switch(command: TurnKillSwitch) -> Iterator[FieldError]:
    """What was never there may still be turned off: it may have been."""
    match command.switch:
        case GatewaySwitch(name=name) if command.on and name not in by_id(command.gateways):
            yield unknown_gateway("/name")
        case MerchantSwitch(name=name) if not is_party(name):
            yield FieldError(pointer="/name", detail="is no merchant's id")
        case _:
            return


# Segments


def _of_segmentation(segmentation: Segmentation) -> Iterator[FieldError]:
    if not segmentation.dimensions:
        yield FieldError(pointer="/dimensions", detail="is empty: a segment would have no name")
    elif segmentation.dimensions[0] != "payment_method":
        yield FieldError(
            pointer="/dimensions/0", detail="is payment_method: circuits and figures are kept by it"
        )
    for place, dimension in enumerate(segmentation.dimensions):
        if dimension in segmentation.dimensions[:place]:
            yield FieldError(pointer=f"/dimensions/{place}", detail="is named before")
    for merchant in segmentation.merchant_tiers:
        pointer = within("/merchant_tiers", merchant)
        if not 1 <= len(merchant) <= 64:
            yield FieldError(pointer=pointer, detail="is no merchant's id: these have 1 to 64 characters")
        yield from text_faults("/merchant_tiers", merchant)


def is_segment(name: str, segmentation: Segmentation) -> bool:
    """Whether a payment may be of it, or it stands for all of them."""
    parts = name.split(":")
    return name == ANY_SEGMENT or (
        len(parts) == len(segmentation.dimensions)
        and all(
            _is_value(part, dimension, segmentation)
            for part, dimension in zip(parts, segmentation.dimensions, strict=True)
        )
    )


def _is_value(part: str, dimension: SegmentDimension, segmentation: Segmentation) -> bool:
    match dimension:
        case "payment_method":
            return part in PAYMENT_METHODS
        case "merchant_tier":
            return part == STANDARD_TIER or part in segmentation.merchant_tiers.values()
        case "amount_band":
            return _BAND.fullmatch(part) is not None
        case "currency":
            return part in EXPONENTS
        case _:
            assert_never(dimension)
