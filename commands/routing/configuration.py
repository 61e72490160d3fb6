"""What is configured: the fold of `configuration.events.v1`, and what may be set instead.

The fold is the judge between two who write at once. What a proposal itself does wrong is told in
`configuration_faults.py`.
"""

from datetime import datetime
from typing import assert_never

import msgspec
from msgspec.structs import replace

from commands.routing.gateways import in_force, served
from commands.routing.kill_switches import is_on, turned
from schemas.base import Value
from schemas.configuration import (
    BanditPolicySet,
    GatewaySet,
    Heard,
    KillSwitchTurnedOff,
    KillSwitchTurnedOn,
    ReservationStoreAdopted,
    RetryPolicySet,
    RoutingRulesSet,
    RoutingSet,
    ScoringWeightsSet,
    SegmentationSet,
    SetBanditPolicy,
    SetGateway,
    SetRetryPolicy,
    SetRouting,
    SetRoutingRules,
    SetScoringWeights,
    SetSegmentation,
    SetShadowPolicy,
    ShadowPolicySet,
    TurnKillSwitch,
    UnreadSet,
    aggregate_of,
)
from schemas.customer import CustomerForgotten
from schemas.envelope import Recorded
from schemas.errors import Refusal, Refused
from schemas.gateway import NO_TERMS
from schemas.routing_configuration import RoutingConfiguration
from schemas.webhook import WebhookSet, WebhooksReplayed


class Setting(Value, frozen=True, kw_only=True):
    """Who set an aggregate as it stands, when and why. Version 0: nobody did, and the defaults are in force."""

    version: int = 0
    by: str | None = None
    note: str | None = None
    at: datetime | None = None


class Configured(Value, frozen=True, kw_only=True):
    routing: RoutingConfiguration = RoutingConfiguration()
    settings: dict[str, Setting] = msgspec.field(default_factory=dict)
    """By aggregate, of those that were ever set."""
    unread: dict[str, int] = msgspec.field(default_factory=dict)
    """The versions that count and that this process is too old to read; it goes on with those before."""

    def setting(self, aggregate: str) -> Setting:
        return self.settings.get(aggregate) or _NEVER_SET

    def version(self, aggregate: str) -> int:
        """That which counts on the log."""
        return self.unread.get(aggregate) or self.setting(aggregate).version


_NEVER_SET = Setting()
INITIAL = Configured()
_MOST_NAMED = 8
Fact = ReservationStoreAdopted | WebhooksReplayed | CustomerForgotten
"""What sets nothing, and so has no version."""


def decide(command: SetRouting, configured: Configured) -> list[RoutingSet]:
    """`[]` when it is so already. Raises Refused if it was set again since the asker looked, or must not be."""
    aggregate = aggregate_of(command)
    version = configured.version(aggregate)
    if aggregate in configured.unread:
        raise Refused(
            Refusal.STALE_VERSION,
            f"Version {version} is in force, and this process is too old for it: ask a newer one.",
        )
    if version != command.instead_of_version:
        raise Refused(Refusal.STALE_VERSION, f"Version {version} is in force: look at it first.")
    if _is_so(command, configured.routing, is_default=version == 0):
        return []
    if isinstance(command, SetGateway):
        _leaves_no_method_without_a_gateway(command, configured.routing)
    return [_set(command)]


def _is_so(command: SetRouting, routing: RoutingConfiguration, *, is_default: bool) -> bool:
    """A default that somebody asks for is set all the same: a later version of this service may have another."""
    match command:
        case SetScoringWeights():
            is_so = (command.weights, command.affinities) == (routing.weights, routing.affinities)
            return is_so and not is_default
        case SetRoutingRules():
            return command.rules == routing.rules and not is_default
        case SetSegmentation():
            return command.segmentation == routing.segmentation and not is_default
        case SetBanditPolicy():
            return command.policy == routing.bandits.get(command.segment)
        case SetGateway():
            return command.terms == routing.gateways.get(command.gateway, NO_TERMS)
        case SetRetryPolicy():
            return command.policy == routing.retry_policies.get(command.merchant_id)
        case SetShadowPolicy():
            return command.policy == routing.shadow
        case TurnKillSwitch():
            return command.on == is_on(command.switch, routing.off)
        case _:
            assert_never(command)


