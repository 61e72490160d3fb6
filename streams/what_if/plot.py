"""The uplift of every part with its interval, as an SVG that needs nothing else: a thin line is what remains possible
whatever is true of all that history cannot tell."""

from collections.abc import Iterator
from xml.sax.saxutils import escape

from projections.statistics.off_policy import OffPolicy
from projections.statistics.off_policy_verdict import WhatIfVerdict
from streams.what_if.evaluation import Judged
from streams.what_if.question import WhatIf

WIDTH, ROW, LEFT, RIGHT, TOP = 860, 22, 260, 60, 46
WIDEST = 0.2
"""Points of success rate to either side, at most: what is wider is cut off."""
COLOURS = {
    WhatIfVerdict.BETTER: "#1a7f37",
    WhatIfVerdict.WORSE: "#cf222e",
    WhatIfVerdict.CANNOT_ANSWER: "#bbbbbb",
}
OTHERWISE = "#555555"

Row = tuple[str, Judged]


def svg(found: WhatIf) -> str:
    rows = list(_rows(found))
    reach = min(WIDEST, max([0.001, *(edge for _, one in rows for edge in _edges(one.figures))]) * 1.1)
    height = TOP + ROW * len(rows) + 40
    drawn = "\n".join(line for place, row in enumerate(rows) for line in _drawn(place, row, reach))
    axis = "\n".join(_axis(reach, height))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
        f'font-family="sans-serif" font-size="12">\n<rect width="100%" height="100%" fill="white"/>\n'
        f'<text x="12" y="20" font-size="14">Uplift in points of success rate, with its interval</text>\n'
        f"{axis}\n{drawn}\n</svg>\n"
    )


def _rows(found: WhatIf) -> Iterator[Row]:
    for judged in found.overall:
        yield f"all, {judged.metric.replace('_', ' ')}", judged
    for part in found.parts:
        yield f"{part.dimension} {part.value}, first attempt", part.judged[0]


def _edges(figures: OffPolicy) -> Iterator[float]:
    for edge in (figures.uplift.lower, figures.uplift.upper):
        yield abs(edge or 0.0)


def _x(value: float, reach: float) -> float:
    share = (min(max(value, -reach), reach) + reach) / (2 * reach)
    return LEFT + share * (WIDTH - LEFT - RIGHT)


def _axis(reach: float, height: int) -> Iterator[str]:
    for value in (-reach, -reach / 2, 0.0, reach / 2, reach):
        x, colour = _x(value, reach), "#999" if value == 0 else "#eee"
        yield f'<line x1="{x:.1f}" y1="{TOP - 10}" x2="{x:.1f}" y2="{height - 30}" stroke="{colour}"/>'
        yield f'<text x="{x:.1f}" y="{height - 12}" text-anchor="middle">{100 * value:+.2f}</text>'


def _drawn(place: int, row: Row, reach: float) -> Iterator[str]:
    name, judged = row
    figures, y = judged.figures, TOP + ROW * place + 8
    colour = COLOURS.get(judged.judgement.verdict, OTHERWISE)
    yield f'<text x="{LEFT - 10}" y="{y + 4}" text-anchor="end">{escape(name)}</text>'
    for interval, width in ((figures.uplift_bounds, 1), (figures.uplift, 5)):
        if interval.lower is not None and interval.upper is not None:
            x, end = _x(interval.lower, reach), _x(interval.upper, reach)
            yield (
                f'<line x1="{x:.1f}" y1="{y}" x2="{end:.1f}" y2="{y}" stroke="{colour}" stroke-width="{width}"/>'
            )
    if figures.uplift.estimate is not None:
        yield f'<circle cx="{_x(figures.uplift.estimate, reach):.1f}" cy="{y}" r="4" fill="{colour}"/>'
