"""What routing believes, from a published snapshot and the circuits."""

from datetime import UTC, datetime, timedelta

import pytest

from projections.beliefs import MOST_FIT, Beliefs, Believed
from projections.posteriors import Forgetting
from schemas.circuit import CircuitView
from schemas.ids import GatewayId
from schemas.metrics import BUCKET_S, CellKind, RoutingCell, RoutingSnapshot, bucket_of
from schemas.routing import UNKNOWN

NOW = datetime(2026, 11, 25, 12, 0, 5, tzinfo=UTC)
BUCKET = bucket_of(NOW)
ALPHA = GatewayId("alpha")


def cell(
    *history: tuple[int, int, int],
    kind: CellKind = "method",
    value: str = "",
    succeeded: int = 0,
    failed: int = 0,
) -> RoutingCell:
    """History as (buckets ago, succeeded, failed), the oldest first."""
    return RoutingCell(
        gateway="alpha",
        method="UPI",
        kind=kind,
        value=value,
        history=tuple((BUCKET - ago, ok, bad) for ago, ok, bad in history),
        succeeded_15m=succeeded,
        failed_15m=failed,
        latency_ms_p50=300.0,
        latency_ms_p95=900.0,
    )


def learn(*cells: RoutingCell, circuit: CircuitView | None = None, by: Beliefs | None = None) -> Believed:
    circuits = {(ALPHA, "UPI"): circuit} if circuit is not None else {}
    snapshot = RoutingSnapshot(version=1, as_of=NOW, cells=cells)
    return (by or Beliefs(Forgetting())).learn(snapshot, circuits)  # type: ignore[arg-type]


def test_a_method_as_a_whole_is_the_segment_of_its_name() -> None:
    posterior = learn(cell((0, 9, 1))).posteriors[ALPHA, "UPI"]
    assert (posterior.alpha, posterior.beta) == (10.0, 2.0)


def test_a_segment_has_a_posterior_of_its_own() -> None:
    found = learn(cell((0, 9, 1)), cell((0, 3, 0), kind="segment", value="UPI:gold"))
    assert found.posteriors[ALPHA, "UPI:gold"].alpha == 4.0


def test_a_gateway_that_has_no_figures_any_more_is_not_known_any_more() -> None:
    beliefs = Beliefs(Forgetting())
    learn(cell((0, 9, 1)), by=beliefs)
    assert learn(by=beliefs).posteriors == {}
    assert learn(cell((0, 1, 0)), by=beliefs).posteriors[ALPHA, "UPI"].alpha == 2.0


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 1, 2)])
def test_what_was_asked_before_does_not_matter(order: tuple[int, ...]) -> None:
    snapshots = (
        cell((40, 90, 10)),
        cell((40, 90, 10), (3, 80, 20)),
        cell((40, 91, 9), (3, 80, 20), (1, 5, 5)),
    )
    beliefs = Beliefs(Forgetting())
    for number in order:
        found = learn(snapshots[number], by=beliefs)
        assert found == learn(snapshots[number])


def test_an_outcome_of_a_bucket_that_the_publisher_has_not_come_to_counts_all_the_same() -> None:
    assert learn(cell((-1, 5, 0))).posteriors[ALPHA, "UPI"].alpha == 6.0


def test_after_an_outage_what_was_learned_before_is_forgotten() -> None:
    recovered = CircuitView(recovered_at=NOW - timedelta(seconds=BUCKET_S), usual=0.9)
    found = learn(cell((60, 0, 500), (0, 5, 0)), circuit=recovered).posteriors[ALPHA, "UPI"]
    assert found.mean > 0.85
    assert found.effective_sample < 20


def test_the_median_latency_is_that_of_the_method() -> None:
    assert learn(cell((0, 1, 0))).latencies_ms == {(ALPHA, "UPI"): 300.0}


def test_an_issuer_that_fares_worse_fits_worse_and_little_evidence_says_little() -> None:
    whole = cell((0, 900, 100), succeeded=900, failed=100)
    many = learn(whole, cell(kind="issuer", value="okhdfcbank", succeeded=40, failed=60))
    few = learn(whole, cell(kind="issuer", value="okhdfcbank", succeeded=2, failed=3))
    key = (ALPHA, "UPI", "issuer", "okhdfcbank")
    assert -MOST_FIT == many.fits[key] < few.fits[key] < 0  # type: ignore[index]


def test_nothing_fits_where_the_method_is_not_known() -> None:
    assert learn(cell(kind="issuer", value="okhdfcbank", succeeded=4, failed=60)).fits == {}


def test_nothing_published_is_nothing_known() -> None:
    assert learn().posteriors.get((ALPHA, "UPI"), UNKNOWN) is UNKNOWN
