"""A hundred experiments end to end: customers assigned by the hash, their payments as events, folded, judged, acted on.

Fifty run at a time, as many as may. What is folded must be what was paid, to the last integer, and what is done about
each must be what the truth asks for.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from typing import NamedTuple

import numpy as np
from msgspec.structs import replace
from numpy.random import Generator
from structlog.testing import capture_logs

from infra.kafka.partition import partition_for
from infra.memory.projections import MemoryDeadLetters, MemoryRecords, RawRecord
from projections.experiment_intake import ExperimentIntake
from projections.sketch import bin_of
from projections.statistics.latency import log_units
from schemas.base import Event
from schemas.codec import PAYMENTS_TOPIC
from schemas.experiment import (
    BUCKETS,
    Design,
    ExperimentConcluded,
    ExperimentPaused,
    PauseExperiment,
    ResumeExperiment,
    RunningExperiment,
    Variant,
)
from schemas.exposure import Figures, Tally
from schemas.ids import ExperimentId, PaymentId, attempt_id
from tests.bench.experiments_figures import Figure, median, share
from tests.bench.experiments_intervals import sums_of
from tests.bench.experiments_world import LATENCY_DEVIATION, Dealer, Job
from tests.projections.exposed import assigned
from tests.projections.story import (
    ALPHA,
    BETA,
    declined,
    failed,
    in_doubt,
    new_payment_id,
    paid,
    raw,
    recorded,
    requested,
    routed,
    started,
    succeeded,
)
from tests.streams.experiment_world import World

LOTS = 2
PLANNED, PLANNED_DAYS, PAYMENTS_A_LOOK = 300, 7, 10
MOST_LOOKS, PAUSED_AT, RESUMED_AT, CHECKED_AT = 150, 10, 15, (8, 40)
LOOK_EVERY = timedelta(hours=1)
CUSTOMERS = 1_200
"""Of each experiment; so few that many come again."""
MEDIAN_MS, SAVED, SETTLED_AFTER_LOOKS = 150.0, 0.3, 4
VARIANTS = ("control", "treatment", "second", "third")
SUMMED = ("payments", "succeeded", "first_succeeded", "log_units")
FEES_BPS, AMOUNT_MINOR = {ALPHA: 200, BETA: 190}, 49_900
"""As in the events of `story.py`."""


class Kind(NamedTuple):
    title: str
    in_each_lot: int
    rates: tuple[float, ...]
    """By the first attempt, control's first."""
    ends: tuple[str, ...]
    """The verdicts on which it may be paused or concluded."""
    slowdown: float = 1.0
    late: float = 0.0
    """So many payments are in doubt, and are settled some looks later."""
    lost: float = 0.0
    """So many customers of the last arm are never told of: a broken split."""
    is_ramped: bool = False
    """Half of the buckets at first, paused and resumed with all."""
    group: str | None = None
    """Half of the buckets each."""


ALIKE = ("no_difference", "collecting")
RIGHT = {ALIKE: 0.85, ("harmful",): 0.95, ("winner",): 0.90, ("srm",): 1.0}
"""So many at least end as they should: of those that are alike 4 % may be paused, 2.5 % win, and chance adds to it."""
DEAD = "a dead treatment"
KINDS = (
    Kind("two arms alike", 12, (0.85, 0.85), ALIKE),
    Kind("alike, ramped up", 5, (0.85, 0.85), ALIKE, is_ramped=True),
    Kind("alike, settled late", 5, (0.85, 0.85), ALIKE, late=0.2),
    Kind("alike, two of a group", 2, (0.85, 0.85), ALIKE, group="checkout"),
    Kind("three treatments alike", 3, (0.85, 0.85, 0.85, 0.85), ALIKE),
    Kind(DEAD, 5, (0.85, 0.0), ("harmful",)),
    Kind("twenty points less", 4, (0.85, 0.60), ("harmful",)),
    Kind("one dead of three, ramped up", 3, (0.85, 0.85, 0.10), ("harmful",), is_ramped=True),
    Kind("twice as slow", 3, (0.85, 0.85), ("harmful",), slowdown=2.0),
    Kind("a better treatment", 4, (0.70, 0.90), ("winner",)),
    Kind("a better one of three, settled late", 2, (0.70, 0.70, 0.90), ("winner",), late=0.2),
    Kind("a split that is broken", 2, (0.85, 0.85), ("srm",), lost=0.6),
)


class Payment(NamedTuple):
    """One that counts, as the customer knows it."""

    variant: str
    customer: str
    latency_ms: int
    succeeded: bool = False
    first_succeeded: bool = False
    is_unknown: bool = False

    @property
    def figures(self) -> Figures:
        return Figures(1, 1, self.succeeded, self.first_succeeded, 1, log_units(self.latency_ms))


