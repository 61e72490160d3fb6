"""What is done about an experiment's figures: harm pauses it, its end concludes it, once little is open any more."""

from datetime import datetime, timedelta

from msgspec.structs import replace

from commands.experiment_state import Paused, Running
from schemas.base import Value
from schemas.experiment import ConcludeExperiment, Evidence, PauseExperiment
from schemas.experiment_finding import Finding

BY = "experiment_analyzer"
SETTLED_ENOUGH = 0.005
"""A share of an arm's exposed payments that are open: by no more can those still move its rate."""
GRACE_OF_PLAN, MOST_GRACE = 0.1, timedelta(days=1)
"""For more than that to be settled the end waits a tenth of the planned days, and a day at most."""


class End(Value, frozen=True, kw_only=True):
    """An experiment's end, as it was seen first."""

    seen_at: datetime
    has_all: bool
    """Whether all that was on the log by then is in the figures."""


def has_come_to_its_end(experiment: Running | Paused, finding: Finding, at: datetime) -> bool:
    """At its planned time, or as soon as every treatment of a running one is decided.

    The winner's test is valid at every look, so that a winner is one whatever comes after; and past the plan its line
    rises. Long before the plan only differences cross it that are far larger than planned.
    """
    return at >= experiment.planned_end or (isinstance(experiment, Running) and _is_decided(finding))


def _is_decided(finding: Finding) -> bool:
    """A treatment is by winning, and nobody wins across a broken split, or by its planned sample. That is of payments:
    a few customers who pay often have it before anything can be said of them."""
    return bool(finding.treatments) and all(
        (one.is_winner and not finding.is_split_broken) or (one.reached >= 1 and not one.lacks_customers)
        for one in finding.treatments
    )


def what_follows(
    experiment: Running | Paused, finding: Finding, end: End | None, at: datetime
) -> PauseExperiment | ConcludeExperiment | None:
    """Harm comes first, and a broken split keeps nobody from seeing it."""
    if isinstance(experiment, Running) and (harm := finding.harm) is not None:
        return PauseExperiment(
            experiment_id=experiment.experiment_id,
            by=BY,
            note=f"Credibly harmful: {', '.join(harm.variants)}.",
            evidence=harm.evidence,
        )
    if end is None or not end.has_all:
        return None
    if finding.unsettled_share > SETTLED_ENOUGH and at < grace_ends(experiment, end):
        return None
    return ConcludeExperiment(
        experiment_id=experiment.experiment_id,
        follows_version=experiment.version,
        by=BY,
        evidence=_concluded_with(experiment, finding),
    )


def grace_ends(experiment: Running | Paused, end: End) -> datetime:
    """Whoever sees an end late does not wait the longer."""
    came_at = min(end.seen_at, experiment.planned_end)
    return came_at + min(experiment.planned * GRACE_OF_PLAN, MOST_GRACE)


def looked_at_again(experiment: Running | Paused, end: End | None, at: datetime) -> datetime:
    """When it has to be, though nothing more was counted."""
    if end is None:
        return experiment.planned_end
    return grace_ends(experiment, end) if end.has_all else at


def _concluded_with(experiment: Running | Paused, finding: Finding) -> Evidence:
    """What a guardrail has paused stays what it was called then, with the figures of its end."""
    if isinstance(experiment, Paused) and experiment.is_by_guardrail:
        assert experiment.evidence is not None
        then = experiment.evidence
        return replace(finding.evidence, verdict=then.verdict, reasons=then.reasons)
    return finding.evidence
