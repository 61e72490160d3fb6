"""What the calculator may be asked: a struct per calculation, whose fields are options and keys of JSON alike."""

from typing import Annotated, Literal

from msgspec import Meta

from projections.statistics.latency import SLOW_ALPHA
from projections.statistics.sequential import HARM_ALPHA
from schemas.base import Body
from schemas.experiment import BUCKETS, BucketRange
from streams.calculator.sums import SixLogSums, SixSums, as_far_as, possible, possible_logs

MOST = 10**12
"""Of anything that is counted."""
Successes = Annotated[int, Meta(ge=0, le=MOST, description="how many of the trials succeeded")]
Trials = Annotated[int, Meta(ge=1, le=MOST, description="how many there were")]
Share = Annotated[float, Meta(gt=0, lt=1)]
Alpha = Annotated[float, Meta(ge=1e-300, le=0.5)]
Confidence = Annotated[float, Meta(gt=0, lt=1, description="of the intervals")]
Bins = Annotated[
    dict[
        Annotated[int, Meta(ge=0, le=10**6)],
        Annotated[int, Meta(ge=1, le=MOST)],
    ],
    Meta(description="payments by bin of the sketch, as `latency_bins` of results: 285=12 290=3"),
]
HarmAlpha = Annotated[Alpha, Meta(description="of the harm test, one-sided")]
SlowAlpha = Annotated[Alpha, Meta(description="of the test of slowness, one-sided")]
Planned = Annotated[
    Annotated[float, Meta(ge=1, le=MOST)] | None,
    Meta(description="in the smaller arm; given, the winner's test answers too"),
]
Limit = Annotated[
    float, Meta(ge=1.001, le=1_000, description="the slowdown that is always paused once credible")
]
Awaiting = Annotated[
    int,
    Meta(
        ge=0,
        le=MOST,
        description="open payments that are not in the sums; what is judged holds whatever they become",
    ),
]
InDoubt = Annotated[
    int,
    Meta(
        ge=0,
        le=MOST,
        description="payments in the sums as not succeeded that may have; what is judged holds whatever they become",
    ),
]
LeastCustomers = Annotated[int, Meta(ge=2, le=MOST, description="in each arm, before it is paused")]
Milliseconds = Annotated[
    list[Annotated[float, Meta(ge=0.001, le=1e9)]],
    Meta(min_length=2, description="latencies, of one payment per customer"),
]
LEAST_DIFFERENCE = 1e-6


class Request(Body, frozen=True, kw_only=True, tag_field="calculate", tag=str.lower):
    """A calculation is named by `calculate`."""


class TwoArms(Request, frozen=True, kw_only=True):
    control_successes: Successes
    control_trials: Trials
    treatment_successes: Successes
    treatment_trials: Trials

    def __post_init__(self) -> None:
        at_most("control_successes", self.control_successes, "control_trials", self.control_trials)
        at_most("treatment_successes", self.treatment_successes, "treatment_trials", self.treatment_trials)


def at_most(name: str, value: float, other: str, most: float) -> None:
    if value > most:
        raise ValueError(f"Expected at most `{other}`, {most:g}, got {value:g} - at `$.{name}`")


class Wilson(Request, frozen=True, kw_only=True):
    """The interval of one success rate."""

    successes: Successes
    trials: Trials
    confidence: Confidence = 0.95

    def __post_init__(self) -> None:
        at_most("successes", self.successes, "trials", self.trials)


class Proportions(TwoArms, frozen=True, kw_only=True):
    """Two success rates at a fixed horizon: intervals, difference, relative lift, z test."""

    confidence: Confidence = 0.95


class Fisher(TwoArms, frozen=True, kw_only=True):
    """Fisher's exact test of two success rates."""

    alternative: Annotated[
        Literal["two-sided", "less", "greater"],
        Meta(description="`less`: does the treatment succeed less often than control?"),
    ] = "two-sided"


class NonInferiority(TwoArms, frozen=True, kw_only=True):
    """Is the treatment certainly not worse than control by the margin?"""

    margin: Annotated[float, Meta(ge=1e-6, le=1 - 1e-6, description="in parts of 1: 0.05 is five points")]
    alpha: Annotated[float, Meta(ge=1e-300, lt=0.5, description="one-sided")] = 0.025


class Sequential(TwoArms, frozen=True, kw_only=True):
    """Two success rates, looked at as often as you like: harm, confidence sequence, winner."""

    confidence: Confidence = 0.95
    alpha: HarmAlpha = HARM_ALPHA
    planned_customers: Planned = None


class Clustered(Request, frozen=True, kw_only=True):
    """Two success rates of customers who pay more than once, from six sums per arm; harm and winner too."""

    control: SixSums
    treatment: SixSums
    confidence: Confidence = 0.95
    alpha: HarmAlpha = HARM_ALPHA
    planned_customers: Planned = None
    control_awaiting: Awaiting = 0
    control_in_doubt: InDoubt = 0
    treatment_awaiting: Awaiting = 0
    treatment_in_doubt: InDoubt = 0

    def __post_init__(self) -> None:
        for name in ("control", "treatment"):
            sums = getattr(self, name)
            as_far_as(possible(*sums), "whole numbers, 1 ≤ x and 0 ≤ y ≤ x", name)
            if getattr(self, f"{name}_in_doubt") > sums[1] - sums[2]:
                raise ValueError(f"Expected Σx - Σy of `{name}` at most - at `$.{name}_in_doubt`")


