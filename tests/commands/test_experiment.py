"""What may be done with experiments, and what two who act at once leave behind."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from msgspec.structs import asdict, replace

from commands.experiment import decide
from commands.experiment_state import (
    INITIAL,
    Ended,
    Experiments,
    Paused,
    Running,
    evolve,
    status_of,
)
from commands.routing.assignment import Assigner, GroupAssigner, allocated
from schemas.envelope import Envelope, Position, Recorded, Window
from schemas.errors import Refusal, Refused
from schemas.experiment import (
    ANY_VARIANT,
    MOST_RUNNING,
    BucketRange,
    ConcludeExperiment,
    Design,
    DesignOutline,
    Evidence,
    ExperimentConcluded,
    ExperimentEvent,
    ExperimentPaused,
    ExperimentResumed,
    ExperimentStarted,
    ExperimentStopped,
    HeardOfExperiments,
    PauseExperiment,
    RecordedDesign,
    ResumeExperiment,
    StartExperiment,
    StopExperiment,
    UnreadStarted,
    Variant,
)
from schemas.ids import ExperimentId

ONE, TWO = ExperimentId("exp_1"), ExperimentId("exp_2")
AT = datetime(2026, 11, 25, tzinfo=UTC)
UNEVEN = RecordedDesign(
    name="uneven",
    variants=(Variant(name="control", weight=1_000), Variant(name="treatment", weight=2_000)),
    planned_customers=100,
    planned_days=7,
)
EVIDENCE = Evidence(verdict="harmful", reasons=("worse",))


def a_design(weight: int = 1_000, group: str | None = None, name: str = "one") -> Design:
    return Design(
        name=name,
        variants=(Variant(name="control", weight=weight), Variant(name="treatment", weight=weight)),
        planned_customers=100,
        planned_days=7,
        group=group,
    )


def start(experiment: ExperimentId = ONE, design: Design | None = None) -> StartExperiment:
    return StartExperiment(
        experiment_id=experiment, design=design or a_design(), gateways=(), by="asha", note=""
    )


def recorded(event: HeardOfExperiments, offset: int, day: float = 0) -> Recorded[HeardOfExperiments]:
    return Recorded(
        envelope=Envelope(
            event_id=f"evt_{offset}",
            aggregate_id=event.experiment_id,
            sequence=0,
            at=AT + timedelta(days=day),
            epoch=0,
            window=Window(valid_from_ms=0, valid_until_ms=2**53),
            correlation_id="req",
            causation_id="req",
        ),
        event=event,
        position=Position(topic="experiments.events.v1", partition=0, offset=offset),
        stamp_ms=1,
    )


def after(*events: HeardOfExperiments) -> Experiments:
    experiments = INITIAL
    for offset, event in enumerate(events):
        experiments = evolve(experiments, recorded(event, offset))
    return experiments


def on_days(*told: tuple[float, HeardOfExperiments]) -> Experiments:
    experiments = INITIAL
    for offset, (day, event) in enumerate(told):
        experiments = evolve(experiments, recorded(event, offset, day))
    return experiments


def started(experiment: ExperimentId = ONE, design: Design | None = None) -> ExperimentStarted:
    (event,) = decide(start(experiment, design), INITIAL)
    assert isinstance(event, ExperimentStarted)
    return event


def pause(experiment: ExperimentId = ONE) -> PauseExperiment:
    return PauseExperiment(experiment_id=experiment, by="analyzer", note="", evidence=EVIDENCE)


def conclude(follows_version: int) -> ConcludeExperiment:
    return ConcludeExperiment(
        experiment_id=ONE, follows_version=follows_version, by="analyzer", evidence=EVIDENCE
    )


def paused() -> ExperimentEvent:
    return ExperimentPaused(experiment_id=ONE, by="analyzer", note="", evidence=EVIDENCE)


def test_a_started_experiment_divides_its_customers_by_its_own_salt() -> None:
    experiments = after(started())
    assert isinstance(experiments.known[ONE], Running)
    allocation = allocated({"control": 1_000, "treatment": 1_000})
    (routed,) = experiments.running
    assert routed.assignment == Assigner(ONE, allocation)
    assert (experiments.known[ONE].salt, experiments.known[ONE].allocation) == (ONE, allocation)


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


def test_routing_asks_the_oldest_first_also_when_it_was_paused_in_between() -> None:
    events = [started(ONE, a_design(name="one")), started(TWO, a_design(name="two")), paused(), resumed()]
    assert [one.experiment_id for one in after(*events).running] == [ONE, TWO]


def test_resuming_with_more_weight_moves_nobody_to_another_variant() -> None:
    experiments = after(started(), paused())
    (event,) = decide(ResumeExperiment(experiment_id=ONE, by="asha", note="", scale=2.5), experiments)
    grown = after(started(), paused(), event).known[ONE].allocation
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
    (second,) = decide(start(TWO, a_design(2_000, "checkout", "two")), experiments)
    assert isinstance(second, ExperimentStarted)
    buckets = [
        {bucket for part in event.allocation for bucket in range(part.first, part.end)}
        for event in (first, second)
    ]
    assert buckets[0].isdisjoint(buckets[1])
    with pytest.raises(Refused) as refused:
        decide(start(ExperimentId("exp_3"), a_design(1, "checkout", "three")), after(first, second))
    assert refused.value.reason is Refusal.EXPERIMENT_CONFLICT
    assert refused.value.detail == (
        "Its weights are 2 buckets in all, and 0 are free; exp_1 holds 6000; exp_2 holds 4000."
    )


def test_of_two_that_start_at_once_in_the_same_buckets_the_second_is_void() -> None:
    one = started(ONE, a_design(group="checkout"))
    two = started(TWO, a_design(group="checkout", name="two"))
    assert list(after(one, two).known) == [ONE]


def test_of_two_that_grow_at_once_into_the_same_buckets_the_second_stays_paused() -> None:
    begun: list[ExperimentEvent] = []
    for command in (
        start(ONE, a_design(group="checkout")),
        start(TWO, a_design(group="checkout", name="two")),
        pause(ONE),
        pause(TWO),
    ):
        begun += decide(command, after(*begun))
    grown = [
        event
        for one in (ONE, TWO)
        for event in decide(ResumeExperiment(experiment_id=one, by="", note="", scale=2), after(*begun))
    ]
    experiments = after(*begun, *grown)
    assert isinstance(experiments.known[ONE], Running)
    assert experiments.known[TWO] == after(*begun).known[TWO]


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
    (event,) = decide(conclude(1), after(started()))
    known = after(started(), event).known[ONE]
    assert isinstance(known, Ended)
    assert known.evidence == EVIDENCE
    assert status_of(known) == "CONCLUDED"


def test_a_conclusion_that_was_decided_before_a_resumption_and_comes_after_it_is_void_for_everybody() -> None:
    begun = [started(), paused()]
    (concluded,) = decide(conclude(2), after(*begun))
    running = after(*begun, resumed())
    assert after(*begun, resumed(), concluded) == running
    assert after(*begun, resumed(), paused(), concluded) == after(*begun, resumed(), paused())
    assert decide(conclude(2), running) == []
    (unread_pause,) = decide(pause(TWO), after(started(TWO)))
    unread_resumed = ExperimentResumed(experiment_id=TWO, allocation=UNREAD.allocation, by="asha", note="")
    for version, status in ((2, "PAUSED"), (3, "RUNNING")):
        too_old = ExperimentConcluded(
            experiment_id=TWO, by="analyzer", evidence=EVIDENCE, follows_version=5 - version
        )
        heard = [UNREAD, unread_pause, unread_resumed][:version]
        assert after(*heard, too_old).unread[TWO].status == status
        assert after(*heard, replace(too_old, follows_version=version)).unread[TWO].status == "CONCLUDED"


def test_a_conclusion_of_before_there_were_versions_follows_whatever_it_finds() -> None:
    concluded = ExperimentConcluded(experiment_id=ONE, by="analyzer", evidence=EVIDENCE)
    for events in ([started()], [started(), paused()], [started(), paused(), resumed()]):
        assert status_of(after(*events, concluded).known[ONE]) == "CONCLUDED"


# Its days


def resumed() -> ExperimentEvent:
    (event,) = decide(ResumeExperiment(experiment_id=ONE, by="asha", note=""), after(started(), paused()))
    return event


def test_paused_days_are_none_of_the_planned_ones() -> None:
    known = on_days((0, started()), (2, paused()), (5, resumed()), (6, paused()), (6.5, resumed())).known[ONE]
    assert isinstance(known, Running)
    assert known.paused_for == timedelta(days=3.5)
    assert known.planned_end == AT + timedelta(days=7 + 3.5)


def test_a_paused_one_holds_its_name_and_buckets_for_as_long_as_was_planned_at_most() -> None:
    known = on_days((0, started()), (2, paused()), (3, paused())).known[ONE]
    assert isinstance(known, Paused)
    assert known.planned_end == AT + timedelta(days=2 + 7)
    (event,) = decide(conclude(2), after(started(), paused()))
    assert status_of(after(started(), paused(), event).known[ONE]) == "CONCLUDED"


def test_a_clock_that_is_behind_takes_no_day_from_the_plan() -> None:
    known = on_days((0, started()), (2, paused()), (1.9, resumed())).known[ONE]
    assert known.paused_for == timedelta()


# Its numbers


def test_it_is_told_whether_a_guardrail_has_paused_it_this_time() -> None:
    by_hand = ExperimentPaused(experiment_id=ONE, by="asha", note="a holiday")
    for events, is_by_guardrail in (
        ([paused()], True),
        ([by_hand], False),
        ([paused(), resumed(), by_hand], False),
        ([by_hand, resumed(), paused()], True),
    ):
        known = after(started(), *events).known[ONE]
        assert isinstance(known, Paused)
        assert known.is_by_guardrail is is_by_guardrail


def test_what_a_guardrail_paused_it_on_survives_a_resumption_a_pause_by_a_person_and_a_stop() -> None:
    by_hand = ExperimentPaused(experiment_id=ONE, by="asha", note="a holiday")
    stop_it = ExperimentStopped(experiment_id=ONE, by="asha", note="enough")
    for events in ([resumed()], [resumed(), by_hand], [stop_it], [resumed(), stop_it]):
        assert after(started(), paused(), *events).known[ONE].evidence == EVIDENCE
    stopped = after(started(), paused(), stop_it).known[ONE]
    assert status_of(stopped) == "STOPPED"
    assert after(started(), stop_it).known[ONE].evidence is None


# How many


def test_no_more_run_at_once_than_may_whoever_acts_at_the_same_moment() -> None:
    names = [f"exp_running_{number}" for number in range(MOST_RUNNING - 1)]
    running = [started(ExperimentId(one), a_design(name=one)) for one in names]
    last = started(ExperimentId("exp_last"), a_design(name="last"))
    for full in (after(*running, last), after(*running, UNREAD)):
        with pytest.raises(Refused) as refused:
            decide(start(ExperimentId("exp_more"), a_design(name="more")), full)
        assert refused.value.reason is Refusal.EXPERIMENT_CONFLICT
    more = started(ExperimentId("exp_more"), a_design(name="more"))
    assert after(*running, last, more) == after(*running, last)
    assert after(*running, UNREAD, more) == after(*running, UNREAD)
    pause_it = ExperimentPaused(experiment_id=ExperimentId("exp_last"), by="asha", note="")
    resume_it = ExperimentResumed(
        experiment_id=ExperimentId("exp_last"), allocation=last.allocation, by="asha", note=""
    )
    assert after(*running, last, pause_it, more, resume_it) == after(*running, last, pause_it, more)


# In a group


def of_group(experiment: ExperimentId, name: str, weight: int = 1_000) -> ExperimentStarted:
    return started(experiment, a_design(weight, "checkout", name))


def test_in_a_group_who_is_in_it_is_said_by_the_group_and_the_variant_by_the_experiment() -> None:
    first = of_group(ONE, "one")
    (second,) = decide(start(TWO, a_design(500, "checkout", "two")), after(first))
    assert isinstance(second, ExperimentStarted)
    assert second.salt == "checkout"
    assert second.allocation == (BucketRange(variant=ANY_VARIANT, first=2_000, end=3_000),)
    arms = allocated({"control": 500, "treatment": 500})
    assert second.design.arms == arms
    assert after(first, second).running[1].assignment == GroupAssigner(
        Assigner("checkout", second.allocation), Assigner(TWO, arms, 1_000)
    )


def test_in_a_group_more_weight_takes_in_more_customers_and_leaves_the_arms_as_they_are() -> None:
    events = [of_group(ONE, "one", 1_500), paused()]
    (event,) = decide(ResumeExperiment(experiment_id=ONE, by="asha", note="", scale=1.37), after(*events))
    before, known = after(*events).known[ONE], after(*events, event).known[ONE]
    assert known.design == before.design
    assert known.allocation == (BucketRange(variant=ANY_VARIANT, first=0, end=4_110),)


def test_in_a_group_the_same_post_again_finds_the_one_that_it_has_started() -> None:
    assert decide(start(TWO, a_design(1_000, "checkout")), after(of_group(ONE, "one"))) == []


def test_a_process_that_knows_no_arms_cannot_read_a_design_that_has_them_and_can_read_any_other() -> None:
    """So that it takes it for one of a newer version, and routes nobody by half of what it says."""
    grouped, alone = of_group(ONE, "one"), started()
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(msgspec.json.encode(grouped.design), type=Design)
    assert msgspec.json.decode(msgspec.json.encode(alone.design), type=Design) == a_design()


def test_one_of_a_group_that_was_started_with_one_hash_keeps_it_and_its_buckets() -> None:
    """Its salt is the group's name, and its allocation names the variants."""
    allocation = allocated({"control": 1_000, "treatment": 1_000})
    earlier = ExperimentStarted(
        experiment_id=ONE,
        design=RecordedDesign(**asdict(a_design(1_000, "checkout"))),
        salt="checkout",
        allocation=allocation,
        by="asha",
        note="",
    )
    assert after(earlier).running[0].assignment == Assigner("checkout", allocation)
    (second,) = decide(start(TWO, a_design(1_000, "checkout", "two")), after(earlier))
    assert isinstance(second, ExperimentStarted)
    assert second.allocation == (BucketRange(variant=ANY_VARIANT, first=2_000, end=4_000),)
    (grown,) = decide(
        ResumeExperiment(experiment_id=ONE, by="asha", note="", scale=2), after(earlier, second, paused())
    )
    resumed = after(earlier, second, paused(), grown).known[ONE].allocation
    assert [(part.variant, part.first, part.end) for part in resumed] == [
        ("control", 0, 1_000),
        ("treatment", 1_000, 2_000),
        ("control", 4_000, 5_000),
        ("treatment", 5_000, 6_000),
    ]


