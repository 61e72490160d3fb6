"""JSON Schema (2020-12) of every event on the log, for consumers that are not written in Python."""

import typing
from typing import Any

import msgspec

from schemas.base import Event
from schemas.circuit import CircuitEvent, CircuitMessage
from schemas.codec import (
    CIRCUIT_OUTCOMES_TOPIC,
    CIRCUITS_TOPIC,
    CONFIGURATION_TOPIC,
    EXPERIMENTS_TOPIC,
    NOTIFICATIONS_TOPIC,
    PAYMENTS_TOPIC,
    RELIABILITY_TOPIC,
    SHADOW_TOPIC,
)
from schemas.configuration import ConfigurationEvent
from schemas.experiment import ExperimentEvent
from schemas.notification import NotificationMessage
from schemas.payment import PaymentEvent
from schemas.reliability import ReliabilityEvent
from schemas.shadow import PaymentShadowed

TOPICS: dict[str, Any] = {
    PAYMENTS_TOPIC: PaymentEvent,
    CIRCUITS_TOPIC: CircuitEvent,
    CIRCUIT_OUTCOMES_TOPIC: CircuitMessage,
    CONFIGURATION_TOPIC: ConfigurationEvent,
    EXPERIMENTS_TOPIC: ExperimentEvent,
    NOTIFICATIONS_TOPIC: NotificationMessage,
    RELIABILITY_TOPIC: ReliabilityEvent,
    SHADOW_TOPIC: PaymentShadowed,
}


def events_of(union: Any) -> tuple[type[Event], ...]:
    """The members of a union of events; one event alone is a union of one."""
    return typing.get_args(union) or (union,)


def json_schema() -> dict[str, Any]:
    """One `$defs` for all, and under each topic the events that lie on it."""
    topics = {topic: events_of(union) for topic, union in TOPICS.items()}
    every = [event for events in topics.values() for event in events]
    references, definitions = msgspec.json.schema_components(every, ref_template="#/$defs/{name}")
    of_event = dict(zip(every, references, strict=True))
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Events of payments-gateway",
        "topics": {
            topic: {"oneOf": [of_event[event] for event in events]} for topic, events in topics.items()
        },
        "$defs": definitions,
    }
