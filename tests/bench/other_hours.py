"""Hours of our own beside the standard ones: what is learned from four outages must hold in others."""

import numpy as np

from tests.bench.scenarios import Points, Scenario, SimulatedGateway, steady

HOUR_S = 3_600.0
INCIDENTS_SEED = 20_261_125


def hour(name: str, *courses: Points, per_second: float = 10.0, duration_s: float = HOUR_S) -> Scenario:
    """Two seconds late, however many payments those are."""
    names = ("beta", "alpha", "gamma", "delta", "epsilon", "zeta", "eta", "theta")
    return Scenario(
        name=name,
        transactions_per_second=per_second,
        duration_s=duration_s,
        feedback_delay_transactions=round(2 * per_second),
        gateways=tuple(
            SimulatedGateway(name=one, success_rate=course)
            for one, course in zip(names, courses, strict=False)
        ),
    )


def scaled(per_second: float, duration_s: float) -> Scenario:
    """The outage of the standard hours, and a brown-out after it, at another pace and in a shorter time."""
    outage = (duration_s / 6, duration_s / 3, 0.05)
    brown_out = (duration_s / 2, duration_s * 3 / 4, 0.82)
    best = steady(0.92, outage, brown_out)
    return hour(
        f"{per_second:g} a second",
        best,
        steady(0.90),
        steady(0.86),
        per_second=per_second,
        duration_s=duration_s,
    )


def random_incidents(seed: int, rates: tuple[float, ...]) -> tuple[Points, ...]:
    """Three to each gateway, minutes long, from a few points to nearly everything."""
    chance = np.random.default_rng(seed)
    courses = []
    for rate in rates:
        begins = np.sort(chance.uniform(0, HOUR_S, 3))
        ends = np.minimum(begins + chance.exponential(300.0, 3), [*begins[1:], HOUR_S])
        lows = rate * (1 - chance.choice([0.05, 0.10, 0.3, 0.6, 0.95], 3))
        courses.append(steady(rate, *zip(begins.tolist(), ends.tolist(), lows.tolist(), strict=True)))
    return tuple(courses)


_WAVES = np.linspace(0, HOUR_S, 25)


def _wave(rate: float, swing: float, turns: float, phase: float) -> Points:
    rates = rate + swing * np.sin(2 * np.pi * (turns * _WAVES / HOUR_S + phase))
    return tuple(zip(_WAVES.tolist(), rates.tolist(), strict=True))


OTHERS = (
    hour(
        "S4, down later", steady(0.94, (600, 1_800, 0.30), (2_400, 3_000, 0.80)), steady(0.89), steady(0.87)
    ),
    hour("brown-out of 4", steady(0.92, (1_200, 2_400, 0.88)), steady(0.90), steady(0.86)),
    hour("brown-out of 7", steady(0.92, (1_200, 2_400, 0.85)), steady(0.90), steady(0.86)),
    hour("random incidents", *random_incidents(INCIDENTS_SEED, (0.93, 0.91, 0.88))),
    hour("more incidents", *random_incidents(INCIDENTS_SEED + 1, (0.95, 0.94, 0.90, 0.85))),
    hour("drift", _wave(0.90, 0.04, 1.0, 0.0), _wave(0.90, 0.04, 1.0, 0.5), _wave(0.87, 0.02, 1.5, 0.25)),
    hour(
        "issuer-wide dip",
        steady(0.92, (1_200, 1_800, 0.46)),
        steady(0.90, (1_200, 1_800, 0.45)),
        steady(0.86, (1_200, 1_800, 0.43)),
    ),
    hour("2 gateways", steady(0.92, (1_200, 1_800, 0.05)), steady(0.89)),
    hour(
        "8 gateways",
        steady(0.93, (1_200, 1_800, 0.05)),
        *(steady(rate) for rate in (0.92, 0.91, 0.90, 0.88, 0.86, 0.84, 0.80)),
    ),
    scaled(1, HOUR_S),
    scaled(3, HOUR_S),
    scaled(30, HOUR_S),
    scaled(100, 1_200),
    scaled(200, 600),
)
