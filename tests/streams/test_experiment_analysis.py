"""What the analyzer does about an experiment, by the tallies of its arms."""

import asyncio
from collections.abc import Collection
from datetime import timedelta
from typing import NoReturn

import pytest
from msgspec.structs import replace

from commands.experiment_state import Ended, Paused, Running
from infra.memory.experiments import MemoryExperiments
from projections.contributions import of_customers
from projections.sketch import bin_of
from projections.statistics.latency import log_units
from projections.statistics.verdict import Verdict
from schemas.errors import LogUnavailable, StoreUnavailable
from schemas.experiment import (
    Design,
    ExperimentConcluded,
    ExperimentEvent,
    ExperimentPaused,
    ExperimentStopped,
    Guardrails,
    PauseExperiment,
    ResumeExperiment,
    Variant,
)
from schemas.exposure import Figures, Tally
from schemas.ids import ExperimentId
from streams.experiment_metrics import ExperimentMetrics
from tests.commands.test_experiment import UNREAD
from tests.projections.exposed import a_long_history, an_intake, on_the_log
from tests.streams.experiment_world import ONE, Clock, World


def a_design(*treatments: str, planned: int = 10_000, guardrails: Guardrails | None = None) -> Design:
    names = ("control", *(treatments or ("treatment",)))
    return Design(
        name="one",
        variants=tuple(Variant(name=name, weight=1_000) for name in names),
        planned_customers=planned,
        planned_days=7,
        guardrails=guardrails or Guardrails(),
    )


def an_arm(customers: int, rate: float, latency_ms: int = 200, payments: int = 1) -> Tally:
    """Of customers who pay so often; of their payments, taken in turn, every so many fails."""
    tally = Tally()
    for number in range(customers):
        succeeded = int((number + 1) * payments * rate) - int(number * payments * rate)
        ms = latency_ms + number % 7
        timed = payments * log_units(ms)
        figures = Figures(payments, payments, succeeded, succeeded, payments, timed)
        tally.update(of_customers(Figures(), figures))
        tally.update({"exposed": payments, f"latency:{bin_of(ms)}": payments})
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
    judgement = world.analyzers[0].looks[ONE].judgement
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


async def test_few_customers_who_pay_often_are_not_concluded_with_before_the_days_are_over(
    world: World,
) -> None:
    await world.start(a_design(planned=1_000))
    await world.count(control=an_arm(60, 0.9, payments=50), treatment=an_arm(60, 0.9, payments=50))
    await world.look()
    assert world.events == []
    await world.count(control=an_arm(40, 0.9, payments=50), treatment=an_arm(40, 0.9, payments=50))
    await world.look()
    assert isinstance(world.known, Ended)


async def test_at_its_end_the_figures_have_all_that_was_on_the_log_when_it_came(world: World) -> None:
    await world.start(a_design())
    await world.count(7, control=an_arm(50, 0.9), treatment=an_arm(50, 0.9))
    world.clock.at += timedelta(days=7)
    world.log_ends = {0: 9, 1: 0}
    await world.look()
    world.log_ends = {0: 30}
    await world.count(8, control=an_arm(1, 0))
    await world.look()
    assert world.events == []
    await world.count(9, treatment=an_arm(1, 0))
    await world.look()
    (event,) = world.events
    assert isinstance(event, ExperimentConcluded)
    assert event.evidence.figures["treatment"]["customers"] == 51


async def test_the_log_may_go_on_with_other_payments_while_an_end_waits_for_what_was_on_it(
    world: World,
) -> None:
    await world.start(a_design())
    world.clock.at += timedelta(days=7)
    world.log_ends = {0: 9}
    await world.look()
    assert world.events == []
    await world.count(9)
    await world.look()
    assert isinstance(world.known, Ended)


async def test_an_end_waits_for_what_is_unsettled_and_tells_what_was_still_open(world: World) -> None:
    await world.start(a_design())
    await world.count(control=an_arm(200, 0.9), treatment=an_arm(200, 0.9))
    await world.count(treatment=Tally(unknown=1, in_review=1))
    world.clock.at += timedelta(days=7)
    await world.look()
    world.clock.at += timedelta(days=0.69)
    await world.look()
    assert world.events == []
    world.clock.at += timedelta(days=0.01)
    await world.look()
    (event,) = world.events
    assert isinstance(event, ExperimentConcluded)
    assert event.evidence.figures["treatment"]["unsettled_share"] == 0.01


async def test_an_end_waits_no_longer_than_until_enough_is_settled(world: World) -> None:
    await world.start(a_design())
    await world.count(control=an_arm(200, 0.9), treatment=an_arm(200, 0.9))
    await world.count(treatment=Tally(unknown=2))
    world.clock.at += timedelta(days=7)
    await world.look()
    assert world.events == []
    await world.count(treatment=Tally(unknown=-1))
    await world.look()
    assert isinstance(world.known, Ended)