def _leaves_no_method_without_a_gateway(command: SetGateway, routing: RoutingConfiguration) -> None:
    """Raises Refused: nobody is to lock all payments of a method out unawares. Who means it has the kill switch."""
    after = {**routing.gateways, command.gateway: command.terms}
    before = served(in_force(command.configured, routing.gateways), routing.off)
    if lost := sorted(before - served(in_force(command.configured, after), routing.off)):
        named = ", ".join(f"{method} in {currency}" for method, currency in lost[:_MOST_NAMED])
        more = f" and {len(lost) - _MOST_NAMED} more" if len(lost) > _MOST_NAMED else ""
        raise Refused(
            Refusal.NO_GATEWAY_LEFT,
            f"No enabled gateway would be left for {named}{more}: give them another first.",
        )


def _set(command: SetRouting) -> RoutingSet:
    match command:
        case SetScoringWeights():
            return ScoringWeightsSet(
                weights=command.weights,
                affinities=command.affinities,
                by=command.by,
                note=command.note,
                instead_of_version=command.instead_of_version,
            )
        case SetRoutingRules():
            return RoutingRulesSet(
                rules=command.rules,
                by=command.by,
                note=command.note,
                instead_of_version=command.instead_of_version,
            )
        case SetSegmentation():
            return SegmentationSet(
                segmentation=command.segmentation,
                by=command.by,
                note=command.note,
                instead_of_version=command.instead_of_version,
            )
        case SetBanditPolicy():
            return BanditPolicySet(
                segment=command.segment,
                policy=command.policy,
                by=command.by,
                note=command.note,
                instead_of_version=command.instead_of_version,
            )
        case SetGateway():
            return GatewaySet(
                gateway=command.gateway,
                terms=command.terms,
                by=command.by,
                note=command.note,
                instead_of_version=command.instead_of_version,
            )
        case TurnKillSwitch():
            turned_to = KillSwitchTurnedOn if command.on else KillSwitchTurnedOff
            return turned_to(
                switch=command.switch,
                by=command.by,
                note=command.note,
                instead_of_version=command.instead_of_version,
            )
        case SetShadowPolicy():
            return ShadowPolicySet(
                policy=command.policy,
                by=command.by,
                note=command.note,
                instead_of_version=command.instead_of_version,
            )
        case SetRetryPolicy():
            return RetryPolicySet(
                merchant_id=command.merchant_id,
                policy=command.policy,
                by=command.by,
                note=command.note,
                instead_of_version=command.instead_of_version,
            )
        case _:
            assert_never(command)


def evolve(configured: Configured, record: Recorded[Heard]) -> Configured:
    """A void event changes nothing, not even a version."""
    event = record.event
    if isinstance(event, Fact) or is_void(configured, record):
        return configured
    aggregate, version = aggregate_of(event), record.position.offset + 1
    if isinstance(event, UnreadSet):
        return replace(configured, unread={**configured.unread, aggregate: version})
    setting = Setting(version=version, by=event.by, note=event.note, at=record.envelope.at)
    settings = {**configured.settings, aggregate: setting}
    unread = {name: known for name, known in configured.unread.items() if name != aggregate}
    if isinstance(event, WebhookSet):  # judged like all the others, and nothing to do with routing
        return replace(configured, settings=settings, unread=unread)
    return Configured(routing=_with(configured.routing, event, version), settings=settings, unread=unread)


def is_void(configured: Configured, record: Recorded[Heard]) -> bool:
    """Whether its writer had not seen what stands there before it."""
    event = record.event
    if isinstance(event, Fact):
        return record.is_void
    return record.is_void or event.instead_of_version != configured.version(aggregate_of(event))


def _with(routing: RoutingConfiguration, event: RoutingSet, version: int) -> RoutingConfiguration:
    match event:
        case ScoringWeightsSet():
            return replace(routing, version=version, weights=event.weights, affinities=event.affinities)
        case RoutingRulesSet():
            return replace(routing, version=version, rules=event.rules)
        case SegmentationSet():
            return replace(routing, version=version, segmentation=event.segmentation)
        case BanditPolicySet():
            bandits = {**routing.bandits, event.segment: event.policy}
            return replace(routing, version=version, bandits=bandits)
        case GatewaySet():
            gateways = {**routing.gateways, event.gateway: event.terms}
            return replace(routing, version=version, gateways=gateways)
        case RetryPolicySet():
            others = {of: one for of, one in routing.retry_policies.items() if of != event.merchant_id}
            own = {} if event.policy is None else {event.merchant_id: event.policy}
            return replace(routing, version=version, retry_policies={**others, **own})
        case ShadowPolicySet():
            return replace(routing, version=version, shadow=event.policy)
        case KillSwitchTurnedOn():
            return replace(routing, version=version, off=turned(event.switch, routing.off, on=True))
        case KillSwitchTurnedOff():
            return replace(routing, version=version, off=turned(event.switch, routing.off, on=False))
        case _:
            assert_never(event)
