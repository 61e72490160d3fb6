"""What is configured: the fold of `configuration.events.v1`, and what may be set instead.

The fold is the judge between two who write at once. What a proposal itself does wrong is told in
`configuration_faults.py`.
"""

from datetime import datetime
from typing import assert_never

import msgspec
from msgspec.structs import replace

from schemas.base import Value
from schemas.configuration import (
    BanditPolicySet,
    ConfigurationEvent,
    ReservationStoreAdopted,
    RoutingRulesSet,
    RoutingSet,
    ScoringWeightsSet,
    SegmentationSet,
    SetBanditPolicy,
    SetRouting,
    SetRoutingRules,
    SetScoringWeights,
    SetSegmentation,
    aggregate_of,
)
from schemas.envelope import Recorded
from schemas.errors import Refusal, Refused
from schemas.routing_configuration import RoutingConfiguration


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

    def setting(self, aggregate: str) -> Setting:
        return self.settings.get(aggregate) or _NEVER_SET


_NEVER_SET = Setting()
INITIAL = Configured()


def decide(command: SetRouting, configured: Configured) -> list[RoutingSet]:
    """`[]` when it is so already. Raises Refused if it was set again since the asker looked."""
    setting = configured.setting(aggregate_of(command))
    if setting.version != command.instead_of_version:
        raise Refused(Refusal.STALE_VERSION, f"Version {setting.version} is in force: look at it first.")
    return [] if setting.version > 0 and _is_so(command, configured.routing) else [_set(command)]


def _is_so(command: SetRouting, routing: RoutingConfiguration) -> bool:
    match command:
        case SetScoringWeights():
            return (command.weights, command.affinities) == (routing.weights, routing.affinities)
        case SetRoutingRules():
            return command.rules == routing.rules
        case SetSegmentation():
            return command.segmentation == routing.segmentation
        case SetBanditPolicy():
            return command.policy == routing.bandits.get(command.segment)
        case _:
            assert_never(command)


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
        case _:
            assert_never(command)


def evolve(configured: Configured, record: Recorded[ConfigurationEvent]) -> Configured:
    """A void event changes nothing, not even a version."""
    event = record.event
    if isinstance(event, ReservationStoreAdopted) or is_void(configured, record):
        return configured
    version = record.position.offset + 1
    setting = Setting(version=version, by=event.by, note=event.note, at=record.envelope.at)
    return Configured(
        routing=_with(configured.routing, event, version),
        settings={**configured.settings, aggregate_of(event): setting},
    )


def is_void(configured: Configured, record: Recorded[ConfigurationEvent]) -> bool:
    """Whether its writer had not seen what stands there before it."""
    event = record.event
    if isinstance(event, ReservationStoreAdopted):
        return record.is_void
    return record.is_void or event.instead_of_version != configured.setting(aggregate_of(event)).version


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
        case _:
            assert_never(event)
