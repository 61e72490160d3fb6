"""A minute of `./dev chaos`: nobody is charged twice, nothing is lost, and no payment stays in doubt.

CHAOS_SEED draws another one. What failed is told with its seed and the whole story of the payment.
"""

import os

import pytest
from msgspec.structs import replace

from infra.local import LOCAL
from tests.chaos.checker import Checker
from tests.chaos.run import Chaos, unleash

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(900)]

SEED = int(os.environ.get("CHAOS_SEED", "1"))


async def test_a_minute_of_chaos_breaks_no_promise() -> None:
    chaos = Chaos(seed=SEED, seconds=60, per_second=15)
    result = await unleash(chaos, LOCAL / "test-chaos", print)
    assert not result.violations, "\n\n".join(map(str, result.violations[:3]))

    # The run was one worth surviving, and the checker was awake.
    found = result.figures
    assert found["payments"] > 400, found
    assert found["unknown outcomes"]["payments"] > 100, found
    assert sum(found["disasters"].values()) > 10, found
    evidence = result.aftermath.evidence
    captured = next(charge for charge in evidence.charges if charge.is_captured)
    doctored = replace(result.aftermath, evidence=replace(evidence, charges=[*evidence.charges, captured]))
    (violation, *_) = Checker(doctored).violations()
    assert f"{captured.who}: charged 2 times" in str(violation)
