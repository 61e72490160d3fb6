"""`./dev bench experiments`: thousands of simulated experiments through the functions that assign, judge and pause.

20,000,000 assignments are hashed first, so that every simulated customer is in the arm in which the shipped hash puts
it. Then it is numpy that runs, in as many processes as there are cores, but for a hundred experiments that go through
events, folds and the analyzer, in memory.
"""

import argparse
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context

import numpy as np
from msgspec import Struct
from rich.table import Table

from tests.bench import (
    experiments_folded,
    experiments_intervals,
    experiments_late,
    experiments_latency,
    experiments_rates,
    experiments_splits,
)
from tests.bench.experiments_figures import Figure
from tests.bench.experiments_world import SALTS, Dealer, Job, hashed_buckets
from tests.bench.json_figures import STDOUT, add_json_option, write_json
from tests.bench.machine import Machine, this_machine
from tests.bench.routing_report import console_of

CUSTOMERS = 1_000_000


class Measured(Struct, frozen=True, kw_only=True):
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
    machine = this_machine()
    table = Table(
        "figure",
        "measured",
        "has to be",
        "",
        "others, same luck",
        title="experiments",
        title_justify="left",
    )
    figures = []
    for figure in _figures(args.seed, args.scale):
        console.print(" ".join(_row(figure)), soft_wrap=True, style="dim")
        table.add_row(*_row(figure))
        figures.append(figure)
    write_json(Measured(machine=machine, seed=args.seed, scale=args.scale, figures=figures), args.json)
    console.print(table)
    console.print(machine.sentence(), soft_wrap=True)
    return 0 if all(figure.is_met for figure in figures) else 1


def _figures(seed: int, scale: float) -> Iterator[Figure]:
    """Every job has luck of its own, so that it finds the same in whichever process it runs."""
    with _processes() as processes:
        customers = round(CUSTOMERS * min(scale, 1.0))
        buckets = np.array(list(processes.map(partial(hashed_buckets, customers), range(SALTS))))
    yield from experiments_splits.assignment(buckets)
    jobs = [
        *experiments_folded.jobs(),
        *experiments_rates.jobs(),
        *experiments_late.jobs(),
        *experiments_latency.jobs(),
        *experiments_splits.jobs(),
        *experiments_intervals.jobs(),
    ]
    with _processes(Dealer(buckets)) as processes:
        for found in processes.map(partial(_done, seed, scale), range(len(jobs)), jobs):
            yield from found


_DEALT: list[Dealer] = []
"""Of this process: inherited, since forty megabytes are not to be sent with every job."""


def _processes(*dealers: Dealer) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(
        len(os.sched_getaffinity(0)), get_context("fork"), initializer=_DEALT.extend, initargs=(dealers,)
    )


def _done(seed: int, scale: float, place: int, job: Job) -> list[Figure]:
    return list(job(np.random.default_rng([seed, place]), scale, _DEALT[0]))


def _row(figure: Figure) -> tuple[str, str, str, str, str]:
    return (
        figure.name,
        _told(figure.measured) + ("" if figure.error is None else f" ± {figure.error:.2g}"),
        "" if figure.target is None else f"{figure.bound} {figure.target:g}",
        "" if figure.is_met else "MISSED",
        " · ".join(f"{name} {_told(measured)}" for name, measured in figure.beside.items()),
    )


def _told(measured: float | None) -> str:
    return "never" if measured is None else f"{measured:.4g}"
