"""Requests to the calculator at the corners of what it takes, and beyond."""

from typing import Any

from hypothesis import strategies as st

from tests.projections.statistics import crowds

Requests = st.SearchStrategy[dict[str, Any]]

counted = st.sampled_from((1, 2, 9, 10, 499, 10**6, 10**9, 10**12))
rates = st.sampled_from((1e-300, 1e-9, 1e-6, 0.025, 0.3, 0.5, 0.95, 1 - 1e-6, 1 - 1e-9, 1 - 1e-16))
differences = rates | rates.map(lambda rate: -rate)
latencies = st.lists(st.sampled_from((0.001, 300, 300.5, 1e9)), min_size=1, max_size=5)
sums = crowds.customers.map(lambda people: [int(one) for one in crowds.summed(people)])
log_sums = st.sampled_from(
    ((0,) * 6, (1, 1, 0, 1, 0, 0), (2, 3, 17_111, 5, 163_045_381, 28_552), (9, 9, 0, 9, 0, 0))
)
bins = st.dictionaries(st.sampled_from(("0", "284", "1000000")), counted)
successes = counted.flatmap(
    lambda trials: st.tuples(st.sampled_from((0, 1, trials // 2, trials - 1, trials)), st.just(trials))
)


def asking(calculation: str, **fields: st.SearchStrategy[Any]) -> Requests:
    return st.fixed_dictionaries({"calculate": st.just(calculation), **fields})


def of_two_arms(calculation: str, **fields: st.SearchStrategy[Any]) -> Requests:
    def request(control: tuple[int, int], treatment: tuple[int, int], rest: dict[str, Any]) -> dict[str, Any]:
        names = ("control_successes", "control_trials", "treatment_successes", "treatment_trials")
        return {**rest, **dict(zip(names, control + treatment, strict=True))}

    return st.builds(request, successes, successes, asking(calculation, **fields))


requests: Requests = st.one_of(
    of_two_arms("proportions", confidence=rates),
    of_two_arms("sequential", confidence=rates, planned_customers=counted),
    of_two_arms("noninferiority", margin=rates),
    of_two_arms("fisher"),
    asking("clustered", control=sums, treatment=sums, confidence=rates, planned_customers=counted),
    asking("power", control_rate=rates, difference=differences, alpha=rates, power=rates, customers=counted),
    asking(
        "slowness",
        control=log_sums,
        treatment=log_sums,
        control_bins=bins,
        treatment_bins=bins,
        confidence=rates,
        alpha=rates,
    ),
    asking("latency", control_ms=latencies, treatment_ms=latencies, confidence=rates),
    asking(
        "srm",
        observed=st.lists(counted, min_size=3, max_size=3),
        weights=st.lists(st.sampled_from((1e-6, 1, 3.5, 1e15)), min_size=3, max_size=3),
    ),
)
