"""What `./dev bench backlog` found."""

from collections.abc import Mapping

from msgspec import Struct
from rich.console import Console
from rich.table import Table

from tests.bench.machine import Machine
from tests.bench.pace import GatewayPace
from tests.bench.report import Latency


class Phase(Struct, frozen=True, kw_only=True):
    """Some verifiers at work for a while. Memory in MiB; the projection's lag in records."""

    verifiers: int
    seconds: float
    gateways: dict[str, GatewayPace]
    memory_mib: dict[str, tuple[float, float]]
    """Of each verifier, at the beginning and at the end."""
    most_lag: int
    ordinary_ms: Latency | None
    ordinary: dict[int, int]
    """Answers by status."""


class Figures(Struct, frozen=True, kw_only=True):
    machine: Machine
    payments: int
    written_per_second: float
    projected_per_second: float
    first_settlement_s: float | None
    """After the verifier was ready."""
    phases: tuple[Phase, ...]
    most_look_ups_at_once: dict[str, int]
    """Of one verifier."""
    claims: dict[str, int]
    """Of both verifiers, by what became of each."""
    ended_twice: int
    written_twice: int


def show(figures: Figures, limits: Mapping[str, tuple[int, float]], console: Console) -> None:
    one, two = figures.phases
    table = Table("figure", "one verifier", "two", title=f"behind {figures.payments:,} due payments")
    for name, (at_once, per_second) in limits.items():
        table.add_row(
            f"{name}: settled/s (≤ {per_second:g} each)", *(_pace_of(phase, name) for phase in (one, two))
        )
        most = figures.most_look_ups_at_once.get(name, 0)
        table.add_row(f"  look-ups at once (≤ {at_once} each)", f"{most}", "")
    for phase in (one, two):
        sizes = (f"{before:.0f} → {after:.0f} MiB" for before, after in phase.memory_mib.values())
        table.add_row(f"memory, {phase.verifiers} at work", *sizes)
    table.add_row("read model behind, most records", f"{one.most_lag:,}", f"{two.most_lag:,}")
    table.add_row("ordinary payments, p50 / p99", *(_ordinary(phase) for phase in (one, two)))
    table.add_row("ready to first settlement", f"{figures.first_settlement_s} s", "")
    table.add_row("ended twice / written twice", f"{figures.ended_twice} / {figures.written_twice}", "")
    console.print(table)
    console.print(
        f"records written {figures.written_per_second:,}/s, taken in {figures.projected_per_second:,}/s;"
        f" claims {figures.claims}"
    )
    console.print(figures.machine.sentence(), soft_wrap=True)


def _pace_of(phase: Phase, gateway: str) -> str:
    pace = phase.gateways.get(gateway)
    return f"{pace.per_second:g}, {pace.most_in_a_second} in any second at most" if pace else "none"


def _ordinary(phase: Phase) -> str:
    latency = phase.ordinary_ms
    answers = ", ".join(f"{count} × {status}" for status, count in sorted(phase.ordinary.items()))
    return f"{latency.p50:.0f} / {latency.p99:.0f} ms ({answers})" if latency else "no sample"
