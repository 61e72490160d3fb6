"""The contract documents are what their standards ask for, and tell what the service does."""

import gzip
import re
import tomllib
from html import escape
from pathlib import Path
from typing import Any

import msgspec
import pytest
from jsonschema_rs import validator_for
from starlette.routing import Route

from api.app import create_app
from api.contract.asyncapi import PUBLIC, asyncapi
from api.contract.openapi import OPERATIONS, VERSION, openapi
from api.contract.operation import Operation
from infra.local import ROOT
from schemas.codec import encode
from schemas.envelope import Outgoing, unowned
from schemas.json_schema import TOPICS, events_of
from tests.api.client import Client
from tests.api.stand_ins import World
from tests.builders import AT
from tests.schemas.instances import INSTANCES

PUBLISHED = Path(__file__).parent / "published"
OPENAPI, ASYNCAPI = openapi(), asyncapi()
EXAMPLES = [operation for operation in OPERATIONS if operation.body is not None]


def published(name: str) -> Any:
    return msgspec.json.decode(gzip.decompress((PUBLISHED / f"{name}.json.gz").read_bytes()))


def test_openapi_is_valid_by_the_published_schema_of_openapi() -> None:
    assert [str(error) for error in validator_for(published("openapi-3.1")).iter_errors(OPENAPI)] == []


def test_asyncapi_is_valid_by_the_published_schema_of_asyncapi() -> None:
    assert [str(error) for error in validator_for(published("asyncapi-3.0.0")).iter_errors(ASYNCAPI)] == []


@pytest.mark.parametrize("document", [OPENAPI, ASYNCAPI], ids=["openapi", "asyncapi"])
def test_every_schema_is_valid_and_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    for name in document["components"]["schemas"]:
        validator_for({**document, "$ref": f"#/components/schemas/{name}"})


def test_every_route_is_described_and_every_description_is_of_a_route() -> None:
    """Whoever adds a route adds its Operation to a table in `api/contract`."""
    routes = create_app(World().services()).routes
    served = {
        (method, route.path)
        for route in routes
        if isinstance(route, Route)
        for method in (route.methods or set()) - {"HEAD"}
    }
    assert {(one.method, one.path) for one in OPERATIONS} == served


def test_no_two_operations_have_one_id() -> None:
    assert len({one.id for one in OPERATIONS}) == len(OPERATIONS)


@pytest.mark.parametrize("operation", EXAMPLES, ids=lambda one: one.id)
def test_the_example_of_a_body_is_one_that_is_taken(operation: Operation) -> None:
    assert operation.body is not None
    msgspec.convert(operation.body.example, operation.body.type)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda one: one.id)
async def test_who_needs_the_admin_key_is_told(operation: Operation) -> None:
    path = operation.path.format(**{p.name: p.example or "x" for p in operation.parameters})
    answer = await Client(create_app(World().services())).request(operation.method, path)
    assert (answer.status == 401 and b"/problems/unauthorized" in answer.body) == (
        operation.scope is not None
    )


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda one: one.id)
def test_every_part_of_a_path_is_a_parameter(operation: Operation) -> None:
    in_path = {one.name for one in operation.parameters if one.place == "path"}
    assert {part[1:-1] for part in operation.path.split("/") if part.startswith("{")} == in_path


def test_the_contract_has_the_version_of_the_product() -> None:
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] == VERSION


@pytest.mark.parametrize("event", INSTANCES, ids=lambda one: type(one).__name__)
def test_an_event_is_as_its_message_is_described(event: Any) -> None:
    message = ASYNCAPI["components"]["messages"].get(type(event).__name__)
    is_public = any(type(event) in events_of(TOPICS[topic]) for topic in PUBLIC)
    assert (message is not None) == is_public
    if message is not None:
        value, headers = encode(Outgoing(envelope=unowned("evt_1", "pay_1", AT), event=event))
        envelope = ASYNCAPI["components"]["messageTraits"]["envelope"]["headers"]
        validator_for(envelope).validate({name: content.decode() for name, content in headers})
        assert {name for name, _ in headers} == set(envelope["properties"])
        validator_for({**ASYNCAPI, **message["payload"]}).validate(msgspec.json.decode(value))


@pytest.mark.parametrize("topic", PUBLIC)
def test_the_page_of_the_downstream_contract_names_every_topic_and_event(topic: str) -> None:
    page = (ROOT / "docs" / "events.md").read_text()
    named = {topic, *(event.__name__ for event in events_of(TOPICS[topic]))}
    assert {name for name in named if f"`{name}`" not in page} == set()


async def test_the_page_shows_every_operation_and_event_and_needs_nothing_from_elsewhere(
    client: Client,
) -> None:
    page = await client.get("/docs")
    text = page.body.decode()
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'; style-src 'self'" in page.headers["content-security-policy"]
    assert all(f'id="{one.id}"' in text and escape(one.path) in text for one in OPERATIONS)
    assert all(f'id="event-{name}"' in text for name in ASYNCAPI["components"]["messages"])
    assert set(re.findall(r'(?:src|href)="([^#"]+)"', text)) == {
        "/docs/style.css",
        "/openapi.json",
        "/asyncapi.json",
    }
    assert "<script" not in text
    assert " style=" not in text
    assert (await client.get("/docs/style.css")).headers["content-type"] == "text/css; charset=utf-8"


async def test_every_link_of_the_page_leads_somewhere(client: Client) -> None:
    text = (await client.get("/docs")).body.decode()
    assert set(re.findall(r'href="#([^"]+)"', text)) <= set(re.findall(r' id="([^"]+)"', text))


async def test_both_documents_are_served(client: Client) -> None:
    for name, document in (("openapi", OPENAPI), ("asyncapi", ASYNCAPI)):
        assert (await client.get(f"/{name}.json")).json == msgspec.json.decode(msgspec.json.encode(document))


@pytest.fixture
def client() -> Client:
    return Client(create_app(World().services()))
