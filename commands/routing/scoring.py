"""A gateway's score for one payment: a sum of terms, each in points of success rate, that anybody can add up."""

from schemas.routing import Candidate, Terms
from schemas.routing_configuration import ScoringWeights


def terms(candidate: Candidate, weights: ScoringWeights) -> Terms:
    """success + uncertainty · deviation + fit - latency · seconds - cost · percent + affinity - priority.

    An upper confidence bound: what is little known is given the benefit of the doubt, and so is tried.
    """
    alpha, beta = candidate.alpha, candidate.beta
    total = alpha + beta
    return Terms(
        success=alpha / total,
        uncertainty=weights.uncertainty * (alpha * beta / (total + 1)) ** 0.5 / total,
        fit=candidate.fit,
        latency=-weights.latency * (candidate.latency_ms or 0.0) / 1000,
        cost=-weights.cost * candidate.fee_bps / 100,
        affinity=weights.affinity * candidate.affinity,
        priority=-weights.priority * candidate.priority,
    )


def score(terms: Terms) -> float:
    return terms.success + terms.uncertainty + worth(terms)


def worth(terms: Terms) -> float:
    """All but what is believed of the success rate."""
    return terms.fit + terms.latency + terms.cost + terms.affinity + terms.priority
