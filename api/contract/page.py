"""`/docs`: both contract documents as one page for people, made here: it needs no script, and asks nobody else.

It shows what the documents say and nothing more, so that it cannot be wrong where they are right.
"""

from collections.abc import Iterable, Mapping
from html import escape
from itertools import groupby
from typing import Any

import msgspec

Json = Mapping[str, Any]

_PARTS = {
    "#http": "HTTP",
    "#topics": "Topics",
    "#http-schemas": "Bodies and answers",
    "#event-schemas": "Events and their parts",
    "/openapi.json": "openapi.json",
    "/asyncapi.json": "asyncapi.json",
}
_LIMITS = {
    "minimum": "≥ {}",
    "exclusiveMinimum": "> {}",
    "maximum": "≤ {}",
    "exclusiveMaximum": "< {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minItems": "at least {}",
    "maxItems": "at most {}",
    "pattern": "{}",
    "format": "{}",
}


def page(openapi: Json, asyncapi: Json) -> str:
    title = f"{openapi['info']['title']} {openapi['info']['version']}"
    body = [
        _tag("h1", escape(title)),
        _tag(
            "nav",
            *(_link(to, text) for to, text in _PARTS.items()),
        ),
        *_http(openapi),
        *_topics(asyncapi),
        *_schemas("http", "Bodies and answers", openapi["components"]["schemas"]),
        *_schemas("event", "Events and their parts", asyncapi["components"]["schemas"]),
    ]
    head = [
        '<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width">',
        '<link rel="stylesheet" href="/docs/style.css">',
        _tag("title", escape(title)),
    ]
    return "<!doctype html>\n" + _tag("html", _tag("head", *head), _tag("body", *body), lang="en")


def _http(document: Json) -> Iterable[str]:
    yield _tag("h2", "HTTP", id="http")
    yield _tag("p", _marked(document["info"]["description"]))
    operations = [
        (operation["tags"][0], method, path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    for tag, members in groupby(sorted(operations, key=lambda one: one[0]), key=lambda one: one[0]):
        yield _tag("h3", escape(tag))
        problems = document["components"]["responses"]
        yield from (_operation(method, path, one, problems) for _, method, path, one in members)


def _operation(method: str, path: str, operation: Json, problems: Json) -> str:
    scopes = [scope for keys in operation.get("security", ()) for key in keys.values() for scope in key]
    key = f" · with a key for {', '.join(scopes)}" if scopes else ""
    inside = [_summary(f"{method.upper()} {path}", operation["summary"] + key)]
    if operation["parameters"]:
        rows = (
            _row(
                one["name"],
                one["in"],
                _type("http", one["schema"]),
                _needed(one["required"]),
                escape(one["description"]),
            )
            for one in operation["parameters"]
        )
        inside.append(_table("parameter", "in", "type", "", "", rows=rows))
    for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
        inside.append(_tag("p", "Body ", _code(media_type), " ", _type("http", content["schema"])))
        inside.append(_tag("pre", escape(_pretty(content["example"]))))
    inside.append(
        _table(
            "status",
            "answer",
            "body",
            "headers",
            rows=(
                _answer(status, problems[_name(answer)] if "$ref" in answer else answer)
                for status, answer in operation["responses"].items()
            ),
        )
    )
    return _tag("details", *inside, id=operation["operationId"])


def _answer(status: str, answer: Json) -> str:
    bodies = (
        f"{_code(media_type)} {_type('http', content['schema'])}"
        for media_type, content in answer.get("content", {}).items()
    )
    return _row(
        status,
        _marked(answer["description"]),
        "<br>".join(bodies),
        escape(" ".join(answer.get("headers", ()))),
    )


def _topics(document: Json) -> Iterable[str]:
    yield _tag("h2", "Topics", id="topics")
    yield _tag("p", escape(document["info"]["description"]))
    headers = document["components"]["messageTraits"]["envelope"]["headers"]["properties"]
    rows = (_row(name, escape(one["description"])) for name, one in headers.items())
    yield _tag("details", _summary("headers", "CloudEvents 1.0, binary"), _table("header", "", rows=rows))
    for topic, channel in document["channels"].items():
        partitions = channel["bindings"]["kafka"]["partitions"]
        events = (
            _tag(
                "li", _link(f"#event-{name}", name), " ", _first_line(document["components"]["schemas"][name])
            )
            for name in channel["messages"]
        )
        yield _tag(
            "details",
            _summary(topic, f"{channel['description']} {partitions} partitions."),
            _tag("ul", *events),
            id=topic,
        )


def _schemas(kind: str, title: str, schemas: Json) -> Iterable[str]:
    yield _tag("h2", title, id=f"{kind}-schemas")
    for name, schema in schemas.items():
        required = schema.get("required", ())
        rows = (
            _row(field, _type(kind, one), _needed(field in required), _default(one))
            for field, one in schema.get("properties", {}).items()
        )
        shown = _table("field", "type", "", "", rows=rows) if "properties" in schema else _type(kind, schema)
        yield _tag("details", _summary(name, schema.get("description", "")), shown, id=f"{kind}-{name}")


def _type(kind: str, schema: Json) -> str:
    """A schema in words, with links to those that have a name."""
    if "$ref" in schema:
        return _link(f"#{kind}-{_name(schema)}", _name(schema))
    if "allOf" in schema:
        return _type(kind, schema["allOf"][0])
    if "anyOf" in schema:
        return " or ".join(_type(kind, one) for one in schema["anyOf"])
    if "enum" in schema:
        return " | ".join(_code(str(value)) for value in schema["enum"])
    limits = ", ".join(
        escape(text.format(schema[limit])) for limit, text in _LIMITS.items() if limit in schema
    )
    return f"{_shape(kind, schema)} <small>{limits}</small>" if limits else _shape(kind, schema)


def _shape(kind: str, schema: Json) -> str:
    items, values = schema.get("items"), schema.get("additionalProperties")
    if isinstance(items, Mapping):
        return f"array of {_type(kind, items)}"
    if isinstance(values, Mapping):
        return f"object of {_type(kind, values)}"
    return escape(str(schema.get("type", "anything")))


def _default(schema: Json) -> str:
    return f"default {_code(_pretty(schema['default']))}" if "default" in schema else ""


def _name(reference: Json) -> str:
    return str(reference["$ref"]).rpartition("/")[2]


def _first_line(schema: Json) -> str:
    return escape(schema.get("description", "").partition("\n")[0])


def _needed(required: bool) -> str:
    return "required" if required else ""


def _pretty(value: object) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()


def _marked(text: str) -> str:
    """What stands between backquotes is code."""
    return "".join(
        _code(part) if is_code else escape(part)
        for is_code, part in ((n % 2 == 1, part) for n, part in enumerate(text.split("`")))
    )


def _summary(name: str, says: str) -> str:
    return _tag("summary", _code(name), " ", _marked(says))


def _table(*heads: str, rows: Iterable[str]) -> str:
    return _tag("table", _tag("tr", *(_tag("th", head) for head in heads)), *rows)


def _row(name: str, *cells: str) -> str:
    return _tag("tr", _tag("td", _code(name)), *(_tag("td", cell) for cell in cells))


def _code(text: str) -> str:
    return _tag("code", escape(text))


def _link(to: str, text: str) -> str:
    return _tag("a", escape(text), href=to)


def _tag(name: str, *inside: str, **attributes: str) -> str:
    """Children are HTML already; attributes are not."""
    given = "".join(f' {key}="{escape(value)}"' for key, value in attributes.items())
    return f"<{name}{given}>{''.join(inside)}</{name}>"
