"""What a load run found: exact quantiles over every sample, and nothing left out that would flatter."""

import math
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
from msgspec import Struct
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from tests.bench.machine import Machine


class Latency(Struct, frozen=True, kw_only=True):
    """Milliseconds; each is a sample that occurred (nearest rank)."""

    p50: float
    p90: float
    p95: float
    p99: float
    max: float


class Report(Struct, frozen=True, kw_only=True):
    """The window after the warm-up. Requests belong to it by the time at which they were due.

    `rate_per_s` counts the answers that arrived within the window. `latency_ms` is of every answer, whatever
    its status, and of every request given up by timeout, at the time it had waited. At a fixed rate it counts
    from the moment the request was due: a stalled server is not excused from what it kept from being sent.
    """

    mode: str
    duration_s: float
    connections: int
    due: int
    count: int
    rate_per_s: float
    latency_ms: Latency | None
    statuses: dict[int, int]
    errors: dict[str, int]
    reconnects: int
    generator_cpu_us_per_request: float
    generator_cpu_share: float

    @property
    def succeeded(self) -> int:
        return sum(count for status, count in self.statuses.items() if 200 <= status < 300)


def latency_of(samples_s: "array[float]") -> Latency | None:
    if not samples_s:
        return None
    ordered = sorted(samples_s)
    p50, p90, p95, p99 = (round(quantile(ordered, share) * 1000, 3) for share in (0.50, 0.90, 0.95, 0.99))
    return Latency(p50=p50, p90=p90, p95=p95, p99=p99, max=round(ordered[-1] * 1000, 3))


def quantile(ordered: Sequence[float], share: float) -> float:
    """The smallest sample that is not below `share` of them all."""
    return ordered[max(math.ceil(share * len(ordered)) - 1, 0)]


def show(report: Report, machine: Machine, console: Console) -> None:
    table = Table("", "", show_header=False, title=f"{report.mode}, {report.duration_s:g} s")
    for name, value in _lines(report):
        table.add_row(name, value)
    console.print(table)
    console.print(machine.sentence(), soft_wrap=True)


def write_json(report: Report, machine: Machine, file: Path) -> None:
    content = {"machine": machine, "report": report}
    file.write_bytes(msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n")


@contextmanager
def progress_bar(seconds: float, console: Console) -> Iterator[Callable[[float, int], None]]:
    """Told the seconds passed and the answers so far; draws nothing unless somebody watches."""
    columns = (BarColumn(), TimeRemainingColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console, disable=not console.is_terminal, refresh_per_second=4) as bar:
        task = bar.add_task("", total=seconds)

        def passed(elapsed_s: float, answers: int) -> None:
            bar.update(task, completed=elapsed_s, description=f"{answers:,} answers")

        yield passed


def _lines(report: Report) -> list[tuple[str, str]]:
    cpu = f"{report.generator_cpu_us_per_request:.0f} µs CPU per request"
    return [
        ("requests due", f"{report.due:,}"),
        ("answers", f"{report.count:,}"),
        ("answers per second", f"{report.rate_per_s:,.1f}"),
        ("latency ms", _quantiles(report.latency_ms)),
        *((f"status {status}", f"{count:,}") for status, count in sorted(report.statuses.items())),
        *((f"error {name}", f"{count:,}") for name, count in sorted(report.errors.items())),
        ("reconnects", f"{report.reconnects:,}"),
        ("generator", f"{cpu}, {report.generator_cpu_share:.0%} of a core"),
    ]


def _quantiles(latency: Latency | None) -> str:
    if latency is None:
        return "no sample"
    return "  ".join(f"{name} {value:.1f}" for name, value in msgspec.structs.asdict(latency).items())