# Two of one name


def test_what_is_asked_for_twice_is_started_once() -> None:
    """Whatever became of the first answer: the second one finds it, or is void."""
    experiments = after(started(ONE))
    assert decide(start(TWO), experiments) == []
    assert after(started(ONE), started(TWO)) == experiments


def test_another_design_of_the_same_name_is_refused_until_the_first_has_ended() -> None:
    other = start(TWO, a_design(weight=500))
    for events in ([started()], [started(), paused()]):
        with pytest.raises(Refused) as refused:
            decide(other, after(*events))
        assert refused.value.detail.startswith(ONE)
    (stopped,) = decide(StopExperiment(experiment_id=ONE, by="asha", note=""), after(started()))
    assert len(decide(other, after(started(), stopped))) == 1


# Scales


@pytest.mark.parametrize("scale", [0.0001, 0.0015, 6])
def test_a_scale_that_leaves_no_whole_buckets_in_proportion_or_asks_for_too_many_is_refused(
    scale: float,
) -> None:
    with pytest.raises(Refused) as refused:
        decide(
            ResumeExperiment(experiment_id=ONE, by="asha", note="", scale=scale),
            after(
                ExperimentStarted(
                    experiment_id=ONE,
                    design=UNEVEN,
                    salt=ONE,
                    allocation=allocated({"control": 1_000, "treatment": 2_000}),
                    by="asha",
                    note="",
                ),
                paused(),
            ),
        )
    assert refused.value.reason is Refusal.EXPERIMENT_CONFLICT


