"""What of a contract's change breaks those who rely on it: one line for each break.

Of what clients send, we must go on taking all that we took; of what we show them, nothing may come that they were not
told of. A schema is compared once in each of these two directions, wherever it is used, and named by its own name.
New operations, optional parameters, fields that are shown, events, statuses, problem types and new words for a reason
or a code break nobody: the contract says that they may come.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Literal

Json = Mapping[str, Any]
Side = Literal["sent", "shown"]

PROBLEM_JSON = "application/problem+json"
_EXPLAINING = ("reason", "code")
_AT_LEAST = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
_AT_MOST = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
_FORM = ("pattern", "format", "multipleOf")


def breaks_of_openapi(before: Json, now: Json) -> Iterator[str]:
    schemas = Schemas(before, now)
    for path, methods in before["paths"].items():
        for method, operation in methods.items():
            name = f"{method.upper()} {path}"
            if (found := now["paths"].get(path, {}).get(method)) is None:
                yield f"{name} is gone"
            else:
                yield from _of_an_operation(name, operation, found, schemas)


def breaks_of_asyncapi(before: Json, now: Json) -> Iterator[str]:
    """Topics, keys and headers; what their events hold is compared by `breaks_of_events`."""
    for topic, channel in before["channels"].items():
        if (found := now["channels"].get(topic)) is None:
            yield f"{topic} is gone"
            continue
        partitions, others = (one["bindings"]["kafka"]["partitions"] for one in (channel, found))
        if partitions != others:
            yield f"{topic} has {others} partitions instead of {partitions}"
        keys = [_key(before, channel), _key(now, found)]
        if keys[0] != keys[1]:
            yield f"{topic} has another key: {keys[1]} instead of {keys[0]}"
    headers, found = (one["components"]["messageTraits"]["envelope"]["headers"] for one in (before, now))
    yield from Schemas(before, now).breaks("header", headers, found, "shown")


def breaks_of_events(before: Json, now: Json) -> Iterator[str]:
    schemas = Schemas(before, now)
    for topic, union in before["topics"].items():
        found = {one["$ref"] for one in now["topics"].get(topic, {"oneOf": ()})["oneOf"]}
        for event in union["oneOf"]:
            if event["$ref"] in found:
                yield from schemas.breaks(topic, event, event, "shown")
            else:
                yield f"{_name(event)} is no longer on {topic}"


class Schemas:
    """Compares schemas of two versions of one document."""

    def __init__(self, before: Json, now: Json) -> None:
        self._before = before
        self._now = now
        self._seen: set[tuple[str, str, Side]] = set()

    def breaks(self, where: str, old: Json, new: Json, side: Side) -> Iterator[str]:
        if "$ref" in old and "$ref" in new:
            pair = (old["$ref"], new["$ref"], side)
            if pair in self._seen:
                return
            self._seen.add(pair)
            where = _name(old)
        olds, news = _kinds(old, self._before), _kinds(new, self._now)
        if side == "sent":
            yield from (f"{where}: {kind} is no longer taken" for kind in olds if not _covers(news, kind))
        else:
            yield from (f"{where} may now be {kind}" for kind in news if not _covers(olds, kind))
        for kind in [kind for kind in olds if kind in news]:
            yield from self._of_a_kind(where, olds[kind], news[kind], side)

    def _of_a_kind(self, where: str, old: Json, new: Json, side: Side) -> Iterator[str]:
        yield from _values(where, old, new, side)
        yield from _limits(where, old, new, side)
        yield from self._fields(where, old, new, side)
        for part, name in (("items", "[]"), ("additionalProperties", "*")):
            if isinstance(old.get(part), Mapping) and isinstance(new.get(part), Mapping):
                yield from self.breaks(f"{where}/{name}", old[part], new[part], side)
        for place, (one, other) in enumerate(
            zip(old.get("prefixItems", ()), new.get("prefixItems", ()), strict=False)
        ):
            yield from self.breaks(f"{where}/{place}", one, other, side)

    def _fields(self, where: str, old: Json, new: Json, side: Side) -> Iterator[str]:
        fields, found = old.get("properties", {}), new.get("properties", {})
        required, needed = set(old.get("required", ())), set(new.get("required", ()))
        for field, schema in fields.items():
            if field in found:
                yield from self.breaks(f"{where}/{field}", schema, found[field], side)
            else:
                yield f"{where}/{field} is {'no longer taken' if side == 'sent' else 'gone'}"
        if side == "sent":
            if new.get("additionalProperties") is False and old.get("additionalProperties") is not False:
                yield f"{where} takes no other fields any more"
            yield from (f"{where}/{field} is now required" for field in sorted(needed - required))
        else:
            yield from (
                f"{where}/{field} may now be missing" for field in sorted((required - needed) & found.keys())
            )


def _of_an_operation(name: str, old: Json, new: Json, schemas: Schemas) -> Iterator[str]:
    yield from _of_parameters(name, old, new, schemas)
    if _needs_a_key(new) and not _needs_a_key(old):
        yield f"{name} now needs a key"
    body, taken = old.get("requestBody"), new.get("requestBody", {})
    if taken.get("required", False) and not (body and body["required"]):
        yield f"{name} now needs a body"
    for media_type, content in (body["content"] if body else {}).items():
        if media_type not in taken.get("content", {}):
            yield f"{name} no longer takes {media_type}"
        else:
            schema = taken["content"][media_type]["schema"]
            yield from schemas.breaks(f"{name} body", content["schema"], schema, "sent")
    for status, answer in old["responses"].items():
        yield from _of_an_answer(f"{name} {status}", answer, new["responses"].get(status, {}), schemas)


def _needs_a_key(operation: Json) -> bool:
    return {} not in operation.get("security", [{}])


def _of_parameters(name: str, old: Json, new: Json, schemas: Schemas) -> Iterator[str]:
    known = {(one["in"], one["name"]): one for one in old["parameters"]}
    found = {(one["in"], one["name"]): one for one in new["parameters"]}
    for (place, parameter), one in known.items():
        if (other := found.get((place, parameter))) is None:
            yield f"{name} no longer takes {parameter} in its {place}"
        else:
            yield from schemas.breaks(f"{name} {parameter}", one["schema"], other["schema"], "sent")
    for (place, parameter), one in found.items():
        was_required = (place, parameter) in known and known[place, parameter]["required"]
        if one["required"] and not was_required:
            yield f"{name} now needs {parameter} in its {place}"


def _of_an_answer(name: str, old: Json, new: Json, schemas: Schemas) -> Iterator[str]:
    """Problems, which are all references, break nobody: who switches on `type` has to meet others, and none, anyway."""
    if "$ref" in old:
        return
    found = new.get("content", {})
    shown = {
        media_type: one for media_type, one in old.get("content", {}).items() if media_type != PROBLEM_JSON
    }
    if not new and (shown or "content" not in old):
        yield f"{name} is no longer answered"
        return
    for media_type, content in shown.items():
        if media_type not in found:
            yield f"{name} is no longer {media_type}"
        else:
            yield from schemas.breaks(f"{name}", content["schema"], found[media_type]["schema"], "shown")
    for header, one in (old.get("headers", {}) if new else {}).items():
        if one["required"] and not new.get("headers", {}).get(header, {"required": False})["required"]:
            yield f"{name} need no longer have {header}"


def _values(where: str, old: Json, new: Json, side: Side) -> Iterator[str]:
    values, found = old.get("enum"), new.get("enum")
    if side == "sent" and found is not None:
        if values is None:
            yield f"{where} may only be one of {', '.join(map(str, found))} now"
        else:
            yield from (f"{where}: {value} is no longer taken" for value in values if value not in found)
    if side == "shown" and values is not None:
        if found is None:
            yield f"{where} may now be something else than {', '.join(map(str, values))}"
        elif where.rpartition("/")[2].lower() not in _EXPLAINING:
            yield from (f"{where} may now be {value}" for value in found if value not in values)


def _limits(where: str, old: Json, new: Json, side: Side) -> Iterator[str]:
    wide, narrow = (old, new) if side == "sent" else (new, old)
    for limits, is_tighter in ((_AT_LEAST, float.__gt__), (_AT_MOST, float.__lt__)):
        for limit in limits:
            if limit in narrow and (
                limit not in wide or is_tighter(float(narrow[limit]), float(wide[limit]))
            ):
                yield f"{where}: {limit} is {_told(new, limit)} instead of {_told(old, limit)}"
    for form in _FORM:
        if form in narrow and narrow[form] != wide.get(form):
            yield f"{where}: {form} is {_told(new, form)} instead of {_told(old, form)}"


def _told(schema: Json, name: str) -> str:
    return str(schema.get(name, "none"))


def _kinds(schema: Json, document: Json) -> dict[str, Json]:
    """What a value may be, by its JSON type; objects that a tag tells apart by their tag."""
    if "$ref" in schema:
        target: Any = document
        for step in schema["$ref"].removeprefix("#/").split("/"):
            target = target[step]
        return _kinds(target, document)
    if "anyOf" in schema:
        return {kind: one for member in schema["anyOf"] for kind, one in _kinds(member, document).items()}
    if "enum" in schema:
        names = {str: "string", int: "integer", type(None): "null"}
        kinds = {names[type(value)] for value in schema["enum"]}
        return {
            kind: {"enum": [value for value in schema["enum"] if names[type(value)] == kind]}
            for kind in kinds
        }
    kind = schema.get("type", "anything")
    tag = schema.get("properties", {}).get("type", {}).get("enum")
    return {f"{kind} {tag[0]}" if tag and len(tag) == 1 else kind: schema}


def _covers(kinds: Mapping[str, Json], kind: str) -> bool:
    return kind in kinds or "anything" in kinds or (kind == "integer" and "number" in kinds)


def _key(document: Json, channel: Json) -> str:
    """Of any message of a topic: all have the same."""
    name = _name(next(iter(channel["messages"].values())))
    key = document["components"]["messages"][name]["bindings"]["kafka"]["key"]
    return f"{key['description']} {key['pattern']}"


def _name(reference: Json) -> str:
    return str(reference["$ref"]).rpartition("/")[2]
