"""What is published of the windows: figures for people, and the routing snapshot. Pure; a tally in, a struct out."""

from collections.abc import Iterable, Mapping
from math import sqrt

from projections.sketch import quantiles
from projections.tallies import LATENCY, health
from projections.windows import RollingWindows
from schemas.metrics import WINDOWS_MIN, Cell, ErrorCount, RoutingCell, WindowFigures
from schemas.outcome import Blame

Z_95 = 1.959963984540054
_FIVE_MINUTES, _FIFTEEN_MINUTES = WINDOWS_MIN.index(5), WINDOWS_MIN.index(15)


def wilson(succeeded: int, of: int) -> tuple[float, float]:
    """The score interval of a proportion at 95 % (Wilson 1927): within 0..1 and sensible for few, none and all."""
    rate, z2 = succeeded / of, Z_95**2
    middle = (rate + z2 / (2 * of)) / (1 + z2 / of)
    half = Z_95 * sqrt(rate * (1 - rate) / of + z2 / (4 * of**2)) / (1 + z2 / of)
    return max(0.0, min(rate, middle - half)), min(1.0, max(rate, middle + half))  # but for rounding it is


def figures(tally: Mapping[str, int]) -> WindowFigures:
    """Less than none, as `health` says how, is none here, too."""
    errors: list[ErrorCount] = []
    latencies: dict[int, int] = {}
    declined: dict[Blame, int] = {}
    attempts = 0
    for words, count in tally.items():
        if words.startswith(LATENCY):
            latencies[int(words[len(LATENCY) :])] = count
            continue
        if count < 0:
            continue
        attempts += count
        if error := _error(words, count):
            errors.append(error)
            if error.blame:
                declined[error.blame] = declined.get(error.blame, 0) + count
    errors.sort(key=lambda error: (-error.count, error.kind, error.blame or "", error.code))
    succeeded, faults, doubts = health(tally)
    judged = succeeded + faults + doubts
    low, high = wilson(succeeded, judged) if judged else (None, None)
    p50, p90, p95, p99 = quantiles(latencies, (0.5, 0.9, 0.95, 0.99))
    return WindowFigures(
        attempts=attempts,
        succeeded=succeeded,
        gateway_faults=faults,
        declined=declined,
        not_sent=sum(error.count for error in errors if error.kind == "not_sent"),
        awaiting_customer=max(0, tally.get("awaiting_customer", 0)),
        in_doubt=doubts,
        success_rate=succeeded / judged if judged else None,
        success_rate_low=low,
        success_rate_high=high,
        latency_ms_p50=p50,
        latency_ms_p90=p90,
        latency_ms_p95=p95,
        latency_ms_p99=p99,
        errors=tuple(errors),
    )


def window_figures(sums: Iterable[Mapping[str, int]]) -> dict[str, WindowFigures]:
    return {f"{minutes}m": figures(tally) for minutes, tally in zip(WINDOWS_MIN, sums, strict=True)}


def attempts_in(tally: Mapping[str, int]) -> int:
    return sum(count for words, count in tally.items() if count > 0 and not words.startswith(LATENCY))


def routing_cell(windows: RollingWindows, cell: Cell) -> RoutingCell:
    sums = windows.sums(cell)
    succeeded, faults, doubts = health(sums[_FIFTEEN_MINUTES])
    p50, p95 = quantiles(latencies(sums[_FIVE_MINUTES]), (0.5, 0.95))
    return RoutingCell(*cell, windows.history(cell), succeeded, faults + doubts, p50, p95)


def latencies(tally: Mapping[str, int]) -> dict[int, int]:
    return {int(words[len(LATENCY) :]): count for words, count in tally.items() if words.startswith(LATENCY)}


def _error(words: str, count: int) -> ErrorCount | None:
    match words.split(":"):
        case ["declined", ("customer" | "risk" | "caller" | "issuer" | "gateway") as blame, code]:
            return ErrorCount(kind="declined", code=code, count=count, blame=blame)
        case [("not_sent" | "in_doubt") as kind, code]:
            return ErrorCount(kind=kind, code=code, count=count)
        case _:
            return None
