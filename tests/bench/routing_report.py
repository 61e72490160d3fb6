"""How `./dev bench routing` shows its figures: a table per scenario, and a plot of what was lost over time."""

from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.bench.routing_figures import Delay, Figures, Loss, PolicyFigures, ScenarioFigures

NORMAL_95 = 1.96
LEAST_WIDTH = 130
"""Where a terminal is narrower, the lines of a table run on."""


def console_of(*, is_stderr: bool) -> Console:
    return Console(stderr=is_stderr, width=max(Console().width, LEAST_WIDTH))


def show(figures: Figures, console: Console) -> None:
    for name, found in figures.scenarios.items():
        console.print(_table(name, found))
    console.print(
        "lost: expected payments against the best gateway of every moment, its mean with a 95 % interval · "
        "worse: of the second half's payments, on gateways 5 points or more worse · left, back: median "
        "transactions from the beginning, and the end, of an outage of the best gateway"
    )
    console.print(figures.machine.sentence())


def _table(name: str, found: ScenarioFigures) -> Table:
    gateways = [gateway.name for gateway in found.scenario.gateways]
    table = Table(title=f"{name}: {found.transactions:,} payments, {found.runs} runs", title_justify="left")
    table.add_column("policy", no_wrap=True)
    for heading in ("lost", "p95", "worse", "left", "back"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("% to " + ", ".join(gateways))
    for policy in found.policies.values():
        table.add_row(*_row(policy, gateways))
    return table


def _row(policy: PolicyFigures, gateways: list[str]) -> list[str]:
    return [
        policy.name,
        _interval(policy.loss),
        f"{policy.loss.p95:.0f}",
        f"{policy.worse_share_once_learned:.2%}",
        ", ".join(_delay(outage.evacuation) for outage in policy.outages) or "-",
        ", ".join(_delay(outage.return_after_it) for outage in policy.outages) or "-",
        " ".join(f"{policy.traffic_share[gateway]:.1%}".rstrip("%") for gateway in gateways),
    ]


def _interval(loss: Loss) -> str:
    half = NORMAL_95 * loss.standard_error
    return f"{loss.mean:.0f} [{loss.mean - half:.0f}, {loss.mean + half:.0f}]"


def _delay(delay: Delay | None) -> str:
    if delay is None:
        return "-"
    if delay.transactions is None:
        return "never"
    return f"{delay.transactions:.0f}" + (f" ({delay.never:.0%} never)" if delay.never else "")


def plot(figures: Figures, file: Path) -> None:
    """One panel per scenario: mean loss over time, with its 95 % band. What loses most is cut off, or it would dwarf
    the others."""
    from matplotlib import color_sequences
    from matplotlib.figure import Figure  # only whoever plots waits for it

    columns = min(len(figures.scenarios), 2)
    rows = -(-len(figures.scenarios) // columns)
    figure = Figure(figsize=(8 * columns, 4.5 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for panel in panels[len(figures.scenarios) :]:
        panel.set_visible(False)
    for panel, (name, found) in zip(panels, figures.scenarios.items(), strict=False):
        panel.set_prop_cycle(color=color_sequences["tab20"])
        for policy in found.policies.values():
            means, errors = policy.loss_over_time
            minutes = [found.scenario.duration_s / 60 * (1 + at) / len(means) for at in range(len(means))]
            (line,) = panel.plot(minutes, means, label=policy.name)
            band = [NORMAL_95 * error for error in errors]
            panel.fill_between(
                minutes,
                [mean - half for mean, half in zip(means, band, strict=True)],
                [mean + half for mean, half in zip(means, band, strict=True)],
                color=line.get_color(),
                alpha=0.2,
            )
        panel.set(title=name, xlabel="minutes", ylabel="payments lost", ylim=(0, _most_shown(found)))
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file)


def _most_shown(found: ScenarioFigures) -> float:
    """Twice the median of what the policies lost."""
    losses = sorted(policy.loss.mean for policy in found.policies.values())
    return max(2 * losses[len(losses) // 2], 1.0)