async def test_a_winner_is_concluded_with_when_it_is_one_and_not_when_it_may_have_been(world: World) -> None:
    """Half way to the plan."""
    await world.start(a_design(planned=2_000))
    await world.count(control=an_arm(1_000, 0.80), treatment=an_arm(1_000, 0.95))
    await world.look()
    (event,) = world.events
    assert isinstance(event, ExperimentConcluded)
    assert (event.evidence.verdict, event.evidence.figures["treatment"]["is_winner"]) == ("winner", 1)


async def test_of_several_treatments_the_end_waits_for_those_that_are_not_decided(world: World) -> None:
    await world.start(a_design("good", "other", planned=2_000))
    await world.count(control=an_arm(1_000, 0.80), good=an_arm(1_000, 0.95), other=an_arm(1_000, 0.80))
    await world.look()
    assert world.events == []
    assert world.analyzers[0].looks[ONE].judgement.winner == "good"


async def test_nobody_wins_early_across_a_broken_split(world: World) -> None:
    await world.start(a_design(planned=2_000))
    await world.count(control=an_arm(1_300, 0.80), treatment=an_arm(1_000, 0.95))
    await world.look()
    assert world.events == []


async def test_a_paused_experiment_is_concluded_when_it_has_kept_its_buckets_as_long_as_planned(
    world: World,
) -> None:
    await world.start(a_design())
    await world.obey(PauseExperiment(experiment_id=ONE, by="asha", note=""))
    await world.count(control=an_arm(20, 0.9), treatment=an_arm(20, 0.9))
    world.clock.at += timedelta(days=6)
    await world.look()
    assert world.events == []
    world.clock.at += timedelta(days=1)
    await world.look()
    (event,) = world.events
    assert isinstance(event, ExperimentConcluded)
    assert event.evidence.verdict == "collecting"


async def test_a_pause_by_a_person_is_concluded_as_things_stand_whatever_a_guardrail_has_said_before(
    world: World,
) -> None:
    await world.start(a_design())
    await world.count(control=an_arm(50, 0.9), treatment=an_arm(50, 0.1))
    await world.look()
    await world.obey(ResumeExperiment(experiment_id=ONE, by="asha", note="it is repaired"))
    await world.count(control=an_arm(5_000, 0.9), treatment=an_arm(5_000, 0.9))
    await world.obey(PauseExperiment(experiment_id=ONE, by="asha", note="freeze"))
    world.clock.at += timedelta(days=7)
    await world.look()
    (event,) = world.events
    assert isinstance(event, ExperimentConcluded)
    assert event.evidence.verdict == "collecting"


async def test_what_was_paused_as_harmful_is_concluded_as_harmful_with_the_figures_of_its_end(
    world: World,
) -> None:
    await world.start(a_design())
    await world.count(control=an_arm(50, 0.9), treatment=an_arm(50, 0.1))
    await world.look()
    await world.count(control=an_arm(500, 0.9), treatment=an_arm(2_000, 0.97))
    world.clock.at += timedelta(days=7)
    await world.look()
    _, event = world.events
    assert isinstance(event, ExperimentConcluded)
    assert event.evidence.verdict == "harmful"
    assert "succeeds_credibly_less_often_than_control" in event.evidence.reasons
    assert event.evidence.figures["treatment"]["customers"] == 2_050


async def test_a_harmful_experiment_that_somebody_resumes_is_paused_again_at_the_next_look(
    world: World,
) -> None:
    await world.start(a_design())
    await world.count(control=an_arm(50, 0.9), treatment=an_arm(50, 0.1))
    await world.look()
    await world.look()
    await world.obey(ResumeExperiment(experiment_id=ONE, by="asha", note=""))
    await world.look()
    assert isinstance(world.known, Paused)


async def test_metrics_tell_a_broken_split_and_for_how_long_an_experiment_is_paused(world: World) -> None:
    await world.start(a_design())
    await world.obey(PauseExperiment(experiment_id=ONE, by="asha", note=""))
    await world.count(control=an_arm(900, 0.9), treatment=an_arm(500, 0.9))
    world.clock.at += timedelta(minutes=5)
    await world.look()
    world.clock.at += timedelta(minutes=5)
    world.clock.passed_s += 12
    metrics = ExperimentMetrics(world.analyzers[0], world.clock.now)
    told = {
        (one.name.removeprefix("payments_gateway_experiment_"), *one.labels.values()): one.value
        for family in metrics.collect()
        for one in family.samples
    }
    assert told["paused_seconds", ONE] == 600
    assert told["payments_gateway_experiments_judged_seconds_ago",] == 12
    assert told["split_is_broken", ONE] == 1
    assert told["verdict", ONE, "srm"] == 1


