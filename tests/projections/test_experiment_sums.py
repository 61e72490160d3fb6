"""Sums made at once, of whole exposures, are what an intake arrives at change by change."""

import pytest

from infra.memory.projections import RawRecord
from projections.experiment_sums import ExperimentSums
from schemas.exposure import ArmKey
from tests.projections.exposed import EXPERIMENT, a_history, a_long_history, folded

HISTORIES = [*(a_history(seed) for seed in range(10)), *(a_long_history(seed) for seed in range(3))]


@pytest.mark.parametrize("records", HISTORIES, ids=range(len(HISTORIES)))
async def test_sums_of_whole_exposures_are_those_of_their_changes(records: list[RawRecord]) -> None:
    store, tallies = await folded(records)
    sums = ExperimentSums()
    sums.add(store.exposures.values())
    assert sums.arms == {ArmKey(EXPERIMENT, variant): tally for variant, tally in tallies.items()}
    assert sums.customers == store.customers


async def test_sums_of_parts_are_those_of_the_whole_though_customers_pay_in_both() -> None:
    store, tallies = await folded(a_history(1))
    parts = ExperimentSums(), ExperimentSums()
    for number, exposure in enumerate(store.exposures.values()):
        parts[number % 2].add([exposure])
    assert parts[0].customers.keys() & parts[1].customers.keys()
    parts[0].add_all(parts[1])
    assert parts[0].arms == {ArmKey(EXPERIMENT, variant): tally for variant, tally in tallies.items()}
