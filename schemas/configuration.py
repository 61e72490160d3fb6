"""What is set for the whole service, as events on `configuration.events.v1`, and what may be asked to be set.

A version is the offset after the event that set it. Each event names the version of its aggregate that it was written
instead of; the log is the judge: if that is no longer the version there, the event is void for every reader.
"""

from typing import Annotated, assert_never

import msgspec
from msgspec import Meta

from schemas.base import Command, Event, Value
from schemas.customer import CustomerForgotten
from schemas.gateway import GatewayConfiguration, GatewayTerms
from schemas.ids import GatewayId
from schemas.routing_configuration import (
    Affinity,
    AlternativePolicy,
    BanditPolicy,
    KillSwitch,
    MerchantRetryPolicy,
    RoutingRules,
    ScoringWeights,
    Segmentation,
)
from schemas.webhook import WebhookEvent, webhook_aggregate

Version = Annotated[int, Meta(ge=0)]

SCORING = "scoring"
ROUTING_RULES = "routing-rules"
SEGMENTATION = "segmentation"
SHADOW = "shadow-policy"


def bandit(segment: str) -> str:
    """The aggregate of a segment's bandit policy."""
    return f"bandit:{segment}"


def gateway(id: GatewayId) -> str:
    """The aggregate of a gateway's terms."""
    return f"gateway:{id}"


def retry_policy(merchant_id: str) -> str:
    """The aggregate of a merchant's retry policy."""
    return f"retry-policy:{merchant_id}"


KILL_SWITCH = "kill-switch:"


def kill_switch(switch: KillSwitch) -> str:
    """The aggregate of a kill switch: `kill-switch:gateway:razorpay`."""
    return f"{KILL_SWITCH}{kind_of(switch)}:{switch.name}"


def kind_of(switch: KillSwitch) -> str:
    return str(switch.__struct_config__.tag)


# Commands: `instead_of_version` is what the asker has seen


class SetScoringWeights(Command, frozen=True, kw_only=True):
    weights: ScoringWeights
    affinities: tuple[Affinity, ...]
    gateways: tuple[GatewayConfiguration, ...]
    by: str
    note: str
    instead_of_version: int


class SetRoutingRules(Command, frozen=True, kw_only=True):
    rules: RoutingRules
    gateways: tuple[GatewayConfiguration, ...]
    by: str
    note: str
    instead_of_version: int


class SetSegmentation(Command, frozen=True, kw_only=True):
    segmentation: Segmentation
    by: str
    note: str
    instead_of_version: int


class SetBanditPolicy(Command, frozen=True, kw_only=True):
    """Of one segment, or of `*`: every segment that has none of its own."""

    segment: str
    policy: BanditPolicy
    by: str
    note: str
    instead_of_version: int


class SetGateway(Command, frozen=True, kw_only=True):
    gateway: GatewayId
    terms: GatewayTerms
    configured: tuple[GatewayConfiguration, ...]
    """As they are where nobody has set anything of them."""
    by: str
    note: str
    instead_of_version: int


class SetRetryPolicy(Command, frozen=True, kw_only=True):
    """Of one merchant; None is the default again."""

    merchant_id: str
    policy: MerchantRetryPolicy | None
    by: str
    note: str
    instead_of_version: int


class SetShadowPolicy(Command, frozen=True, kw_only=True):
    """None: there is no shadow any more."""

    policy: AlternativePolicy | None
    gateways: tuple[GatewayConfiguration, ...]
    by: str
    note: str
    instead_of_version: int


class TurnKillSwitch(Command, frozen=True, kw_only=True):
    switch: KillSwitch
    on: bool
    gateways: tuple[GatewayConfiguration, ...]
    by: str
    note: str
    instead_of_version: int


SetRouting = (
    SetScoringWeights
    | SetRoutingRules
    | SetSegmentation
    | SetBanditPolicy
    | SetGateway
    | SetRetryPolicy
    | SetShadowPolicy
    | TurnKillSwitch
)

# Events


class ReservationStoreAdopted(Event, frozen=True, kw_only=True):
    """This Postgres holds the reservations from now on; another one may have forgotten some."""

    system_identifier: str
    timeline: int
    database: int = 0
    """The database's own number in its cluster (its OID)."""


