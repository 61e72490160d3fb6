"""What each gateway's method came to in the last five minutes, and in the 55 before. Pure; windows in, values out."""

from collections.abc import Iterator, Mapping
from typing import cast

from projections.figures import latencies
from projections.sketch import quantiles
from projections.tallies import add, health
from projections.windows import RollingWindows
from schemas.ids import GatewayId
from schemas.instrument import PaymentMethod
from schemas.metrics import WINDOWS_MIN, GatewayHealth, Tally

_FIVE_MINUTES, _HOUR = WINDOWS_MIN.index(5), WINDOWS_MIN.index(60)


def gateway_health(windows: RollingWindows) -> Iterator[GatewayHealth]:
    """Of all that had anything within the hour."""
    for cell in list(windows.cells()):
        if cell.kind == "method":
            sums = windows.sums(cell)
            before: Tally = dict(sums[_HOUR])
            add(before, sums[_FIVE_MINUTES], -1)
            yield _health(
                GatewayId(cell.gateway), cast(PaymentMethod, cell.method), sums[_FIVE_MINUTES], before
            )


def _health(
    gateway: GatewayId, method: PaymentMethod, recent: Mapping[str, int], before: Mapping[str, int]
) -> GatewayHealth:
    succeeded, faults, doubts = health(recent)
    usual_succeeded, usual_faults, usual_doubts = health(before)
    calls, usual_calls = latencies(recent), latencies(before)
    return GatewayHealth(
        gateway=gateway,
        payment_method=method,
        succeeded=succeeded,
        failed=faults + doubts,
        usual_succeeded=usual_succeeded,
        usual_failed=usual_faults + usual_doubts,
        calls=sum(calls.values()),
        latency_ms_p90=quantiles(calls, (0.9,))[0],
        usual_calls=sum(usual_calls.values()),
        usual_latency_ms_p95=quantiles(usual_calls, (0.95,))[0],
    )