async def test_whoever_has_the_turn_forgets_payments_of_which_nothing_counts_any_more(world: World) -> None:
    records = a_long_history(seed=1)
    await an_intake(world.store, on_the_log(records)).absorb(records)
    before, tallies = len(world.store.exposures), (await world.store.tallies(ONE))[0]
    async with world.store.turn():
        await world.look()
    assert len(world.store.exposures) == before
    await world.look()
    assert len(world.store.exposures) < before
    assert (await world.store.tallies(ONE))[0] == tallies


async def test_what_has_no_new_outcome_is_not_judged_again(world: World) -> None:
    await world.start(a_design())
    await world.count(control=an_arm(20, 0.9), treatment=an_arm(20, 0.9))
    await world.look()
    first = world.analyzers[0].looks[ONE]
    await world.look()
    assert world.analyzers[0].looks[ONE] is first
    await world.count(control=an_arm(1, 1))
    await world.look()
    assert world.analyzers[0].looks[ONE] is not first


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


# What it knows


async def test_nothing_is_judged_before_experiments_are_loaded(world: World) -> None:
    await world.start(a_design())
    await world.count(control=an_arm(50, 0.9), treatment=an_arm(50, 0.1))
    analyzer = world.another()
    world.tails[-1].is_caught_up = False
    await analyzer.look()
    assert world.events == []
    assert analyzer.trouble == "experiments are not loaded"


async def test_who_has_not_heard_from_the_log_for_long_says_so_and_leaves_the_turn_to_others(
    world: World,
) -> None:
    await world.start(a_design())
    await world.count(control=an_arm(50, 0.9), treatment=an_arm(50, 0.1))
    world.tails[0].pause()
    await world.analyzers[0].look()
    assert world.events == []
    assert world.analyzers[0].trouble == "experiments were current 60 s ago"
    await world.analyzers[1].look()
    assert isinstance(world.known, Paused)


async def test_who_has_not_heard_yet_what_another_did_does_not_do_it_again(world: World) -> None:
    """As after a kill of the other one between its append and the hearing of it."""
    await world.start(a_design())
    await world.count(control=an_arm(50, 0.9), treatment=an_arm(50, 0.1))
    late = world.tails[1]
    late.is_late = True
    await world.analyzers[0].look()
    with pytest.raises(LogUnavailable):
        await world.analyzers[1].look()
    late.is_late = False
    late.hear()
    await world.analyzers[1].look()
    assert len(world.events) == 1
    assert [one.acted for one in world.analyzers] == [{"ExperimentPaused": 1}, {}]


async def test_of_two_pauses_at_one_moment_only_the_one_that_counts_is_counted(world: World) -> None:
    await world.start(a_design())
    await world.count(control=an_arm(50, 0.9), treatment=an_arm(50, 0.1))
    append = world.append

    async def overtaken(event: ExperimentEvent, event_id: str, caused_by: str) -> None:
        await append(event, "evt_of_somebody_else", caused_by)
        await append(event, event_id, caused_by)

    world.append = overtaken  # type: ignore[method-assign]
    await world.look()
    assert isinstance(world.known, Paused)
    assert world.analyzers[0].acted == {}


async def test_an_experiment_that_is_resumed_while_it_is_judged_goes_on(world: World) -> None:
    await world.start(a_design())
    await world.obey(PauseExperiment(experiment_id=ONE, by="asha", note=""))
    world.clock.at += timedelta(days=7)
    tallies = world.store.tallies

    async def meanwhile(experiment_id: ExperimentId) -> object:
        found = await tallies(experiment_id)
        await world.obey(ResumeExperiment(experiment_id=ONE, by="asha", note=""))
        return found

    world.store.tallies = meanwhile  # type: ignore[assignment, method-assign]
    await world.look()
    assert world.events == []
    assert isinstance(world.known, Running)


async def test_who_is_too_old_for_an_experiment_that_has_not_ended_is_not_ready(world: World) -> None:
    await world.append(UNREAD, "evt_0", "evt_0")  # type: ignore[arg-type]
    await world.look()
    assert UNREAD.experiment_id in (world.analyzers[0].trouble or "")
    stopped = ExperimentStopped(experiment_id=UNREAD.experiment_id, by="asha", note="")
    await world.append(stopped, "evt_1", "evt_1")
    assert world.analyzers[0].trouble is None


# Who judges


