"""What the analyzer does about an experiment, by the tallies of its arms."""

import asyncio
from datetime import timedelta

import pytest
from msgspec.structs import replace

from commands.experiment_state import Ended, Paused
from projections.contributions import of_customers
from projections.sketch import bin_of
from projections.statistics.latency import log_units
from projections.statistics.verdict import Verdict
from schemas.errors import LogUnavailable
from schemas.experiment import (
    Design,
    ExperimentConcluded,
    ExperimentPaused,
    Guardrails,
    Variant,
)
from schemas.exposure import Figures, Tally
from schemas.ids import ExperimentId
from streams.experiment_analysis import Analysis
from tests.streams.experiment_world import ONE, World


def a_design(*treatments: str, planned: int = 10_000, guardrails: Guardrails | None = None) -> Design:
    names = ("control", *(treatments or ("treatment",)))
    return Design(
        name="one",
        variants=tuple(Variant(name=name, weight=1_000) for name in names),
        planned_customers=planned,
        planned_days=7,
        guardrails=guardrails or Guardrails(),
    )


def an_arm(customers: int, rate: float, latency_ms: int = 200) -> Tally:
    """Of customers who pay once; every so many of them fails."""
    tally = Tally()
    for number in range(customers):
        succeeded = int((number + 1) * rate) - int(number * rate)
        ms = latency_ms + number % 7
        figures = Figures(1, 1, succeeded, succeeded, 1, log_units(ms))
        tally.update(of_customers(Figures(), figures))
        tally.update({"exposed": 1, f"latency:{bin_of(ms)}": 1})
    return tally


@pytest.fixture
async def world() -> World:
    return World()


async def test_a_dead_treatment_is_paused_with_the_numbers_after_a_few_outcomes(world: World) -> None:
    await world.start(a_design())
    await world.count(control=an_arm(14, 0.93), treatment=an_arm(14, 0.0))
    await world.look()
    (event,) = world.events
    assert isinstance(event, ExperimentPaused)
    assert event.evidence is not None
    assert event.evidence.verdict == "harmful"
    assert event.evidence.figures["treatment"]["customers"] == 14
    assert event.evidence.figures["treatment"]["success_rate"] == 0
    harm_p = event.evidence.figures["treatment"]["harm_p"]
    assert harm_p is not None
    assert harm_p < 0.036
    assert isinstance(world.known, Paused)
    assert world.analyzers[0].trouble is None
    assert world.analyzers[0].acted == {"ExperimentPaused": 1}


async def test_a_treatment_that_is_credibly_slower_than_tolerated_is_paused(world: World) -> None:
    await world.start(a_design())
    await world.count(control=an_arm(150, 0.9), treatment=an_arm(150, 0.9, latency_ms=400))
    await world.look()
    (event,) = world.events
    assert isinstance(event, ExperimentPaused)
    assert event.evidence is not None
    assert "is_credibly_slower_than_tolerated" in event.evidence.reasons


async def test_slowness_is_not_judged_before_the_minimum_of_the_design(world: World) -> None:
    await world.start(a_design(guardrails=Guardrails(min_samples=200)))
    await world.count(control=an_arm(150, 0.9), treatment=an_arm(150, 0.9, latency_ms=400))
    await world.look()
    assert world.events == []


async def test_one_harmful_treatment_of_several_is_enough(world: World) -> None:
    await world.start(a_design("good", "bad"))
    await world.count(control=an_arm(60, 0.9), good=an_arm(60, 0.9), bad=an_arm(60, 0.1))
    await world.look()
    assert isinstance(world.known, Paused)
    assert "bad" in world.known.note


async def test_a_broken_split_is_told_and_pauses_nothing(world: World) -> None:
    await world.start(a_design())
    await world.count(control=an_arm(900, 0.9), treatment=an_arm(500, 0.9))
    await world.look()
    assert world.events == []
    judgement = world.analyzers[0].judged[ONE].judgement
    assert judgement.verdict == Verdict.SRM
    assert judgement.sample_ratio.is_mismatch


async def test_an_experiment_is_concluded_at_its_planned_sample_with_what_it_came_to(
    world: World,
) -> None:
    await world.start(a_design(planned=1_000))
    await world.count(control=an_arm(1_010, 0.90), treatment=an_arm(1_010, 0.96))
    await world.look()
    (event,) = world.events
    assert isinstance(event, ExperimentConcluded)
    assert event.evidence.verdict == "winner"
    assert event.evidence.figures["treatment"]["is_winner"] == 1
    assert isinstance(world.known, Ended)


async def test_an_experiment_is_concluded_at_its_planned_end_whatever_was_counted(world: World) -> None:
    await world.start(a_design())
    await world.look()
    assert world.events == []
    world.clock.at += timedelta(days=7)
    await world.look()
    (event,) = world.events
    assert isinstance(event, ExperimentConcluded)
    assert event.evidence.verdict == "collecting"


async def test_what_has_no_new_outcome_is_not_judged_again(world: World) -> None:
    await world.start(a_design())
    await world.count(control=an_arm(20, 0.9), treatment=an_arm(20, 0.9))
    await world.look()
    first = world.analyzers[0].judged[ONE]
    await world.look()
    assert world.analyzers[0].judged[ONE] is first
    await world.count(control=an_arm(1, 1))
    await world.look()
    assert world.analyzers[0].judged[ONE] is not first


async def test_of_several_analyzers_one_acts(world: World) -> None:
    await world.start(a_design())
    await world.count(control=an_arm(50, 0.9), treatment=an_arm(50, 0.1))
    await asyncio.gather(*(one.look() for one in world.analyzers))
    assert len(world.events) == 1


async def test_an_event_that_could_not_be_told_is_told_at_the_next_look(world: World) -> None:
    await world.start(a_design())
    await world.count(control=an_arm(50, 0.9), treatment=an_arm(50, 0.1))
    world.is_away = True
    with pytest.raises(LogUnavailable):
        await world.look()
    world.is_away = False
    await world.look()
    assert isinstance(world.known, Paused)


async def test_one_experiment_that_cannot_be_judged_does_not_keep_the_others_from_it(
    world: World,
) -> None:
    await world.start(a_design())
    await world.start(replace(a_design(), name="two"), ExperimentId("exp_2"))
    await world.count(control=an_arm(50, 0.9), treatment=an_arm(50, 0.1))
    tallies = world.store.tallies

    async def broken(experiment_id: ExperimentId) -> object:
        if experiment_id != ONE:
            raise ZeroDivisionError
        return await tallies(experiment_id)

    world.store.tallies = broken  # type: ignore[assignment, method-assign]
    await world.look()
    assert isinstance(world.known, Paused)
    assert "exp_2 cannot be judged" in (world.analyzers[0].trouble or "")


async def test_nothing_is_judged_before_experiments_are_loaded(world: World) -> None:
    analysis = Analysis(world.store, lambda: None, world, world.clock, Guardrails())
    await analysis.look()
    assert analysis.trouble == "experiments are not loaded"
