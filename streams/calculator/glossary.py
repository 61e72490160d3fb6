"""What every field of the calculator's answers means, for `--help` and for docs/experiments.md."""

from collections.abc import Iterator

import msgspec

from projections.statistics.noninferiority import NonInferiority
from projections.statistics.proportions import Proportions
from projections.statistics.results import Interval, Significance
from projections.statistics.sample_ratio import SampleRatio
from schemas.base import Value
from streams.calculator import answers

ANSWERS: dict[str, type[Value]] = {
    "proportions": Proportions,
    "sequential": answers.SequentialAnswer,
    "clustered": answers.ClusteredAnswer,
    "srm": SampleRatio,
    "power": answers.PowerAnswer,
    "holm": answers.HolmAnswer,
    "latency": answers.LatencyAnswer,
    "slowness": answers.LatencyAnswer,
    "noninferiority": NonInferiority,
    "fisher": Significance,
    "wilson": Interval,
    "assign": answers.AssignAnswer,
}
_TWO = (
    "--control-successes 80000 --control-trials 100000 --treatment-successes 85000 --treatment-trials 100000"
)
EXAMPLES = {
    "proportions": _TWO,
    "sequential": f"{_TWO} --planned-customers 100000",
    "clustered": "--control 10 20 18 60 50 52 --treatment 10 20 15 60 39 47 --planned-customers 1000",
    "srm": "--observed 821588 815482 --weights 1 1",
    "power": "--control-rate .9 --difference -1e-2 --customers 10000 --customers-per-day 500",
    "holm": "--p-values .01 .04 .03",
    "latency": "--control-ms 100 200 300 --treatment-ms 200 300 500.5",
    "slowness": "--control 2 3 17111 5 163045381 28552 --treatment 2 3 18460 5 191368042 30929 "
    "--control-bins 284=1 286=1 287=1 --treatment-bins 300=1 311=1 313=1",
    "noninferiority": f"{_TWO} --margin 0.05",
    "fisher": "--control-successes 9 --control-trials 10 --treatment-successes 3 --treatment-trials 10",
    "wilson": "--successes 0 --trials 10 --confidence .9",
    "assign": "--salt exp_1 --customer-id cus_2 --allocation control=0-500 treatment=500-1000",
}
MEANINGS = {
    "method": "how it was computed",
    "estimate": "the value itself; null where there is none",
    "lower": "the interval's lower bound; null where there is none",
    "upper": "the interval's upper bound; null where there is none",
    "confidence": "of the interval",
    "statistic": "what the test is made from: z, t, χ² or, of evidence, its log10; null if none, or infinite",
    "p_value": "of the test; 0 below 1e-308; null where nothing is known of the error",
    "log10_p": "its logarithm, exact also where p_value is 0; null if the statistic is infinite",
    "control_rate": "control's success rate",
    "treatment_rate": "the treatment's success rate",
    "difference": "treatment less control, in parts of 1",
    "relative_lift": "treatment / control - 1",
    "test": "the test that decides, of no difference or of the hypothesis named",
    "least_expected": "in the emptiest cell of the table, were the rates the same; below 5 prefer Fisher's test",
    "wald": "the same test with unpooled variances, for comparison",
    "margin": "the treatment may be worse by less than this",
    "is_noninferior": "whether it is certainly not worse by the margin",
    "alpha": "the error rate of the decision",
    "sequential": "the comparison that may be looked at at any time",
    "harm_p": "always valid, one-sided: that the treatment succeeds less often than control",
    "harm_log10_evidence": "log10 of the evidence for that; 1.42 is α = 0.038",
    "is_harmful": "whether the treatment is to be paused",
    "is_ripe": "whether both arms have the 10 independent customers that it takes to say so",
    "winning": "the winner's test; null without planned_customers",
    "planned_customers": "of the smaller arm, as given",
    "reached": "how much of the planned sample the smaller arm has, 1 at the plan",
    "reached_method": "how it was computed",
    "clustered": "the comparison by customers at a fixed horizon",
    "control": "control's success rate, by customers",
    "treatment": "the treatment's success rate, by customers",
    "rate": "of success, per payment",
    "independent_customers": "as many who pay equally often would weigh the same",
    "independent_customers_method": "how they were computed",
    "score_difference": "treatment less control by effective counts, which behaves at rates near 0 and 1 too",
    "standard_error": "of the difference",
    "degrees_of_freedom": "of t",
    "observed": "customers of every arm",
    "expected": "customers of every arm, by the weights",
    "chi_square": "Pearson's test, right at one look",
    "always_valid": "the test that may be looked at after every customer",
    "is_mismatch": "whether the split is broken, by the always-valid test",
    "design": "the sample that is needed",
    "power": "the probability that the difference is found",
    "customers_control": "that one look needs",
    "customers_treatment": "that one look needs",
    "customers_control_sequential": "that the winner's test needs",
    "customers_treatment_sequential": "that the winner's test needs",
    "power_with_customers": "the power of one look with the customers given; null without them",
    "least_difference_with_customers": "the smallest gain that the customers given would find; null if none",
    "remaining_days": "until control has what the winner's test needs; null if never, or without a pace",
    "adjusted": "p-values by Holm, in the order given",
    "is_rejected": "of every hypothesis, whether it is rejected at alpha",
    "latency": "by the logarithms of latencies",
    "ratio": "of geometric means, treatment over control, right at one look",
    "always_valid_ratio": "the same as a confidence sequence",
    "tolerated_ratio": "a treatment is slow when it is credibly slower than this",
    "slow_p": "always valid, one-sided: that the treatment is slower than tolerated; null of too few",
    "slow_p_method": "how it was computed",
    "is_slow": "whether the treatment is to be paused",
    "ranks": "by ranks, whatever the distribution; null without bins of either arm",
    "slower_share": "the probability that a treatment's payment is slower than a control's, ties half",
    "design_effect": "how many times the variance of as many independent payments",
    "design_effect_method": "how it was computed",
    "bucket": "where the customer is, from 0 on",
    "variant": "whose bucket it is; null: not in the experiment",
}


def fields_of(kind: type[Value]) -> Iterator[str]:
    """Also those of the structs within, each once."""
    found: dict[str, None] = {}
    for field in msgspec.structs.fields(kind):
        found[field.name] = None
        for part in getattr(field.type, "__args__", (field.type,)):
            if isinstance(part, type) and issubclass(part, Value):
                found |= dict.fromkeys(fields_of(part))
    yield from found


def explained(name: str) -> str:
    return "".join(f"\n  {field}: {MEANINGS[field]}" for field in fields_of(ANSWERS[name]))
