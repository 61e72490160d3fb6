"""What an experiment has come to, over HTTP."""

import pytest

from projections.contributions import of_customers
from schemas.codec import PAYMENTS_TOPIC
from schemas.experiment import Design, StartExperiment, Variant
from schemas.exposure import ArmKey, Figures, Tally
from schemas.ids import ExperimentId
from schemas.views import Watermark
from tests.api.client import Client
from tests.api.stand_ins import World

ONE = ExperimentId("exp_1")


def an_arm(customers: int, failing: int) -> Tally:
    tally = Tally()
    for number in range(customers):
        tally.update(of_customers(Figures(), Figures(1, 1, int(number >= failing), 0, 1, 5_000)))
        tally.update({"exposed": 1, "latency:260": 1})
    return tally


@pytest.fixture
async def started(world: World) -> World:
    design = Design(
        name="one",
        variants=(Variant(name="control", weight=5_000), Variant(name="treatment", weight=5_000)),
        planned_customers=1_000,
        planned_days=7,
    )
    command = StartExperiment(experiment_id=ONE, design=design, gateways=(), by="asha", note="")
    await world.experiments.obey(command, "req_1")
    async with world.arms.transaction(PAYMENTS_TOPIC, [3]) as transaction:
        await transaction.store(
            exposures={},
            arms={
                (ArmKey(ONE, "control"), 3): an_arm(200, 20),
                (ArmKey(ONE, "treatment"), 3): an_arm(200, 90),
            },
            watermarks={3: Watermark(next_offset=42, last_stamp_ms=1)},
        )
    return world


async def test_results_have_every_variant_and_how_far_the_log_is_in_them(
    started: World, client: Client
) -> None:
    answer = await client.get(f"/experiments/{ONE}/results")
    assert answer.status == 200
    control, treatment = answer.json["variants"]
    assert (control["customers"], control["any_attempt_success"]["clustered"]["estimate"]) == (200, 0.9)
    assert treatment["any_attempt_success"]["naive"]["estimate"] == pytest.approx(0.55)
    assert answer.json["treatments"][0]["harm"]["is_harmful"]
    assert answer.json["next_offsets"] == {"3": 42}
    assert answer.json["status"] == "RUNNING"


async def test_the_winner_is_a_verdict_with_reasons(started: World, client: Client) -> None:
    answer = await client.get(f"/experiments/{ONE}/winner")
    assert answer.status == 200
    assert (answer.json["verdict"], answer.json["winner"]) == ("harmful", None)
    assert answer.json["reasons"] == ["succeeds_credibly_less_often_than_control"]


@pytest.mark.parametrize("what", ["results", "winner"])
async def test_of_an_experiment_that_nobody_knows_there_are_none(client: Client, what: str) -> None:
    answer = await client.get(f"/experiments/exp_unheard_of/{what}")
    assert (answer.status, answer.json["type"]) == (404, "/problems/experiment-not-found")


@pytest.mark.parametrize("what", ["results", "winner"])
async def test_without_the_store_it_is_to_be_asked_again(started: World, client: Client, what: str) -> None:
    started.arms.is_away = True
    answer = await client.get(f"/experiments/{ONE}/{what}")
    assert (answer.status, answer.json["type"]) == (503, "/problems/store-unavailable")
