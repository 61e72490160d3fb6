"""Rules that an earlier one leaves nothing to decide: allowed, and perhaps not meant.

They are not refused: a first rule that pins every payment for an hour is what rules are for.
"""

from collections.abc import Iterator

from schemas.http import FieldError
from schemas.routing_configuration import Condition, Exclude, RoutingRules, Rule

_LISTS = ("merchant_ids", "segments", "payment_methods", "currencies", "issuers", "networks")


def warnings_in(rules: RoutingRules) -> list[FieldError]:
    return list(_unreached(rules))


def _unreached(rules: RoutingRules) -> Iterator[FieldError]:
    deciding: list[Rule] = []
    for place, rule in enumerate(rules.rules):
        if not rule.enabled or isinstance(rule.then, Exclude):
            continue
        before = next((one for one in deciding if covers(one.when, rule.when)), None)
        if before is not None:
            detail = f"is never reached: {before.id} decides before it"
            yield FieldError(pointer=f"/rules/{place}", detail=detail)
        deciding.append(rule)


def covers(wide: Condition, narrow: Condition) -> bool:
    """Whether every payment for which `narrow` holds is one for which `wide` holds, as far as their fields tell."""
    return (
        all(_covers(getattr(wide, field), getattr(narrow, field)) for field in _LISTS)
        and (
            wide.minimum_amount_minor is None
            or (narrow.minimum_amount_minor or 0) >= wide.minimum_amount_minor
        )
        and (
            wide.maximum_amount_minor is None
            or (
                narrow.maximum_amount_minor is not None
                and narrow.maximum_amount_minor <= wide.maximum_amount_minor
            )
        )
        and all(
            _covers(values, (narrow.attributes or {}).get(name))
            for name, values in (wide.attributes or {}).items()
        )
    )


def _covers(wide: tuple[str, ...] | None, narrow: tuple[str, ...] | None) -> bool:
    return wide is None or (narrow is not None and set(narrow) <= set(wide))