class Fate(NamedTuple):
    """What becomes of a payment."""

    events: list[Event]
    payment: Payment
    later: "Fate | None" = None


def jobs() -> Iterator[Job]:
    yield hundred


def hundred(rng: Generator, scale: float, _: Dealer) -> Iterator[Figure]:
    kinds = [kind for kind in KINDS for _ in range(max(round(kind.in_each_lot * min(scale, 1.0)), 1))]
    with capture_logs():  # standard output is for the figures
        lots = [
            asyncio.run(Lot(rng, number, kinds).play())
            for number in range(max(round(LOTS * min(scale, 1.0)), 1))
        ]
    ends = [(kind, lot.ends[name]) for lot in lots for name, kind in lot.kinds.items()]
    for told, right in RIGHT.items():
        found = [end.verdict in told for kind, end in ends if kind.ends == told]
        names = sorted({kind.title for kind in KINDS if kind.ends == told})
        yield share(
            f"end to end, {' or '.join(told)}: {'; '.join(names)}", np.array(found), right, "at least"
        )
    dead = [end.payments_an_arm for kind, end in ends if kind.title == DEAD]
    yield median(
        "end to end, a dead treatment, looks every 5 pairs: pairs until the pause", np.array(dead), 30
    )
    for name, wrong in (
        ("arms that differ from what was paid", sum(lot.wrong_arms for lot in lots)),
        ("customers who changed the variant", sum(lot.moved for lot in lots)),
    ):
        yield Figure(
            name=f"end to end, {name}", measured=float(wrong), bound="at most", target=0, runs=len(ends)
        )


class End(NamedTuple):
    verdict: str
    """By which it was paused or concluded."""
    payments_an_arm: float


