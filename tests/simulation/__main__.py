"""`./dev simulate`: seeded worlds of faults, as many as asked for, each checked; a failing seed fails again.

./dev simulate --seed 562             one world, and its story where a promise is broken
./dev simulate --seeds 0-10000        as many, on all cores
./dev simulate --minutes 120          from --seeds on until the time is up
"""

import argparse
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from itertools import count, islice

from tests.checker.checker import Violation
from tests.simulation.figures import Figures
from tests.simulation.test_simulation import run_seed

WORLDS_AT_ONCE = 20
STORIES_MAX = 3


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="./dev simulate")
    parser.add_argument("--seed", type=int, help="one world")
    parser.add_argument("--seeds", default="0-1000", help="FIRST-LAST, LAST excluded")
    parser.add_argument("--minutes", type=float, help="go on from FIRST until the time is up")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args(arguments)
    if options.seed is not None:
        options.seeds = f"{options.seed}-{options.seed + 1}"
    figures, broken = Figures(), dict[int, str]()
    for one, failed in side_by_side(batches(options), options.processes):
        merge(figures, one)
        broken |= failed
        print(f"\r{figures.counted['worlds']:,} worlds, {len(broken)} broken", end="", file=sys.stderr)
    print(file=sys.stderr)
    for seed in sorted(broken)[:STORIES_MAX]:
        print(broken[seed], "\n")
    print("\n".join(figures.lines()))
    print(f"violations: {len(broken)} {sorted(broken) if broken else ''}")
    return 1 if broken else 0


def batches(options: argparse.Namespace) -> Iterator[range]:
    first, last = (int(part) for part in options.seeds.split("-"))
    if options.minutes is None:
        yield from (
            range(start, min(start + WORLDS_AT_ONCE, last)) for start in range(first, last, WORLDS_AT_ONCE)
        )
        return
    give_up_at = time.monotonic() + options.minutes * 60
    for start in count(first, WORLDS_AT_ONCE):
        if time.monotonic() > give_up_at:
            return
        yield range(start, start + WORLDS_AT_ONCE)


def side_by_side(work: Iterator[range], processes: int) -> Iterator[tuple[Figures, dict[int, str]]]:
    """As `pool.map`, which would take in all the work, without end perhaps, before it gives anything back."""
    with ProcessPoolExecutor(processes) as pool:
        running = {pool.submit(run, seeds) for seeds in islice(work, processes)}
        while running:
            done, running = wait(running, return_when=FIRST_COMPLETED)
            running |= {pool.submit(run, seeds) for seeds in islice(work, len(done))}
            yield from (future.result() for future in done)


def run(seeds: range) -> tuple[Figures, dict[int, str]]:
    figures, broken = Figures(), dict[int, str]()
    for seed in seeds:
        try:
            figures.add(run_seed(seed))
        except Violation as violation:
            broken[seed] = str(violation)
        except Exception as error:
            broken[seed] = f"seed {seed}: {type(error).__name__}: {error}"
    return figures, broken


def merge(figures: Figures, other: Figures) -> None:
    figures.counted += other.counted
    figures.faults += other.faults
    figures.reviews += other.reviews
    figures.settled_after_s += other.settled_after_s


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
