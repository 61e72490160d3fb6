"""Who has an experiment's results has all that they were made from: the calculator comes to the same figures."""

import io
import json
from typing import Any

import msgspec
import pytest

from projections.experiment_results import results, rules_of
from schemas.experiment import Design, Guardrails, Variant
from schemas.exposure import Tally
from streams.calculator.command import answered
from tests.projections.test_experiment_results import AT, customers, known

WEIGHTS = {"control": 5_000, "fast": 4_000, "cheap": 1_000}
TALLIES = {
    "control": customers(1, 900, 0.85).tally,
    "fast": customers(2, 720, 0.89, 380).tally,
    "cheap": customers(3, 180, 0.80).tally,
}


OPEN = {"control": (9, 4), "fast": (3, 12), "cheap": (6, 0)}
"""Payments that await their customers, and that are in doubt."""


@pytest.fixture(
    scope="module",
    params=["any_attempt_success", "first_attempt_success", "first_attempt_success with open payments"],
)
def told(request: pytest.FixtureRequest) -> Any:
    metric, _, has_open = request.param.partition(" ")
    design = Design(
        name="one",
        variants=tuple(Variant(name=name, weight=weight) for name, weight in WEIGHTS.items()),
        planned_customers=150,
        planned_days=10,
        metric=metric,
        guardrails=Guardrails(min_samples=70, max_latency_multiplier=1.4),
    )
    tallies: dict[str, Tally] = {
        name: tally + Tally(first_succeeded=-2, first_succeeded_squared=-2, first_succeeded_product=-2)
        for name, tally in TALLIES.items()
    }
    if has_open:
        for name, (awaiting, in_doubt) in OPEN.items():
            tallies[name] += Tally(exposed=awaiting, unknown=in_doubt)
    answer = results(known(design), tallies, {0: 7}, rules_of(design, Guardrails(max_success_drop=0.03)), AT)
    return msgspec.json.decode(msgspec.json.encode(answer))


def calculated(*requests: dict[str, Any]) -> list[Any]:
    lines = "\n".join(map(json.dumps, requests)).encode()
    return [json.loads(line) for line in answered(io.BytesIO(lines))]


def sums(told: Any, variant: str) -> Any:
    return next(one["sums"] for one in told["variants"] if one["variant"] == variant)


def assert_same(found: Any, expected: Any) -> None:
    """All that is expected, to the last digits."""
    if isinstance(expected, dict):
        for name, one in expected.items():
            assert_same(found[name], one)
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, rel=1e-12, abs=0)
    else:
        assert found == expected


def by_customers(told: Any, treatment: Any, metric: str, harm: Any) -> Any:
    (found,) = calculated(
        {
            "calculate": "clustered",
            "control": sums(told, "control")[metric],
            "treatment": sums(told, treatment["variant"])[metric],
            "alpha": harm["alpha"],
            "planned_customers": treatment["power"]["planned_customers"],
            "control_awaiting": sums(told, "control")["awaiting"],
            "control_in_doubt": sums(told, "control")["in_doubt"],
            "treatment_awaiting": sums(told, treatment["variant"])["awaiting"],
            "treatment_in_doubt": sums(told, treatment["variant"])["in_doubt"],
        }
    )
    return found


def test_the_split_and_what_harm_and_winner_are_judged_by(told: Any) -> None:
    decides = told["metric"]
    twice = []
    for treatment in told["treatments"]:
        found = by_customers(told, treatment, decides, treatment["harm"])
        sequential = found["sequential"]
        assert_same(sequential["difference"], treatment["harm"]["difference"])
        assert_same(
            {
                "method": sequential["method"],
                "p_value": sequential["harm_p"],
                "log10_evidence": sequential["harm_log10_evidence"],
                "is_harmful": sequential["is_harmful"],
            },
            {name: treatment["harm"][name] for name in ("method", "p_value", "log10_evidence", "is_harmful")},
        )
        assert_same(found["winning"]["test"], treatment["winning"]["test"])
        assert_same(found["winning"]["difference"], treatment["winning"]["difference"])
        assert_same(found["winning"]["reached"], treatment["power"]["reached"])
        twice.append(min(2 * found["winning"]["test"]["p_value"], 1.0))
    holm, split = calculated(
        {"calculate": "holm", "p_values": twice},
        {
            "calculate": "srm",
            "observed": [one["customers_assigned"] for one in told["variants"]],
            "weights": [one["weight"] for one in told["variants"]],
        },
    )
    assert_same(holm["adjusted"], [one["winning"]["adjusted_p"] for one in told["treatments"]])
    assert_same(split, told["sample_ratio"])


def test_what_either_success_comes_to_at_one_look(told: Any) -> None:
    for treatment in told["treatments"]:
        for metric in ("any_attempt_success", "first_attempt_success"):
            found = by_customers(told, treatment, metric, treatment["harm"])["clustered"]
            shown = treatment[metric]
            assert_same(found["difference"], shown["clustered_difference"])
            assert_same(found["score_difference"], shown["difference"])
            assert_same(found["relative_lift"], shown["relative_lift"])
            assert_same(found["test"], shown["test"])


def test_any_success_is_judged_beside_another_metric_by_the_same_sums(told: Any) -> None:
    for treatment in told["treatments"]:
        if (harm := treatment["any_attempt_harm"]) is None:
            assert told["metric"] == "any_attempt_success"
            continue
        sequential = by_customers(told, treatment, "any_attempt_success", harm)["sequential"]
        assert_same(sequential["harm_p"], harm["p_value"])
        assert sequential["alpha"] == harm["alpha"]


def test_whether_a_treatment_is_slow_with_its_ranks(told: Any) -> None:
    verdicts = set()
    for treatment in told["treatments"]:
        control, treated = sums(told, "control"), sums(told, treatment["variant"])
        shown = treatment["latency"]
        (found,) = calculated(
            {
                "calculate": "slowness",
                "control": control["log_latency"],
                "treatment": treated["log_latency"],
                "control_bins": control["latency_bins"],
                "treatment_bins": treated["latency_bins"],
                "limit": told["rules"]["max_latency_multiplier"],
                "least_customers": told["rules"]["min_samples"],
                "alpha": shown["geometric_means"]["alpha"],
            }
        )
        assert_same(found["latency"], shown["geometric_means"])
        assert_same(found["ranks"], shown["ranks"])
        verdicts.add(found["latency"]["is_slow"])
    assert verdicts == {True, False}