class Lot:
    """Experiments side by side, each with customers and luck of its own."""

    def __init__(self, rng: Generator, number: int, kinds: Sequence[Kind]) -> None:
        self._rng = rng
        self.kinds = {ExperimentId(f"exp_{number}_{place}"): kind for place, kind in enumerate(kinds)}
        self._world = World()
        self._intake = ExperimentIntake(
            PAYMENTS_TOPIC, self._world.store, MemoryRecords(), MemoryDeadLetters(), partition_for
        )
        self._offsets: dict[int, int] = defaultdict(int)
        self._payments = number * 10_000_000
        self.paid: dict[ExperimentId, dict[PaymentId, Payment]] = {name: {} for name in self.kinds}
        self._variants: dict[tuple[str, str], tuple[ExperimentId, str]] = {}
        """By group, or experiment, and customer."""
        self._waiting: dict[int, list[tuple[ExperimentId, PaymentId, Fate]]] = defaultdict(list)
        """By the look before which they are settled."""
        self.ends: dict[ExperimentId, End] = {}
        self.wrong_arms = self.moved = 0

    async def play(self) -> "Lot":
        for name, kind in self.kinds.items():
            await self._world.start(_design(name, kind), name)
        for look in range(1, MOST_LOOKS + 1):
            running = self._world.experiments.running
            paid = [record for one in running for record in self._payments_of(one, look)]
            await self._absorb([*self._settled(look), *paid])
            if look in (PAUSED_AT, RESUMED_AT):
                await self._lead(look)
            if look in CHECKED_AT:
                await self.check()
        for look in sorted(self._waiting):
            await self._absorb(list(self._settled(look)))
        self._world.clock.at += timedelta(days=PLANNED_DAYS)
        await self._absorb([])
        await self.check()
        return self

    async def _absorb(self, records: list[RawRecord]) -> None:
        if records:
            await self._intake.absorb(records)
        self._world.log_ends = dict(self._offsets)
        self._world.clock.at += LOOK_EVERY
        before = len(self._world.events)
        await self._world.look()
        for event in self._world.events[before:]:
            if isinstance(event, ExperimentPaused | ExperimentConcluded) and event.evidence is not None:
                name = event.experiment_id
                each = len(self.paid[name]) / len(self.kinds[name].rates)
                self.ends.setdefault(name, End(event.evidence.verdict, each))

    async def _lead(self, look: int) -> None:
        for name, kind in self.kinds.items():
            if kind.is_ramped and name not in self.ends:
                resume = ResumeExperiment(experiment_id=name, by="asha", note="", scale=2)
                pause = PauseExperiment(experiment_id=name, by="asha", note="")
                await self._world.obey(pause if look == PAUSED_AT else resume)

    def _payments_of(self, experiment: RunningExperiment, look: int) -> Iterator[RawRecord]:
        name = experiment.experiment_id
        kind = self.kinds[name]
        for number in self._rng.integers(CUSTOMERS, size=PAYMENTS_A_LOOK):
            self._payments += 1
            payment, customer = new_payment_id(self._payments), f"cus_{number}"
            variant = experiment.assignment.variant(customer)
            arm = 0 if variant is None else VARIANTS.index(variant)
            if arm and number < kind.lost * CUSTOMERS:
                variant = None
            fate = self._fate(kind, arm, payment, variant or "", customer)
            exposed = [] if variant is None else [assigned(variant, customer, name)]
            if variant is not None:
                key = kind.group or name, customer
                self.moved += self._variants.setdefault(key, (name, variant)) != (name, variant)
                self.paid[name][payment] = fate.payment
                if fate.later:
                    self._waiting[look + SETTLED_AFTER_LOOKS].append((name, payment, fate.later))
            tried = started(attempt_id(payment, 1, 1))
            yield from self._recorded(payment, requested(), *exposed, routed(), tried, *fate.events)

    def _settled(self, look: int) -> Iterator[RawRecord]:
        for name, payment, fate in self._waiting.pop(look, ()):
            self.paid[name][payment] = fate.payment
            yield from self._recorded(payment, *fate.events)

    def _fate(self, kind: Kind, arm: int, payment: PaymentId, variant: str, customer: str) -> Fate:
        first, second = attempt_id(payment, 1, 1), attempt_id(payment, 1, 2)
        median_ms = MEDIAN_MS * kind.slowdown ** min(arm, 1)
        ms, again_ms = (
            round(median_ms * np.exp(LATENCY_DEVIATION * drawn)) for drawn in self._rng.standard_normal(2)
        )
        is_first, is_saved, is_late = self._rng.random(3) < (kind.rates[arm], SAVED, kind.late)
        told = Payment(variant, customer, ms)
        succeeds = told._replace(succeeded=True, first_succeeded=True)
        if is_late:
            doubt = in_doubt(first)
            told, succeeds = (one._replace(latency_ms=doubt.latency_ms) for one in (told, succeeds))
            later = (
                Fate([succeeded(first, verified=True), paid(first)], succeeds)
                if is_first
                else Fate([declined(first, verified=True), failed()], told)
            )
            return Fate([doubt], told._replace(is_unknown=True), later)
        if is_first:
            return Fate([replace(succeeded(first), latency_ms=ms), paid(first)], succeeds)
        tried = [replace(declined(first), latency_ms=ms), started(second, BETA)]
        told = told._replace(latency_ms=ms + again_ms)
        if is_saved:
            saved = replace(succeeded(second, BETA), latency_ms=again_ms)
            return Fate([*tried, saved, paid(second, BETA)], told._replace(succeeded=True))
        return Fate([*tried, replace(declined(second, BETA), latency_ms=again_ms), failed()], told)

    def _recorded(self, payment: PaymentId, *events: Event) -> Iterator[RawRecord]:
        partition = partition_for(payment)
        for event in events:
            yield raw(recorded(event, self._offsets[partition], payment=payment, stamp_ms=1))
            self._offsets[partition] += 1

    async def check(self) -> None:
        for name in self.kinds:
            tallies, _ = await self._world.store.tallies(name)
            true = _tallies(self.paid[name].values())
            self.wrong_arms += sum(
                tallies.get(variant, Tally()) != true.get(variant, Tally()) for variant in {*tallies, *true}
            )


def _design(name: str, kind: Kind) -> Design:
    weight = BUCKETS // len(kind.rates) // (2 if kind.is_ramped or kind.group else 1)
    return Design(
        name=name,
        variants=tuple(Variant(name=variant, weight=weight) for variant in VARIANTS[: len(kind.rates)]),
        planned_customers=PLANNED,
        planned_days=PLANNED_DAYS,
        group=kind.group,
    )


def _tallies(payments: Iterable[Payment]) -> dict[str, Tally]:
    """By variant, from what customers paid and nothing else."""
    customers: dict[str, dict[str, Figures]] = defaultdict(lambda: defaultdict(Figures))
    found: dict[str, Tally] = defaultdict(Tally)
    for one in payments:
        tally = found[one.variant]
        customers[one.variant][one.customer] += one.figures
        tally[f"latency:{bin_of(one.latency_ms)}"] += 1
        tally["unknown"] += one.is_unknown
        if one.succeeded:
            tally["charged:INR"] += AMOUNT_MINOR
            tally["cost:INR"] += AMOUNT_MINOR * FEES_BPS[ALPHA if one.first_succeeded else BETA]
    for variant, of_variant in customers.items():
        figures = np.array(list(of_variant.values()), np.float64)
        found[variant] += sums_of(*(figures[:, Figures._fields.index(name)] for name in SUMMED))
    return found
