"""`python -m tests.bench load`: real payments against a running service."""

import argparse
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import uvloop
from rich.console import Console

from tests.bench.generator import Plan, drive
from tests.bench.machine import this_machine
from tests.bench.payments import payment_requests
from tests.bench.report import progress_bar, show, write_json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--url", default="http://127.0.0.1:3000")
    parser.add_argument("--rate", type=float, help="requests per second; without it, a closed loop")
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--duration", type=float, default=15.0, metavar="SECONDS")
    parser.add_argument("--warmup", type=float, default=3.0, metavar="SECONDS")
    parser.add_argument("--timeout", type=float, default=10.0, metavar="SECONDS")
    parser.add_argument("--seed", type=int, default=1, help="of the amounts and methods")
    parser.add_argument("--json", type=Path, metavar="FILE")


def run(args: argparse.Namespace) -> int:
    """Posts payments to the service at `--url`; 1 if not a single one was answered with 2xx."""
    machine, console = this_machine(), Console()
    try:
        with progress_bar(args.warmup + args.duration, console) as progress:
            report = uvloop.run(drive(_plan(args, progress)))
    except OSError as error:
        console.print(f"cannot reach {args.url}: {error}")
        return 1
    show(report, machine, console)
    if args.json is not None:
        write_json(report, machine, args.json)
    return 0 if report.succeeded else 1


def _plan(args: argparse.Namespace, progress: Callable[[float, int], None]) -> Plan:
    parts = urlsplit(args.url)
    return Plan(
        host=parts.hostname or "127.0.0.1",
        port=parts.port or 80,
        request=payment_requests(args.url, args.seed),
        connections=args.connections,
        duration_s=args.duration,
        rate_per_s=args.rate,
        warmup_s=args.warmup,
        timeout_s=args.timeout,
        progress=progress,
    )
