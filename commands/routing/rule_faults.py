"""What is wrong with proposed rules: what could never match, name nothing of ours, or never take a payment.

Pointers are into the body that proposed them (RFC 6901), and nothing quotes what the client sent.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import assert_never

from schemas.dimensions import BIN_DIGITS
from schemas.gateway import GatewayConfiguration
from schemas.http import FieldError, holds_a_card_number
from schemas.ids import GatewayId
from schemas.money import EXPONENTS
from schemas.routing_configuration import Condition, Exclude, Pin, Prefer, RoutingRules, Rule, Split

Gateways = Mapping[GatewayId, GatewayConfiguration]

_PLAIN = re.compile(r"[A-Za-z0-9_-]{1,64}")
_ATTRIBUTE = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]{1,64}")
_LISTS = (
    "merchant_ids",
    "segments",
    "payment_methods",
    "currencies",
    "issuers",
    "networks",
)


def rule_faults_in(rules: RoutingRules, gateways: Sequence[GatewayConfiguration]) -> list[FieldError]:
    return list(_of_rules(rules, by_id(gateways)))


def by_id(gateways: Sequence[GatewayConfiguration]) -> Gateways:
    return {gateway.id: gateway for gateway in gateways}


def _of_rules(rules: RoutingRules, gateways: Gateways) -> Iterator[FieldError]:
    ids: set[str] = set()
    for place, rule in enumerate(rules.rules):
        here = f"/rules/{place}"
        if rule.id in ids:
            yield FieldError(pointer=f"{here}/id", detail="is the id of an earlier rule")
        ids.add(rule.id)
        yield from text_faults(f"{here}/note", rule.note)
        yield from condition_faults(f"{here}/when", rule.when)
        yield from _of_action(f"{here}/then", rule, gateways)


def condition_faults(here: str, when: Condition) -> Iterator[FieldError]:
    for field in _LISTS:
        given: tuple[str, ...] | None = getattr(when, field)
        if given is None:
            continue
        if not given:
            yield FieldError(pointer=f"{here}/{field}", detail="is empty: it would never match")
        for place, text in enumerate(given):
            yield from text_faults(f"{here}/{field}/{place}", text)
    for place, currency in enumerate(when.currencies or ()):
        if currency not in EXPONENTS:
            detail = "is not an ISO 4217 code of a currency in use"
            yield FieldError(pointer=f"{here}/currencies/{place}", detail=detail)
    for place, issuer in enumerate(when.issuers or ()):
        yield from _of_lower_case(f"{here}/issuers/{place}", issuer)
        if issuer.isdecimal() and len(issuer) != BIN_DIGITS:
            detail = f"would never match: a BIN is known by its first {BIN_DIGITS} digits"
            yield FieldError(pointer=f"{here}/issuers/{place}", detail=detail)
    for place, network in enumerate(when.networks or ()):
        yield from _of_lower_case(f"{here}/networks/{place}", network)
    least, most = when.minimum_amount_minor, when.maximum_amount_minor
    if least is not None and most is not None and least > most:
        yield FieldError(pointer=f"{here}/minimum_amount_minor", detail="is above maximum_amount_minor")
    if when.attributes is not None:
        yield from _of_attributes(f"{here}/attributes", when.attributes)


def _of_lower_case(pointer: str, text: str) -> Iterator[FieldError]:
    if text != text.lower():
        yield FieldError(pointer=pointer, detail="would never match: it is known in lower case")


def _of_attributes(here: str, attributes: Mapping[str, tuple[str, ...]]) -> Iterator[FieldError]:
    if not attributes:
        yield FieldError(pointer=here, detail="is empty: leave it out")
    for name, values in attributes.items():
        pointer = within(here, name)
        yield from text_faults(pointer, name)
        if not _ATTRIBUTE.fullmatch(name):
            detail = "would never match: it is the name after X-Context-, in lower case"
            yield FieldError(pointer=pointer, detail=detail)
        if not values:
            yield FieldError(pointer=pointer, detail="is empty: it would never match")
        for place, value in enumerate(values):
            yield from text_faults(f"{pointer}/{place}", value)


def _of_action(here: str, rule: Rule, gateways: Gateways) -> Iterator[FieldError]:
    match rule.then:
        case Pin(gateway=gateway):
            yield from _of_gateway(f"{here}/gateway", gateway, rule.when, gateways)
        case Split(weights=weights):
            yield from share_faults(f"{here}/weights", weights, rule.when, gateways)
        case Prefer(gateways=named) | Exclude(gateways=named):
            yield from list_faults(f"{here}/gateways", named, gateways)
        case _:
            assert_never(rule.then)


def list_faults(here: str, named: Sequence[GatewayId], gateways: Gateways) -> Iterator[FieldError]:
    for place, gateway in enumerate(named):
        pointer = f"{here}/{place}"
        if gateway not in gateways:
            yield unknown_gateway(pointer)
        elif gateway in named[:place]:
            yield FieldError(pointer=pointer, detail="is named before")


def share_faults(
    here: str, shared: Iterable[GatewayId], when: Condition, gateways: Gateways
) -> Iterator[FieldError]:
    """Of those among which the first one is drawn."""
    named = tuple(shared)
    if len(named) == 1:
        yield FieldError(pointer=here, detail="has one gateway: say that it comes first instead")
    for gateway in named:
        yield from _of_gateway(within(here, gateway), gateway, when, gateways)


def _of_gateway(
    pointer: str, gateway: GatewayId, when: Condition, gateways: Gateways
) -> Iterator[FieldError]:
    """Of one that is to be the first, or the only one: can it ever take what this is about?"""
    if gateway not in gateways:
        yield unknown_gateway(pointer)
    elif (never := _never_takes(when, gateways[gateway])) is not None:
        yield FieldError(pointer=pointer, detail=f"takes none of the {never} that this is about")


def _never_takes(when: Condition, gateway: GatewayConfiguration) -> str | None:
    """Whether it is enabled is another matter: that may be put right at any time."""
    if when.payment_methods is not None and not set(when.payment_methods) & set(gateway.payment_methods):
        return "payment_methods"
    if when.currencies is not None and not set(when.currencies) & set(gateway.currencies):
        return "currencies"
    is_too_little = (
        when.maximum_amount_minor is not None and when.maximum_amount_minor < gateway.minimum_amount_minor
    )
    is_too_much = (
        when.minimum_amount_minor is not None
        and gateway.maximum_amount_minor is not None
        and when.minimum_amount_minor > gateway.maximum_amount_minor
    )
    return "amounts" if is_too_little or is_too_much else None


def unknown_gateway(pointer: str) -> FieldError:
    return FieldError(pointer=pointer, detail="is no gateway of ours")


def text_faults(pointer: str, text: str) -> Iterator[FieldError]:
    """It is on the log for ever."""
    if not text.isprintable():
        yield FieldError(pointer=pointer, detail="must be printable")
    if holds_a_card_number(text):
        yield FieldError(pointer=pointer, detail="must not be a card number")


def within(pointer: str, key: str) -> str:
    """A key that a client made up is not repeated unless it is plain."""
    is_plain = _PLAIN.fullmatch(key) is not None and not holds_a_card_number(key)
    return f"{pointer}/{key}" if is_plain else pointer
