"""Which experiments are refused when they are saved, and where it is said what is wrong with them."""

from typing import Any

import msgspec
import pytest

from commands.experiment_faults import faults_in
from schemas.experiment import Design, Guardrails, StartExperiment
from schemas.ids import ExperimentId
from tests.builders import a_gateway

GATEWAYS = (
    a_gateway("alpha"),
    a_gateway("beta", payment_methods=("CARD",), currencies=("USD",), minimum_amount_minor=100),
)
NO_LIMITS = Guardrails()
CARD_NUMBER = "4111111111111111"
CONTROL = {"name": "control", "weight": 5_000}
ORDER = {"order": ["beta"]}


def treatment(weight: int = 5_000, name: str = "treatment", **override: object) -> dict[str, object]:
    return {"name": name, "weight": weight, "override": override or ORDER}


def design(*variants: dict[str, object], **changes: object) -> dict[str, Any]:
    given = variants or (CONTROL, treatment())
    return {"name": "one", "variants": given, "planned_customers": 100, "planned_days": 7, **changes}


def pointers(
    proposed: dict[str, Any],
    *,
    by: str = "asha",
    note: str = "",
    budgets_ms: tuple[int, ...] = (),
    limits: Guardrails = NO_LIMITS,
) -> list[str]:
    faults = faults_in(
        StartExperiment(
            experiment_id=ExperimentId("exp_1"),
            design=msgspec.convert(proposed, Design),
            gateways=GATEWAYS,
            budgets_ms=budgets_ms,
            limits=limits,
            by=by,
            note=note,
        )
    )
    assert not any(CARD_NUMBER in fault.pointer + fault.detail for fault in faults)
    return [fault.pointer for fault in faults]


@pytest.mark.parametrize(
    "proposed",
    [
        design(),
        design(CONTROL, treatment(0, "a"), treatment(1, "b")),
        design(treatment(name="as-it-is", bandit=False), treatment(bandit=True)),
        design(CONTROL, treatment(share={"alpha": 1, "beta": 1})),
        design(CONTROL, treatment(order=["beta", "alpha"], weights={"latency": 0.01})),
        design(CONTROL, treatment(retry={"max_attempts": 1, "latency_budget_ms": 500})),
        design(CONTROL, treatment(retry={"enabled": False, "latency_budget_ms": 500})),
        design(CONTROL, treatment(retry={"retry_on_timeout": True}), filter={"merchant_ids": ["m_001"]}),
        design(CONTROL, treatment(retry={"retry_on_timeout": False})),
        design(group="checkout", filter={"merchant_ids": ["m_001"], "payment_methods": ["UPI"]}),
        design(filter={"minimum_amount_minor": 5, "maximum_amount_minor": 5}),
        design(guardrails={"min_samples": 100}),
    ],
)
def test_an_experiment_that_can_be_meant_is_taken(proposed: dict[str, Any]) -> None:
    assert pointers(proposed) == []


