"""What routing believes of the gateways, from published figures and the circuits: every process learns the same."""

from collections.abc import Mapping
from zlib import crc32

from projections.learner import Learner
from projections.posteriors import HORIZON_STEP, Forgetting
from schemas.base import Value
from schemas.circuit import CircuitView
from schemas.ids import GatewayId
from schemas.instrument import PaymentMethod
from schemas.metrics import RoutingCell, RoutingSnapshot, bucket_of
from schemas.routing import Posterior

FIT_WEIGHT = 50.0
"""Outcomes of a method as a whole that a finer figure is held against: with as many of its own it counts half."""
MOST_FIT = 0.2

Circuits = Mapping[tuple[GatewayId, PaymentMethod], CircuitView]


class Believed(Value, frozen=True, kw_only=True):
    posteriors: dict[tuple[GatewayId, str], Posterior]
    """By gateway and segment; a method as a whole is the segment of its name."""
    latencies_ms: dict[tuple[GatewayId, PaymentMethod], float]
    fits: dict[tuple[GatewayId, PaymentMethod, str, str], float]


class Beliefs:
    """A cache of folds: the same snapshot and circuits lead to the same beliefs, whatever was asked before."""

    def __init__(self, forgetting: Forgetting) -> None:
        self._forgetting = forgetting
        self._learners: dict[tuple[str, str], Learner] = {}
        self._histories: dict[tuple[str, str], tuple[tuple[int, int, int], ...]] = {}

    def learn(self, snapshot: RoutingSnapshot, circuits: Circuits) -> Believed:
        wholes = {(cell.gateway, cell.method): cell for cell in snapshot.cells if cell.kind == "method"}
        with_history = [cell for cell in snapshot.cells if cell.kind in ("method", "segment")]
        self._forget({(cell.gateway, _segment(cell)) for cell in with_history})
        bucket = _newest(snapshot, with_history, circuits)
        return Believed(
            posteriors={
                (GatewayId(cell.gateway), _segment(cell)): self._posterior(cell, bucket, circuits)
                for cell in with_history
            },
            latencies_ms={
                _key(cell): cell.latency_ms_p50 for cell in wholes.values() if cell.latency_ms_p50 is not None
            },
            fits={
                (*_key(cell), cell.kind, cell.value): fit
                for cell in snapshot.cells
                if cell.kind in ("issuer", "network", "amount_band")
                and (fit := _fit(cell, wholes.get((cell.gateway, cell.method)))) != 0.0
            },
        )

    def _posterior(self, cell: RoutingCell, bucket: int, circuits: Circuits) -> Posterior:
        key = (cell.gateway, _segment(cell))
        learner = self._learners.get(key)
        if learner is None:
            learner = self._learners[key] = Learner(self._forgetting, _phase(key))
        if self._histories.get(key) != cell.history:
            learner.replace({began: (succeeded, failed) for began, succeeded, failed in cell.history})
            self._histories[key] = cell.history
        circuit = circuits.get(_key(cell))
        if circuit is not None and circuit.recovered_at is not None and circuit.usual is not None:
            learner.reopen(bucket_of(circuit.recovered_at), circuit.usual)
        return learner.posterior(bucket)

    def _forget(self, present: set[tuple[str, str]]) -> None:
        for gone in self._learners.keys() - present:
            del self._learners[gone]
            self._histories.pop(gone, None)


def _phase(key: tuple[str, str]) -> int:
    """The same in every process."""
    return crc32("\0".join(key).encode()) % HORIZON_STEP


def _segment(cell: RoutingCell) -> str:
    return cell.value if cell.kind == "segment" else cell.method


def _key(cell: RoutingCell) -> tuple[GatewayId, PaymentMethod]:
    method: PaymentMethod = cell.method  # type: ignore[assignment]  # cells are keyed by plain words
    return GatewayId(cell.gateway), method


def _newest(snapshot: RoutingSnapshot, cells: list[RoutingCell], circuits: Circuits) -> int:
    """Clocks differ, and snapshots may be old: an outcome, or a circuit, may be ahead of the publisher."""
    recovered = (view.recovered_at for view in circuits.values())
    return max(
        bucket_of(snapshot.as_of),
        *(cell.history[-1][0] for cell in cells if cell.history),
        *(bucket_of(at) for at in recovered if at is not None),
        0,
    )


def _fit(cell: RoutingCell, whole: RoutingCell | None) -> float:
    """The difference of the success rates, shrunk to 0 where little is known of the finer one."""
    outcomes = cell.succeeded_15m + cell.failed_15m
    if whole is None or outcomes == 0 or whole.succeeded_15m + whole.failed_15m == 0:
        return 0.0
    usual = whole.succeeded_15m / (whole.succeeded_15m + whole.failed_15m)
    difference = (cell.succeeded_15m / outcomes - usual) * outcomes / (outcomes + FIT_WEIGHT)
    return max(-MOST_FIT, min(MOST_FIT, difference))
