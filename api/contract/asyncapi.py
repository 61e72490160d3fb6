"""`/asyncapi.json`: AsyncAPI 3.0 of the topics that others may read, from the event types and the topics as made.

`docs/events.md` says in prose what consumers rely on. Topics that are between our own processes are not in it.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from api.contract.openapi import VERSION
from infra.kafka.topics import TOPICS
from schemas.base import Event
from schemas.codec import (
    CIRCUITS_TOPIC,
    CONFIGURATION_TOPIC,
    EXPERIMENTS_TOPIC,
    PAYMENTS_TOPIC,
    RELIABILITY_TOPIC,
    SHADOW_TOPIC,
)
from schemas.json_schema import TOPICS as UNIONS
from schemas.json_schema import events_of

VOID_RULE = (
    "A record counts only if ce_validfrom ≤ record timestamp < ce_validuntil (milliseconds); skip any other."
)


class Public(NamedTuple):
    key: str
    pattern: str
    says: str


PUBLIC: Mapping[str, Public] = {
    PAYMENTS_TOPIC: Public(
        "payment id", "^pay_[0-9a-hjkmnp-tv-z]{26}$", "Everything that happens to payments."
    ),
    RELIABILITY_TOPIC: Public(
        "what it is about", "^.+$", "What a person should know: it may come twice, with the same ce_id."
    ),
    CIRCUITS_TOPIC: Public(
        "gateway:method", "^[^:]+:[A-Z]+$", "Whether a gateway may be called for a payment method."
    ),
    EXPERIMENTS_TOPIC: Public(
        "experiment id", "^exp_[0-9a-hjkmnp-tv-z]{26}$", "Who tries which routing on whom."
    ),
    SHADOW_TOPIC: Public(
        "payment id",
        "^pay_[0-9a-hjkmnp-tv-z]{26}$",
        "What a policy that nobody obeys would have done with payments; some may be missing, or come twice.",
    ),
    CONFIGURATION_TOPIC: Public("aggregate", "^.+$", "What is set for the whole service."),
}

_HEADERS = {
    "ce_specversion": ("1\\.0", "CloudEvents 1.0, binary binding."),
    "ce_id": (".+", "Unique; the same record read twice has the same one."),
    "ce_type": ("[A-Za-z]+", "The event's name; skip names that you do not know."),
    "ce_source": ("payments-gateway", "Who wrote it."),
    "ce_time": (".+Z", "When it was decided (RFC 3339); the record's timestamp is when it was appended."),
    "ce_subject": (".+", "The aggregate, which is also the key."),
    "ce_sequence": ("[0-9]{10}", "Counts the aggregate's events as their writer knew them, from 1."),
    "ce_epoch": ("[0-9]+", "Rises with each change of owner."),
    "ce_validfrom": ("[0-9]+", f"{VOID_RULE} It belongs to the window."),
    "ce_validuntil": ("[0-9]+", "The end of the window, which does not belong to it."),
    "ce_correlationid": (".+", "The HTTP request."),
    "ce_causationid": (".+", "The event or request that led to this one."),
    "content-type": ("application/json", "Of the value."),
}


def asyncapi() -> dict[str, Any]:
    topics = {topic: events_of(UNIONS[topic]) for topic in PUBLIC}
    events = list(dict.fromkeys(event for members in topics.values() for event in members))
    _, schemas = msgspec.json.schema_components(events, ref_template="#/components/schemas/{name}")
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "payments-gateway",
            "version": VERSION,
            "description": f"One record is one event. {VOID_RULE} Events of one key are in one partition, in order. "
            "Skip events and fields that you do not know; a reason or a code may be a new word.",
        },
        "defaultContentType": "application/json",
        "channels": {topic: _channel(topic, members) for topic, members in topics.items()},
        "operations": {f"tell-{topic}": _operation(topic) for topic in topics},
        "components": {
            "messages": {
                event.__name__: _message(topic, event)
                for topic, members in topics.items()
                for event in members
            },
            "messageTraits": {"envelope": {"headers": _headers()}},
            "schemas": _without_discriminators(schemas),
        },
    }


def _channel(topic: str, events: tuple[type[Event], ...]) -> dict[str, Any]:
    made = next(one for one in TOPICS if one.name == topic)
    return {
        "address": topic,
        "description": f"{PUBLIC[topic].says} The key is the {PUBLIC[topic].key}.",
        "messages": {event.__name__: {"$ref": f"#/components/messages/{event.__name__}"} for event in events},
        "bindings": {
            "kafka": {
                "topic": topic,
                "partitions": made.partitions,
                "topicConfiguration": {"cleanup.policy": ["delete"], "retention.ms": made.retention_ms},
                "bindingVersion": "0.5.0",
            }
        },
    }


def _operation(topic: str) -> dict[str, Any]:
    return {"action": "send", "channel": {"$ref": f"#/channels/{topic}"}, "summary": PUBLIC[topic].says}


def _message(topic: str, event: type[Event]) -> dict[str, Any]:
    key = {"type": "string", "pattern": PUBLIC[topic].pattern, "description": f"The {PUBLIC[topic].key}."}
    return {
        "name": event.__name__,
        "contentType": "application/json",
        "traits": [{"$ref": "#/components/messageTraits/envelope"}],
        "payload": {"$ref": f"#/components/schemas/{event.__name__}"},
        "bindings": {"kafka": {"key": key, "bindingVersion": "0.5.0"}},
    }


def _without_discriminators(schema: Any) -> Any:
    """AsyncAPI's are of another form than OpenAPI's; each member of a union names its own tag anyway."""
    match schema:
        case dict():
            return {
                name: _without_discriminators(part)
                for name, part in schema.items()
                if name != "discriminator"
            }
        case list() | tuple():
            return [_without_discriminators(part) for part in schema]
        case _:
            return schema


def _headers() -> dict[str, Any]:
    return {
        "type": "object",
        "required": list(_HEADERS),
        "properties": {
            name: {"type": "string", "pattern": f"^{pattern}$", "description": says}
            for name, (pattern, says) in _HEADERS.items()
        },
    }
