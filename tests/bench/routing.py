"""`./dev bench routing`: what our routing loses in hours with outages, beside what others would.

Ours is what ships: the route function, the circuits' decider and the folds, played by `routing_world.py`. All policies
meet the same luck, and draw from the same numbers.
"""

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from itertools import combinations
from pathlib import Path

import msgspec
from msgspec.structs import replace
from rich.console import Console
from rich.progress import track

from infra.local import LOCAL
from tests.bench.json_figures import STDOUT, add_json_option, write_json
from tests.bench.machine import this_machine
from tests.bench.other_hours import OTHERS
from tests.bench.reference_policies import REFERENCES
from tests.bench.reference_world import ReferenceWorld
from tests.bench.routing_cost import show_cost
from tests.bench.routing_figures import Figures, ScenarioFigures, summary
from tests.bench.routing_measures import Run, falls, measured
from tests.bench.routing_recomputed import show_recomputed
from tests.bench.routing_report import console_of, plot, show
from tests.bench.routing_world import World
from tests.bench.scenarios import STANDARD, Scenario, read, uniforms

OURS = {"bandit-on": True, "bandit-off": False}
POLICIES = {
    "bandit-on": "ours, bandit on",
    "bandit-off": "ours, bandit off",
    **{key: name for key, (name, _, _) in REFERENCES.items()},
}
NUMBERS_AT_ONCE = 8_000_000
"""Of a reference policy's runs that are played side by side, one per run and transaction: some 200 MB."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--scenario", type=Path, action="append", metavar="FILE", help="JSON; may repeat")
    parser.add_argument("--others", action="store_true", help="other hours than the standard ones")
    parser.add_argument(
        "--runs", type=int, help="of each scenario, instead of its own number; 200 is a verdict"
    )
    parser.add_argument("--policies", default=",".join(POLICIES), help="some of %(default)s")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    add_json_option(parser, "routing")
    parser.add_argument(
        "--plot", type=Path, metavar="FILE", default=LOCAL / "bench" / "routing.svg", help=".svg or .png"
    )
    parser.add_argument("--route", action="store_true", help="only time one decision")
    parser.add_argument(
        "--recompute", action="store_true", help="only check that decisions can be recomputed"
    )


def run(args: argparse.Namespace) -> int:
    """2 when something asked for cannot be understood."""
    console = console_of(is_stderr=args.json == STDOUT)
    if args.route:
        show_cost(console)
        return 0
    try:
        scenarios, policies = _scenarios(args), _policies(args.policies)
        if args.plot.suffix not in (".svg", ".png"):
            raise ValueError(f"--plot: Expected a file .svg or .png, got `{args.plot}`")
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    if args.recompute:
        return show_recomputed(scenarios, console)
    figures = _measure(scenarios, policies, args.workers)
    write_json(figures, args.json)
    plot(figures, args.plot)
    show(figures, console)
    console.print(f"plot: {args.plot}" + ("" if args.json == STDOUT else f", JSON: {args.json}"))
    return 0


def _scenarios(args: argparse.Namespace) -> list[Scenario]:
    found = [_read(file) for file in args.scenario] if args.scenario else OTHERS if args.others else STANDARD
    for scenario, earlier in combinations(found, 2):
        if scenario.name == earlier.name:
            raise ValueError(f"--scenario: Expected names of their own, got `{scenario.name}` twice")
    if args.runs is None:
        return list(found)
    if args.runs < 1:
        raise ValueError(f"--runs: Expected 1 or more, got {args.runs}")
    return [replace(scenario, runs=args.runs) for scenario in found]


def _read(file: Path) -> Scenario:
    try:
        return read(file)
    except (OSError, UnicodeDecodeError, msgspec.DecodeError) as error:
        raise ValueError(f"{file}: {error.strerror if isinstance(error, OSError) else error}") from error


def _policies(names: str) -> list[str]:
    found = names.split(",")
    for name in found:
        if name not in POLICIES:
            raise ValueError(f"--policies: Expected some of {','.join(POLICIES)}, got `{name}`")
    return found


def _measure(scenarios: Sequence[Scenario], policies: Sequence[str], workers: int) -> Figures:
    machine = this_machine()
    with ProcessPoolExecutor(max(workers, 1)) as pool:
        parts = {
            (scenario.name, policy): [
                pool.submit(play, scenario, policy, runs) for runs in _parts(scenario, policy)
            ]
            for scenario in scenarios
            for policy in policies
        }
        _show_progress([part for several in parts.values() for part in several])
    return Figures(
        machine=machine,
        scenarios={
            scenario.name: ScenarioFigures(
                scenario=scenario,
                transactions=scenario.transactions,
                runs=scenario.runs,
                policies={
                    policy: summary(
                        POLICIES[policy],
                        scenario,
                        [run for part in parts[scenario.name, policy] for run in part.result()],
                    )
                    for policy in policies
                },
            )
            for scenario in scenarios
        },
    )


def _show_progress(parts: Sequence[Future[list[Run]]]) -> None:
    """Until all are done."""
    console = Console(stderr=True)
    for _ in track(as_completed(parts), "playing", total=len(parts), console=console, transient=True):
        pass


def _parts(scenario: Scenario, policy: str) -> Iterator[range]:
    """Ours plays one run after the other, a reference policy many at once."""
    size = 1 if policy in OURS else max(NUMBERS_AT_ONCE // scenario.transactions, 1)
    for first in range(0, scenario.runs, size):
        yield range(first, min(first + size, scenario.runs))


def play(scenario: Scenario, policy: str, runs: Sequence[int]) -> list[Run]:
    rates = scenario.rates()
    outages = falls(rates)
    if policy in OURS:
        choices = [World(scenario, uniforms(scenario, run), bandit=OURS[policy]).play() for run in runs]
    else:
        choices = list(ReferenceWorld(scenario, runs).play(policy))
    return [measured(one, rates, outages) for one in choices]
