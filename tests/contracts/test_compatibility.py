"""What breaks those who rely on the contract is told, in one line for each break; what breaks nobody is not."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import msgspec
import pytest

from tests.contracts.__main__ import DOCUMENTS, RELEASED, WRITTEN, faults, printed
from tests.contracts.compatibility import Schemas, breaks_of_asyncapi, breaks_of_events, breaks_of_openapi

HTTP: Any = {
    "paths": {
        "/things/{id}": {
            "get": {
                "parameters": [{"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}],
                "responses": {
                    "200": {
                        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Thing"}}},
                        "headers": {"ETag": {"required": True}},
                    },
                    "304": {"headers": {}},
                    "404": {"$ref": "#/components/responses/not-found"},
                },
            },
            "put": {
                "parameters": [
                    {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}},
                    {"name": "If-Match", "in": "header", "required": False, "schema": {"type": "string"}},
                ],
                "requestBody": {
                    "required": False,
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Body"}}},
                },
                "responses": {},
            },
        }
    },
    "components": {
        "schemas": {
            "Thing": {
                "type": "object",
                "required": ["size", "color"],
                "properties": {
                    "size": {"type": "integer"},
                    "color": {"enum": ["red", "green"]},
                    "reason": {"enum": ["old"]},
                    "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
                    "parts": {"type": "array", "items": {"type": "string", "maxLength": 8}},
                },
            },
            "Body": {
                "type": "object",
                "required": ["size"],
                "properties": {
                    "size": {"type": "number", "maximum": 10},
                    "color": {"enum": ["red", "green"]},
                    "label": {"type": "string"},
                    "how": {
                        "anyOf": [
                            {"$ref": "#/components/schemas/Fast"},
                            {"$ref": "#/components/schemas/Slow"},
                        ]
                    },
                },
            },
            "Fast": {"type": "object", "properties": {"type": {"enum": ["fast"]}}},
            "Slow": {"type": "object", "properties": {"type": {"enum": ["slow"]}}},
        }
    },
}
TOPICS: Any = {
    "channels": {
        "things.v1": {
            "bindings": {"kafka": {"partitions": 12}},
            "messages": {"ThingMade": {"$ref": "#/components/messages/ThingMade"}},
        }
    },
    "components": {
        "messages": {
            "ThingMade": {"bindings": {"kafka": {"key": {"description": "thing id", "pattern": "^t$"}}}}
        },
        "messageTraits": {
            "envelope": {
                "headers": {
                    "type": "object",
                    "required": ["ce_id"],
                    "properties": {"ce_id": {"type": "string", "pattern": "^.+$"}},
                }
            }
        },
    },
}
EVENTS: Any = {
    "topics": {"things.v1": {"oneOf": [{"$ref": "#/$defs/ThingMade"}, {"$ref": "#/$defs/ThingSold"}]}},
    "$defs": {
        "ThingMade": {"type": "object", "required": ["size"], "properties": {"size": {"type": "integer"}}},
        "ThingSold": {"type": "object", "properties": {"price": {"type": "integer"}}},
    },
}
Change = Callable[[Any, Any, Any], object]
"""Of the GET, the PUT and the schemas."""


def changed(change: Change) -> list[str]:
    now = deepcopy(HTTP)
    methods = now["paths"]["/things/{id}"]
    change(methods["get"], methods["put"], now["components"]["schemas"])
    return list(breaks_of_openapi(HTTP, now))


def body(schemas: Any) -> Any:
    return schemas["Body"]["properties"]


def shown(schemas: Any) -> Any:
    return schemas["Thing"]["properties"]


BREAKS: list[tuple[str, Change]] = [
    ("GET /things/{id} now needs a key", lambda get, put, s: get.update(security=[{"admin": []}])),
    (
        "GET /things/{id} 200 need no longer have ETag",
        lambda get, put, s: get["responses"]["200"]["headers"].clear(),
    ),
    ("GET /things/{id} 304 is no longer answered", lambda get, put, s: get["responses"].pop("304")),
    (
        "GET /things/{id} 200 is no longer application/json",
        lambda get, put, s: get["responses"]["200"].update(content={"text/plain": {"schema": {}}}),
    ),
    ("PUT /things/{id} no longer takes If-Match in its header", lambda get, put, s: put["parameters"].pop()),
    (
        "PUT /things/{id} now needs If-Match in its header",
        lambda get, put, s: put["parameters"][1].update(required=True),
    ),
    (
        "GET /things/{id} now needs version in its query",
        lambda get, put, s: get["parameters"].append(
            {"name": "version", "in": "query", "required": True, "schema": {"type": "string"}}
        ),
    ),
    ("PUT /things/{id} now needs a body", lambda get, put, s: put["requestBody"].update(required=True)),
    ("PUT /things/{id} no longer takes application/json", lambda get, put, s: put.pop("requestBody")),
    ("Body/label is no longer taken", lambda get, put, s: body(s).pop("label")),
    (
        "Body takes no other fields any more",
        lambda get, put, s: s["Body"].update(additionalProperties=False),
    ),
    ("Body/label is now required", lambda get, put, s: s["Body"]["required"].append("label")),
    ("Body/size: number is no longer taken", lambda get, put, s: body(s)["size"].update(type="integer")),
    ("Body/size: maximum is 9 instead of 10", lambda get, put, s: body(s)["size"].update(maximum=9)),
    (
        "Body/label: pattern is ^a$ instead of none",
        lambda get, put, s: body(s)["label"].update(pattern="^a$"),
    ),
    ("Body/color: red is no longer taken", lambda get, put, s: body(s).update(color={"enum": ["green"]})),
    (
        "Body/label may only be one of a, b now",
        lambda get, put, s: body(s).update(label={"enum": ["a", "b"]}),
    ),
    ("Body/how: object slow is no longer taken", lambda get, put, s: body(s)["how"]["anyOf"].pop()),
    ("Thing/note is gone", lambda get, put, s: shown(s).pop("note")),
    ("Thing/size may now be missing", lambda get, put, s: s["Thing"]["required"].remove("size")),
    (
        "Thing/size may now be null",
        lambda get, put, s: shown(s).update(size={"anyOf": [{"type": kind} for kind in ("integer", "null")]}),
    ),
    ("Thing/size may now be string", lambda get, put, s: shown(s).update(size={"type": "string"})),
    ("Thing/color may now be blue", lambda get, put, s: shown(s)["color"]["enum"].append("blue")),
    (
        "Thing/color may now be something else than red, green",
        lambda get, put, s: shown(s).update(color={"type": "string"}),
    ),
    (
        "Thing/parts/[]: maxLength is none instead of 8",
        lambda get, put, s: shown(s)["parts"]["items"].pop("maxLength"),
    ),
]
HARMLESS: list[Change] = [
    lambda get, put, s: get["responses"].pop("404"),
    lambda get, put, s: get["responses"]["200"]["headers"].update({"Age": {"required": True}}),
    lambda get, put, s: put["parameters"].append(
        {"name": "Prefer", "in": "header", "required": False, "schema": {"type": "string"}}
    ),
    lambda get, put, s: body(s).update(extra={"type": "string"}),
    lambda get, put, s: s["Body"]["required"].clear(),
    lambda get, put, s: body(s)["size"].update(maximum=11),
    lambda get, put, s: body(s)["color"]["enum"].append("blue"),
    lambda get, put, s: body(s).update(color={"type": "string"}),
    lambda get, put, s: shown(s).update(extra={"type": "string"}),
    lambda get, put, s: s["Thing"]["required"].append("note"),
    lambda get, put, s: shown(s).update(note={"type": "string"}),
    lambda get, put, s: shown(s)["color"]["enum"].pop(),
    lambda get, put, s: shown(s)["reason"]["enum"].append("worn"),
    lambda get, put, s: shown(s)["parts"]["items"].update(maxLength=4),
]


@pytest.mark.parametrize(("line", "change"), BREAKS, ids=[line for line, _ in BREAKS])
def test_a_break_of_an_endpoint_is_told_in_one_line(line: str, change: Change) -> None:
    assert changed(change) == [line]


@pytest.mark.parametrize("change", HARMLESS)
def test_what_breaks_no_client_is_not_told(change: Change) -> None:
    assert changed(change) == []


def test_a_removed_endpoint_is_told_in_one_line() -> None:
    now = deepcopy(HTTP)
    del now["paths"]["/things/{id}"]["put"]
    assert list(breaks_of_openapi(HTTP, now)) == ["PUT /things/{id} is gone"]


def test_a_schema_that_is_used_twice_is_told_once_for_each_direction() -> None:
    old = {"Size": {"type": "integer"}}
    schemas = Schemas({"s": old}, {"s": {"Size": {"type": "string"}}})
    reference = {"$ref": "#/s/Size"}
    lines = [
        *schemas.breaks("x", reference, reference, "shown"),
        *schemas.breaks("x", reference, reference, "sent"),
        *schemas.breaks("y", reference, reference, "shown"),
    ]
    assert lines == ["Size may now be string", "Size: integer is no longer taken"]


@pytest.mark.parametrize(
    ("line", "change"),
    [
        ("things.v1 is gone", lambda now: now["channels"].clear()),
        (
            "things.v1 has 6 partitions instead of 12",
            lambda now: now["channels"]["things.v1"]["bindings"]["kafka"].update(partitions=6),
        ),
        (
            "things.v1 has another key: shop id ^t$ instead of thing id ^t$",
            lambda now: now["components"]["messages"]["ThingMade"]["bindings"]["kafka"]["key"].update(
                description="shop id"
            ),
        ),
        (
            "header/ce_id is gone",
            lambda now: now["components"]["messageTraits"]["envelope"]["headers"].update(
                properties={}, required=[]
            ),
        ),
    ],
)
def test_a_break_of_a_topic_is_told_in_one_line(line: str, change: Callable[[Any], object]) -> None:
    now = deepcopy(TOPICS)
    change(now)
    assert list(breaks_of_asyncapi(TOPICS, now)) == [line]


@pytest.mark.parametrize(
    ("line", "change"),
    [
        ("ThingSold is no longer on things.v1", lambda now: now["topics"]["things.v1"]["oneOf"].pop()),
        ("ThingMade/size is gone", lambda now: now["$defs"]["ThingMade"].update(properties={}, required=[])),
        (
            "ThingMade/size may now be number",
            lambda now: now["$defs"]["ThingMade"]["properties"].update(size={"type": "number"}),
        ),
    ],
)
def test_a_break_of_an_event_is_told_in_one_line(line: str, change: Callable[[Any], object]) -> None:
    now = deepcopy(EVENTS)
    change(now)
    assert list(breaks_of_events(EVENTS, now)) == [line]


def test_a_new_event_and_a_new_field_of_an_event_break_nobody() -> None:
    now = deepcopy(EVENTS)
    now["topics"]["things.v1"]["oneOf"].append({"$ref": "#/$defs/ThingLost"})
    now["$defs"]["ThingLost"] = {"type": "object"}
    now["$defs"]["ThingMade"]["properties"]["color"] = {"type": "string"}
    assert list(breaks_of_events(EVENTS, now)) == []


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_committed_document_is_that_of_the_code(name: str) -> None:
    assert (WRITTEN / f"{name}.json").read_text() == printed(name), "python -m tests.contracts write"


@pytest.mark.parametrize("name", DOCUMENTS)
def test_an_endpoint_or_event_that_vanishes_from_the_real_documents_is_told(name: str) -> None:
    before = msgspec.json.decode((RELEASED / f"{name}.json").read_bytes())
    now = deepcopy(before)
    part = {"openapi": "paths", "asyncapi": "channels", "events": "topics"}[name]
    now[part].popitem()
    _, breaks = DOCUMENTS[name]
    assert list(breaks(before, now))
    assert list(breaks(before, before)) == []


def test_nothing_breaks_who_relies_on_what_was_released_last() -> None:
    assert list(faults()) == []
