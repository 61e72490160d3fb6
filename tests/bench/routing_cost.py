"""What one call of `route` takes, with what it remembers of equal facts, and without."""

import time
from collections.abc import Callable, Sequence

from rich.console import Console
from rich.table import Table

from commands.routing.route import route
from schemas.gateway import GatewayConfiguration
from schemas.ids import GatewayId
from schemas.routing import Facts, Posterior
from schemas.routing_configuration import BanditPolicy, RoutingConfiguration
from tests.bench.routing_world import ORDER, RETRIES

CALLS = 5_000


def show_cost(console: Console) -> None:
    table = Table("candidates", "bandit", "propensities", "p50 µs", "p99 µs", title="one call of route")
    for candidates in (3, 10):
        table.add_row(str(candidates), "off", "-", *_cost(candidates, bandit=False, forget=False))
        table.add_row(str(candidates), "on", "remembered", *_cost(candidates, bandit=True, forget=False))
        table.add_row(str(candidates), "on", "computed anew", *_cost(candidates, bandit=True, forget=True))
    console.print(table)


def _cost(candidates: int, *, bandit: bool, forget: bool) -> tuple[str, str]:
    gateways, facts = _world(candidates, bandit)

    def call(number: int) -> None:
        if forget:
            facts.propensities.clear()
        route(ORDER, gateways, RETRIES, facts, (number % 997) / 997)

    took = _timed(call)
    return f"{took[len(took) // 2]:.0f}", f"{took[len(took) * 99 // 100]:.0f}"


def _timed(call: Callable[[int], None]) -> Sequence[float]:
    """In microseconds, ascending, after as many to warm up."""
    for number in range(CALLS // 5):
        call(number)
    took = []
    for number in range(CALLS):
        began = time.perf_counter_ns()
        call(number)
        took.append((time.perf_counter_ns() - began) / 1_000)
    return sorted(took)


def _world(candidates: int, bandit: bool) -> tuple[tuple[GatewayConfiguration, ...], Facts]:
    names = [GatewayId(f"gateway-{number}") for number in range(candidates)]
    gateways = tuple(
        GatewayConfiguration(
            id=name,
            name=name,
            adapter="simulator",
            base_url="http://localhost",
            payment_methods=("UPI",),
            currencies=("INR",),
        )
        for name in names
    )
    facts = Facts(
        configuration=RoutingConfiguration(bandits={"*": BanditPolicy(enabled=bandit)}),
        posteriors={
            (name, "UPI"): Posterior(alpha=500.0 - 5 * number, beta=50.0 + 5 * number)
            for number, name in enumerate(names)
        },
        latencies_ms=dict.fromkeys(((name, "UPI") for name in names), 300.0),
    )
    return gateways, facts
