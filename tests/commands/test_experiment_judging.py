"""When an experiment is paused or concluded, by what was found in its figures."""

from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec.structs import replace

from commands.experiment_judging import End, has_come_to_its_end, looked_at_again, what_follows
from commands.experiment_state import Paused, Running
from schemas.experiment import ConcludeExperiment, Design, Evidence, PauseExperiment, Variant
from schemas.experiment_finding import Finding, Harm, Standing
from schemas.ids import ExperimentId

AT = datetime(2026, 11, 25, tzinfo=UTC)
END = AT + timedelta(days=30)
SEEN = End(seen_at=END, has_all=True)
NOW = Evidence(verdict="no_difference", reasons=("now",))
HARMFUL = Evidence(verdict="harmful", reasons=("then",))
BEGUN: dict[str, Any] = {
    "experiment_id": ExperimentId("exp_1"),
    "design": Design(
        name="one",
        variants=(Variant(name="control", weight=1_000), Variant(name="treatment", weight=1_000)),
        planned_customers=100,
        planned_days=30,
    ),
    "salt": "exp_1",
    "allocation": (),
    "started_at": AT,
    "started_by": "asha",
    "changed_at": AT,
    "changed_by": "asha",
    "note": "",
    "paused_for": timedelta(),
    "evidence": None,
    "version": 1,
}
RUNNING, PAUSED = Running(**BEGUN), Paused(**BEGUN, is_by_guardrail=False)


UNDECIDED = Standing(is_winner=False, reached=0.9, lacks_customers=False)
A_WINNER = replace(UNDECIDED, is_winner=True)
AT_ITS_PLAN = replace(UNDECIDED, reached=1.0)


def found(*, harm: bool = False, decided: bool = False, unsettled: float = 0.0) -> Finding:
    return Finding(
        harm=Harm(variants=("treatment",), evidence=HARMFUL) if harm else None,
        is_split_broken=False,
        treatments=(A_WINNER if decided else UNDECIDED,),
        unsettled_share=unsettled,
        evidence=NOW,
    )


def test_harm_pauses_what_runs_even_at_its_end() -> None:
    command = what_follows(RUNNING, found(harm=True), SEEN, END)
    assert isinstance(command, PauseExperiment)
    assert (command.evidence, command.note) == (HARMFUL, "Credibly harmful: treatment.")
    assert isinstance(what_follows(PAUSED, found(harm=True), SEEN, END), ConcludeExperiment)
    assert what_follows(PAUSED, found(harm=True), None, AT) is None


def test_the_end_is_when_all_is_decided_or_the_planned_days_are_over() -> None:
    assert not has_come_to_its_end(RUNNING, found(), AT)
    assert has_come_to_its_end(RUNNING, found(decided=True), AT)
    assert has_come_to_its_end(RUNNING, found(), END)
    assert has_come_to_its_end(PAUSED, found(), END)


def test_a_treatment_is_decided_by_winning_or_by_its_planned_sample_and_all_of_them_have_to_be() -> None:
    def is_over(*treatments: Standing, split: bool = False) -> bool:
        finding = replace(found(), treatments=treatments, is_split_broken=split)
        return has_come_to_its_end(RUNNING, finding, AT)

    assert is_over(A_WINNER)
    assert is_over(AT_ITS_PLAN)
    assert is_over(A_WINNER, AT_ITS_PLAN)
    assert not is_over()
    assert not is_over(A_WINNER, UNDECIDED)
    assert not is_over(A_WINNER, split=True)
    assert is_over(AT_ITS_PLAN, split=True)


def test_nothing_is_decided_of_fewer_customers_than_the_minimum_however_often_they_have_paid() -> None:
    too_few = replace(AT_ITS_PLAN, reached=3.0, lacks_customers=True)
    finding = replace(found(), treatments=(too_few,))
    assert not has_come_to_its_end(RUNNING, finding, AT)
    assert has_come_to_its_end(RUNNING, finding, END)


def test_a_paused_one_is_not_concluded_before_its_end_since_somebody_may_resume_it() -> None:
    assert not has_come_to_its_end(PAUSED, found(decided=True), AT)


def test_nothing_is_concluded_while_records_are_missing_however_long_that_takes() -> None:
    lacking = End(seen_at=END, has_all=False)
    later = END + timedelta(days=9)
    assert what_follows(RUNNING, found(), lacking, later) is None
    assert looked_at_again(RUNNING, lacking, later) == later


def test_what_is_unsettled_is_waited_for_a_day_at_most_whoever_sees_the_end_late() -> None:
    late = End(seen_at=END + timedelta(hours=20), has_all=True)
    for end in (SEEN, late):
        patience = looked_at_again(RUNNING, end, END)
        assert patience == END + timedelta(days=1)
        assert what_follows(RUNNING, found(unsettled=0.02), end, patience - timedelta(seconds=1)) is None
        assert isinstance(what_follows(RUNNING, found(unsettled=0.02), end, patience), ConcludeExperiment)
    early = End(seen_at=AT, has_all=True)
    assert looked_at_again(RUNNING, early, AT) == AT + timedelta(days=1)


def test_a_half_percent_that_is_unsettled_is_not_waited_for() -> None:
    assert isinstance(what_follows(RUNNING, found(unsettled=0.005), SEEN, END), ConcludeExperiment)


def test_what_a_guardrail_paused_is_concluded_as_what_it_was_called_then() -> None:
    paused = Paused(**{**BEGUN, "evidence": HARMFUL}, is_by_guardrail=True)
    command = what_follows(paused, found(), SEEN, END)
    assert isinstance(command, ConcludeExperiment)
    assert (command.evidence.verdict, command.evidence.reasons) == ("harmful", ("then",))


def test_what_somebody_resumed_is_concluded_as_it_stands_also_where_a_person_has_paused_it_again() -> None:
    resumed = Running(**{**BEGUN, "evidence": HARMFUL})
    frozen = Paused(**{**BEGUN, "evidence": HARMFUL}, is_by_guardrail=False)
    for experiment in (resumed, frozen):
        command = what_follows(experiment, found(), SEEN, END)
        assert isinstance(command, ConcludeExperiment)
        assert command.evidence == NOW
