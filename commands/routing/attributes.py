"""What is written down of a payment's attributes: a client may put anything into a header, and the log is for ever."""

from collections.abc import Iterator, Mapping

from schemas.payment import CLIENT_NETWORK
from schemas.routing import Facts
from schemas.routing_configuration import Condition


def listed(attributes: Mapping[str, str], facts: Facts) -> dict[str, str]:
    """Those whose very value a rule in force, one of the shadow policy, or an experiment lists, so that operators have
    written it down before: no route depends on any other. The client's network is ours, and stays."""
    return {name: value for name, value in attributes.items() if _is_listed(name, value, facts)}


def _is_listed(name: str, value: str, facts: Facts) -> bool:
    return name == CLIENT_NETWORK or any(
        value in condition.attributes.get(name, ())
        for condition in _conditions(facts)
        if condition.attributes is not None
    )


def _conditions(facts: Facts) -> Iterator[Condition]:
    configuration, shadow = facts.configuration, facts.configuration.shadow
    shadows = shadow.rules if shadow is not None else None
    for rules in (configuration.rules, shadows):
        if rules is not None:
            yield from (rule.when for rule in rules.rules)
    for experiment in facts.experiments:
        yield experiment.filter