@pytest.mark.parametrize(
    ("proposed", "pointer"),
    [
        (design(name=CARD_NUMBER), "/name"),
        (design(name="a\nb"), "/name"),
        (design(name=" one"), "/name"),
        (design(group=f"a-{CARD_NUMBER}"), "/group"),
        (design(guardrails={"min_samples": 101}), "/guardrails/min_samples"),
        (design(CONTROL, treatment(name="control")), "/variants/1/name"),
        (design(CONTROL, treatment(name=f"a-{CARD_NUMBER}")), "/variants/1/name"),
        (design({**CONTROL, "weight": 0}, treatment()), "/variants/0/weight"),
        (design(CONTROL, treatment(0)), "/variants"),
        (design(CONTROL, treatment(5_001)), "/variants"),
        (design(CONTROL, {"name": "same", "weight": 1}), "/variants"),
        (design(CONTROL, treatment(retry={})), "/variants"),
        (design(treatment(name="a"), treatment(name="b")), "/variants"),
        (design(CONTROL, treatment(order=["ghost"])), "/variants/1/override/order/0"),
        (design(CONTROL, treatment(order=["beta", "beta"])), "/variants/1/override/order/1"),
        (design(treatment(name="a", order=["ghost"]), treatment()), "/variants/0/override/order/0"),
        (design(CONTROL, treatment(share={"alpha": 1})), "/variants/1/override/share"),
        (design(CONTROL, treatment(share={"alpha": 1, "ghost": 1})), "/variants/1/override/share/ghost"),
        (design(CONTROL, treatment(share={"alpha": 1, CARD_NUMBER: 1})), "/variants/1/override/share"),
        (
            design(
                CONTROL,
                treatment(share={"alpha": 1, "beta": 1}),
                filter={"payment_methods": ["UPI"]},
            ),
            "/variants/1/override/share/beta",
        ),
        (
            design(CONTROL, treatment(order=["alpha"], share={"alpha": 1, "beta": 1})),
            "/variants/1/override/share",
        ),
        (design(CONTROL, treatment(order=["alpha"], bandit=True)), "/variants/1/override/bandit"),
        (
            design(CONTROL, treatment(retry={"enabled": False, "max_attempts": 2})),
            "/variants/1/override/retry/max_attempts",
        ),
        (
            design(CONTROL, treatment(retry={"enabled": False, "retry_on_timeout": True})),
            "/variants/1/override/retry/retry_on_timeout",
        ),
        (
            design(CONTROL, treatment(retry={"retry_on_timeout": True}), filter={"payment_methods": ["UPI"]}),
            "/variants/1/override/retry/retry_on_timeout",
        ),
        (
            design(filter={"minimum_amount_minor": 6, "maximum_amount_minor": 5}),
            "/filter/minimum_amount_minor",
        ),
        (design(filter={"payment_methods": []}), "/filter/payment_methods"),
        (design(filter={"segments": []}), "/filter/segments"),
        (design(filter={"currencies": ["XXX"]}), "/filter/currencies/0"),
        (design(filter={"attributes": {"Channel": ["app"]}}), "/filter/attributes/Channel"),
    ],
)
def test_one_that_cannot_be_meant_is_refused_by_its_pointer(proposed: dict[str, Any], pointer: str) -> None:
    assert pointers(proposed) == [pointer]


def test_a_budget_is_shorter_than_the_longest_of_the_merchants_that_it_is_about() -> None:
    shorter = design(CONTROL, treatment(retry={"latency_budget_ms": 3_000}))
    assert pointers(shorter, budgets_ms=(3_000, 3_001)) == []
    assert pointers(shorter) == []
    assert pointers(shorter, budgets_ms=(3_000, 2_000)) == ["/variants/1/override/retry/latency_budget_ms"]


def test_a_plan_has_the_customers_that_the_service_asks_for_unless_the_design_asks_for_fewer() -> None:
    usual = Guardrails(min_samples=100)
    assert pointers(design(planned_customers=100), limits=usual) == []
    assert pointers(design(planned_customers=99), limits=usual) == ["/planned_customers"]
    fewer = design(planned_customers=99, guardrails={"min_samples": 99})
    assert pointers(fewer, limits=usual) == []
    assert pointers(design(guardrails={"min_samples": 101}), limits=usual) == ["/guardrails/min_samples"]


def test_all_faults_are_told_at_once() -> None:
    proposed = design(
        {"name": "a", "weight": 0, "override": {"order": ["ghost"]}},
        {"name": "a", "weight": 10_000, "override": {"share": {"alpha": 1}}},
        {"name": "b", "weight": 1},
        filter={"merchant_ids": []},
    )
    assert pointers(proposed, by=CARD_NUMBER, note="a\nb") == [
        "/variants/1/name",
        "/variants/0/weight",
        "/variants",
        "/variants/0/override/order/0",
        "/variants/1/override/share",
        "/filter/merchant_ids",
        "/by",
        "/note",
    ]
