"""A minute of `./dev chaos`: nobody is charged twice, nothing is lost, and no payment stays in doubt.

CHAOS_SEED draws another one. What failed is told with its seed and the whole story of the payment.
"""

import os

import pytest
from msgspec.structs import replace

from infra.local import LOCAL
from tests.chaos.aftermath import Aftermath
from tests.chaos.checker import Checker
from tests.chaos.run import Chaos, unleash

pytestmark = [pytest.mark.chaos, pytest.mark.safety, pytest.mark.timeout(900)]

SEED = int(os.environ.get("CHAOS_SEED", "1"))


async def test_a_minute_of_chaos_breaks_no_promise() -> None:
    chaos = Chaos(seed=SEED, seconds=60, per_second=15)
    result = await unleash(chaos, LOCAL / "test-chaos", print)
    assert not result.violations, "\n\n".join(map(str, result.violations[:3]))
    assert result.figures["payments"] > 400, result.figures
    assert result.figures["unknown outcomes"]["payments"] > 100, result.figures
    assert sum(result.figures["disasters"].values()) > 10, result.figures
    assert result.figures["circuits"]["CircuitHalfOpened"] > 1, result.figures
    assert result.figures["webhooks"]["due"] > 400, result.figures
    assert_the_checker_is_awake(result.aftermath)


def assert_the_checker_is_awake(aftermath: Aftermath) -> None:
    """It objects to the same run with one more charge, and without one row, one message, one thing learned, or one
    delivery."""
    evidence = aftermath.evidence
    captured = next(charge for charge in evidence.charges if charge.is_captured)
    charged_again = replace(evidence, charges=[*evidence.charges, captured])
    assert_objects(replace(aftermath, evidence=charged_again), f"{captured.who}: charged 2 times")
    _, *others = evidence.histories
    forgotten = replace(evidence, histories={other: evidence.histories[other] for other in others})
    assert_objects(replace(aftermath, evidence=forgotten), "the read model is not its log")
    unused = frozenset(list(aftermath.used)[1:])
    assert_objects(replace(aftermath, used=unused), "a message was lost or never used")
    stored = aftermath.learned.stored
    for name in {name.partition(" ")[0]: name for name in stored}.values():  # one of each kind
        known = {other: stored[other] for other in stored if other != name}
        partly = replace(aftermath, learned=replace(aftermath.learned, stored=known))
        assert_objects(partly, f"{name}: is not what its log says")
    heard = aftermath.heard
    (name, event), (delivery, *_) = next(iter(heard.due.items()))
    others_received = {one: times for one, times in heard.received[name].items() if one != delivery}
    untold = replace(heard, received={**heard.received, name: others_received})
    assert_objects(replace(aftermath, heard=untold), f"{name}: was never told of {event}")
    assert_objects(replace(aftermath, heard=replace(heard, unverified=1)), "a signature that does not fit")
    assert_objects(
        replace(aftermath, heard=replace(heard, of_anything=frozenset())),
        "was told of what is not on the log",
    )


def assert_objects(aftermath: Aftermath, what: str) -> None:
    found = [str(violation).partition("\n")[0] for violation in Checker(aftermath).violations()]
    assert any(what in objection for objection in found), found
