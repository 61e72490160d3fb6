"""What may be done with experiments, and what two who act at once leave behind."""

from datetime import UTC, datetime

import pytest

from commands.experiment import decide
from commands.experiment_state import INITIAL, Ended, Experiments, Paused, Running, evolve
from schemas.envelope import Envelope, Position, Recorded, Window
from schemas.errors import Refusal, Refused
from schemas.experiment import (
    ConcludeExperiment,
    Design,
    Evidence,
    ExperimentEvent,
    ExperimentPaused,
    ExperimentStarted,
    PauseExperiment,
    ResumeExperiment,
    StartExperiment,
    StopExperiment,
    Variant,
)
from schemas.ids import ExperimentId

ONE, TWO = ExperimentId("exp_1"), ExperimentId("exp_2")
AT = datetime(2026, 11, 25, tzinfo=UTC)
EVIDENCE = Evidence(verdict="harmful", reasons=("worse",))


def a_design(weight: int = 1_000, group: str | None = None) -> Design:
    return Design(
        name="one",
        variants=(Variant(name="control", weight=weight), Variant(name="treatment", weight=weight)),
        planned_customers=100,
        planned_days=7,
        group=group,
    )


def start(experiment: ExperimentId = ONE, design: Design | None = None) -> StartExperiment:
    return StartExperiment(
        experiment_id=experiment, design=design or a_design(), gateways=(), by="asha", note=""
    )


def recorded(event: ExperimentEvent, offset: int) -> Recorded[ExperimentEvent]:
    return Recorded(
        envelope=Envelope(
            event_id=f"evt_{offset}",
            aggregate_id=event.experiment_id,
            sequence=0,
            at=AT,
            epoch=0,
            window=Window(valid_from_ms=0, valid_until_ms=2**53),
            correlation_id="req",
            causation_id="req",
        ),
        event=event,
        position=Position(topic="experiments.events.v1", partition=0, offset=offset),
        stamp_ms=1,
    )


def after(*events: ExperimentEvent) -> Experiments:
    experiments = INITIAL
    for offset, event in enumerate(events):
        experiments = evolve(experiments, recorded(event, offset))
    return experiments


def started(experiment: ExperimentId = ONE, design: Design | None = None) -> ExperimentEvent:
    (event,) = decide(start(experiment, design), INITIAL)
    return event


def pause(experiment: ExperimentId = ONE) -> PauseExperiment:
    return PauseExperiment(experiment_id=experiment, by="analyzer", note="", evidence=EVIDENCE)


def paused() -> ExperimentEvent:
    return ExperimentPaused(experiment_id=ONE, by="analyzer", note="", evidence=EVIDENCE)


def test_a_started_experiment_divides_its_customers_by_its_own_salt() -> None:
    experiments = after(started())
    assert isinstance(experiments.known[ONE], Running)
    (routed,) = experiments.running
    assert routed.salt == ONE
    assert [(part.variant, part.end - part.first) for part in routed.allocation] == [
        ("control", 1_000),
        ("treatment", 1_000),
    ]


def test_a_paused_experiment_routes_nobody_and_keeps_its_buckets_and_numbers() -> None:
    experiments = after(started(), paused())
    assert experiments.running == ()
    (event,) = decide(ResumeExperiment(experiment_id=ONE, by="asha", note=""), experiments)
    known = experiments.known[ONE]
    assert isinstance(known, Paused)
    assert known.evidence == EVIDENCE
    resumed = after(started(), paused(), event)
    assert isinstance(resumed.known[ONE], Running)
    assert resumed.running == after(started()).running


def test_resuming_with_more_weight_moves_nobody_to_another_variant() -> None:
    experiments = after(started(), paused())
    (event,) = decide(ResumeExperiment(experiment_id=ONE, by="asha", note="", scale=2.5), experiments)
    grown = after(started(), paused(), event).running[0].allocation
    before = experiments.known[ONE].allocation
    assert {bucket: part.variant for part in before for bucket in range(part.first, part.end)}.items() <= {
        bucket: part.variant for part in grown for bucket in range(part.first, part.end)
    }.items()
    assert sum(part.end - part.first for part in grown) == 5_000


def test_who_pauses_second_changes_nothing() -> None:
    experiments = after(started(), paused(), paused())
    assert experiments == after(started(), paused())
    assert decide(pause(), experiments) == []


def test_experiments_of_one_group_share_no_bucket_and_a_group_can_be_full() -> None:
    first = started(ONE, a_design(3_000, "checkout"))
    experiments = after(first)
    (second,) = decide(start(TWO, a_design(2_000, "checkout")), experiments)
    assert isinstance(first, ExperimentStarted)
    assert isinstance(second, ExperimentStarted)
    buckets = [
        {bucket for part in event.allocation for bucket in range(part.first, part.end)}
        for event in (first, second)
    ]
    assert buckets[0].isdisjoint(buckets[1])
    with pytest.raises(Refused) as refused:
        decide(start(ExperimentId("exp_3"), a_design(1, "checkout")), after(first, second))
    assert refused.value.reason is Refusal.EXPERIMENT_CONFLICT


def test_of_two_that_start_at_once_in_the_same_buckets_the_second_is_void() -> None:
    one, two = started(ONE, a_design(group="checkout")), started(TWO, a_design(group="checkout"))
    assert list(after(one, two).known) == [ONE]


def test_an_ended_experiment_frees_its_buckets_and_stays_ended() -> None:
    (stopped,) = decide(StopExperiment(experiment_id=ONE, by="asha", note="enough"), after(started()))
    experiments = after(started(), stopped)
    assert isinstance(experiments.known[ONE], Ended)
    with pytest.raises(Refused):
        decide(ResumeExperiment(experiment_id=ONE, by="asha", note=""), experiments)
    with pytest.raises(Refused):
        decide(pause(), experiments)
    assert decide(StopExperiment(experiment_id=ONE, by="asha", note=""), experiments) == []
    assert after(started(), stopped, started()) == experiments


def test_a_conclusion_keeps_what_it_came_to() -> None:
    (event,) = decide(
        ConcludeExperiment(experiment_id=ONE, by="analyzer", evidence=EVIDENCE), after(started())
    )
    known = after(started(), event).known[ONE]
    assert isinstance(known, Ended)
    assert known.evidence == EVIDENCE


def test_nothing_can_be_done_with_an_experiment_that_nobody_knows() -> None:
    with pytest.raises(Refused) as refused:
        decide(pause(), INITIAL)
    assert refused.value.reason is Refusal.EXPERIMENT_NOT_FOUND
