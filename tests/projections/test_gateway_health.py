"""What a gateway came to lately, and before."""

from projections.gateway_health import gateway_health
from projections.sketch import bin_of
from projections.windows import RollingWindows
from schemas.metrics import Cell
from tests.projections.outcomes import NOW, UPI


def test_the_last_five_minutes_are_told_beside_the_55_before_them() -> None:
    windows = RollingWindows(NOW)
    fast, slow = f"ms:{bin_of(100)}", f"ms:{bin_of(1000)}"
    windows.put(NOW, UPI, {"succeeded": 7, "declined:gateway:other": 2, slow: 9})
    windows.put(NOW - 29, UPI, {"in_doubt:read_timeout": 1, "declined:customer:other": 5, slow: 6})
    windows.put(NOW - 30, UPI, {"succeeded": 90, "not_sent:dns": 4, fast: 94})
    windows.put(NOW - 359, UPI, {"succeeded": 6, fast: 6})
    windows.put(NOW, Cell("alpha", "UPI", "issuer", "okhdfcbank"), {"succeeded": 7})

    (health,) = gateway_health(windows)

    assert (health.gateway, health.payment_method) == ("alpha", "UPI")
    assert (health.succeeded, health.failed, health.outcomes) == (7, 3, 10)
    assert (health.usual_succeeded, health.usual_failed) == (96, 4)
    assert (health.calls, health.usual_calls) == (15, 100)
    assert health.latency_ms_p90 is not None
    assert health.usual_latency_ms_p95 is not None
    assert abs(health.latency_ms_p90 / 1000 - 1) < 0.01
    assert abs(health.usual_latency_ms_p95 / 100 - 1) < 0.01


def test_what_has_left_the_hour_is_not_told() -> None:
    windows = RollingWindows(NOW)
    windows.put(NOW, UPI, {"succeeded": 7})
    windows.advance(NOW + 359)
    (health,) = gateway_health(windows)
    assert (health.outcomes, health.usual_succeeded, health.latency_ms_p90) == (0, 7, None)
    windows.advance(NOW + 360)
    assert not list(gateway_health(windows))