class Srm(Request, frozen=True, kw_only=True):
    """Are customers split as configured?"""

    observed: Annotated[
        list[Annotated[int, Meta(ge=0, le=MOST)]],
        Meta(min_length=2, max_length=1_000, description="customers of every arm"),
    ]
    weights: Annotated[
        list[Annotated[float, Meta(ge=1e-6, le=1e15)]],
        Meta(min_length=2, max_length=1_000, description="in the same order, on any scale"),
    ]
    alpha: Annotated[Alpha, Meta(description="of the always-valid test")] = 0.001

    def __post_init__(self) -> None:
        if len(self.observed) != len(self.weights):
            raise ValueError(
                f"Expected as many as `observed`, {len(self.observed)}, got {len(self.weights)} - at `$.weights`"
            )


class Power(Request, frozen=True, kw_only=True):
    """How many customers an experiment needs, what it would find, and how long it goes on."""

    control_rate: Annotated[float, Meta(ge=1e-6, le=1 - 1e-6, description="the success rate as it is")]
    difference: Annotated[
        float,
        Meta(gt=-1, lt=1, description="that is to be found, in parts of 1; a millionth or more, up or down"),
    ]
    alpha: Annotated[Alpha, Meta(description="two-sided")] = 0.05
    power: Annotated[Share, Meta(description="the probability that it is found; more than alpha")] = 0.8
    ratio: Annotated[
        float, Meta(ge=0.001, le=1_000, description="treatment's customers for one of control's")
    ] = 1.0
    customers: Annotated[
        Annotated[int, Meta(ge=1, le=MOST)] | None,
        Meta(description="in control; given, what they would find is told too"),
    ] = None
    customers_per_day: Annotated[
        Annotated[float, Meta(ge=0, le=MOST)] | None,
        Meta(description="in control; given, the days that remain are told too"),
    ] = None

    def __post_init__(self) -> None:
        if abs(self.difference) < LEAST_DIFFERENCE or not 0 < self.control_rate + self.difference < 1:
            raise ValueError(
                f"Expected {LEAST_DIFFERENCE:g} or more, up or down, "
                "that leads to a rate between 0 and 1 - at `$.difference`"
            )
        if self.power <= self.alpha:
            raise ValueError(f"Expected more than `alpha`, {self.alpha:g}, got {self.power:g} - at `$.power`")


class Holm(Request, frozen=True, kw_only=True):
    """Several hypotheses at once."""

    p_values: Annotated[
        list[Annotated[float, Meta(ge=0, le=1)]], Meta(min_length=1, description="of every hypothesis")
    ]
    alpha: Annotated[Alpha, Meta(description="for all of them together")] = 0.05


class Latency(Request, frozen=True, kw_only=True):
    """Is the treatment slower? By geometric means, always-valid and not, and by ranks."""

    control_ms: Milliseconds
    treatment_ms: Milliseconds
    limit: Limit = 1.5
    least_customers: LeastCustomers = 100
    confidence: Confidence = 0.95


class Slowness(Request, frozen=True, kw_only=True):
    """Is the treatment slower? The same of customers who pay more than once, from six sums and the bins of each arm."""

    control: SixLogSums
    treatment: SixLogSums
    control_bins: Bins
    treatment_bins: Bins
    limit: Limit = 1.5
    least_customers: LeastCustomers = 100
    confidence: Confidence = 0.95
    alpha: SlowAlpha = SLOW_ALPHA

    def __post_init__(self) -> None:
        for name in ("control", "treatment"):
            as_far_as(possible_logs(*getattr(self, name)), "whole numbers, 1 ≤ x and 0 ≤ y", name)


class Assign(Request, frozen=True, kw_only=True):
    """Which variant a customer is in, by the ranges of the experiment's events or by the weights of a new one."""

    salt: Annotated[
        str, Meta(min_length=1, description="of the experiment: its id, unless it says otherwise")
    ]
    customer_id: Annotated[str, Meta(description="as payments name the customer")]
    allocation: Annotated[
        Annotated[list[BucketRange], Meta(min_length=1)] | None,
        Meta(
            description="`allocation`, or `design.arms`, of the newest event that has one: "
            "on the command line control=0-500 treatment=500-1000 control=1000-1500"
        ),
    ] = None
    weights: Annotated[
        Annotated[dict[str, Annotated[int, Meta(ge=0, le=BUCKETS)]], Meta(min_length=1)] | None,
        Meta(
            description="instead of it, buckets of every variant in a new experiment, never scaled: "
            "on the command line control=5000 treatment=5000",
        ),
    ] = None
    buckets: Annotated[
        int,
        Meta(
            ge=1,
            le=BUCKETS,
            description="how many there are: for the arms of a group, the sum of the weights",
        ),
    ] = BUCKETS

    def __post_init__(self) -> None:
        if (self.allocation is None) == (self.weights is None):
            raise ValueError("Expected either `allocation` or `weights`")
        at_most("weights", sum((self.weights or {}).values()), "buckets", self.buckets)
        end = 0
        for place, one in enumerate(self.allocation or ()):
            if not end <= one.first < one.end <= self.buckets:
                raise ValueError(
                    f"Expected ranges in ascending order, none empty, up to {self.buckets} "
                    f"- at `$.allocation[{place}]`"
                )
            end = one.end


AnyRequest = (
    Proportions
    | Sequential
    | Clustered
    | Srm
    | Power
    | Holm
    | Latency
    | Slowness
    | NonInferiority
    | Fisher
    | Wilson
    | Assign
)
KINDS: dict[str, type[Request]] = {
    "proportions": Proportions,
    "sequential": Sequential,
    "clustered": Clustered,
    "srm": Srm,
    "power": Power,
    "holm": Holm,
    "latency": Latency,
    "slowness": Slowness,
    "noninferiority": NonInferiority,
    "fisher": Fisher,
    "wilson": Wilson,
    "assign": Assign,
}