class ScoringWeightsSet(Event, frozen=True, kw_only=True):
    weights: ScoringWeights
    affinities: tuple[Affinity, ...]
    by: str
    note: str
    instead_of_version: Version


class RoutingRulesSet(Event, frozen=True, kw_only=True):
    """All rules, in order; those before are gone."""

    rules: RoutingRules
    by: str
    note: str
    instead_of_version: Version


class SegmentationSet(Event, frozen=True, kw_only=True):
    segmentation: Segmentation
    by: str
    note: str
    instead_of_version: Version


class BanditPolicySet(Event, frozen=True, kw_only=True):
    segment: str
    policy: BanditPolicy
    by: str
    note: str
    instead_of_version: Version


class GatewaySet(Event, frozen=True, kw_only=True):
    """All that is set of it; what `terms` do not say is as the gateway is configured."""

    gateway: GatewayId
    terms: GatewayTerms
    by: str
    note: str
    instead_of_version: Version


class RetryPolicySet(Event, frozen=True, kw_only=True):
    """Without a policy the merchant has the default again."""

    merchant_id: str
    policy: MerchantRetryPolicy | None
    by: str
    note: str
    instead_of_version: Version


class ShadowPolicySet(Event, frozen=True, kw_only=True):
    """It is computed beside every route from now on; without a policy nothing is."""

    policy: AlternativePolicy | None
    by: str
    note: str
    instead_of_version: Version


class KillSwitchTurnedOn(Event, frozen=True, kw_only=True):
    """What it is for is off from now on."""

    switch: KillSwitch
    by: str
    note: str
    instead_of_version: Version


class KillSwitchTurnedOff(Event, frozen=True, kw_only=True):
    switch: KillSwitch
    by: str
    note: str
    instead_of_version: Version


class UnreadSet(Event, frozen=True, kw_only=True):
    """What a process cannot read that is too old for it: that it was set is known, and what is not. It is never
    written."""

    aggregate: str
    by: str
    note: str
    instead_of_version: Version


RoutingSet = (
    ScoringWeightsSet
    | RoutingRulesSet
    | SegmentationSet
    | BanditPolicySet
    | GatewaySet
    | RetryPolicySet
    | ShadowPolicySet
    | KillSwitchTurnedOn
    | KillSwitchTurnedOff
)
ConfigurationEvent = ReservationStoreAdopted | CustomerForgotten | RoutingSet | WebhookEvent
Heard = ConfigurationEvent | UnreadSet


def aggregate_of(asked: SetRouting | RoutingSet | WebhookEvent | UnreadSet) -> str:
    if isinstance(asked, WebhookEvent):
        return webhook_aggregate(asked)
    match asked:
        case SetScoringWeights() | ScoringWeightsSet():
            return SCORING
        case SetRoutingRules() | RoutingRulesSet():
            return ROUTING_RULES
        case SetSegmentation() | SegmentationSet():
            return SEGMENTATION
        case SetBanditPolicy(segment=segment) | BanditPolicySet(segment=segment):
            return bandit(segment)
        case SetGateway(gateway=id) | GatewaySet(gateway=id):
            return gateway(id)
        case SetRetryPolicy(merchant_id=merchant_id) | RetryPolicySet(merchant_id=merchant_id):
            return retry_policy(merchant_id)
        case SetShadowPolicy() | ShadowPolicySet():
            return SHADOW
        case (
            TurnKillSwitch(switch=switch)
            | KillSwitchTurnedOn(switch=switch)
            | KillSwitchTurnedOff(switch=switch)
        ):
            return kill_switch(switch)
        case UnreadSet(aggregate=aggregate):
            return aggregate
        case _:
            assert_never(asked)


class _Outline(Value, frozen=True, kw_only=True):
    by: str
    note: str
    instead_of_version: Version


_outline = msgspec.json.Decoder(_Outline)


def unread(value: bytes, aggregate: str) -> UnreadSet:
    """Without what it sets; the versions can then still be followed. Raises DecodeError for anything else."""
    outline = _outline.decode(value)
    return UnreadSet(
        aggregate=aggregate,
        by=outline.by,
        note=outline.note,
        instead_of_version=outline.instead_of_version,
    )
