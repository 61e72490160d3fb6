"""An answer to read: what was estimated, of how many, and what may be said of it, in points of success rate."""

from collections.abc import Iterator

from projections.statistics.off_policy_verdict import PLAINLY, WhatIfVerdict
from projections.statistics.results import Interval
from streams.what_if.evaluation import Judged
from streams.what_if.question import WhatIf

VERDICTS = {
    WhatIfVerdict.BETTER: "better",
    WhatIfVerdict.WORSE: "worse",
    WhatIfVerdict.NO_DIFFERENCE_SEEN: "no difference seen",
    WhatIfVerdict.SAME: "decides the same",
    WhatIfVerdict.CANNOT_ANSWER: "history cannot answer",
}


def lines(found: WhatIf) -> Iterator[str]:
    left_out = found.left_out
    yield (
        f"{found.payments:,} payments; left out: {left_out.not_tried:,} not tried, "
        f"{left_out.unexplained:,} from before decisions said what they were made from, "
        f"{left_out.unreadable:,} records that cannot be read"
    )
    if found.agreement is not None:
        yield f"the shadow would have sent {found.agreement:.2%} of them where they went"
    if found.strangers:
        yield f"no decision knew {', '.join(found.strangers)}: check how the policy spells it"
    for judged in found.overall:
        yield from ("", *_overall(judged))
    dimension = None
    for part in found.parts:
        if part.dimension != dimension:
            dimension = part.dimension
            yield f"\nby {dimension}: uplift in points, of first attempts and of payments"
        told = [f"{_points(one.figures.uplift)} {VERDICTS[one.judgement.verdict]}" for one in part.judged]
        yield f"  {part.value:<20} {part.judged[0].figures.payments:>9,}   {told[0]:<48} {told[1]}"


def _overall(judged: Judged) -> Iterator[str]:
    figures, overlap = judged.figures, judged.figures.overlap
    yield f"{judged.metric}: {VERDICTS[judged.judgement.verdict]}"
    for reason in judged.judgement.reasons:
        yield f"  {PLAINLY[reason]}"
    for name, interval in (
        ("as it was", figures.logged),
        ("IPS", figures.ips),
        ("SNIPS", figures.snips),
        ("doubly robust", figures.doubly_robust),
    ):
        yield f"  {name:<28} {_percent(interval)}"
    yield f"  {'uplift':<28} {_points(figures.uplift)}"
    yield f"  {'whatever is unknown':<28} {_points(figures.uplift_bounds)}"
    yield (
        f"  effective sample {overlap.effective_sample or 0:,.0f} of {figures.payments:,} payments by "
        f"{figures.customers:,} customers; largest weight {overlap.largest_weight:,.1f}"
    )
    yield (
        f"  sent where history never sent one {overlap.never:.2%}, where it had less than 1 % {overlap.rarely:.2%}, "
        f"where there are too few examples {overlap.without_examples:.2%}"
    )
    yield (
        f"  unrecorded {overlap.unrecorded:.2%}, without an outcome yet {overlap.open:.2%}, "
        f"retries that history cannot tell {overlap.untold:.2%}"
    )


def _percent(interval: Interval) -> str:
    return " ".join(_figure(one, "6.2f") for one in _edges(interval)) + " %"


def _points(interval: Interval) -> str:
    return " ".join(_figure(one, "+6.2f") for one in _edges(interval))


def _edges(interval: Interval) -> tuple[float | None, float | None, float | None]:
    return interval.lower, interval.estimate, interval.upper


def _figure(value: float | None, shape: str) -> str:
    return "     –" if value is None else format(100 * value, shape)
