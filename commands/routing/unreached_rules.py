"""Rules that an earlier one leaves nothing to decide: allowed, and perhaps not meant.

They are not refused: a first rule that pins every payment for an hour is what rules are for.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from schemas.http import FieldError
from schemas.routing_configuration import Condition, Exclude, RoutingRules

_LISTS = ("merchant_ids", "segments", "payment_methods", "currencies", "issuers", "networks")


class Scope(NamedTuple):
    """What a condition holds for: any of the values of each thing that it names, and amounts between two."""

    values: Mapping[str, frozenset[str]]
    least: int
    most: float


def warnings_in(rules: RoutingRules) -> list[FieldError]:
    return list(_unreached(rules))


def _unreached(rules: RoutingRules) -> Iterator[FieldError]:
    deciding: list[tuple[str, Scope]] = []
    for place, rule in enumerate(rules.rules):
        if not rule.enabled or isinstance(rule.then, Exclude):
            continue
        scope = scope_of(rule.when)
        before = next((id_ for id_, wide in deciding if covers(wide, scope)), None)
        if before is not None:
            yield FieldError(
                pointer=f"/rules/{place}", detail=f"is never reached: {before} decides before it"
            )
        deciding.append((rule.id, scope))


def scope_of(when: Condition) -> Scope:
    values = {field: frozenset(given) for field in _LISTS if (given := getattr(when, field)) is not None}
    for name, given in (when.attributes or {}).items():
        values[f"attributes/{name}"] = frozenset(given)
    most = float("inf") if when.maximum_amount_minor is None else when.maximum_amount_minor
    return Scope(values, when.minimum_amount_minor or 1, most)


def covers(wide: Scope, narrow: Scope) -> bool:
    """Whether whatever is in `narrow` is in `wide`, as far as what they name tells."""
    if narrow.least < wide.least or narrow.most > wide.most:
        return False
    for name, values in wide.values.items():
        given = narrow.values.get(name)
        if given is None or not given <= values:
            return False
    return True
