"""`./dev bench experiments`: thousands of simulated experiments through the functions that assign, judge and pause.

20,000,000 assignments are hashed first, so that every simulated customer is in the arm in which the shipped hash puts
it. Then it is numpy that runs, but for a hundred experiments that go through events, folds and the analyzer, in memory.
"""

import argparse
import sys
from collections.abc import Iterator

import numpy as np
from msgspec import Struct
from rich.table import Table

from tests.bench.experiments_figures import Experiments, Figure
from tests.bench.experiments_folded import folded
from tests.bench.experiments_intervals import assignment, intervals, splits
from tests.bench.experiments_world import Arms, hashed_buckets
from tests.bench.json_figures import STDOUT, add_json_option, write_json
from tests.bench.machine import Machine, this_machine
from tests.bench.routing_report import console_of

CUSTOMERS = 1_000_000


class Found(Struct, frozen=True, kw_only=True):
    machine: Machine
    seed: int
    scale: float
    figures: list[Figure]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--scale",
        type=float,
        default=1.0,
        help="of the number of runs; 1 is a verdict (default: %(default)s)",
    )
    add_json_option(parser, "experiments")


def run(args: argparse.Namespace) -> int:
    """1 when a figure is not what it has to be, 2 when something asked for cannot be understood."""
    if args.scale <= 0:
        print(f"--scale: Expected more than 0, got {args.scale:g}", file=sys.stderr)
        return 2
    console = console_of(is_stderr=args.json == STDOUT)
    table = Table("figure", "measured", "has to be", "", title="experiments", title_justify="left")
    found = []
    for figure in _figures(args.seed, args.scale):
        console.print(" ".join(_row(figure)), soft_wrap=True, style="dim")
        table.add_row(*_row(figure))
        found.append(figure)
    machine = this_machine()
    write_json(Found(machine=machine, seed=args.seed, scale=args.scale, figures=found), args.json)
    console.print(table)
    console.print(machine.sentence(), soft_wrap=True)
    return 0 if all(figure.is_met for figure in found) else 1


def _figures(seed: int, scale: float) -> Iterator[Figure]:
    buckets = hashed_buckets(round(CUSTOMERS * min(scale, 1.0)))
    arms = Arms(buckets)
    rng = np.random.default_rng([seed, 1])
    yield from assignment(buckets)
    yield from Experiments(arms, seed, scale).figures()
    yield from folded(seed, scale)
    yield from splits(rng, max(round(5_000 * scale), 10))
    yield from intervals(rng, max(round(2_000 * scale), 10), arms)


def _row(figure: Figure) -> tuple[str, str, str, str]:
    measured = "never" if figure.measured is None else f"{figure.measured:.4g}"
    error = "" if figure.standard_error is None else f" ± {1.96 * figure.standard_error:.2g}"
    return (
        figure.name,
        measured + error,
        f"{figure.bound} {figure.target:g}",
        "" if figure.is_met else "MISSED",
    )
