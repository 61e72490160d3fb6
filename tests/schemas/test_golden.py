"""The log is for ever: what was ever written is read the same way by every later version.

A new event needs a golden file: `python -m tests.schemas.test_golden` writes the missing ones, and changes none.
"""

import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from schemas.base import Event
from schemas.codec import PAYMENTS_TOPIC, decode, encode
from schemas.envelope import Envelope, Outgoing, Position, Window
from schemas.json_schema import TOPICS, events_of, json_schema
from tests.builders import AT, PAYMENT
from tests.schemas.instances import INSTANCES

FOLDER = Path(__file__).parent / "golden"
EARLIER = sorted((FOLDER / "earlier").glob("*.json"))
EVENTS = {event: topic for topic, union in TOPICS.items() for event in events_of(union)}

of_every_event = pytest.mark.parametrize("event", INSTANCES, ids=lambda event: type(event).__name__)


class Golden(msgspec.Struct, frozen=True, kw_only=True):
    """A record as it lies on the log; the value is kept as text, so that its bytes can be compared."""

    headers: dict[str, str]
    value: str


def written(event: Event) -> Golden:
    value, headers = encode(Outgoing(envelope=ENVELOPE, event=event))
    return Golden(headers={name: content.decode() for name, content in headers}, value=value.decode())


def path_of(event: type[Event]) -> Path:
    return FOLDER / f"{event.__name__}.v1.json"


def golden_of(event: Event) -> Golden:
    return msgspec.json.decode(path_of(type(event)).read_bytes(), type=Golden)


def read(golden: Golden, event: Event) -> Any:
    position = Position(topic=EVENTS[type(event)], partition=3, offset=42)
    headers = [(name, content.encode()) for name, content in golden.headers.items()]
    return decode(golden.value.encode(), headers, position, stamp_ms=1_500)


def test_every_event_has_an_instance_here() -> None:
    assert {type(event) for event in INSTANCES} == set(EVENTS)


def test_every_event_has_a_golden_file_and_every_file_an_event() -> None:
    assert {path.name for path in FOLDER.glob("*.json")} == {path_of(event).name for event in EVENTS}


@of_every_event
def test_an_event_is_written_as_it_always_was(event: Event) -> None:
    assert written(event) == golden_of(event)


@of_every_event
def test_an_event_is_read_as_it_was_written(event: Event) -> None:
    recorded = read(golden_of(event), event)
    assert recorded.event == event
    assert recorded.envelope == ENVELOPE
    assert recorded.stamp_ms == 1_500
    assert recorded.position.offset == 42


@pytest.mark.parametrize("path", EARLIER, ids=lambda path: path.stem)
def test_what_was_written_before_a_field_was_added_is_read_with_its_default(path: Path) -> None:
    event = next(event for event in INSTANCES if type(event).__name__ == path.name.partition(".")[0])
    earlier = msgspec.json.decode(path.read_bytes(), type=Golden)
    known = msgspec.json.decode(earlier.value)
    recorded = msgspec.to_builtins(read(earlier, event).event)
    assert _restricted(recorded, known) == known


@of_every_event
def test_a_field_of_a_later_version_is_skipped(event: Event) -> None:
    golden = golden_of(event)
    value = msgspec.json.decode(golden.value) | {"added_later": {"by": ["somebody"]}}
    later = Golden(
        headers={**golden.headers, "ce_addedlater": "1"}, value=msgspec.json.encode(value).decode()
    )
    assert read(later, event).event == event


def test_the_published_schema_names_every_event_on_its_topic() -> None:
    schema = json_schema()
    for event, topic in EVENTS.items():
        assert {"$ref": f"#/$defs/{event.__name__}"} in schema["topics"][topic]["oneOf"]
    assert PAYMENTS_TOPIC in schema["topics"]


def _restricted(found: Any, known: Any) -> Any:
    """What was found, without the fields that are not known, at any depth."""
    if isinstance(known, dict):
        return {name: _restricted(found[name], value) for name, value in known.items()}
    if isinstance(known, list):
        return [_restricted(one, other) for one, other in zip(found, known, strict=True)]
    return found


ENVELOPE = Envelope(
    event_id="evt_01kb1sv5zb7000820c40m2gc1r",
    aggregate_id=PAYMENT,
    sequence=3,
    at=AT,
    epoch=2,
    window=Window(valid_from_ms=1_000, valid_until_ms=2_000),
    correlation_id="req_1",
    causation_id="evt_01kb1sv5zb7000820c40m2gc1q",
)

if __name__ == "__main__":
    for instance in INSTANCES:
        if not (path := path_of(type(instance))).exists():
            path.write_bytes(msgspec.json.format(msgspec.json.encode(written(instance)), indent=2) + b"\n")
            sys.stdout.write(f"{path.name}\n")
