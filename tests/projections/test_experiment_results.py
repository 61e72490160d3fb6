"""Results agree with what other libraries make of the customers themselves, and every figure says how it was made."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pytest
from scipy import stats
from statsmodels.regression.linear_model import OLS
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import (
    confint_proportions_2indep,
    power_proportions_2indep,
    proportion_confint,
)

from projections.contributions import of_customers
from projections.experiment_comparison import Known
from projections.experiment_finding import evidence
from projections.experiment_results import judged, results, rules_of, winner
from projections.sketch import bin_of
from projections.statistics.latency import log_units
from projections.statistics.verdict import Verdict
from schemas.experiment import Design, Evidence, Guardrails, Variant
from schemas.exposure import Figures, Tally
from schemas.ids import ExperimentId

AT = datetime(2026, 11, 25, tzinfo=UTC)


class Customers(NamedTuple):
    """Of one arm: payments, successes and latencies of every customer."""

    payments: list[int]
    successes: list[int]
    latencies_ms: list[list[int]]

    @property
    def tally(self) -> Tally:
        tally = Tally()
        for paid, succeeded, latencies_ms in zip(*self, strict=True):
            units = sum(map(log_units, latencies_ms))
            tally.update(of_customers(Figures(), Figures(paid, paid, succeeded, succeeded, paid, units)))
            tally.update({"exposed": paid, "charged:INR": 1_000 * succeeded, "cost:INR": 200_000 * succeeded})
            tally.update(f"latency:{bin_of(one)}" for one in latencies_ms)
        return tally


def customers(seed: int, number: int, rate: float, latency_ms: float = 300) -> Customers:
    chance = np.random.default_rng(seed)
    payments = [int(one) for one in chance.choice([1, 1, 1, 2, 6], number)]
    rates = chance.beta(8 * rate, 8 * (1 - rate), number)
    successes = [int(chance.binomial(paid, p)) for paid, p in zip(payments, rates, strict=True)]
    latencies = [
        [max(1, round(one)) for one in chance.lognormal(np.log(latency_ms), 0.5, paid)] for paid in payments
    ]
    return Customers(payments, successes, latencies)


def paying_once(number: int, first: int, succeeded: int) -> Tally:
    """So many customers, of whom so many succeed at the first attempt, and by any."""
    tally = Tally()
    for one in range(number):
        tally.update(of_customers(Figures(), Figures(1, 1, int(one < succeeded), int(one < first), 1, 5_000)))
    tally["exposed"] = number
    return tally


CONTROL, TREATED = customers(1, 900, 0.85), customers(2, 900, 0.87, 320)
TALLIES = {"control": CONTROL.tally, "treatment": TREATED.tally}


def a_design(*treatments: str, metric: Any = "any_attempt_success") -> Design:
    names = ("control", *(treatments or ("treatment",)))
    return Design(
        name="one",
        variants=tuple(Variant(name=name, weight=1_000) for name in names),
        planned_customers=5_000,
        planned_days=10,
        metric=metric,
    )


def known(design: Design | None = None, **changes: Any) -> Known:
    first = Known(
        experiment_id=ExperimentId("exp_1"),
        design=design or a_design(),
        status="RUNNING",
        started_at=AT - timedelta(days=2),
        paused_for=timedelta(),
        ended_at=None,
        acted_on=None,
    )
    return first._replace(**changes)


def told(tallies: dict[str, Tally] = TALLIES, design: Design | None = None, **changes: Any) -> Any:
    one = known(design, **changes)
    answer = results(one, tallies, {3: 7}, rules_of(one.design, Guardrails()), AT)
    return msgspec.json.decode(msgspec.json.encode(answer))


def by_regression(control: Customers, treated: Customers) -> Any:
    """Success of each payment on treatment, with errors clustered by customer."""
    rows = [
        (arm, f"{arm}_{number}", int(place < succeeded))
        for arm, group in enumerate((control, treated))
        for number, (paid, succeeded) in enumerate(zip(group.payments, group.successes, strict=True))
        for place in range(paid)
    ]
    treatment = np.array([row[0] for row in rows], float)
    _, groups = np.unique([row[1] for row in rows], return_inverse=True)
    exog = np.column_stack([np.ones(len(rows)), treatment])
    model = OLS(np.array([row[2] for row in rows], float), exog)
    return model.fit(cov_type="cluster", cov_kwds={"groups": groups, "use_correction": False})


def test_the_difference_by_customers_is_that_of_a_clustered_regression() -> None:
    (treatment,) = told()["treatments"]
    fitted = by_regression(CONTROL, TREATED)
    found = treatment["any_attempt_success"]["clustered_difference"]
    assert found["estimate"] == pytest.approx(fitted.params[1], rel=1e-9)
    low, high = fitted.conf_int()[1]
    assert found["upper"] - found["lower"] == pytest.approx(
        high - low, rel=5e-3
    )  # by t, and for fewer customers
    assert found["upper"] - found["lower"] > high - low


def test_naive_figures_are_those_of_independent_payments_and_narrower() -> None:
    answer = told()
    rate = answer["variants"][1]["any_attempt_success"]
    low, high = proportion_confint(sum(TREATED.successes), sum(TREATED.payments), method="wilson")
    assert (rate["naive"]["lower"], rate["naive"]["upper"]) == pytest.approx((low, high), rel=1e-9)
    assert rate["design_effect"] > 1.05
    clustered, naive = rate["clustered"], rate["naive"]
    assert clustered["upper"] - clustered["lower"] > naive["upper"] - naive["lower"]
    low, high = confint_proportions_2indep(
        sum(TREATED.successes),
        sum(TREATED.payments),
        sum(CONTROL.successes),
        sum(CONTROL.payments),
        method="newcomb",
        compare="diff",
    )
    naive = answer["treatments"][0]["any_attempt_success"]["naive_difference"]
    assert (naive["lower"], naive["upper"]) == pytest.approx((low, high), rel=1e-6)


def test_latency_quantiles_are_within_1_percent_and_the_geometric_mean_within_a_thousandth() -> None:
    values = sorted(one for each in TREATED.latencies_ms for one in each)
    latency = told()["variants"][1]["latency"]
    for name, quantile in (("p50_ms", 0.5), ("p90_ms", 0.9), ("p99_ms", 0.99)):
        exact = np.quantile(values, quantile, method="lower")
        assert latency[name] == pytest.approx(exact, rel=0.0101)
    assert latency["geometric_mean_ms"] == pytest.approx(stats.gmean(values), rel=1e-3)


def test_latencies_are_compared_by_ranks() -> None:
    flat = [[one for each in arm.latencies_ms for one in each] for arm in (TREATED, CONTROL)]
    binned = [[bin_of(one) for one in each] for each in flat]
    expected = stats.mannwhitneyu(*binned, method="asymptotic")
    found = told()["treatments"][0]["latency"]["ranks"]
    assert found["slower_share"] == pytest.approx(expected.statistic / (len(flat[0]) * len(flat[1])))
    assert found["design_effect"] == pytest.approx(1, abs=0.2)


def test_costs_are_told_by_currency() -> None:
    (cost,) = told()["variants"][0]["costs"]
    assert cost["charged_minor"] == 1_000 * sum(CONTROL.successes)
    assert cost["cost_share"] == pytest.approx(0.02)


def test_charges_that_were_given_back_are_told_with_an_interval_by_currency_and_in_evidence() -> None:
    treated = TREATED.tally
    treated.update({"given_back": 30, "given_back:INR": 30_000, "given_back:USD": 500})
    tallies = {"control": CONTROL.tally, "treatment": treated}
    control, treatment = told(tallies)["variants"]
    share = treatment["given_back_share"]
    low, high = proportion_confint(30, sum(TREATED.payments), method="wilson")
    assert (share["lower"], share["upper"]) == pytest.approx((low, high), rel=1e-9)
    assert control["given_back_share"]["estimate"] == 0
    amounts = [(one["currency"], one["given_back_minor"], one["cost_share"]) for one in treatment["costs"]]
    assert amounts == [("INR", 30_000, pytest.approx(0.02)), ("USD", 500, None)]
    design, rules = a_design(), rules_of(a_design(), Guardrails())
    found = evidence(design, tallies, judged(design, tallies, rules), Verdict.COLLECTING, rules, {})
    assert found.figures["treatment"]["given_back"] == 30


def test_p_values_are_adjusted_over_treatments_and_metrics() -> None:
    tallies = {**TALLIES, "other": customers(3, 900, 0.80, 330).tally}
    answer = told(tallies, a_design("treatment", "other"))
    pairs = [
        pair
        for one in answer["treatments"]
        for pair in (
            (one["any_attempt_success"]["test"]["p_value"], one["any_attempt_success"]["adjusted_p"]),
            (one["first_attempt_success"]["test"]["p_value"], one["first_attempt_success"]["adjusted_p"]),
            (one["latency"]["ranks"]["test"]["p_value"], one["latency"]["adjusted_p"]),
        )
    ]
    expected = multipletests([p for p, _ in pairs], method="holm")[1]
    assert [adjusted for _, adjusted in pairs] == pytest.approx(list(expected))


def test_what_remains_is_told_at_the_pace_so_far() -> None:
    power = told()["treatments"][0]["power"]
    assert 0 < power["reached"] < 0.5
    assert power["remaining_days"] == pytest.approx(min(8.0, 2 * (1 - power["reached"]) / power["reached"]))
    assert power["least_difference_at_plan"] < power["least_difference_now"]
    paused = told(paused_for=timedelta(days=1))["treatments"][0]["power"]
    assert paused["remaining_days"] == pytest.approx(min(9.0, (1 - paused["reached"]) / paused["reached"])), (
        "a day on which it was paused is no day of the plan, and none of the pace"
    )
    assert told(status="PAUSED", ended_at=AT)["treatments"][0]["power"]["remaining_days"] == 0


def weighed(planned_customers: int, **weights: int) -> Design:
    variants = tuple(Variant(name=name, weight=weight) for name, weight in weights.items())
    return msgspec.structs.replace(a_design(), variants=variants, planned_customers=planned_customers)


def test_what_would_be_found_at_the_plan_is_told_for_arms_of_their_weights() -> None:
    once = {"control": paying_once(900, 810, 810), "treatment": paying_once(100, 90, 90)}
    power = told(once, weighed(2_000, control=9_000, treatment=1_000))["treatments"][0]["power"]
    assert power["planned_customers"] == 2_000
    found = power_proportions_2indep(
        power["least_difference_at_plan"], 0.9, 2_000, ratio=18_000 / 2_000, alternative="two-sided"
    )
    assert found.power == pytest.approx(0.8, abs=1e-3)


def test_each_treatment_has_the_plan_that_it_is_judged_by() -> None:
    design = weighed(1_000, control=5_000, a=4_000, b=1_000)
    tallies = {name: paying_once(400, 360, 360) for name in ("control", "a", "b")}
    a, b = (one["power"] for one in told(tallies, design)["treatments"])
    assert (a["planned_customers"], b["planned_customers"]) == (4_000, 1_000)
    assert a["reached"] == pytest.approx(401 / 4_000)
    assert b["reached"] == pytest.approx(401 / 1_000)
    assert a["least_difference_at_plan"] < b["least_difference_at_plan"]


def test_every_interval_and_test_names_its_method() -> None:
    unnamed = [path for path, one in _objects(told()) if _is_figure(one) and not one.get("method")]
    assert unnamed == []


def test_every_other_figure_has_its_method_beside_it() -> None:
    named_winner = winner(known(a_design()), TALLIES, rules_of(a_design(), Guardrails()))
    shown = (told(), msgspec.json.decode(msgspec.json.encode(named_winner)))
    named: set[str] = set()
    for path, one in (pair for answer in shown for pair in _objects(answer)):
        for figure in one.keys() & OWN_METHOD:
            assert one.get(f"{figure}_method"), f"{path}/{figure}"
            named.add(figure)
    assert named == OWN_METHOD


OWN_METHOD = {
    "slow_p",
    "harm_p",
    "any_attempt_harm_p",
    "adjusted_p",
    "design_effect",
    "independent_customers",
    "reached",
    "remaining_days",
}


def test_the_sums_that_all_is_computed_from_are_told_as_integers() -> None:
    control = told()["variants"][0]["sums"]
    x, y = np.array(CONTROL.payments), np.array(CONTROL.successes)
    assert control["any_attempt_success"] == [900, x.sum(), y.sum(), x @ x, y @ y, x @ y]
    units = np.array([sum(map(log_units, each)) for each in CONTROL.latencies_ms])
    assert control["log_latency"] == [900, x.sum(), units.sum(), x @ x, units @ units, x @ units]
    assert sum(control["latency_bins"].values()) == x.sum()


@pytest.mark.parametrize("of", [{}, {"control": 1}, {"treatment": 1}, {"control": 1, "treatment": 1}])
@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_a_few_customers_or_none_have_results_too(of: dict[str, int], rate: float) -> None:
    tallies = {name: Customers([1] * n, [round(rate)] * n, [[100]] * n).tally for name, n in of.items()}
    answer = told(tallies)
    assert answer["verdict"] == "collecting"
    assert (answer["treatments"][0]["any_attempt_success"] is None) == (len(of) < 2)


def test_a_treatment_without_weight_is_shown_and_not_compared() -> None:
    design = a_design("treatment", "idle")
    idle = msgspec.structs.replace(design.variants[2], weight=0)
    answer = told(design=msgspec.structs.replace(design, variants=(*design.variants[:2], idle)))
    assert [one["variant"] for one in answer["variants"]] == ["control", "treatment", "idle"]
    assert [one["variant"] for one in answer["treatments"]] == ["treatment"]


def test_the_metric_of_the_design_decides() -> None:
    tally = customers(4, 900, 0.85).tally
    worse = Tally({name: 0 if name.startswith("first") else count for name, count in tally.items()})
    tallies = {"control": tally, "treatment": worse}
    assert told(tallies)["verdict"] == "collecting"
    assert told(tallies, a_design(metric="first_attempt_success"))["verdict"] == "harmful"


def test_success_by_any_attempt_is_told_and_judged_beside_another_metric() -> None:
    tallies = {"control": paying_once(900, 700, 855), "treatment": paying_once(900, 700, 720)}
    design = a_design(metric="first_attempt_success")
    answer = told(tallies, design)
    assert answer["verdict"] == "harmful"
    assert answer["reasons"] == ["succeeds_credibly_less_often_by_any_attempt_than_control"]
    assert answer["treatments"][0]["any_attempt_harm"]["is_harmful"]
    assert told(tallies)["treatments"][0]["any_attempt_harm"] is None
    rules = rules_of(design, Guardrails())
    found = evidence(design, tallies, judged(design, tallies, rules), Verdict.HARMFUL, rules, {}).figures[
        "treatment"
    ]
    assert (
        found["any_attempt_success_rate"]
        == answer["variants"][1]["any_attempt_success"]["clustered"]["estimate"]
    )
    assert found["any_attempt_success_harm_p"] == answer["treatments"][0]["any_attempt_harm"]["p_value"]
    (verdict,) = winner(known(design), tallies, rules).treatments
    assert verdict.any_attempt_harm_p == found["any_attempt_success_harm_p"]


def test_what_still_awaits_its_customer_is_told_and_keeps_a_treatment_from_winning() -> None:
    better, abandoned = paying_once(6_000, 5_400, 5_400), paying_once(5_700, 5_400, 5_400)
    abandoned["exposed"] += 300
    answer = told({"control": better, "treatment": abandoned})
    assert answer["variants"][1]["awaiting_share"]["estimate"] == 0.05
    assert answer["treatments"][0]["any_attempt_success"]["difference"]["lower"] > 0.03
    assert answer["verdict"] != "winner"
    settled = told({"control": better, "treatment": paying_once(5_700, 5_400, 5_400)})
    assert settled["verdict"] == "winner"


def test_the_designs_own_guardrails_come_before_the_services() -> None:
    design = msgspec.structs.replace(a_design(), guardrails=Guardrails(min_samples=20))
    rules = rules_of(design, Guardrails(min_samples=300, max_success_drop=0.02))
    assert (rules.min_samples, rules.max_success_drop, rules.max_latency_multiplier) == (20, 0.02, 1.5)


def test_a_winner_is_told_with_its_reasons() -> None:
    design = msgspec.structs.replace(a_design(), planned_customers=2_000)
    tallies = {"control": customers(5, 900, 0.80).tally, "treatment": customers(6, 900, 0.92).tally}
    answer = winner(known(design), tallies, rules_of(design, Guardrails()))
    assert (answer.verdict, answer.winner) == ("winner", "treatment")
    assert answer.reasons == ("succeeds_significantly_more_often_than_control",)
    assert answer.treatments[0].adjusted_p <= 0.05


def test_what_an_experiment_was_concluded_with_stays_its_verdict() -> None:
    design, rules = a_design(), rules_of(a_design(), Guardrails())
    then = Evidence(
        verdict="winner",
        reasons=("succeeds_significantly_more_often_than_control",),
        figures={"treatment": {"is_winner": 1.0}},
    )
    ended = known(design, status="CONCLUDED", ended_at=AT, acted_on=then)
    answer = winner(ended, TALLIES, rules)
    assert (answer.verdict, answer.winner, answer.acted_on) == ("winner", "treatment", then)
    assert (answer.now.verdict, answer.now.winner) == ("collecting", None)
    assert winner(known(design), TALLIES, rules).verdict == "collecting"
    stopped = known(design, status="STOPPED", ended_at=AT, acted_on=then)
    assert winner(stopped, TALLIES, rules).verdict == "collecting", "it was never concluded"


def test_a_conclusion_in_words_of_a_newer_version_is_told_as_it_was() -> None:
    design, rules = a_design(), rules_of(a_design(), Guardrails())
    then = Evidence(
        verdict="equivalent", reasons=("as_good_for_less",), figures={"treatment": {"is_winner": 1.0}}
    )
    answer = winner(known(design, status="CONCLUDED", ended_at=AT, acted_on=then), TALLIES, rules)
    assert (answer.verdict, answer.winner, answer.reasons) == ("equivalent", None, ("as_good_for_less",))
    assert answer.now.verdict == "collecting"


def test_evidence_has_the_numbers_of_every_variant() -> None:
    design, rules = a_design(), rules_of(a_design(), Guardrails())
    judgement = judged(design, TALLIES, rules)
    found = evidence(design, TALLIES, judgement, Verdict.HARMFUL, rules, {3: 7, 1: 2})
    assert found.verdict == "harmful"
    assert found.figures["control"]["payments"] == sum(CONTROL.payments)
    assert found.figures["treatment"]["harm_p"] == judgement.treatments[0].sequential.harm_p


def test_evidence_has_what_the_figures_were_judged_by_and_from() -> None:
    """Two analyzers with different settings can be told apart, and whoever replays knows how far."""
    design, limits = a_design(), Guardrails(min_samples=70, max_success_drop=0.02)
    rules = rules_of(design, limits)
    judgement = judged(design, TALLIES, rules)
    found = evidence(design, TALLIES, judgement, Verdict.HARMFUL, rules, {3: 7, 1: 2})
    assert found.rules == {
        "planned_customers": 5_000,
        "min_samples": 70,
        "max_success_drop": 0.02,
        "max_latency_multiplier": 1.5,
        "alpha": 0.05,
    }
    assert found.split_p == judgement.sample_ratio.always_valid.p_value
    assert list(found.next_offsets.items()) == [(1, 2), (3, 7)]
    assert found.figures["treatment"]["harm_alpha"] == 0.038
    assert found.figures["treatment"]["slow_alpha"] == 0.05
    assert found.figures["treatment"]["planned_customers"] == 5_000


def _objects(value: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(value, dict):
        yield path, value
        for name, inner in value.items():
            yield from _objects(inner, f"{path}/{name}")
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from _objects(inner, f"{path}/{place}")


def _is_figure(one: dict[str, Any]) -> bool:
    return bool(one.keys() & {"lower", "p_value", "p50_ms", "cost_minor", "least_difference_now"})