def test_weights_cannot_change_while_it_runs() -> None:
    with pytest.raises(Refused) as refused:
        decide(ResumeExperiment(experiment_id=ONE, by="asha", note="", scale=2), after(started()))
    assert "runs already, with 2000 buckets" in refused.value.detail, "also who asks twice is told"
    assert decide(ResumeExperiment(experiment_id=ONE, by="asha", note=""), after(started())) == []


# Designs of a newer version

UNREAD = UnreadStarted(
    experiment_id=TWO,
    design=DesignOutline(name="two"),
    salt="checkout",
    allocation=allocated({"control": 1_000, "treatment": 1_000}),
    by="a newer one",
    note="",
)


def test_one_that_cannot_be_read_routes_nobody_and_its_buckets_and_name_are_taken() -> None:
    experiments = after(UNREAD)
    assert experiments.running == ()
    (event,) = decide(start(ONE, a_design(group="checkout")), experiments)
    assert isinstance(event, ExperimentStarted)
    assert [part.first for part in event.allocation] == [2_000]
    same_buckets = started(ONE, a_design(group="checkout"))
    assert after(UNREAD, same_buckets) == experiments
    assert after(UNREAD, started(ONE, a_design(name="two"))) == experiments


def test_what_becomes_of_one_that_cannot_be_read_is_followed_and_judged_as_everywhere() -> None:
    pause_it = ExperimentPaused(experiment_id=TWO, by="analyzer", note="")
    stop_it = ExperimentStopped(experiment_id=TWO, by="asha", note="")
    assert after(UNREAD, pause_it).unread[TWO].status == "PAUSED"
    assert after(UNREAD, pause_it, pause_it) == after(UNREAD, pause_it)
    ended = after(UNREAD, stop_it)
    assert ended.unread[TWO].status == "STOPPED"
    assert after(UNREAD, stop_it, UNREAD, pause_it) == ended
    assert len(decide(start(ONE, a_design(5_000, "checkout", "two")), ended)) == 1


def test_an_old_process_is_not_made_to_act_on_what_it_cannot_read() -> None:
    for command in (pause(TWO), start(ONE, a_design(name="two"))):
        with pytest.raises(Refused) as refused:
            decide(command, after(UNREAD))
        assert refused.value.reason is Refusal.EXPERIMENT_CONFLICT
        assert "newer" in refused.value.detail


def test_nothing_can_be_done_with_an_experiment_that_nobody_knows() -> None:
    with pytest.raises(Refused) as refused:
        decide(pause(), INITIAL)
    assert refused.value.reason is Refusal.EXPERIMENT_NOT_FOUND


def test_weights_never_shrink_since_what_is_given_back_could_come_to_another_variant() -> None:
    with pytest.raises(Refused) as refused:
        decide(ResumeExperiment(experiment_id=ONE, by="asha", note="", scale=0.5), after(started(), paused()))
    assert refused.value.reason is Refusal.EXPERIMENT_CONFLICT