async def test_what_could_not_be_judged_is_told_until_it_is_also_while_another_has_the_turn(
    world: World,
) -> None:
    await world.start(a_design())
    tallies, analyzer = world.store.tallies, world.analyzers[0]

    async def broken(experiment_id: ExperimentId) -> object:
        raise ZeroDivisionError(experiment_id)

    world.store.tallies = broken  # type: ignore[assignment, method-assign]
    await analyzer.look()
    async with world.store.turn():
        await analyzer.look()
    assert "exp_1 cannot be judged" in (analyzer.trouble or "")
    world.store.tallies = tallies  # type: ignore[method-assign]
    await analyzer.look()
    assert analyzer.trouble is None


async def test_while_nobody_judges_everybody_says_so_and_while_somebody_does_nobody(world: World) -> None:
    """Whoever has the turn stands still."""
    ours, other = world.analyzers
    async with world.store.turn():
        for _ in range(7):
            world.clock.passed_s += 5
            await other.look()
        assert other.judged_s_ago == 35
        assert other.trouble == "nobody has judged experiments for 35 s"
    await ours.look()
    world.clock.passed_s += 2
    async with world.store.turn():
        await other.look()
        assert other.judged_s_ago == 2
        assert other.trouble is None


async def test_who_lags_behind_the_log_still_knows_that_another_judges(world: World) -> None:
    ours, other = world.analyzers
    world.tails[1].is_paused = True
    world.clock.passed_s += 35
    await ours.look()
    await other.look()
    assert other.judged_s_ago == 0


class Untrimmed(MemoryExperiments):
    """Takes in no payments, and forgets none."""

    def transaction(self, topic: str, partitions: Collection[int]) -> NoReturn:
        raise StoreUnavailable("away")


async def test_experiments_are_judged_also_where_nothing_can_be_forgotten(world: World) -> None:
    await world.start(a_design())
    await world.count(control=an_arm(200, 0.9), treatment=an_arm(200, 0.5))
    untrimmed = Untrimmed(world.clock.elapsed_ms)
    untrimmed.parts, world.store = world.store.parts, untrimmed
    analyzer = world.another()
    await analyzer.look()
    assert [type(event) for event in world.events] == [ExperimentPaused]
    assert analyzer.trouble is None


# Its end, whoever sees it


async def test_the_patience_of_an_early_end_begins_once_whoever_is_restarted(world: World) -> None:
    await world.start(a_design(planned=1_000))
    await world.count(control=an_arm(1_010, 0.9), treatment=an_arm(1_010, 0.9))
    await world.count(treatment=Tally(unknown=20))
    for _ in range(2):
        await world.another().look()
        world.clock.at += timedelta(days=0.6)
    assert world.events == []
    await world.another().look()
    assert isinstance(world.known, Ended)


async def test_the_figures_of_an_end_have_what_was_on_the_log_when_it_was_seen_first_and_wait_for_no_more(
    world: World,
) -> None:
    await world.start(a_design())
    world.clock.at += timedelta(days=7)
    world.log_ends = {0: 9}
    await world.another().look()
    world.log_ends = {0: 30}
    await world.count(8)
    await world.another().look()
    assert world.events == []
    await world.count(9)
    await world.another().look()
    assert isinstance(world.known, Ended)


async def test_a_clock_that_is_behind_does_not_take_back_an_end(world: World) -> None:
    await world.start(a_design())
    world.clock.at += timedelta(days=7)
    world.log_ends = {0: 9}
    await world.look()
    behind = Clock()
    behind.at = world.clock.at - timedelta(hours=1)
    other = world.another(behind)
    world.log_ends = {0: 30}
    await other.look()
    await world.count(9)
    await other.look()
    assert isinstance(world.known, Ended)


async def test_an_early_end_that_is_none_any_more_is_forgotten_with_its_patience(world: World) -> None:
    await world.start(a_design(planned=2_000))
    await world.count(control=an_arm(1_000, 0.80), treatment=an_arm(1_000, 0.95))
    await world.count(treatment=Tally(unknown=50))
    await world.look()
    assert await world.store.ends([ONE])
    await world.count(treatment=an_arm(500, 0.5), control=an_arm(500, 0.8))
    await world.look()
    assert world.events == []
    assert not await world.store.ends([ONE])


async def test_an_end_of_before_a_pause_is_none_of_after_it(world: World) -> None:
    await world.start(a_design())
    world.clock.at += timedelta(days=7)
    world.log_ends = {0: 9}
    await world.look()
    await world.obey(PauseExperiment(experiment_id=ONE, by="asha", note=""))
    await world.obey(ResumeExperiment(experiment_id=ONE, by="asha", note=""))
    world.log_ends = {0: 30}
    await world.count(9)
    await world.another().look()
    assert world.events == []
    await world.count(30)
    await world.another().look()
    assert isinstance(world.known, Ended)
