"""`/openapi.json`: OpenAPI 3.1 of every route, from its operation and the types that it decodes and encodes."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from itertools import chain
from typing import Any

import msgspec

from api.contract import configuration, control, experiments, ops, payments, webhooks
from api.contract.operation import Answer, Header, Kind, Operation, Parameter, problems_of
from api.errors import KINDS, PROBLEM_JSON, Fault
from api.rate_limits import FREE
from schemas.errors import Refusal
from schemas.http import Problem

VERSION = "0.1.0"
OPERATIONS: tuple[Operation, ...] = (
    *payments.OPERATIONS,
    *configuration.OPERATIONS,
    *control.OPERATIONS,
    *webhooks.OPERATIONS,
    *experiments.OPERATIONS,
    *ops.OPERATIONS,
)

_OPERATOR, _MERCHANT = "operator", "merchant"
_REQUEST_ID = Header(name="X-Request-Id", says="Yours, or a new one: it is in our log and on the event log.")
_ALLOWANCE = (
    Header(
        name="RateLimit-Policy",
        says="What is allowed to you: `q` requests at once, which grow back in `w` seconds.",
    ),
    Header(name="RateLimit", says="How many of them are left, and in how many seconds there is another."),
)
_RETRY_AFTER = Header(name="Retry-After", says="Seconds after which it is worth asking again.")
_CHALLENGE = Header(name="WWW-Authenticate", says="What would prove who you are.")

Schemas = Mapping[Any, Any]
"""The schema of each type, by the type."""


def openapi(operations: Iterable[Operation] = OPERATIONS) -> dict[str, Any]:
    operations = tuple(operations)
    types = list(dict.fromkeys(chain([Problem], *(_types(one) for one in operations))))
    schemas, components = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    of_type = dict(zip(types, schemas, strict=True))
    paths: dict[str, dict[str, Any]] = defaultdict(dict)
    for operation in operations:
        paths[operation.path][operation.method.lower()] = _operation(operation, of_type)
    problems = dict.fromkeys(kinds for one in operations for kinds in _problems(one).values())
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "payments-gateway",
            "version": VERSION,
            "description": "Every failure is a problem (RFC 9457) whose `type` is stable. Money is in minor units. "
            "Skip fields that you do not know; a reason or a code may be a new word.",
        },
        "servers": [{"url": "/"}],
        "paths": dict(paths),
        "components": {
            "schemas": components,
            "responses": {".".join(kinds): _problem(kinds, of_type) for kinds in problems},
            "securitySchemes": {
                _OPERATOR: {"type": "apiKey", "in": "header", "name": "X-Internal-Api-Key"},
                _MERCHANT: {"type": "http", "scheme": "bearer"},
            },
        },
    }


def _types(operation: Operation) -> Iterable[Any]:
    if operation.body is not None:
        yield operation.body.type
    yield from (parameter.type for parameter in operation.parameters)
    yield from (answer.type for answer in operation.answers.values() if answer.type is not None)


def _operation(operation: Operation, schemas: Schemas) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.id,
        "tags": [operation.tag],
        "summary": operation.says,
        "parameters": [_parameter(parameter, schemas) for parameter in operation.parameters],
        "responses": _responses(operation, schemas),
    }
    if operation.body is not None:
        described["requestBody"] = {
            "required": operation.body.required,
            "content": {
                "application/json": {
                    "schema": schemas[operation.body.type],
                    "example": operation.body.example,
                }
            },
        }
    if operation.scope is not None:
        described["security"] = [{_OPERATOR: [operation.scope]}]
    if operation.shows_more_to is not None:
        described["security"] = [{}, {_OPERATOR: [operation.shows_more_to]}]
    if operation.is_merchants:
        described["security"] = [{}, {_MERCHANT: []}]
    return described


def _parameter(parameter: Parameter, schemas: Schemas) -> dict[str, Any]:
    described = {
        "name": parameter.name,
        "in": parameter.place,
        "description": parameter.says,
        "required": parameter.required,
        "schema": schemas[parameter.type],
    }
    return described if parameter.example is None else {**described, "example": parameter.example}


def _responses(operation: Operation, schemas: Schemas) -> dict[str, Any]:
    described = {status: _answer(answer, operation, schemas) for status, answer in operation.answers.items()}
    for status, kinds in _problems(operation).items():
        if status in described:
            described[status]["content"] |= _problem(kinds, schemas)["content"]
        else:
            described[status] = {"$ref": f"#/components/responses/{'.'.join(kinds)}"}
    return {str(status): answer for status, answer in sorted(described.items())}


def _problems(operation: Operation) -> dict[int, tuple[Kind, ...]]:
    """By status; operations that have the same share one description of them."""
    kinds: dict[int, list[Kind]] = defaultdict(list)
    for kind in problems_of(operation):
        kinds[KINDS[kind][0]].append(kind)
    return {status: tuple(sorted(of_status)) for status, of_status in kinds.items()}


def _answer(answer: Answer, operation: Operation, schemas: Schemas) -> dict[str, Any]:
    allowance = () if operation.path in FREE else _ALLOWANCE
    described: dict[str, Any] = {
        "description": answer.says,
        "headers": _headers(_REQUEST_ID, *allowance, *answer.headers),
    }
    if answer.media_type is not None:
        described["content"] = {answer.media_type: {"schema": schemas[answer.type]}}
    return described


def _problem(kinds: tuple[Kind, ...], schemas: Schemas) -> dict[str, Any]:
    """Which problems a status may stand for is a part of the schema, so that a test of answers proves it."""
    types = {"type": {"enum": [f"/problems/{kind}" for kind in kinds]}}
    described: dict[str, Any] = {
        "description": " · ".join(f"`{kind}`: {KINDS[kind][1]}." for kind in kinds),
        "content": {PROBLEM_JSON: {"schema": {"allOf": [schemas[Problem], {"properties": types}]}}},
    }
    if KINDS[kinds[0]][0] in (429, 503) or Refusal.PAYMENT_IN_PROGRESS in kinds:
        described["headers"] = _headers(_RETRY_AFTER)
    if Fault.UNAUTHORIZED in kinds or Fault.BAD_SIGNATURE in kinds:
        described["headers"] = _headers(_CHALLENGE)
    return described


def _headers(*headers: Header) -> dict[str, Any]:
    return {
        header.name: {
            "description": header.says,
            "required": header.always,
            "schema": {"type": "string"},
        }
        for header in headers
    }
