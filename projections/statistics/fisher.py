"""Fisher's exact test of a two-by-two table, in logarithms throughout: no table is too unlikely for it."""

from typing import Literal

import numpy as np
from scipy.special import gammaln, logsumexp

from projections.statistics.effective import Counts
from projections.statistics.normal import LOG_10
from projections.statistics.results import Significance
from projections.statistics.sums import Floats

Alternative = Literal["two-sided", "less", "greater"]

MOST_TRIALS = 10_000_000
"""Of both arms. The test walks through every table of the same margins, and beyond this it says what z says."""
TIES = 1e-7
"""Tables within this, relatively, are as unlikely as the one that was seen, as in R's fisher.test."""


def fisher(control: Counts, treatment: Counts, alternative: Alternative = "two-sided") -> Significance:
    """`less`: the treatment succeeds less often than control. Raises ValueError beyond 10 million trials."""
    trials = int(control.trials + treatment.trials)
    if trials > MOST_TRIALS:
        raise ValueError(f"Expected at most {MOST_TRIALS:,} trials in all for an exact test, got {trials:,}")
    seen, first, tables = _tables(control, treatment)
    match alternative:
        case "less":
            as_extreme = tables[: seen - first + 1]
        case "greater":
            as_extreme = tables[seen - first :]
        case _:
            as_extreme = tables[tables <= tables[seen - first] + TIES]
    log_p = min(float(logsumexp(as_extreme)), 0.0)
    return Significance(
        method=f"fisher_exact_{alternative.replace('-', '_')}",
        statistic=None,
        p_value=float(np.exp(log_p)),
        log10_p=log_p / LOG_10,
    )


def _tables(control: Counts, treatment: Counts) -> tuple[int, int, Floats]:
    """The treatment's successes as seen, the fewest that are possible, and from these on the log probabilities."""
    of_control, of_treatment = int(control.trials), int(treatment.trials)
    successes = int(control.successes + treatment.successes)
    first, last = max(0, successes - of_control), min(of_treatment, successes)
    possible = np.arange(first, last + 1, dtype=np.float64)
    logs = _choose(of_treatment, possible) + _choose(of_control, successes - possible)
    return int(treatment.successes), first, logs - logsumexp(logs)


def _choose(trials: int, successes: Floats) -> Floats:
    found: Floats = gammaln(trials + 1.0) - gammaln(successes + 1.0) - gammaln(trials - successes + 1.0)
    return found
