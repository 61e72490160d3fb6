"""`./dev bench figures`: the whole product on this machine, its figures, and whether anything was lost or doubled.

Everything runs here at once: Kafka, Postgres, Redis, the API with the bandit on, one worker of each kind, the simulator
(a fixed 50 ms) and the load itself.
"""

import argparse
import asyncio
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import uvloop
from msgspec import Struct
from rich.console import Console
from rich.table import Table

from infra.local import LOCAL
from infra.local.ports import Ports
from infra.local.stack import Stack
from tests.bench.audit import Audit, audit
from tests.bench.generator import Answer, Plan, drive
from tests.bench.machine import Machine, this_machine
from tests.bench.payments import payment_requests
from tests.bench.report import Latency, Report
from tests.bench.usage import Usage, used
from tests.bench.visibility import Visibility, watch_visibility
from tests.product import Client, Product

GATEWAY_MS = 50
WARM_AFTER_S = 45
"""A broker translates what it runs often in its first minute, on the same two cores: what is told is how it goes on."""


class Figures(Struct, frozen=True, kw_only=True):
    """Latencies in milliseconds; `added_ms` is beyond the gateway's fixed 50 ms; memory in MiB by process."""

    machine: Machine
    throughput: Report
    throughput_usage: dict[str, Usage]
    lag: Visibility
    paced: Report
    paced_usage: dict[str, Usage]
    added_ms: Latency
    visibility: Visibility
    reads: Report
    memory_mib: dict[str, dict[str, float]]
    audit: Audit


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--duration", type=float, default=60.0, metavar="SECONDS", help="of the throughput run"
    )
    parser.add_argument("--connections", type=int, default=256)
    parser.add_argument("--rate", type=float, default=100.0, help="payments per second of the latency run")
    parser.add_argument(
        "--payments", type=int, default=100_000, help="how many in all before memory is read again"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", default=LOCAL / "bench" / "figures.json")


def run(args: argparse.Namespace) -> int:
    """1 when a payment was lost or doubled, or an answer was not a 2xx."""
    console = Console()
    figures = uvloop.run(_measure(args, console))
    args.json.parent.mkdir(parents=True, exist_ok=True)
    args.json.write_bytes(msgspec.json.format(msgspec.json.encode(figures), indent=2) + b"\n")
    _show(figures, console)
    console.print(f"JSON: {args.json}")
    return 0 if figures.audit.is_clean and not _strange(figures) else 1


async def _measure(args: argparse.Namespace, console: Console) -> Figures:
    folder = LOCAL / "bench"
    stack = Stack(folder, Ports.free())
    product = Product(
        stack,
        folder,
        verifiers=1,
        circuit_writers=1,
        metrics_workers=1,
        env={
            "RETRY_LATENCY_BUDGET_MS": "10000",
            "GATEWAY_TIMEOUT_MS": "2500",
            "RATE_LIMIT_PER_SECOND": "100",  # as it is by itself: the payments come from many clients
            "RATE_LIMIT_BURST": "200",
        },
    )
    try:
        console.print("starting the product …")
        await stack.start(empty=True)
        await product.start()
        client = Client(product)
        try:
            for gateway in ("razorpay", "stripe", "payu", "cashfree"):
                await client.set_profile(gateway, seed=1, success_rate=1.0, latency={"fixed_ms": GATEWAY_MS})
            enabled = await client.order("/bandit/policy/*/enable")
            assert enabled.status == 200, enabled
            return await _scenarios(args, console, product, client)
        finally:
            await client.close()
    finally:
        await product.stop()
        await stack.stop()


async def _scenarios(args: argparse.Namespace, console: Console, product: Product, client: Client) -> Figures:
    keys = _Keys()
    await drive(_posts(product, keys, connections=64, duration_s=8))
    memory = {"10,000": await _memory_at(product, keys, 10_000)}
    console.print(f"latency: {args.rate:g} payments/s, 20 s …")
    async with used(product) as paced_usage:
        paced = await drive(
            _posts(product, keys, connections=64, duration_s=20, rate_per_s=args.rate, warmup_s=WARM_AFTER_S)
        )
    console.print("reads: 100/s, 10 s …")
    reads = await drive(_reads(product, keys, duration_s=10))
    console.print("append to row: 200 payments/s, 20 s …")
    visibility = await watch_visibility(
        product,
        lambda receive: drive(
            _posts(product, keys, connections=64, duration_s=20, rate_per_s=200, receive=receive)
        ),
    )
    console.print(f"throughput: {args.connections} connections, {args.duration:g} s …")
    reports: list[Report] = []

    async def full_speed(receive: object) -> Report:
        async with used(product) as usage:
            reports.append(
                await drive(
                    _posts(
                        product,
                        keys,
                        connections=args.connections,
                        duration_s=args.duration,
                        warmup_s=5,
                        receive=receive,
                    )
                )
            )
        usages.update(usage)
        return reports[-1]

    usages: dict[str, Usage] = {}
    lag = await watch_visibility(product, full_speed)
    throughput = reports[0]
    memory[f"{args.payments:,}"] = await _memory_at(product, keys, args.payments)
    return Figures(
        machine=this_machine(),
        throughput=throughput,
        throughput_usage=usages,
        lag=lag,
        paced=paced,
        paced_usage=paced_usage,
        added_ms=_minus_gateway(paced),
        visibility=visibility,
        reads=reads,
        memory_mib=memory,
        audit=await audit(product, client, keys.answers),
    )


class _Keys:
    """Every answer of every run: its status and payment id, for the audit and for reads."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, str]] = []

    def note(self, answer: Answer) -> None:
        start = answer.body.find(b'"pay_')
        self.answers.append(
            (answer.status, answer.body[start + 1 : start + 31].decode() if start >= 0 else "")
        )


def _posts(
    product: Product,
    keys: _Keys,
    *,
    connections: int,
    duration_s: float,
    rate_per_s: float | None = None,
    warmup_s: float = 0,
    receive: object = None,
) -> Plan:
    def note(answer: Answer) -> None:
        keys.note(answer)
        if callable(receive):
            receive(answer)

    parts = urlsplit(product.api.url)
    return Plan(
        host=parts.hostname or "",
        port=parts.port or 0,
        request=payment_requests(product.api.url),
        connections=connections,
        duration_s=duration_s,
        rate_per_s=rate_per_s,
        warmup_s=warmup_s,
        receive=note,
        wanted_headers=frozenset({b"consistency-token"}),
    )


def _reads(product: Product, keys: _Keys, *, duration_s: float) -> Plan:
    parts = urlsplit(product.api.url)
    ids = [payment_id for status, payment_id in keys.answers if status == 201]

    def request(sequence: int) -> bytes:
        path = f"/payments/{ids[sequence * 7919 % len(ids)]}"
        client = f"10.0.0.{sequence % 250}"
        return f"GET {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nX-Forwarded-For: {client}\r\n\r\n".encode()

    return Plan(
        host=parts.hostname or "",
        port=parts.port or 0,
        request=request,
        connections=16,
        duration_s=duration_s,
        rate_per_s=100,
        warmup_s=1,
    )


async def _memory_at(product: Product, keys: _Keys, payments: int) -> dict[str, float]:
    """Resident memory once so many payments were made in all."""
    while len(keys.answers) < payments:
        await drive(_posts(product, keys, connections=128, duration_s=5))
    await asyncio.sleep(2)
    return {service.name: round(service.resident_bytes() / 2**20, 1) for service in product.services}


def _minus_gateway(report: Report) -> Latency:
    assert report.latency_ms is not None
    return Latency(
        **{
            name: round(value - GATEWAY_MS, 3)
            for name, value in msgspec.structs.asdict(report.latency_ms).items()
        }
    )


def _strange(figures: Figures) -> int:
    reports = (figures.throughput, figures.paced, figures.reads)
    return sum(
        sum(r.errors.values()) + sum(n for s, n in r.statuses.items() if not 200 <= s < 300) for r in reports
    )


def _show(figures: Figures, console: Console) -> None:
    table = Table("figure", "measured", "asked for", title="payments-gateway on one machine")
    for row in _rows(figures):
        table.add_row(*row)
    console.print(table)
    console.print(figures.machine.sentence(), soft_wrap=True)


def _rows(figures: Figures) -> list[tuple[str, str, str]]:
    reads = figures.reads.latency_ms
    assert reads is not None
    throughput = figures.throughput
    rows = [
        ("payments/s, sustained", f"{throughput.rate_per_s:,.0f}", "≥ 1,000"),
        ("  latency p50 / p99", _pair(throughput.latency_ms), ""),
        ("  read model behind, p99", f"{figures.lag.p99_ms:,.0f} ms", "≤ 2,000 ms"),
        ("  back to zero after the end", f"{figures.lag.drained_s:.1f} s", "≤ 5 s"),
        ("latency added, p50 / p99", _pair(figures.added_ms), "≤ 8 / ≤ 25 ms"),
        ("read of a projected payment, p50 / p99", _pair(reads), "p99 ≤ 5 ms"),
        (
            "answer to row, p50 / p99",
            f"{figures.visibility.p50_ms:.0f} / {figures.visibility.p99_ms:.0f} ms",
            "≤ 40 / ≤ 150 ms",
        ),
    ]
    rows += [
        (
            f"CPU per payment, {name}",
            f"{usage.cpu_ms_per_payment:.2f} ms, paced {figures.paced_usage[name].cpu_ms_per_payment:.2f} ms",
            "",
        )
        for name, usage in figures.throughput_usage.items()
    ]
    for name in figures.memory_mib["10,000"]:
        sizes = " → ".join(f"{sizes[name]:.0f} MiB at {count}" for count, sizes in figures.memory_mib.items())
        rows.append((f"memory of {name}", sizes, "flat"))
    rows += [
        ("answers that are not 2xx, errors", f"{_strange(figures)}", "0"),
        ("payments lost / doubled", f"{figures.audit.lost} / {figures.audit.doubled}", "0 / 0"),
        ("payments made", f"{figures.audit.acknowledged:,}", ""),
    ]
    return rows


def _pair(latency: Latency | None) -> str:
    return f"{latency.p50:.1f} / {latency.p99:.1f} ms" if latency else "no sample"
